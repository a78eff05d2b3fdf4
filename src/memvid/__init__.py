"""A text memory inside a video of QR codes, searched by meaning.

>>> from memvid import MemvidEncoder, MemvidRetriever
>>> encoder = MemvidEncoder()
>>> encoder.add_chunks(["The login page failed on March 2.", "Backups run at night."])
>>> encoder.build_video("memory.mp4", "memory_index.json")  # doctest: +SKIP
>>> MemvidRetriever("memory.mp4").search("when did signing in break?", top_k=1)  # doctest: +SKIP
['The login page failed on March 2.']

Names are imported when they are first used, so ``import memvid`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memvid.chat import ChatContext, ChatMessage, MemvidChat
    from memvid.config import ChatConfig, EncoderConfig, RetrieverConfig
    from memvid.embedding import CallableEmbedder, Embedder, MiniLMEmbedder, OnnxEmbedder, OpenAIEmbedder
    from memvid.encoder import MemvidEncoder
    from memvid.errors import MemvidError
    from memvid.index import IndexManager
    from memvid.retriever import MemvidRetriever
    from memvid.types import BuildResult, Chunk, ModelInfo, Progress, SearchResult

__version__ = "0.1.0"

_HOMES = {
    "BuildResult": "memvid.types",
    "CallableEmbedder": "memvid.embedding",
    "ChatConfig": "memvid.config",
    "ChatContext": "memvid.chat",
    "ChatMessage": "memvid.chat",
    "Chunk": "memvid.types",
    "Embedder": "memvid.embedding",
    "EncoderConfig": "memvid.config",
    "IndexManager": "memvid.index",
    "MemvidChat": "memvid.chat",
    "MemvidEncoder": "memvid.encoder",
    "MemvidError": "memvid.errors",
    "MemvidRetriever": "memvid.retriever",
    "MiniLMEmbedder": "memvid.embedding",
    "ModelInfo": "memvid.types",
    "OnnxEmbedder": "memvid.embedding",
    "OpenAIEmbedder": "memvid.embedding",
    "Progress": "memvid.types",
    "RetrieverConfig": "memvid.config",
    "SearchResult": "memvid.types",
}

__all__ = [
    "BuildResult",
    "CallableEmbedder",
    "ChatConfig",
    "ChatContext",
    "ChatMessage",
    "Chunk",
    "Embedder",
    "EncoderConfig",
    "IndexManager",
    "MemvidChat",
    "MemvidEncoder",
    "MemvidError",
    "MemvidRetriever",
    "MiniLMEmbedder",
    "ModelInfo",
    "OnnxEmbedder",
    "OpenAIEmbedder",
    "Progress",
    "RetrieverConfig",
    "SearchResult",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'memvid' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
