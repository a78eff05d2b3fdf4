"""Which proxy of the environment a request goes through."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from memvid.errors import ConfigError
from memvid.network.address import is_here, origin

__all__ = ["Proxy", "proxy_for"]

_SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy of the environment.

    :ivar url: scheme, host and port, without a password.
    :ivar auth: user name and password, if it wants some.
    """

    url: str
    auth: tuple[str, str] | None = field(default=None, repr=False)


def proxy_for(base_url: str) -> Proxy | None:
    """The proxy for an address: ``HTTPS_PROXY``, else ``ALL_PROXY``, unless ``NO_PROXY`` has it.

    Only for ``https``, of which a proxy reads nothing. What goes over plain ``http``, or stays on this machine, goes
    there itself.

    :raises ConfigError: the environment names something that is no proxy.
    """
    from urllib.request import getproxies, proxy_bypass  # and HTTP, TLS and e-mail with it: for those who ask a server

    scheme, host, port = origin(base_url)
    if scheme != "https" or is_here(host) or proxy_bypass(f"{host}:{port}"):
        return None
    proxies = getproxies()
    variable = "HTTPS_PROXY" if proxies.get("https") else "ALL_PROXY"
    given = proxies.get("https") or proxies.get("all")
    if not given:
        return None
    try:
        parts = urlsplit(given if "://" in given else f"http://{given}")
        location = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        location = None
    if not location or parts.scheme not in _SCHEMES:
        raise ConfigError(f"{variable} names no proxy: expected an address such as 'http://proxy.example:3128'")
    if ":" in (parts.hostname or ""):
        location = f"[{parts.hostname}]" + (f":{parts.port}" if parts.port else "")
    auth = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
    return Proxy(url=f"{parts.scheme}://{location}", auth=auth)
