"""Endpoints that speak OpenAI's protocol, and which key belongs to which of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from memvid.errors import ConfigError
from memvid.network.address import is_private, origin
from memvid.network.secret import Secret

__all__ = ["CUSTOM", "PROVIDERS", "Endpoint", "Provider", "choose_endpoint", "owner_of_key", "provider_of_url"]

CUSTOM = "custom"
_ADDRESS_VARIABLE = "OPENAI_BASE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An endpoint that is known by name.

    :ivar name: what users call it.
    :ivar base_url: where it is.
    :ivar key_variable: the environment variable of its key; ``None`` for a server that wants no key.
    :ivar key_prefix: how its keys begin, or ``""``; of two that fit, the longer one says whose a key is.
    """

    name: str
    base_url: str
    key_variable: str | None = None
    key_prefix: str = ""


_ALL = (
    Provider(name="openai", base_url="https://api.openai.com/v1/", key_variable="OPENAI_API_KEY", key_prefix="sk-"),
    Provider(
        name="anthropic",
        base_url="https://api.anthropic.com/v1/",
        key_variable="ANTHROPIC_API_KEY",
        key_prefix="sk-ant-",
    ),
    Provider(
        name="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
        key_variable="GEMINI_API_KEY",
        key_prefix="AIza",
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
    :ivar at_home: whether the address is the provider's own, or comes with the key from the environment: only then
        does it get what else the environment has for that provider.
    """

    provider: str
    base_url: str
    key: Secret | None
    at_home: bool = False


def provider_of_url(base_url: str) -> Provider | None:
    """The remote provider whose host that is, or ``None``.

    :raises ConfigError: it is not an address, or that of a provider without https.
    """
    scheme, host, _ = origin(base_url)
    for provider in _REMOTE:
        if host == origin(provider.base_url)[1]:
            if scheme != "https":
                raise ConfigError(f"base_url={base_url!r} would send the key in the clear: use {provider.base_url!r}")
            return provider
    return None


def owner_of_key(key: Secret) -> Provider | None:
    """The provider whose keys begin like that, or ``None``."""
    return next((one for one in _BY_KEY if one.key_prefix and key.startswith((one.key_prefix,))), None)


def choose_endpoint(
    provider: Provider | None, *, key: Secret | None, base_url: str | None, key_name: str = "llm_api_key"
) -> Endpoint:
    """The endpoint of a provider, or of an address, and the key that may go there.

    A key of the environment goes to its provider's own host alone. (``OPENAI_BASE_URL`` belongs to ``OPENAI_API_KEY``:
    where both come from the environment, so does the address.) A key goes over plain http to this machine and private
    networks alone.

    :param key_name: what the user calls the key.
    :raises ConfigError: the key is missing, belongs to another provider, or would go in the clear; the address is of
        another provider.
    """
    owner = provider_of_url(base_url) if base_url is not None else provider
    if base_url is not None and provider is not None and owner not in (None, provider):
        raise ConfigError(f"llm_provider={provider.name!r} is not at base_url={base_url!r}: leave one of them out")
    known = provider or owner
    address, address_name = base_url or (known.base_url if known else ""), "base_url"
    at_home = known is not None and (base_url is None or owner is known)
    if key is not None:
        if at_home:
            _refuse_foreign(key, known, key_name)
    elif known is not None and known.key_variable is not None:
        key = _key_of_environment(known, at_home, address, key_name)
        if known.name == "openai" and base_url is None and os.environ.get(_ADDRESS_VARIABLE):
            address, address_name = os.environ[_ADDRESS_VARIABLE], _ADDRESS_VARIABLE
            origin(address, name=address_name)
        _refuse_foreign(key, provider_of_url(address), known.key_variable)
    if key is not None:
        _refuse_in_the_clear(address, address_name)
    return Endpoint(provider=known.name if known else CUSTOM, base_url=address, key=key, at_home=at_home)


def _refuse_foreign(key: Secret, provider: Provider | None, key_name: str) -> None:
    owner = owner_of_key(key)
    if provider is not None and owner is not None and owner is not provider and provider.key_variable:
        raise ConfigError(
            f"{key_name} is a key of {owner.name}, which is not sent to {provider.name}: give one of {provider.name}, "
            f"or the address of {owner.name}"
        )


def _refuse_in_the_clear(address: str, name: str) -> None:
    scheme, host, _ = origin(address, name=name)
    if scheme == "http" and not is_private(host):
        raise ConfigError(
            f"{name}={address!r} would send the key in the clear: use https, or leave the key out if it wants none"
        )


def _key_of_environment(provider: Provider, at_home: bool, address: str, key_name: str) -> Secret:
    variable = provider.key_variable or ""
    found = os.environ.get(variable)
    if not at_home:
        raise ConfigError(
            f"no key for {address}: pass {key_name}=... (any text, if it wants none); {variable} is sent to "
            f"{provider.name}'s own address only"
        )
    if not found:
        raise ConfigError(f"no key for {provider.name}: pass {key_name}=... or set the environment variable {variable}")
    return Secret(found, name=variable)
