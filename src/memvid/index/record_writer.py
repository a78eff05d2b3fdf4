"""Writes the records of a segment while a memory is built."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from memvid.errors import EmbeddingError, MetadataError
from memvid.index.field_terms import terms_of
from memvid.index.keywords import length_code
from memvid.index.postings import PostingsWriter
from memvid.index.record_file import ARRAYS, section_names
from memvid.index.section_file import SectionWriter
from memvid.page import encode_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from memvid.types import JsonObject

__all__ = ["FIELD_BYTES", "RecordWriter"]

FIELD_BYTES = 256 << 10  # of distinct values in memory: of about 15,000 chunks, where each has a number of its own


class RecordWriter:
    """Takes chunks in the order of their ids. One thread at a time, not always the same one.

    Memory: about 1 byte a chunk, 12 bytes a page, up to 150 MB for words, and a few for fields; the rest waits in
    temporary files. Cost: about 30 microseconds for a chunk of 500 bytes, mostly without the GIL.
    """

    def __init__(self, path: Path, *, keywords: bool) -> None:
        self._file: SectionWriter | None = SectionWriter(path, section_names(keywords=keywords))
        self._lock = threading.RLock()  # giving up waits for a thread that is adding
        self._fields = PostingsWriter(term_bytes=FIELD_BYTES)
        self._words = PostingsWriter() if keywords else None
        self._runs: list[list[int]] = []  # [first id, how many]
        self._lengths = bytearray()
        self._pages: list[tuple[Any, Any]] = []
        self._paged = 0

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def paged(self) -> int:
        """Chunks that some page was said to hold."""
        return self._paged

    def add(self, first_id: int, texts: Sequence[str], metadatas: Sequence[JsonObject | None]) -> None:
        """Add the chunks ``first_id``, ``first_id + 1``, ...

        :raises MetadataError: a metadata is not a JSON object.
        :raises OutputError: the disk is full.
        """
        with self._lock:
            self._writer()
            terms = [_terms(first_id + i, metadata) for i, metadata in enumerate(metadatas)]
            if self._runs and sum(self._runs[-1]) == first_id:
                self._runs[-1][1] += len(texts)
            elif texts:
                self._runs.append([first_id, len(texts)])
            self._lengths.extend(length_code(text.count(" ")) for text in texts)
            self._fields.add_terms(terms)
            if self._words is not None:
                self._words.add(texts)

    def add_pages(self, frame_indexes: Any, first_chunks: Any, counts: Any) -> None:
        """Add rows of the page table: equally long integer sequences, in chunk order."""
        starting = np.asarray(counts) > 0
        frames = np.asarray(frame_indexes)[starting].astype(np.uint32)
        self._pages.append((frames, np.asarray(first_chunks)[starting].astype(np.int64)))
        self._paged += int(np.asarray(counts).sum())

    def finish(self) -> None:
        """Write what was gathered, and close the file.

        :raises OutputError: the disk is full.
        """
        with self._lock:
            file = self._writer()
            for name, data in self._arrays().items():
                file.add(name, data)
            file.append("fields", self._fields.append_to)
            if self._words is not None:
                file.append("words", self._words.append_to)
            file.finish()
            self.close()

    def close(self) -> None:
        """Close the file as it is, after what another thread is adding to it. Calling it twice is allowed."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            for writer in (self._fields, self._words):
                if writer is not None:
                    writer.close()

    def _writer(self) -> SectionWriter:
        if self._file is None:
            raise EmbeddingError("this index was already staged or aborted: create another")
        return self._file

    def _arrays(self) -> dict[str, bytes]:
        runs = np.array(self._runs, np.int64).reshape(-1, 2)
        frames = [frames for frames, _ in self._pages]
        firsts = [firsts for _, firsts in self._pages]
        arrays = {
            "page_frames": np.concatenate(frames) if frames else np.empty(0, np.uint32),
            "page_chunks": np.concatenate(firsts) if firsts else np.empty(0, np.int64),
            "run_starts": runs[:, 0],
            "run_lengths": runs[:, 1],
            "lengths": np.frombuffer(bytes(self._lengths), np.uint8),
        }
        return {name: array.astype(ARRAYS[name]).tobytes() for name, array in arrays.items()}


def _terms(chunk_id: int, metadata: JsonObject | None) -> list[bytes]:
    if not metadata:
        return []
    try:
        encode_metadata(metadata)  # what cannot be stored is in no page
    except MetadataError as error:
        raise MetadataError(f"chunk {chunk_id}: {error}") from error
    return terms_of(metadata)
