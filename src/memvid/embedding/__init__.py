"""From texts to vectors: the shipped MiniLM, any ONNX export, any OpenAI-compatible endpoint, any function.

>>> from memvid.embedding import HashingEmbedder
>>> HashingEmbedder(dim=64).encode(["a text"]).shape
(1, 64)

An embedder is anything with ``name``, ``dim`` and ``encode(texts) -> float32[n, dim]`` (:class:`Embedder`). The
runtimes behind them (onnxruntime, tokenizers, openai) are imported when the first text is embedded, and all that is
about the network when :class:`OpenAIEmbedder` is first named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memvid.embedding.absent import AbsentEmbedder
from memvid.embedding.callable_embedder import CallableEmbedder
from memvid.embedding.hashing import HashingEmbedder
from memvid.embedding.minilm import MiniLMEmbedder
from memvid.embedding.onnx_embedder import OnnxEmbedder
from memvid.embedding.protocol import (
    Embedder,
    EmbedderLike,
    check_profile,
    check_vectors,
    encode_checked,
    encode_queries,
    encode_query,
    model_info,
)
from memvid.embedding.resolve import embedder_of, resolve_embedder

if TYPE_CHECKING:
    from memvid.embedding.openai_embedder import OpenAIEmbedder

__all__ = [
    "AbsentEmbedder",
    "CallableEmbedder",
    "Embedder",
    "EmbedderLike",
    "HashingEmbedder",
    "MiniLMEmbedder",
    "OnnxEmbedder",
    "OpenAIEmbedder",
    "check_profile",
    "check_vectors",
    "embedder_of",
    "encode_checked",
    "encode_queries",
    "encode_query",
    "model_info",
    "resolve_embedder",
]


def __getattr__(name: str) -> Any:
    if name != "OpenAIEmbedder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from memvid.embedding.openai_embedder import OpenAIEmbedder

    globals()[name] = OpenAIEmbedder
    return OpenAIEmbedder
