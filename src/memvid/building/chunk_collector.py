"""Collecting chunks: what an encoder of a new memory and one of a memory that exists have in common."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from memvid.building.spool import Spool
from memvid.chunking import split_text
from memvid.config import EncoderConfig, make_config
from memvid.documents import read_jsonl
from memvid.embedding import Embedder, check_vectors
from memvid.errors import (
    ChunkError,
    ChunkTypeError,
    ClosedError,
    DocumentError,
    EmbeddingError,
    MetadataError,
)
from memvid.interrupts import uninterrupted
from memvid.page import Record, check_record, encode_metadata, encode_text
from memvid.pickling import NotPicklable
from memvid.types import JsonObject, StrPath

__all__ = ["ChunkCollector", "EncoderStats"]

_MISSING = object()
_Self = TypeVar("_Self", bound="ChunkCollector")


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


class ChunkCollector(NotPicklable):
    """Takes chunks and keeps them on disk, in the system's temporary folder, so memory does not grow with their number.

    A context manager: it warns when it is left with chunks that were never stored. Not safe to share between threads.

    :param config: ``chunk_size`` and ``overlap`` of :meth:`add_text` are taken from it.
    :param embedder: what makes, or has made, the embeddings.
    """

    _store_by = "build_video()"
    _elsewhere = "it collects in files of its process; make one there, or send it the texts"

    def __init__(self, config: EncoderConfig, embedder: Embedder) -> None:
        self.config = config
        self._embedder = embedder
        self._spool: Spool | None = Spool()
        self._process = os.getpid()
        self._asked = 0  # of the chunks, those that were there when they were last to be stored

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
        return self._add(_pair(chunks, metadatas), None if embeddings is None else self._as_matrix(embeddings))

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
        return self._add(((piece, metadata) for piece in pieces), None)

    def add_jsonl(
        self,
        source: StrPath | Iterable[bytes | str],
        *,
        text_key: str = "text",
        split: bool = False,
        encoding: str = "utf-8",
    ) -> int:
        """Add the documents of a file of JSON lines as it is read: all of them or, when it raises, none.

        A line is a string, or an object with a text; its other keys, and those of an object ``"metadata"`` in it,
        become the metadata of its chunks. Empty lines are passed over.

        :param source: a path, unzipped on the way if it ends in ``.gz``; or an open file, binary or text, or any other
            iterable of lines.
        :param text_key: where an object has its text.
        :param split: split texts as :meth:`add_text` does; otherwise each is one chunk, stored exactly as it is.
        :param encoding: of the bytes.
        :returns: the number of chunks added.
        :raises DocumentError: with the line that is no JSON, has no text or a blank one, or is in another encoding.
        :raises ResourceLimitError: a few bytes of gzip unpack to far more than documents do.
        :raises ChunkError: with the line whose text is too large or not valid Unicode.
        :raises MetadataError: with the line whose metadata cannot be stored.
        :raises ConfigError: an unknown ``encoding``.
        """
        where = ""

        def pieces() -> Iterator[tuple[str, JsonObject | None]]:
            nonlocal where
            for where, document in read_jsonl(source, text_key=text_key, encoding=encoding):
                text, metadata = document.text, document.metadata or None
                if not text or text.isspace():
                    raise DocumentError(f"{where}: the text is blank: take the line out")
                if split:
                    size, overlap = self.config.chunk_size, self.config.overlap
                    yield from ((piece, metadata) for piece in split_text(text, chunk_size=size, overlap=overlap))
                else:
                    yield text, metadata

        try:
            return self._add(pieces(), None)
        except (ChunkError, MetadataError) as error:
            raise type(error)(f"{where}: {error}") from error

    def clear(self) -> None:
        """Forget all chunks."""
        self._open_spool().close()
        self._spool = Spool()
        self._asked = 0

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

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        unsaved = self._unsaved() if kind is None and self._process == os.getpid() else None
        self.close()
        if unsaved is not None:
            warnings.warn(f"{unsaved} before the encoder is left", UserWarning, stacklevel=2)

    @uninterrupted
    def __del__(self) -> None:
        with suppress(AttributeError):  # __init__ did not get as far as the spool
            self.close()

    def __len__(self) -> int:
        return len(self._open_spool())

    def _unsaved(self) -> str | None:
        """What was collected since it was last to be stored, and what would store it, if there is any."""
        count = 0 if self._spool is None else len(self._spool) - self._asked
        if not count:
            return None
        return f"{count:,} {'chunk was' if count == 1 else 'chunks were'} added and not stored: call {self._store_by}"

    def _open_spool(self) -> Spool:
        if self._spool is None:
            raise ClosedError("the encoder was closed: make a new one")
        if self._process != os.getpid():  # a fork: both would write over what the other one collects
            raise ClosedError("the encoder is the parent process's: make a new one here")
        return self._spool

    def _add(self, pairs: Iterable[tuple[object, object]], embeddings: NDArray[Any] | None) -> int:
        with self._open_spool().adding() as adder:
            for chunk, metadata in pairs:
                adder.add(_make_record(chunk, metadata, adder.next_chunk))
            if embeddings is not None:
                adder.add_vectors(self._check_embeddings(embeddings, len(adder)))
            return len(adder)

    def _as_matrix(self, embeddings: ArrayLike) -> NDArray[Any]:
        try:
            matrix = np.asarray(embeddings)
        except ValueError as error:
            raise EmbeddingError("embeddings are rows of different lengths: expected [chunks, dim]") from error
        if matrix.ndim != 2:
            raise EmbeddingError(f"embeddings have {matrix.ndim} dimensions: expected 2, [chunks, dim]")
        embedder = self._embedder
        if matrix.shape[1] != embedder.dim:
            raise EmbeddingError(
                f"embeddings have {matrix.shape[1]} dimensions, those of embedder {embedder.name!r} have "
                f"{embedder.dim}: name the one that made them, MemvidEncoder(embedder=...)"
            )
        return matrix

    def _check_embeddings(self, embeddings: NDArray[Any], chunks: int) -> NDArray[np.float32]:
        if len(embeddings) != chunks:
            raise EmbeddingError(f"{len(embeddings)} embeddings were given for {chunks} chunks: give one row for each")
        return check_vectors(embeddings, count=chunks, dim=self._embedder.dim, source="embeddings=")


def _pair(chunks: object, metadatas: object) -> Iterator[tuple[object, object]]:
    """Chunks with their metadata, ``None`` for each if there is none at all; both are read once, in step."""
    if isinstance(chunks, (str, bytes)):
        raise ChunkTypeError(
            "chunks is a single string: put it into a list, or use add_text() to have it split into chunks"
        )
    texts = _iterate(chunks)
    if texts is None:
        raise ChunkTypeError(f"chunks is a {type(chunks).__name__}: expected a list or another iterable of strings")
    if metadatas is None:
        return ((chunk, None) for chunk in texts)
    objects = None if isinstance(metadatas, (str, bytes, Mapping)) else _iterate(metadatas)
    if objects is None:
        raise MetadataError(f"metadatas is a {type(metadatas).__name__}: give a list with one object for each chunk")
    return _in_step(texts, objects)


def _iterate(values: object) -> Iterator[object] | None:
    try:
        return iter(values)  # type: ignore[call-overload, no-any-return]  # that is what is asked
    except TypeError:
        return None


def _in_step(chunks: Iterator[object], metadatas: Iterator[object]) -> Iterator[tuple[object, object]]:
    count = 0
    for count, chunk in enumerate(chunks, start=1):
        metadata = next(metadatas, _MISSING)
        if metadata is _MISSING:
            raise MetadataError(f"there are more chunks than the {count - 1} metadatas: give one for each, or None")
        yield chunk, metadata
    if next(metadatas, _MISSING) is not _MISSING:
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
