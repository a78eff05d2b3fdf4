"""Files of an index that is open: one that is replaced stays what it was; one that is written into is an error."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from memvid.errors import ClosedError, IndexFormatError
from memvid.index import IndexManager, open_file
from tests.index.index_support import build, make_vectors

SIDE_FILES = ("memory_index.usearch", "memory_index.records")


@pytest.fixture
def index_file(tmp_path: Path) -> Path:
    return build(tmp_path, 120)


@pytest.fixture(params=["read", "mapped"])
def index(index_file: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> IndexManager:
    """An open index, its vectors in memory or mapped."""
    if request.param == "mapped":
        monkeypatch.setattr(open_file, "_READ_BYTES", 0)
    return IndexManager.open(index_file)


def overwrite(file: Path, data: bytes) -> None:
    """Write into a file; its time is another one afterwards, however coarse the clock of its disk is."""
    before = file.stat()
    with file.open("r+b") as handle:
        handle.write(data)
        handle.truncate()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def ask_all(index: IndexManager) -> list[str]:
    """What each question is answered with, if that is an error."""
    answers = []
    for ask in (
        lambda: index.search(make_vectors(1), 3),
        lambda: index.search(make_vectors(1), 3, where={"even": True}),
        lambda: index.keyword_search("anything", 3),
        lambda: index.ids_having("page", [5]),
        lambda: index.frames_of([5]),
        lambda: index.ids_where({"even": True}),
        lambda: index.stored_vectors(5, 2),
        index.verify,
    ):
        try:
            ask()
        except IndexFormatError as error:  # noqa: PERF203
            answers.append(str(error))
        else:
            answers.append("")
    return answers


@pytest.mark.parametrize("name", SIDE_FILES)
@pytest.mark.parametrize("what", ["other bytes", "nothing", "half of it", "more"])
def test_what_is_written_into_is_an_error(index: IndexManager, index_file: Path, name: str, what: str) -> None:
    assert set(ask_all(index)) == {""}
    file = index_file.with_name(name)
    data = file.read_bytes()
    changed = {"other bytes": data[::-1], "nothing": b"", "half of it": data[: len(data) // 2], "more": data * 2}[what]
    overwrite(file, changed)
    for answer in ask_all(index):
        assert f"{file} was overwritten" in answer
        assert "open the memory again" in answer
    index.close()
    with pytest.raises(ClosedError):
        index.search(make_vectors(1), 3)


@pytest.mark.parametrize("change", ["replaced", "removed", "renamed", "linked", "touched by a reader"])
def test_what_is_not_written_into_stays_what_it_was(index: IndexManager, index_file: Path, change: str) -> None:
    (index_file.parent / "other").mkdir()
    other = build(index_file.parent / "other", 90, vectors=make_vectors(90, seed=3))
    before = index.search(make_vectors(1), 3)
    for name in SIDE_FILES:
        file = index_file.with_name(name)
        if change == "replaced":
            other.with_name(name).replace(file)
        elif change == "removed":
            file.unlink()
        elif change == "renamed":
            file.rename(f"{file}.old")
        elif change == "linked":
            os.link(file, f"{file}.link")
        else:
            os.utime(file, ns=(1, file.stat().st_mtime_ns))
            file.chmod(0o600)
    after = index.search(make_vectors(1), 3)
    assert after[0].tolist() == before[0].tolist()
    assert after[1].tolist() == before[1].tolist()
    assert index.ids_where({"page": 6, "even": True})[:2].tolist() == [6, 34]
    index.close()


def test_a_memory_that_another_was_copied_over_opens_again(index: IndexManager, index_file: Path) -> None:
    (index_file.parent / "other").mkdir()
    other = build(index_file.parent / "other", 90, vectors=make_vectors(90, seed=3))
    for file in other.parent.iterdir():
        shutil.copyfile(file, index_file.with_name(file.name))  # into the very file, as cp does
        os.utime(index_file.with_name(file.name), ns=(1, 1))
    with pytest.raises(IndexFormatError, match="open the memory again"):
        index.search(make_vectors(1), 3)
    with IndexManager.open(index_file) as opened:
        assert opened.count == 90


def test_closing_lets_go_of_the_files(index_file: Path) -> None:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("this system does not say which files are open")

    def held() -> list[str]:
        names = [str(entry.readlink()) for entry in folder.iterdir() if entry.is_symlink()]
        return [name for name in names if name.startswith(str(index_file.parent))]

    index = IndexManager.open(index_file)
    index.ids_where({"page": 5})
    assert held()
    index.close()
    assert held() == []
