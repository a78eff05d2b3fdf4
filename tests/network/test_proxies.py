"""Which proxy of the environment a request goes through."""

from __future__ import annotations

import pytest

from memvid.errors import ConfigError, DependencyError, LLMConnectionError
from memvid.llm import resolve_backend
from memvid.network.proxies import Proxy, proxy_for
from tests.network.raw_server import once, running

FAR = "https://api.example.com/v1"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_there_is_none() -> None:
    assert proxy_for(FAR) is None


@pytest.mark.parametrize(
    ("given", "proxy"),
    [
        ("http://proxy.example:3128", Proxy(url="http://proxy.example:3128")),
        ("proxy.example:3128", Proxy(url="http://proxy.example:3128")),
        ("https://proxy.example/", Proxy(url="https://proxy.example")),
        ("socks5h://[::1]:1080", Proxy(url="socks5h://[::1]:1080")),
        ("http://me:p%40ss@proxy.example:3128", Proxy(url="http://proxy.example:3128", auth=("me", "p@ss"))),
    ],
)
def test_where_it_is(given: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", given)
    found = proxy_for(FAR)
    assert found == proxy
    assert "p@ss" not in repr(found)
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example:1")
    assert proxy_for(FAR) == Proxy(url="http://other.example:1")


@pytest.mark.parametrize("url", ["http://192.168.1.5:8000/v1", "https://localhost/v1", "http://vllm:8000/v1"])
def test_what_a_proxy_could_read_goes_through_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    assert proxy_for(url) is None


@pytest.mark.parametrize("hosts", ["other.example,example.com", "api.example.com:443", "*"])
def test_exceptions(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", hosts)
    assert proxy_for(FAR) is None


@pytest.mark.parametrize("given", ["ftp://proxy.example", "http://", "http://secret@proxy:port", "http://[::1"])
def test_what_is_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", given)
    with pytest.raises(ConfigError, match="HTTPS_PROXY names no proxy") as caught:
        proxy_for(FAR)
    assert "secret" not in str(caught.value)


def ask(**options: str) -> None:
    backend = resolve_backend(base_url=FAR, api_key="0123456789abcdef", model="m", max_retries=0)
    try:
        backend.complete([{"role": "user", "content": "hello"}])
    finally:
        backend.close()  # type: ignore[attr-defined]


def test_a_proxy_sees_the_host_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with running() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://me:pass@"))
        proxy.sent = once(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(LLMConnectionError, match=r"cannot be reached \(403 No\)"):
            ask()
    assert len(proxy.requests) == 1
    assert proxy.requests[0].startswith(b"CONNECT api.example.com:443 HTTP/1.1\r\n")
    assert b"0123456789abcdef" not in proxy.requests[0]
    assert b"hello" not in proxy.requests[0]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(DependencyError, match="pip install socksio"):
        ask()
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")
    with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
        ask()
