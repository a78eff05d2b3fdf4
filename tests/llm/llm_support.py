"""A real HTTP server on loopback that speaks the chat completions protocol, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from memvid.llm import OpenAIBackend
from memvid.llm.providers import ModelEndpoint
from memvid.network.secret import Secret

KEY = "sk-canary-0123456789abcdefXYZ"
MODEL = "tiny"
Reply: TypeAlias = "Callable[[Handler, dict[str, Any]], None]"


class Request:
    """What arrived, as it arrived."""

    def __init__(self, path: str, headers: dict[str, str], raw: bytes) -> None:
        self.path = path
        self.headers = headers
        self.raw = raw
        self.body: dict[str, Any] = json.loads(raw) if raw else {}

    @property
    def messages(self) -> list[dict[str, str]]:
        messages: list[dict[str, str]] = self.body["messages"]
        return messages

    @property
    def last(self) -> str:
        return self.messages[-1]["content"]


class ChatServer(ThreadingHTTPServer):
    """Answers with the replies in ``script``, then with ``reply``."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self) -> None:
        self.script: deque[Reply] = deque()
        self.reply: Reply = say("Yes [1].")
        self.requests: list[Request] = []
        self.models = [MODEL]
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/"


class Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.requests.append(Request(self.path, dict(self.headers), b""))
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "me"} for name in self.server.models]
        self.send_json(200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        request = Request(self.path, dict(self.headers), raw)
        self.server.requests.append(request)
        if self.path.split("?")[0] != "/v1/chat/completions":
            self.send_json(404, {"error": {"message": f"no such path {self.path}"}})
            return
        reply = self.server.script.popleft() if self.server.script else self.server.reply
        reply(self, request.body)

    def send_json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.start(status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})})
        self.wfile.write(data)

    def start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def start_stream(self) -> None:
        self.start(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})

    def send_event(self, event: Any) -> None:
        data = f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def end_stream(self) -> None:
        self.send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args: object) -> None:
        pass


def event(text: str | None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text} if text is not None else {}, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": [choice], **more}


def say(*parts: str, reason: str = "stop", usage: tuple[int, int] | None = None) -> Reply:
    """An answer, whole or streamed in ``parts`` as the request wants it."""

    def reply(handler: Handler, request: dict[str, Any]) -> None:
        tokens = usage and {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
        if not request.get("stream"):
            message = {"role": "assistant", "content": "".join(parts)}
            choice = {"index": 0, "message": message, "finish_reason": reason}
            body = {"id": "c", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice]}
            handler.send_json(200, {**body, "usage": tokens} if tokens else body)
            return
        handler.start_stream()
        for part in parts:
            handler.send_event(event(part))
        handler.send_event(event(None, reason))
        if tokens:
            handler.send_event({**event(None), "choices": [], "usage": tokens})
        handler.end_stream()

    return reply


def status(number: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> Reply:
    """An error in the protocol's words."""
    return lambda handler, _: handler.send_json(number, {"error": {"message": message, **error}}, headers)


def body(data: bytes, code: int = 200) -> Reply:
    """Any bytes."""
    return lambda handler, _: handler.send_json(code, data)


def cut(*parts: str, chunked: bool = True) -> Reply:
    """A stream that ends without an end: a connection that breaks, or one that is closed as if all were well."""

    def reply(handler: Handler, _: dict[str, Any]) -> None:
        if chunked:
            handler.start_stream()
            for part in parts:
                handler.send_event(event(part))
            return
        handler.start(200, {"Content-Type": "text/event-stream"})
        for part in parts:
            handler.wfile.write(f"data: {json.dumps(event(part))}\n\n".encode())

    return reply


def hold(release: threading.Event, *parts: str) -> Reply:
    """A stream that says ``parts`` and then nothing until ``release``."""

    def reply(handler: Handler, request: dict[str, Any]) -> None:
        try:
            if request.get("stream"):
                handler.start_stream()
                for part in parts:
                    handler.send_event(event(part))
            release.wait()
            if request.get("stream"):
                handler.send_event(event(" End.", "stop"))
                handler.end_stream()
        except OSError:  # whoever asked has gone
            pass

    return reply


@contextmanager
def running() -> Iterator[ChatServer]:
    """A server in a thread; all its threads have ended when the block has."""
    with ChatServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def endpoint(server: ChatServer, *, provider: str = "openai", **changes: Any) -> ModelEndpoint:
    """The server in the place of a provider."""
    values: dict[str, Any] = {
        "provider": provider,
        "base_url": server.url,
        "key": Secret(KEY, name="llm_api_key"),
        "model": MODEL,
        "window": 8192,
        "limit_name": "max_tokens",
        **changes,
    }
    return ModelEndpoint(**values)


@contextmanager
def backend(
    server: ChatServer, *, provider: str = "openai", options: Any = None, **settings: Any
) -> Iterator[OpenAIBackend]:
    """The real client, talking to the server."""
    settings = {"max_retries": 0, **settings}
    client = {name: settings.pop(name) for name in ("timeout", "max_retries") if name in settings}
    made = OpenAIBackend(endpoint(server, provider=provider, **settings), options=options, **client)
    try:
        yield made
    finally:
        made.close()


def contents(messages: Sequence[dict[str, str]]) -> str:
    """All that is said in a request."""
    return "\n".join(message["content"] for message in messages)
