"""Where memvid's milliseconds go: each part of a query alone, one thread, everything in the page cache.

Parts measured alone find their own data and code in the processor's caches, so they add up to less than a query.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.million.data import Data, question_strings
from benchmarks.million.engines import MemvidEngine
from memvid import MiniLMEmbedder
from memvid.index import IndexManager
from memvid.index.location import find_index
from memvid.index.side_files import open_side_file
from memvid.index.vectors import quantise
from memvid.video import PageStore, VideoReader

__all__ = ["measure_parts"]

_ROUNDS = 300
_WARMUP = 30
_CANDIDATES = 21  # what a search for five asks of the graph


def measure_parts(data: Data, effort: int) -> dict[str, dict[str, float]]:
    """Microseconds of each part: median and 95th percentile; and how many vectors a search compares."""
    folder = data.folder / "memvid"
    result: dict[str, dict[str, float]] = {}

    def take(name: str, part: Callable[[int], object]) -> None:
        times = []
        for i in range(_WARMUP + _ROUNDS):
            begin = time.perf_counter()
            part(i)
            times.append(time.perf_counter() - begin)
        times = sorted(times[_WARMUP:])
        result[name] = {"median": times[_ROUNDS // 2] * 1e6, "p95": times[_ROUNDS * 95 // 100] * 1e6}

    _embedding(data, take)
    hits, compared = _searching(data, effort, take)
    _reading(data, hits, take)
    engine = MemvidEngine()
    engine.open(folder, effort)
    queries = data.queries
    take("all but embedding", lambda i: engine.search(queries[i], 5))
    engine.close()
    return {**result, "vectors compared": {"mean": compared}}


Take = Callable[[str, Callable[[int], object]], None]


def _embedding(data: Data, take: Take) -> None:
    model = MiniLMEmbedder(threads=1)
    questions = question_strings(data.work, _WARMUP + _ROUNDS)
    take("embed", lambda i: model.encode_queries([questions[i]]))


def _searching(data: Data, effort: int, take: Take) -> tuple[list[list[int]], float]:
    """The ids of the five best chunks of each query, and how many vectors usearch compares to find them."""
    from usearch.index import Index

    folder = data.folder / "memvid"
    queries = [row[None] for row in data.queries]
    index_file = find_index(folder / "memory.mp4")
    with IndexManager.open(index_file) as index:
        info, (segment,) = index.manifest.vectors, index.manifest.segments
        take("search", lambda i: index.search(queries[i], 5, expansion=effort))
        hits = [index.search(query, 5, expansion=effort)[0][0].tolist() for query in queries]
    graph: Any = Index(ndim=info.dim, metric="cos", dtype=info.dtype, connectivity=info.connectivity)
    with open_side_file(index_file, segment.files["vectors"]) as file:
        graph.view(memoryview(file.load()))
    graph.expansion_search = effort
    rounded = [quantise(query, info.dtype) for query in queries]
    take("for comparison: usearch's own search", lambda i: graph.search(rounded[i], _CANDIDATES, threads=1))
    compared = [graph.search(query, _CANDIDATES, threads=1).computed_distances for query in rounded]
    return hits, float(np.mean(compared))


def _reading(data: Data, hits: list[list[int]], take: Take) -> None:
    video = VideoReader(data.folder / "memvid" / "memory.mp4")
    table = video.table
    ids = [np.array(row, np.int64) for row in hits]
    frames = [np.unique(table.frames_of(row)) for row in ids]
    store = PageStore(video, cache_bytes=0)
    cached = PageStore(video, cache_bytes=1 << 30)
    for row in ids:
        cached.read(row)
    take("read: five chunks", lambda i: store.read(ids[i]))
    take("read: one chunk", lambda i: store.read(ids[i][:1]))
    take("read: five frames to payloads", lambda i: video.read(frames[i]))
    take("read: one frame to its payload", lambda i: video.read(frames[i][:1]))
    take("read: five chunks out of the page cache", lambda i: cached.read(ids[i]))
    video.close()
