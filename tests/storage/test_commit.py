from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.errors import IndexFormatError, OutputError
from memvid.maintenance import repair, verify
from memvid.storage.commit import Commit, recover
from memvid.storage.disk import output_errors, write_atomic
from memvid.storage.files import create_private, open_regular
from memvid.storage.journal import is_plain_name
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

NAMES = ("memory.mp4", "memory_index.usearch", "memory_index.records", "memory_index.json")
DISK_EVENTS = ("open", "os.rename", "os.remove", "fsync")


class FailingDisk:
    """Raises at the n-th touch of the disk. An audit hook sees what any Python version calls underneath."""

    def __init__(self) -> None:
        self.countdown = -1
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.countdown < 0 or event not in DISK_EVENTS or "memory" not in str(args):
            return
        self.countdown -= 1
        if self.countdown < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(args[0]))


DISK = FailingDisk()


@pytest.fixture
def failing_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        sys.audit("fsync", "memory")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def paths(root: Path, *, apart: bool) -> list[Path]:
    """The four files of a memory, the video in a folder of its own if ``apart``."""
    video = root / ("videos" if apart else "index")
    for folder in (video, root / "index"):
        folder.mkdir(exist_ok=True)
    return [(video if name.endswith(".mp4") else root / "index") / name for name in NAMES]


def write_all(files: list[Path], content: bytes) -> None:
    video, *_, manifest = files
    with Commit(manifest, video_file=video) as commit:
        for file in files:
            with output_errors(file):
                commit.stage(file).write_bytes(content)
        commit.commit()


def state(files: list[Path]) -> set[bytes | None]:
    return {file.read_bytes() if file.exists() else None for file in files}


def litter(files: list[Path]) -> list[str]:
    return sorted(p.name for folder in {f.parent for f in files} for p in folder.iterdir() if p not in files)


@pytest.mark.parametrize("apart", [False, True])
def test_commit_replaces_all_and_leaves_nothing_else(tmp_path: Path, apart: bool) -> None:
    files = paths(tmp_path, apart=apart)
    for content in (b"old", b"new"):
        write_all(files, content)
        assert state(files) == {content}
        assert litter(files) == []


@pytest.mark.usefixtures("failing_sync")
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_disk_that_fails_at_any_touch_leaves_the_old_files_or_the_new(
    tmp_path: Path, apart: bool, first: bool
) -> None:
    outcomes = set()
    for touch in range(200):
        root = tmp_path / str(touch)
        root.mkdir()
        files = paths(root, apart=apart)
        old = {None} if first else {b"old"}
        if not first:
            write_all(files, b"old")
        DISK.countdown = touch
        try:
            write_all(files, b"new")
            break
        except OutputError as error:
            message = str(error)
        finally:
            DISK.countdown = -1
        assert "space" in message
        recovered = recover(files[-1], video_file=files[0])
        assert state(files) == ({b"new"} if recovered else old) or (not recovered and state(files) == {b"new"})
        outcomes.add(frozenset(state(files)))
        write_all(files, b"again")
        assert state(files) == {b"again"}
        assert litter(files) == []
    assert touch > 15
    assert outcomes == {frozenset(old), frozenset({b"new"})}


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from memvid.storage.commit import Commit
left, root = int(sys.argv[1]), Path(sys.argv[2])
def hook(event, args):
    global left
    if event in ("open", "os.rename", "os.remove", "fsync") and "memory" in str(args):
        left -= 1
        if left < 0:
            os._exit(9)
real = os.fsync
def fsync(descriptor):
    sys.audit("fsync", "memory")
    real(descriptor)
os.fsync = fsync
names = {names!r}
files = [root / ("videos" if name.endswith("mp4") else "index") / name for name in names]
sys.addaudithook(hook)
commit = Commit(files[-1], video_file=files[0])
for file in files:
    commit.stage(file).write_bytes(b"new")
