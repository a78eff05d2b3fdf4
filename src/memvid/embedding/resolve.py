"""From what a user may pass as ``embedder=`` to an embedder."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from memvid.embedding.callable_embedder import CallableEmbedder
from memvid.embedding.hashing import HashingEmbedder
from memvid.embedding.minilm import MiniLMEmbedder
from memvid.embedding.protocol import Embedder, EmbedderLike, model_info
from memvid.errors import ConfigError, EmbeddingError, ModelMismatchError
from memvid.types import ModelInfo

__all__ = ["embedder_of", "resolve_embedder"]

_lock = threading.Lock()


@cache
def _make_default() -> MiniLMEmbedder:
    return MiniLMEmbedder()


def _default() -> MiniLMEmbedder:
    with _lock:  # functools.cache alone may run the function twice
        return _make_default()


def _from_function(function: Callable[[list[str]], Any]) -> CallableEmbedder:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", None) or type(function).__module__
    shape = np.shape(function(["dim"]))
    if len(shape) != 2 or shape[0] != 1 or shape[1] < 1:
        raise EmbeddingError(f"{name} gave an array of shape {shape} for one text: expected (1, dim)")
    return CallableEmbedder(function, name=f"{module}.{name}", dim=int(shape[1]))


def resolve_embedder(embedder: EmbedderLike | None) -> Embedder:
    """Return the embedder itself, a function wrapped as one, or for ``None`` the process's shared MiniLM.

    A bare function is named after its module and qualified name, and called once with one text to learn its dim; use
    :class:`CallableEmbedder` to name it yourself. The shared MiniLM loads its model when it first embeds.

    :raises ConfigError: for anything else.
    :raises EmbeddingError: if a function does not give one row for one text.
    """
    if embedder is None:
        return _default()
    if isinstance(embedder, type):
        raise ConfigError(f"embedder is the class {embedder.__name__}: give an instance, {embedder.__name__}(...)")
    if isinstance(embedder, Embedder):
        return embedder
    if callable(embedder):
        return _from_function(embedder)
    raise ConfigError(
        f"embedder is a {type(embedder).__name__}: expected name, dim and encode(texts), or a function, or None"
    )


def embedder_of(wanted: ModelInfo | None) -> Embedder:
    """The embedder of that model, if it is one that needs nothing but memvid; for ``None`` the default one.

    :raises ModelMismatchError: it is another one, which the caller has to give.
    """
    shipped = resolve_embedder(None)
    if wanted is None or model_info(shipped) == wanted:
        return shipped
    hashing = re.fullmatch(r"hashing-([1-9]\d{0,4})", wanted.name)
    if hashing is not None and int(hashing[1]) == wanted.dim and 8 <= wanted.dim <= 65536:
        return HashingEmbedder(wanted.dim)
    raise ModelMismatchError(
        f"the memory was built with the embedding model {wanted.name!r} (dim {wanted.dim}), which does not come with "
        "memvid: give it, embedder=... or --model FOLDER; another model may be given instead, and the index is then "
        "that model's"
    )
