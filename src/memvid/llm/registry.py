"""From what a user may say about a language model to a backend."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from memvid.errors import ConfigError, MemvidError
from memvid.llm.callable_backend import CallableBackend
from memvid.llm.openai_backend import OpenAIBackend
from memvid.llm.protocol import Backend, BackendLike
from memvid.llm.providers import choose_model_endpoint, guess_provider
from memvid.llm.quoting_backend import QuotingBackend
from memvid.network.endpoint import PROVIDERS
from memvid.network.secret import Secret

__all__ = ["ENTRY_POINTS", "backend_names", "resolve_backend"]

ENTRY_POINTS = "memvid.backends"
"""The group of entry points in which packages offer backends: each a function that makes one."""

_NONE = "none"


def backend_names() -> list[str]:
    """What ``llm_provider`` may be: what memvid knows, then what installed packages offer."""
    return [*PROVIDERS, _NONE, *sorted(_offered())]


def resolve_backend(
    backend: BackendLike | None = None,
    *,
    provider: str | None = None,
    api_key: str | Secret | None = None,
    model: str | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
    max_retries: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Backend:
    """Make the backend that is meant.

    A ``backend`` is taken as it is, a function wrapped. A ``provider`` is looked up by name. Without either, the
    address, the beginning of the key or of the model's name tells, a bare key is OpenAI's, and without a key it is the
    provider whose variable the environment has: ``OPENAI_API_KEY``, ``ANTHROPIC_API_KEY``, ``GEMINI_API_KEY``. Where
    nothing is given or set, answers are quotes.

    :raises ConfigError: an unknown name (the nearest known one is named), a missing key, or things that exclude each
        other.
    """
    try:
        key = Secret(api_key, name="llm_api_key") if isinstance(api_key, str) else api_key
    finally:
        del api_key  # what shows the variables of a traceback shows no key
    given: dict[str, object] = {"llm_api_key": key, "llm_provider": provider, "llm_model": model, "base_url": base_url}
    given = {name: value for name, value in given.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, Secret) and (not isinstance(value, str) or not value.strip()):
            shown = "an empty string" if isinstance(value, str) else f"a {type(value).__name__}"
            raise ConfigError(f"{name} is {shown}: expected a string, or leave it out")
    client = {"timeout": timeout, "max_retries": max_retries, "options": dict(options) if options else None}
    client = {name: value for name, value in client.items() if value is not None}
    if backend is not None:
        return _ready_made(backend, {**given, **{name: client[name] for name in client if name != "options"}}, options)
    if provider is None and not given:
        found = _of_environment(None)
        if found is None:
            return QuotingBackend(reason=f"no language model: pass llm_api_key=... or set {_variables()}")
        provider = found
    if provider == _NONE:
        if extra := set(given) - {"llm_provider"}:
            raise ConfigError(f"llm_provider='none' has no use for {', '.join(sorted(extra))}: leave it out")
        return QuotingBackend()
    if provider is None or provider in PROVIDERS:
        return _of_endpoint(provider, key, model, base_url, client)
    return _of_entry_point(provider, key, {"model": model, "base_url": base_url, **client})


def _ready_made(backend: BackendLike, given: Mapping[str, Any], options: Mapping[str, Any] | None) -> Backend:
    if given:
        raise ConfigError(f"backend= is complete, {', '.join(given)} has no effect on it: leave one of them out")
    if isinstance(backend, type):
        raise ConfigError(f"backend is the class {backend.__name__}: give an instance, {backend.__name__}(...)")
    if isinstance(backend, str):
        raise ConfigError(f"backend={backend!r} is a name: give it as llm_provider")
    if isinstance(backend, Backend):
        if options:
            raise ConfigError("backend= is complete, llm_options has no effect on it: give them to the backend")
        return backend
    if callable(backend):
        return CallableBackend(backend, options=dict(options or {}))
    raise ConfigError(
        f"backend is a {type(backend).__name__}: expected name, complete(messages) and stream(messages), or a function"
    )


def _of_endpoint(
    provider: str | None, key: Secret | None, model: str | None, base_url: str | None, client: Mapping[str, Any]
) -> Backend:
    known = PROVIDERS.get(provider or "")
    if known is None and base_url is None:
        known = guess_provider(key, model)
        if known is None and key is not None:
            known = PROVIDERS["openai"]
        if known is None:
            found = _of_environment(model)
            if found is None:
                raise ConfigError(
                    f"llm_model={model!r} alone does not say whose it is: give llm_provider (one of "
                    f"{', '.join(backend_names())}), base_url or llm_api_key, or set {_variables()}"
                )
            known = PROVIDERS[found]
    return OpenAIBackend(choose_model_endpoint(known, key=key, model=model, base_url=base_url), **client)


def _of_environment(model: str | None) -> str | None:
    """The first provider whose key is set."""
    guess = guess_provider(None, model)
    for name, provider in PROVIDERS.items():
        if provider.key_variable and os.environ.get(provider.key_variable) and guess in (None, provider):
            return name
    return None


def _variables() -> str:
    names = [provider.key_variable for provider in PROVIDERS.values() if provider.key_variable]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _offered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _of_entry_point(name: str, key: Secret | None, arguments: Mapping[str, Any]) -> Backend:
    offered = _offered()
    if name not in offered:
        names = backend_names()
        near = difflib.get_close_matches(name.lower(), names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(names)
        raise ConfigError(f"unknown llm_provider {name!r}: {hint}")
    point = offered[name]
    try:
        given = {option: value for option, value in arguments.items() if value is not None}
        backend = point.load()(**given, **({"api_key": key.reveal()} if key is not None else {}))
    except MemvidError as error:
        if key is not None:
            key.hide_in_error(error)
        raise
    except MemoryError:
        raise
    except Exception as error:
        if key is not None:
            key.hide_in_error(error)
            said = key.hide_in(f"{type(error).__name__}: {error}")
        else:
            said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"llm_provider {name!r} ({point.value}) cannot be made: {said}") from error
    if not isinstance(backend, Backend):
        raise ConfigError(f"llm_provider {name!r} ({point.value}) made a {type(backend).__name__}, which is no backend")
    return backend
