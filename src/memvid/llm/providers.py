"""What is known of the providers' language models: what they are called, and how much they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memvid.network.endpoint import PROVIDERS, Endpoint, Provider, choose_endpoint, owner_of_key
from memvid.network.secret import Secret

__all__ = ["ModelEndpoint", "Models", "choose_model_endpoint", "guess_provider"]

_LOCAL_WINDOW = 4096  # what local servers are usually started with; a larger one is an option


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models of a provider.

    :ivar prefixes: how their names begin.
    :ivar usual: the model if none is named; ``None`` takes the first that the server lists.
    :ivar window: tokens that request and answer may have together, a floor over the current models.
    :ivar limit_name: the option that bounds the answer.
    """

    prefixes: tuple[str, ...] = ()
    usual: str | None = None
    window: int = _LOCAL_WINDOW
    limit_name: str = "max_tokens"


_MODELS: Mapping[str, Models] = {
    "openai": Models(
        prefixes=("gpt-", "o1", "o3", "o4", "chatgpt-"),
        usual="gpt-6-luna",
        window=128_000,
        limit_name="max_completion_tokens",
    ),
    "anthropic": Models(prefixes=("claude-",), usual="claude-haiku-4-5", window=200_000),
    "gemini": Models(prefixes=("gemini-",), usual="gemini-flash-latest", window=128_000),
}
_OTHERS = Models()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint(Endpoint):
    """An endpoint, and the model that is asked there.

    :ivar model: the model, or ``None`` for the first that the server lists.
    :ivar window: tokens that request and answer may have together.
    :ivar limit_name: the option that bounds the answer.
    """

    model: str | None
    window: int
    limit_name: str


def guess_provider(key: Secret | None, model: str | None) -> Provider | None:
    """The provider that a key or a model's name belongs to; ``None`` if neither tells."""
    owner = owner_of_key(key) if key is not None else None
    if owner is None and model is not None:
        named = (PROVIDERS[name] for name, models in _MODELS.items() if model.startswith(models.prefixes))
        owner = next(named, None)
    return owner


def choose_model_endpoint(
    provider: Provider | None, *, key: Secret | None, model: str | None, base_url: str | None
) -> ModelEndpoint:
    """The endpoint of a provider, or of an address, with the key that may go there and the model to ask.

    :raises ConfigError: see :func:`~memvid.network.endpoint.choose_endpoint`.
    """
    chosen = choose_endpoint(provider, key=key, base_url=base_url)
    models = _MODELS.get(chosen.provider, _OTHERS)
    return ModelEndpoint(
        provider=chosen.provider,
        base_url=chosen.base_url,
        key=chosen.key,
        at_home=chosen.at_home,
        model=model or models.usual,
        window=models.window,
        limit_name=models.limit_name,
    )
