"""What the public methods return."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

__all__ = [
    "AppendResult",
    "BuildResult",
    "Chunk",
    "ChunkRanges",
    "CommitInfo",
    "DateLike",
    "JsonObject",
    "MemoryInfo",
    "ModelInfo",
    "Progress",
    "ProgressCallback",
    "Rerank",
    "RetrieverStats",
    "SearchResult",
    "StrPath",
    "VideoIdentity",
    "Where",
]

JsonObject: TypeAlias = dict[str, Any]

ChunkRanges: TypeAlias = tuple[tuple[int, int], ...]
"""First and last id of each run of chunks, ascending."""
"""What a chunk's metadata is."""

DateLike: TypeAlias = datetime.date | str
"""A date, perhaps with a time; or a string of one in ISO 8601."""

StrPath: TypeAlias = str | os.PathLike[str]
"""What names a file or a folder."""

Rerank: TypeAlias = StrPath | Callable[[str, list[str]], Any]
"""What orders candidates again: ``"pieces"``, the folder of a cross-encoder, or a function from a query and texts to a
score for each, the higher the better."""

Where: TypeAlias = Mapping[str, Any]
"""A filter on metadata, ``{"source": "a.txt", "page": {"$gte": 3}}``: docs/filters.md."""


def _shorten(text: str, limit: int = 48) -> str:
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk as it was read from its frame.

    :ivar chunk_id: its number, from 0 in the order of adding.
    :ivar text: exactly what was added.
    :ivar metadata: the JSON object given with it, ``{}`` if none was.
    :ivar frame_index: the 0-based frame that holds it (the first one, if it runs over several).
    :ivar metadata_fault: why the metadata that its frame holds cannot be used, so that there is none here; else
        ``None``.
    """

    chunk_id: int
    text: str
    metadata: JsonObject
    frame_index: int
    metadata_fault: str | None = None

    def __repr__(self) -> str:
        return f"Chunk({self.chunk_id}, frame {self.frame_index}, {_shorten(self.text)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """One change of a memory: its build, or an append.

    :ivar number: the build, or the last compaction, is 1; each append has the next number.
    :ivar date: when it was made, in ISO 8601, if that was given.
    :ivar message: what was said of it.
    :ivar first_chunk: id of the first chunk added, or that it would have had.
    :ivar added: chunks added.
    :ivar deleted: chunks deleted.
    :ivar changed: chunks whose metadata was changed.
    :ivar chunks: chunks in the memory afterwards, without those that were deleted.
    """

    number: int
    date: str | None = None
    message: str | None = None
    first_chunk: int
    added: int
    deleted: int
    changed: int
    chunks: int

    @property
    def chunk_ids(self) -> range:
        """The ids of the chunks added."""
        return range(self.first_chunk, self.first_chunk + self.added)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A chunk that answers a query.

    :ivar chunk_id: its number, from 0 in the order of adding.
    :ivar score: cosine similarity to the query, -1 to 1, higher is better; 0 with ``mode="keyword"``, which embeds
        nothing.
    :ivar text: exactly what was added.
    :ivar metadata: the JSON object given with it, ``{}`` if none was.
    :ivar frame_index: the 0-based frame that holds it (the first one, if it runs over several).
    :ivar metadata_fault: why the metadata that its frame holds cannot be used, so that there is none here; else
        ``None``.
    :ivar keyword_score: BM25 score of the query's words, 0 if it has none of them, and with ``mode="semantic"``.
    :ivar relevance: what answers are ordered by, higher is better; the ``score`` if nothing else was given.
    :ivar duplicates: ids of other chunks that have the same text and were found with it, ascending.
    :ivar explanation: why it is where it is, if that was asked for.
    """

    chunk_id: int
    score: float
    text: str
    metadata: JsonObject
    frame_index: int
    metadata_fault: str | None = None
    keyword_score: float = 0.0
    relevance: float = math.nan
    duplicates: tuple[int, ...] = ()
    explanation: str | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.relevance):
            object.__setattr__(self, "relevance", self.score)

    def __repr__(self) -> str:
        return f"SearchResult({self.chunk_id}, score {self.score:.3f}, frame {self.frame_index}, {_shorten(self.text)})"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which embedding model made an index.

    :ivar name: the embedder's name.
    :ivar dim: length of its vectors.
    :ivar digest: SHA-256 of the model's files in hexadecimal, or ``None`` if it has none (a remote one, a function).
    """

    name: str
    dim: int
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class VideoIdentity:
    """Which video an index belongs to.

    :ivar digest: SHA-256 of the page table in hexadecimal: the same memory in other packaging has the same one.
    :ivar frames: frames in the video.
    :ivar bytes: size of the file.
    :ivar tag: of the memory, which all its pages have; ``None`` if an index of an earlier release does not say.
    :ivar chunks: those that are left, of a video whose frames had to be looked for, as it has lost its page table or
        some of them; else ``None``. No index names them.
    """

    digest: str
    frames: int
    bytes: int
    tag: int | None = None
    chunks: ChunkRanges | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long operation is.

    :ivar stage: what it is doing, in a word.
    :ivar done: units finished.
    :ivar total: units there are; 0 while nobody knows.
    :ivar resumed: of those that are finished, the ones a checkpoint saved from being made again.
    """

    stage: str
    done: int
    total: int
    resumed: int = 0


