"""What servers that mean harm cost a chat: seconds and peak memory, each in a process of its own.

    python -m tools.hostile_servers            # the table of docs/security.md
    python -m tools.hostile_servers drip bomb  # those whose names have one of these words

Every one must end in an error of memvid, within 30 seconds and 512 MB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator

from tests.network.raw_server import CHUNKED, EVENTS, JSON, OK, RawServer, Sent, chunk, event, forever, running, sized

SECONDS, MEGABYTES = 30, 512
GIB = 1 << 30


def dripping(head: bytes, data: bytes) -> Sent:
    """``head``, then ``data`` every second."""

    def sent() -> Iterator[bytes]:
        yield head
        while True:
            yield data
            time.sleep(1)

    return sent


def bomb(size: int) -> bytes:
    """So many zeros, in gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    return b"".join([*(packer.compress(zeros) for _ in range(size >> 20)), packer.flush()])


# What is sent, and whether the chat asks for a stream.
SERVERS: dict[str, tuple[Sent, bool]] = {
    "a stream of text without end": (forever(EVENTS + CHUNKED, chunk(event("x" * 60_000) * 5)), True),
    "a body without end": (forever(JSON + CHUNKED, chunk(b"x" * 60_000)), False),
    "a line without end": (forever(EVENTS + CHUNKED + chunk(b"data: "), chunk(b"x" * (1 << 20))), True),
    "comments without end": (forever(EVENTS + CHUNKED, chunk(b": still here\n\n" * 5000)), True),
    "events without text, without end": (forever(EVENTS + CHUNKED, chunk(event("") * 500)), True),
    "chunks of a byte": (forever(JSON + CHUNKED, chunk(b" ") * 10_000), False),
    "headers without end": (forever(OK, b"X-A: y\r\n" * 10_000), False),
    "replies of 100 without end": (forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), False),
    "a gzip bomb of 3 GiB": (sized(JSON + b"Content-Encoding: gzip\r\n", bomb(3 * GIB)), False),
    "JSON 200,000 deep": (sized(JSON, b'{"choices":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), False),
    "a drip of a letter of text a second": (dripping(EVENTS + CHUNKED, chunk(event("y"))), True),
    "a drip of a byte a second": (dripping(JSON + b"Content-Length: 100000\r\n\r\n", b" "), False),
    "Retry-After: 59, for ever": (sized(b"HTTP/1.1 503 No\r\nRetry-After: 59\r\n", b""), False),
}

ASK = """
import sys, time
from memvid import MemvidChat
from memvid.errors import MemvidError
from tests.chat.chat_support import ListMemory
chat = MemvidChat(retriever=ListMemory(["The login failed."]), base_url=sys.argv[1], llm_model="m")
begin = time.perf_counter()
try:
    print(len("".join(chat.stream("login?")) if sys.argv[2] == "True" else chat.chat("login?")))
except MemvidError as error:
    print(f"{time.perf_counter() - begin:.1f}", type(error).__name__)
"""


def measure(server: RawServer, *, stream: bool) -> tuple[str, str, int]:
    """Seconds, the error, and megabytes at most."""
    child = subprocess.Popen([sys.executable, "-c", ASK, server.url, str(stream)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    seconds, _, error = child.stdout.read().strip().partition(" ")
    _, status, usage = wait(child)
    return seconds, error if status == 0 else f"exit {status}", usage.ru_maxrss // 1024


def wait(child: subprocess.Popen[str]) -> tuple[int, int, resource.struct_rusage]:
    """What ``os.wait4`` says of a child, which is what tells its memory."""
    import os

    process, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    return process, status, usage


def main() -> int:
    """Prints the table; 1 if something was beyond the bounds."""
    words = sys.argv[1:]
    print("| server | ends after | peak memory | with |\n|---|---|---|---|")
    beyond = []
    with running() as server:
        for name, (sent, stream) in SERVERS.items():
            if words and not any(word in name for word in words):
                continue
            server.sent = sent
            seconds, error, megabytes = measure(server, stream=stream)
            print(f"| {name} | {seconds} s | {megabytes} MB | `{error}` |", flush=True)
            if not error.startswith("LLM") or float(seconds) > SECONDS or megabytes > MEGABYTES:
                beyond.append(name)
    print(json.dumps({"beyond": beyond}), file=sys.stderr)
    return bool(beyond)


if __name__ == "__main__":
    sys.exit(main())
