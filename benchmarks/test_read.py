"""From frames to verified chunks: memvid's reader against OpenCV and the zxing-cpp wheel, on the same file.

Both read the same frames, scattered over the video, and both end with the texts of the chunks in them, compared with
what was stored. The baseline is what one would write in Python: ``CAP_PROP_POS_FRAMES``, ``read``, ``read_barcodes``
with the fastest options it has for a perfect code, then the page in Python. Traps: the page cache
of memvid is off, the operating system's is warm; OpenCV keeps its file open; one thread means one everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.naive import NaiveReader
from benchmarks.support import Memory, compare
from memvid.video import PageStore, VideoReader

FRAMES = 60


def pick_frames(video: VideoReader) -> list[int]:
    data = np.flatnonzero(video.table.counts)
    return sorted(np.random.default_rng(1).choice(data, min(FRAMES, len(data)), replace=False).tolist())


def expected_texts(memory: Memory, video: VideoReader, frames: list[int]) -> list[str]:
    table = video.table
    return [
        text
        for frame in frames
        for text in memory.corpus.chunks[table.first_chunks[frame] : table.first_chunks[frame] + table.counts[frame]]
    ]


def chunks_in(video: VideoReader, frames: list[int]) -> NDArray[np.int64]:
    table = video.table
    return np.concatenate(
        [np.arange(table.first_chunks[frame], table.first_chunks[frame] + table.counts[frame]) for frame in frames]
    )


def read_texts(store: PageStore, ids: NDArray[np.int64]) -> list[str]:
    return [chunk.text for chunk in store.read(ids)]


@pytest.mark.parametrize(("threads", "least"), [(1, 4.0), (2, 7.0)])
def test_frames_to_chunks_against_opencv(
    memory: Memory, benchmark: BenchmarkFixture, threads: int, least: float
) -> None:
    video = VideoReader(memory.video, threads=threads)
    store = PageStore(video, cache_bytes=0)
    frames = pick_frames(video)
    naive = NaiveReader(video)
    ids = chunks_in(video, frames)
    expected = expected_texts(memory, video, frames)
    cv2.setNumThreads(threads)
    assert read_texts(store, ids) == expected
    assert naive.texts(frames) == expected

    comparison = compare(lambda: read_texts(store, ids), lambda: naive.texts(frames))
    benchmark.extra_info.update(comparison.info(len(frames)), unit="frame", threads=threads)
    assert benchmark(read_texts, store, ids) == expected
    assert video.counters()["fast"] == video.counters()["frames"]
    assert comparison.ratio >= least


@pytest.mark.parametrize("frame_count", [1, 5, 60])
def test_batch_of_frames(memory: Memory, benchmark: BenchmarkFixture, frame_count: int) -> None:
    video = VideoReader(memory.video)
    store = PageStore(video, cache_bytes=0)
    frames = pick_frames(video)[:frame_count]
    assert benchmark(read_texts, store, chunks_in(video, frames)) == expected_texts(memory, video, frames)
    benchmark.extra_info.update(frames=frame_count)


@pytest.mark.parametrize("corrected", [False, True], ids=["own bits", "zxing-cpp"])
def test_native_payloads(memory: Memory, benchmark: BenchmarkFixture, corrected: bool) -> None:
    video = VideoReader(memory.video, threads=1)
    frames = pick_frames(video)
    payloads = benchmark(video.read, frames, corrected=corrected)
    assert payloads == video.read(frames)
    benchmark.extra_info.update(frames=len(frames), symbol_bytes=len(payloads[0]))
