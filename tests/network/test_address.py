"""Where an address leads."""

from __future__ import annotations

import pytest

from memvid.errors import ConfigError
from memvid.network.address import is_here, is_private, origin


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.8.8.8", "0.0.0.0", "::1"])
def test_this_machine(host: str) -> None:
    assert is_here(host)
    assert is_private(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "172.31.0.9", "192.168.1.5", "fe80::1", "fd00::1", "vllm", "box.local"])
def test_beside_this_machine(host: str) -> None:
    assert not is_here(host)
    assert is_private(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost.example",
        "127.0.0.1.example",
        "8.8.8.8",
        "172.32.0.1",
        "203.0.113.5",
        "2001:db8::1",
        "134744072",  # 8.8.8.8 to a resolver
        "0x08080808",
        "010.0.0.1",
        "local.example",
    ],
)
def test_somewhere_else(host: str) -> None:
    assert not is_here(host)
    assert not is_private(host)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://LOCALHOST/v1", ("http", "localhost", 80)),
        ("https://example.com", ("https", "example.com", 443)),
        ("https://b\u00fccher.example:8443/v1", ("https", "xn--bcher-kva.example", 8443)),
        ("http://[::1]:8080/v1/", ("http", "::1", 8080)),
    ],
)
def test_origins(url: str, expected: tuple[str, str, int]) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url", ["https://user:password@example.com/", "https://@example.com/", "https://u@example.com"]
)
def test_no_password_is_in_an_address_or_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="OURS has a user name") as caught:
        origin(url, name="OURS")
    assert "password" not in str(caught.value)
