"""What erasing does about files beside the memory that hold digests, vectors or the text itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from memvid.building.checkpoint import Checkpoint, checkpoint_file, remove_checkpoints
from memvid.cli import main
from memvid.errors import ChunkNotFoundError
from memvid.maintenance import delete, erase, reindex
from memvid.types import ModelInfo
from tests.memory_support import EMBEDDER, build

MODEL = ModelInfo("m", 4, None)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return build(tmp_path, ["one", "two", "three"])


def leave_checkpoint(path: Path) -> None:
    """What an interrupted build leaves."""
    with Checkpoint(path, MODEL) as checkpoint:
        checkpoint.append([b"one"], np.ones((1, 4), np.float32))


def test_checkpoints_of_the_memory_are_removed(video: Path) -> None:
    index = video.with_name("memory_index.json")
    places = (checkpoint_file(video), checkpoint_file(index))
    for path in places:
        leave_checkpoint(path)
    (video.parent / "memory.mp4.checkpoint.new").write_bytes(places[0].read_bytes())  # a copy that was cut off
    others = checkpoint_file(video.with_name("other.mp4"))
    leave_checkpoint(others)
    result = erase(video, chunk_ids=[0])
    assert (result.checkpoints_removed, result.checkpoints_left) == (places, ())
    assert sorted(path.name for path in video.parent.glob("*checkpoint*")) == [others.name]
    again = erase(video, chunk_ids=[1])
    assert (again.checkpoints_removed, again.checkpoints_left, again.linked_files) == ((), (), ())


def test_an_index_that_was_left_beside_one_file_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As one that somebody has copied back there."""
    texts = ["one zanzibar", "two", "three"]
    video = build(tmp_path, texts, metadatas=[{"of": "kwyjibo"}, {}, {}])
    build(tmp_path, ["another"], name="other")
    beside = {path: path.read_bytes() for path in tmp_path.glob("memory_index*")}
    reindex(video, video, embedder=EMBEDDER)
    delete(video, chunk_ids=[2])
    for path, data in beside.items():
        path.write_bytes(data)
    names = {path.name for path in tmp_path.iterdir()}
    assert "memory_index.records" in names
    assert main(["erase", str(video), "--id", "0"]) == 0
    assert "memory_index.json, left beside, is removed" in capsys.readouterr().out
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(left) == {name for name in names if not name.startswith("memory_index")}
    assert not [name for name, data in left.items() if b"zanzibar" in data or b"kwyjibo" in data]
    for name in (
        "other_index.json",
        "other_index.records",
        "other_index.usearch",
    ):  # another memory's index, in its place
        (tmp_path / name).rename(tmp_path / name.replace("other", "memory"))
    assert erase(video, chunk_ids=[1]).index_removed is None
    assert (tmp_path / "memory_index.json").exists()


@pytest.mark.parametrize("kind", ["another file", "a link", "a pipe", "a folder", "in use"])
def test_what_is_no_checkpoint_or_in_use_is_said_to_be_there(video: Path, kind: str) -> None:
    path = checkpoint_file(video)
    elsewhere = video.parent / "elsewhere"
    leave_checkpoint(elsewhere)
    used = None
    if kind == "another file":
        path.write_text("somebody's notes")
    elif kind == "a link":
        path.symlink_to(elsewhere)
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        used = Checkpoint(path, MODEL)
    result = erase(video, chunk_ids=[0])
    assert (result.checkpoints_removed, result.checkpoints_left) == ((), (path,))
    assert os.path.lexists(path)
    assert elsewhere.exists()
    if used is not None:
        used.remove()


def test_an_erasure_that_fails_keeps_the_checkpoint(video: Path) -> None:
    leave_checkpoint(checkpoint_file(video))
    with pytest.raises(ChunkNotFoundError):
        erase(video, chunk_ids=[0, 7])
    assert checkpoint_file(video).exists()
    assert remove_checkpoints(video, video)[0] == (checkpoint_file(video),)


def test_other_names_of_the_old_files_are_named(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    linked = [video, video.with_name("memory_index.json"), video.with_name("memory_index.records")]
    for path in linked:
        (video.parent / f"{path.name}.snapshot").hardlink_to(path)
    leave_checkpoint(checkpoint_file(video))
    checkpoint_file(video.with_name("memory_index.json")).write_text("x")
    assert main(["erase", str(video), "--id", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["linked_files"] == [str(path) for path in linked]
    for path in linked[:1]:
        (video.parent / f"{path.name}.again").hardlink_to(path)
    leave_checkpoint(checkpoint_file(video))
    assert main(["erase", str(video), "--id", "1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "checkpoint memory.mp4.checkpoint is removed" in out
    assert "memory_index.json.checkpoint, which may hold more of them" in out
    assert "still there the old memory.mp4 by its other names" in out
