"""The chunks of a video as an index wants them: read out of the frames, in pieces, with vectors where some are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from memvid.building.index_feed import Indexed, IndexFeed
from memvid.building.spool import SpoolSegment
from memvid.errors import FrameError
from memvid.page import ChunkIds, Record, RecordPage
from memvid.types import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memvid.building.checkpoint import Checkpoint
    from memvid.embedding import Embedder
    from memvid.index import IndexBuilder
    from memvid.types import ProgressCallback
    from memvid.video import PageStore, PageTable

__all__ = ["KeptVectors", "VideoChunks", "fill_index"]


class KeptVectors(Protocol):
    """Vectors that need not be made again."""

    def rows(self, first_chunk: int, count: int) -> NDArray[np.float32] | None:
        """float32[count, dim] of consecutive chunks, NaN for those there is none of; ``None`` if there are none."""
        ...


class VideoChunks:
    """All chunks of a video that were not deleted, in order, cut into the pieces of the spool they were built from.

    :param store: reads and verifies them.
    :param without: chunks that are left out: those that were deleted, or are known to be lost.
    :param kept: vectors that are there already.
    :param corrected: read all frames by zxing-cpp alone, as a build reads back what it wrote.
    :ivar start: pages before this frame are left out.
    :param lossy: leave out, too, what cannot be read; else that is an error.
    """

    def __init__(
        self,
        store: PageStore,
        table: PageTable,
        without: ChunkIds,
        kept: KeptVectors | None = None,
        *,
        corrected: bool = False,
        start: int = 0,
        lossy: bool = False,
    ) -> None:
        self._store = store
        self._table = table
        self._without = without
        self._kept = kept
        self._corrected = corrected
        self.start = start
        self._lossy = lossy
        self._lost_texts: list[int] = []
        self._lost_metadata: list[int] = []
        self._lost_pages: list[int] = []

    def __len__(self) -> int:
        """How many there are, if all can be read."""
        return len(self.ids)

    @property
    def ids(self) -> ChunkIds:
        """Their ids, if all can be read."""
        return self._table.chunk_ids(start=self.start) - self._without

    @property
    def lost(self) -> ChunkIds:
        """Of a lossy one, the chunks that were left out so far because they cannot be read."""
        return self._table.chunks_in(np.array(self._lost_pages, np.int64)) | ChunkIds.of(self._lost_texts)

    @property
    def without_metadata(self) -> ChunkIds:
        """Of a lossy one, the chunks so far whose metadata cannot be read: they are there without."""
        return ChunkIds.of(self._lost_metadata)

    def find_lost(self) -> ChunkIds:
        """Of a lossy one, which chunks cannot be read, or whose metadata cannot. Reads them all."""
        for _ in self._records():
            pass
        return self.lost | self.without_metadata

    def segments(self, chunks: int, nbytes: int, *, with_vectors: bool = False) -> Iterator[SpoolSegment]:
        """Pieces that end at ``chunks`` of them, where they reach ``nbytes``, or before a gap between ids.

        :raises FrameError: a frame cannot be read and verified.
        """
        first, size = 0, 0
        records: list[Record] = []
        for chunk_id, record in self._records():
            if records and (len(records) == chunks or size >= nbytes or chunk_id != first + len(records)):
                yield self._segment(first, records, with_vectors=with_vectors)
                records, size = [], 0
            if not records:
                first = chunk_id
            records.append(record)
            size += len(record.text) + len(record.metadata)
        if records:
            yield self._segment(first, records, with_vectors=with_vectors)

    def _records(self) -> Iterator[tuple[int, Record]]:
        for frame, page in self._pages():
            first = int(self._table.first_chunks[frame])
            for slot in np.flatnonzero(~self._without.contains(np.arange(first, first + len(page)))).tolist():
                try:
                    page.check_text(slot)  # it must be UTF-8: a frame that is wrong is named here
                except FrameError:
                    if not self._lossy:
                        raise
                    self._lost_texts.append(first + slot)
                    continue
                yield first + slot, Record(page.text_bytes(slot), self._metadata(page, frame, slot))

    def _pages(self) -> Iterator[tuple[int, RecordPage]]:
        if self._corrected:
            return self._store.scan(corrected=True, start=self.start)
        lost = self._lost_pages if self._lossy else None
        return self._store.scan_chunks(start=self.start, without=self._without, lost=lost)

    def _metadata(self, page: RecordPage, frame: int, slot: int) -> bytes:
        try:
            return self._store.metadata_bytes(page, frame, slot)
        except FrameError:
            if not self._lossy:
                raise
            self._lost_metadata.append(int(self._table.first_chunks[frame]) + slot)
            return b""

    def _segment(self, first: int, records: list[Record], *, with_vectors: bool) -> SpoolSegment:
        kept = self._kept.rows(first, len(records)) if with_vectors and self._kept is not None else None
        return SpoolSegment(first, records, kept)


def fill_index(
    source: VideoChunks,
    index: IndexBuilder,
    embedder: Embedder,
    *,
    total: int,
    checkpoint: Checkpoint | None = None,
    progress: ProgressCallback | None = None,
) -> Indexed:
    """Add all chunks of ``source`` to ``index``; reports the stage ``"index"``.

    :param total: chunks there are.
    :raises FrameError: a frame cannot be read and verified.
    :raises EmbeddingError: the embedder failed.
    """
    with IndexFeed(source, index, embedder, checkpoint) as feed:
        feed.start()
        finished = False
        while not finished:
            finished = feed.finished()
            if progress is not None:
                progress(Progress("index", feed.indexed.chunks, total, resumed=feed.indexed.resumed))
        return feed.indexed
