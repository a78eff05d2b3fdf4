"""A video that has lost frames: what opening, reindex and verify say of it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from memvid.cli import main
from memvid.errors import IndexMismatchError, VideoFormatError
from memvid.exchange import export
from memvid.maintenance import reindex, repair, verify
from memvid.video import VideoReader
from tests.maintenance.losses.loss_damages import write_packets
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import make_video, samples

TEXTS = make_texts(40)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """One that lost its tail, and its page table, to another program."""
    path = build(tmp_path, TEXTS, symbol_version=10, chunks_per_frame=2)
    reader = VideoReader(path)
    make_video(path, samples(path.read_bytes())[:-12], reader.width, reader.height)
    return path


MISSING = ((16, 39),)


def test_opening_names_the_loss_and_what_to_do(video: Path) -> None:
    with pytest.raises(IndexMismatchError, match=r"its video has lost frames: it had .*memvid repair"):
        open_memory(video)


def test_an_index_of_another_memory_is_told_from_that(video: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = build(tmp_path / "other", TEXTS[:5])
    with pytest.raises(IndexMismatchError, match="belongs to another video"):
        open_memory(video, other.with_name("memory_index.json"))


def test_an_index_of_what_was_left_says_so_once_all_is_there_again(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, symbol_version=10, chunks_per_frame=2)
    whole = video.read_bytes()
    reader = VideoReader(video)
    make_video(video, samples(whole)[:-12], reader.width, reader.height)
    assert not reindex(video, embedder=EMBEDDER).whole
    video.write_bytes(whole)
    with pytest.raises(IndexMismatchError, match=r"made while its video lacked 24 chunks: 16-39: .*memvid reindex"):
        open_memory(video)
    assert reindex(video, embedder=EMBEDDER).whole
    with open_memory(video) as memory:
        assert len(memory.chunk_ids()) == 40


@pytest.mark.parametrize("indexed", [True, False], ids=["with its index", "without"])
def test_verify_names_what_is_missing_also_after_reindex(video: Path, *, indexed: bool) -> None:
    if not indexed:
        for path in video.parent.glob("memory_index*"):
            path.unlink()
    assert verify(video, deep=True).lost_chunks == MISSING
    result = reindex(video, embedder=EMBEDDER)
    assert (result.chunks, result.missing, result.unnamed) == (16, MISSING, 0)
    report = verify(video, deep=True)
    assert not report.ok
    assert report.lost_chunks == MISSING
    with open_memory(video) as memory:  # what is left can be searched
        assert memory.search(TEXTS[3], 1) == [TEXTS[3]]


def test_the_commands_end_with_1(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(video), "--deep"]) == 1
    assert "24 chunks: 16-39" in capsys.readouterr().out
    assert main(["reindex", str(video), "--model", "hashing", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["missing"] == [[16, 39]]
    assert main(["reindex", str(video), "--model", "hashing"]) == 1
    assert "24 chunks: 16-39" in capsys.readouterr().out
    assert main(["verify", str(video), "--deep"]) == 1


def test_the_next_chunk_gets_the_id_of_none_that_is_missing(video: Path) -> None:
    from memvid import MemvidAppender

    reindex(video, embedder=EMBEDDER)
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(["a new text"])
        assert appender.append().first_chunk == 40
    assert verify(video, deep=True).lost_chunks == MISSING


def test_a_repaired_memory_keeps_what_it_has_lost_in_mind(video: Path, tmp_path: Path) -> None:
    result = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert result.lost == MISSING
    for path in tmp_path.glob("new_index*"):
        path.unlink()
    reindex(tmp_path / "new.mp4", embedder=EMBEDDER)
    assert verify(tmp_path / "new.mp4", deep=True).lost_chunks == MISSING


def test_verify_names_the_chunks_of_frames_that_were_dropped(tmp_path: Path) -> None:
    pytest.importorskip("av")
    native = build(tmp_path, TEXTS, symbol_version=10, chunks_per_frame=2)
    reader = VideoReader(native)
    frames = samples(native.read_bytes())
    dropped = int(reader.table.frames_of(np.array([10]))[0])
    video = tmp_path / "dropped.mp4"
    make_video(video, frames[:dropped] + frames[dropped + 1 :], reader.width, reader.height)
    assert verify(video, native.with_name("memory_index.json"), deep=True).lost_chunks == ((10, 11),)
    export(native, tmp_path / "whole.mp4", codec="h264")
    order = [number for number in range(len(frames)) if number != dropped]
    shared = tmp_path / "shared.mp4"
    write_packets(tmp_path / "whole.mp4", shared, order, random.Random(1))
    report = verify(shared, native.with_name("memory_index.json"), deep=True)
    assert not report.ok
    assert report.lost_chunks == ((10, 11),)


def test_bare_texts_without_any_page_come_back(tmp_path: Path) -> None:
    pytest.importorskip("av")
    whole = build(tmp_path, TEXTS, symbol_version=20, compression="none", chunks_per_frame=1)
    frames = VideoReader(whole).frame_count
    export(whole, tmp_path / "shared.mp4", codec="h264")
    cut = tmp_path / "cut.mp4"
    write_packets(tmp_path / "shared.mp4", cut, [*range(frames - 30, frames)], random.Random(1))
    with pytest.raises(VideoFormatError, match="memvid repair"):
        VideoReader(cut)
    result = repair(cut, tmp_path / "known.mp4", index=whole.with_name("memory_index.json"), embedder=EMBEDDER)
    assert (result.lost, result.embeddings_kept) == (((0, 9),), 30)
    with open_memory(tmp_path / "known.mp4") as memory:
        assert [chunk.text for chunk in memory.get_chunks_by_id(range(10, 40))] == TEXTS[10:]
    result = repair(cut, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert "nothing says which chunks 30 texts are" in result.findings[0].message
    with open_memory(tmp_path / "new.mp4") as memory:
        assert [chunk.text for chunk in memory.get_chunks_by_id(range(30))] == TEXTS[10:]
