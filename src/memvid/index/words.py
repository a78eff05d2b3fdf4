"""Chunks by the words that are in them.

The FTS5 table keeps only which chunks contain a word (``detail=none``): no positions, no counts, no text. Ranking is
BM25 with every count taken as one; on short chunks that costs about a point of MRR and saves more than half the size.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memvid.index.arrays import FloatArray, IntArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memvid.index.segments import Records
    from memvid.index.selection import Selection

__all__ = ["Words", "word_weight"]

_K1 = 1.2
_B = 0.5
_PROPOSING_ROWS = 10_000  # postings read for the rare words of a query; commoner ones only re-rank what those found
_FEW_ROWS = 2_000  # postings that are read sooner than chunks are looked up among them
_LENGTHS = np.expm1(np.arange(256) / 16)  # words for each length code: within 3 % up to 8 million


def word_weight(frequency: int, count: int) -> float:
    """The idf of BM25 (Robertson and Zaragoza 2009), which is above 0, of a word in so many of ``count`` chunks."""
    return math.log1p((max(count, frequency) - frequency + 0.5) / (frequency + 0.5))


class Words:
    """The words of all segments together; chunks that were deleted are never found.

    Terms are those of :func:`~memvid.index.keywords.query_terms`.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    @property
    def count(self) -> int:
        """Chunks in the segments, deleted ones among them: what frequencies are to be compared with."""
        return len(self._records.row_map)

    def frequency(self, term: str) -> int:
        """In how many chunks a term is, deleted ones among them."""
        return sum(part.frequency(term) for part in self._records.parts)

    def search(self, terms: Sequence[str], k: int, within: Selection | None = None) -> tuple[IntArray, FloatArray]:
        """The k best chunks that have any of the terms; fewer only where there are fewer.

        Rare terms propose, until ten thousand postings are read and k chunks are found; commoner ones then only add to
        the scores of those.

        :param within: the chunks that may be found; ``None`` is all.
        :returns: ids int64[m] and BM25 scores float32[m], m <= k, best first, ties by id.
        """
        proposed = np.empty(0, np.int64)
        known = self._known(terms)
        proposing: list[tuple[IntArray, float]] = []
        budget = _PROPOSING_ROWS
        while known and (len(proposed) < k or known[0][0] <= budget):
            frequency, _, term = known.pop(0)
            budget -= frequency
            found = self._having(term, within)
            proposing.append((found, self._weight(frequency)))
            proposed = np.union1d(proposed, found)
        sums = np.zeros(len(proposed))
        for found, weight in proposing:
            sums[np.searchsorted(proposed, found)] += weight
        for frequency, _, term in known:
            sums[self._have(term, frequency, proposed)] += self._weight(frequency)
        scores = self._normed(sums, proposed)
        order = np.lexsort((proposed, -scores))[:k]
        return proposed[order], scores[order]

    def score(self, terms: Sequence[str], ids: IntArray) -> FloatArray:
        """BM25 scores float32[n] of some distinct chunks, in their order; 0 for those without any of the terms."""
        sums = np.zeros(len(ids))
        for frequency, _, term in self._known(terms):
            sums[self._have(term, frequency, ids)] += self._weight(frequency)
        return self._normed(sums, ids)

    def ids_with_all(self, terms: Sequence[str]) -> IntArray:
        """Ids int64[m], ascending, of chunks that have all of the terms; of none, if there are none to go by."""
        found = [part.matches_all(terms) for part in self._records.parts] if terms else []
        return self._records.living(np.concatenate([np.empty(0, np.int64), *found]))

    @cached_property
    def _words(self) -> npt.NDArray[np.float64]:
        """Length of the chunk in each row, in words."""
        return _LENGTHS[self._records.length_codes]

    @cached_property
    def _mean(self) -> float:
        return float(self._words.mean()) if len(self._words) else 1.0

    def _known(self, terms: Sequence[str]) -> list[tuple[int, int, str]]:
        """Frequency, place and name of the terms that there are, rarest first."""
        return sorted((df, place, term) for place, term in enumerate(terms) if (df := self.frequency(term)))

    def _weight(self, frequency: int) -> float:
        return word_weight(frequency, self.count) * (_K1 + 1)

    def _normed(self, sums: npt.NDArray[np.float64], ids: IntArray) -> FloatArray:
        relative = self._words[self._records.row_map.rows(ids)] / self._mean
        return (sums / (1 + _K1 * (1 - _B + _B * relative))).astype(np.float32)

    def _having(self, term: str, within: Selection | None = None) -> IntArray:
        """Ids, ascending, of the living chunks that have a term."""
        found = [np.empty(0, np.int64), *(part.matches(term) for part in self._records.parts)]
        ids = self._records.living(np.concatenate(found))
        return ids if within is None else ids[within.has(self._records.row_map.rows(ids))]

    def _have(self, term: str, frequency: int, ids: IntArray) -> npt.NDArray[np.bool_]:
        """bool[n]: which of some chunks have a term."""
        if frequency <= max(_FEW_ROWS, 10 * len(ids)):
            return np.isin(ids, self._having(term), assume_unique=True)
        found = [np.empty(0, np.int64), *(part.matches(term, ids) for part in self._records.parts)]
        return np.isin(ids, np.concatenate(found), assume_unique=True)
