"""A text memory inside a video of QR codes, searched by meaning and by words.

>>> from memvid import MemvidEncoder, MemvidRetriever
>>> encoder = MemvidEncoder()
>>> encoder.add_chunks(["The login page failed on March 2.", "Backups run at night."])
>>> encoder.build_video("memory.mp4")  # doctest: +SKIP
>>> MemvidRetriever("memory.mp4").search("when did signing in break?", top_k=1)  # doctest: +SKIP
['The login page failed on March 2.']

Names are imported when they are first used, so ``import memvid`` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it: the module it comes from takes most of the time of this one
if TYPE_CHECKING:
    from typing import Any

    from memvid.appender import MemvidAppender
    from memvid.chat import (
        ChatContext,
        ChatMessage,
        ChatUsage,
        ContextBudget,
        ContextPassage,
        LeftOut,
        MemvidChat,
        Source,
        Summary,
    )
    from memvid.config import ChatConfig, EncoderConfig, RetrieverConfig, SearchKeywords
    from memvid.embedding import (
        CallableEmbedder,
        Embedder,
        HashingEmbedder,
        MiniLMEmbedder,
        OnnxEmbedder,
        OpenAIEmbedder,
    )
    from memvid.encoder import EncoderStats, MemvidEncoder
    from memvid.errors import MemvidError
    from memvid.index import IndexBuilder, IndexManager, Manifest, Segment, SideFile, VectorInfo
    from memvid.index.candidate_search import Scored
    from memvid.index.selection import Selection
    from memvid.index.words import Words
    from memvid.llm import Backend, Completion, Message, Piece, Quote, TokenCounter, TokenUsage
    from memvid.page import ChangedMetadata, ChunkIds
    from memvid.query import Filter
    from memvid.retriever import MemvidRetriever
    from memvid.storage.commit import Commit
    from memvid.types import (
        AppendResult,
        BuildResult,
        Chunk,
        CommitInfo,
        MemoryInfo,
        ModelInfo,
        Progress,
        RetrieverStats,
        SearchResult,
        VideoIdentity,
    )

__version__ = "0.2.0"

_HOMES = {
    "AppendResult": "memvid.types",
    "Backend": "memvid.llm",
    "BuildResult": "memvid.types",
    "CallableEmbedder": "memvid.embedding",
    "ChangedMetadata": "memvid.page",
    "ChatConfig": "memvid.config",
    "ChatContext": "memvid.chat",
    "ChatMessage": "memvid.chat",
    "ChatUsage": "memvid.chat",
    "Chunk": "memvid.types",
    "ChunkIds": "memvid.page",
    "Commit": "memvid.storage.commit",
    "CommitInfo": "memvid.types",
    "Completion": "memvid.llm",
    "ContextBudget": "memvid.chat",
    "ContextPassage": "memvid.chat",
    "Embedder": "memvid.embedding",
    "EncoderConfig": "memvid.config",
    "EncoderStats": "memvid.encoder",
    "Filter": "memvid.query",
    "HashingEmbedder": "memvid.embedding",
    "IndexBuilder": "memvid.index",
    "IndexManager": "memvid.index",
    "LeftOut": "memvid.chat",
    "Manifest": "memvid.index",
    "MemoryInfo": "memvid.types",
    "MemvidAppender": "memvid.appender",
    "MemvidChat": "memvid.chat",
    "MemvidEncoder": "memvid.encoder",
    "MemvidError": "memvid.errors",
    "MemvidRetriever": "memvid.retriever",
    "Message": "memvid.llm",
    "MiniLMEmbedder": "memvid.embedding",
    "ModelInfo": "memvid.types",
    "OnnxEmbedder": "memvid.embedding",
    "OpenAIEmbedder": "memvid.embedding",
    "Piece": "memvid.llm",
    "Progress": "memvid.types",
    "Quote": "memvid.llm",
    "RetrieverConfig": "memvid.config",
    "RetrieverStats": "memvid.types",
    "Scored": "memvid.index.candidate_search",
    "SearchKeywords": "memvid.config",
    "SearchResult": "memvid.types",
    "Segment": "memvid.index",
    "Selection": "memvid.index.selection",
    "SideFile": "memvid.index",
    "Source": "memvid.chat",
    "Summary": "memvid.chat",
    "TokenCounter": "memvid.llm",
    "TokenUsage": "memvid.llm",
    "VectorInfo": "memvid.index",
    "VideoIdentity": "memvid.types",
    "Words": "memvid.index.words",
}

__all__ = [
    "AppendResult",
    "Backend",
    "BuildResult",
    "CallableEmbedder",
    "ChangedMetadata",
    "ChatConfig",
    "ChatContext",
    "ChatMessage",
    "ChatUsage",
    "Chunk",
    "ChunkIds",
    "Commit",
    "CommitInfo",
    "Completion",
    "ContextBudget",
    "ContextPassage",
    "Embedder",
    "EncoderConfig",
    "EncoderStats",
    "Filter",
    "HashingEmbedder",
    "IndexBuilder",
    "IndexManager",
    "LeftOut",
    "Manifest",
    "MemoryInfo",
    "MemvidAppender",
    "MemvidChat",
    "MemvidEncoder",
    "MemvidError",
    "MemvidRetriever",
    "Message",
    "MiniLMEmbedder",
    "ModelInfo",
    "OnnxEmbedder",
    "OpenAIEmbedder",
    "Piece",
    "Progress",
    "Quote",
    "RetrieverConfig",
    "RetrieverStats",
    "Scored",
    "SearchKeywords",
    "SearchResult",
    "Segment",
    "Selection",
    "SideFile",
    "Source",
    "Summary",
    "TokenCounter",
    "TokenUsage",
    "VectorInfo",
    "VideoIdentity",
    "Words",
    "__version__",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'memvid' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
