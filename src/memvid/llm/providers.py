"""Endpoints that speak OpenAI's protocol, and which key belongs to which of them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from memvid.errors import ConfigError
from memvid.llm.keys import Secret

__all__ = [
    "CUSTOM",
    "PROVIDERS",
    "Endpoint",
    "Provider",
    "choose_endpoint",
    "guess_provider",
    "is_here",
    "origin",
    "provider_of_url",
]

CUSTOM = "custom"
_LOCAL_WINDOW = 4096  # what local servers are usually started with; a larger one is an option


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An endpoint that is known by name.

    :ivar name: what ``llm_provider`` calls it.
    :ivar base_url: where it is.
    :ivar key_variable: the environment variable of its key; ``None`` for a server that wants no key.
    :ivar key_prefix: how its keys begin, or ``""``; of two that fit, the longer one says whose a key is.
    :ivar model_prefixes: how its models' names begin.
    :ivar model: the model if none is named; ``None`` takes the first that the server lists.
    :ivar window: tokens that request and answer may have together, a floor over its current models.
    :ivar limit_name: the option that bounds the answer.
    """

    name: str
    base_url: str
    key_variable: str | None = None
    key_prefix: str = ""
    model_prefixes: tuple[str, ...] = ()
    model: str | None = None
    window: int = _LOCAL_WINDOW
    limit_name: str = "max_tokens"


_ALL = (
    Provider(
        name="openai",
        base_url="https://api.openai.com/v1/",
        key_variable="OPENAI_API_KEY",
        key_prefix="sk-",
        model_prefixes=("gpt-", "o1", "o3", "o4", "chatgpt-"),
        model="gpt-6-luna",
        window=128_000,
        limit_name="max_completion_tokens",
    ),
    Provider(
        name="anthropic",
        base_url="https://api.anthropic.com/v1/",
        key_variable="ANTHROPIC_API_KEY",
        key_prefix="sk-ant-",
        model_prefixes=("claude-",),
        model="claude-haiku-4-5",
        window=200_000,
    ),
    Provider(
        name="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
        key_variable="GEMINI_API_KEY",
        key_prefix="AIza",
        model_prefixes=("gemini-",),
        model="gemini-flash-latest",
        window=128_000,
    ),
    Provider(name="ollama", base_url="http://localhost:11434/v1/"),
    Provider(name="vllm", base_url="http://localhost:8000/v1/"),
    Provider(name="llamacpp", base_url="http://localhost:8080/v1/"),
    Provider(name="lmstudio", base_url="http://localhost:1234/v1/"),
)
PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in _ALL}
_REMOTE = tuple(provider for provider in _ALL if provider.key_variable)
_BY_KEY = tuple(sorted(_REMOTE, key=lambda provider: -len(provider.key_prefix)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go, with which key.

    :ivar provider: its name, ``"custom"`` if only its address is known.
    :ivar base_url: the address.
    :ivar key: the key, or ``None`` if there is none to send.
    :ivar model: the model, or ``None`` for the first that the server lists.
    :ivar window: tokens that request and answer may have together.
    :ivar limit_name: the option that bounds the answer.
    :ivar at_home: whether the address is the provider's own, or comes with the key from the environment: only then
        does it get what else the environment has for that provider.
    """

    provider: str
    base_url: str
    key: Secret | None
    model: str | None
    window: int
    limit_name: str
    at_home: bool = False


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address, with the port that the scheme implies.

    :raises ConfigError: it is no such address, or has a user name, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError as error:
        raise ConfigError(f"base_url={url!r} is not possible: {error}") from error
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ConfigError(f"base_url={url!r} is not possible: it has a blank or a line end, paste it anew")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"base_url={url!r} is not possible: expected an address such as 'http://localhost:8080/v1'")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("base_url has a user name, a query or a fragment: give the key as llm_api_key")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def is_here(url: str) -> bool:
    """Whether an address is on this machine."""
    host = origin(url)[1]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def provider_of_url(base_url: str) -> Provider | None:
    """The remote provider whose host that is, or ``None``.

    :raises ConfigError: it is not an address, or that of a provider without https.
    """
    scheme, host, _ = origin(base_url)
    for provider in _REMOTE:
        if host == urlsplit(provider.base_url).hostname:
            if scheme != "https":
                raise ConfigError(f"base_url={base_url!r} would send the key in the clear: use {provider.base_url!r}")
            return provider
    return None


def guess_provider(key: Secret | None, model: str | None) -> Provider | None:
    """The provider that a key or a model's name belongs to; ``None`` if neither tells."""
    for provider in _BY_KEY:
        if key is not None and provider.key_prefix and key.startswith((provider.key_prefix,)):
            return provider
    for provider in _REMOTE:
        if model is not None and model.startswith(provider.model_prefixes):
            return provider
    return None


def choose_endpoint(
    provider: Provider | None, *, key: Secret | None, model: str | None, base_url: str | None
) -> Endpoint:
    """The endpoint of a provider, or of an address, and the key that may go there.

    A key of the environment goes to its provider's own host alone. (``OPENAI_BASE_URL`` belongs to ``OPENAI_API_KEY``:
    where both come from the environment, so does the address.)

    :raises ConfigError: the key is missing, or belongs to another provider; the address is of another provider.
    """
    owner = provider_of_url(base_url) if base_url is not None else provider
    if base_url is not None and provider is not None and owner not in (None, provider):
        raise ConfigError(f"llm_provider={provider.name!r} is not at base_url={base_url!r}: leave one of them out")
    known = provider or owner
    address = base_url or (known.base_url if known else "")
    at_home = known is not None and (base_url is None or owner is known)
    if key is not None and at_home:
        _refuse_foreign(key, known)
    if key is None and known is not None and known.key_variable is not None:
        key, address = _key_of_environment(known, at_home, address, chosen=base_url is not None)
    return Endpoint(
        provider=known.name if known else CUSTOM,
        base_url=address,
        key=key,
        model=model or (known.model if known else None),
        window=known.window if known else _LOCAL_WINDOW,
        limit_name=known.limit_name if known else "max_tokens",
        at_home=at_home,
    )


def _refuse_foreign(key: Secret, provider: Provider | None, *, name: str = "llm_api_key") -> None:
    owner = guess_provider(key, None)
    if provider is not None and owner is not None and owner is not provider and provider.key_variable:
        raise ConfigError(
            f"{name} is a key of {owner.name}, which is not sent to {provider.name}: give one of {provider.name}, "
            f"or llm_provider={owner.name!r}"
        )


def _key_of_environment(provider: Provider, at_home: bool, address: str, *, chosen: bool) -> tuple[Secret, str]:
    variable = provider.key_variable or ""
    found = os.environ.get(variable)
    if not at_home:
        raise ConfigError(
            f"no key for {address}: pass llm_api_key=... (any text, if it wants none); {variable} is sent to "
            f"{provider.name}'s own address only"
        )
    if not found:
        raise ConfigError(
            f"no key for {provider.name}: pass llm_api_key=... or set the environment variable {variable}"
        )
    if provider.name == "openai" and not chosen and os.environ.get("OPENAI_BASE_URL"):
        address = os.environ["OPENAI_BASE_URL"]
    key = Secret(found, name=variable)
    _refuse_foreign(key, provider_of_url(address), name=variable)
    return key, address
