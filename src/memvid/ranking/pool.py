"""What was read for one query: texts that came out of their frames, copies joined, phrases checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from memvid.ranking.candidates import Asked, Candidates, candidates_of
from memvid.types import JsonObject

__all__ = ["Hit", "Pool", "Stored"]

_WIDER = 4  # times as many candidates, where those there are were not enough
_MOST_CANDIDATES = 1 << 14  # of a query that wants fewer: what copies, or texts without its phrase, may cost
_MOST_AT_ONCE = 1024  # chunks that one query reads at once beyond those it wants

Stored = tuple[str, JsonObject, int, "str | None"]
"""Text, metadata, frame, and why the metadata cannot be used."""


@dataclass(slots=True)
class Hit:
    """A chunk that was found and read.

    :ivar relevance: what it is ordered by; reranking changes it.
    :ivar copies: ids of other chunks with its text.
    :ivar notes: what became of it after it was found, for its explanation.
    """

    chunk_id: int
    cosine: float
    keyword: float
    relevance: float
    stored: Stored
    copies: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Exactly what was added."""
        return self.stored[0]


class Pool:
    """Reads candidates in the order of their relevance until there are as many answers as are wanted.

    :param asked: the query.
    :param wanted: answers to find.
    :param distinct: join chunks of the same text.
    :param candidates: the first ones, as many as :meth:`Asked.first_count` says.
    :ivar hits: the answers so far, the most relevant first unless more candidates had to be taken.
    :ivar candidates: what they were taken from.
    """

    def __init__(self, asked: Asked, candidates: Candidates, wanted: int, *, distinct: bool) -> None:
        self.asked = asked
        self.hits: list[Hit] = []
        self._count = asked.first_count(wanted)
        self.candidates = candidates
        self._wanted = wanted
        self._distinct = distinct
        self._places = list(range(len(self.candidates.ids)))  # of the candidates that were not read
        self._reads = 0
        self._by_text: dict[str, Hit] = {}
        self._known: set[int] = set()

    def next_ids(self) -> list[int]:
        """The chunks to read next; none, if there are enough, or no others."""
        missing = self._wanted - len(self.hits)
        if missing <= 0:
            return []
        while not self._places and self._widen():
            pass
        end = min(missing << self._reads, max(missing, _MOST_AT_ONCE))
        self._reads += 1
        relevance = self.candidates.relevance
        while self._distinct and end < len(self._places):
            if relevance[self._places[end]] != relevance[self._places[end - 1]]:
                break
            end += 1  # perhaps one more copy of the last: copies have equal scores
        ids: list[int] = self.candidates.ids[self._places[:end]].tolist()
        return ids

    def take(self, stored: Iterable[Stored]) -> None:
        """What was read of those chunks."""
        found = self.candidates
        read = 0
        for place, chunk in zip(self._places, stored, strict=False):
            read += 1
            self._known.add(int(found.ids[place]))
            if self.asked.phrases.are_in(chunk[0]):
                cosine, keyword = float(found.cosines[place]), float(found.keyword[place])
                self._add(Hit(int(found.ids[place]), cosine, keyword, float(found.relevance[place]), chunk))
        del self._places[:read]

    def _add(self, hit: Hit) -> None:
        first = self._by_text.get(hit.text) if self._distinct else None
        if first is not None:
            first.copies.append(hit.chunk_id)
        elif len(self.hits) < self._wanted:
            self._by_text[hit.text] = hit
            self.hits.append(hit)

    def _widen(self) -> bool:
        """Take more candidates; whether there were perhaps any."""
        most = max(_MOST_CANDIDATES, self._count)
        if self.candidates.complete or self._count >= most:
            return False
        self._count = min(self._count * _WIDER, most)
        [self.candidates] = candidates_of([self.asked], self._count)
        ids = self.candidates.ids.tolist()
        self._places = [place for place, chunk_id in enumerate(ids) if chunk_id not in self._known]
        return True
