"""The vectors of all segments as one: rows are numbered through."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from memvid.index.arrays import FloatArray, IntArray
from memvid.index.walk_plan import Walk, plan_walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memvid.index.selection import Selection
    from memvid.index.vectors import VectorReader

__all__ = ["Plans", "Vectors"]

Plans: TypeAlias = "list[tuple[int, int, int] | None]"
"""How the graph of each segment is walked: width, ``through`` and ``skimmed``; ``None``: it is not."""

_ENDLESS = (1 << 63) - 1  # vectors that a walk may compare before it gives up


class Vectors:
    """Search in the vectors of all segments: each is searched by itself, the best of all are the answer."""

    def __init__(self, parts: Sequence[VectorReader]) -> None:
        self.parts = tuple(parts)
        self._ends = np.cumsum([len(part) for part in parts])

    def nearest(
        self, queries: FloatArray, k: int, *, expansion: int, exact: bool, wanted: Selection | None, distinct: bool
    ) -> tuple[IntArray, FloatArray]:
        """The nearest of each query: rows int64[q, k] and scores float32[q, k], best first, ties by row.

        -1 and -inf at the end where there are fewer. Segments with few of the rows that are wanted are compared with in
        full, as all are if it is to be ``exact``; the graphs of others are walked.

        :param queries: float32[q, dim].
        :param k: at most as many as there are rows.
        :param expansion: candidates of a walk.
        :param wanted: the rows that may be found; ``None`` is all.
        :param distinct: of the rows of a segment that have the same vector only the first.
        """
        if k == 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        found = []
        for part, first in self._placed():
            search = _Search(part, first, wanted, distinct=distinct)
            rows, scores = search.exact(queries, k) if exact else search.nearest(queries, k, expansion)
            found.append((np.where(rows >= 0, rows + first, -1), scores))
        if len(found) == 1:
            return found[0]
        rows = np.concatenate([rows for rows, _ in found], axis=1)
        scores = np.concatenate([scores for _, scores in found], axis=1)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def plans(self, k: int, *, expansion: int, wanted: Selection | None) -> Plans:
        """How they are searched, which costs least."""
        found: Plans = []
        for part, first in self._placed():
            walk = _Search(part, first, wanted, distinct=False).plan(k, expansion)
            through = _ENDLESS if walk is None or walk.through is None else walk.through
            found.append(None if walk is None else (walk.width, through, walk.skimmed))
        return found

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

    def codes(self, rows: IntArray) -> npt.NDArray[np.uint8]:
        """uint8[n, m]: the same, byte for byte, where they are codes."""
        found: npt.NDArray[np.uint8] | None = None
        for part, first in self._placed():
            at = np.flatnonzero((rows >= first) & (rows < first + len(part)))
            codes = part.codes(rows[at] - first)
            found = np.empty((len(rows), codes.shape[1]), np.uint8) if found is None else found
            found[at] = codes
        return np.empty((0, 0), np.uint8) if found is None else found

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


class _Search:
    """A search of one segment, whose first row is ``first`` of all."""

    def __init__(self, part: VectorReader, first: int, wanted: Selection | None, *, distinct: bool) -> None:
        self._part = part
        self._first = first
        self._wanted = wanted
        self._distinct = distinct

    def exact(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """By comparing with each row that is wanted, for queries one by one."""
        found = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        among = None if self._wanted is None else self._wanted.rows_between(self._first, self._first + len(self._part))
        for i in range(len(queries)):
            rows, best = self._part.exact(queries[i : i + 1], k, among, distinct=self._distinct)
            found[i, : len(rows)], scores[i, : len(rows)] = rows, best
        return found, scores

    def nearest(self, queries: FloatArray, k: int, expansion: int) -> tuple[IntArray, FloatArray]:
        """By the way that costs least."""
        part, first, wanted = self._part, self._first, self._wanted
        walk = self.plan(k, expansion)
        if walk is None:
            return self.exact(queries, k)
        found, scores = part.nearest(
            queries, k, expansion=walk.width, allowed=None if wanted is None else wanted.bits, first=first,
            distinct=self._distinct, through=walk.through, skimmed=walk.skimmed,
        )  # fmt: skip
        short = np.flatnonzero(found[:, -1] < 0)  # what is wanted lies in several parts of the graph, or is copies
        if len(short):
            found[short], scores[short] = self.exact(queries[short], k)
        return found, scores

    def plan(self, k: int, expansion: int) -> Walk | None:
        """The way that costs least; ``None``: by comparing with each."""
        part, first, wanted = self._part, self._first, self._wanted
        if not part.is_linked:
            return None
        count = len(part) if wanted is None else wanted.count_between(first, first + len(part))
        return plan_walk(len(part), count, k, dim=part.dim, expansion=expansion, filtered=wanted is not None)
