"""One endpoint, asked by the ``openai`` package: a client for each answer, over connections that all of them share."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from memvid.dependencies import import_dependency
from memvid.errors import ConfigError
from memvid.network.address import origin
from memvid.network.endpoint import Endpoint
from memvid.network.meter import Meter
from memvid.network.metered import AsyncMeteredBackend, MeteredBackend
from memvid.network.proxies import proxy_for
from memvid.network.retries import Retries
from memvid.network.transport import AsyncTransport, Gate, Libraries, Transport

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

__all__ = ["Service", "libraries_of"]

_PLACEHOLDER = "memvid"  # what the client has for a key
_CONNECTING = 10.0  # seconds at most
_CONNECTIONS = 100
_IDLE = 5.0  # seconds that a connection is kept for another answer; some servers keep it no longer


class Service:
    """Makes clients that reach one endpoint and nothing else. Safe to share between threads.

    Each is for one answer: its meter bounds all that is sent and received for it. The ``openai`` package is imported
    with the first.

    :param endpoint: where requests go, with which key.
    :param timeout: seconds of silence.
    :param max_retries: how often a request that failed for a passing reason is tried again.
    :param patience: seconds to wait for that, in all.
    :param own_headers: names of headers that the user gave.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float,
        max_retries: int,
        patience: float,
        own_headers: Iterable[str] = (),
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._max_retries = max_retries
        self._patience = patience
        self._gate = Gate(endpoint, own_headers)
        self._lock = threading.Lock()
        self._pool: Any = None

    def client(self, meter: Meter) -> OpenAI:
        """A client for one answer; nothing has to be closed.

        :raises DependencyError: there is no ``openai`` package.
        :raises ConfigError: a proxy or certificates that the environment names are none.
        """
        openai = _import_openai()
        libraries = libraries_of(openai)
        with self._lock:
            if self._pool is None:
                backend = MeteredBackend(libraries.core, self._endpoint.key)
                self._pool = self._make_pool(libraries, backend, "")
            pool = self._pool
        http_client = openai.DefaultHttpxClient(
            transport=Transport(libraries, pool, self._gate, meter, self._retries()),
            follow_redirects=False,
            trust_env=False,
        )
        made: OpenAI = openai.OpenAI(http_client=http_client, **self._settings(openai))
        return made

    def async_client(self, meter: Meter) -> AsyncOpenAI:
        """A client for one answer in an event loop, to be closed; may be made in another thread."""
        openai = _import_openai()
        libraries = libraries_of(openai)
        pool = self._make_pool(libraries, AsyncMeteredBackend(libraries.core, self._endpoint.key), "Async")
        http_client = openai.DefaultAsyncHttpxClient(
            transport=AsyncTransport(libraries, pool, self._gate, meter, self._retries()),
            follow_redirects=False,
            trust_env=False,
        )
        made: AsyncOpenAI = openai.AsyncOpenAI(http_client=http_client, **self._settings(openai))
        return made

    def close(self) -> None:
        """Close idle connections; the next client opens new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _retries(self) -> Retries:
        return Retries(self._max_retries, self._patience)

    def _settings(self, openai: Any) -> dict[str, Any]:
        return {
            "api_key": _PLACEHOLDER,
            "base_url": self._endpoint.base_url,
            "max_retries": 0,  # they are the transport's
            "timeout": openai.Timeout(self._timeout, connect=min(self._timeout, _CONNECTING)),
        }

    def _make_pool(self, libraries: Libraries, backend: object, prefix: str) -> Any:
        """Connections to the endpoint, through the proxy of the environment if it has one for it."""
        options: dict[str, Any] = {
            "network_backend": backend,
            "max_connections": _CONNECTIONS,
            "keepalive_expiry": _IDLE,
        }
        if origin(self._endpoint.base_url)[0] == "https":
            options["ssl_context"] = _certificates(libraries)
        proxy = proxy_for(self._endpoint.base_url)
        if proxy is None:
            return getattr(libraries.core, f"{prefix}ConnectionPool")(**options)
        options.update(proxy_url=proxy.url, proxy_auth=proxy.auth)
        if proxy.url.startswith("https:"):
            options["proxy_ssl_context"] = _certificates(libraries)
        if not proxy.url.startswith("socks"):
            return getattr(libraries.core, f"{prefix}HTTPProxy")(**options)
        import_dependency("socksio", f"socksio is needed for the proxy {proxy.url}: pip install socksio")
        return getattr(libraries.core, f"{prefix}SOCKSProxy")(**options)


def _certificates(libraries: Libraries) -> Any:
    """Those of the system or of ``certifi``; ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name others."""
    try:
        return libraries.http.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"no certificates can be read ({error}): see what SSL_CERT_FILE and SSL_CERT_DIR name"
        ) from error


def libraries_of(openai: Any) -> Libraries:
    """What a release of the ``openai`` package stands on."""
    bases = (base.__module__.partition(".")[0] for base in openai.DefaultHttpxClient.__mro__)
    http = next(module for module in bases if module.startswith("httpx"))
    core = http.replace("httpx", "httpcore")
    return Libraries(importlib.import_module(http), importlib.import_module(core))


def _import_openai() -> Any:
    return import_dependency("openai", "openai is needed to ask a provider: pip install openai")
