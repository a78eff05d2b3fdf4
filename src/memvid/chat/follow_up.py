"""A later question made self-contained, so that the search understands it without the conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from memvid.unspaced_scripts import with_pairs

__all__ = ["clean_rewrite", "query_with_terms"]

_WORD = re.compile(r"\w[\w'\u2019-]*")
_LONGEST = 1000  # characters of a rewritten question; a longer one is an answer or a ramble
_MOST_TERMS = 12
_FEW = 3  # words that mean something: a question with fewer leans on the one before

_COMMON = frozenset(
    _WORD.findall(
        "a about above after again all also am an and any are as at be because been before being below between both "
        "but by can could did do does doing down during each few for from further had has have having he her here "
        "hers him his how i if in into is it its itself just let like many me more most much my no nor not now of off "
        "on once only or other our ours out over own please same say says she should so some such tell than that the "
        "their theirs them then there these they thing this those through to too under until up very was we were what "
        "when where which while who whom whose why will with would yes you your yours"
    )
)
_POINTING = frozenset(
    _WORD.findall("he her him his it its she that their theirs them there these they this those then so")
)


def query_with_terms(question: str, earlier: Sequence[str]) -> str:
    """``question``, with words of the queries before it if it points back at them or says little by itself.

    :param earlier: what was searched for before, oldest first; the last one carries words of its own predecessors.
    """
    words = list(_lower(question))
    own = [word for word in words if word not in _COMMON]
    if not earlier or (len(own) > _FEW and not _POINTING.intersection(words)):
        return question
    known = set(words)
    terms: list[str] = []
    for match in _WORD.finditer(earlier[-1]):
        word = match[0]
        if word.lower() not in known and word.lower() not in _COMMON:
            known.add(word.lower())
            terms.append(word)
    return f"{question} ({' '.join(terms[:_MOST_TERMS])})" if terms else question


def _lower(text: str) -> Iterator[str]:
    return (match[0].lower() for match in _WORD.finditer(text))


def clean_rewrite(answer: str, question: str, earlier: Sequence[str]) -> str | None:
    """The question in a model's reply; ``None`` if it is not one line of a sensible length, or about something else.

    :param question: what was asked; a reply without a word of it or of the queries before it is not this question.
    """
    lines = [line.strip() for line in answer.strip().splitlines() if line.strip()]
    if len(lines) != 1:
        return None
    line = lines[0].strip("\"'`*\u201c\u201d ")
    known = {word for text in (question, *earlier) for word in with_pairs(_lower(text))} - _COMMON
    return line if len(line) <= _LONGEST and known.intersection(with_pairs(_lower(line))) else None
