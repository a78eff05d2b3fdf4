"""OpenAIEmbedder with the real openai client against a real HTTP server on loopback."""

from __future__ import annotations

import json
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from memvid.embedding import OpenAIEmbedder, encode_checked, encode_query
from memvid.errors import ConfigError, EmbeddingError

KEY = "sk-secret-0123456789abcdef"
Answer = Callable[[dict[str, Any]], tuple[int, Any]]


def vector(text: str) -> list[float]:
    return [float(len(text)), 1.0, -0.5]


def good(request: dict[str, Any]) -> tuple[int, Any]:
    data = [{"object": "embedding", "index": i, "embedding": vector(text)} for i, text in enumerate(request["input"])]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return 200, {"object": "list", "model": request["model"], "data": data[::-1], "usage": usage}


def change(edit: Callable[[list[dict[str, Any]]], object]) -> Answer:
    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        status, body = good(request)
        edit(body["data"])
        return status, body

    return answer


class Server(ThreadingHTTPServer):
    """Answers POST /v1/embeddings with ``answer(request)``, and remembers the requests and their keys."""

    def __init__(self) -> None:
        self.answer: Answer = good
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        self.redirect = ""
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        self.server.keys.append(self.headers["Authorization"])
        self.server.headers.append(dict(self.headers))
        if self.server.redirect:
            self.send_response(307)
            self.send_header("Location", self.server.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status, body = self.server.answer(request) if self.path == "/v1/embeddings" else (404, {})
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def embedder(server: Server) -> Iterator[OpenAIEmbedder]:
    embedder = OpenAIEmbedder("small", api_key=KEY, base_url=server.url, batch_size=2, max_retries=0)
    yield embedder
    embedder.close()


def test_batches_in_the_callers_order(embedder: OpenAIEmbedder, server: Server) -> None:
    texts = ["a", "bb", "ccc", "", "eeeee"]
    vectors = encode_checked(embedder, texts)
    assert vectors.tolist() == [vector(text) for text in texts]
    assert [request["input"] for request in server.requests] == [["dim"], texts[:2], texts[2:4], texts[4:]]
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert {request["model"] for request in server.requests} == {"small"}
    assert encode_query(embedder, "query").tolist() == vector("query")


def test_no_text_is_no_request_once_the_dim_is_known(embedder: OpenAIEmbedder, server: Server) -> None:
    assert embedder.dim == 3
    assert embedder.encode([]).shape == (0, 3)
    assert len(server.requests) == 1


def test_dims() -> None:
    assert OpenAIEmbedder(api_key=KEY).dim == 1536
    assert OpenAIEmbedder("text-embedding-3-large", api_key=KEY).dim == 3072
    assert OpenAIEmbedder("anything", dim=7, api_key=KEY).dim == 7


@pytest.mark.parametrize(("model", "asked"), [("text-embedding-3-small", 3), ("other", None)])
def test_shorter_vectors_are_asked_for_where_that_is_known(server: Server, model: str, asked: int | None) -> None:
    embedder = OpenAIEmbedder(model, dim=3, api_key=KEY, base_url=server.url)
    assert embedder.encode(["a"]).shape == (1, 3)
    assert server.requests[0].get("dimensions") == asked
    embedder.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda _: (401, {"error": {"message": f"Incorrect API key: {KEY}"}}), "401.*Incorrect API key"),
        (lambda _: (429, {"error": {"message": "slow down"}}), "slow down"),
        (lambda _: (500, b"<html>"), "500|html"),
        (lambda _: (200, {"object": "list", "data": []}), "0 vectors|No embedding data"),
        (change(lambda data: data.pop()), "0 vectors for 1 texts"),
        (change(lambda data: data[0].update(index=5)), "1 vectors for 1 texts"),
        (change(lambda data: data[0].update(embedding=[1.0, float("nan"), 0.0])), "NaN"),
        (change(lambda data: data[0].update(embedding=[1.0])), r"shape \(1, 1\)"),
    ],
)
def test_a_provider_that_fails(server: Server, answer: Answer, message: str) -> None:
    embedder = OpenAIEmbedder("small", dim=3, api_key=KEY, base_url=server.url, max_retries=0)
    server.answer = answer
    with pytest.raises(EmbeddingError, match=message) as caught:
        embedder.encode(["a"])
    assert "'small'" in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    embedder.close()


def test_the_cause_is_kept(embedder: OpenAIEmbedder, server: Server) -> None:
    from openai import AuthenticationError

    server.answer = lambda _: (401, {"error": {"message": "no"}})
    with pytest.raises(EmbeddingError) as caught:
        embedder.encode(["a"])
    assert isinstance(caught.value.__cause__, AuthenticationError)


