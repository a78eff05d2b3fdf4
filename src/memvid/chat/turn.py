"""One question, from its words to the request that answers it, as steps that the caller carries out.

The steps are the same for threads and for event loops: a generator says what it needs (:class:`Search`,
:class:`Around`, :class:`Ask`), whoever runs it (:mod:`memvid.chat.running`) does that in its own way and sends the
result back in.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from memvid.chat.fitting import Budget, Fitted, Material, fit, newest_that_fit
from memvid.chat.follow_up import clean_rewrite, query_with_terms
from memvid.chat.prompt import Turn, make_nonce, rewrite_messages, summary_messages
from memvid.chat.records import ChatContext, QueryBy, Summary
from memvid.chat.selection import Candidate, choose, neighbours_that_continue
from memvid.chat.session import Session
from memvid.config import ChatConfig
from memvid.llm import Message
from memvid.types import Chunk, SearchResult

__all__ = ["Around", "Ask", "Prepared", "Search", "Step", "prepare"]

_LONGEST_TOKEN = 16  # characters: a text that has more for each token it may take does not fit, and is not looked at
_REWRITE_TOKENS = 512  # for one line, and for models that think before they write it
_SUMMARY_TOKENS = 1024
_SUMMARY_WORDS = 150


@dataclass(frozen=True, slots=True)
class Search:
    """Wanted: a list of :class:`SearchResult`."""

    query: str
    top_k: int
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Around:
    """Wanted: by chunk id, the chunks beside it, but for those of more characters than ``longest``."""

    chunk_ids: tuple[int, ...]
    longest: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Wanted: the model's reply, a string."""

    messages: list[Message]
    max_tokens: int


Step: TypeAlias = Search | Around | Ask
Steps: TypeAlias = Generator[Step, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request that is ready.

    :ivar messages: what is sent.
    :ivar context: the account of it.
    """

    messages: list[Message]
    context: ChatContext


def prepare(
    question: str, session: Session, config: ChatConfig, budget: Budget, *, has_model: bool
) -> Generator[Step, Any, Prepared]:
    """The steps from a question to its request.

    :param has_model: whether there is a language model to ask for rewriting and summaries.
    :raises QuestionTooLargeError: the question alone does not fit; before anything is asked of anybody.
    """
    turns = session.turns
    empty = Material(
        question=question,
        system_prompt=session.system_prompt,
        turns=(),
        summary=Summary(),
        choice=choose((), min_score=0, diversity=0, limit=1, longest=0),
        beside={},
    )
    fit(empty, budget, context_tokens=0)
    query, query_by = yield from _query(question, session, config, budget, has_model=has_model)
    found: list[SearchResult] = yield Search(_unquoted(query), config.top_k, _options(session, config))
    longest = _LONGEST_TOKEN * min(config.context_tokens, budget.limit)
    choice = choose(
        found, min_score=config.min_score, diversity=config.diversity, limit=config.max_passages, longest=longest
    )
    del found  # some of it may be large
    beside = yield from _beside(choice.ranked[: config.neighbours], longest)

    def fitted() -> Fitted:
        material = Material(
            question=question,
            system_prompt=session.system_prompt,
            turns=turns,
            summary=session.summary,
            choice=choice,
            beside=beside,
        )
        return fit(material, budget, context_tokens=config.context_tokens, ends_first=has_model)

    result = fitted()
    if result.turns_uncovered and config.summarise and has_model:
        yield from _summarise(session, turns, len(turns) - min(result.turns_to_keep, result.turns_sent), budget)
        result = fitted()
    context = ChatContext(
        question=question,
        query=query,
        query_by=query_by,
        passages=result.passages,
        left_out=result.left_out,
        budget=result.budget,
        turns_sent=result.turns_sent,
        turns_summarised=result.turns_summarised,
        turns_left_out=result.turns_left_out,
    )
    return Prepared(messages=result.messages, context=context)


def _unquoted(query: str) -> str:
    """A query without quotes: who talks, quotes what may stand otherwise in the memory, and no passage must have it."""
    plain = query.translate(dict.fromkeys(map(ord, '"\u201c\u201d'), " "))
    return plain if plain.strip() else query


def _options(session: Session, config: ChatConfig) -> dict[str, Any]:
    """What the search is told, but for what the retriever does by itself."""
    options = {"where": session.where, "mode": config.mode, "rerank": config.rerank}
    return {name: value for name, value in options.items() if value is not None}


def _query(
    question: str, session: Session, config: ChatConfig, budget: Budget, *, has_model: bool
) -> Generator[Step, Any, tuple[str, QueryBy]]:
    """What to search for, and who says so."""
    if not session.messages or config.follow_up == "none":
        return question, "question"
    if has_model and config.follow_up in ("auto", "model"):
        request = _rewrite_request(question, session.turns, budget)
        if request is not None:
            rewritten = clean_rewrite(_without_thoughts((yield request)), question, session.queries)
            if rewritten is not None:
                return rewritten, "model"
    query = query_with_terms(question, session.queries)
    return query, "terms" if query != question else "question"


def _rewrite_request(question: str, turns: list[Turn], budget: Budget) -> Ask | None:
    """With as many of the newest turns as fit; ``None`` if not even one does."""
    answer = min(_REWRITE_TOKENS, budget.answer)
    nonce = make_nonce([question, *(text for turn in turns for text in turn)])
    limit = budget.window - answer
    room = limit - budget.measure(rewrite_messages(question, nonce=nonce, turns=()))
    count = newest_that_fit(turns, budget.of_turn, room)[0]
    while count:
        messages = rewrite_messages(question, nonce=nonce, turns=turns[-count:])
        if budget.measure(messages) <= limit:
            return Ask(messages, answer)
        count -= 1
    return None


def _beside(best: tuple[Candidate, ...], longest: int) -> Generator[Step, Any, dict[int, tuple[Candidate, ...]]]:
    ids = tuple(candidate.chunk_id for candidate in best if candidate.chunk_id >= 0)
    if not ids:
        return {}
    around: dict[int, list[Chunk]] = yield Around(ids, longest)
    return {
        candidate.chunk_id: neighbours_that_continue(candidate, around.get(candidate.chunk_id, ()))
        for candidate in best
    }


def _summarise(session: Session, turns: list[Turn], until: int, budget: Budget) -> Generator[Step, Any, None]:
    """Take the turns before ``until`` into the summary, as many a request as fit; one that fits into none is passed."""
    answer = min(_SUMMARY_TOKENS, budget.answer)
    limit = budget.window - answer
    words = max(20, min(_SUMMARY_WORDS, answer // 2))
    while session.summary.turns < until:
        before = session.summary
        rest = turns[before.turns : until]
        nonce = make_nonce([before.text, *(text for turn in rest for text in turn)])
        count = len(rest)
        while count:
            messages = summary_messages(rest[:count], nonce=nonce, before=before.text, words=words)
            size = budget.measure(messages)
            if size <= limit:
                break
            count = min(count - 1, max(1, count * limit // size)) if count > 1 else 0
        if count == 0:
            session.summary = Summary(before.text, before.turns + 1)
            continue
        text = _without_thoughts((yield Ask(messages, answer)))
        if not text:  # the turns are in no summary then, and are told as left out
            return
        session.summary = Summary(text, before.turns + count)


def _without_thoughts(reply: str) -> str:
    """What a model says after thinking aloud, as some servers let it; nothing, if it was cut while it still thought."""
    before, ended, after = reply.rpartition("</think>")
    return after.strip() if ended or not after.lstrip().startswith("<think>") else before
