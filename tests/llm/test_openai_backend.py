"""OpenAIBackend: the real openai client against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from memvid.errors import (
    ConfigError,
    ContextWindowError,
    LLMAuthenticationError,
    LLMConnectionError,
    LLMError,
    LLMRateLimitError,
    LLMRequestError,
    LLMResponseError,
    LLMTimeoutError,
)
from memvid.llm import Message, OpenAIBackend, TokenUsage
from memvid.network.retries import Retries
from tests.llm.llm_support import (
    KEY,
    MODEL,
    ChatServer,
    Handler,
    Reply,
    backend,
    body,
    cut,
    event,
    hold,
    running,
    say,
    status,
)

HELLO: list[Message] = [{"role": "user", "content": "hello"}]
WAYS = ("complete", "stream", "acomplete", "astream")
STREAMS = ("stream", "astream")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running() as started:
        yield started


def ask(asked: OpenAIBackend, way: str, **options: Any) -> tuple[str, str, TokenUsage | None]:
    """Text, finish_reason and usage, got in one of four ways."""

    async def collect() -> list[Any]:
        return [piece async for piece in asked.astream(HELLO, **options)]

    if way == "complete":
        whole = asked.complete(HELLO, **options)
    elif way == "acomplete":
        whole = asyncio.run(asked.acomplete(HELLO, **options))
    else:
        pieces = list(asked.stream(HELLO, **options)) if way == "stream" else asyncio.run(collect())
        reasons = [piece.finish_reason for piece in pieces if piece.finish_reason]
        usages = [piece.usage for piece in pieces if piece.usage]
        return "".join(piece.text for piece in pieces), reasons[-1], usages[-1] if usages else None
    return whole.text, whole.finish_reason, whole.usage


@pytest.mark.parametrize("way", WAYS)
class TestAnswers:
    def test_text_reason_and_usage(self, server: ChatServer, way: str) -> None:
        server.reply = say("Hel", "lo.", reason="length", usage=(7, 3))
        with backend(server) as asked:
            assert ask(asked, way, max_tokens=5) == ("Hello.", "length", TokenUsage(7, 3))
        request = server.requests[0]
        assert request.messages == HELLO
        assert request.body["model"] == MODEL
        assert request.body["max_tokens"] == 5
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert ("stream_options" in request.body) == (way in STREAMS)

    def test_the_first_model_is_taken_where_none_is_named(self, server: ChatServer, way: str) -> None:
        server.models = ["first", "second"]
        with backend(server, provider="custom", model=None) as asked:
            assert asked.model is None
            ask(asked, way)
            ask(asked, way)
            assert asked.model == "first"
        assert [request.path for request in server.requests] == ["/v1/models"] + ["/v1/chat/completions"] * 2
        assert server.requests[1].body["model"] == "first"

    def test_options_reach_the_server(self, server: ChatServer, way: str) -> None:
        options = {"temperature": 0, "extra_body": {"min_p": 0.1}}
        with backend(server, options=options, limit_name="max_completion_tokens") as asked:
            ask(asked, way, max_tokens=9)
        sent = server.requests[0].body
        assert (sent["temperature"], sent["min_p"], sent["max_completion_tokens"]) == (0, 0.1, 9)
        assert "max_tokens" not in sent

    def test_an_option_nobody_knows(self, server: ChatServer, way: str) -> None:
        with backend(server, options={"temprature": 0}) as asked, pytest.raises(ConfigError, match="extra_body"):
            ask(asked, way)
        assert server.requests == []

    def test_no_usage_is_none(self, server: ChatServer, way: str) -> None:
        with backend(server) as asked:
            assert ask(asked, way) == ("Yes [1].", "stop", None)


def recording(function: Any, results: list[Any]) -> Any:
    def call(*args: Any, **options: Any) -> Any:
        results.append(function(*args, **options))
        return results[-1]

    return call


FAILURES: list[tuple[Reply, type[LLMError], str, int | None]] = [
    (status(401, f"Incorrect API key provided: {KEY}"), LLMAuthenticationError, "answers 401: Incorrect", 401),
    (status(403, "not this model"), LLMAuthenticationError, "may use the model", 403),
    (status(404, "no model tiny"), LLMRequestError, "check llm_model", 404),
    (status(400, "bad temperature"), LLMRequestError, "bad temperature", 400),
    (status(400, "x", code="context_length_exceeded"), ContextWindowError, "lower context_window", 400),
    (status(400, "Requested tokens exceed context window of 2048"), ContextWindowError, "too long", 400),
    (status(413, "prompt is too long: 9 tokens"), ContextWindowError, "too long", 413),
    (status(429, "slow down", {"Retry-After": "7"}), LLMRateLimitError, "again in 7 seconds", 429),
    (status(429, "quota", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), LLMRateLimitError, "again later", 429),
    (status(500, "oops"), LLMError, "answers 500: oops", 500),
    (body(b"<html>down</html>", 502), LLMError, "answers 502", 502),
    (status(307, "", {"Location": "http://elsewhere/"}), LLMConnectionError, "redirects to http://elsewhere/", 307),
]


@pytest.mark.parametrize("way", WAYS)
class TestFailures:
    @pytest.mark.parametrize(("reply", "kind", "message", "code"), FAILURES)
    def test_a_status(
        self, server: ChatServer, way: str, reply: Reply, kind: type[LLMError], message: str, code: int | None
    ) -> None:
        server.reply = reply
        with backend(server) as asked, pytest.raises(LLMError, match=message) as caught:
            ask(asked, way)
        assert type(caught.value) is kind
        assert isinstance(caught.value.__cause__, openai.APIStatusError)
        assert caught.value.status == code
        assert f"'{MODEL}', at {server.url}" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert KEY not in "".join(traceback.format_exception(caught.value))

    def test_the_wait_that_is_asked_for_is_told(self, server: ChatServer, way: str) -> None:
        server.reply = status(429, "slow down", {"Retry-After": "7"})
        with backend(server) as asked, pytest.raises(LLMRateLimitError) as caught:
            ask(asked, way)
        assert caught.value.retry_after == 7

    @pytest.mark.parametrize("code", [429, 500, 503])
    def test_what_passes_is_tried_again_after_the_time_asked_for(
        self, server: ChatServer, way: str, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []
        monkeypatch.setattr(Retries, "wait", recording(Retries.wait, waits))
        server.script.extend([status(code, "busy", {"Retry-After": "0.0625"})] * 2)
        with backend(server, max_retries=2) as asked:
            assert ask(asked, way)[0] == "Yes [1]."
        assert len(server.requests) == 3
        assert [wait for wait in waits if wait is not None] == [0.0625] * 2

    def test_no_more_tries_than_allowed(self, server: ChatServer, way: str) -> None:
        server.reply = status(503, "busy", {"Retry-After": "0.01"})
        with backend(server, max_retries=1) as asked, pytest.raises(LLMError, match="answers 503"):
            ask(asked, way)
        assert len(server.requests) == 2

    def test_silence_before_the_answer(self, server: ChatServer, way: str) -> None:
        release = threading.Event()
        server.reply = hold(release)
        try:
            with backend(server, timeout=0.2) as asked, pytest.raises(LLMTimeoutError, match="raise timeout"):
                ask(asked, way)
        finally:
            release.set()

    def test_nobody_listens(self, server: ChatServer, way: str) -> None:
        with running() as gone:
            url = gone.url
        with backend(server, base_url=url) as asked, pytest.raises(LLMConnectionError, match="cannot be reached") as e:
            ask(asked, way)
        assert isinstance(e.value.__cause__, openai.APIConnectionError)
        assert isinstance(e.value, ConnectionError)

    def test_a_server_without_a_model(self, server: ChatServer, way: str) -> None:
        server.models = []
        with backend(server, model=None) as asked, pytest.raises(LLMRequestError, match="lists no model"):
            ask(asked, way)


@pytest.mark.parametrize("way", ["complete", "acomplete"])
@pytest.mark.parametrize("answer", [b"<html>", b'{"choices": []}', b'{"object": "list"}', b"[1]"])
def test_an_answer_that_is_none(server: ChatServer, way: str, answer: bytes) -> None:
    server.reply = body(answer)
    with backend(server) as asked, pytest.raises(LLMResponseError):
        ask(asked, way)


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("answer", [b"<html>a web page</html>", b"", b'{"error": "no such page"}'])
def test_a_stream_without_an_event_is_of_another_protocol(server: ChatServer, way: str, answer: bytes) -> None:
    server.reply = body(answer)
    with backend(server) as asked, pytest.raises(LLMResponseError, match="check base_url"):
        ask(asked, way)


@pytest.mark.parametrize("way", STREAMS)
class TestBrokenStreams:
    @pytest.mark.parametrize("chunked", [True, False])
    def test_a_stream_that_breaks_off(self, server: ChatServer, way: str, chunked: bool) -> None:
        server.reply = cut("Half an", " ans", chunked=chunked)
        with backend(server, max_retries=2) as asked, pytest.raises(LLMConnectionError, match="broke off") as caught:
            ask(asked, way)
        assert caught.value.partial == "Half an ans"
        assert len(server.requests) == 1  # what was said is not said again

    def test_silence_in_the_middle(self, server: ChatServer, way: str) -> None:
        release = threading.Event()
        server.reply = hold(release, "Wait")
        try:
            with backend(server, timeout=0.2) as asked, pytest.raises(LLMTimeoutError) as caught:
                ask(asked, way)
        finally:
            release.set()
        assert caught.value.partial == "Wait"

    def test_an_error_in_the_stream(self, server: ChatServer, way: str) -> None:
        def reply(handler: Handler, _: dict[str, Any]) -> None:
            handler.start_stream()
            handler.send_event(event("Well"))
            handler.send_event({"error": {"message": f"out of memory, {KEY}"}})
            handler.end_stream()

        server.reply = reply
        with backend(server) as asked, pytest.raises(LLMError, match="failed: out of memory") as caught:
            ask(asked, way)
        assert caught.value.partial == "Well"
        assert KEY not in "".join(traceback.format_exception(caught.value))

    def test_an_event_that_is_no_json(self, server: ChatServer, way: str) -> None:
        def reply(handler: Handler, _: dict[str, Any]) -> None:
            handler.start_stream()
            handler.send_event("{oops")
            handler.end_stream()

        server.reply = reply
        with backend(server) as asked, pytest.raises(LLMResponseError, match="not in the protocol"):
            ask(asked, way)


def test_pieces_come_as_they_are_made(server: ChatServer) -> None:
    release = threading.Event()
    server.reply = hold(release, "One", " two")
    with backend(server) as asked:
        pieces = asked.stream(HELLO)
        assert [next(pieces).text, next(pieces).text] == ["One", " two"]  # while the server still holds the rest
        release.set()
        assert "".join(piece.text for piece in pieces) == " End."


def test_closing_a_stream_ends_the_request(server: ChatServer) -> None:
    release, gone = threading.Event(), threading.Event()

    def reply(handler: Handler, _: dict[str, Any]) -> None:
        handler.start_stream()
        handler.send_event(event("One"))
        release.wait()
        try:
            while True:
                handler.send_event(event("x" * 1000))
        except OSError:
            gone.set()

    server.reply = reply
    with backend(server) as asked:
        pieces = asked.stream(HELLO)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        release.set()
        assert gone.wait(30)


def test_a_refusal_is_an_answer(server: ChatServer) -> None:
    server.reply = body(
        b'{"choices": [{"message": {"content": null, "refusal": "I will not."}, "finish_reason": "stop"}]}'
    )
    with backend(server) as asked:
        assert asked.complete(HELLO).text == "I will not."


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_in_parts(server: ChatServer, way: str) -> None:
    parts = [
        {"type": "thinking", "thinking": ["hm"]},
        {"type": "text", "text": "Yes"},
        {"type": "text", "text": " [1]."},
    ]
    message = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}

    def reply(handler: Handler, request: dict[str, Any]) -> None:
        if not request.get("stream"):
            handler.send_json(200, message)
            return
        handler.start_stream()
        handler.send_event(event(parts, "stop"))  # type: ignore[arg-type]
        handler.end_stream()

    server.reply = reply
    with backend(server) as asked:
        assert ask(asked, way)[0] == "Yes [1]."


def test_the_models_of_a_server(server: ChatServer) -> None:
    server.models = ["b", "a"]
    with backend(server) as asked:
        assert asked.models() == ["b", "a"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"options": {"stream": True}}, "'stream', which memvid sets itself"),
        ({"options": {"max_tokens": 1}}, "'max_tokens', which memvid sets itself"),
    ],
)
def test_options_are_checked(server: ChatServer, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message), backend(server, **settings):
        pass


def test_a_closed_backend_opens_again(server: ChatServer) -> None:
    with backend(server) as asked:
        asked.close()
        asked.close()
        assert asked.complete(HELLO).text == "Yes [1]."
