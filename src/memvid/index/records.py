"""Reads the SQLite side file: frames and metadata of chunks, filters, keywords."""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memvid.errors import ChunkNotFoundError, IndexFormatError, QueryError
from memvid.index import schema
from memvid.index.filters import parse_filter
from memvid.index.keywords import query_terms, rank
from memvid.index.manifest import MEND
from memvid.index.pool import Pool
from memvid.index.row_map import RowMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from memvid.types import JsonObject

__all__ = ["RecordReader"]

IntArray = npt.NDArray[np.int64]

_MAX_CONNECTIONS = 8
_BATCH = 500  # bound parameters a statement


class RecordReader:
    """Many threads at a time, each with a connection of its own while it asks."""

    def __init__(self, path: Path, *, count: int, keywords: bool) -> None:
        self._path = path
        self._keywords = keywords
        self._pool: Pool[sqlite3.Connection] = Pool(
            lambda: schema.open_readonly(path, keywords=keywords), sqlite3.Connection.close, limit=_MAX_CONNECTIONS
        )
        self._frequencies: dict[str, int] = {}
        self._lock = threading.Lock()
        with self._pool.lend() as connection:
            schema.check_schema(connection, path, keywords=keywords)
            with schema.reading(path):
                arrays = dict(connection.execute("SELECT name, data FROM arrays").fetchall())
                self._fields = {str(name): int(i) for i, name in connection.execute("SELECT field, name FROM fields")}
        self._page_frames, self._page_firsts, starts, lengths, self._lengths = self._read_arrays(arrays)
        self._check_arrays(starts, lengths, count)
        self.row_map = RowMap(starts, lengths)

    @property
    def length_codes(self) -> npt.NDArray[np.uint8]:
        """uint8[rows]: the length of each chunk in words, as :func:`~memvid.index.keywords.length_code` writes it."""
        return self._lengths  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close the connections; those in use close when they come back."""
        self._pool.close()

    def frames_of(self, ids: IntArray) -> IntArray:
        """int64 frame index of each chunk.

        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_ids(ids)
        return np.asarray(self._page_frames[np.searchsorted(self._page_firsts, ids, side="right") - 1], np.int64)

    def metadata(self, ids: IntArray) -> list[JsonObject]:
        """The metadata of each chunk, ``{}`` where none was given.

        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_ids(ids)
        found: dict[int, str] = {}
        wanted = sorted(set(ids.tolist()))
        with self._pool.lend() as connection, schema.reading(self._path):
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                found.update(connection.execute(f"SELECT id, json FROM metadata WHERE id IN ({marks})", batch))  # noqa: S608
        try:
            return [json.loads(found[i]) if i in found else {} for i in ids.tolist()]
        except ValueError as error:
            raise IndexFormatError(f"{self._path} holds metadata that is not JSON: {MEND}") from error

    def ids_where(self, where: Any) -> IntArray:
        """Ids of the chunks whose metadata passes the filter, ascending.

        :raises QueryError: the filter is not one.
        """
        ids: IntArray | None = None
        for field, values in parse_filter(where, self._fields):
            runs: list[tuple[int, int]] = []
            with self._pool.lend() as connection, schema.reading(self._path):
                for value in values:
                    runs += connection.execute(
                        "SELECT first, last FROM attributes WHERE field = ? AND value = ?", (self._fields[field], value)
                    ).fetchall()
            if any(not 0 <= first <= last < self.row_map.end for first, last in runs):
                raise IndexFormatError(f"{self._path} names chunks there are none of: {MEND}")
            found = _expand(runs)
            ids = found if ids is None else np.intersect1d(ids, found, assume_unique=True)
        ids = np.empty(0, np.int64) if ids is None else ids
        if (self.row_map.rows(ids) < 0).any():
            raise IndexFormatError(f"{self._path} names chunks there are none of: {MEND}")
        return ids

    def keyword_search(self, text: str, k: int) -> tuple[IntArray, npt.NDArray[np.float32]]:
        """Ids int64[m] and BM25 scores float32[m], m <= k, of chunks with any of the words, best first."""
        if not self._keywords:
            raise QueryError("this index has no keywords: build it with EncoderConfig(keywords=True)")
        if self._lengths.size == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        return rank(
            query_terms(text), k,
            frequency=self._frequency, matches=self._matches, rows=self.row_map.rows, lengths=self._lengths,
        )  # fmt: skip

    def _frequency(self, term: str) -> int:
        with self._lock:
            known = self._frequencies.get(term)
        if known is None:
            with self._pool.lend() as connection, schema.reading(self._path):
                row = connection.execute("SELECT doc FROM temp.terms WHERE term = ?", (term,)).fetchone()
            known = int(row[0]) if row else 0
            with self._lock:
                if len(self._frequencies) >= 1 << 16:
                    self._frequencies.clear()
                self._frequencies[term] = known
        return known

    def _matches(self, term: str, among: Sequence[str]) -> IntArray:
        # Terms hold letters and digits only; quoting keeps AND, OR, NOT and NEAR words.
        query = f'"{term}"'
        if among:
            query += " AND (" + " OR ".join(f'"{other}"' for other in among) + ")"
        with self._pool.lend() as connection, schema.reading(self._path):
            cursor = connection.execute("SELECT rowid FROM keywords WHERE keywords MATCH ?", (query,))
            ids = np.fromiter((row[0] for row in cursor), np.int64)
        if (self.row_map.rows(ids) < 0).any():
            raise IndexFormatError(f"{self._path} names chunks there are none of: {MEND}")
        return ids

    def _check_ids(self, ids: IntArray) -> None:
        missing = ids[self.row_map.rows(ids) < 0]
        if len(missing):
            raise ChunkNotFoundError(f"no chunk has the id {int(missing[0])}: there are {len(self.row_map)} chunks")

    def _read_arrays(self, arrays: dict[str, bytes]) -> list[Any]:
        try:
            return [np.frombuffer(arrays[name], dtype) for name, dtype in schema.ARRAYS.items()]
        except (KeyError, ValueError, TypeError) as error:
            raise IndexFormatError(f"{self._path} lacks an array ({error}): {MEND}") from error

    def _check_arrays(self, starts: IntArray, lengths: IntArray, count: int) -> None:
        sound = (
            len(starts) == len(lengths) > 0
            and int(starts[0]) >= 0
            and bool((lengths > 0).all())
            and bool((np.diff(starts) >= lengths[:-1]).all())
            and int(lengths.sum()) == count == len(self._lengths)
            and len(self._page_frames) == len(self._page_firsts) > 0
            and bool((np.diff(self._page_firsts) > 0).all())
            and int(self._page_firsts[0]) <= int(starts[0])
        )
        if not sound:
            raise IndexFormatError(f"{self._path} does not describe the {count} chunks of its manifest: {MEND}")


def _expand(runs: Iterable[tuple[int, int]]) -> IntArray:
    parts = [np.arange(first, last + 1, dtype=np.int64) for first, last in runs]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)
