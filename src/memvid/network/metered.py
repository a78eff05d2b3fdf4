"""Connections that count what they read, and wait no longer than an answer may take.

They stand below the HTTP library, which does with them whatever it does: headers, encryption, proxies. Nothing that a
server sends, and no way of sending it, goes around them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from memvid.network.meter import Meter, MeteredTimeout
from memvid.network.secret import EchoMask, Secret

__all__ = ["AsyncMeteredBackend", "MeteredBackend"]

_SLICE = 16 * 1024  # bytes that are written at once: the clock is looked at between


class _Rules:
    """What all connections of a backend have in common.

    :param core: the library, ``httpcore`` or ``httpcore2``.
    :param key: is masked in what the server sends.
    """

    def __init__(self, core: Any, key: Secret | None) -> None:
        self._timed_out = core.TimeoutException
        self._key = key

    def mask(self) -> EchoMask:
        return EchoMask(self._key)

    @contextmanager
    def waiting(self, timeout: MeteredTimeout) -> Iterator[float]:
        """Gives the seconds that an operation may take, and counts those it took."""
        meter = timeout.meter
        try:
            with meter.clock.waiting() as left:
                yield min(timeout, left)
        except self._timed_out:
            meter.clock.check()
            raise


class MeteredBackend:
    """Opens connections that count.

    :param core: the library, ``httpcore`` or ``httpcore2``.
    :param key: is masked in what the server sends.
    """

    def __init__(self, core: Any, key: Secret | None) -> None:
        self._inner = core.SyncBackend()
        self._rules = _Rules(core, key)

    def connect_tcp(self, host: str, port: int, timeout: MeteredTimeout, **options: Any) -> _Stream:
        with self._rules.waiting(timeout) as seconds:
            return _Stream(self._inner.connect_tcp(host, port, timeout=seconds, **options), self._rules, timeout)


class _Connection:
    """:param opened: with what the connection was opened; handshakes with a SOCKS proxy name no timeout."""

    def __init__(self, inner: Any, rules: _Rules, opened: MeteredTimeout) -> None:
        self._inner = inner
        self._rules = rules
        self._opened = opened
        self._mask = rules.mask()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def _arrived(self, data: bytes, meter: Meter, begin: float) -> bytes:
        meter.received(len(data), time.monotonic() - begin)
        return self._mask(data)


class _Stream(_Connection):
    def read(self, max_bytes: int, timeout: MeteredTimeout | None = None) -> bytes:
        timeout, begin = timeout or self._opened, time.monotonic()
        with self._rules.waiting(timeout) as seconds:
            data: bytes = self._inner.read(max_bytes, seconds)
        return self._arrived(data, timeout.meter, begin)

    def write(self, buffer: bytes, timeout: MeteredTimeout | None = None) -> None:
        for start in range(0, len(buffer), _SLICE):
            with self._rules.waiting(timeout or self._opened) as seconds:
                self._inner.write(buffer[start : start + _SLICE], seconds)

    def start_tls(self, ssl_context: Any, server_hostname: str | None, timeout: MeteredTimeout) -> _Stream:
        with self._rules.waiting(timeout) as seconds:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, seconds), self._rules, timeout)

    def close(self) -> None:
        self._inner.close()


class AsyncMeteredBackend:
    """:class:`MeteredBackend` for an event loop."""

    def __init__(self, core: Any, key: Secret | None) -> None:
        self._inner = core.AnyIOBackend()
        self._rules = _Rules(core, key)

    async def connect_tcp(self, host: str, port: int, timeout: MeteredTimeout, **options: Any) -> _AsyncStream:
        with self._rules.waiting(timeout) as seconds:
            stream = await self._inner.connect_tcp(host, port, timeout=seconds, **options)
        return _AsyncStream(stream, self._rules, timeout)


class _AsyncStream(_Connection):
    async def read(self, max_bytes: int, timeout: MeteredTimeout | None = None) -> bytes:
        timeout, begin = timeout or self._opened, time.monotonic()
        with self._rules.waiting(timeout) as seconds:
            data: bytes = await self._inner.read(max_bytes, seconds)
        return self._arrived(data, timeout.meter, begin)

    async def write(self, buffer: bytes, timeout: MeteredTimeout | None = None) -> None:
        with self._rules.waiting(timeout or self._opened) as seconds:  # of the whole buffer, here
            await self._inner.write(buffer, seconds)

    async def start_tls(self, ssl_context: Any, server_hostname: str | None, timeout: MeteredTimeout) -> _AsyncStream:
        with self._rules.waiting(timeout) as seconds:
            stream = await self._inner.start_tls(ssl_context, server_hostname, seconds)
        return _AsyncStream(stream, self._rules, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()
