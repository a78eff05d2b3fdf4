"""One client for every endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from memvid.checks import is_int, is_number
from memvid.errors import ConfigError, LLMConnectionError, LLMRequestError, LLMResponseError, MemvidError
from memvid.llm.failures import error_of
from memvid.llm.protocol import SECONDS, Completion, Message, Piece, TokenUsage
from memvid.llm.providers import ModelEndpoint
from memvid.network.endpoint import CUSTOM
from memvid.network.failure import read_failure
from memvid.network.meter import Meter
from memvid.network.secret import EchoMask, mask
from memvid.network.service import Service
from memvid.pickling import NotPicklable

__all__ = ["OpenAIBackend"]

_LONGEST_WAIT = 10_000_000  # seconds; sockets refuse infinity
_CHECK_ADDRESS = "it does not speak OpenAI's protocol there; check base_url, which mostly ends in /v1"
_OWN = frozenset({"messages", "model", "stream", "stream_options", "max_tokens", "max_completion_tokens"})
_BYTES = 16 << 20
_PATIENCE = 15.0  # seconds to wait for a server that asks to; somebody is waiting for the answer
_AFTERWARDS = 8  # events after the end of an answer: there comes how many tokens it had
_MOST_TOKENS = 1 << 53
_REASON = 64  # characters of a word for why an answer ended


class OpenAIBackend(NotPicklable):
    """A model behind OpenAI, Anthropic, Gemini, Ollama, vLLM, llama.cpp, LM Studio or any server like them.

    The ``openai`` package is imported with the first request. Safe to share between threads. Redirects are not
    followed, and a server on this machine is not asked through a proxy. Event loops get a connection of their own for
    each request.

    :param endpoint: where requests go, with which key (:func:`~memvid.llm.providers.choose_model_endpoint`).
    :param timeout: seconds the provider may be silent.
    :param max_retries: how often a request that failed for a passing reason (408, 409, 429, 5xx, no connection) is
        tried again, after the time the provider asks for, if that is at most 15 seconds in all.
    :param options: more options for every request, such as ``temperature``; ``extra_body`` takes a server's own.
    :raises ConfigError: an option is out of range, or memvid's own.
    """

    takes_limits = True
    _elsewhere = "it holds a key and connections; make one there"

    def __init__(
        self,
        endpoint: ModelEndpoint,
        *,
        timeout: float = 120.0,
        max_retries: int = 2,
        options: dict[str, Any] | None = None,
    ) -> None:
        if not is_number(timeout, 0, _LONGEST_WAIT) or timeout == 0:
            raise ConfigError(f"timeout={timeout!r} is not possible: expected seconds above 0, at most {_LONGEST_WAIT}")
        if not is_int(max_retries, 0):
            raise ConfigError(f"max_retries={max_retries!r} is not possible: expected a whole number from 0")
        if taken := _OWN & set(options or ()):
            raise ConfigError(f"llm_options has {sorted(taken)[0]!r}, which memvid sets itself: leave it out")
        _check_headers((options or {}).get("extra_headers"))
        self._endpoint = endpoint
        self._options = dict(options or {})
        self._model = endpoint.model
        self._service = Service(
            endpoint,
            timeout=timeout,
            max_retries=max_retries,
            patience=_PATIENCE,
            own_headers=self._options.get("extra_headers") or (),
        )

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._endpoint.provider

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self._endpoint.base_url

    @property
    def model(self) -> str | None:
        """The model; ``None`` until the first request if the server is to choose."""
        return self._model

    @property
    def window(self) -> int:
        """Tokens that request and answer may have together."""
        return self._endpoint.window

    def models(self) -> list[str]:
        """Names of the models that the server lists; one request.

        :raises LLMError: it cannot be reached, or refuses.
        """
        meter = _take_meter({})
        with self._translating(meter):
            return _names(self._service.client(meter).models.list())

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        """The whole answer; see :class:`~memvid.llm.Backend`."""
        meter = _take_meter(options)
        request = self._request(messages, options)
        with self._translating(meter):
            client = self._service.client(meter)
            request["model"] = self._model or self._first(client.models.list())
            return self._completion(client.chat.completions.create(**request))

    def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[Piece]:
        """The answer as it is made; see :class:`~memvid.llm.Backend`."""
        meter = _take_meter(options)
        request = self._request(messages, options, stream=True)
        reader = _StreamReader(meter, EchoMask(self._endpoint.key))
        with self._translating(meter, reader):
            client = self._service.client(meter)
            request["model"] = self._model or self._first(client.models.list())
            with client.chat.completions.create(**request) as events:
                for event in events:
                    yield reader.piece(event)
                    if reader.enough:
                        break
        self._check_ended(reader)

    async def acomplete(self, messages: Sequence[Message], **options: Any) -> Completion:
        """:meth:`complete` for an event loop."""
        meter = _take_meter(options)
        request = self._request(messages, options)
        with self._translating(meter):
            async with await self._async_client(meter) as client:
                request["model"] = self._model or self._first(await client.models.list())
                return self._completion(await client.chat.completions.create(**request))

    async def astream(self, messages: Sequence[Message], **options: Any) -> AsyncIterator[Piece]:
        """:meth:`stream` for an event loop."""
        meter = _take_meter(options)
        request = self._request(messages, options, stream=True)
        reader = _StreamReader(meter, EchoMask(self._endpoint.key))
        with self._translating(meter, reader):
            async with await self._async_client(meter) as client:
                request["model"] = self._model or self._first(await client.models.list())
                async with await client.chat.completions.create(**request) as events:
                    async for event in events:
                        yield reader.piece(event)
                        if reader.enough:
                            break
        self._check_ended(reader)

    def close(self) -> None:
        """Close idle connections; the next request opens new ones."""
        self._service.close()

    def __repr__(self) -> str:
        key = f", key {mask(self._endpoint.key.reveal())}" if self._endpoint.key else ""
        return f"OpenAIBackend({self.name!r}, model={self._model!r}, base_url={self.base_url!r}{key})"

    def _request(self, messages: Sequence[Message], options: dict[str, Any], *, stream: bool = False) -> dict[str, Any]:
        request: dict[str, Any] = {**self._options, **options, "messages": list(messages)}
        limit = request.pop("max_tokens", None)
        if limit is not None:
            request[self._endpoint.limit_name] = limit
        if stream:
            request["stream"] = True
            if self.name != CUSTOM:  # a server that nobody knows might refuse what it does not know
                request["stream_options"] = {"include_usage": True}
        return request

    async def _async_client(self, meter: Meter) -> Any:
        """A client, made in a thread: importing ``openai`` and reading certificates take their time."""
        import asyncio

        return await asyncio.to_thread(self._service.async_client, meter)

    def _first(self, listed: Any) -> str:
        """The server's first model, remembered."""
        names = _names(listed)
        if not names:
            raise LLMRequestError(f"{self._who()} lists no model: load one, or give llm_model=...")
        self._model = names[0]
        return self._model

    def _completion(self, answer: Any) -> Completion:
        choice = _first_choice(answer)
        message = getattr(choice, "message", None)
        if message is None:
            raise LLMResponseError(f"{self._who()} gave no answer in its reply: {_CHECK_ADDRESS}")
        return Completion(EchoMask(self._endpoint.key).text(_said(message)), _reason(choice) or "stop", _usage(answer))

    def _check_ended(self, reader: _StreamReader) -> None:
        if not reader.begun:
            raise LLMResponseError(f"{self._who()} gave no event of a stream in its reply: {_CHECK_ADDRESS}")
        if not reader.ended:
            raise LLMConnectionError(
                f"{self._who()} broke off in the middle of the answer: ask again", partial=reader.partial
            )

    def _who(self) -> str:
        model = f", model {self._model!r}," if self._model else ""
        return f"{self.name}{model} at {self.base_url}"

    @contextmanager
    def _translating(self, meter: Meter, reader: _StreamReader | None = None) -> Iterator[None]:
        """Turn the client's errors into memvid's. Once an answer is complete, nothing that follows is an error."""
        try:
            yield
        except (MemvidError, MemoryError):
            raise
        except Exception as error:
            if reader is not None and reader.ended:
                return
            failure = read_failure(error, self._endpoint.key, begun=meter.begun)
            raise error_of(failure, who=self._who(), partial=reader.partial if reader else "") from error


