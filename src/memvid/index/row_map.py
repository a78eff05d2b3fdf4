"""Which row of the vector matrix belongs to which chunk. Rows are in the order of adding; ids rise, gaps allowed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["RowMap"]

IntArray = npt.NDArray[np.int64]


class RowMap:
    """Runs of consecutive chunk ids: ``starts[i]``, ``starts[i] + 1``, ... (``lengths[i]`` of them), ascending."""

    def __init__(self, starts: IntArray, lengths: IntArray) -> None:
        self._starts = starts
        self._lengths = lengths
        self._rows = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        self._dense = len(starts) == 1 and int(starts[0]) == 0

    def __len__(self) -> int:
        return int(self._rows[-1])

    @property
    def end(self) -> int:
        """One more than the largest id."""
        return int(self._starts[-1] + self._lengths[-1])

    def rows(self, ids: IntArray) -> IntArray:
        """Rows of chunk ids; -1 for an id there is none of."""
        if self._dense:
            return np.where((ids >= 0) & (ids < len(self)), ids, -1)
        run = np.searchsorted(self._starts, ids, side="right") - 1
        offset = ids - self._starts[run]  # run -1 wraps to the last start, which is larger, so the offset is negative
        return np.where((run >= 0) & (offset < self._lengths[run]), self._rows[run] + offset, -1)

    def ids(self, rows: IntArray) -> IntArray:
        """Chunk ids of rows, all of which must exist; -1 for -1."""
        if self._dense:
            return rows
        run = np.searchsorted(self._rows, rows, side="right") - 1
        return np.where(rows >= 0, self._starts[run] + (rows - self._rows[run]), -1)
