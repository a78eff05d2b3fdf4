"""Which passages a question is answered from: candidates, thinned, joined, ordered. No files, no model."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import TypeAlias

from memvid.chat.records import ContextPassage, LeftOut, Reason
from memvid.types import Chunk, SearchResult
from memvid.unspaced_scripts import with_pairs

__all__ = ["Candidate", "Choice", "best_first_and_last", "choose", "continues", "join", "neighbours_that_continue"]

_WORD = re.compile(r"\w+")
_LEAST_REPEAT = 16  # characters: a shorter repeat at a seam may be chance
_MOST_TRIES = 1000  # places where the repeat may begin: in a text there are few
_COMPARED = 200_000  # words of all candidates together that likeness goes by
_LEAST_COMPARED = 200  # of each
_ENDS = tuple(".!?\u2026\"'\u201d\u2019)]:;|\u3002\uff01\uff1f")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that may be sent.

    :ivar score: its cosine; ``None`` for a neighbour, which was not found by itself.
    :ivar relevance: what candidates are ordered by.
    """

    chunk_id: int
    text: str
    metadata: Mapping[str, object]
    frame_index: int
    score: float | None
    relevance: float = 0.0

    @classmethod
    def of(cls, found: SearchResult | Chunk) -> Candidate:
        """From a result, or from a neighbour of one."""
        if isinstance(found, SearchResult):
            place = (found.chunk_id, found.text, found.metadata, found.frame_index)
            return cls(*place, found.score, found.relevance)
        return cls(found.chunk_id, found.text, found.metadata, found.frame_index, None)


@dataclass(frozen=True, slots=True)
class Choice:
    """Candidates in the order of their worth, and those that are out."""

    ranked: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]


_Vector: TypeAlias = Mapping[str, float]


def choose(found: Iterable[SearchResult], *, min_score: float, diversity: float, limit: int, longest: int) -> Choice:
    """Rank what was found by maximal marginal relevance (Carbonell and Goldstein 1998), at most ``limit`` of it.

    Relevance is stretched so that the best candidate has 1 and ``min_score`` 0; likeness of two texts is
    the cosine of their words, each weighted by how rare it is among the candidates. A text that is the same as a better
    one but for case, blanks and punctuation is left out. Costs O(limit * candidates) comparisons.

    :param min_score: what neither the cosine nor the relevance of a candidate may be below.
    :param longest: characters; a longer text has no room anywhere and is left out as it is.
    """
    out: list[LeftOut] = []
    pool: list[Candidate] = []
    seen: set[bytes] = set()
    for candidate in sorted(map(Candidate.of, found), key=lambda c: -c.relevance):
        if max(_score(candidate), candidate.relevance) < min_score:
            out.append(leave_out(candidate, "score"))
        elif len(candidate.text) > longest:
            out.append(leave_out(candidate, "budget"))
        elif (words := _digest(candidate.text)) in seen:
            out.append(leave_out(candidate, "repeats"))
        else:
            seen.add(words)
            pool.append(candidate)
    ranked = _mmr(pool, min_score, diversity, limit)
    chosen = set(ranked)
    out += [leave_out(candidate, "limit") for index, candidate in enumerate(pool) if index not in chosen]
    return Choice(tuple(pool[index] for index in ranked), tuple(out))


def leave_out(candidate: Candidate, reason: Reason) -> LeftOut:
    """The record of a candidate that is not sent."""
    return LeftOut(candidate.chunk_id, candidate.frame_index, _score(candidate), reason)


