"""Filters answered by a section of fields, compared with what each chunk's metadata says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid import _core
from memvid.errors import IndexFormatError
from memvid.index.arrays import IntArray
from memvid.index.field_terms import terms_of
from memvid.index.fields import Fields
from memvid.query import parse_filter
from tests.query.query_support import METADATA, WHERES, passes


def write_section(path: Path, metadatas: list[dict[str, Any]]) -> bytes:
    writer = _core.PostingsWriter()
    writer.add_terms([terms_of(metadata) for metadata in metadatas])
    path.write_bytes(b"")
    assert writer.finish(path, 0) == path.stat().st_size
    return path.read_bytes()


class Made:
    """A section of fields of some metadata; ``looked`` lists the rows of which the metadata were asked for."""

    def __init__(self, folder: Path, metadatas: list[dict[str, Any]]) -> None:
        self.looked: list[int] = []
        self.metadatas = metadatas
        self.path = folder / "fields"
        self.fields = Fields(self.path, write_section(self.path, metadatas), len(metadatas), self.metadata_of)

    def metadata_of(self, rows: IntArray) -> list[dict[str, Any]]:
        self.looked += rows.tolist()
        return [self.metadatas[row] for row in rows.tolist()]

    def rows(self, where: dict[str, Any]) -> list[int]:
        self.looked.clear()
        found: list[int] = np.flatnonzero(self.fields.mask(parse_filter(where))).tolist()
        return found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadatas=st.lists(METADATA, max_size=150), wheres=st.lists(WHERES, min_size=1, max_size=8))
def test_any_filter_finds_what_the_metadata_say(
    tmp_path: Path, metadatas: list[dict[str, Any]], wheres: list[dict[str, Any]]
) -> None:
    made = Made(tmp_path, metadatas)
    made.fields.check()
    for where in wheres:
        assert made.rows(where) == [row for row, each in enumerate(metadatas) if passes(where, each)]


def test_metadata_are_looked_at_where_values_do_not_say(tmp_path: Path) -> None:
    long = "https://example.org/" + "a" * 200
    metadatas = [{"url": long if n % 10 == 0 else f"u{n}", "n": n} for n in range(100)]
    metadatas[77] = {"list": [*range(5000)], "n": 77}
    made = Made(tmp_path, metadatas)
    assert made.rows({"url": long, "n": {"$gt": 50}}) == [60, 70, 80, 90]
    assert made.looked == [77]
    assert made.rows({"url": {"$prefix": "https"}, "n": {"$lte": 50}}) == [0, 10, 20, 30, 40, 50]
    assert made.looked == [0, 10, 20, 30, 40, 50, 77]  # of others it is known by their numbers
    assert made.rows({"list": 4999}) == [77]
    assert made.rows({"n": {"$gte": 98}}) == [98, 99]
    assert made.looked == [77]


def test_paths_are_listed(tmp_path: Path) -> None:
    made = Made(tmp_path, [{"a": {"b": 1}}, {"c": []}, {"x" * 60: 1}, {}])
    assert made.fields.paths() == {"a", "a.b", "c"}


def test_a_section_of_other_rows_is_refused(tmp_path: Path) -> None:
    made = Made(tmp_path, [{"a": 1}])
    for data, rows, message in (
        (made.path.read_bytes(), 2, "the fields of 1 chunks, not of 2"),
        (made.path.read_bytes()[:-1], 1, "cannot be used"),
        (b"", 0, "cannot be used"),
    ):
        with pytest.raises(IndexFormatError, match=message):
            Fields(made.path, data, rows, made.metadata_of)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=WHERES, flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_section_that_lies_leads_nowhere(tmp_path: Path, where: dict[str, Any], flips: list[tuple[int, int]]) -> None:
    metadatas = [{"a": n % 3, "b": f"s{n}", "c": {"b": [n, None]}, "a.b": n % 2 == 0} for n in range(300)]
    data = bytearray(write_section(tmp_path / "fields", metadatas))
    for at, change in flips:
        data[at % len(data)] ^= change
    try:
        fields = Fields(tmp_path, bytes(data), 300, lambda rows: [metadatas[row] for row in rows.tolist()])
        assert fields.mask(parse_filter(where)).shape == (300,)
    except IndexFormatError:
        pass
