"""Which chunks hang on a frame."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from memvid.page import ChunkRanges, PageKind
from memvid.video import PageTable

__all__ = ["ChunksOfFrames"]


class ChunksOfFrames:
    """Says of each frame which chunks cannot be read without it."""

    def __init__(self, table: PageTable) -> None:
        self._table = table
        self._pages = np.flatnonzero(table.kinds != PageKind.CONTINUATION)

    @cached_property
    def every(self) -> ChunkRanges:
        """All chunks of the video."""
        return self._table.chunk_ids().ranges

    def of(self, frame: int) -> ChunkRanges:
        """Those that start in the frame, or in the run that it continues.

        All of them, if it is what all are read with, the dictionary; none, if it is metadata of bare texts.
        """
        table = self._table
        before = int(np.searchsorted(self._pages, frame, side="right")) - 1
        frame = int(self._pages[before]) if before >= 0 else 0
        if table.kinds[frame] == PageKind.DICTIONARY:
            return self.every
        count, first = int(table.counts[frame]), int(table.first_chunks[frame])
        return ((first, first + count - 1),) if count else ()
