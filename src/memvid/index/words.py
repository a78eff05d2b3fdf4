"""Chunks by the words that are in them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from memvid.index.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from memvid.index.arrays import FloatArray, IntArray
    from memvid.index.row_map import RowMap
    from memvid.index.segment_records import RowWords

__all__ = ["Words", "word_weight"]


def word_weight(frequency: int, count: int) -> float:
    """The idf of BM25 (Robertson and Zaragoza 2009), which is above 0, of a word in so many of ``count`` chunks."""
    return math.log1p((max(count, frequency) - frequency + 0.5) / (frequency + 0.5))


class Words:
    """The words of all segments together; chunks that were deleted are never found.

    Terms are those of :func:`~memvid.index.keywords.indexed_terms`.

    :param rows: the words by row.
    :param alive: bool[rows]: the rows whose chunks were not deleted; ``None`` is all.
    """

    def __init__(self, rows: RowWords, row_map: RowMap, alive: npt.NDArray[np.bool_] | None) -> None:
        self._rows = rows
        self._row_map = row_map
        self._alive = None if alive is None else Selection(alive)

    @property
    def count(self) -> int:
        """Chunks in the segments, deleted ones among them: what frequencies are to be compared with."""
        return len(self._row_map)

    def frequency(self, term: str) -> int:
        """In how many chunks a term is, deleted ones among them."""
        return self._rows.frequency(term)

    def search(self, terms: Sequence[str], k: int, within: Selection | None = None) -> tuple[IntArray, FloatArray]:
        """The k best chunks that have any of the terms; fewer only where there are fewer.

        Of many terms the rarest propose chunks, and the others add to the scores of those.

        :param within: the chunks that may be found; ``None`` is all.
        :returns: ids int64[m] and BM25 scores float32[m], m <= k, best first, ties by id.
        """
        allowed = self._alive if within is None else within
        rows, scores = self._rows.search(terms, k, None if allowed is None else allowed.bits)
        return self._row_map.ids(rows), scores

    def score(self, terms: Sequence[str], ids: IntArray) -> FloatArray:
        """BM25 scores float32[n] of some distinct chunks, in their order; 0 for those without any of the terms."""
        return self._rows.score(terms, self._row_map.rows(ids))

    def ids_with_all(self, terms: Sequence[str]) -> IntArray:
        """Ids int64[m], ascending, of chunks that have all of the terms; of none, if there are none to go by."""
        rows = self._rows.rows_with_all(terms)
        return self._row_map.ids(rows if self._alive is None else rows[self._alive.has(rows)])
