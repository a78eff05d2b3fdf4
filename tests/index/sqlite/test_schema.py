"""A side file is refused before any of its tables is used, unless it has exactly ours; and what they hold may lie."""

from __future__ import annotations

import gc
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid.errors import IndexFileError, IndexFormatError, QueryError
from memvid.index import IndexManager
from memvid.index.sqlite import SqliteRecords, schema
from memvid.index.sqlite.restricted import RestrictedConnection, connect_readonly
from memvid.types import JsonObject
from tests.hostile.hostile_support import forge_index
from tests.index.index_support import make_vectors
from tests.index.sqlite.old_index import build_old

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n) SELECT i AS id, randomblob(900) AS block FROM n"


@pytest.fixture
def index_file(tmp_path: Path) -> Path:
    return build_old(tmp_path, 120)


def metadata_of(index: IndexManager, ids: list[int]) -> list[JsonObject]:
    (part,) = index._records.parts
    assert isinstance(part, SqliteRecords)
    return part.metadata(np.array(ids))


@pytest.fixture(params=[False, True], ids=["as on 3.10", "here"])
def _python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old Pythons can neither set limits nor make SQLite defensive: the tables are all that is to be checked there."""
    if not request.param:
        monkeypatch.setattr(RestrictedConnection, "_set_limits", lambda self, nbytes: None)


def craft(index_file: Path, *statements: str) -> None:
    """Carry statements out on the SQLite file as one who may change its schema, and make the digests fit."""
    with closing(sqlite3.connect(index_file.with_name("memory_index.sqlite"), isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        for statement in statements:
            connection.execute(statement)
    forge_index(index_file)


def gone(name: str) -> str:
    return f"DELETE FROM sqlite_master WHERE name = '{name}'"


def row(kind: str, name: str, table: str, root: object, sql: str | None) -> str:
    text = "NULL" if sql is None else "'" + sql.replace("'", "''") + "'"
    return f"INSERT INTO sqlite_master VALUES ('{kind}', '{name}', '{table}', {root}, {text})"


def changed(name: str, column: str, value: str) -> str:
    return f"UPDATE sqlite_master SET {column} = {value} WHERE name = '{name}'"


def view(name: str, select: str) -> tuple[str, str]:
    return gone(name), row("view", name, name, 0, f"CREATE VIEW {name} AS {select}")


SCHEMAS: dict[str, tuple[str, ...]] = {
    "a view for the pages of words": view("keywords_data", ENDLESS),
    "a view for the words": view("keywords_idx", "SELECT 1 AS segid, 'a' AS term, 1 AS pgno"),
    "a view for the settings": view("keywords_config", "SELECT 'version' AS k, 4 AS v"),
    "a view for the metadata": view("metadata", "SELECT 1 AS id, 'x' AS json"),
    "a view for the arrays": view("arrays", "SELECT name, zeroblob(1 << 30) AS data FROM fields"),
    "a view in a table's clothes": (
        changed("keywords_data", "sql", f"'CREATE VIEW keywords_data AS {ENDLESS}'"),
    ),
    "a table that says it is a view": (changed("metadata", "type", "'view'"),),
    "a view more": ("CREATE VIEW more AS SELECT 1",),
    "a table more": ("CREATE TABLE more(a)",),
    "an index more": ("CREATE INDEX more ON metadata(json)",),
    "a trigger": ("CREATE TRIGGER more AFTER INSERT ON metadata BEGIN SELECT 1; END",),
    "a trigger in an index's clothes": (
        row("index", "sqlite_autoindex_x", "fields", 0, "CREATE TRIGGER x BEFORE DELETE ON fields BEGIN SELECT 1; END"),
    ),
    "statistics": ("ANALYZE",),
    "words of words": ("CREATE VIRTUAL TABLE more USING fts5vocab(keywords, row)",),
    "other words": ("CREATE VIRTUAL TABLE more USING fts5(a)",),
    "a tree": ("CREATE VIRTUAL TABLE more USING rtree(a, b, c)",),
    "words with a content table": (
        changed("keywords", "sql", "replace(sql, 'content=''''', 'content=''metadata''')"),
    ),
    "words by another module": (changed("keywords", "sql", "'CREATE VIRTUAL TABLE keywords USING fts4(text)'"),),
    "a shadow with a default": (changed("keywords_config", "sql", "replace(sql, 'v)', 'v DEFAULT (abs(1)))')"),),
    "a shadow with a column that is computed": (
        changed("keywords_data", "sql", "replace(sql, 'block BLOB', 'block BLOB AS (randomblob(id))')"),
    ),
    "a shadow that counts rows another way": (changed("keywords_idx", "sql", "replace(sql, ' WITHOUT ROWID', '')"),),
    "a column more": ("ALTER TABLE metadata ADD COLUMN a",),
    "a table less": ("DROP TABLE attributes",),
    "a shadow less": (gone("keywords_config"),),
    "an index less": (gone("sqlite_autoindex_fields_1"),),
    "a row twice": (row("table", "metadata", "metadata", 4, schema._TABLES["metadata"]),),
    "an index of another table": (changed("sqlite_autoindex_fields_1", "tbl_name", "'arrays'"),),
    "a statement that is no text": (changed("metadata", "sql", "x'ff'"),),
    "a statement that is no UTF-8": (changed("metadata", "sql", "cast(x'ff' AS TEXT)"),),
    "two tables in one tree": (changed("keywords_data", "rootpage", "4"),),
    "a table that is the schema": (changed("metadata", "rootpage", "1"),),
    "a table behind the file": (changed("metadata", "rootpage", "1 << 40"),),
    "no schema at all": ("DELETE FROM sqlite_master",),
    "another version": ("PRAGMA user_version = 9",),
    "another program's": ("PRAGMA application_id = 9",),
}  # fmt: skip


@pytest.mark.usefixtures("_python")
@pytest.mark.parametrize("statements", SCHEMAS.values(), ids=SCHEMAS)
def test_other_tables_than_ours_are_refused(index_file: Path, statements: tuple[str, ...]) -> None:
    craft(index_file, *statements)
    with pytest.raises(IndexFormatError, match=r"memory_index\.sqlite"), IndexManager.open(index_file) as index:
        metadata_of(index, [1])  # where a root page is wrong, the first question finds out


@pytest.mark.parametrize("keywords", [True, False])
def test_each_connection_has_the_tables_checked(tmp_path: Path, keywords: bool) -> None:
    index_file = build_old(tmp_path, 20, keywords=keywords)
    file = index_file.with_name("memory_index.sqlite")
    schema.open_readonly(file, keywords=keywords).close()
    with pytest.raises(IndexFormatError, match="has not the tables"):
        schema.open_readonly(file, keywords=not keywords)


@pytest.mark.usefixtures("_python")
def test_a_question_writes_nothing_anywhere(index_file: Path) -> None:
    with closing(schema.open_readonly(index_file.with_name("memory_index.sqlite"), keywords=True)) as connection:
        pragmas = ("temp_store", "mmap_size", "cache_size", "trusted_schema", "cell_size_check", "query_only")
        values = {name: connection.execute(f"PRAGMA {name}").fetchone() for name in pragmas}
        assert [value for value in values.values() if value] == [(2,), (0,), (-2048,), (0,), (1,), (1,)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("CREATE TEMP TABLE more AS SELECT 1")


@pytest.mark.usefixtures("_python")
def test_an_endless_question_ends(index_file: Path) -> None:
    with closing(schema.open_readonly(index_file.with_name("memory_index.sqlite"), keywords=True)) as connection:
        connection.begin_question()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(f"SELECT count(*) FROM ({ENDLESS.replace('randomblob(900)', '1')})")


ARRAYS = [
    "DELETE FROM arrays WHERE name = 'run_starts'",
    "UPDATE arrays SET data = x'01' WHERE name = 'run_starts'",
    "UPDATE arrays SET data = x'0100000000000080' WHERE name = 'run_starts'",
    "UPDATE arrays SET data = x'' WHERE name = 'page_frames'",
    "UPDATE arrays SET data = 7 WHERE name = 'length_codes'",
    "UPDATE arrays SET data = 7.5 WHERE name = 'length_codes'",
    "UPDATE arrays SET data = '7' WHERE name = 'length_codes'",
    "UPDATE arrays SET name = x'00' WHERE name = 'length_codes'",
    "UPDATE arrays SET name = cast(x'ff' AS TEXT) WHERE name = 'length_codes'",
]


@pytest.mark.parametrize("statement", ARRAYS)
def test_arrays_of_another_form_are_refused(index_file: Path, statement: str) -> None:
    craft(index_file, statement)
    with pytest.raises(IndexFormatError, match=r"memory_index\.sqlite"):
        IndexManager.open(index_file)


VALUES = ["NULL", "-1", "1 << 62", "0.5", "1e300", "''", "'7'", "x''", "x'ff'", "zeroblob(100000)"]
COLUMNS = [
    "attributes.value", "attributes.first", "attributes.last", "attributes.field", "fields.name", "fields.field",
    "metadata.json", "metadata.id", "arrays.name", "arrays.data", "keywords_data.id", "keywords_data.block",
    "keywords_idx.segid", "keywords_idx.term", "keywords_idx.pgno", "keywords_config.k", "keywords_config.v",
]  # fmt: skip


@pytest.mark.usefixtures("_python")
@pytest.mark.parametrize("column", COLUMNS)
def test_values_of_any_kind_in_any_column_give_answers_or_typed_errors(index_file: Path, column: str) -> None:
    table, name = column.split(".")
    file = index_file.with_name("memory_index.sqlite")
    statement = schema._TABLES.get(table, "").replace("'", "''")
    relaxed = (changed(table, "sql", f"'{statement.replace(' NOT NULL', '')}'"),) if statement else ()
    strict = (changed(table, "sql", f"'{statement}'"),) if statement else ()
    whole, stored = file.read_bytes(), 0
    for value in VALUES:
        for where in ("", f" WHERE {name} = (SELECT max({name}) FROM {table})"):
            file.write_bytes(whole)
            craft(index_file, *relaxed)
            with suppress(sqlite3.IntegrityError):  # a key, which is what it must be whatever the schema says
                craft(index_file, f"UPDATE OR REPLACE {table} SET {name} = {value}{where}")
                stored += 1
            craft(index_file, *strict)
            ask(index_file)
    assert stored > 4


def ask(index_file: Path) -> None:
    """Ask all that can be asked."""
    questions: list[Any] = [
        lambda index: index.ids_where({"page": [0, 1, 2, 3, 4, 5, 6]}),
        lambda index: index.search(make_vectors(1), 5, where={"even": True}),
        lambda index: metadata_of(index, list(range(120))),
        lambda index: index.keyword_search("apples plums word3", 5),
        lambda index: index.frames_of(list(range(120))),
        lambda index: index.length_codes(np.arange(120)),
    ]
    for question in questions:
        with suppress(IndexFileError, QueryError), IndexManager.open(index_file) as index:
            question(index)


def test_crafted_rows_are_refused(index_file: Path) -> None:
    craft(
        index_file,
        "UPDATE attributes SET last = 1 << 50",
        "UPDATE metadata SET json = '{'",
        "INSERT INTO keywords(rowid, text) VALUES (1 << 40, 'plums')",
    )
    with IndexManager.open(index_file) as index:
        for call in (
            lambda: index.ids_where({"page": [0, 1, 2, 3, 4, 5, 6]}),
            lambda: metadata_of(index, [1]),
            lambda: index.keyword_search("plums", 5),
        ):
            with pytest.raises(IndexFormatError, match=r"memory_index\.sqlite"):
                call()


@pytest.mark.parametrize(
    "json", ["null", "1", "[]", '"a"', "1e999", '{"a":1e999}', '{"a":"\\ud800"}', '{"a":NaN}', "{"]
)
def test_metadata_of_an_index_that_is_no_json_object_is_refused(index_file: Path, json: str) -> None:
    craft(index_file, f"UPDATE metadata SET json = '{json}'")
    with IndexManager.open(index_file) as index, pytest.raises(IndexFormatError, match="metadata"):
        metadata_of(index, [1])


def test_connections_end_without_a_word(tmp_path: Path) -> None:
    """One that was forgotten, and one that could not be opened; what a finalizer raises fails a test."""
    with pytest.raises(sqlite3.OperationalError):
        connect_readonly(tmp_path / "missing")
    sqlite3.connect(tmp_path / "empty").close()
    connection = connect_readonly(tmp_path / "empty")
    del connection
    gc.collect()
