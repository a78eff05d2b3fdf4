"""The half of a build that feeds the index, on a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memvid.building.checkpoint import Checkpoint
from memvid.building.spool import SpoolSegment
from memvid.embedding import Embedder, encode_checked
from memvid.errors import EmbeddingError
from memvid.index import IndexBuilder
from memvid.interrupts import uninterrupted
from memvid.page import ChunkIds, read_metadata
from memvid.types import ChunkRanges, JsonObject
from memvid.workers import Worker

__all__ = ["IndexFeed", "Indexed", "SegmentSource"]

_BATCH = 128  # chunks embedded and added between two looks at whether the build was given up: about a second
_BATCH_BYTES = 1 << 20
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Indexed:
    """How far a feed is.

    :ivar chunks: chunks in the index.
    :ivar made: of them, those whose embedding was made now.
    :ivar resumed: of them, those whose embedding was in the checkpoint.
    :ivar unusable_metadata: of them, those that are there without their metadata, which cannot be used; known at the
        end.
    """

    chunks: int = 0
    made: int = 0
    resumed: int = 0
    unusable_metadata: ChunkRanges = ()


class SegmentSource(Protocol):
    """Where an index gets its chunks from: a spool, or the video that holds them."""

    def segments(self, chunks: int, nbytes: int, *, with_vectors: bool = False) -> Iterator[SpoolSegment]:
        """All chunks in order, in pieces as :meth:`memvid.building.spool.Spool.segments` cuts them."""
        ...


class IndexFeed:
    """Goes through the chunks, makes the embeddings that are missing, and adds everything to the index.

    One thread does it, in order: the graph of an HNSW index depends on the order of insertion, and the same chunks are
    to give the same bytes. A context manager: leaving it ends the thread, whatever interrupts.

    :param checkpoint: gives embeddings that were made before, and keeps those made now.
    :param skip: chunks of the source that are not for the index.
    :ivar indexed: how far it is; replaced whole, so any thread may look.
    :ivar seconds: time spent in the stages ``"embed"`` and ``"index"``.
    """

    def __init__(
        self,
        source: SegmentSource,
        index: IndexBuilder,
        embedder: Embedder,
        checkpoint: Checkpoint | None = None,
        *,
        skip: ChunkIds | None = None,
    ) -> None:
        self._source = source
        self._index = index
        self._embedder = embedder
        self._checkpoint = checkpoint
        self._skip = skip
        self._unusable: list[ChunkIds] = []
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._worker = Worker(self._run, name="memvid-index")
        self.indexed = Indexed()
        self.seconds = {"embed": 0.0, "index": 0.0}

    def __enter__(self) -> IndexFeed:
        return self

    @uninterrupted
    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._worker.finish()

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def finished(self) -> bool:
        """Wait a moment for the thread; whether it is through with everything.

        :raises: whatever ended the thread.
        """
        ended = self._worker.wait(_POLL_SECONDS)
        self.check()
        return ended

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for segment in self._source.segments(_BATCH, _BATCH_BYTES, with_vectors=True):
                if self._stop.is_set():
                    return
                for part in self._wanted(segment):
                    self._add(part)
            self.indexed = replace(self.indexed, unusable_metadata=ChunkIds.union(self._unusable).ranges)
        except BaseException as error:  # raised again by the building thread
            self._error = error

    def _wanted(self, segment: SpoolSegment) -> Iterator[SpoolSegment]:
        """The segment, or its parts between chunks that are skipped."""
        if not self._skip:
            yield segment
            return
        first, count = segment.first_chunk, len(segment.records)
        wanted = np.concatenate([[False], ~self._skip.contains(np.arange(first, first + count)), [False]])
        edges = np.flatnonzero(wanted[1:] != wanted[:-1]).tolist()  # start, end, start, end, ...
        for start, end in zip(edges[0::2], edges[1::2], strict=True):
            vectors = None if segment.vectors is None else segment.vectors[start:end]
            yield SpoolSegment(first + start, segment.records[start:end], vectors)

    def _add(self, segment: SpoolSegment) -> None:
        records = segment.records
        texts = [record.text.decode() for record in records]
        begin = time.perf_counter()
        vectors, made, resumed = self._complete(texts, segment.vectors)
        embedded = time.perf_counter()
        self._index.add(segment.first_chunk, vectors)
        self._index.add_records(segment.first_chunk, texts, self._metadatas(segment))
        self.seconds["embed"] += embedded - begin
        self.seconds["index"] += time.perf_counter() - embedded
        done = self.indexed
        self.indexed = Indexed(done.chunks + len(records), done.made + made, done.resumed + resumed)

    def _metadatas(self, segment: SpoolSegment) -> list[JsonObject]:
        """Metadata of a batch, as far as it can be used: what somebody else wrote keeps nothing else from its place."""
        read = [read_metadata(record.metadata) for record in segment.records]
        faults = [chunk_id for chunk_id, (_, fault) in enumerate(read, segment.first_chunk) if fault is not None]
        if faults:
            self._unusable.append(ChunkIds.of(faults))
        return [metadata for metadata, _ in read]

    def _complete(
        self, texts: Sequence[str], given: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], int, int]:
        """Vectors of a batch, and how many of them were made, and resumed."""
        if given is None:
            vectors, made = self._embed(texts)
            return vectors, made, len(texts) - made
        missing = np.flatnonzero(np.isnan(given[:, 0]))
        if len(missing) == 0:
            return given, 0, 0
        vectors, made = self._embed([texts[row] for row in missing.tolist()])
        if vectors.shape[1] != given.shape[1]:
            raise EmbeddingError(
                f"the embedder makes {vectors.shape[1]} dimensions, the embeddings that were given have "
                f"{given.shape[1]}"
            )
        given[missing] = vectors
        return given, made, len(missing) - made

    def _embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """Vectors from the checkpoint and from the embedder, and how many the embedder made."""
        if self._checkpoint is None:
            return encode_checked(self._embedder, texts), len(texts)
        keys = [text.encode() for text in texts]
        vectors, found = self._checkpoint.find(keys)
        missing = np.flatnonzero(~found).tolist()
        if missing:
            vectors[missing] = encode_checked(self._embedder, [texts[row] for row in missing])
            self._checkpoint.append([keys[row] for row in missing], vectors[missing])
        return vectors, len(missing)