ProgressCallback: TypeAlias = Callable[[Progress], object]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build made.

    :ivar video_file: the video.
    :ivar index_file: the index's manifest; the video itself, if it is inside; ``None`` if none was asked for.
    :ivar chunks: chunks stored.
    :ivar frames: frames in the video.
    :ivar text_bytes: UTF-8 bytes of all chunks.
    :ivar video_bytes: size of the video, with what is inside.
    :ivar index_bytes: size of the index: the manifest and its side files, or parts of the video.
    :ivar seconds: wall time of each stage; stages overlap, so they add up to more than ``"total"``.
    :ivar embeddings_made: embeddings the embedder made.
    :ivar embeddings_resumed: embeddings that were in the checkpoint of an interrupted build.
    :ivar provider: what the embedder ran on, such as ``"CPUExecutionProvider"``, if it made any and says so.
    """

    video_file: Path
    index_file: Path | None
    chunks: int
    frames: int
    text_bytes: int
    video_bytes: int
    index_bytes: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    embeddings_made: int = 0
    embeddings_resumed: int = 0
    provider: str | None = None

    def __repr__(self) -> str:
        return (
            f"BuildResult({str(self.video_file)!r}, {self.chunks} chunks in {self.frames} frames, "
            f"{self.video_bytes} bytes for {self.text_bytes} of text)"
        )


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What an append changed.

    :ivar video_file: the video.
    :ivar index_file: the index's manifest.
    :ivar added: chunks added; their ids are ``first_chunk``, ``first_chunk + 1``, ...
    :ivar first_chunk: id of the first of them, or that it would have had.
    :ivar deleted: chunks deleted.
    :ivar chunks: chunks in the memory now, without those that were deleted.
    :ivar frames: frames added to the video.
    :ivar text_bytes: UTF-8 bytes of the chunks added.
    :ivar video_bytes: size of the video now.
    :ivar index_bytes: size of the manifest and its side files now.
    :ivar seconds: wall time of each stage; stages overlap, so they add up to more than ``"total"``.
    :ivar embeddings_made: embeddings the embedder made.
    :ivar embeddings_resumed: embeddings that were in the checkpoint of an interrupted append.
    :ivar unusable_metadata: of the chunks that were indexed anew, those whose metadata no filter finds, since it cannot
        be used; it stays in the video as it is.
    :ivar copied: whether the video had other names (hard links, as ``cp -al`` makes them), so that a copy of it grew,
        and they keep the memory as it was.
    :ivar changed: chunks whose metadata was changed.
    :ivar commit: number of the commit.
    """

    video_file: Path
    index_file: Path
    added: int
    first_chunk: int
    deleted: int
    chunks: int
    frames: int
    text_bytes: int
    video_bytes: int
    index_bytes: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    embeddings_made: int = 0
    embeddings_resumed: int = 0
    unusable_metadata: ChunkRanges = ()
    copied: bool = False
    changed: int = 0
    commit: int = 0

    def __repr__(self) -> str:
        return (
            f"AppendResult({str(self.video_file)!r}, {self.added} added, {self.deleted} deleted, "
            f"{self.chunks} chunks now)"
        )


