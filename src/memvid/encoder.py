"""Text into a video of QR codes and an index: the public encoder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memvid._build import Builder
from memvid._files import default_index_file
from memvid._spool import Spool
from memvid.chunking import split_text
from memvid.config import EncoderConfig, make_config
from memvid.embedding import Embedder, EmbedderLike, check_vectors, resolve_embedder
from memvid.errors import (
    ChunkError,
    ChunkTypeError,
    ClosedError,
    EmbeddingError,
    EmptyMemoryError,
    MetadataError,
)
from memvid.page import Record, check_record, encode_metadata, encode_text
from memvid.types import BuildResult, JsonObject, ProgressCallback

__all__ = ["EncoderStats", "MemvidEncoder"]

_MISSING = object()


@dataclass(frozen=True, slots=True)
class EncoderStats:
    """What an encoder holds.

    :ivar chunks: chunks added.
    :ivar text_bytes: their UTF-8 bytes.
    :ivar embedded: chunks whose embedding was given.
    """

    chunks: int
    text_bytes: int
    embedded: int


class MemvidEncoder:
    """Collects chunks, then builds a video and an index of them.

    Chunks wait on disk, in the system's temporary folder, so memory does not grow with their number. Not safe to share
    between threads.

    :param config: an :class:`EncoderConfig`, a dict of its options, or ``None`` for the defaults.
    :param embedder: what makes embeddings: an :class:`Embedder`, a function from texts to vectors, or ``None`` for the
        MiniLM model that comes with memvid.
    :param options: single options of :class:`EncoderConfig`, on top of ``config``.
    :raises ConfigError: an option is unknown or out of range.

    >>> with MemvidEncoder() as encoder:
    ...     encoder.add_chunks(["one chunk", "another"])
    2
    """

    def __init__(
        self,
        config: EncoderConfig | Mapping[str, Any] | None = None,
        *,
        embedder: EmbedderLike | None = None,
        **options: Any,
    ) -> None:
        self.config = make_config(EncoderConfig, config, options)
        self._embedder = embedder
        self._spool: Spool | None = Spool()

    def add_chunks(
        self,
        chunks: Iterable[str],
        *,
        metadatas: Iterable[JsonObject | None] | None = None,
        embeddings: ArrayLike | None = None,
    ) -> int:
        """Add chunks, all of them or, when it raises, none. They are stored exactly as given.

        :param chunks: any iterable of strings, read once.
        :param metadatas: a JSON object (or ``None``) for each chunk.
        :param embeddings: ``float[n, dim]``, a row for each chunk, as the encoder's embedder would make them; they are
            not made again.
        :returns: the number of chunks added; their ids continue where the last addition ended, from 0.
        :raises ChunkTypeError: a chunk is not a string, or ``chunks`` is a single one.
        :raises ChunkError: a chunk is blank, is not valid Unicode, or is too large.
        :raises MetadataError: not a JSON object, or not one for each chunk.
        :raises EmbeddingError: wrong shape or dtype, or not finite.
        :raises OutputError: the temporary folder is full.
        """
        if isinstance(chunks, (str, bytes)):
            raise ChunkTypeError(
                "chunks is a single string: put it into a list, or use add_text() to have it split into chunks"
            )
        if embeddings is not None and np.ndim(embeddings) != 2:
            raise EmbeddingError(f"embeddings have {np.ndim(embeddings)} dimensions: expected [chunks, dim]")
        with self._open_spool().adding() as adder:
            for chunk, metadata in _pair(chunks, metadatas):
                record = _make_record(chunk, metadata, adder.next_chunk)
                adder.add(record)
            if embeddings is not None:
                adder.add_vectors(self._check_embeddings(embeddings, len(adder)))
            return len(adder)

    def add_text(
        self,
        text: str,
        *,
        chunk_size: int | None = None,
        overlap: int | None = None,
        metadata: JsonObject | None = None,
    ) -> int:
        """Split a text into chunks at the ends of paragraphs and sentences, and add them.

        :param chunk_size: characters a chunk has at most; ``None`` takes the configuration's.
        :param overlap: characters of whole sentences that a chunk repeats of the one before; ``None`` likewise.
        :param metadata: a JSON object that each of the chunks gets.
        :returns: the number of chunks added, 0 for a text of nothing but white space.
        :raises ConfigError: ``chunk_size`` or ``overlap`` is out of range.
        :raises ChunkTypeError: ``text`` is not a string.
        """
        if not isinstance(text, str):
            raise ChunkTypeError(f"text is a {type(text).__name__}: expected a string")
        changes = {"chunk_size": chunk_size, "overlap": overlap}
        config = make_config(
            EncoderConfig, self.config, {name: value for name, value in changes.items() if value is not None}
        )
        pieces = split_text(text, chunk_size=config.chunk_size, overlap=config.overlap)
        return self.add_chunks(pieces, metadatas=repeat(metadata))

    def build_video(
        self,
        output_file: str | os.PathLike[str],
        index_file: str | os.PathLike[str] | None = None,
        *,
        progress: ProgressCallback | None = None,
    ) -> BuildResult:
        """Write the video and its index; either both appear, complete and read back, or neither does.

        Files of these names are replaced at the end, in one step. The encoder keeps its chunks: building again gives
        the same bytes.

        :param output_file: the video, usually ``.mp4``.
        :param index_file: the index's manifest; ``None`` puts ``<stem>_index.json`` beside the video.
        :param progress: called from this thread with a :class:`Progress`, a few times a second.
        :raises EmptyMemoryError: no chunk was added.
        :raises ChunkTooLargeError: a bare chunk does not fit its code.
        :raises EmbeddingError: the embedder failed, or disagrees with embeddings that were given.
        :raises OutputError: a folder is missing or read-only, the disk is full, ...
        """
        spool = self._open_spool()
        if not len(spool):
            raise EmptyMemoryError("there is nothing to build: add chunks with add_chunks() or add_text() first")
        video = Path(output_file)
        index = default_index_file(video) if index_file is None else Path(index_file)
        return Builder(spool, self.config, self._resolve_embedder(), video, index, progress).run()

    def clear(self) -> None:
        """Forget all chunks."""
        self._open_spool().close()
        self._spool = Spool()

    @property
    def stats(self) -> EncoderStats:
        """What has been added."""
        spool = self._open_spool()
        return EncoderStats(len(spool), spool.text_bytes, spool.vector_count)

    def close(self) -> None:
        """Forget all chunks and remove the temporary files. Closing twice is fine."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def __enter__(self) -> MemvidEncoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_spool", None) is not None:
            self.close()

    def __len__(self) -> int:
        return len(self._open_spool())

    def __repr__(self) -> str:
        return "MemvidEncoder(closed)" if self._spool is None else f"MemvidEncoder({len(self._spool)} chunks)"

    def _open_spool(self) -> Spool:
        if self._spool is None:
            raise ClosedError("the encoder was closed: make a new one")
        return self._spool

    def _resolve_embedder(self) -> Embedder:
        return resolve_embedder(self._embedder)

    def _check_embeddings(self, embeddings: ArrayLike, chunks: int) -> NDArray[np.float32]:
        shape = np.shape(embeddings)
        if shape[0] != chunks:
            raise EmbeddingError(f"{shape[0]} embeddings were given for {chunks} chunks: give one row for each")
        embedder = self._resolve_embedder()
        if shape[1] != embedder.dim:
            raise EmbeddingError(
                f"embeddings have {shape[1]} dimensions, those of embedder {embedder.name!r} have {embedder.dim}: name "
                "the one that made them, MemvidEncoder(embedder=...)"
            )
        return check_vectors(embeddings, count=chunks, dim=embedder.dim, source="embeddings=")


