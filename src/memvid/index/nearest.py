"""The nearest chunks to a query: rows of vectors, and which chunks they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memvid.index.arrays import FloatArray, IntArray

if TYPE_CHECKING:
    from memvid.index.segment_vectors import Vectors
    from memvid.index.segments import Records
    from memvid.index.selection import Selection

__all__ = ["NearestChunks"]


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
        wanted = self._records.living_rows if selection is None else selection
        rows, scores = self._vectors.nearest(
            queries, k, expansion=expansion, exact=exact, wanted=wanted, distinct=distinct
        )
        return self._records.row_map.ids(rows), scores

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
