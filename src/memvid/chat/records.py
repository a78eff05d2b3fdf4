"""What a conversation is made of, and what its public methods return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from memvid.types import JsonObject

__all__ = ["ChatContext", "ChatMessage", "ChatUsage", "ContextBudget", "ContextPassage", "LeftOut", "Source", "Summary"]

Reason = Literal["score", "repeats", "limit", "budget"]
QueryBy = Literal["question", "model", "terms"]


def _shorten(text: str, limit: int = 48) -> str:
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


@dataclass(frozen=True, slots=True)
class Source:
    """A chunk that an answer cites.

    :ivar number: what it is cited by: ``[number]``.
    :ivar chunk_id: its number in the memory, -1 if the memory does not say.
    :ivar frame_index: the 0-based frame that holds it, -1 if the memory does not say.
    :ivar seconds: when that frame is shown in the video, or ``None`` if the memory does not say.
    :ivar score: cosine similarity to the query; ``None`` for a neighbour that was joined.
    """

    number: int
    chunk_id: int
    frame_index: int
    seconds: float | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A question or an answer.

    :ivar role: ``"user"`` or ``"assistant"``.
    :ivar content: exactly what was asked; what was answered, without citations of passages that were not supplied.
    :ivar query: what was searched for, with questions.
    :ivar sources: chunks that the answer cites, in the order of their numbers.
    :ivar removed_citations: markers in the answer that named no supplied passage.
    :ivar finish_reason: why the answer ended: ``"stop"``; ``"length"``, cut at ``answer_tokens``; ``"interrupted"``;
        others are the provider's own. ``""`` with questions.
    """

    role: Literal["user", "assistant"]
    content: str
    query: str = ""
    sources: tuple[Source, ...] = ()
    removed_citations: int = 0
    finish_reason: str = ""

    def __repr__(self) -> str:
        return f"ChatMessage({self.role!r}, {_shorten(self.content)}, {len(self.sources)} sources)"


@dataclass(frozen=True, slots=True)
class Summary:
    """Old turns in a few words, made by the model.

    :ivar text: the words; ``""`` if there is none.
    :ivar turns: how many of the oldest turns it stands for.
    """

    text: str = ""
    turns: int = 0


@dataclass(frozen=True, slots=True)
class ContextPassage:
    """Neighbouring chunks that the model was given, as one passage.

    :ivar number: what it is cited by; the order in which passages were sent.
    :ivar rank: 1 for the best one.
    :ivar text: the chunks, joined; exactly what the memory holds.
    :ivar chunk_ids: their ids, in order.
    :ivar frame_indexes: the frame of each.
    :ivar scores: the score of each; ``None`` for a neighbour that was joined.
    :ivar metadata: that of the first.
    """

    number: int
    rank: int
    text: str
    chunk_ids: tuple[int, ...]
    frame_indexes: tuple[int, ...]
    scores: tuple[float | None, ...]
    metadata: JsonObject

    @property
    def score(self) -> float:
        """The best score among its chunks."""
        return max((score for score in self.scores if score is not None), default=0.0)

    def __repr__(self) -> str:
        ids = ", ".join(map(str, self.chunk_ids))
        return f"ContextPassage([{self.number}], chunks {ids}, score {self.score:.3f}, {_shorten(self.text)})"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A candidate that was found and not sent.

    :ivar chunk_id: its id.
    :ivar frame_index: its frame.
    :ivar score: its score.
    :ivar reason: ``"score"``, below ``min_score``; ``"repeats"``, the same text as a chosen one; ``"limit"``, beyond
        ``max_passages``; ``"budget"``, no room for the whole of it.
    """

    chunk_id: int
    frame_index: int
    score: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class ContextBudget:
    """Where the tokens of a request went, as the counter counts them.

    :ivar window: what request and answer may have together.
    :ivar answer: kept for the answer.
    :ivar request: the request in all; at most ``window - answer``.
    :ivar passages: of them, those of the passages and their fence.
    :ivar history: of them, those of earlier turns and their summary.
    :ivar counter: how they were counted.
    """

    window: int
    answer: int
    request: int
    passages: int
    history: int
    counter: str


@dataclass(frozen=True, slots=True)
class ChatContext:
    """What the last question was answered from.

    :ivar question: what was asked.
    :ivar query: what was searched for.
    :ivar query_by: who made it: it is the ``"question"``, or the ``"model"`` or ``"terms"`` of the history did.
    :ivar passages: what was sent, in that order: the best first, the second best last. By rank where there is no model.
    :ivar left_out: what was found and not sent.
    :ivar budget: where the tokens went.
    :ivar turns_sent: earlier turns that were sent as they were.
    :ivar turns_summarised: older ones that the summary stands for.
    :ivar turns_left_out: older ones that were not sent at all.
    """

    question: str
    query: str
    query_by: QueryBy
    passages: tuple[ContextPassage, ...]
    left_out: tuple[LeftOut, ...]
    budget: ContextBudget
    turns_sent: int = 0
    turns_summarised: int = 0
    turns_left_out: int = 0


@dataclass(frozen=True, slots=True)
class ChatUsage:
    """What a session has cost.

    :ivar requests: requests to the model: answers, and those that made a question self-contained or a summary.
    :ivar prompt_tokens: tokens sent.
    :ivar completion_tokens: tokens of the answers.
    :ivar counted: of the requests, those whose tokens the provider did not say, so that memvid counted them.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: int = field(default=0)

    @property
    def total_tokens(self) -> int:
        """Tokens sent and received."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, prompt_tokens: int, completion_tokens: int, *, counted: bool) -> ChatUsage:
        """With one more request."""
        return ChatUsage(
            self.requests + 1,
            self.prompt_tokens + prompt_tokens,
            self.completion_tokens + completion_tokens,
            self.counted + counted,
        )
