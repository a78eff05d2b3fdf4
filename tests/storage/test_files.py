"""Files are opened if they are files, at once, and made for their owner alone."""

from __future__ import annotations

import ast
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memvid
from memvid.errors import OutputError
from memvid.storage.disk import make_cache_folder, write_atomic
from memvid.storage.files import (
    check_regular,
    create_private,
    drop_leftover,
    make_private,
    open_private,
    open_regular,
    write_private,
)
from tests.special_files import SPECIAL

PACKAGE = Path(memvid.__file__).parent
OPENERS: dict[str, Callable[[Path], Any]] = {
    "check": check_regular,
    "read": open_regular,
    "create": create_private,
    "change": open_private,
    "make": make_private,
    "drop": drop_leftover,
}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def nothing_masked() -> Any:
    """What is private is so by its making, whatever the umask."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("opener", "kind"),
    # What leads to a device is a link here, which those that write do not follow.
    [(opener, kind) for opener in OPENERS for kind in SPECIAL if kind != "device" or opener in ("check", "read")],
)
def test_what_is_no_file_is_refused_by_its_name(tmp_path: Path, kind: str, opener: str) -> None:
    path = tmp_path / "x"
    SPECIAL[kind](path)
    with pytest.raises(OSError, match=f"it is a {kind}, not a file"):
        OPENERS[opener](path)
    assert os.path.lexists(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    for opener in OPENERS.values():
        with pytest.raises(IsADirectoryError, match="it is a folder, not a file"):
            opener(tmp_path)


def test_what_is_created_is_private_and_in_nobody_elses_place(tmp_path: Path) -> None:
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "x"
    elsewhere.write_text("mine")
    for leftover in (lambda: None, lambda: path.write_text("old"), lambda: path.symlink_to(elsewhere)):
        path.unlink(missing_ok=True)
        leftover()
        os.close(create_private(path))
        assert (path.read_text(), path.is_symlink(), mode_of(path)) == ("", False, 0o600)
    assert elsewhere.read_text() == "mine"


def test_a_file_with_another_name_is_replaced_and_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("shared")
    os.link(tmp_path / "x", tmp_path / "snapshot")
    os.close(create_private(tmp_path / "x"))
    assert (tmp_path / "snapshot").read_text() == "shared"


@pytest.mark.parametrize("dangling", [True, False])
def test_nothing_is_changed_through_a_link(tmp_path: Path, dangling: bool) -> None:
    if not dangling:
        (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "x").symlink_to(tmp_path / "elsewhere")
    for opener in (open_private, make_private):
        with pytest.raises(OSError, match="it is a symbolic link, not a file"):
            opener(tmp_path / "x")
    assert (tmp_path / "elsewhere").exists() != dangling
    if not dangling:
        with open_regular(tmp_path / "x") as file:
            assert file.read() == b"mine"


def test_what_is_changed_in_place_keeps_its_mode_and_what_is_new_is_private(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    (tmp_path / "old").chmod(0o640)
    for name in ("old", "new"):
        make_private(tmp_path / name)
    assert [mode_of(tmp_path / name) for name in ("old", "new")] == [0o640, 0o600]
    with pytest.raises(FileNotFoundError):
        open_private(tmp_path / "none", create=False)


def test_what_is_written_whole_is_private_and_not_longer_than_that(tmp_path: Path) -> None:
    for data in (b"a long one", b"short"):
        write_private(tmp_path / "x", data)
        assert (tmp_path / "x").read_bytes() == data
    assert mode_of(tmp_path / "x") == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with pytest.raises(OSError, match="symbolic link"):
        write_private(tmp_path / "link", b"")


OTHER_WAYS = ("open", "read_bytes", "read_text", "write_bytes", "write_text", "touch", "mkstemp", "mkfifo")
EXCEPTIONS = {
    "embedding/minilm.py": {"read_text"},  # of the package's own
    "cli/app.py": {"open"},  # os.devnull
    "cli/streams.py": {"open"},  # os.devnull
    "chat/history_file.py": {"mkstemp"},  # 0600, and no name that anybody knows
}


def test_files_are_opened_and_made_here_alone() -> None:
    """All others would wait for pipes, follow links, or make files that others can read."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        found = {called for call in calls if (called := _opens(call)) is not None}
        assert name.startswith("storage/") or found == EXCEPTIONS.get(name, set()), f"{name}: use memvid.storage.files"


def _opens(call: ast.Call) -> str | None:
    """The name of a function that opens or makes a file: of ``open``, the builtin, that of ``os``, that of paths."""
    if isinstance(call.func, ast.Name):
        return "open" if call.func.id == "open" else None
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in OTHER_WAYS:
        return None
    if call.func.attr != "open":
        return call.func.attr
    modes = [argument.value for argument in call.args[:1] if isinstance(argument, ast.Constant)]
    module = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
    return "open" if module == "os" or modes else None


def test_an_atomic_write_is_private_and_refuses_what_it_would_wait_for(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x", b"one")
    assert mode_of(tmp_path / "x") == 0o600
    os.mkfifo(tmp_path / "x.new")
    with pytest.raises(OutputError, match=r"it is a pipe, not a file: remove it"):
        write_atomic(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"one"
    assert (tmp_path / "x.new").exists()


def test_the_cache_is_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMVID_CACHE_DIR", str(tmp_path / "new" / "cache"))
    folder = make_cache_folder("tables")
    assert [mode_of(folder), mode_of(folder.parent)] == [0o700, 0o700]
