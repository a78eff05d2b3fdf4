"""The vectors of all segments as one: rows are numbered through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memvid.index.arrays import BitArray, FloatArray, IntArray
from memvid.index.vectors import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memvid.index.vectors import VectorReader

__all__ = ["Vectors"]


class Vectors:
    """Search in the vectors of all segments: each is searched by itself, the best of all are the answer."""

    def __init__(self, parts: Sequence[VectorReader]) -> None:
        self.parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])

    def nearest(
        self,
        queries: FloatArray,
        k: int,
        *,
        expansion: int,
        allowed: BitArray | None = None,
        distinct: bool = False,
        most: int | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """As :meth:`VectorReader.nearest`, over all segments.

        Of several, one with few vectors is compared with in full, and so is one in which a walk finds too few.

        :param allowed: the rows that may be found; ``None`` allows all.
        :param distinct: of the rows of a segment that have the same vector only the first.
        """
        if len(self.parts) == 1:
            return self.parts[0].nearest(queries, k, expansion=expansion, allowed=allowed, distinct=distinct, most=most)
        found = []
        for part, first in self._placed():
            if part.nodes > SMALL:
                rows, scores = part.nearest(
                    queries, k, expansion=expansion, allowed=allowed, first=first, distinct=distinct, most=most
                )
            else:
                rows = np.full((len(queries), min(k, len(part))), -1, np.int64)
                scores = np.full(rows.shape, -np.inf, np.float32)
            short = np.flatnonzero(rows[:, -1] < 0)
            own = None if allowed is None or not len(short) else _rows_of(allowed, first, len(part))
            for i in short.tolist():
                best, of_best = part.exact(queries[i : i + 1], k, own, distinct=distinct)
                rows[i, : len(best)], scores[i, : len(best)] = best, of_best
            found.append((np.where(rows >= 0, rows + first, -1), scores))
        rows = np.concatenate([rows for rows, _ in found], axis=1)
        scores = np.concatenate([scores for _, scores in found], axis=1)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def exact(
        self, query: FloatArray, k: int, rows: IntArray | None = None, *, distinct: bool = False
    ) -> tuple[IntArray, FloatArray]:
        """As :meth:`VectorReader.exact`, over all segments; ``rows`` ascend."""
        if len(self.parts) == 1:
            return self.parts[0].exact(query, k, rows, distinct=distinct)
        found = []
        for part, first in self._placed():
            own = None
            if rows is not None:
                low, high = np.searchsorted(rows, [first, first + len(part)])
                own = rows[low:high] - first
                if not len(own):
                    continue
            best, scores = part.exact(query, k, own, distinct=distinct)
            found.append((best + first, scores))
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        best = np.concatenate([best for best, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        order = np.lexsort((best, -scores))[:k]
        return best[order], scores[order]

    def rows(self, rows: IntArray) -> FloatArray:
        """float32[n, dim]: the stored vectors of some rows."""
        found = np.empty((len(rows), self.parts[0].dim), np.float32)
        for part, first in self._placed():
            at = np.flatnonzero((rows >= first) & (rows < first + len(part)))
            found[at] = part.rows(rows[at] - first)
        return found

    def copies_of(self, row: int) -> IntArray:
        """int64[n], ascending: the rows of the same segment that have the same vector, itself among them."""
        part, first = next((part, first) for part, first in self._placed() if row < first + len(part))
        return part.copies_of(row - first) + first

    def check(self) -> None:
        """As :meth:`VectorReader.check`, of all segments."""
        for part in self.parts:
            part.check()

    def close(self) -> None:
        """Let go of the mappings; searches under way finish on them."""
        for part in self.parts:
            part.close()

    def _placed(self) -> list[tuple[VectorReader, int]]:
        """The segments with their first rows."""
        return [(part, int(end) - len(part)) for part, end in zip(self.parts, self._ends, strict=True)]


def _rows_of(allowed: BitArray, first: int, count: int) -> IntArray:
    """Which of the rows ``first``, ``first + 1``, ... are allowed, counted from ``first``."""
    words = allowed[first // 64 : -(-(first + count) // 64)]
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")[first % 64 :][:count]
    return np.flatnonzero(bits)
