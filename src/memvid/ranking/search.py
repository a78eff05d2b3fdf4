"""Queries to ranked answers: candidates from the index, texts from the frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memvid.config import SearchOptions
from memvid.index import IndexManager
from memvid.ranking.candidates import CANDIDATES, Asked, Candidates, candidates_of
from memvid.ranking.diversity import diverse_order
from memvid.ranking.explanation import explain, ordinal
from memvid.ranking.pool import Hit, Pool, Stored
from memvid.ranking.refining import Refiner
from memvid.ranking.reranking import PIECES_OF, Embed, best_pieces, rerank_scores
from memvid.types import SearchResult

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RankedSearch"]

Read = Callable[[Sequence[int]], Sequence[Stored]]


class RankedSearch:
    """One call for several queries; each distinct frame is read once.

    :param index: where to search.
    :param read: gives chunks as they are in their frames, in the order of their ids.
    :param options: how.
    :param embed: makes the vectors of passages.
    :param expansion: HNSW candidates; ``None`` takes the index's own.
    :ivar seconds: what was spent on finding candidates, on reading them, and on ranking what was read.
    """

    def __init__(
        self, index: IndexManager, read: Read, options: SearchOptions, *, embed: Embed, expansion: int | None = None
    ) -> None:
        self._index = index
        self._read = read
        self._options = options
        self._embed = embed
        self._expansion = expansion
        self._refiner = Refiner(read, embed) if index.manifest.vectors.profile == "tiny" else None
        self.seconds = {"search": 0.0, "read": 0.0, "rank": 0.0}

    def search(
        self, queries: Sequence[str], top_k: int, vectors: NDArray[np.float32] | None
    ) -> list[list[SearchResult]]:
        """The answers to each query, best first.

        :param vectors: float32[q, dim] of the queries; ``None`` for a search by words.
        """
        count = min(top_k, self._index.count)
        looks_again = self._options.rerank is not None or self._options.diversity > 0
        wanted = min(max(count, CANDIDATES), self._index.count) if looks_again else count
        with self._timed("search"):
            pools = self._open(queries, wanted, vectors)
        self._fill(pools)
        with self._timed("rank"):
            for pool in pools:
                pool.hits.sort(key=_order)
                self._look_again(pool, count)
        return [[self._result(hit, pool) for hit in pool.hits[:count]] for pool in pools]

    def _open(self, queries: Sequence[str], wanted: int, vectors: NDArray[np.float32] | None) -> list[Pool]:
        asked = [
            Asked(
                self._index, query, self._options,
                vector=None if vectors is None else vectors[place], expansion=self._expansion,
                refiner=self._refiner, wanted=wanted,
            )
            for place, query in enumerate(queries)
        ]  # fmt: skip
        found: dict[int, Candidates] = {}
        plain = [place for place, each in enumerate(asked) if not each.phrases]
        for places in (plain, *([place] for place, each in enumerate(asked) if each.phrases)):
            if places:  # those that quote something have a filter of their own
                some = [asked[place] for place in places]
                found.update(zip(places, candidates_of(some, some[0].first_count(wanted)), strict=True))
        return [Pool(each, found[place], wanted, distinct=self._options.distinct) for place, each in enumerate(asked)]

    def _fill(self, pools: Sequence[Pool]) -> None:
        while True:
            with self._timed("search"):
                waiting = [(pool, ids) for pool in pools if (ids := pool.next_ids())]
            if not waiting:
                return
            with self._timed("read"):
                stored = iter(self._read([chunk_id for _, ids in waiting for chunk_id in ids]))
                for pool, ids in waiting:
                    pool.take(islice(stored, len(ids)))

    def _look_again(self, pool: Pool, count: int) -> None:
        """Order the hits by what their texts say, and without likeness, where that is asked for."""
        if self._options.rerank == "pieces":
            self._weigh_pieces(pool)
        elif self._options.rerank is not None:
            scores = rerank_scores(self._options.rerank, pool.asked.query, [hit.text for hit in pool.hits])
            for place, (hit, score) in enumerate(zip(pool.hits, scores, strict=True), 1):
                hit.relevance = score
                hit.notes.append(f"{ordinal(place)} before it was reranked, with {score:.3f}")
            pool.hits.sort(key=_order)
        if self._options.diversity > 0 and pool.hits:
            ids = [hit.chunk_id for hit in pool.hits]
            vectors = self._index.vectors_of(np.array(ids, np.int64))
            if self._refiner is not None:
                vectors = self._refiner.vectors_of(ids, vectors)
            relevance = [hit.relevance for hit in pool.hits]
            places = diverse_order(relevance, vectors, diversity=self._options.diversity, limit=count)
            for place in places:
                pool.hits[place].notes.append(f"{ordinal(place + 1)} by relevance, placed by diversity")
            pool.hits = [pool.hits[place] for place in places]

    def _weigh_pieces(self, pool: Pool) -> None:
        best, vector = pool.hits[:PIECES_OF], pool.asked.vector
        if not best or vector is None:
            return
        found = best_pieces(vector, [hit.text for hit in best], self._embed)
        for place, (hit, piece) in enumerate(zip(best, found, strict=True), 1):
            hit.relevance += (1 - pool.candidates.share) * (piece - hit.cosine) / 2
            hit.notes.append(f"{ordinal(place)} before its best piece, with cosine {piece:.3f}, counted half")
        pool.hits.sort(key=_order)

    def _result(self, hit: Hit, pool: Pool) -> SearchResult:
        text, metadata, frame, fault = hit.stored
        return SearchResult(
            hit.chunk_id, hit.cosine, text, metadata, frame, fault,
            keyword_score=hit.keyword, relevance=hit.relevance, duplicates=tuple(sorted(hit.copies)),
            explanation=explain(hit, pool) if self._options.explain else None,
        )  # fmt: skip

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - begin


def _order(hit: Hit) -> tuple[float, int]:
    """The most relevant first, ties by id."""
    return -hit.relevance, hit.chunk_id
