"""Whatever a server sends, and however it sends it: a typed error in bounded time and memory, with what had come."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from memvid.embedding import OpenAIEmbedder
from memvid.errors import (
    EmbeddingError,
    LLMAuthenticationError,
    LLMConnectionError,
    LLMError,
    LLMRateLimitError,
    LLMResponseError,
    LLMTimeoutError,
)
from memvid.llm import OpenAIBackend
from memvid.llm.providers import ModelEndpoint
from memvid.network import metered
from memvid.network.secret import Secret
from tests.network.raw_server import (
    CHUNKED,
    ENDLESS,
    EVENTS,
    JSON,
    OK,
    RawServer,
    Sent,
    chunk,
    event,
    forever,
    once,
    running,
    sized,
)

KEY = "sk-canary-0123456789abcdefXYZ"
WAYS = ("complete", "stream", "acomplete", "astream", "embed")
STREAMS = ("stream", "astream")
MIB = 1 << 20
HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture
def server() -> Iterator[RawServer]:
    with running() as started:
        yield started


def ask(server: RawServer, way: str, **options: Any) -> str:
    """Text of an answer, got in one of the ways; of an embedder its vectors."""
    settings = {"timeout": options.pop("timeout", 60.0), "max_retries": options.pop("max_retries", 0)}
    if way == "embed":
        embedder = OpenAIEmbedder("m", dim=2, api_key=KEY, base_url=server.url, **settings)
        try:
            return str(embedder.encode(["hello"]).tolist())
        finally:
            embedder.close()
    endpoint = ModelEndpoint(
        provider="custom",
        base_url=server.url,
        key=Secret(KEY, name="key"),
        model="m",
        window=4096,
        limit_name="max_tokens",
    )
    backend = OpenAIBackend(endpoint, **settings)
    options = {"max_bytes": MIB, **options}

    async def collect() -> str:
        return "".join([piece.text async for piece in backend.astream(HELLO, **options)])

    try:
        if way == "complete":
            return backend.complete(HELLO, **options).text
        if way == "acomplete":
            return asyncio.run(backend.acomplete(HELLO, **options)).text
        if way == "stream":
            return "".join(piece.text for piece in backend.stream(HELLO, **options))
        return asyncio.run(collect())
    finally:
        backend.close()


def packed(body: bytes, most: int, bits: int = 31) -> bytes:
    """``body``, then so many zeros, in gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    zeros = bytes(MIB)
    return b"".join([packer.compress(body), *(packer.compress(zeros) for _ in range(most // MIB)), packer.flush()])


BOMB = packed(b"{", 64 * MIB)
GZIP = b"Content-Encoding: gzip\r\n"
ENDLESS_REPLIES: dict[str, Sent] = {
    "a body": forever(JSON + ENDLESS, b"x" * 60_000),
    "events": forever(EVENTS + CHUNKED, chunk(event("x" * 6000))),
    "events that say nothing": forever(EVENTS + CHUNKED, chunk(event("") * 50)),
    "a line": forever(EVENTS + CHUNKED, chunk(b"data: " + b"x" * 60_000)),
    "comments": forever(EVENTS + CHUNKED, chunk(b": still here\n\n" * 1000)),
    "line ends": forever(EVENTS + ENDLESS, b"\n" * 60_000),
    "chunks of a byte": forever(JSON + CHUNKED, chunk(b" ") * 1000),
    "an extension of a chunk": forever(JSON + CHUNKED + b"1;", b"x" * 60_000),
    "a header": forever(OK + b"X-A: ", b"y" * 60_000),
    "headers": forever(OK, b"X-A: y\r\n" * 5000),
    "replies of 100": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "a bomb": sized(JSON + GZIP, BOMB),
    "a bomb of events": sized(EVENTS + GZIP, BOMB),
    "trailers": forever(JSON + CHUNKED + b"0\r\n", b"X-A: y\r\n" * 5000),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reply", ENDLESS_REPLIES)
def test_what_never_ends_is_ended(server: RawServer, way: str, reply: str) -> None:
    server.sent = ENDLESS_REPLIES[reply]
    with pytest.raises((LLMConnectionError, LLMResponseError, EmbeddingError)) as caught:
        ask(server, way)
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("way", STREAMS)
def test_what_had_come_is_kept(server: RawServer, way: str) -> None:
    server.sent = forever(EVENTS + CHUNKED + chunk(event("Well")) + chunk(event(", then")), chunk(b": wait\n\n" * 500))
    with pytest.raises(LLMResponseError, match=r"larger than 1,048,576 bytes: raise answer_bytes") as caught:
        ask(server, way)
    assert caught.value.partial == "Well, then"


STRANGE: dict[str, bytes] = {
    "deep": b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long number": b'{"choices": ' + b"9" * 20_000 + b"}",
    "no UTF-8": b'{"choices": "\xff\xfe"}',
    "nothing": b"",
    "null": b"null",
    "a text": b'"x"',
    "a list": b"[[]]",
    "no choices": b'{"choices": [], "data": []}',
    "choices that are none": b'{"choices": [null, 5], "data": [null]}',
    "choices by name": b'{"choices": {"a": 1}, "data": {"a": 1}}',
    "words for numbers": b'{"data": [{"index": "0", "embedding": ["a", {}]}]}',
    "no numbers": b'{"data": [{"index": 0, "embedding": null}]}',
    "too many numbers": b'{"data": [{"index": 0, "embedding": [1, 2, 3]}]}',
    "vectors in vectors": b'{"data": [{"index": 0, "embedding": [[1, 2], [3, 4]]}]}',
    "a huge number": b'{"data": [{"index": 0, "embedding": [1, 1' + b"0" * 400 + b"]}]}",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", STRANGE)
def test_what_is_no_answer(server: RawServer, way: str, body: str) -> None:
    for head in (JSON, EVENTS):
        data = STRANGE[body]
        server.sent = sized(head, data if head is JSON else b"data: " + data + b"\n\n")
        with pytest.raises((LLMError, EmbeddingError)) as caught:
            ask(server, way)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("way", WAYS[:4])
def test_a_charset_that_takes_for_ever_is_not_used(server: RawServer, way: str) -> None:
    head = OK + b"Content-Type: application/json; charset=punycode\r\n"
    body = json.dumps({"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}).encode()
    if way in STREAMS:
        head, body = EVENTS.replace(b"stream", b"stream; charset=punycode"), event("Yes.", "stop")
    server.sent = sized(head, body)
    assert ask(server, way) == "Yes."


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bits", [31, 15], ids=["gzip", "deflate"])
def test_a_packed_answer_is_read_though_nobody_asked_for_it(server: RawServer, way: str, bits: int) -> None:
    body = {
        "choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}],
        "data": [{"index": 0, "embedding": [0.5, 1.0]}],
    }
    name = b"gzip" if bits == 31 else b"deflate"
    plain = event("Yes.", "stop") if way in STREAMS else json.dumps(body).encode()
    head = EVENTS if way in STREAMS else JSON
    server.sent = sized(head + b"Content-Encoding: " + name + b"\r\n", packed(plain, 0, bits))
    assert ask(server, way) == ("[[0.5, 1.0]]" if way == "embed" else "Yes.")
    assert b"accept-encoding: identity" in server.requests[0].lower()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("coding", "body"), [(b"br", b"x"), (b"gzip, gzip", BOMB), (b"gzip", b"no gzip")])
def test_what_cannot_be_unpacked(server: RawServer, way: str, coding: bytes, body: bytes) -> None:
    server.sent = sized(JSON + b"Content-Encoding: " + coding + b"\r\n", body)
    with pytest.raises((LLMResponseError, EmbeddingError), match="packed"):
        ask(server, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "end",
    [
        lambda head, said: forever(head + ENDLESS + said, b"x" * 6000),
        lambda head, said: once(head + b"Content-Length: 5000000\r\n\r\n" + said),
        sized,
        lambda head, said: sized(head + GZIP, BOMB),
        lambda head, said: sized(head, b"[" * 60_000),
    ],
)
def test_an_error_is_told_whatever_follows_it(server: RawServer, way: str, end: Callable[[bytes, bytes], Sent]) -> None:
    server.sent = end(b"HTTP/1.1 401 No\r\nContent-Type: application/json\r\n", b'{"error": {"message": "wrong"}}')
    with pytest.raises((LLMAuthenticationError, EmbeddingError), match="answers 401"):
        ask(server, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server: RawServer, way: str, status: int) -> None:
    with running() as other:
        head = b"HTTP/1.1 %d Moved\r\nLocation: %schat/completions\r\n" % (status, other.url.encode())
        server.sent = sized(head, b"")
        with pytest.raises((LLMConnectionError, EmbeddingError), match=f"redirects to {other.url}"):
            ask(server, way)
        assert other.requests == []


@pytest.mark.parametrize("way", WAYS)
class TestTime:
    def test_a_drip_of_bytes(self, server: RawServer, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        seconds = iter(range(1_000_000))  # each look at this clock is a second later
        monkeypatch.setattr(metered, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
        head = EVENTS if way in STREAMS else JSON
        released = threading.Semaphore(0)
        reading = metered._Connection._arrived

        def read(self: Any, *arguments: Any) -> bytes:
            released.release()  # one byte, one read
            return reading(self, *arguments)

        monkeypatch.setattr(metered._Connection, "_arrived", read)

        def sent() -> Iterator[bytes]:
            yield head + ENDLESS
            for byte in chain(b"data: ", repeat(ord("x"))):
                released.acquire(timeout=10)
                yield bytes([byte])

        server.sent = sent
        with pytest.raises((LLMTimeoutError, EmbeddingError), match="arrives at less than 30 bytes a second"):
            ask(server, way)

    def test_the_whole_answer_has_a_deadline(self, server: RawServer, way: str) -> None:
        release = threading.Event()

        def sent() -> Iterator[bytes]:
            yield (EVENTS if way in STREAMS else JSON) + CHUNKED
            release.wait()

        server.sent = sent
        limits: dict[str, Any] = {"timeout": 0.2} if way == "embed" else {"seconds": 0.2}
        try:
            with pytest.raises((LLMTimeoutError, EmbeddingError), match=r"not complete after 0\.[12]\d* seconds"):
                ask(server, way, **limits)
        finally:
            release.set()

    def test_nobody_waits_longer_than_there_is_time(self, server: RawServer, way: str) -> None:
        for wait in (b"59", b"999999999", b"Fri, 31 Dec 9999 23:59:59 GMT"):
            server.sent = sized(b"HTTP/1.1 429 Later\r\nRetry-After: " + wait + b"\r\n", b"")
            with pytest.raises((LLMRateLimitError, EmbeddingError), match="answers 429"):
                ask(server, way, max_retries=5, timeout=50.0)
        assert len(server.requests) == 3

    def test_a_server_that_closes_is_asked_again(self, server: RawServer, way: str, no_waiting: None) -> None:
        with pytest.raises((LLMConnectionError, EmbeddingError), match="cannot be reached"):
            ask(server, way, max_retries=2)
        assert len(server.requests) == 3


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memvid.network.retries._FIRST", 0.0)


@pytest.mark.parametrize("way", STREAMS)
class TestTheEndOfAStream:
    @pytest.mark.parametrize("done", [b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n"])
    def test_done_is_an_end_without_a_reason(self, server: RawServer, way: str, done: bytes) -> None:
        server.sent = once(EVENTS + CHUNKED + chunk(event("Yes.")) + chunk(done[:9]) + chunk(done[9:]) + b"0\r\n\r\n")
        assert ask(server, way) == "Yes."

    def test_a_text_that_says_so_is_none(self, server: RawServer, way: str) -> None:
        for text in ("data: [DONE]", "\ndata: [DONE]\n"):
            server.sent = once(EVENTS + CHUNKED + chunk(event(text)) + b"0\r\n\r\n")
            with pytest.raises(LLMConnectionError, match="broke off") as caught:
                ask(server, way)
            assert caught.value.partial == text

    @pytest.mark.parametrize("rest", [event("more"), b": wait\n\n", b"data: oops\n\n", b"x"])
    def test_what_follows_the_end_is_no_error(self, server: RawServer, way: str, rest: bytes) -> None:
        server.sent = forever(EVENTS + CHUNKED + chunk(event("Yes.", "stop")), chunk(rest))
        assert ask(server, way).startswith("Yes.")

    def test_a_connection_that_breaks_after_the_end(self, server: RawServer, way: str) -> None:
        server.sent = once(EVENTS + CHUNKED + chunk(event("Yes.", "stop")))
        assert ask(server, way) == "Yes."


def test_an_embedder_that_does_not_know_its_dim_takes_no_more_than_an_index(server: RawServer) -> None:
    numbers = json.dumps([1] * 65_537).encode()
    server.sent = sized(JSON, b'{"data": [{"index": 0, "embedding": ' + numbers + b"}]}")
    embedder = OpenAIEmbedder("m", api_key=KEY, base_url=server.url)
    with pytest.raises(EmbeddingError, match="expected 1 to 65,536 numbers"):
        _ = embedder.dim
    embedder.close()


def test_vectors_are_as_many_bytes_as_they_can_be(server: RawServer) -> None:
    row = np.full(4096, -1.2345678901234567e-300)
    body = json.dumps({"data": [{"index": index, "embedding": list(row + 1)} for index in range(64)]}).encode()
    server.sent = sized(JSON, body)
    embedder = OpenAIEmbedder("m", dim=4096, api_key=KEY, base_url=server.url)
    assert embedder.encode(["x"] * 64).shape == (64, 4096)
    embedder.close()
