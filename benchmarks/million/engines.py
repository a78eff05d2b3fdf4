"""memvid behind the interface that all engines are measured through, and what the engines share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.million.data import Data
from benchmarks.million.vectors import DIM
from memvid import MemvidEncoder, MemvidRetriever, MiniLMEmbedder
from memvid.index.location import find_index

__all__ = ["Engine", "GivenVectors", "Hits", "MemvidEngine", "NaiveQrEngine"]

Hits = list[tuple[int, str]]
"""Ids and texts, best first."""

Vector = NDArray[np.float32]


class Engine(Protocol):
    """A store of texts and vectors. ``open`` and ``build`` import what they need, so that imports count as opening."""

    @property
    def name(self) -> str: ...
    @property
    def effort_name(self) -> str: ...
    @property
    def efforts(self) -> tuple[int, ...]: ...
    @property
    def limit(self) -> int: ...

    def build(self, data: Data, folder: Path) -> dict[str, float]:
        """Store everything under ``folder``; seconds of the stages, if it tells."""
        ...

    def open(self, folder: Path, effort: int) -> None:
        """Get ready to answer with a search parameter of ``efforts``; called again to change it."""
        ...

    def search(self, query: Vector, k: int) -> Hits:
        """The k nearest chunks, texts included."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class GivenVectors:
    """Passes for MiniLM and gives each thread the vector it was handed, so that a search costs everything else."""

    def __init__(self) -> None:
        model = MiniLMEmbedder()
        self.name, self.dim, self.digest = model.name, model.dim, model.digest
        self._local = threading.local()

    def hand(self, vector: Vector) -> None:
        """What the next query of this thread embeds to."""
        self._local.vector = vector

    def encode(self, texts: Sequence[str]) -> Vector:
        """float32[n, dim]."""
        vector: Vector = self._local.vector[None]
        return vector if len(texts) == 1 else np.repeat(vector, len(texts), 0)


class MemvidEngine:
    """memvid through its public classes. No page and no query embedding is cached between queries."""

    name = "memvid"
    effort_name = "expansion_search"
    efforts = (32, 64, 96, 128, 192, 256, 384, 512)
    limit = 100_000_000

    def __init__(self, *, page_cache_bytes: int = 0, threads: int | None = None) -> None:
        self._page_cache_bytes = page_cache_bytes
        self._threads = threads
        self._embedder = GivenVectors()
        self._retriever: MemvidRetriever | None = None

    @property
    def retriever(self) -> MemvidRetriever:
        """The open memory."""
        assert self._retriever is not None
        return self._retriever

    def build(self, data: Data, folder: Path) -> dict[str, float]:
        import time

        begin = time.perf_counter()
        with MemvidEncoder() as encoder:
            for _, texts, vectors in data.batches():
                encoder.add_chunks(texts, embeddings=vectors)
            added = time.perf_counter()
            result = encoder.build_video(folder / "memory.mp4")
        return {"make and add chunks": added - begin, **result.seconds}

    def open(self, folder: Path, effort: int) -> None:
        self.close()
        self._retriever = MemvidRetriever(
            folder / "memory.mp4",
            embedder=self._embedder,
            query_cache_size=0,
            page_cache_bytes=self._page_cache_bytes,
            expansion_search=effort,
            threads=self._threads,
        )

    def search(self, query: Vector, k: int) -> Hits:
        self._embedder.hand(query)
        return [(result.chunk_id, result.text) for result in self.retriever.search_results("given", k, mode="semantic")]

    def close(self) -> None:
        if self._retriever is not None:
            self._retriever.close()
            self._retriever = None


class NaiveQrEngine:
    """The same video and index, but frames sought and read by OpenCV and decoded by the zxing-cpp wheel in Python."""

    name = "naive QR"
    effort_name = "expansion_search"
    efforts = MemvidEngine.efforts
    limit = 100_000_000

    def __init__(self) -> None:
        self._index: Any = None
        self._effort = 0

    def build(self, data: Data, folder: Path) -> dict[str, float]:
        for file in (data.folder / "memvid").iterdir():
            (folder / file.name).hardlink_to(file)
        return {}

    def open(self, folder: Path, effort: int) -> None:
        from benchmarks.naive import NaiveReader
        from memvid.index import IndexManager
        from memvid.video import VideoReader

        self._effort = effort
        if self._index is None:
            self._index = IndexManager.open(find_index(folder / "memory.mp4"))
            video = VideoReader(folder / "memory.mp4")
            self._table = video.table
            self._reader = NaiveReader(video)

    def search(self, query: Vector, k: int) -> Hits:
        ids = self._index.search(query.reshape(1, DIM), k, expansion=self._effort)[0][0]
        frames = self._table.frames_of(ids)
        distinct = sorted(set(frames.tolist()))
        pages = dict(zip(distinct, self._reader.pages(distinct), strict=True))
        slots = ids - self._table.first_chunks[frames]
        return [
            (chunk_id, pages[frame][slot])
            for chunk_id, frame, slot in zip(ids.tolist(), frames.tolist(), slots.tolist(), strict=True)
        ]

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None
