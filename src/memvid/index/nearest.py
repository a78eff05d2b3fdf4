"""Which way a search takes: the graph, every chunk, or those that a filter or deletions leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from memvid.index.arrays import FloatArray, IntArray
from memvid.index.vectors import SMALL, SPARE

if TYPE_CHECKING:
    from memvid.index.segment_vectors import Vectors
    from memvid.index.segments import Records
    from memvid.index.selection import Selection

__all__ = ["NearestChunks"]

_COMPARED = 12  # vectors, by a walk, for each candidate that it keeps


class NearestChunks:
    """The nearest chunks to a query, in all segments together; those that were deleted are never among them.

    :param vectors: of all segments.
    :param records: likewise; they say which chunk a row is, and which were deleted.
    """

    def __init__(self, vectors: Vectors, records: Records) -> None:
        self._vectors = vectors
        self._records = records

    def search(
        self,
        queries: FloatArray,
        k: int,
        *,
        expansion: int,
        exact: bool,
        selection: Selection | None,
        distinct: bool = False,
    ) -> tuple[IntArray, FloatArray]:
        """Ids int64[q, k] and scores float32[q, k], best first; -1 and -inf where there are fewer.

        :param queries: float32[q, dim].
        :param k: at most as many as there are chunks.
        :param expansion: candidates of a walk.
        :param exact: compare with every chunk.
        :param selection: the rows that a filter leaves; ``None`` if there is no filter.
        :param distinct: of the chunks of a segment that have the same vector only the first.
        """
        wanted = self._records.living_rows if selection is None else selection  # `None`: all
        total = len(self._records.row_map)
        count = total if wanted is None else wanted.count
        share = count / max(total, 1)
        # Candidates that are wanted, of as many in all as a walk without a filter keeps.
        width = math.ceil(expansion * share)
        if exact or _is_few(count, k) or _COMPARED * max(width, k + SPARE) > count * share:
            return self._scan(queries, k, wanted, distinct=distinct)
        allowed, most = (None, None) if wanted is None else (wanted.bits, count)
        found, scores = self._vectors.nearest(
            queries, k, expansion=width, allowed=allowed, distinct=distinct, most=most
        )
        short = np.flatnonzero(found[:, -1] < 0)  # it gave up, or the graph is in several parts
        ids = self._records.row_map.ids(found)
        if len(short):
            ids[short], scores[short] = self._scan(queries[short], k, wanted, distinct=distinct)
        return ids, scores

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

    def _scan(
        self, queries: FloatArray, k: int, wanted: Selection | None, *, distinct: bool
    ) -> tuple[IntArray, FloatArray]:
        """Ids and scores by comparing with each that is wanted, for queries one by one."""
        ids = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        if k == 0:
            return ids, scores
        among = None if wanted is None else wanted.rows
        for i in range(len(queries)):
            rows, best = self._vectors.exact(queries[i : i + 1], k, among, distinct=distinct)
            ids[i, : len(rows)] = self._records.row_map.ids(rows)
            scores[i, : len(rows)] = best
        return ids, scores


def _is_few(candidates: int, k: int) -> bool:
    """Whether a walk of the graph would visit most of the candidates anyway."""
    return candidates <= SMALL or k * 4 >= candidates
