"""The rows that a filter leaves, and those of recent filters."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memvid.index.arrays import IntArray

if TYPE_CHECKING:
    from memvid.query import Filter

__all__ = ["Selection", "SelectionCache"]

_CACHE_BYTES = 64 << 20


class Selection:
    """Some rows of an index.

    :param mask: bool[rows]: which.
    :ivar bits: the same as uint64[ceil(rows / 64)]: row ``r`` is bit ``r % 64`` of word ``r // 64``.
    :ivar count: how many.
    """

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        self._total = len(mask)
        packed = np.zeros((len(mask) + 63) // 64 * 8, np.uint8)
        packed[: (len(mask) + 7) // 8] = np.packbits(mask, bitorder="little")
        self.bits: npt.NDArray[np.uint64] = packed.view("<u8")
        self.count = int(np.count_nonzero(mask))

    @classmethod
    def of_rows(cls, rows: IntArray, total: int) -> Selection:
        """Some rows of so many."""
        mask = np.zeros(total, bool)
        mask[rows] = True
        return cls(mask)

    def has(self, rows: IntArray) -> npt.NDArray[np.bool_]:
        """bool[n]: which of some rows are among them."""
        words = self.bits[rows >> 6] >> (rows & 63).astype(np.uint64)
        return np.asarray(words & np.uint64(1), bool)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """bool[rows]."""
        return np.unpackbits(self.bits.view(np.uint8), count=self._total, bitorder="little").view(np.bool_)

    @cached_property
    def rows(self) -> IntArray:
        """int64[count], ascending."""
        return np.flatnonzero(self.mask)

    def count_between(self, first: int, end: int) -> int:
        """How many of the rows ``first`` to ``end - 1`` are among them."""
        if end - first == self._total:
            return self.count
        low, high = np.searchsorted(self.rows, [first, end])
        return int(high - low)

    def rows_between(self, first: int, end: int) -> IntArray:
        """int64[n], ascending: those from ``first`` to ``end - 1``, counted from ``first``."""
        if end - first == self._total:
            return self.rows
        low, high = np.searchsorted(self.rows, [first, end])
        return self.rows[low:high] - first

    @property
    def nbytes(self) -> int:
        """Memory that it may come to."""
        return int(self.bits.nbytes) + 8 * self.count


class SelectionCache:
    """What recent filters left, least recently used dropped first. Safe to share between threads."""

    def __init__(self, nbytes: int = _CACHE_BYTES) -> None:
        self._limit = nbytes
        self._used = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Filter, Selection] = OrderedDict()

    def get(self, where: Filter) -> Selection | None:
        """What a filter left, if it is known."""
        with self._lock:
            found = self._kept.get(where)
            if found is not None:
                self._kept.move_to_end(where)
            return found

    def put(self, where: Filter, selection: Selection) -> None:
        """Keep what a filter left; what alone would take more than half of the room is not kept."""
        with self._lock:
            if where in self._kept or selection.nbytes > self._limit // 2:
                return
            self._kept[where] = selection
            self._used += selection.nbytes
            while self._used > self._limit:
                self._used -= self._kept.popitem(last=False)[1].nbytes
