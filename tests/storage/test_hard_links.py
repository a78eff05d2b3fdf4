"""Snapshots by ``cp -al``: other names of a memory's files keep every byte, whatever is done to the memory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidEncoder
from memvid.building.checkpoint import Checkpoint
from memvid.cli import main
from memvid.errors import OutputError
from memvid.maintenance import compact, delete, erase, reindex, verify
from memvid.storage.files import open_regular
from memvid.storage.hard_links import copy_file, has_other_names, unshare
from memvid.types import AppendResult, ModelInfo
from tests.memory_support import EMBEDDER, all_files, build, open_memory


def append(video: Path) -> AppendResult:
    with MemvidEncoder.open(video) as memory:
        memory.add_chunks(["one more"])
        return memory.append()


def take_snapshot(folder: Path) -> dict[str, bytes]:
    """``cp -al folder snapshot``; what is in it."""
    snapshot = folder.parent / "snapshot"
    snapshot.mkdir()
    for path in folder.iterdir():
        if not path.name.endswith(".lock"):
            (snapshot / path.name).hardlink_to(path)
    return all_files(snapshot)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    (tmp_path / "memory").mkdir()
    return build(tmp_path / "memory", ["one", "two", "three", "four"])


class TestFiles:
    def test_a_name_gets_a_file_of_its_own(self, tmp_path: Path) -> None:
        path, other = tmp_path / "x", tmp_path / "other"
        path.write_bytes(os.urandom(3_000_000))
        path.chmod(0o640)
        assert not has_other_names(path)
        assert not unshare(path)
        other.hardlink_to(path)
        assert unshare(path)
        assert not has_other_names(path)
        assert path.read_bytes() == other.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert sorted(file.name for file in tmp_path.iterdir()) == ["other", "x"]

    def test_what_is_not_there_or_a_link_has_no_other_names(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        (tmp_path / "y").hardlink_to(tmp_path / "x")
        (tmp_path / "link").symlink_to("x")
        assert [unshare(tmp_path / name) for name in ("none", "link", "x/y")] == [False] * 3

    def test_blocks_are_shared_where_the_file_system_can(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def clone(target: int, request: int, source: int) -> None:
            assert request == 0x40049409  # FICLONE
            os.write(target, b"shared " + os.read(source, 10))

        monkeypatch.setattr("fcntl.ioctl", clone)
        (tmp_path / "x").write_bytes(b"blocks")
        (tmp_path / "y").touch()
        with open_regular(tmp_path / "x") as source:
            copy_file(source, tmp_path / "y")
        assert (tmp_path / "y").read_bytes() == b"shared blocks"

    def test_a_copy_that_fails_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "x").write_bytes(b"x")
        (tmp_path / "y").hardlink_to(tmp_path / "x")

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="space"):
            unshare(tmp_path / "x")
        assert all_files(tmp_path) == {"x": b"x", "y": b"x"}


class TestMemories:
    @pytest.mark.parametrize(
        ("change", "copied"),
        [
            (append, True),
            (lambda video: delete(video, chunk_ids=[1]), True),
            (compact, None),
            (lambda video: erase(video, chunk_ids=[1]), None),
            (lambda video: reindex(video, embedder=EMBEDDER), None),
            (lambda video: build(video.parent, ["another"]), None),
        ],
    )
    def test_no_change_reaches_a_snapshot(
        self, video: Path, change: Callable[[Path], Any], copied: bool | None
    ) -> None:
        append(video)
        before = take_snapshot(video.parent)
        result = change(video)
        assert getattr(result, "copied", None) == copied
        snapshot = video.parent.parent / "snapshot"
        assert all_files(snapshot) == before
        assert verify(video, deep=True).ok
        with open_memory(snapshot / video.name) as memory:
            assert [chunk.text for chunk in memory.get_chunks_by_id(range(5))] == [
                "one", "two", "three", "four", "one more",
            ]  # fmt: skip

    def test_a_copy_grows_to_the_same_bytes_as_the_file_would(self, video: Path, tmp_path: Path) -> None:
        alone = build(tmp_path, ["one", "two", "three", "four"])
        assert not append(alone).copied
        take_snapshot(video.parent)
        assert append(video).copied
        assert all_files(video.parent) == all_files(tmp_path)
        assert not append(video).copied  # it has no other name any more

    def test_a_snapshot_that_is_taken_meanwhile_stays_what_it_was(
        self, video: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken: list[dict[str, bytes]] = []

        def meanwhile(path: Path) -> bool:
            taken.append(take_snapshot(path.parent))  # the last moment before the new frames count
            return unshare(path)

        with monkeypatch.context() as patch:
            patch.setattr("memvid.storage.journal.unshare", meanwhile)
            assert append(video).copied
        snapshot = video.parent.parent / "snapshot"
        assert all_files(snapshot) == taken[0]
        (snapshot / "memory_index.json.commit").unlink()  # it was not a moment of rest
        for path in snapshot.glob("*.new"):
            path.unlink()
        with open_memory(snapshot / video.name) as memory:
            assert len(memory) == 4
        with open_memory(video) as memory:
            assert len(memory) == 5

    def test_a_failed_append_leaves_the_file_with_all_its_names(self, video: Path) -> None:
        before = take_snapshot(video.parent)
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(["one more"])

            def fail(_: object) -> None:
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                memory.append(progress=fail)
        assert all_files(video.parent) == before
        assert has_other_names(video)

    def test_no_room_for_the_copy_changes_nothing(self, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = take_snapshot(video.parent)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("memvid.storage.commit.copy_file", full)
        with pytest.raises(OutputError, match="free some space"):
            append(video)
        assert all_files(video.parent) == before

    def test_the_command_line_says_so(self, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        more = tmp_path / "more.txt"
        more.write_text("one more")
        commands = (["append", str(video), str(more)], ["delete", str(video), "--id", "1"])
        for number, command in enumerate(commands):
            for linked in (True, False):
                if linked:
                    (tmp_path / str(number)).hardlink_to(video)
                assert main([*command, "--json"]) == 0
                assert f'"copied": {str(linked).lower()}' in capsys.readouterr().out
                command[-1:] = ["2"] if number else command[-1:]
        (tmp_path / "again").hardlink_to(video)
        assert main(commands[0]) == 0
        assert "copied  the video first: its other names (hard links) keep the old one" in capsys.readouterr().out


def test_a_checkpoint_is_copied_before_it_goes_on(tmp_path: Path) -> None:
    model = ModelInfo("m", 4, None)
    path, snapshot = tmp_path / "c", tmp_path / "snapshot"
    with Checkpoint(path, model) as checkpoint:
        checkpoint.append([b"one"], np.ones((1, 4), np.float32))
    path.chmod(0o644)  # as earlier releases left it
    snapshot.hardlink_to(path)
    before = snapshot.read_bytes()
    with Checkpoint(path, model) as checkpoint:
        assert checkpoint.find([b"one"])[1].all()
        checkpoint.append([b"two"], np.ones((1, 4), np.float32))
    assert snapshot.read_bytes() == before
    assert len(path.read_bytes()) > len(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
