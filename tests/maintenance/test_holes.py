"""A video with a hole in the middle: an index is made of what is left, and whoever opens it knows what is not."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidAppender
from memvid.cli import main
from memvid.embedding import CallableEmbedder
from memvid.errors import ChunkNotFoundError, FrameError, IndexMismatchError, UnsupportedVideoError, VideoFormatError
from memvid.exchange import export
from memvid.maintenance import compact, delete, reindex, repair, tag, verify
from memvid.page import ChunkIds, PageKind
from memvid.video import VideoReader
from tests.maintenance.losses.loss_damages import write_packets
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory
from tests.video.video_support import make_video, png, samples, without_page_table

TEXTS = make_texts(40)
METADATAS = [{"n": n} for n in range(40)]
PACKED: dict[str, Any] = {"symbol_version": 12, "chunks_per_frame": 2, "dictionary": 0}
PLAIN: dict[str, Any] = {"symbol_version": 12, "compression": "none", "chunks_per_frame": 1}


def frames_of(video: Path, chunks: Sequence[int]) -> list[int]:
    """The frames that hold these chunks."""
    return sorted(set(VideoReader(video).table.frames_of(np.array(chunks, np.int64)).tolist()))


def rewrite(video: Path, frames: Sequence[bytes], *, table: bool) -> None:
    """Put other frames into a video, as another program would, with its page table or without."""
    reader = VideoReader(video)
    make_video(video, frames, reader.width, reader.height, table=reader.table.to_bytes() if table else None)


def cut_out(video: Path, lost: Sequence[int], *, table: bool = False) -> None:
    """Take frames out of a video."""
    frames = samples(video.read_bytes())
    rewrite(video, [frame for at, frame in enumerate(frames) if at not in lost], table=table)


def blacken(video: Path, lost: Sequence[int], *, table: bool = True) -> None:
    """Spoil frames of a video in their places."""
    reader, frames = VideoReader(video), samples(video.read_bytes())
    for frame in lost:
        frames[frame] = png(np.zeros((reader.height, reader.width), np.uint8))
    rewrite(video, frames, table=table)


def check(video: Path, missing: Sequence[int], *, index: Path | None = None) -> None:
    """What is left is there, under its own ids; what is not, nobody answers with, and `verify` names."""
    left = [chunk for chunk in range(40) if chunk not in missing]
    with open_memory(video, index) as memory:
        assert memory.chunk_ids() == left
        assert [chunk.text for chunk in memory.get_chunks_by_id(left)] == [TEXTS[chunk] for chunk in left]
        assert [(chunk.chunk_id, chunk.text) for chunk in memory.scan()] == [(chunk, TEXTS[chunk]) for chunk in left]
        assert [chunk.metadata for chunk in memory.scan()] == [METADATAS[chunk] for chunk in left]
        for chunk in left:
            assert memory.search(TEXTS[chunk], 1) == [TEXTS[chunk]]
        for chunk in missing:
            with pytest.raises(ChunkNotFoundError, match=f"chunk {chunk}"):
                memory.get_chunk_by_id(chunk)
        around = [chunk.chunk_id for chunk in memory.neighbours(left[5], 3, 3)]
        assert around == left[2:9]
        assert memory.info.missing == ChunkIds.of(missing).ranges
    for deep in (False, True):
        report = verify(video, index, deep=deep)
        assert not report.ok
        assert report.lost_chunks == ChunkIds.of(missing).ranges


LOSSES: dict[str, Callable[[Path, Sequence[int]], None]] = {
    "cut out": cut_out,
    "cut out, with the page table": lambda video, lost: cut_out(video, lost, table=True),
    "black": lambda video, lost: blacken(video, lost, table=False),
    "black, with the page table": blacken,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["packed", "bare"])
def test_an_index_is_made_of_what_is_left(tmp_path: Path, kind: str, loss: str) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **(PACKED if kind == "packed" else PLAIN))
    missing = [10, 11, 20, 21]
    LOSSES[loss](video, frames_of(video, missing))
    if kind == "bare" and loss == "cut out":  # nothing says which texts are left
        missing = [*range(40)]
        with pytest.raises(IndexMismatchError, match=r"missing are 40 chunks: 0-39.*memvid repair.*memvid reindex"):
            open_memory(video)
        return
    if loss != "black, with the page table":  # where nobody knows before a frame is read
        with pytest.raises(IndexMismatchError, match=r"missing are 4 chunks: 10-11, 20-21.*memvid reindex"):
            open_memory(video)
    result = reindex(video, embedder=EMBEDDER)
    assert (result.chunks, result.missing, result.unnamed, result.whole) == (36, ((10, 11), (20, 21)), 0, False)
    assert (result.embeddings_kept, result.embeddings_made) == (36, 0)
    check(video, missing)


@pytest.mark.parametrize("indexed", [True, False], ids=["with its index", "without"])
def test_frames_that_were_moved_and_repeated_are_found(tmp_path: Path, *, indexed: bool) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    lost = frames_of(video, [10])[0]
    frames = samples(video.read_bytes())
    frames[lost], frames[lost + 1] = frames[lost + 1], frames[lost + 2]  # one is repeated, one is gone
    frames[-1], frames[-2] = frames[-2], frames[-1]
    for table in (True, False):
        rewrite(video, frames, table=table)
        if not indexed:
            for path in tmp_path.glob("memory_index*"):
                path.unlink()
        assert reindex(video, embedder=EMBEDDER).missing == ((10, 11),)
        check(video, [10, 11])


def test_other_codecs(tmp_path: Path) -> None:
    pytest.importorskip("av")
    native = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    lost = frames_of(native, [10, 30])
    export(native, tmp_path / "whole.mp4", codec="h264")
    kept = [frame for frame in range(VideoReader(native).frame_count) if frame not in lost]
    video = tmp_path / "cut.mkv"
    write_packets(tmp_path / "whole.mp4", video, kept, random.Random(1))
    index = tmp_path / "cut_index.json"
    for path in tmp_path.glob("memory_index.*"):
        shutil.copy(path, path.with_name(path.name.replace("memory", "cut")))
    with pytest.raises(IndexMismatchError, match="10-11, 30-31"):
        open_memory(video, index)
    assert reindex(video, index, embedder=EMBEDDER).missing == ((10, 11), (30, 31))
    check(video, [10, 11, 30, 31], index=index)


def test_without_its_first_frames(tmp_path: Path) -> None:
    """The header page is lost, and with it what model made the embeddings: the old index knows."""
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    cut_out(video, range(frames_of(video, [0])[0] + 1))
    result = reindex(video)
    assert (result.missing, result.model.name, result.embeddings_kept) == (((0, 1),), EMBEDDER.name, 38)
    with open_memory(video) as memory:
        assert memory.search(TEXTS[30], 1) == [TEXTS[30]]
        with pytest.raises(FrameError, match=r"header page .* is lost.*memvid repair"):
            _ = memory.info
    assert verify(video, deep=True).lost_chunks == ((0, 1),)


def test_no_model_is_needed_for_vectors_that_are_kept(tmp_path: Path) -> None:
    def encode(texts: list[str]) -> Any:
        return np.array([[len(text), 1, 2] for text in texts], np.float32)

    from memvid import MemvidEncoder

    embedder = CallableEmbedder(encode, name="house model", dim=3)
    with MemvidEncoder(embedder=embedder, **PACKED) as encoder:
        encoder.add_chunks(TEXTS)
        encoder.build_video(tmp_path / "memory.mp4", tmp_path / "memory_index.json")
    cut_out(tmp_path / "memory.mp4", frames_of(tmp_path / "memory.mp4", [10]))
    result = reindex(tmp_path / "memory.mp4")
    assert (result.model.name, result.embeddings_kept, result.embeddings_made) == ("house model", 38, 0)


def test_vectors_of_other_texts_are_not_kept(tmp_path: Path) -> None:
    """Two copies of a memory that grew apart: an index of one says nothing of the other."""
    video = build(tmp_path, TEXTS[:30], **PACKED)
    shutil.copytree(tmp_path, tmp_path / "copy")
    for folder, texts in ((tmp_path, TEXTS[30:]), (tmp_path / "copy", make_texts(10, words=9, seed=5))):
        with MemvidAppender(folder / "memory.mp4", embedder=EMBEDDER) as appender:
            appender.add_chunks(texts)
            appender.append()
    cut_out(video, frames_of(video, [10]))
    for path in (tmp_path / "copy").glob("memory_index.*"):
        shutil.copy(path, tmp_path)
    result = reindex(video, embedder=EMBEDDER)
    assert (result.chunks, result.embeddings_kept, result.embeddings_made) == (38, 0, 38)


@pytest.mark.parametrize("indexed", [True, False], ids=["with its index", "without"])
def test_lost_deletions_are_told(tmp_path: Path, *, indexed: bool) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    delete(video, chunk_ids=[3, 4, 30])
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(["one more"])
        appender.append()
    (lost,) = VideoReader(video).table.frames_of_kind(PageKind.TOMBSTONES).tolist()
    cut_out(video, [lost])
    if not indexed:
        for path in tmp_path.glob("memory_index*"):
            path.unlink()
    result = reindex(video, embedder=EMBEDDER)
    assert (result.missing, result.undeleted, result.whole) == ((), 0 if indexed else 3, False)
    with open_memory(video) as memory:
        assert len(memory) == (38 if indexed else 41)
        assert [chunk.text for chunk in memory.get_chunks_by_id([0, 40])] == [TEXTS[0], "one more"]
        with pytest.raises(FrameError, match="which chunks were deleted is lost: 3 more"):
            list(memory.scan(2))
    assert not verify(video, deep=True).ok


def test_lost_changes_of_metadata_are_told(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    tag(video, values={"n": "first"}, chunk_ids=[3, 4])
    tag(video, values={"n": "second"}, chunk_ids=[4])
    first, _ = VideoReader(video).table.frames_of_kind(PageKind.METADATA).tolist()
    cut_out(video, [first])
    result = reindex(video, embedder=EMBEDDER)
    assert (result.chunks, result.missing, result.whole) == (40, (), False)
    assert 3 in ChunkIds.of_ranges(result.lost_metadata).numbers()
    with open_memory(video) as memory:
        (chunk,) = memory.get_chunks_by_id([3])
        assert (chunk.text, chunk.metadata) == (TEXTS[3], {})
        assert "page of changed metadata is lost" in str(chunk.metadata_fault)


def test_a_lost_page_of_metadata_of_bare_texts_is_told(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PLAIN)
    lost = VideoReader(video).table.frames_of_kind(PageKind.ATTRIBUTES).tolist()
    blacken(video, lost[:1], table=False)
    result = reindex(video, embedder=EMBEDDER)
    assert (result.chunks, result.missing, result.whole) == (40, (), False)
    with open_memory(video) as memory:
        chunks = memory.get_chunks_by_id(range(40))
        assert [chunk.text for chunk in chunks] == TEXTS
        faults = [chunk.chunk_id for chunk in chunks if chunk.metadata_fault]
        assert ChunkIds.of(faults).ranges == result.lost_metadata
        assert all(chunk.metadata == ({} if chunk.metadata_fault else METADATAS[chunk.chunk_id]) for chunk in chunks)


def test_texts_that_were_swapped_are_left_out_where_an_index_knows_them(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PLAIN)
    one, other = frames_of(video, [10, 20])
    frames = samples(video.read_bytes())
    frames[one], frames[other] = frames[other], frames[one]
    rewrite(video, frames, table=False)
    assert repair(video, tmp_path / "new.mp4", embedder=EMBEDDER).lost == ()
    assert reindex(video, embedder=EMBEDDER).missing == ((10, 10), (20, 20))
    check(video, [10, 20])


def test_ids_of_repaired_texts_are_known_without_a_page_table(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, **PLAIN)
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(more := make_texts(5, seed=3))
        appender.append()
    blacken(video, frames_of(video, [10, 42]))
    mended = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert mended.lost == ((10, 10), (42, 42))
    assert verify(mended.video_file, deep=True).lost_chunks == mended.lost
    table = VideoReader(mended.video_file).table
    mended.video_file.write_bytes(without_page_table(mended.video_file.read_bytes()))
    assert VideoReader(mended.video_file).table.to_bytes() == table.to_bytes()
    with open_memory(mended.video_file) as memory:
        left = [chunk for chunk in range(45) if chunk not in (10, 42)]
        found = {chunk.chunk_id: chunk.text for chunk in memory.scan()}
        assert found == {chunk: [*TEXTS, *more][chunk] for chunk in left}


def test_a_damaged_page_table_is_for_repair(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    table = VideoReader(video).table
    data = video.read_bytes()
    checksums = table.checksums.astype("<u4").tobytes()
    assert data.count(checksums) == 1
    video.write_bytes(data.replace(checksums, checksums[:-8] + b"damaged!"))
    before = all_files(tmp_path)
    with pytest.raises(VideoFormatError, match=r"2 sound pages are not what its page table says.*memvid repair"):
        reindex(video, embedder=EMBEDDER)
    assert all_files(tmp_path) == before
    assert repair(video, tmp_path / "new.mp4", embedder=EMBEDDER).lost == ()


def test_what_is_lost_keeps_a_memory_from_growing_until_it_is_repaired(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    cut_out(video, frames_of(video, [10]))
    reindex(video, embedder=EMBEDDER)
    with pytest.raises(UnsupportedVideoError, match="memvid repair"):
        MemvidAppender(video, embedder=EMBEDDER)


@pytest.mark.parametrize("kind", ["packed", "bare"])
def test_it_grows_where_frames_cannot_be_read_and_is_named_still(tmp_path: Path, kind: str) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **(PACKED if kind == "packed" else PLAIN))
    blacken(video, frames_of(video, [10, 11]))
    reindex(video, embedder=EMBEDDER)
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(["one more"])
        appender.delete([20])
        assert appender.append().first_chunk == 40
    with open_memory(video) as memory:
        assert memory.search("one more", 1) == ["one more"]
        assert len(memory) == 38
    assert verify(video).lost_chunks == verify(video, deep=True).lost_chunks == ((10, 11),)


def test_what_can_be_read_again_is_to_be_indexed_again(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    whole = video.read_bytes()
    blacken(video, frames_of(video, [10]))
    reindex(video, embedder=EMBEDDER)
    video.write_bytes(whole)
    report = verify(video, deep=True)
    assert any("it lacks 2 chunks: 10-11" in error.message for error in report.errors)
    assert reindex(video, embedder=EMBEDDER).whole
    assert verify(video, deep=True).ok


def test_the_command_ends_with_1_and_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    cut_out(video, frames_of(video, [10]))
    assert main(["search", str(video), TEXTS[0], "--model", "hashing"]) == 1
    assert "missing are 2 chunks: 10-11" in capsys.readouterr().err
    assert main(["reindex", str(video), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["missing"], told["embeddings_kept"], told["lost_frames"]) == ([[10, 11]], 38, 1)
    assert main(["reindex", str(video)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "missing 2 chunks: 10-11: the video has lost them" in out
    assert "0 made by hashing-64, 38 kept" in out
    assert main(["info", str(video)]) == 0
    assert "missing 2 chunks: 10-11" in " ".join(capsys.readouterr().out.split())
    assert main(["verify", str(video)]) == 1
    assert "lost are 1 of" in " ".join(capsys.readouterr().out.split())


def _grow(video: Path, *texts: str) -> list[int]:
    """Append chunks; the frames that they take."""
    before = VideoReader(video).frame_count
    with MemvidAppender(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(texts)
        memory.append()
    return [*range(before, VideoReader(video).frame_count)]


@pytest.mark.parametrize("kind", ["packed", "bare"])
def test_ids_that_only_the_index_knows_are_not_given_again(tmp_path: Path, kind: str) -> None:
    """The last frames of a video are gone, and nothing in it says that there were any."""
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **(PACKED if kind == "packed" else PLAIN))
    cut_out(video, _grow(video, "late", "later"))
    assert reindex(video, embedder=EMBEDDER).missing == ((40, 41),)
    _grow(video, "last")
    with open_memory(video) as memory:
        assert memory.chunk_ids() == [*range(40), 42]
        assert memory.get_chunk_by_id(42) == "last"
        assert memory.info.missing == ((40, 41),)
    for deep in (False, True):
        assert verify(video, deep=deep).lost_chunks == ((40, 41),)
    for path in tmp_path.glob("memory_index*"):  # from now on the commits say so
        path.unlink()
    assert reindex(video, embedder=EMBEDDER).missing == ((40, 41),)
    compact(video)
    assert verify(video, deep=True).findings == ()
    _grow(video, "after all")
    with open_memory(video) as memory:
        assert memory.chunk_ids() == [*range(40), 42, 43]


@pytest.mark.parametrize("compacted", [False, True])
def test_chunks_of_a_commit_whose_own_page_is_lost_are_named(tmp_path: Path, *, compacted: bool) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    if compacted:
        delete(video, chunk_ids=[3, 38, 39])
        compact(video)
    lost = _grow(video, "late", "later")
    _grow(video, "last")
    cut_out(video, lost)
    for path in tmp_path.glob("memory_index*"):
        path.unlink()
    repaired = repair(video, tmp_path / "repaired.mp4", embedder=EMBEDDER)
    result = reindex(video, embedder=EMBEDDER)
    assert repaired.lost == result.missing == ((40, 41),)
    assert result.unnamed == 0
    for path in (video, repaired.video_file):
        report = verify(path, deep=True)
        assert (report.ok, report.lost_chunks) == (False, ((40, 41),))


def test_the_log_says_what_was_built_whatever_is_lost_of_it(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, **PACKED)
    delete(video, chunk_ids=[1, 2])
    cut_out(video, frames_of(video, [20, 21, 22, 23]))
    assert not reindex(video, embedder=EMBEDDER).whole
    repair(video, tmp_path / "new.mp4")
    for damaged in (video, tmp_path / "new.mp4"):
        with open_memory(damaged) as memory:
            assert len(memory) == 34
            assert [(info.added, info.deleted, info.chunks) for info in memory.log()] == [(40, 0, 40), (0, 2, 38)]
