"""Writes the SQLite side file while a memory is built."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from memvid.errors import EmbeddingError, MetadataError
from memvid.index import schema
from memvid.index.keywords import length_code, normalise
from memvid.index.value_tokens import attributes_of
from memvid.page import metadata_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from memvid.types import JsonObject

__all__ = ["RecordWriter"]


class RecordWriter:
    """Takes chunks in the order of their ids. One thread at a time, not always the same one.

    Memory: about 1 byte a chunk, 12 bytes a page, and what SQLite caches (32 MB). Cost: about 40 microseconds for a
    chunk of 500 bytes, nearly all of it without the GIL.
    """

    def __init__(self, path: Path, *, keywords: bool) -> None:
        self._path = path
        self._keywords = keywords
        # SQLite crashes where a connection is closed that another thread is using: giving up waits for that thread.
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = schema.create(path, keywords=keywords)
        self._runs: list[list[int]] = []  # [first id, how many]
        self._lengths = bytearray()
        self._pages: list[tuple[Any, Any]] = []
        self._paged = 0
        self._fields: dict[str, int] = {}
        self._open_runs: dict[str, tuple[bytes, int, int]] = {}  # field -> value, first id, last id

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def paged(self) -> int:
        """Chunks that some page was said to hold."""
        return self._paged

    def add(self, first_id: int, texts: Sequence[str], metadatas: Sequence[JsonObject | None]) -> None:
        """Add the chunks ``first_id``, ``first_id + 1``, ...

        :raises MetadataError: a metadata is not a JSON object.
        """
        with self._lock, schema.writing(self._path):
            connection = self._writer()
            self._extend_runs(first_id, len(texts))
            self._lengths.extend(length_code(text.count(" ")) for text in texts)
            if self._keywords:
                connection.executemany(
                    "INSERT INTO keywords(rowid, text) VALUES (?, ?)",
                    ((first_id + i, normalise(text)) for i, text in enumerate(texts)),
                )
            described = [(first_id + i, metadata) for i, metadata in enumerate(metadatas) if metadata]
            connection.executemany(
                "INSERT INTO metadata(id, json) VALUES (?, ?)", ((i, _json_of(i, value)) for i, value in described)
            )
            for chunk_id, metadata in described:
                self._add_attributes(connection, chunk_id, metadata)

    def add_pages(self, frame_indexes: Any, first_chunks: Any, counts: Any) -> None:
        """Add rows of the page table: equally long integer sequences, in chunk order."""
        starting = np.asarray(counts) > 0
        frames = np.asarray(frame_indexes)[starting].astype(np.uint32)
        self._pages.append((frames, np.asarray(first_chunks)[starting].astype(np.int64)))
        self._paged += int(np.asarray(counts).sum())

    def finish(self) -> None:
        """Write what was gathered, make the file compact and close it."""
        with self._lock, schema.writing(self._path):
            connection = self._writer()
            for field, run in self._open_runs.items():
                self._write_run(connection, field, run)
            for name, data in self._arrays().items():
                connection.execute("INSERT INTO arrays(name, data) VALUES (?, ?)", (name, data))
            if self._keywords:
                connection.execute("INSERT INTO keywords(keywords) VALUES ('optimize')")
            connection.execute("COMMIT")
            connection.execute("VACUUM")  # merging leaves half of the file free
        self.close()

    def close(self) -> None:
        """Close the file as it is, after what another thread is adding to it. Calling it twice is allowed."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _writer(self) -> sqlite3.Connection:
        if self._connection is None:
            raise EmbeddingError("this index was already staged or aborted: create another")
        return self._connection

    def _extend_runs(self, first_id: int, count: int) -> None:
        if self._runs and sum(self._runs[-1]) == first_id:
            self._runs[-1][1] += count
        elif count:
            self._runs.append([first_id, count])

    def _arrays(self) -> dict[str, bytes]:
        runs = np.array(self._runs, np.int64).reshape(-1, 2)
        frames = [frames for frames, _ in self._pages]
        firsts = [firsts for _, firsts in self._pages]
        arrays = {
            "page_frames": np.concatenate(frames) if frames else np.empty(0, np.uint32),
            "page_first_chunks": np.concatenate(firsts) if firsts else np.empty(0, np.int64),
            "run_starts": runs[:, 0],
            "run_lengths": runs[:, 1],
            "length_codes": np.frombuffer(bytes(self._lengths), np.uint8),
        }
        return {name: array.astype(schema.ARRAYS[name]).tobytes() for name, array in arrays.items()}

    def _add_attributes(self, connection: sqlite3.Connection, chunk_id: int, metadata: JsonObject) -> None:
        for field, value in attributes_of(metadata).items():
            run = self._open_runs.get(field)
            if run is not None and run[0] == value and run[2] == chunk_id - 1:
                self._open_runs[field] = (value, run[1], chunk_id)
                continue
            if run is not None:
                self._write_run(connection, field, run)
            self._open_runs[field] = (value, chunk_id, chunk_id)

    def _write_run(self, connection: sqlite3.Connection, field: str, run: tuple[bytes, int, int]) -> None:
        number = self._fields.get(field)
        if number is None:
            number = self._fields[field] = len(self._fields)
            connection.execute("INSERT INTO fields(field, name) VALUES (?, ?)", (number, field))
        connection.execute("INSERT INTO attributes VALUES (?, ?, ?, ?)", (number, *run))


def _json_of(chunk_id: int, metadata: JsonObject) -> str:
    try:
        return metadata_json(metadata)
    except MetadataError as error:
        raise MetadataError(f"chunk {chunk_id}: {error}") from error
