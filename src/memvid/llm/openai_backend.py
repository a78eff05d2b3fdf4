"""One client for every endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from memvid.checks import is_int, is_number
from memvid.dependencies import import_dependency
from memvid.errors import (
    ConfigError,
    LLMConnectionError,
    LLMRequestError,
    LLMResponseError,
    MemvidError,
)
from memvid.llm.openai_errors import translate
from memvid.llm.protocol import Completion, Message, Piece, TokenUsage
from memvid.llm.providers import ModelEndpoint
from memvid.network.address import is_here, origin
from memvid.network.endpoint import CUSTOM
from memvid.network.secret import mask

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

__all__ = ["OpenAIBackend"]

_PLACEHOLDER = "memvid"  # what the client has for a key; the real one is put into the header by _Guard
_LONGEST_WAIT = 10_000_000  # seconds; sockets refuse infinity
_OWN = frozenset({"messages", "model", "stream", "stream_options", "max_tokens", "max_completion_tokens"})
# Headers of the client that any endpoint may see. Others come from variables of the environment that are OpenAI's.
_HEADERS = frozenset(
    {"host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length"}
)


class _Guard:
    """Puts the key into requests to the endpoint itself, and stops all others.

    So the key is in no object of the client: no repr, log or pickle of it can show one.
    """

    __slots__ = ("_allowed", "_endpoint")

    def __init__(self, endpoint: ModelEndpoint, own_headers: Iterable[str] = ()) -> None:
        self._endpoint = endpoint
        self._allowed = _HEADERS.union(name.lower() for name in own_headers)

    def __call__(self, request: Any) -> None:
        endpoint = self._endpoint
        home, target = origin(endpoint.base_url), origin(str(request.url))
        if target != home:
            raise LLMConnectionError(f"a request to {target[1]} was stopped: requests go to {home[1]} only")
        if endpoint.provider != "openai" or not endpoint.at_home:
            for name in list(request.headers):
                if name.lower() not in self._allowed and not name.lower().startswith("x-stainless-"):
                    del request.headers[name]
        request.headers.pop("Authorization", None)
        if endpoint.key is not None:
            request.headers["Authorization"] = f"Bearer {endpoint.key.reveal()}"

    async def awaited(self, request: Any) -> None:
        """The same for an asynchronous client."""
        self(request)


class OpenAIBackend:
    """A model behind OpenAI, Anthropic, Gemini, Ollama, vLLM, llama.cpp, LM Studio or any server like them.

    The ``openai`` package is imported with the first request. Safe to share between threads. Redirects are not
    followed, and a server on this machine is not asked through a proxy. Event loops get a connection of their own for
    each request.

    :param endpoint: where requests go, with which key (:func:`~memvid.llm.providers.choose_model_endpoint`).
    :param timeout: seconds the provider may be silent.
    :param max_retries: how often a request that failed for a passing reason (429, 5xx, no connection) is tried again,
        after the time the provider asks for.
    :param options: more options for every request, such as ``temperature``; ``extra_body`` takes a server's own.
    :raises ConfigError: an option is out of range, or memvid's own.
    """

    def __init__(
        self,
        endpoint: ModelEndpoint,
        *,
        timeout: float = 120.0,
        max_retries: int = 2,
        options: dict[str, Any] | None = None,
    ) -> None:
        if not is_number(timeout, 0, _LONGEST_WAIT) or not timeout:
            raise ConfigError(f"timeout={timeout!r} is not possible: expected seconds above 0, at most {_LONGEST_WAIT}")
        if not is_int(max_retries, 0):
            raise ConfigError(f"max_retries={max_retries!r} is not possible: expected a whole number from 0")
        if taken := _OWN & set(options or ()):
            raise ConfigError(f"llm_options has {sorted(taken)[0]!r}, which memvid sets itself: leave it out")
        _check_headers((options or {}).get("extra_headers"))
        self._endpoint = endpoint
        self._timeout = timeout
        self._max_retries = max_retries
        self._options = dict(options or {})
        self._model = endpoint.model
        self._lock = threading.Lock()
        self._made: OpenAI | None = None

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
        with self._translating():
            return [model.id for model in self._client().models.list()]

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        """The whole answer; see :class:`~memvid.llm.Backend`."""
        client, request = self._client(), self._request(messages, options)
        with self._translating():
            request["model"] = self._model or self._first(client.models.list().data)
            return self._completion(client.chat.completions.create(**request))

    def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[Piece]:
        """The answer as it is made; see :class:`~memvid.llm.Backend`."""
        client, request = self._client(), self._request(messages, options, stream=True)
        reader = _StreamReader()
        with self._translating(reader):
            request["model"] = self._model or self._first(client.models.list().data)
            with client.chat.completions.create(**request) as events:
                for event in events:
                    yield reader.piece(event)
        self._check_ended(reader)

    async def acomplete(self, messages: Sequence[Message], **options: Any) -> Completion:
        """:meth:`complete` for an event loop."""
        request = self._request(messages, options)
        async with await self._async_client() as client:
            with self._translating():
                request["model"] = self._model or self._first((await client.models.list()).data)
                return self._completion(await client.chat.completions.create(**request))

    async def astream(self, messages: Sequence[Message], **options: Any) -> AsyncIterator[Piece]:
        """:meth:`stream` for an event loop."""
        request = self._request(messages, options, stream=True)
        reader = _StreamReader()
        async with await self._async_client() as client:
            with self._translating(reader):
                request["model"] = self._model or self._first((await client.models.list()).data)
                async with await client.chat.completions.create(**request) as events:
                    async for event in events:
                        yield reader.piece(event)
        self._check_ended(reader)

    def close(self) -> None:
        """Close idle connections; the next request opens new ones."""
        with self._lock:
            client, self._made = self._made, None
        if client is not None:
            client.close()

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

    def _first(self, models: Sequence[Any]) -> str:
        """The server's first model, remembered."""
        if not models:
            raise LLMRequestError(f"{self._who()} lists no model: load one, or give llm_model=...")
        self._model = str(models[0].id)
        return self._model

    def _completion(self, answer: Any) -> Completion:
        choices: Any = getattr(answer, "choices", None)
        message = choices[0].message if choices else None
        if message is None:
            raise LLMResponseError(f"{self._who()} gave no answer in its reply: is it a chat completions endpoint?")
        text = _text(message.content) or getattr(message, "refusal", None) or ""
        return Completion(text, choices[0].finish_reason or "stop", _usage(answer))

    def _check_ended(self, reader: _StreamReader) -> None:
        if not reader.ended:
            raise LLMConnectionError(
                f"{self._who()} broke off in the middle of the answer: ask again", partial="".join(reader.texts)
            )

    def _who(self) -> str:
        model = f", model {self._model!r}," if self._model else ""
        return f"{self.name}{model} at {self.base_url}"

    @contextmanager
    def _translating(self, reader: _StreamReader | None = None) -> Iterator[None]:
        """Turn the client's errors into memvid's."""
        try:
            yield
        except MemvidError:
            raise
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            raise ConfigError(f"llm_options: {error}; a server's own options go into extra_body") from error
        except Exception as error:
            partial = "".join(reader.texts) if reader else ""
            translated = translate(error, who=self._who(), key=self._endpoint.key, partial=partial)
            if translated is None:
                raise
            raise translated from error

    def _client(self) -> OpenAI:
        with self._lock:
            if self._made is None:
                openai = _import_openai()
                self._made = openai.OpenAI(**self._settings(openai, openai.DefaultHttpxClient, _Guard.__call__))
            return self._made

    async def _async_client(self) -> AsyncOpenAI:
        """A client, made in a thread: importing ``openai`` and reading certificates take their time."""
        import asyncio

        def make() -> AsyncOpenAI:
            openai = _import_openai()
            client: AsyncOpenAI = openai.AsyncOpenAI(
                **self._settings(openai, openai.DefaultAsyncHttpxClient, _Guard.awaited)
            )
            return client

        return await asyncio.to_thread(make)

    def _settings(self, openai: Any, transport: Any, hook: Callable[..., Any]) -> dict[str, Any]:
        guard = _Guard(self._endpoint, self._options.get("extra_headers") or ())
        return {
            "api_key": _PLACEHOLDER,
            "base_url": self.base_url,
            "max_retries": self._max_retries,
            "timeout": openai.Timeout(self._timeout, connect=min(self._timeout, 10.0)),
            "http_client": transport(
                follow_redirects=False,
                trust_env=not is_here(origin(self.base_url)[1]),
                event_hooks={"request": [hook.__get__(guard)]},
            ),
        }


