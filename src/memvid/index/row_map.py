"""Which row of the vector matrix belongs to which chunk. Rows are in the order of adding; ids rise, gaps allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memvid.index.arrays import IntArray
from memvid.page import ChunkIds

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RowMap"]


class RowMap:
    """Runs of consecutive chunk ids: ``starts[i]``, ``starts[i] + 1``, ... (``lengths[i]`` of them), ascending."""

    def __init__(self, starts: IntArray, lengths: IntArray) -> None:
        if len(starts) > 1:
            first = np.append(True, starts[1:] != starts[:-1] + lengths[:-1])  # not the continuation of the run before
            lengths = np.add.reduceat(lengths, np.flatnonzero(first))
            starts = starts[first]
        self._starts = starts
        self._lengths = lengths
        self._rows = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self._dense = len(starts) == 1 and int(starts[0]) == 0

    @classmethod
    def joined(cls, maps: Sequence[RowMap]) -> RowMap:
        """The rows of several, one behind the other; the ids rise from each to the next."""
        if not maps:
            return cls(np.zeros(1, np.int64), np.zeros(1, np.int64))
        return cls(np.concatenate([each._starts for each in maps]), np.concatenate([each._lengths for each in maps]))

    def __len__(self) -> int:
        return int(self._rows[-1])

    @property
    def start(self) -> int:
        """The smallest id."""
        return int(self._starts[0])

    @property
    def end(self) -> int:
        """One more than the largest id."""
        return int(self._starts[-1] + self._lengths[-1])

    @property
    def chunk_ids(self) -> ChunkIds:
        """All ids."""
        return ChunkIds.of_runs(self._starts, self._starts + self._lengths)

    def rows(self, ids: IntArray) -> IntArray:
        """Rows of chunk ids; -1 for an id there is none of."""
        if self._dense:
            return np.where((ids >= 0) & (ids < len(self)), ids, -1)
        run = np.searchsorted(self._starts, ids, side="right") - 1
        offset = ids - self._starts[run]  # run -1 wraps to the last start, which is larger, so the offset is negative
        return np.where((run >= 0) & (offset < self._lengths[run]), self._rows[run] + offset, -1)

    def rows_below(self, ids: IntArray) -> IntArray:
        """How many rows have an id below each of ``ids``, which need not exist."""
        run = np.maximum(np.searchsorted(self._starts, ids, side="right") - 1, 0)
        below: IntArray = self._rows[run] + np.clip(ids - self._starts[run], 0, self._lengths[run])
        return below

    def ids(self, rows: IntArray) -> IntArray:
        """Chunk ids of rows, all of which must exist; -1 for -1."""
        if self._dense:
            return rows
        run = np.searchsorted(self._rows, rows, side="right") - 1
        return np.where(rows >= 0, self._starts[run] + (rows - self._rows[run]), -1)
