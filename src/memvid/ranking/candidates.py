"""The candidates of one query: the best by meaning and the best by words, all of them with both scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from memvid.config import SearchOptions
from memvid.index import IndexManager
from memvid.index.candidate_search import Scored
from memvid.index.keywords import search_terms
from memvid.index.selection import Selection
from memvid.index.words import Words
from memvid.query import near_misses_text
from memvid.ranking.fusion import NAMED, fuse, names, words_share
from memvid.ranking.phrases import Phrases
from memvid.ranking.refining import Refiner, slack

__all__ = ["CANDIDATES", "Asked", "Candidates", "candidates_of"]

CANDIDATES = 50
"""How many of the best by meaning, and of the best by words, get one order, unless more answers are wanted."""

_SPARE = 16  # more of a search by one of the two than are wanted: copies of these take no place of their own

_Best = tuple[NDArray[np.int64], NDArray[np.float32]]  # ids and scores, best first


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
    :ivar terms: its words, if they are to count and the index has any.
    :ivar wants_words: whether words are to count, if the index has them.
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
        self.index = index
        self._options = options
        self.expansion = expansion
        self._refiner = refiner
        self._wanted = wanted
        self.wants_words = options.mode != "semantic"
        if options.mode == "keyword":
            index.need_words()
        self.terms = search_terms(query) if self.wants_words and index.has_words else []

    @cached_property
    def words(self) -> Words | None:
        """The words that count."""
        return self.index.words if self.wants_words else None

    @cached_property
    def within(self) -> Selection | None:
        """What may be found; ``None`` is everything."""
        where, quoted = self._options.where, self.phrases.quoted
        return None if where is None and not quoted else self.index.select(where, quoted)

    @cached_property
    def unknown_fields(self) -> str:
        """Which fields of the filter no chunk has, and what may have been meant; ``""`` if there are none."""
        where = self._options.where
        return "" if where is None else near_misses_text(self.index.near_misses(where))

    @cached_property
    def frequencies(self) -> dict[str, int]:
        """The words that are searched for, and in how many chunks each is."""
        return {} if self.words is None else {term: self.words.frequency(term) for term in self.terms}

    @cached_property
    def least_share(self) -> float:
        """What words have of the relevance at least: something where the query names what some chunk has."""
        words = self.words
        is_named = words is not None and any(words.frequency(name) for name in names(self.terms))
        return NAMED if is_named and self.vector is not None else 0.0

    def first_count(self, wanted: int) -> int:
        """How many candidates to begin with."""
        by_both = self.wants_words and self.index.has_words and self.vector is not None
        least = CANDIDATES if by_both or self._refiner is not None else wanted + _SPARE
        return max(least, wanted)

    def in_one_call(self) -> bool:
        """Whether the core can search for it by meaning and by words at once."""
        return self._refiner is None and (not self.terms or self.index.ranks_words)

    def take(self, found: Scored, count: int) -> Candidates:
        """What the core found when it was asked for the ``count`` best of each kind."""
        least = self._options.min_score
        if self.vector is None:
            complete = len(found.ids) < count
        else:
            complete = found.nearest < count or (least is not None and found.farthest < least)
        share, relevance, order = found.share, found.relevance, np.arange(len(found.ids))
        if share < self.least_share:  # the best by words of all sets the scale, also where it is below min_score
            share = self.least_share
            relevance = fuse(found.cosines, found.keyword, share)
            order = np.lexsort((found.ids, -relevance))
        if least is not None:
            order = order[found.cosines[order] >= least]
        return Candidates(
            found.ids[order], found.cosines[order], found.keyword[order], relevance[order], share, complete
        )

    def one_by_one(self, count: int) -> Candidates:
        """The ``count`` best of each kind, by meaning and by words one after the other, and then together."""
        if self.vector is None:
            return self._by_words(count)
        ids, cosines = self._nearest(self.vector, count)
        ids, cosines = ids[ids >= 0], cosines[ids >= 0]
        least = self._options.min_score
        unsure = 0 if self._refiner is None else slack(len(self.vector))
        complete = len(ids) < count or (least is not None and float(cosines[-1]) + unsure < least)
        keyword, share = np.zeros(len(ids), np.float32), 0.0
        if self.words is not None and any(self.frequencies.values()):
            best, scores = self.words.search(self.terms, count, self.within)
            share = words_share(list(self.frequencies.values()), self.words.count, scores)
            share = max(share, self.least_share)
            ids, cosines, keyword = self._joined(self.words, self.vector, (ids, cosines), (best, scores))
        if self._refiner is not None:
            relevance_of = partial(fuse, keyword=keyword, share=share)
            cosines = self._refiner.refine(self.vector, ids, cosines, relevance_of, self._wanted)
        relevance = fuse(cosines, keyword, share)
        order = np.lexsort((ids, -relevance))
        if least is not None:
            order = order[cosines[order] >= least]
        return Candidates(ids[order], cosines[order], keyword[order], relevance[order], share, complete)

    def _nearest(self, vector: NDArray[np.float32], count: int) -> _Best:
        ids, cosines = self.index.search(vector[None], count, expansion=self.expansion, within=self.within)
        return ids[0], cosines[0]

    def _by_words(self, count: int) -> Candidates:
        ids, keyword = self.index.need_words().search(self.terms, count, self.within)
        zeros = np.zeros(len(ids), np.float32)
        return Candidates(ids, zeros, keyword, keyword.astype(np.float64), 1.0, len(ids) < count)

    def _joined(
        self, words: Words, vector: NDArray[np.float32], nearest: _Best, best: _Best
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Ids, ascending, of the nearest and of the best by words, with both scores of each."""
        # Without np.union1d, which imports numpy.ma: a tenth of the time of a process's first answer.
        ids = np.array(sorted({*nearest[0].tolist(), *best[0].tolist()}), np.int64)
        return (
            ids,
            _filled(ids, *nearest, lambda others: self.index.scores_of(vector, others)),
            _filled(ids, *best, lambda others: words.score(self.terms, others)),
        )


def candidates_of(asked: Sequence[Asked], count: int) -> list[Candidates]:
    """The ``count`` best of each kind, for queries to one index with the same options that may find the same chunks."""
    first = asked[0]
    if not first.in_one_call():
        return [each.one_by_one(count) for each in asked]
    found = first.index.candidates(
        None if first.vector is None else np.array([each.vector for each in asked]),
        [each.terms for each in asked],
        count,
        expansion=first.expansion,
        within=first.within,
    )
    return [each.take(one, count) for each, one in zip(asked, found, strict=True)]


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