def test_vectors_of_different_lengths(embedder: OpenAIEmbedder, server: Server) -> None:
    assert embedder.dim == 3
    server.answer = change(lambda data: data[0]["embedding"].append(1.0))
    with pytest.raises(EmbeddingError, match="different lengths"):
        embedder.encode(["a", "b"])


def test_nobody_listens(server: Server) -> None:
    url = server.url
    server.server_close()
    embedder = OpenAIEmbedder("small", dim=3, api_key=KEY, base_url=url, max_retries=0)
    with pytest.raises(EmbeddingError, match=url):
        embedder.encode(["a"])
    embedder.close()


def test_a_passing_failure_is_tried_again(server: Server) -> None:
    def once(request: dict[str, Any]) -> tuple[int, Any]:
        server.answer = good
        return 503, {"error": {"message": "busy"}}

    server.answer = once
    embedder = OpenAIEmbedder("small", dim=3, api_key=KEY, base_url=server.url, max_retries=1)
    assert np.array_equal(embedder.encode(["a"])[0], vector("a"))
    assert len(server.requests) == 2
    embedder.close()


def test_the_key_comes_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"api_key=.*OPENAI_API_KEY"):
        OpenAIEmbedder()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment-12")
    assert "sk-...12" in repr(OpenAIEmbedder())
    assert "sk-...ef" in repr(OpenAIEmbedder(api_key=KEY))
    assert KEY not in repr(OpenAIEmbedder(api_key=KEY))
    assert "tiny" not in repr(OpenAIEmbedder(api_key="tiny"))


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment of the tests has, memvid shall not find it."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


class TestWhereAKeyGoes:
    """As in chat: to the address it belongs to, and nowhere else."""

    def test_a_key_that_is_given_does_not_go_where_the_environment_says(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert "base_url='https://api.openai.com/v1/'" in repr(OpenAIEmbedder(api_key=KEY))

    def test_key_and_address_of_the_environment_belong_together(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        embedder = OpenAIEmbedder("small", dim=3)
        assert embedder.encode(["a"]).shape == (1, 3)
        assert server.keys == [f"Bearer {KEY}"]
        embedder.close()

    def test_a_key_of_the_environment_stays_at_home(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
        embedder = OpenAIEmbedder("small", dim=3, base_url=server.url)
        assert embedder.encode(["a"]).shape == (1, 3)
        assert server.keys == [None]
        assert "canary" not in str(server.headers)
        embedder.close()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"api_key": "sk-ant-0123456789abcdef"}, "a key of anthropic, which is not sent to openai"),
            ({"base_url": "https://api.anthropic.com/v1"}, "api_key=.*ANTHROPIC_API_KEY"),
            ({"api_key": KEY, "base_url": "http://example.com/v1"}, "in the clear: use https"),
            ({"api_key": KEY, "base_url": "https://u:p@example.com/v1"}, "has a user name"),
            ({"api_key": KEY, "base_url": ""}, "base_url=''"),
            ({"api_key": f"{KEY}\n"}, "a line end"),
            ({"api_key": ""}, "empty"),
        ],
    )
    def test_what_is_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            OpenAIEmbedder("small", **options)
        assert KEY not in str(caught.value)

    def test_no_text_and_no_key_follow_a_redirect(self, server: Server) -> None:
        with Server() as other:
            server.redirect = f"{other.url}/embeddings"
            embedder = OpenAIEmbedder("small", dim=3, api_key=KEY, base_url=server.url)
            with pytest.raises(EmbeddingError, match=f"redirects to {other.url}"):
                embedder.encode(["secret"])
            embedder.close()
            other.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.socket.accept()

    def test_an_error_and_its_causes_have_no_key(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        server.answer = lambda _: (401, {"error": {"message": f"{KEY} {KEY[::-1]}", "code": KEY}})
        embedder = OpenAIEmbedder("small", dim=3, api_key=KEY, base_url=server.url)
        with pytest.raises(EmbeddingError) as caught:
            embedder.encode(["a"])
        embedder.close()
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        shown = shown.partition("test_openai_embedder.py")[2].partition("openai_embedder.py")[2]
        for said in (str(caught.value), repr(caught.value.__cause__), repr(vars(embedder)), shown, caplog.text):
            assert KEY not in said
            assert KEY[::-1] not in said


@pytest.mark.parametrize(
    "options", [{"model": ""}, {"dim": 0}, {"batch_size": 0}, {"max_retries": -1}, {"timeout": 0}, {"dim": True}]
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is not possible"):
        OpenAIEmbedder(**{"api_key": KEY, **options})


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [("http://localhost:11434/v1", True), ("http://127.0.0.2/v1", True), ("https://example.com/v1", False)],
)
def test_it_is_local_where_the_endpoint_is(base_url: str, expected: bool) -> None:
    assert OpenAIEmbedder("model", dim=3, api_key=KEY, base_url=base_url).is_local is expected
