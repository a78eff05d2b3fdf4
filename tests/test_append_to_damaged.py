"""Appends to a memory with a damaged frame: they work, or say what to do, and lose nothing either way."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from memvid import MemvidAppender
from memvid.errors import FrameError
from memvid.index.manifest import read_manifest
from memvid.maintenance import verify
from memvid.page import ChunkIds, PageKind
from memvid.video import VideoReader
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory
from tests.video.video_support import make_video, png, samples

TEXTS = make_texts(30)
ADDED, LATER = make_texts(4, seed=5), make_texts(4, seed=6)
KNOWN = dict(enumerate([*TEXTS, *ADDED]))
del KNOWN[2]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    """A memory with an append that the next one is merged with: a commit, chunks, changed metadata, a deletion."""
    video = build(tmp_path_factory.mktemp("damaged"), TEXTS, symbol_version=12, chunks_per_frame=2, dictionary=0)
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(ADDED)
        appender.set_metadata(3, {"changed": True})
        appender.delete([2])
        appender.append()
    return video


@pytest.fixture
def video(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original.parent, tmp_path / "copy")) / original.name


def spoil(video: Path, frame: int) -> bytes:
    """Make a picture black; what it was."""
    reader, pictures = VideoReader(video), samples(video.read_bytes())
    before, pictures[frame] = pictures[frame], png(np.zeros((reader.height, reader.width), np.uint8))
    make_video(video, pictures, reader.width, reader.height, table=reader.table.to_bytes())
    return before


def mend(video: Path, frame: int, picture: bytes) -> None:
    reader, pictures = VideoReader(video), samples(video.read_bytes())
    pictures[frame] = picture
    make_video(video, pictures, reader.width, reader.height, table=reader.table.to_bytes())


def last_frame(video: Path, kind: PageKind) -> int:
    return int(VideoReader(video).table.frames_of_kind(kind)[-1])


def segments(video: Path) -> int:
    return len(read_manifest(video.with_name("memory_index.json")).segments)


def check(video: Path, lost: Sequence[int] = ()) -> None:
    known = {**KNOWN, **dict(enumerate(LATER, 34))}
    with open_memory(video) as memory:
        assert memory.chunk_ids() == sorted(known)
        left = [chunk for chunk in known if chunk not in lost]
        assert [chunk.text for chunk in memory.get_chunks_by_id(left)] == [known[chunk] for chunk in left]
        assert memory.search(LATER[1], 1) == [LATER[1]]
        assert memory.get_chunks_by_id([3])[0].metadata == {"changed": True}
        for chunk in lost:
            with pytest.raises(FrameError, match="memvid repair"):
                memory.get_chunk_by_id(chunk)


@pytest.mark.parametrize(
    ("kind", "lost", "merged"),
    [(PageKind.COMMIT, [], 1), (PageKind.TOMBSTONES, [], 1), (PageKind.DATA, [32, 33], 0)],
    ids=["commit", "deletions", "chunks"],
)
def test_an_append_behind_a_damaged_page_loses_nothing(
    video: Path, kind: PageKind, lost: list[int], merged: int
) -> None:
    frame = last_frame(video, kind)
    segments_before = segments(video)
    before = spoil(video, frame)
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(LATER)
        appender.append()
    assert segments(video) == segments_before + 1 - merged  # what cannot be read stays where it is, and may come back
    check(video, lost)
    assert verify(video, deep=True).lost_chunks == ChunkIds.of(lost).ranges
    mend(video, frame, before)
    check(video)
    assert verify(video, deep=True).findings == ()


def test_a_damaged_page_of_metadata_keeps_chunks_from_being_merged(video: Path) -> None:
    frame = last_frame(video, PageKind.METADATA)
    before = spoil(video, frame)
    files = all_files(video.parent)
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(LATER)
        with pytest.raises(FrameError, match=f"frame {frame}.*memvid repair"):
            appender.append()
        assert all_files(video.parent) == files
        mend(video, frame, before)
        appender.append()
    check(video)
