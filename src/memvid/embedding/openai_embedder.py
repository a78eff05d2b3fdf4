"""Embeddings from OpenAI or any endpoint that speaks its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memvid.checks import is_int, is_number
from memvid.embedding.protocol import Vectors, check_texts, check_vectors
from memvid.errors import ConfigError, EmbeddingError, MemvidError
from memvid.network.address import is_here, origin
from memvid.network.endpoint import PROVIDERS, Endpoint, choose_endpoint
from memvid.network.failure import Failure, read_failure
from memvid.network.meter import Meter
from memvid.network.secret import Secret, mask
from memvid.network.service import Service
from memvid.pickling import NotPicklable

__all__ = ["OpenAIEmbedder"]

_DIMS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
_SHORTENABLE = "text-embedding-3"
_MOST_DIM = 65_536  # what an index takes
_NUMBER = 32  # bytes that a number of a vector has at most
_SPARE = 64 * 1024  # bytes of a reply beside its vectors


class OpenAIEmbedder(NotPicklable):
    """A remote embedding model behind an OpenAI-compatible endpoint.

    Safe to share between threads. Texts leave the machine: to ``base_url`` and nowhere else, with the key that belongs
    to it (docs/embeddings.md). The provider refuses texts above its own token limit.

    :param model: the provider's name for it, and the name in an index.
    :param dim: length of the vectors. For ``text-embedding-3-*`` the provider is asked to shorten them to it; for
        other models it is only checked. ``None`` takes the known length of OpenAI's models, else asks with one
        short text.
    :param api_key: the key; ``None`` takes that of the environment for the provider's own address, else sends none. No
        repr and no error shows it.
    :param base_url: the endpoint, such as ``"http://localhost:11434/v1"``; ``None`` is OpenAI, or with a key from the
        environment what ``OPENAI_BASE_URL`` says.
    :param batch_size: texts a request.
    :param timeout: seconds a request may take until its answer is complete, all tries included.
    :param max_retries: how often a request that failed for a passing reason is tried again.
    :raises ConfigError: if there is no key, it may not go there, or an option is out of range.
    """

    _elsewhere = "it holds a key; make one there, and open memories there with it"

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
        if not is_number(timeout, 0, 1e7) or timeout == 0:
            raise ConfigError(f"timeout={timeout!r} is not possible: expected seconds above 0, at most 10000000")
        try:
            key = Secret(api_key, name="api_key") if api_key is not None else None
        finally:
            del api_key  # what shows the variables of a traceback shows no key
        self.name = model
        self.batch_size = batch_size
        self._endpoint = _choose(key, base_url)
        self._timeout = timeout
        self._asked_dim = dim
        self._known_dim = dim or _DIMS.get(model)
        self._service = Service(self._endpoint, timeout=timeout, max_retries=max_retries, patience=timeout)

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        return is_here(origin(self._endpoint.base_url, name="base_url")[1])

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
            is the cause), takes longer than ``timeout``, or the answer is not what was asked for.
        """
        check_texts(texts)
        dim = self.dim
        source = f"model {self.name!r}"
        parts = [np.zeros((0, dim), np.float32)]
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start : start + self.batch_size])
            parts.append(check_vectors(self._request(batch), count=len(batch), dim=dim, source=source))
        return np.concatenate(parts)

    def close(self) -> None:
        """Close idle connections; the next request opens new ones."""
        self._service.close()

    def _request(self, batch: list[str]) -> Vectors:
        options: dict[str, Any] = {"model": self.name, "input": batch, "encoding_format": "float"}
        if self._asked_dim is not None and self.name.startswith(_SHORTENABLE):
            options["dimensions"] = self._asked_dim
        numbers = len(batch) * (self._known_dim or _MOST_DIM)
        meter = Meter(seconds=self._timeout, max_bytes=numbers * _NUMBER + _SPARE)
        try:
            answer = self._service.client(meter).embeddings.create(**options)
            return self._vectors(answer, len(batch))
        except (MemvidError, MemoryError):
            raise
        except Exception as error:
            failure = read_failure(error, self._endpoint.key, begun=meter.begun)
            raise EmbeddingError(f"model {self.name!r} at {self._endpoint.base_url} {_told(failure)}") from error

    def _vectors(self, answer: Any, count: int) -> Vectors:
        rows = sorted(answer.data or (), key=lambda item: item.index)
        if [item.index for item in rows] != list(range(count)):
            raise EmbeddingError(f"model {self.name!r} gave {len(rows)} vectors for {count} texts")
        if len({len(item.embedding) for item in rows}) != 1:
            raise EmbeddingError(f"model {self.name!r} gave vectors of different lengths")
        vectors = np.array([item.embedding for item in rows], np.float32)
        if vectors.ndim != 2 or not 1 <= vectors.shape[1] <= _MOST_DIM:
            raise EmbeddingError(
                f"model {self.name!r} gave vectors of shape {vectors.shape[1:]}: expected 1 to {_MOST_DIM:,} numbers"
            )
        return vectors

    def __repr__(self) -> str:
        key = f", api_key={mask(self._endpoint.key.reveal())!r}" if self._endpoint.key else ""
        return f"OpenAIEmbedder({self.name!r}, base_url={self._endpoint.base_url!r}{key})"


def _choose(key: Secret | None, base_url: str | None) -> Endpoint:
    if base_url is not None and (not isinstance(base_url, str) or not base_url.strip()):
        raise ConfigError(f"base_url={base_url!r} is not possible: expected an address, or leave it out")
    provider = PROVIDERS["openai"] if base_url is None else None
    return choose_endpoint(provider, key=key, base_url=base_url, key_name="api_key")


def _told(failure: Failure) -> str:
    return {
        "status": f"answers {failure.status}: {failure.detail}",
        "redirect": f"redirects to {failure.detail}, which is not followed: give that as base_url",
        "silent": "was silent for longer than timeout allows: raise timeout=...",
        "broken": f"broke off in the middle of its answer ({failure.detail}): try again",
        "unreachable": f"cannot be reached ({failure.detail}): is it running, is base_url right?",
        "stopped": f"was not waited for any longer: its answer {failure.detail}",
        "options": f"could not be asked: {failure.detail}",
        "protocol": f"gave an answer that is not in the protocol: {failure.detail}",
        "said": f"failed: {failure.detail}",
    }[failure.kind]
