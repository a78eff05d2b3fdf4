"""Embeddings from OpenAI or any endpoint that speaks its protocol."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memvid.checks import is_int
from memvid.dependencies import import_dependency
from memvid.embedding.protocol import Vectors, check_texts, check_vectors
from memvid.errors import ConfigError, EmbeddingError

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["OpenAIEmbedder"]

_KEY_VARIABLE = "OPENAI_API_KEY"
_DIMS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
_SHORTENABLE = "text-embedding-3"


def _mask(key: str) -> str:
    return f"{key[:3]}...{key[-2:]}" if len(key) >= 16 else "..."


class OpenAIEmbedder:
    """A remote embedding model behind an OpenAI-compatible endpoint.

    Safe to share between threads. Texts leave the machine. The provider refuses texts above its own token limit.

    :param model: the provider's name for it, and the name in an index.
    :param dim: length of the vectors. For ``text-embedding-3-*`` the provider is asked to shorten them to it; for
        other models it is only checked. ``None`` takes the known length of OpenAI's models, else asks with one
        short text.
    :param api_key: the key; ``None`` takes ``OPENAI_API_KEY`` from the environment. No repr and no error shows it.
    :param base_url: the endpoint, such as ``"http://localhost:11434/v1"``; ``None`` is OpenAI.
    :param batch_size: texts a request.
    :param timeout: seconds a request may take.
    :param max_retries: how often a request that failed for a passing reason is tried again.
    :raises ConfigError: if there is no key, or an option is out of range.
    """

    def __init__(
        self,
        model: str = "text-embedding-3-small",
        *,
        dim: int | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        batch_size: int = 128,
        timeout: float = 60.0,
        max_retries: int = 2,
    ) -> None:
        if not isinstance(model, str) or not model:
            raise ConfigError(f"model={model!r} is not possible: expected the provider's name of a model")
        for name, value, least in (("dim", dim, 1), ("batch_size", batch_size, 1), ("max_retries", max_retries, 0)):
            if value is not None and not is_int(value, least):
                raise ConfigError(f"{name}={value!r} is not possible: expected a whole number from {least}")
        if not timeout > 0:
            raise ConfigError(f"timeout={timeout!r} is not possible: expected seconds above 0")
        key = api_key or os.environ.get(_KEY_VARIABLE)
        if not key:
            raise ConfigError(
                f"no API key: pass api_key=... or set {_KEY_VARIABLE} (any text, for an endpoint that wants none)"
            )
        self.name = model
        self.batch_size = batch_size
        self._key = key
        self._base_url = base_url
        self._timeout = timeout
        self._max_retries = max_retries
        self._asked_dim = dim
        self._known_dim = dim or _DIMS.get(model)
        self._lock = threading.Lock()
        self._made: OpenAI | None = None

    @property
    def dim(self) -> int:
        """Length of the vectors; one request if neither the caller nor memvid knows it.

        :raises EmbeddingError: if that request fails.
        """
        if self._known_dim is None:
            self._known_dim = self._request(["dim"]).shape[1]
        return self._known_dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed ``texts``, one request for each ``batch_size`` of them: float32[n, dim], in their order.

        :raises EmbeddingError: if a text is not a string, the provider refuses or cannot be reached (its own error
            is the cause), or the answer is not what was asked for.
        """
        check_texts(texts)
        dim = self.dim
        source = f"model {self.name!r}"
        parts = [np.zeros((0, dim), np.float32)]
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start : start + self.batch_size])
            parts.append(check_vectors(self._request(batch), count=len(batch), dim=dim, source=source))
        return np.concatenate(parts)

    def _client(self) -> OpenAI:
        with self._lock:
            if self._made is None:
                openai = import_dependency("openai", "openai is needed for OpenAIEmbedder: pip install openai")
                self._made = openai.OpenAI(
                    api_key=self._key, base_url=self._base_url, timeout=self._timeout, max_retries=self._max_retries
                )
            return self._made

    def _request(self, batch: list[str]) -> Vectors:
        client = self._client()
        from openai import OpenAIError

        options: dict[str, Any] = {"model": self.name, "input": batch, "encoding_format": "float"}
        if self._asked_dim is not None and self.name.startswith(_SHORTENABLE):
            options["dimensions"] = self._asked_dim
        try:
            answer = client.embeddings.create(**options)
        except (OpenAIError, ValueError) as error:  # ValueError: an answer that is no JSON, or has no data
            error.args = tuple(self._masked(argument) for argument in error.args)
            raise EmbeddingError(f"model {self.name!r} at {client.base_url}: {self._masked(str(error))}") from error
        rows = sorted(answer.data or (), key=lambda item: item.index)
        if [item.index for item in rows] != list(range(len(batch))):
            raise EmbeddingError(f"model {self.name!r} gave {len(rows)} vectors for {len(batch)} texts")
        if len({len(item.embedding) for item in rows}) != 1:
            raise EmbeddingError(f"model {self.name!r} gave vectors of different lengths")
        return np.array([item.embedding for item in rows], np.float32)

    def _masked(self, value: Any) -> Any:
        return value.replace(self._key, _mask(self._key)) if isinstance(value, str) else value

    def __repr__(self) -> str:
        where = f", base_url={self._base_url!r}" if self._base_url else ""
        return f"OpenAIEmbedder({self.name!r}{where}, api_key={_mask(self._key)!r})"
