"""Where an address leads: its origin, and whether that is this machine or one beside it."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from memvid.errors import ConfigError

__all__ = ["Origin", "is_here", "is_private", "origin"]

Origin = tuple[str, str, int]
"""Scheme, host and port."""

_PRIVATE_NETWORKS = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
]
_PRIVATE_NAMES = (".local", ".lan", ".internal", ".home.arpa")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")  # resolvers take it for an address of four bytes


def origin(url: str, *, name: str = "base_url") -> Origin:
    """Scheme, host and port of an address, with the port that the scheme implies.

    :param name: what the user calls the address.
    :raises ConfigError: it is no such address, or has a user name, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError as error:
        raise ConfigError(f"{name}={url!r} is not possible: {error}") from error
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"{name} has a user name, a query or a fragment: give the key as api_key or llm_api_key")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ConfigError(f"{name}={url!r} is not possible: it has a blank or a line end, paste it again")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{name}={url!r} is not possible: expected an address such as 'http://localhost:8080/v1'")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def is_here(host: str) -> bool:
    """Whether a host is this machine."""
    address = _ip(host)
    if address is not None:
        return address.is_loopback or address.is_unspecified
    return host == "localhost" or host.endswith(".localhost")


def is_private(host: str) -> bool:
    """Whether a host is in a private network, or this machine: by its IP address, or a name that is not public."""
    address = _ip(host)
    if address is not None:
        return is_here(host) or any(address in network for network in _PRIVATE_NETWORKS)
    if "." not in host:
        return not _NUMBER.fullmatch(host)
    return is_here(host) or host.endswith(_PRIVATE_NAMES)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