def _mmr(pool: Sequence[Candidate], min_score: float, diversity: float, limit: int) -> list[int]:
    most = max(_LEAST_COMPARED, _COMPARED // max(len(pool), 1))
    vectors = _weigh([list(islice(_words(candidate.text), most)) for candidate in pool])
    top = max((candidate.relevance for candidate in pool), default=1.0)
    least = min((candidate.relevance for candidate in pool), default=min_score)  # of a reranker it may be anything
    least = min(least, min_score)
    span = max(top - least, 1e-9)
    worth = [(candidate.relevance - least) / span for candidate in pool]
    nearest = [0.0] * len(pool)  # likeness to the chosen one it is most like
    left = list(range(len(pool)))
    ranked: list[int] = []
    while left and len(ranked) < limit:
        best = max(left, key=lambda i: (1 - diversity) * worth[i] - diversity * nearest[i])
        left.remove(best)
        ranked.append(best)
        for i in left:
            nearest[i] = max(nearest[i], _cosine(vectors[i], vectors[best]))
    return ranked


def _score(candidate: Candidate) -> float:
    return candidate.score if candidate.score is not None else 0.0


def _words(text: str) -> Iterator[str]:
    return with_pairs(match[0] for match in _WORD.finditer(text.lower()))


def _digest(text: str) -> bytes:
    """Equal for texts of the same words, and for no others; of what has no words, for the same text."""
    words = hashlib.sha256()
    for word in _words(text):
        words.update(word.encode("utf-8", "surrogatepass") + b" ")
    if words.digest() == hashlib.sha256().digest():
        words.update(b" " + text.encode("utf-8", "surrogatepass"))
    return words.digest()


def _weigh(texts: Sequence[Sequence[str]]) -> list[_Vector]:
    """Unit vectors of words, rare ones heavier."""
    in_texts = Counter(word for words in texts for word in set(words))
    vectors: list[_Vector] = []
    for words in texts:
        weights = {word: count * math.log(1 + len(texts) / in_texts[word]) for word, count in Counter(words).items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        vectors.append({word: weight / length for word, weight in weights.items()})
    return vectors


def _cosine(left: _Vector, right: _Vector) -> float:
    if len(left) > len(right):
        left, right = right, left
    return sum(weight * right.get(word, 0.0) for word, weight in left.items())


def continues(first: Candidate, second: Candidate) -> bool:
    """Whether ``second`` goes on where ``first`` ends: the next chunk, of the same document.

    Equal metadata makes it the same document if there is any; without metadata the text has to show it, by a sentence
    that is not finished or by words that both have at the seam.
    """
    if first.chunk_id < 0 or second.chunk_id != first.chunk_id + 1 or first.metadata != second.metadata:
        return False
    if first.metadata or _repeated(first.text, second.text):
        return True
    end, start = first.text.rstrip(), second.text.lstrip()
    return not end.endswith(_ENDS) and start[:1].islower()


def _repeated(first: str, second: str) -> int:
    """Characters at the end of ``first`` that ``second`` begins with: the overlap of chunks, whole."""
    seam = first[-len(second) :] if second else ""
    beginning = second[:_LEAST_REPEAT]
    start = seam.find(beginning) if len(beginning) == _LEAST_REPEAT else -1
    for _ in range(_MOST_TRIES):
        if start < 0:
            break
        if second.startswith(seam[start:]):
            return len(seam) - start
        start = seam.find(beginning, start + 1)
    return 0


def neighbours_that_continue(candidate: Candidate, around: Iterable[Chunk]) -> tuple[Candidate, ...]:
    """Of the chunks beside ``candidate``, those that it goes on with."""
    beside = [Candidate.of(chunk) for chunk in around]
    return tuple(other for other in beside if continues(candidate, other) or continues(other, candidate))


def join(chosen: Sequence[Candidate]) -> list[ContextPassage]:
    """Passages, best first: chunks that continue each other become one, their overlap told once.

    :param chosen: the best first; neighbours behind what they belong to. Numbers are those of the ranks.
    """
    rank = {id(candidate): index for index, candidate in enumerate(chosen)}
    groups: list[list[Candidate]] = []
    for candidate in sorted(chosen, key=lambda c: c.chunk_id):
        if groups and continues(groups[-1][-1], candidate):
            groups[-1].append(candidate)
        else:
            groups.append([candidate])
    groups.sort(key=lambda group: min(rank[id(candidate)] for candidate in group))
    return [_passage(number, group) for number, group in enumerate(groups, 1)]


def _passage(rank: int, group: Sequence[Candidate]) -> ContextPassage:
    text = group[0].text
    for before, after in pairwise(group):
        repeated = _repeated(before.text, after.text)
        text += after.text[repeated:] if repeated else _seam(text, after.text) + after.text
    return ContextPassage(
        number=rank,
        rank=rank,
        text=text,
        chunk_ids=tuple(candidate.chunk_id for candidate in group),
        frame_indexes=tuple(candidate.frame_index for candidate in group),
        scores=tuple(candidate.score for candidate in group),
        metadata=dict(group[0].metadata),
    )


def _seam(before: str, after: str) -> str:
    return "" if before[-1:].isspace() or after[:1].isspace() else "\n"


def best_first_and_last(passages: Sequence[ContextPassage]) -> tuple[ContextPassage, ...]:
    """The best first, the second best last, the others between: models read the ends best (Liu et al. 2023).

    Numbers follow the new order.
    """
    ordered = [*passages[::2], *reversed(passages[1::2])]
    return tuple(replace(passage, number=number) for number, passage in enumerate(ordered, 1))
