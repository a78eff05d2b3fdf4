"""Which way a search takes: the graph, every chunk, or those that a filter or deletions leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memvid.index.arrays import FloatArray, IntArray
from memvid.index.vectors import SMALL

if TYPE_CHECKING:
    from memvid.index.segments import Records, Vectors
    from memvid.index.selection import Selection

__all__ = ["NearestChunks"]


_MAX_EXPANSION = 4096  # of a filtered search, before it looks at every candidate instead


class NearestChunks:
    """The nearest chunks to a query, in all segments together; those that were deleted are never among them.

    :param vectors: of all segments.
    :param records: likewise; they say which chunk a row is, and which were deleted.
    """

    def __init__(self, vectors: Vectors, records: Records) -> None:
        self._vectors = vectors
        self._records = records

    def search(
        self, queries: FloatArray, k: int, *, expansion: int, exact: bool, selection: Selection | None
    ) -> tuple[IntArray, FloatArray]:
        """Ids int64[q, k] and scores float32[q, k], best first; -1 and -inf where there are fewer.

        :param queries: float32[q, dim].
        :param k: at most as many as there are chunks.
        :param expansion: candidates of a walk.
        :param exact: compare with every chunk.
        :param selection: the rows that a filter leaves; ``None`` if there is no filter.
        """
        if selection is not None or exact or _is_few(self._records.count, k):
            rows = None if selection is None else selection.rows
            return self._search_each(queries, k, expansion=expansion, exact=exact, rows=rows)
        found, scores = self._walk(queries, k, expansion=min(expansion, len(self._records.row_map)))
        return self._records.row_map.ids(found), scores

    def _walk(self, queries: FloatArray, k: int, *, expansion: int) -> tuple[IntArray, FloatArray]:
        """Rows and scores by the graph, for a search of the whole memory."""
        alive = self._records.alive
        if alive is None:
            found, scores = self._vectors.nearest(queries, k, expansion=expansion)
            for i in np.flatnonzero(found[:, -1] < 0).tolist():  # a graph in several parts: the walk saw too few
                found[i], scores[i] = self._vectors.exact(queries[i : i + 1], k)
            return found, scores
        # All candidates of the walk are asked for, so that those that were deleted can be left out.
        near, near_scores = self._vectors.nearest(queries, max(k, expansion), expansion=max(k, expansion))
        found, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        for i in range(len(queries)):
            passing = np.flatnonzero((near[i] >= 0) & alive[near[i]])[:k]
            if len(passing) == k:
                found[i], scores[i] = near[i][passing], near_scores[i][passing]
            else:
                found[i], scores[i] = self._search_among(queries[i : i + 1], k, expansion * 4, np.flatnonzero(alive))
        return found, scores

    def scores_of(self, query: FloatArray, ids: IntArray) -> FloatArray:
        """float32[n]: scores of distinct chunks, in the order of their ids, for float32[1, dim].

        :raises ChunkNotFoundError: an id there is none of.
        """
        rows = self._records.rows_of(ids)
        scores = np.empty(len(ids), np.float32)
        if len(ids):
            order = np.argsort(rows)
            found, best = self._vectors.exact(query, len(ids), rows[order])
            scores[order[np.searchsorted(rows[order], found)]] = best
        return scores

    def _search_each(
        self, queries: FloatArray, k: int, *, expansion: int, exact: bool, rows: IntArray | None
    ) -> tuple[IntArray, FloatArray]:
        """Ids and scores for queries that look at a part of the memory, or at all of it one by one."""
        if rows is None and self._records.alive is not None:
            rows = np.flatnonzero(self._records.alive)
        ids = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        if k == 0 or (rows is not None and len(rows) == 0):
            return ids, scores
        for i in range(len(queries)):
            query = queries[i : i + 1]
            if rows is None or exact or _is_few(len(rows), k):
                best_rows, best = self._vectors.exact(query, k, rows)
            else:
                best_rows, best = self._search_among(query, k, expansion, rows)
            ids[i, : len(best_rows)] = self._records.row_map.ids(best_rows)
            scores[i, : len(best_rows)] = best
        return ids, scores

    def _search_among(self, query: FloatArray, k: int, expansion: int, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """Rows and scores of the best among ``rows``, more than a few."""
        total = len(self._records.row_map)
        member = np.zeros(total, bool)
        member[rows] = True
        # A filter that passes one chunk in s needs about s * k of the nearest; twice that allows for clumps.
        reach = max(expansion, 2 * k * total // len(rows))
        while reach <= min(_MAX_EXPANSION, len(rows)):
            near, scores = self._vectors.nearest(query, reach, expansion=reach)
            passing = (near[0] >= 0) & member[near[0]]
            if int(passing.sum()) >= k:
                return near[0][passing][:k], scores[0][passing][:k]
            reach *= 4
        return self._vectors.exact(query, k, rows)


def _is_few(candidates: int, k: int) -> bool:
    """Whether a walk of the graph would visit most of the candidates anyway."""
    return candidates <= SMALL or k * 4 >= candidates