commit.commit()
"""


def test_a_build_killed_at_any_touch_of_the_disk_leaves_the_old_files_or_the_new(tmp_path: Path) -> None:
    script = KILLED.replace("{names!r}", repr(NAMES))
    source = str(Path(sys.modules["memvid"].__file__ or "").parent.parent)
    outcomes = set()
    for touch in range(200):
        root = tmp_path / str(touch)
        root.mkdir()
        files = paths(root, apart=True)
        write_all(files, b"old")
        run = subprocess.run([sys.executable, "-c", script, str(touch), str(root), source], check=False)
        if run.returncode == 0:
            break
        assert run.returncode == 9
        recover(files[-1], video_file=files[0])
        assert state(files) in ({b"old"}, {b"new"})
        outcomes.add(frozenset(state(files)))
        write_all(files, b"again")
        assert litter(files) == []
    assert outcomes == {frozenset({b"old"}), frozenset({b"new"})}


def test_abort_removes_what_was_staged(tmp_path: Path) -> None:
    files = paths(tmp_path, apart=False)
    write_all(files, b"old")
    with Commit(files[-1], video_file=files[0]) as commit:
        for file in files:
            commit.stage(file).write_bytes(b"new")
    assert state(files) == {b"old"}
    assert litter(files) == []


def test_an_interruption_while_a_file_is_staged_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> int:
        os.close(create_private(path))
        raise KeyboardInterrupt

    commit = Commit(tmp_path / "memory_index.json")
    monkeypatch.setattr("memvid.storage.commit.create_private", interrupted)
    with pytest.raises(KeyboardInterrupt), commit:
        commit.stage(tmp_path / "memory_index.records")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"create the folder .*nowhere"):
        Commit(tmp_path / "nowhere" / "memory_index.json").stage(tmp_path / "nowhere" / "memory_index.json")
    with pytest.raises(OutputError, match="create the folder"):
        write_atomic(tmp_path / "nowhere" / "x", b"")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may write to"):
        Commit(tmp_path / "memory_index.json").stage(tmp_path / "memory_index.json")


def test_a_commit_that_cannot_be_finished_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))

    (tmp_path / "memory_index.json.commit").write_text("{}")
    monkeypatch.setattr("memvid.storage.commit.finish", refuse)
    with pytest.raises(OutputError, match="was cut off, and whoever opens it next finishes it"):
        recover(tmp_path / "memory_index.json")


def test_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="beside the index"):
        Commit(tmp_path / "memory_index.json").stage(tmp_path / "a" / "memory.mp4")


@pytest.mark.parametrize(
    "journal",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 60000,
        b"x" * 70000,
        json.dumps({"version": 2, "renames": []}).encode(),
        json.dumps({"version": 1, "renames": ["a"]}).encode(),
        *(
            json.dumps({"version": 1, "renames": [{"folder": folder, "name": name, "bytes": 6}]}).encode()
            for folder, name in [
                ("index", "../victim"),
                ("index", "/etc/victim"),
                ("index", "a\\b"),
                ("index", ".."),
                ("index", ""),
                ("index", None),
                ("index", "C:victim"),
                ("..", "victim"),
                ("video", "other.mp4"),
            ]
        ),
    ],
)
def test_a_hostile_journal_moves_nothing(tmp_path: Path, journal: bytes) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "victim").write_bytes(b"safe")
    (tmp_path / "victim.new").write_bytes(b"hostile"[:6])
    index_file = tmp_path / "index" / "memory_index.json"
    (tmp_path / "index" / "memory_index.json.commit").write_bytes(journal)
    for video in (None, tmp_path / "memory.mp4"):
        with pytest.raises(IndexFormatError):
            recover(index_file, video_file=video)
    assert (tmp_path / "victim").read_bytes() == b"safe"


def test_a_staged_file_of_another_size_is_not_taken(tmp_path: Path) -> None:
    index_file = tmp_path / "memory_index.json"
    entry = {"folder": "index", "name": index_file.name, "bytes": 3}
    (tmp_path / "memory_index.json.commit").write_text(json.dumps({"version": 1, "renames": [entry]}))
    (tmp_path / "memory_index.json.new").write_bytes(b"four")
    with pytest.raises(IndexFormatError, match="4 bytes"):
        recover(index_file)
    assert not index_file.exists()


def test_a_journal_on_a_bad_sector_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = build(tmp_path, make_texts(9))
    journal = tmp_path / "memory_index.json.commit"
    journal.write_text(json.dumps({"version": 1, "renames": []}))

    real = open_regular

    def bad_sector(path: Path, *, follow: bool) -> Any:
        if path == journal:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, follow=follow)

    monkeypatch.setattr("memvid.storage.journal.open_regular", bad_sector)
    with pytest.raises(OutputError, match=r"json\.commit: the journal of a commit .* `memvid repair`") as caught:
        open_memory(video)
    assert caught.value.errno == errno.EIO
    report = verify(video, deep=True)
    assert [(finding.code, finding.chunks) for finding in report.findings] == [("commit", ())]
    (tmp_path / "new").mkdir()
    assert repair(video, tmp_path / "new" / "memory.mp4", embedder=EMBEDDER).chunks == 9


@given(st.text() | st.text("a:.\\/\0\n", max_size=4))
def test_plain_names_stay_in_their_folder(name: str) -> None:
    for windows, path in ((False, PurePosixPath), (True, PureWindowsPath)):
        if is_plain_name(name, windows=windows):
            assert path("/folder", name).parent == path("/folder")
            assert path(name).name == name
            assert "\0" not in name


def test_what_parts_a_path_on_windows_is_a_letter_elsewhere() -> None:
    for name in ("C:x", "a\\b", "a\nb"):
        assert is_plain_name(name, windows=False)
        assert not is_plain_name(name, windows=True)


def test_write_atomic(tmp_path: Path) -> None:
    file = tmp_path / "x"
    for data in (b"one", b"two"):
        write_atomic(file, data)
        assert file.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


class TestRenamedFilesOfACommitThatWasCutOff:
    @pytest.fixture(params=["beside", "elsewhere"])
    def files(self, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """Of a memory, staged and in the journal, of which nothing was renamed."""
        video = tmp_path / ("a.mp4" if request.param == "beside" else "videos/a.mp4")
        video.parent.mkdir(exist_ok=True)
        files = [video, tmp_path / "a_index.usearch", tmp_path / "a_index.json"]
        write_all(files, b"old")

        def cut_off(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("memvid.storage.commit.roll_forward", cut_off)
            with pytest.raises(KeyboardInterrupt):
                write_all(files, b"later")
        return files

    @staticmethod
    def rename(files: list[Path], do: Any) -> list[Path]:
        for folder in {file.parent for file in files}:
            for file in [file for file in folder.iterdir() if file.name.startswith("a") and file.is_file()]:
                do(file, file.with_name("b" + file.name[1:]))
        return [file.with_name("b" + file.name[1:]) for file in files]

    @pytest.mark.parametrize("do", [os.rename, shutil.copy])
    def test_it_is_finished_under_the_new_names(self, files: list[Path], do: Any) -> None:
        moved = self.rename(files, do)
        assert recover(moved[-1], video_file=moved[0])
        assert state(moved) == {b"later"}
        if do is shutil.copy:
            assert state(files) == {b"old"}
            assert recover(files[-1], video_file=files[0])
            assert state(files) == {b"later"}
        assert not litter([*files, *moved]) or files[0].parent != files[-1].parent

    def test_not_with_another_video(self, files: list[Path]) -> None:
        moved = self.rename(files, os.rename)
        other = moved[0].with_name("other.mp4")
        other.write_bytes(b"something else")
        for video in (other, other.with_name("none.mp4"), None):
            with pytest.raises(IndexFormatError, match=r"'a\.mp4'"):
                recover(moved[-1], video_file=video)
            assert state(moved) == {b"old"}
        assert other.read_bytes() == b"something else"
        assert recover(moved[-1], video_file=moved[0])
