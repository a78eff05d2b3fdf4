"""Reads the SQLite file of a segment: frames and metadata of chunks, filters, keywords."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from json import dumps
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memvid.checks import ID_LIMIT, is_int
from memvid.errors import ChunkNotFoundError, IndexFormatError
from memvid.index.arrays import IntArray
from memvid.index.manifest import MEND
from memvid.index.open_file import still_open
from memvid.index.record_file import check_arrays
from memvid.index.row_map import RowMap
from memvid.index.sqlite import schema
from memvid.index.sqlite.filters import RecordFilters
from memvid.index.sqlite.object_pool import ExhaustedError, Pool
from memvid.index.sqlite.restricted import RestrictedConnection
from memvid.index.sqlite.value_tokens import attributes_of, value_token
from memvid.page import is_json_of, read_metadata
from memvid.query import paths_of, strings_at
from memvid.query.paths import heads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from memvid.index.open_file import OpenFile
    from memvid.index.passing import Mask
    from memvid.query import Filter, Value
    from memvid.types import JsonObject

__all__ = ["SqliteRecords"]

_MAX_CONNECTIONS = 8
_BATCH = 500  # bound parameters a statement
_SAMPLE = 1000  # chunks of which the fields in lists and objects are suggested
_FIELD_BYTES = 8  # in the file, at least, for each field that can be filtered by: it is in a table and in an index


class SqliteRecords:
    """Records of one segment. Many threads at a time, each with a connection of its own while it asks.

    :ivar path: of the file.
    """

    def __init__(self, file: OpenFile, *, count: int, keywords: bool) -> None:
        self._file: OpenFile | None = file
        self.path, self._identity = file.path, file.identity
        self._count = count
        self._keywords = keywords
        self._pool: Pool[RestrictedConnection] = Pool(self._connect, sqlite3.Connection.close, limit=_MAX_CONNECTIONS)
        self._frequencies: dict[str, int] = {}
        self._lock = threading.Lock()
        with self._lend() as connection:
            arrays = dict(connection.execute("SELECT name, data FROM arrays LIMIT ?", (len(schema.ARRAYS),)).fetchall())
            most = connection.nbytes // _FIELD_BYTES
            rows = connection.execute("SELECT field, name FROM fields LIMIT ?", (most,))
            self._fields = {str(name): number for number, name in rows}
        self.arrays = self._read_arrays(arrays)
        self._page_frames, self._page_firsts, starts, lengths, self.length_codes = self.arrays
        if not check_arrays(self._page_frames, self._page_firsts, starts, lengths, len(self.length_codes), count):
            raise IndexFormatError(f"{self.path} does not describe the {count} chunks of its manifest: {MEND}")
        self.row_map = RowMap(starts, lengths)
        self._filters = RecordFilters(self)

    def mask(self, where: Filter) -> Mask:
        """bool[rows]: the chunks that pass."""
        return self._filters.mask(where)

    def having(self, key: str, values: Collection[Value]) -> Mask:
        """bool[rows]: the chunks that have one of the values at a key of the metadata itself, in no list or object."""
        tokens = {value_token(value.value) for value in values}
        return self.rows_having(key, sorted(token for token in tokens if token is not None))

    def paths(self) -> set[str]:
        """Keys with scalars, and all paths of some chunks."""
        known = set(self._fields)
        for metadata in self.metadata(self.row_map.ids(np.arange(min(len(self.row_map), _SAMPLE)))):
            known |= paths_of(metadata)
        return known

    def strings(self, path: str) -> set[str]:
        """Strings at a path, of some chunks."""
        some = self.metadata(self.row_map.ids(np.arange(min(len(self.row_map), _SAMPLE))))
        return {string for metadata in some for string in strings_at(metadata, path)}

    def differing(self, ids: IntArray, metadatas: Sequence[bytes]) -> list[int]:
        """Places of the chunks that have other metadata than these, as they are stored.

        :raises ChunkNotFoundError: an id there is none of.
        :raises IndexFormatError: one is no text.
        """
        kept = zip(self.metadata_json(ids), metadatas, strict=True)
        return [at for at, (json, data) in enumerate(kept) if not is_json_of(json, data)]

    def terms_of(self, metadata: JsonObject) -> list[bytes]:
        """The scalars of some metadata, each after its key."""
        return [_term(field, value) for field, value in attributes_of(metadata).items()]

    def sum_rows(self, numbers: npt.NDArray[np.uint64], take: Callable[[bytes, int], object]) -> None:
        """Hand what :meth:`terms_of` makes of all metadata to ``take``, with sums of the numbers of rows."""
        before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(numbers, dtype=np.uint64)])
        for runs in self._filter_runs():
            rows = self._run_rows(_pairs([(first, last) for _, _, first, last in runs]))
            sums = before[rows[:, 1] + 1] - before[rows[:, 0]]
            for (field, value, _, _), each in zip(runs, sums.tolist(), strict=True):
                take(_term(field, value), each)

    def verify(self) -> None:
        """Nothing: each question checks what it reads."""

    def check(self) -> None:
        """Check that nobody has written into the file.

        :raises IndexFormatError: someone has.
        """
        still_open(self._file).check()

    def close(self) -> None:
        """Close the connections; those in use close when they come back."""
        self._pool.close()
        self._file = None

    def frames_of(self, ids: IntArray) -> IntArray:
        """int64 frame index of each chunk.

        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_ids(ids)
        return np.asarray(self._page_frames[np.searchsorted(self._page_firsts, ids, side="right") - 1], np.int64)

    def metadata(self, ids: IntArray) -> list[JsonObject]:
        """The metadata of each chunk, ``{}`` where none was given.

        :raises ChunkNotFoundError: an id there is none of.
        :raises IndexFormatError: one is not what :func:`memvid.page.metadata_json` makes.
        """
        read = [read_metadata(json.encode()) for json in self.metadata_json(ids)]
        faults = [fault for _, fault in read if fault is not None]
        if faults:
            raise IndexFormatError(f"{self.path} holds metadata that cannot be used: {faults[0]}: {MEND}")
        return [value for value, _ in read]

    def metadata_json(self, ids: IntArray) -> list[str]:
        """The metadata of each chunk as it is kept, nothing where none was given.

        :raises ChunkNotFoundError: an id there is none of.
        :raises IndexFormatError: one is no text.
        """
        self._check_ids(ids)
        found: dict[int, str] = {}
        wanted = sorted(set(ids.tolist()))
        with self._lend() as connection:
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                found.update(connection.execute(f"SELECT id, json FROM metadata WHERE id IN ({marks})", batch))  # noqa: S608
        if not all(isinstance(json, str) for json in found.values()):
            raise IndexFormatError(f"{self.path} holds metadata that is no text: {MEND}")
        return [found.get(chunk_id, "") for chunk_id in ids.tolist()]

    def rows_having(self, field: str, values: Sequence[bytes] | None = None) -> npt.NDArray[np.bool_]:
        """bool[rows]: which chunks have one of the values, as :func:`value_token` makes them, in a field; or any."""
        number = self._fields.get(field)
        runs: list[tuple[int, int]] = []
        if number is not None:
            with self._lend() as connection:
                if values is None:
                    runs += connection.execute(
                        "SELECT first, last FROM attributes WHERE field = ? LIMIT ?", (number, self._count)
                    ).fetchall()
                for value in values or ():
                    runs += connection.execute(
                        "SELECT first, last FROM attributes WHERE field = ? AND value = ? LIMIT ?",
                        (number, value, self._count),
                    ).fetchall()
        return self._mask(_pairs(runs))

    def rows_holding(self, field: str, holds: Callable[[bytes], bool]) -> npt.NDArray[np.bool_]:
        """bool[rows]: which chunks have a value in a field for which ``holds``, asked once for each value, is true.

        :raises IndexFormatError: the values are of a wrong type.
        """
        number = self._fields.get(field)
        runs = [np.empty((0, 2), np.int64)]
        if number is None:
            return self._mask(runs[0])
        known, kept = b"", False
        with self._lend() as connection:
            cursor = connection.execute("SELECT value, first, last FROM attributes WHERE field = ?", (number,))
            while rows := cursor.fetchmany(_BATCH):
                batch = []
                for value, first, last in rows:
                    if value != known:  # equal ones follow each other
                        if not isinstance(value, bytes):
                            raise IndexFormatError(f"{self.path} has a filter of nothing: {MEND}")
                        known, kept = value, holds(value)
                    if kept:
                        batch.append((first, last))
                if batch:
                    runs.append(_pairs(batch))
        return self._mask(np.concatenate(runs))

    def ids_with_nested(self, path: str) -> IntArray:
        """Ids of the chunks that have a list or an object at a key which ``path`` begins with, and perhaps others."""
        keys = [dumps(head, ensure_ascii=False) for head in heads(path)]
        texts = [f"{key}:{bracket}" for key in keys for bracket in "[{"]
        condition = " OR ".join(["instr(json, ?)"] * len(texts))
        with self._lend() as connection:
            rows = connection.execute(f"SELECT id FROM metadata WHERE {condition}", texts)  # noqa: S608
            return self._known(np.fromiter((row[0] for row in rows), np.int64))

    def _filter_runs(self) -> Iterator[list[tuple[str, bytes, int, int]]]:
        """All that filters go by, some at a time: a field, a value, and the first and last chunk of a run that has it.

        :raises IndexFormatError: they are of wrong types, or of a field there is none of.
        """
        names = {number: name for name, number in self._fields.items()}
        with self._lend() as connection:
            cursor = connection.execute("SELECT field, value, first, last FROM attributes")
            while rows := cursor.fetchmany(_BATCH):
                if not all(
                    field in names
                    and isinstance(value, bytes)
                    and is_int(first, 0, ID_LIMIT)
                    and is_int(last, 0, ID_LIMIT)
                    for field, value, first, last in rows
                ):
                    raise IndexFormatError(f"{self.path} has a filter of nothing: {MEND}")
                yield [(names[field], value, first, last) for field, value, first, last in rows]

    def frequency(self, term: str) -> int:
        """In how many chunks a term of the keyword index is."""
        with self._lock:
            known = self._frequencies.get(term)
        if known is None:
            with self._lend() as connection:
                row = connection.execute("SELECT doc FROM temp.terms WHERE term = ?", (term,)).fetchone()
            known = min(int(row[0]), self._count) if row else 0
            with self._lock:
                if len(self._frequencies) >= 1 << 16:
                    self._frequencies.clear()
                self._frequencies[term] = known
        return known

    def terms(self) -> list[str]:
        """The terms of the keyword index."""
        with self._lend() as connection:
            return [str(row[0]) for row in connection.execute("SELECT term FROM temp.terms")]

    def matches(self, term: str, among: IntArray | None = None) -> IntArray:
        """Ids of the chunks with a term of the keyword index, ascending; of those ``among`` some, in any order."""
        if among is None:
            return self.matches_all([term])
        found = [np.empty(0, np.int64)]
        with self._lend() as connection:
            for start in range(0, len(among), _BATCH):
                batch = among[start : start + _BATCH].tolist()
                marks = ",".join("?" * len(batch))
                query = f"SELECT rowid FROM keywords WHERE keywords MATCH ? AND rowid IN ({marks})"  # noqa: S608
                rows = connection.execute(query, (f'"{term}"', *batch))
                found.append(np.fromiter((row[0] for row in rows), np.int64))
        return np.concatenate(found)

    def matches_all(self, terms: Sequence[str]) -> IntArray:
        """Ids of the chunks with all of the terms; ascending."""
        # Terms hold letters and digits only; quoting keeps AND, OR, NOT and NEAR words.
        query = " AND ".join(f'"{term}"' for term in terms)
        with self._lend() as connection:
            cursor = connection.execute(
                "SELECT rowid FROM keywords WHERE keywords MATCH ? LIMIT ?", (query, self._count)
            )
            return self._known(np.fromiter((row[0] for row in cursor), np.int64))

    @contextmanager
    def _lend(self) -> Iterator[RestrictedConnection]:
        try:
            with schema.reading(self.path), self._pool.lend() as connection:
                connection.begin_question()
                yield connection
        except ExhaustedError as error:
            raise IndexFormatError(
                f"{self.path} was replaced or removed while this memory was open or being opened: open it again"
            ) from error

    def _connect(self) -> RestrictedConnection:
        """One more connection to the very file that was opened: it may have been replaced, or removed, since."""
        if _identity(self.path) == self._identity:
            try:
                connection = schema.open_readonly(self.path, keywords=self._keywords)
            except FileNotFoundError as error:  # removed in this very moment: whoever opens the memory tries again
                raise ExhaustedError("the file was removed") from error
            if _identity(self.path) == self._identity:
                return connection
            connection.close()
        raise ExhaustedError("the file was replaced")

    def _known(self, ids: IntArray) -> IntArray:
        if (self.row_map.rows(ids) < 0).any():
            raise IndexFormatError(f"{self.path} names chunks there are none of: {MEND}")
        return ids

    def _mask(self, runs: IntArray) -> npt.NDArray[np.bool_]:
        """bool[rows] of runs of ids, int64[n, 2]. They are those of distinct chunks, or the file is not ours."""
        rows = self._run_rows(runs)
        change = np.zeros(self._count + 1, np.int64)
        np.add.at(change, rows[:, 0], 1)
        np.add.at(change, rows[:, 1] + 1, -1)
        covered = np.cumsum(change[:-1])
        if (covered > 1).any():
            raise IndexFormatError(f"{self.path} names chunks there are none of: {MEND}")
        return np.asarray(covered == 1)

    def _run_rows(self, runs: IntArray) -> IntArray:
        """int64[n, 2]: first and last rows of runs of ids."""
        first, last = self.row_map.rows(runs[:, 0]), self.row_map.rows(runs[:, 1])
        if not ((first >= 0) & (last >= first) & (last - first == runs[:, 1] - runs[:, 0])).all():
            raise IndexFormatError(f"{self.path} names chunks there are none of: {MEND}")
        return np.stack([first, last], axis=1)

    def _check_ids(self, ids: IntArray) -> None:
        missing = ids[self.row_map.rows(ids) < 0]
        if len(missing):
            raise ChunkNotFoundError(f"no chunk has the id {int(missing[0])}: there are {len(self.row_map)} chunks")

    def _read_arrays(self, arrays: dict[str, bytes]) -> list[Any]:
        try:
            return [np.frombuffer(arrays[name], dtype) for name, dtype in schema.ARRAYS.items()]
        except (KeyError, ValueError, TypeError) as error:
            raise IndexFormatError(f"{self.path} lacks an array ({error}): {MEND}") from error


def _pairs(runs: Sequence[tuple[object, object]]) -> IntArray:
    """int64[n, 2] of first and last ids; what is no id becomes -1."""
    ends = [end if is_int(end, 0, ID_LIMIT) else -1 for run in runs for end in run]
    return np.array(ends, np.int64).reshape(-1, 2)


def _term(field: str, value: bytes) -> bytes:
    name = field.encode("utf-8", "surrogatepass")
    return b"%d %s%s" % (len(name), name, value)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