def _pair(
    chunks: Iterable[str], metadatas: Iterable[JsonObject | None] | None
) -> Iterator[tuple[str, JsonObject | None]]:
    """Chunks with their metadata; an endless ``repeat`` of metadata goes with any number of chunks."""
    if metadatas is None or isinstance(metadatas, repeat):
        yield from zip(chunks, repeat(None) if metadatas is None else metadatas, strict=False)
        return
    if isinstance(metadatas, (str, bytes, Mapping)):
        raise MetadataError(f"metadatas is a {type(metadatas).__name__}: give a list with one object for each chunk")
    rest = iter(metadatas)
    count = 0
    for count, chunk in enumerate(chunks, start=1):
        metadata = next(rest, _MISSING)
        if metadata is _MISSING:
            raise MetadataError(f"there are more chunks than the {count - 1} metadatas: give one for each, or None")
        yield chunk, metadata  # type: ignore[misc]  # what it is, encode_metadata checks
    if next(rest, _MISSING) is not _MISSING:
        raise MetadataError(f"there are more metadatas than the {count} chunks: give one for each")


def _make_record(chunk: object, metadata: object, chunk_id: int) -> Record:
    if not isinstance(chunk, str):
        raise ChunkTypeError(f"chunk {chunk_id} is a {type(chunk).__name__}: expected a string")
    if not chunk or chunk.isspace():
        raise ChunkError(f"chunk {chunk_id} is blank: leave out chunks of nothing but white space")
    try:
        record = Record(encode_text(chunk), encode_metadata(metadata))
    except MetadataError as error:
        raise MetadataError(f"chunk {chunk_id}: {error}") from error
    check_record(record, chunk_id)
    return record
