"""Carries out the steps of a question and the request at its end: in the calling thread, or in an event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from memvid.chat.answering import encodable
from memvid.chat.memory import Memory
from memvid.chat.session import Session
from memvid.chat.turn import Around, Search, Step
from memvid.config import ChatConfig
from memvid.errors import LLMError, LLMResponseError, MemvidError
from memvid.llm import Backend, Completion, Message, Piece, TokenCounter, TokenUsage
from memvid.llm.failures import stopped
from memvid.llm.gauge import AnswerGauge, held
from memvid.network.meter import Clock, StoppedError
from memvid.network.secret import Secret

__all__ = ["Runner"]

_Result = TypeVar("_Result")
_END = object()


class Runner:
    """Asks a memory and a backend, and keeps account of what the backend says it used.

    :param memory: what is searched.
    :param backend: what answers.
    :param counter: counts tokens where the backend does not say.
    :param config: what an answer may take.
    :param key: is taken out of what another's backend says when it fails.
    """

    def __init__(
        self, memory: Memory, backend: Backend, counter: TokenCounter, config: ChatConfig, key: Secret | None = None
    ) -> None:
        self._config = config
        self.memory = memory
        self.backend = backend
        self.counter = counter
        self._key = key

    def clock(self) -> Clock:
        """The time that a question has until its answer is complete."""
        return Clock(self._config.answer_seconds)

    def run(self, steps: Generator[Step, Any, _Result], session: Session, clock: Clock) -> _Result:
        """All steps in this thread."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, Search):
                    answer: Any = self.memory.search(step.query, step.top_k, **step.options)
                elif isinstance(step, Around):
                    answer = self.memory.around(step.chunk_ids, longest=step.longest)
                else:
                    reply = self.complete(step.messages, session, clock, max_tokens=step.max_tokens)
                    answer = encodable(reply.text)
                step = steps.send(answer)
        except StopIteration as end:
            result: _Result = end.value
            return result

    async def arun(self, steps: Generator[Step, Any, _Result], session: Session, clock: Clock) -> _Result:
        """All steps, without blocking the event loop; what may count many tokens runs in a thread too."""
        import asyncio

        step = await asyncio.to_thread(_advance, steps, None)
        while not isinstance(step, _Finished):
            if isinstance(step, Search):
                answer: Any = await self.memory.asearch(step.query, step.top_k, **step.options)
            elif isinstance(step, Around):
                answer = await asyncio.to_thread(self.memory.around, step.chunk_ids, longest=step.longest)
            else:
                reply = await self.acomplete(step.messages, session, clock, max_tokens=step.max_tokens)
                answer = encodable(reply.text)
            step = await asyncio.to_thread(_advance, steps, answer)
        result: _Result = step.value
        return result

    def complete(self, messages: list[Message], session: Session, clock: Clock, **options: Any) -> Completion:
        """One request, accounted for.

        :raises LLMError: it fails; so does a backend of another's making, whose own error is the cause.
        """
        with self._wrapping(), clock.waiting() as left:
            completion = self.backend.complete(messages, **self._limited(options, left))
            self._check(completion, options)
        return self._accounted(completion, messages, session)

    async def acomplete(self, messages: list[Message], session: Session, clock: Clock, **options: Any) -> Completion:
        """:meth:`complete` for an event loop."""
        import asyncio

        acomplete = getattr(self.backend, "acomplete", None)
        with self._wrapping(), clock.waiting() as left:
            limited = self._limited(options, left)
            if callable(acomplete):
                completion = await self._within(acomplete(messages, **limited), clock)
            else:
                completion = await self._within(asyncio.to_thread(self.backend.complete, messages, **limited), clock)
            self._check(completion, options)
        return self._accounted(completion, messages, session)

    def stream(self, messages: list[Message], clock: Clock, **options: Any) -> Iterator[Piece]:
        """One request as it is answered; :meth:`account` keeps account of it."""
        with self._wrapping():
            pieces = self.backend.stream(messages, **self._limited(options, clock.left))
            try:
                yield from held(map(_check_piece, pieces), self._gauge(options), clock)
            finally:
                _close(pieces)

    async def astream(self, messages: list[Message], clock: Clock, **options: Any) -> AsyncIterator[Piece]:
        """:meth:`stream` for an event loop."""
        gauge = self._gauge(options)
        with self._wrapping():
            pieces = self._apieces(messages, self._limited(options, clock.left))
            try:
                while True:
                    begin = time.monotonic()
                    with clock.waiting():
                        piece = await self._within(anext(pieces, None), clock)
                    if piece is None:
                        return
                    gauge.take(piece, time.monotonic() - begin)
                    yield piece
            finally:
                await pieces.aclose()

    async def _apieces(self, messages: list[Message], options: dict[str, Any]) -> AsyncGenerator[Piece, None]:
        """What the backend streams, in a thread if it has nothing for event loops."""
        import asyncio

        astream = getattr(self.backend, "astream", None)
        if callable(astream):
            pieces = astream(messages, **options)
            try:
                async for piece in pieces:
                    yield _check_piece(piece)
            finally:
                if hasattr(pieces, "aclose"):
                    await pieces.aclose()
            return
        blocking = self.backend.stream(messages, **options)
        try:
            while (made := await asyncio.to_thread(next, blocking, _END)) is not _END:
                yield _check_piece(made)
        finally:
            _close(blocking)

    def account(self, session: Session, messages: list[Message], answer: str, usage: TokenUsage | None) -> None:
        """Add a request to the session's usage; counted here if the backend does not say."""
        if getattr(self.backend, "quotes", False):
            return
        counted = usage is None
        if usage is None:
            sent = sum(self.counter.count(message["content"]) for message in messages)
            usage = TokenUsage(sent, self.counter.count(answer))
        session.usage = session.usage.plus(usage.prompt_tokens, usage.completion_tokens, counted=counted)

    @property
    def _trusted(self) -> bool:
        """Whether the backend itself keeps to limits."""
        return bool(getattr(self.backend, "takes_limits", False))

    def _limited(self, options: dict[str, Any], left: float) -> dict[str, Any]:
        """The options of a request, with its limits if the backend keeps them."""
        if not self._trusted:
            return options
        return {**options, "seconds": left, "max_bytes": self._config.answer_bytes}

    def _gauge(self, options: Mapping[str, Any]) -> AnswerGauge:
        """What holds an answer to its limits; quotes have none."""
        return AnswerGauge(tokens=options.get("max_tokens"), pace=self._config.answer_pace)

    async def _within(self, awaited: Awaitable[_Result], clock: Clock) -> _Result:
        """Waits no longer than the clock allows; a backend for event loops that keeps limits is left to do so."""
        import asyncio

        if self._trusted and hasattr(self.backend, "acomplete"):
            return await awaited
        begin = time.monotonic()
        try:
            return await asyncio.wait_for(awaited, clock.left)
        except asyncio.TimeoutError:
            if time.monotonic() - begin < clock.left:  # its own
                raise
            raise clock.overdue() from None

    def _check(self, completion: object, options: Mapping[str, Any]) -> None:
        if not isinstance(completion, Completion) or not isinstance(completion.text, str):
            raise LLMResponseError(
                f"backend {self.backend.name} gave a {type(completion).__name__}: expected a Completion of text"
            )
        self._gauge(options).take(Piece(completion.text))

    def _accounted(self, completion: Completion, messages: list[Message], session: Session) -> Completion:
        self.account(session, messages, completion.text, completion.usage)
        return completion

    @contextmanager
    def _wrapping(self) -> Iterator[None]:
        try:
            yield
        except MemvidError as error:
            self._hide_key(error)
            raise
        except MemoryError:
            raise
        except StoppedError as error:
            raise stopped(error, who=f"backend {self.backend.name}") from None
        except Exception as error:
            self._hide_key(error)
            said = f"{type(error).__name__}: {error}"
            said = self._key.hide_in(said) if self._key is not None else said
            raise LLMError(f"backend {self.backend.name} failed: {said}") from error

    def _hide_key(self, error: BaseException) -> None:
        if self._key is not None:
            self._key.hide_in_error(error)


class _Finished:
    def __init__(self, value: Any) -> None:
        self.value = value


def _advance(steps: Generator[Step, Any, Any], answer: Any) -> Step | _Finished:
    """The next step. (StopIteration cannot cross a future.)"""
    try:
        return steps.send(answer)
    except StopIteration as end:
        return _Finished(end.value)


def _check_piece(piece: object) -> Piece:
    if not isinstance(piece, Piece) or not isinstance(piece.text, str):
        raise LLMResponseError(f"a backend's stream gave a {type(piece).__name__}: expected pieces of text")
    return piece


def _close(pieces: object) -> None:
    close = getattr(pieces, "close", None)
    if callable(close):
        # A thread that a cancelled task left behind may be inside: the iterator ends with it.
        with suppress(ValueError):
            close()