def _check_headers(headers: object) -> None:
    if headers is None:
        return
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise ConfigError("llm_options: extra_headers is expected to be a dict of header names and values")
    if any(name.lower() == "authorization" for name in headers):
        raise ConfigError("llm_options: extra_headers has 'Authorization': give the key as llm_api_key")


class _StreamReader:
    """Reads the events of a stream, and remembers what had arrived."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.ended = False

    def piece(self, event: Any) -> Piece:
        choices = getattr(event, "choices", None)
        if not choices:  # usage alone, or a comment of the server
            return Piece("", None, _usage(event))
        delta = choices[0].delta
        text = _text(getattr(delta, "content", None)) or getattr(delta, "refusal", None) or ""
        self.texts.append(text)
        reason = choices[0].finish_reason
        self.ended = self.ended or reason is not None
        return Piece(text, reason, _usage(event))


def _text(content: Any) -> str:
    """What is said; some servers send it in parts, and with it parts that are thoughts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _usage(answer: Any) -> TokenUsage | None:
    usage = getattr(answer, "usage", None)
    sent, made = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    return TokenUsage(sent, made) if isinstance(sent, int) and isinstance(made, int) else None


def _import_openai() -> Any:
    return import_dependency("openai", "openai is needed for this llm_provider: pip install openai")
