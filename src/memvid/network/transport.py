"""The way of an answer's requests to their server: no other address, with the key, tried again, counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from memvid.network.endpoint import Endpoint
from memvid.network.meter import Meter, MeteredTimeout, StoppedError
from memvid.network.reply import Body, read_headers
from memvid.network.retries import Retries

__all__ = ["AsyncTransport", "Gate", "Libraries", "Transport"]

# Headers of the client that any endpoint may see. Others come from variables of the environment that are OpenAI's.
_HEADERS = frozenset({"host", "accept", "connection", "user-agent", "content-type", "content-length"})
_TRIED_AGAIN = ("ConnectError", "ConnectTimeout", "ReadError", "WriteError", "RemoteProtocolError")


class Libraries:
    """The two libraries below the ``openai`` package: ``httpx`` and ``httpcore``, or their successors.

    :param http: the client library.
    :param core: the library of connections.
    """

    def __init__(self, http: Any, core: Any) -> None:
        self.http = http
        self.core = core
        # The client asks of what class the body of a reply is, for threads and for event loops.
        self.body: Callable[..., Body] = type("Body", (Body, http.SyncByteStream, http.AsyncByteStream), {})

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """Raise errors of connections as the client's errors of the same name."""
        try:
            yield
        except Exception as error:
            name = type(error).__name__
            if type(error) is not getattr(self.core, name, None):
                raise
            raise getattr(self.http, name, self.http.TransportError)(str(error)) from error


class Gate:
    """Lets requests to one endpoint out, with the key that belongs to it and no header that does not.

    The key is put into what is sent and into no object of the client: no repr, log or pickle of it can show one.

    :param endpoint: where requests go.
    :param own_headers: names of headers that the user gave.
    """

    def __init__(self, endpoint: Endpoint, own_headers: Iterable[str] = ()) -> None:
        self._endpoint = endpoint
        self._allowed = _HEADERS.union(name.lower() for name in own_headers)
        self._all_allowed = endpoint.provider == "openai" and endpoint.at_home

    def admit(self, core: Any, http: Any, request: Any, meter: Meter) -> Any:
        """The request that is sent for one of the client.

        :raises StoppedError: it is to another scheme, host or port.
        """
        home, target = http.URL(self._endpoint.base_url), request.url
        if _origin(target) != _origin(home):
            raise StoppedError("origin", f"was asked for at {target.host}: requests go to {home.host} only")
        asked = request.extensions.get("timeout") or {}
        meter.begin()
        return core.Request(
            method=request.method,
            url=core.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path),
            headers=self._headers(request.headers.multi_items()),
            content=request.stream,
            extensions={
                "timeout": {
                    name: MeteredTimeout.of(meter, meter.clock.left if asked.get(name) is None else asked[name])
                    for name in ("connect", "read", "write", "pool")
                }
            },
        )

    def _headers(self, given: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
        """With the key, and without what the endpoint has no business with. What is sent packed could be a bomb."""
        sent = [(b"Accept-Encoding", b"identity")]
        for name, value in given:
            lower = name.lower()
            known = self._all_allowed or lower in self._allowed or lower.startswith("x-stainless-")
            if known and lower not in ("authorization", "accept-encoding"):
                sent.append((name.encode("ascii"), value.encode("latin-1")))
        if self._endpoint.key is not None:
            sent.append((b"Authorization", b"Bearer " + self._endpoint.key.reveal().encode("ascii")))
        return sent


class _Requests:
    """What the transports for threads and for event loops have in common."""

    def __init__(self, libraries: Libraries, pool: Any, gate: Gate, meter: Meter, retries: Retries) -> None:
        self._libraries = libraries
        self._pool = pool
        self._gate = gate
        self._meter = meter
        self._retries = retries

    def _admit(self, request: Any) -> Any:
        return self._gate.admit(self._libraries.core, self._libraries.http, request, self._meter)

    def _mapped(self) -> AbstractContextManager[None]:
        return self._libraries.mapped()

    def _response(self, reply: Any) -> Any:
        body = self._libraries.body(reply, self._meter, self._libraries.mapped)
        known = {name: reply.extensions[name] for name in ("http_version", "reason_phrase") if name in reply.extensions}
        return self._libraries.http.Response(reply.status, headers=body.headers, stream=body, extensions=known)

    def _wait_after(self, reply: Any) -> float | None:
        """Seconds until the request is sent again; ``None`` if the reply is what there is."""
        self._meter.begun = True
        headers = read_headers(reply.headers)
        return self._retries.wait(headers, status=reply.status, left=self._meter.clock.left)

    def _wait_after_error(self, error: Exception) -> float | None:
        if type(error).__name__ not in _TRIED_AGAIN:
            return None
        return self._retries.wait({}, status=None, left=self._meter.clock.left)


class Transport(_Requests):
    """Sends the requests of one answer; the ``openai`` client's ``httpx`` uses it.

    :param libraries: below the client.
    :param pool: connections, which may be shared with other answers.
    :param gate: what may leave.
    :param meter: what the answer may take.
    :param retries: how often it may be asked for.
    """

    def handle_request(self, request: Any) -> Any:
        """Send a request; the body of the response is still to be read."""
        while True:
            admitted = self._admit(request)
            try:
                with self._mapped():
                    reply = self._pool.handle_request(admitted)
            except self._libraries.http.TransportError as error:
                if (wait := self._wait_after_error(error)) is None:
                    raise
            else:
                if (wait := self._wait_after(reply)) is None:
                    return self._response(reply)
                reply.close()
            with self._meter.clock.waiting():
                time.sleep(wait)

    def close(self) -> None:
        """Nothing: the pool is not the answer's own."""

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncTransport(_Requests):
    """:class:`Transport` for an event loop. The pool is this answer's own, and is closed with it."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; the body of the response is still to be read."""
        import asyncio

        while True:
            admitted = self._admit(request)
            try:
                with self._mapped():
                    reply = await self._pool.handle_async_request(admitted)
            except self._libraries.http.TransportError as error:
                if (wait := self._wait_after_error(error)) is None:
                    raise
            else:
                if (wait := self._wait_after(reply)) is None:
                    return self._response(reply)
                await reply.aclose()
            with self._meter.clock.waiting():
                await asyncio.sleep(wait)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def __aenter__(self) -> AsyncTransport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _origin(url: Any) -> tuple[str, bytes, int]:
    return url.scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80)
