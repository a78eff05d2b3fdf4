"""The words of all segments by FTS5, whose tables keep only which chunks contain a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memvid.index.row_map import RowMap
from memvid.index.words import word_weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memvid.index.arrays import FloatArray, IntArray
    from memvid.index.sqlite.records import SqliteRecords

__all__ = ["SqliteWords"]

_K1 = 1.2
_B = 0.5
_PROPOSING_ROWS = 10_000  # postings read for the rare words of a query; commoner ones only re-rank what those found
_FEW_ROWS = 2_000  # postings that are read sooner than chunks are looked up among them
_LENGTHS = np.expm1(np.arange(256) / 16)  # words for each length code: within 3 % up to 8 million


class SqliteWords:
    """Ranks by BM25 with every count taken as one, as :class:`~memvid.index.postings.Postings` does.

    :param parts: the segments, in order.
    """

    core: None = None

    def __init__(self, parts: Sequence[SqliteRecords]) -> None:
        self._parts = parts
        self._row_map = parts[0].row_map if len(parts) == 1 else RowMap.joined([part.row_map for part in parts])
        self._words = _LENGTHS[np.concatenate([np.empty(0, np.uint8), *(part.length_codes for part in parts)])]
        self._mean = float(self._words.mean()) if len(self._words) else 1.0

    def frequency(self, term: str) -> int:
        """In how many rows a term is."""
        return sum(part.frequency(term) for part in self._parts)

    def search(
        self, terms: Sequence[str], k: int, allowed: npt.NDArray[np.uint64] | None = None
    ) -> tuple[IntArray, FloatArray]:
        """The k best rows that have any of the terms, of those that ``allowed`` has a bit for.

        Rare terms propose, until ten thousand postings are read and k rows are found; commoner ones then only add to
        the scores of those.
        """
        proposed = np.empty(0, np.int64)
        known = self._known(terms)
        proposing: list[tuple[IntArray, float]] = []
        budget = _PROPOSING_ROWS
        while known and (len(proposed) < k or known[0][0] <= budget):
            frequency, _, term = known.pop(0)
            budget -= frequency
            found = _among(self._having(term), allowed)
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

    def score(self, terms: Sequence[str], rows: IntArray) -> FloatArray:
        """BM25 scores float32[n] of some distinct rows; 0 for those without any of the terms."""
        sums = np.zeros(len(rows))
        for frequency, _, term in self._known(terms):
            sums[self._have(term, frequency, rows)] += self._weight(frequency)
        return self._normed(sums, rows)

    def rows_with_all(self, terms: Sequence[str]) -> IntArray:
        """Rows int64[m], ascending, that have all of the terms; none, if there are no terms."""
        return self._rows([part.matches_all(terms) for part in self._parts] if terms else [])

    def _known(self, terms: Sequence[str]) -> list[tuple[int, int, str]]:
        """Frequency, place and name of the terms that there are, rarest first."""
        return sorted((df, place, term) for place, term in enumerate(terms) if (df := self.frequency(term)))

    def _weight(self, frequency: int) -> float:
        return word_weight(frequency, len(self._row_map)) * (_K1 + 1)

    def _normed(self, sums: npt.NDArray[np.float64], rows: IntArray) -> FloatArray:
        relative = self._words[rows] / self._mean
        scores: FloatArray = (sums / (1 + _K1 * (1 - _B + _B * relative))).astype(np.float32)
        return scores

    def _having(self, term: str) -> IntArray:
        """Rows, ascending, that have a term."""
        return self._rows([part.matches(term) for part in self._parts])

    def _have(self, term: str, frequency: int, rows: IntArray) -> npt.NDArray[np.bool_]:
        """bool[n]: which of some rows have a term."""
        if frequency <= max(_FEW_ROWS, 10 * len(rows)):
            return np.isin(rows, self._having(term), assume_unique=True)
        ids = self._row_map.ids(rows)
        return np.isin(rows, self._rows([part.matches(term, ids) for part in self._parts]), assume_unique=True)

    def _rows(self, ids: Sequence[IntArray]) -> IntArray:
        return self._row_map.rows(np.concatenate([np.empty(0, np.int64), *ids]))


def _among(rows: IntArray, allowed: npt.NDArray[np.uint64] | None) -> IntArray:
    if allowed is None:
        return rows
    bits = allowed[rows >> 6] >> (rows & 63).astype(np.uint64) & np.uint64(1)
    among: IntArray = rows[bits != 0]
    return among
