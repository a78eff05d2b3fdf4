"""What filters mean, by examples and against a plain evaluation of what was written."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from memvid.errors import QueryError
from memvid.query import near_misses, near_misses_text, parse_filter, paths_of
from tests.query.query_support import METADATA, WHERES, passes

PAPER = {
    "title": "On columns",
    "page": 3,
    "score": 2.5,
    "draft": False,
    "editor": None,
    "tags": ["index", "sorted", 7, ["deep"]],
    "author": {"name": "Ada", "born": 1815, "homes": [{"city": "London"}, {"city": "Paris"}]},
    "file.name": "a.pdf",
    "file": {"size": 12, "name": "b.pdf"},
    "date": "2026-11-27",
    "nothing": [],
}


@pytest.mark.parametrize(
    "where",
    [
        {"page": 3},
        {"page": 3.0},
        {"page": [1, 3]},
        {"page": (1, 3)},
        {"page": {"$eq": np.int64(3)}},
        {"page": {"$gte": 3, "$lt": 4}},
        {"page": {"$ne": 4}},
        {"page": {"$nin": [1, 2]}},
        {"page": {"$nin": []}},
        {"page": {"$not": {"$gt": 3}}},
        {"page": {"$not": 4}},
        {"page": {"$or": [{"$lt": 1}, {"$gt": 2}]}},
        {"page": {"$and": [{"$gt": 1}, [2, 3]]}},
        {"score": {"$gt": 2}},
        {"draft": False},
        {"draft": {"$lt": True}},
        {"editor": None},
        {"editor": {"$exists": True}},
        {"editor": {"$gte": None}},
        {"tags": "sorted"},
        {"tags": 7},
        {"tags": "deep"},
        {"tags": {"$prefix": "ind"}},
        {"tags": {"$contains": "dex"}},
        {"tags": {"$contains": 7}},
        {"tags": {"$gt": 6, "$lt": "j"}},  # one member each
        {"author": {"$exists": True}},
        {"author.name": "Ada"},
        {"author.born": {"$lt": 1900}},
        {"author.homes.city": "Paris"},
        {"file.name": "a.pdf"},
        {"file.name": "b.pdf"},
        {"file.size": 12},
        {"nothing": {"$exists": True}},
        {"date": {"$gte": "2026-01-01", "$lt": datetime.date(2027, 1, 1)}},
        {"title": {"$prefix": "On "}},
        {"title": {"$prefix": ""}},
        {"title": {"$gt": "ON"}},
        {"missing": {"$ne": 1}},
        {"missing": {"$exists": False}},
        {"$or": [{"page": 9}, {"$and": [{"page": 3}, {"title": {"$contains": "col"}}]}]},
        {"$not": {"page": 9}},
        {"$not": {"$not": {"page": 3}}},
    ],
)
def test_passes(where: dict[str, Any]) -> None:
    assert parse_filter(where).matches(PAPER)
    assert not parse_filter({"$not": where}).matches(PAPER)


@pytest.mark.parametrize(
    "where",
    [
        {"page": "3"},
        {"page": True},
        {"page": {"$gt": "1"}},  # of another kind
        {"page": {"$gt": 1}, "score": 1},
        {"page": {"$in": []}},
        {"draft": 0},
        {"draft": None},
        {"editor": {"$gt": None}},
        {"editor": {"$lt": 1}},
        {"title": {"$contains": "COL"}},
        {"title": {"$gt": 1}},
        {"author": "Ada"},
        {"author.homes": "London"},
        {"author.name.x": {"$exists": True}},
        {"nothing": {"$ne": 1, "$exists": False}},
        {"missing": None},
        {"missing": {"$lt": 1}},
        {"tags": {"$nin": ["index"]}},
        {"tags": {"$exists": False}},
    ],
)
def test_does_not_pass(where: dict[str, Any]) -> None:
    assert not parse_filter(where).matches(PAPER)
    assert parse_filter({"$not": where}).matches(PAPER)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "expected a dict like"),
        ([], "expected a dict like"),
        ({1: 2}, "has the key 1"),
        ({"$adn": []}, "did you mean '.and'"),
        ({"$gt": 3}, "stands at a field, as in"),
        ({"page": {}}, "or operators like"),
        ({"page": {"$gtr": 3}}, "did you mean '.gt"),
        ({"page": {"gte": 3}}, "did you mean '.gte'"),
        ({"page": {"$regex": "x"}}, "there is no operator '.regex'"),
        ({"page": {1: 3}}, "there is no operator 1"),
        ({"author": {"name": "Ada"}}, "the key of an object is 'author.name'"),
        ({"page": []}, "the list is empty"),
        ({"page": [[1]]}, "expected a string"),
        ({"page": b"1"}, "expected a string"),
        ({"page": float("nan")}, "a finite number"),
        ({"page": {"$gt": [1]}}, "expected a string"),
        ({"page": {"$in": 1}}, "expected a list"),
        ({"page": {"$in": "abc"}}, "expected a list"),
        ({"page": {"$in": [{}]}}, "expected a string"),
        ({"page": {"$exists": 1}}, "expected True or False"),
        ({"page": {"$prefix": 1}}, "expected a string"),
        ({"page": {"$contains": [1]}}, "expected a string"),
        ({"$and": []}, "at least one filter"),
        ({"$or": {"page": 1}}, "at least one filter"),
        ({"$or": [{"page": 1}, {}]}, r"where\['\$or'\]\[1\]=\{\}: expected a dict"),
        ({"$not": [1]}, "expected a dict"),
        ({".".join("x" * 40): 1}, "at most 32 parts"),
    ],
)
def test_is_refused(where: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_filter(where)


def test_nesting_is_bounded() -> None:
    where: dict[str, Any] = {"page": 1}
    for _ in range(40):
        where = {"$not": where}
    assert parse_filter(where).matches({"page": 1})
    for _ in range(100_000):
        where = {"$and": [where]}
    with pytest.raises(QueryError, match="nested more than"):
        parse_filter(where)
    within: dict[str, Any] = {"$eq": 1}
    within["$not"] = within
    with pytest.raises(QueryError, match="nested more than"):
        parse_filter({"page": within})


def test_metadata_may_be_nested_deeper_than_the_stack() -> None:
    value: Any = "end"
    for _ in range(50_000):
        value = [value]
    assert parse_filter({"a": "end"}).matches({"a": value})
    assert paths_of({"a": value, "b": {"c": [{"d": 1}]}}) == {"a", "b", "b.c", "b.c.d"}


def test_filters_of_one_meaning_are_equal_and_others_are_not() -> None:
    kept = {parse_filter({"a": value}): value for value in (1, True, "1", None)}
    assert len(kept) == 4
    assert kept[parse_filter({"a": {"$eq": 1.0}})] == 1
    assert parse_filter({"a": [1, 2]}) == parse_filter({"a": {"$in": {2, 1}}})
    again = parse_filter({"a": 1, "b.c": {"$not": {"$exists": True}}})
    assert parse_filter(again) is again
    assert again.paths == {"a", "b.c"}


@settings(max_examples=500, deadline=None)
@given(where=WHERES, metadata=METADATA)
def test_any_filter_means_what_is_written(where: dict[str, Any], metadata: dict[str, Any]) -> None:
    assert parse_filter(where).matches(metadata) == passes(where, metadata)


def test_near_misses() -> None:
    found = near_misses(["pgae", "xyz"], {"page", "source", "paged"})
    assert found == {"pgae": ["page", "paged"], "xyz": []}
    assert near_misses_text(found) == (
        "no chunk has the metadata field 'pgae': did you mean 'page' or 'paged'?; no chunk has the metadata field 'xyz'"
    )
    assert near_misses_text({}) == ""
