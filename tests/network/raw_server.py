"""A server on loopback that sends any bytes at all, for as long as somebody reads them."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from typing import Any

Sent = Callable[[], Iterable[bytes]]

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"Content-Type: application/json\r\n"
EVENTS = OK + b"Content-Type: text/event-stream\r\n"
ENDLESS = b"Connection: close\r\n\r\n"  # the body ends when the connection does
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class RawServer(socketserver.ThreadingTCPServer):
    """Answers each request with what ``sent`` yields; ``requests`` has what came."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.sent: Sent = lambda: ()
        self.requests: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/"


class _Handler(socketserver.StreamRequestHandler):
    server: RawServer

    def handle(self) -> None:
        with suppress(OSError):
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                request += line
            length = next(
                (int(line[15:]) for line in request.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
            )
            self.server.requests.append(request + self.rfile.read(length))
            for data in self.server.sent():
                self.wfile.write(data)


@contextmanager
def running() -> Iterator[RawServer]:
    """A server in a thread. Handlers end when their reader has gone."""
    with RawServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def forever(head: bytes, data: bytes) -> Sent:
    """``head``, then ``data`` without end."""

    def sent() -> Iterator[bytes]:
        yield head
        yield from repeat(data)

    return sent


def once(data: bytes) -> Sent:
    """``data``, and the end."""
    return lambda: (data,)


def sized(head: bytes, body: bytes) -> Sent:
    """A whole reply."""
    return once(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(text: Any, reason: str | None = None) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return b"data: %s\n\n" % json.dumps({"id": "1", "model": "m", "choices": [choice]}).encode()