class _StreamReader:
    """Reads the events of a stream, and remembers what had arrived. Their parts may be anything that JSON can be.

    :param meter: is told when the answer is complete.
    :param mask: masks the key, should the server say it a piece at a time.
    :ivar begun: whether there was any event: a web page or an empty body has none.
    """

    def __init__(self, meter: Meter, mask: EchoMask) -> None:
        self._meter = meter
        self._mask = mask
        self._texts: list[str] = []
        self._left = _AFTERWARDS
        self._has_reason = False
        self.begun = False

    @property
    def partial(self) -> str:
        """What had arrived of the answer."""
        return "".join(self._texts)

    @property
    def ended(self) -> bool:
        """Whether the answer is complete: it said why it ended, or that this was all."""
        return self._has_reason or self._meter.ended

    @property
    def enough(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._left == 0

    def piece(self, event: Any) -> Piece:
        """What an event brings."""
        self.begun = True
        if self._has_reason:
            self._left -= 1
        choice = _first_choice(event)
        delta = getattr(choice, "delta", None)
        text, reason = self._mask.text(_said(delta)), _reason(choice)
        self._texts.append(text)
        if reason is not None and not self._has_reason:
            self._has_reason = True
            self._meter.hurry()
        return Piece(text, reason, _usage(event), _thought(delta))


def _take_meter(options: dict[str, Any]) -> Meter:
    return Meter(seconds=options.pop("seconds", SECONDS), max_bytes=options.pop("max_bytes", _BYTES))


def _check_headers(headers: object) -> None:
    if headers is None:
        return
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise ConfigError("llm_options: extra_headers is expected to be a dict of header names and values")
    if any(name.lower() == "authorization" for name in headers):
        raise ConfigError("llm_options: extra_headers has 'Authorization': give the key as llm_api_key")


def _names(listed: Any) -> list[str]:
    """Of models that a server lists."""
    models = getattr(listed, "data", None)
    names = [getattr(model, "id", None) for model in models] if isinstance(models, list) else []
    return [name for name in names if isinstance(name, str) and name]


def _first_choice(answer: Any) -> Any:
    choices = getattr(answer, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _said(message: Any) -> str:
    refusal = getattr(message, "refusal", None)
    return _text(getattr(message, "content", None)) or (refusal if isinstance(refusal, str) else "")


def _text(content: Any) -> str:
    """What is said; some servers send it in parts, and with it parts that are thoughts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _thought(delta: Any) -> str:
    """What a model thinks before it answers, under the two names that servers have for it."""
    thoughts = (getattr(delta, name, None) for name in ("reasoning_content", "reasoning"))
    return next((thought for thought in thoughts if isinstance(thought, str)), "")


def _reason(choice: Any) -> str | None:
    """Why an answer ended; ``None`` if it has not."""
    reason = getattr(choice, "finish_reason", None)
    if reason is None:
        return None
    return reason[:_REASON] if isinstance(reason, str) and reason.isprintable() and reason else "stop"


def _usage(answer: Any) -> TokenUsage | None:
    usage = getattr(answer, "usage", None)
    counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
    possible = [count for count in counts if is_int(count, 0, _MOST_TOKENS)]
    return TokenUsage(*possible) if len(possible) == len(counts) else None
