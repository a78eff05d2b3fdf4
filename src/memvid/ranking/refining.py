"""Cosines of chunks that the index only estimates: their texts are read and embedded again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memvid.errors import FrameError, ResourceLimitError
from memvid.ranking.reranking import Embed

if TYPE_CHECKING:
    from memvid.ranking.pool import Stored

__all__ = ["REFINED", "Refiner", "slack"]

REFINED = 50
"""How many of the best candidates are embedded again, at most."""

_AT_ONCE = 10  # texts in memory
_DEVIATION = 0.75  # of an estimate made of one bit a dimension, times the root of the dimensions
_DEVIATIONS = 2  # that the next candidate's estimate may be off, if it is still to be one of those that are wanted


class Refiner:
    """Makes vectors of chunks out of the texts in their frames, once for all queries of a call.

    :param read: gives chunks as they are in their frames, in the order of their ids.
    :param embed: makes the vectors of passages.
    """

    def __init__(self, read: Callable[[Sequence[int]], Sequence[Stored]], embed: Embed) -> None:
        self._read = read
        self._embed = embed
        self._texts: dict[int, int] = {}  # hashes of the texts of chunks: those with the same one count once
        self._vectors: dict[int, NDArray[np.float32]] = {}  # by those hashes
        self._unread: set[int] = set()

    def refine(
        self,
        query: NDArray[np.float32],
        ids: NDArray[np.int64],
        cosines: NDArray[np.float32],
        relevance_of: Callable[[NDArray[np.float32]], NDArray[np.float64]],
        wanted: int,
    ) -> NDArray[np.float32]:
        """The cosines, of the best candidates exact ones in place of estimates.

        The most relevant are embedded first, until the next one is hardly among the best that are wanted. Those that
        cannot be read keep their estimates: whether that matters is seen when they are to be an answer.

        :param query: float32[dim].
        :param cosines: estimates, one for each of ``ids``.
        :param relevance_of: what candidates are ordered by, made of their cosines.
        :param wanted: how many answers.
        """
        refined = cosines.copy()
        places = {chunk: place for place, chunk in enumerate(ids.tolist())}
        new = [chunk for chunk in self._texts if chunk in places]
        known = np.zeros(len(ids), bool)
        while True:
            for chunk in new:
                place = places[chunk]
                refined[place], known[place] = _cosine(query, self._vectors[self._texts[chunk]]), True
            unread = np.isin(ids, list(self._unread))
            relevance = relevance_of(refined)
            order = np.lexsort((ids, -relevance))
            waiting = order[~(known | unread)[order]][: REFINED - int(known.sum())]
            if not len(waiting):
                return refined
            answers = self._distinct(ids[order[known[order]]].tolist())
            if len(answers) >= wanted:
                least = relevance[places[answers[wanted - 1]]]
                better = refined.copy()
                better[waiting[0]] += slack(len(query))
                if relevance_of(better)[waiting[0]] < least:
                    return refined
            new = self._make(ids[waiting[:_AT_ONCE]].tolist())

    def vectors_of(self, ids: Sequence[int], stored: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors of chunks, of those that were not embedded again as they are ``stored``."""
        made = {chunk: self._vectors[self._texts[chunk]] for chunk in ids if chunk in self._texts}
        return np.stack([made.get(chunk, stored[place]) for place, chunk in enumerate(ids)])

    def _make(self, ids: list[int]) -> list[int]:
        """Embed what some chunks say; those of them that could be read."""
        try:
            texts = [stored[0] for stored in self._read(ids)]
        except (FrameError, ResourceLimitError):
            if len(ids) > 1:
                return [chunk for each in ids for chunk in self._make([each])]
            self._unread.update(ids)
            return []
        new = [text for text in dict.fromkeys(texts) if hash(text) not in self._vectors]
        if new:
            self._vectors.update(zip(map(hash, new), self._embed(new), strict=True))
        self._texts.update(zip(ids, map(hash, texts), strict=True))
        return ids

    def _distinct(self, ids: Sequence[int]) -> list[int]:
        """Of chunks with the same text the first."""
        first: dict[int, int] = {}
        for chunk in ids:
            first.setdefault(self._texts[chunk], chunk)
        return list(first.values())


def slack(dim: int) -> float:
    """How much an estimate may be too low."""
    return float(_DEVIATIONS * _DEVIATION / dim**0.5)


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0
