"""What a language model is to memvid: messages in, text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, runtime_checkable

__all__ = ["SECONDS", "Backend", "BackendLike", "Completion", "Message", "Piece", "Quote", "TokenUsage"]

SECONDS = 600.0
"""How long an answer may be waited for if nobody says."""

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One message of a request."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one request, as the provider counted them.

    :ivar prompt_tokens: tokens sent.
    :ivar completion_tokens: tokens of the answer.
    """

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    :ivar text: the answer.
    :ivar finish_reason: ``"stop"``; ``"length"`` if it was cut at its limit; others are the provider's own.
    :ivar usage: tokens, or ``None`` if the provider does not say.
    """

    text: str
    finish_reason: str = "stop"
    usage: TokenUsage | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer that is streamed.

    :ivar text: the next characters; may be empty.
    :ivar finish_reason: in the piece that ends the answer, why it ends; else ``None``.
    :ivar usage: tokens, in one of the pieces if the provider says.
    :ivar thought: what the model thought meanwhile, if the provider tells; no part of the answer.
    """

    text: str
    finish_reason: str | None = None
    usage: TokenUsage | None = None
    thought: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """A passage for backends that answer by quoting.

    :ivar number: what it is cited by.
    :ivar text: exactly what the memory holds.
    """

    number: int
    text: str


@runtime_checkable
class Backend(Protocol):
    """Answers a list of messages.

    ``options`` are ``max_tokens`` (what the answer may have at most) and whatever the user gave as ``llm_options``; a
    backend ignores ``max_tokens`` if it cannot keep it and refuses options it does not know.

    More members are used where they exist: ``model``, the model's name or ``None``; ``window``, the tokens that request
    and answer may have together; ``acomplete(messages, **options)`` and ``astream(messages, **options)``, without which
    event loops run the others in a thread; ``quotes``, true for a backend that is no language model and gets the option
    ``passages`` (a sequence of :class:`Quote`, best first) in place of ``max_tokens``; ``takes_limits``, true for a
    backend that also keeps the options ``seconds`` (how long the answer may be waited for) and ``max_bytes`` (how large
    a reply may be); ``close()`` and ``aclose()``.

    A backend may be called from several threads at once. What it raises should be an
    :class:`~memvid.errors.LLMError`; any other exception becomes the cause of one.
    """

    @property
    def name(self) -> str:
        """Names the backend, in messages and exports."""
        ...

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        """The whole answer at once."""
        ...

    def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[Piece]:
        """The answer as it is made. Closing the iterator ends the request."""
        ...


BackendLike: TypeAlias = Backend | Callable[[list[Message]], str | Iterator[str]]
"""What may be passed as ``backend=``: a backend, or a function from messages to a text or to parts of one."""

Options: TypeAlias = Mapping[str, Any]
