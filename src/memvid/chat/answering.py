"""From the pieces of an answer to the message that is kept."""

from __future__ import annotations

from collections.abc import Callable

from memvid.chat.citations import CitationFilter
from memvid.chat.records import ChatContext, ChatMessage, Source
from memvid.errors import LLMResponseError
from memvid.llm import Completion, Piece, Quote, TokenUsage

__all__ = ["Answering", "encodable", "quotes_of"]

_QUOTED = 3  # passages that are quoted where there is no model


def quotes_of(context: ChatContext) -> list[Quote]:
    """What is quoted where there is no model: the best passages, best first."""
    best = sorted(context.passages, key=lambda passage: passage.rank)[:_QUOTED]
    return [Quote(passage.number, passage.text) for passage in best]


class Answering:
    """Collects an answer, and lets it through without citations of what was not supplied.

    :param context: what the answer rests on.
    :param seconds: from a frame to its time in the video.
    :param quotes: whether the answer is quotes: then nothing in them is a marker, and all are cited.
    """

    def __init__(self, context: ChatContext, seconds: Callable[[int], float | None], *, quotes: bool) -> None:
        self._context = context
        self._seconds = seconds
        self._quotes = quotes
        self._filter = CitationFilter(frozenset(passage.number for passage in context.passages))
        self._shown: list[str] = []
        self._raw: list[str] = []
        self._half = ""  # of a surrogate pair, whose other half may come with the next piece
        self.finish_reason = "stop"
        self.usage: TokenUsage | None = None

    @property
    def raw(self) -> str:
        """What the backend said, word for word."""
        return "".join(self._raw)

    @property
    def shown(self) -> str:
        """What was let through."""
        return "".join(self._shown)

    def feed(self, piece: Piece) -> str:
        """Take a piece; returns what may be shown."""
        self.usage = piece.usage or self.usage
        self.finish_reason = piece.finish_reason or self.finish_reason
        self._raw.append(piece.text)
        text = self._half + piece.text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = encodable(text[: len(text) - len(self._half)])
        return self._show(text if self._quotes else self._filter.feed(text))

    def finish(self) -> str:
        """What was held back.

        :raises LLMResponseError: there was no text at all.
        """
        half, self._half = encodable(self._half), ""
        rest = self._show(half if self._quotes else self._filter.feed(half) + self._filter.finish())
        if not self.raw.strip():
            raise LLMResponseError(
                f"the model gave no text (finish_reason {self.finish_reason!r}): if it was cut at its limit, perhaps "
                f"while it was thinking, raise answer_tokens={self._context.budget.answer}"
            )
        return rest

    def whole(self, completion: Completion) -> str:
        """Take an answer that is complete; returns what may be shown."""
        return self.feed(Piece(completion.text, completion.finish_reason, completion.usage)) + self.finish()

    def messages(self, *, interrupted: bool = False) -> tuple[ChatMessage, ChatMessage]:
        """The question and the answer, as they are kept."""
        asked = ChatMessage("user", self._context.question, query=self._context.query)
        cited = self._cited()
        said = ChatMessage(
            "assistant",
            self.shown,
            sources=tuple(source for number in sorted(cited) for source in self._sources(number)),
            removed_citations=self._filter.removed,
            finish_reason="interrupted" if interrupted else self.finish_reason,
        )
        return asked, said

    def _show(self, text: str) -> str:
        self._shown.append(text)
        return text

    def _cited(self) -> set[int]:
        return {quote.number for quote in quotes_of(self._context)} if self._quotes else self._filter.cited

    def _sources(self, number: int) -> list[Source]:
        passage = next(passage for passage in self._context.passages if passage.number == number)
        return [
            Source(number, chunk_id, frame, self._seconds(frame), score)
            for chunk_id, frame, score in zip(passage.chunk_ids, passage.frame_indexes, passage.scores, strict=True)
        ]


def encodable(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can bring and no file or request can hold."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
