"""The SQLite file: its tables, and how it is opened. There is no chunk text in it.

``arrays`` holds little-endian numpy arrays: the page table (``page_frames`` u4, ``page_first_chunks`` i8), the runs of
chunk ids (``run_starts``, ``run_lengths`` i8) and the chunks' lengths (``length_codes`` u1, in the order of adding).
``attributes`` says which runs of chunks have which value in which metadata field.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memvid.errors import IndexFormatError
from memvid.index.manifest import MEND
from memvid.index.sqlite.restricted import RestrictedConnection, connect_readonly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ARRAYS", "open_readonly", "reading"]

ARRAYS = {
    "page_frames": "<u4",
    "page_first_chunks": "<i8",
    "run_starts": "<i8",
    "run_lengths": "<i8",
    "length_codes": "u1",
}

_APPLICATION_ID = 0x4D56_4944  # "MVID"
_VERSION = 1
_LONGEST_PATH = 504  # bytes from the root on: of 512, SQLite keeps eight for the name of a journal
_TABLES = {
    "arrays": "CREATE TABLE arrays(name TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "metadata": "CREATE TABLE metadata(id INTEGER PRIMARY KEY, json TEXT NOT NULL)",
    "fields": "CREATE TABLE fields(field INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "attributes": (
        "CREATE TABLE attributes(field INTEGER, value BLOB, first INTEGER, last INTEGER NOT NULL, "
        "PRIMARY KEY(field, value, first)) WITHOUT ROWID"
    ),
}
KEYWORD_TABLE = (
    "CREATE VIRTUAL TABLE keywords USING fts5(text, content='', detail=none, columnsize=0, tokenize='ascii')"
)
# What FTS5 makes for that table, in these words since it exists; and SQLite for columns that are UNIQUE.
_SHADOW_TABLES = {
    "keywords_data": "CREATE TABLE 'keywords_data'(id INTEGER PRIMARY KEY, block BLOB)",
    "keywords_idx": "CREATE TABLE 'keywords_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID",
    "keywords_config": "CREATE TABLE 'keywords_config'(k PRIMARY KEY, v) WITHOUT ROWID",
}
_Row = tuple[str, str, str, str | None]  # of sqlite_master: type, name, table, statement
_ROWS: tuple[_Row, ...] = (
    *(("table", name, name, sql) for name, sql in _TABLES.items()),
    *(("index", f"sqlite_autoindex_{name}_1", name, None) for name in ("arrays", "fields")),
)
_KEYWORD_ROWS: tuple[_Row, ...] = (
    *(("table", name, name, sql) for name, sql in _SHADOW_TABLES.items()),
    ("table", "keywords", "keywords", KEYWORD_TABLE),
)


def open_readonly(path: Path, *, keywords: bool) -> RestrictedConnection:
    """Open a finished side file that nothing will write to again; replacing it as a whole is fine.

    :raises IndexFormatError: it has not exactly the tables of ours.
    """
    with reading(path):
        connection = connect_readonly(path)
        try:
            if not _is_ours(connection, keywords=keywords):
                raise IndexFormatError(f"{path} has not the tables of a memvid index: {MEND}")
            if keywords:
                connection.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, keywords, row)")
            connection.execute("PRAGMA query_only=ON")
        except BaseException:
            connection.close()
            raise
        return connection


def _is_ours(connection: sqlite3.Connection, *, keywords: bool) -> bool:
    """Whether a file has the tables that a build made, word for word, and nothing else.

    Asked before any of them is used: under the name of a table there may be a view, which is a program.
    """
    identity = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    expected = sorted((*_ROWS, *_KEYWORD_ROWS) if keywords else _ROWS, key=repr)
    found = connection.execute(
        "SELECT type, name, tbl_name, sql, rootpage FROM sqlite_master LIMIT ?", (len(expected) + 1,)
    ).fetchall()
    roots = [row[-1] for row in found if row[1] != "keywords"]  # a virtual table has no pages of its own
    return (
        identity == [_APPLICATION_ID, _VERSION]
        and sorted((row[:-1] for row in found), key=repr) == expected
        and len(set(roots)) == len(roots)  # no b-tree is that of two tables
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into :class:`IndexFormatError`."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # what a damaged schema is said to be is not always UTF-8
        fault = path_fault(path)
        raise IndexFormatError(
            f"{path} cannot be read ({error}): {MEND}" if fault is None else f"{path} cannot be opened: {fault}"
        ) from error


def path_fault(file: Path) -> str | None:
    """Why SQLite opens no file of this name, wherever it is; ``None`` where the name is no reason."""
    nbytes = len(os.fsencode(file.absolute()))
    if os.name == "nt" or nbytes <= _LONGEST_PATH:
        return None
    return f"its path has {nbytes} bytes, of which SQLite takes {_LONGEST_PATH}: give it a place with a shorter one"