@dataclass(frozen=True, slots=True)
class RetrieverStats:
    """What a retriever did since it was opened.

    :ivar queries: queries answered.
    :ivar query_cache_hits: of them, those whose embedding was known.
    :ivar page_cache_hits: pages that were in the cache.
    :ivar page_cache_misses: pages that had to be read from frames.
    :ivar page_cache_bytes: memory the cached pages take.
    :ivar frames_read: frames read from the video.
    :ivar fast_reads: of them, those whose own bits were perfect.
    :ivar slow_reads: of them, those that took zxing-cpp.
    :ivar rebuilt_frames: frames that could not be read and were rebuilt by parity.
    :ivar bytes_read: bytes of the frames read.
    :ivar embed_seconds: time spent on embedding queries.
    :ivar search_seconds: time spent in the index.
    :ivar read_seconds: time spent on frames: read, decode, verify, decompress.
    :ivar rank_seconds: time spent on reranking and diversity.
    """

    queries: int
    query_cache_hits: int
    page_cache_hits: int
    page_cache_misses: int
    page_cache_bytes: int
    frames_read: int
    fast_reads: int
    slow_reads: int
    rebuilt_frames: int
    bytes_read: int
    embed_seconds: float
    search_seconds: float
    read_seconds: float
    rank_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """What a memory is.

    :ivar memory_id: SHA-256 over chunks and options, in hexadecimal.
    :ivar chunks: chunks in it.
    :ivar frames: frames in the video.
    :ivar text_bytes: UTF-8 bytes of all chunks when it was built, or compacted.
    :ivar video_bytes: size of the video, with what is inside.
    :ivar index_bytes: size of the index.
    :ivar width: pixels a row of a frame.
    :ivar height: rows of a frame.
    :ivar fps: frames a second.
    :ivar codec: codec of the frames.
    :ivar symbol_version: QR symbol version.
    :ivar error_correction: QR error correction level.
    :ivar compression: ``"zstd"`` or ``"none"``.
    :ivar dictionary_bytes: size of the zstd dictionary, 0 if there is none.
    :ivar parity: parity frames for each frame, 0 if there are none.
    :ivar model: embedding model of the index.
    :ivar vector_dtype: how the index keeps vectors: ``"i8"``, ``"f16"``, ``"f32"``, or codes of 4 bits or 1 bit a
        dimension, ``"code4"`` and ``"code1"``.
    :ivar built_chunks: chunks that ``text_bytes`` is of: those appended or deleted since are not counted.
    :ivar deleted: chunks that the video lists as deleted: with their text until it is compacted, then as empty ones.
    :ivar missing: chunks that the video had lost when its index was made, as far as anything still said so.
    :ivar title: what it is called, if its builder said so.
    :ivar date: when it was built, if its builder said so.
    :ivar profile: what the index is made for, ``"fast"``, ``"small"`` or ``"tiny"``.
    :ivar index_inside: whether the index is inside the video, and so the memory one file.
    """

    memory_id: str
    chunks: int
    frames: int
    text_bytes: int
    video_bytes: int
    index_bytes: int
    width: int
    height: int
    fps: float
    codec: str
    symbol_version: int
    error_correction: str
    compression: str
    dictionary_bytes: int
    parity: float
    model: ModelInfo
    vector_dtype: str
    built_chunks: int = 0
    deleted: int = 0
    missing: ChunkRanges = ()
    title: str | None = None
    date: str | None = None
    profile: str = "fast"
    index_inside: bool = False
