"""The candidates of one query: the best by meaning and the best by words, all of them with both scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from memvid.config import SearchOptions
from memvid.index import IndexManager
from memvid.index.keywords import search_terms
from memvid.index.selection import Selection
from memvid.index.words import Words
from memvid.query import near_misses_text
from memvid.ranking.fusion import fuse, words_share
from memvid.ranking.phrases import Phrases
from memvid.ranking.refining import Refiner

__all__ = ["CANDIDATES", "Asked", "Candidates", "Nearest"]

CANDIDATES = 50
"""How many of the best by meaning, and of the best by words, get one order, unless more answers are wanted."""

_SPARE = 16  # more of a search by one of the two than are wanted: copies of these take no place of their own

Nearest = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Ids and scores, best first."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Some chunks with their scores, the most relevant first, ties by id.

    :ivar ids: int64[n].
    :ivar cosines: float32[n]; zeros in a search by words alone.
    :ivar keyword: float32[n], BM25; zeros in a search by meaning alone.
    :ivar relevance: float64[n], what they are ordered by.
    :ivar share: what the words weigh in it, 0 to 1.
    :ivar complete: whether asking for more would bring no others.
    """

    ids: NDArray[np.int64]
    cosines: NDArray[np.float32]
    keyword: NDArray[np.float32]
    relevance: NDArray[np.float64]
    share: float
    complete: bool


class Asked:
    """One query to an index.

    :param vector: float32[dim] of the query; ``None`` in a search by words.
    :param expansion: HNSW candidates; ``None`` takes the index's own.
    :param refiner: gives the best candidates their exact cosines, where the index only estimates them.
    :param wanted: how many answers.
    :ivar phrases: what the query quotes.
    :ivar wants_words: whether words are to count, which :attr:`words` has if the index has them.
    """

    def __init__(
        self,
        index: IndexManager,
        query: str,
        options: SearchOptions,
        *,
        vector: NDArray[np.float32] | None,
        expansion: int | None = None,
        refiner: Refiner | None = None,
        wanted: int = CANDIDATES,
    ) -> None:
        self.query = query
        self.phrases = Phrases(query)
        self.vector = vector
        self._index = index
        self._options = options
        self._expansion = expansion
        self._refiner = refiner
        self._wanted = wanted
        self.wants_words = options.mode != "semantic"
        self.words: Words | None = None
        if self.wants_words:
            self.words = index.need_words() if options.mode == "keyword" else index.words

    @cached_property
    def within(self) -> Selection | None:
        """What may be found; ``None`` is everything."""
        return self._index.select(self._options.where, self.phrases.quoted)

    @cached_property
    def unknown_fields(self) -> str:
        """Which fields of the filter no chunk has, and what may have been meant; ``""`` if there are none."""
        where = self._options.where
        return "" if where is None else near_misses_text(self._index.near_misses(where))

    @cached_property
    def frequencies(self) -> dict[str, int]:
        """The words that are searched for, and in how many chunks each is."""
        return {} if self.words is None else {term: self.words.frequency(term) for term in search_terms(self.query)}

    def first_count(self, wanted: int) -> int:
        """How many candidates to begin with."""
        is_fused = self.words is not None and self.vector is not None
        least = CANDIDATES if is_fused or self._refiner is not None else wanted + _SPARE
        return max(least, wanted)

    def candidates(self, count: int, nearest: Nearest | None = None) -> Candidates:
        """The ``count`` best of each kind.

        :param nearest: the best by meaning, if they are known.
        """
        if self.vector is None:
            return self._by_words(count)
        ids, cosines = self._nearest(self.vector, count) if nearest is None else nearest
        ids, cosines = ids[ids >= 0], cosines[ids >= 0]
        least = self._options.min_score
        complete = len(ids) < count or (least is not None and float(cosines[-1]) < least)
        keyword, share = np.zeros(len(ids), np.float32), 0.0
        if self.words is not None and any(self.frequencies.values()):
            best, scores = self.words.search(list(self.frequencies), count, self.within)
            share = words_share(list(self.frequencies.values()), self.words.count, scores)
            ids, cosines, keyword = self._joined(self.words, self.vector, (ids, cosines), (best, scores))
        if self._refiner is not None:
            relevance_of = partial(fuse, keyword=keyword, share=share)
            cosines = self._refiner.refine(self.vector, ids, cosines, relevance_of, self._wanted)
        relevance = fuse(cosines, keyword, share)
        order = np.lexsort((ids, -relevance))
        if least is not None:
            order = order[cosines[order] >= least]
        return Candidates(ids[order], cosines[order], keyword[order], relevance[order], share, complete)

    def _nearest(self, vector: NDArray[np.float32], count: int) -> Nearest:
        ids, cosines = self._index.search(vector[None], count, expansion=self._expansion, within=self.within)
        return ids[0], cosines[0]

    def _by_words(self, count: int) -> Candidates:
        ids, keyword = self._index.need_words().search(list(self.frequencies), count, self.within)
        zeros = np.zeros(len(ids), np.float32)
        return Candidates(ids, zeros, keyword, keyword.astype(np.float64), 1.0, len(ids) < count)

    def _joined(
        self, words: Words, vector: NDArray[np.float32], nearest: Nearest, best: Nearest
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Ids, ascending, of the nearest and of the best by words, with both scores of each."""
        # Without np.union1d, which imports numpy.ma: a tenth of the time of a process's first answer.
        ids = np.array(sorted({*nearest[0].tolist(), *best[0].tolist()}), np.int64)
        terms = list(self.frequencies)
        return (
            ids,
            _filled(ids, *nearest, lambda others: self._index.scores_of(vector, others)),
            _filled(ids, *best, lambda others: words.score(terms, others)),
        )


def _filled(
    ids: NDArray[np.int64],
    known: NDArray[np.int64],
    values: NDArray[np.float32],
    score: Callable[[NDArray[np.int64]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """The value of each id, which ascend: those that are known, and for the others what ``score`` says."""
    filled = np.full(len(ids), np.nan, np.float32)
    filled[np.searchsorted(ids, known)] = values
    missing = np.isnan(filled)
    if missing.any():
        filled[missing] = score(ids[missing])
    return filled
