"""Any function as a language model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from memvid.checks import is_int
from memvid.errors import ConfigError, LLMResponseError
from memvid.llm.failures import stopped
from memvid.llm.gauge import AnswerGauge, held
from memvid.llm.protocol import SECONDS, Completion, Message, Piece
from memvid.network.meter import Clock, StoppedError

__all__ = ["CallableBackend"]

_LIMITS = frozenset({"max_tokens", "max_bytes", "seconds"})


class CallableBackend:
    """A function from messages to a text, or to parts of one, as a :class:`~memvid.llm.Backend`.

    :param function: takes a list of messages, each ``{"role": ..., "content": ...}``; returns a string, or an iterator
        of strings, which then streams.
    :param name: names the backend; ``None`` takes the function's own name.
    :param window: tokens that request and answer may have together.
    :param options: passed on to the function as keywords.
    :raises ConfigError: an argument is of the wrong kind.
    """

    model: str | None = None
    takes_limits = True

    def __init__(
        self,
        function: Callable[..., str | Iterable[str]],
        *,
        name: str | None = None,
        window: int = 4096,
        options: dict[str, Any] | None = None,
    ) -> None:
        if not callable(function) or isinstance(function, type):
            raise ConfigError(f"backend is {function!r}: expected a function of a list of messages")
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigError(
                f"backend is {function!r}, which is asynchronous: give a function that waits itself, or an object with "
                "complete, stream, acomplete and astream"
            )
        if not is_int(window, 1):
            raise ConfigError(f"window={window!r} is not possible: expected a whole number from 1")
        self._function = function
        self._options = dict(options or {})
        self.name = name or str(getattr(function, "__qualname__", type(function).__qualname__))
        self.window = window

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        """The whole answer; the function is not told the limits, but the parts that it yields are held to them.

        :raises LLMTimeoutError: they take longer than ``seconds``. (A part that is never yielded is waited for.)
        :raises LLMResponseError: they are more than ``max_tokens`` can be, or something else than text.
        """
        gauge = AnswerGauge(tokens=options.get("max_tokens") or self.window)
        clock = Clock(options.get("seconds") or SECONDS)
        texts: list[str] = []
        try:
            texts.extend(piece.text for piece in held(self.stream(messages, **options), gauge, clock))
        except StoppedError as error:
            raise stopped(error, who=self.name, partial="".join(texts)) from None
        return Completion("".join(texts))

    def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[Piece]:
        """The answer as the function gives it.

        :raises LLMResponseError: the function gives something else than text.
        """
        options = {name: value for name, value in options.items() if name not in _LIMITS}
        answer = self._function(list(messages), **self._options, **options)
        if isinstance(answer, str):
            yield Piece(answer, "stop")
            return
        if not isinstance(answer, Iterable) or isinstance(answer, (Mapping, Set, bytes, bytearray)):
            raise LLMResponseError(f"{self.name} gave a {type(answer).__name__}: expected a string or strings")
        for part in answer:
            if not isinstance(part, str):
                raise LLMResponseError(f"{self.name} gave a {type(part).__name__} in its answer: expected strings")
            yield Piece(part)
        yield Piece("", "stop")

    def __repr__(self) -> str:
        return f"CallableBackend({self.name!r})"
