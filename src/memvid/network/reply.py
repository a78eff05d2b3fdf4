"""What of a reply is let through: unpacked, counted, without what makes reading it expensive."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from memvid.network.meter import Meter, StoppedError

__all__ = ["Body", "read_headers"]

_ERROR_BYTES = 64 * 1024  # of what a server says about a request that failed
_INFLATED = 64 * 1024  # bytes at once
_PACKED = re.compile(r"x?-?gzip|deflate", re.IGNORECASE)
_DONE = re.compile(rb"[\r\n]data: ?\[DONE\]")
_TAIL = 16  # bytes of a stream that may be the beginning of its end


def read_headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers of a reply by their names in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


def _kept_headers(raw: list[tuple[bytes, bytes]], packed: str) -> list[tuple[bytes, bytes]]:
    """Without what is no longer so, and without a charset: JSON and event streams are UTF-8."""
    dropped = (b"content-encoding", b"content-length") if packed else ()
    kept = [(name, value) for name, value in raw if name.lower() not in dropped]
    return [(name, value.partition(b";")[0] if name.lower() == b"content-type" else value) for name, value in kept]


class Body:
    """The body of a reply, as it arrives.

    The body of an error or a redirect ends after 64 KiB, and where it breaks off: its status says enough.

    :param reply: of the connection pool.
    :param meter: counts.
    :param mapped: what turns the pool's errors into those of the client.
    :ivar headers: of the reply, as they are to be shown.
    :raises StoppedError: it is packed in a way that memvid does not unpack.
    """

    def __init__(self, reply: Any, meter: Meter, mapped: Callable[[], AbstractContextManager[None]]) -> None:
        headers = read_headers(reply.headers)
        packed = headers.get("content-encoding", "").strip()
        self._lenient = reply.status >= 300
        self._reply = reply
        self._meter = meter
        self._mapped = mapped
        self._lines = "event-stream" in headers.get("content-type", "")
        self._tail = b"\n"
        self._inflate: Any = None
        self._seen = 0
        if packed.lower() in ("", "identity"):
            packed = ""
        elif _PACKED.fullmatch(packed):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif not self._lenient:
            raise StoppedError("encoding", f"is packed as {packed[:40]!r}, which nobody asked for")
        self.headers = _kept_headers(reply.headers, packed)
        if self._lenient:
            meter.hurry()

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._mapped():
                for data in self._reply.stream:
                    for piece in self._pieces(data):
                        yield piece
                        if self._enough(piece):
                            return
        except Exception:
            if not self._lenient:
                raise

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            with self._mapped():
                async for data in self._reply.stream:
                    for piece in self._pieces(data):
                        yield piece
                        if self._enough(piece):
                            return
        except Exception:
            if not self._lenient:
                raise

    def close(self) -> None:
        """Let go of the connection."""
        self._reply.close()

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._reply.aclose()

    def _enough(self, piece: bytes) -> bool:
        self._seen += len(piece)
        return self._lenient and self._seen >= _ERROR_BYTES

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            yield self._counted(data)
            return
        while data:
            try:
                piece = self._inflate.decompress(data, _INFLATED)
            except zlib.error as error:
                raise StoppedError("encoding", f"cannot be unpacked ({error})") from error
            data = self._inflate.unconsumed_tail
            if piece:
                yield self._counted(piece)
            elif self._inflate.eof:
                return

    def _counted(self, data: bytes) -> bytes:
        self._meter.unpacked(data, lines=self._lines)
        if self._lines and not self._meter.ended:
            self._meter.ended = _DONE.search(self._tail + data) is not None
            self._tail = (self._tail + data)[-_TAIL:]
        return data
