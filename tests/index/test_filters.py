"""Filters that an index answers, compared with what each chunk's metadata says."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid import MemvidEncoder, MemvidRetriever
from memvid.config import Mode
from memvid.errors import QueryError
from memvid.index import IndexManager
from memvid.index.selection import Selection, SelectionCache
from memvid.page import metadata_json
from memvid.query import Kind, OneOf, Value, parse_filter, value_of
from memvid.types import Chunk
from tests.index.index_support import build as build_index
from tests.index.index_support import make_text, make_vectors
from tests.index.sqlite.old_index import age_index, age_memory
from tests.memory_support import build, open_memory
from tests.query.query_support import METADATA, WHERES, passes

VALUES: list[Any] = [
    None, True, False, 0, 1, -3, 2, 0.5, 1.0, 1e300, 10**30, 2**53 + 1, 1e-7, "", "a", "ab", "b", "\u00e9", "\uffff",
    "\U0001f600", "a" * 70, "a" * 70 + "b", ["a", 1, ["b"]], [], [{"b": 1}, {"b": "a", "c": [2]}], {"b": 1}, {},
    {"b": {"c": "ab"}, "a.b": 2}, '{"a":[', "[",
]  # fmt: skip


def make_metadata(seed: int, values: list[Any]) -> dict[str, Any]:
    rng = random.Random(seed)
    return {key: rng.choice(values) for key in ("a", "b", "a.b", "b.c", "c") if rng.random() < 0.6}


def make_memory(folder: Path, values: list[Any]) -> Path:
    """180 chunks in three segments; in each some are deleted, some have changed metadata, and some both."""
    texts = [f"chunk {n}" for n in range(180)]
    video = build(folder, texts[:100], metadatas=[make_metadata(n, values) or None for n in range(100)])
    for first in (100, 140):
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(
                texts[first : first + 40], metadatas=[make_metadata(n, values) for n in range(first, first + 40)]
            )
            memory.append()
    with MemvidEncoder.open(video) as memory:
        for chunk_id in range(5, 180, 7):
            memory.set_metadata(chunk_id, make_metadata(1000 + chunk_id, values))
        memory.append()
    with MemvidEncoder.open(video) as memory:
        memory.delete(range(3, 180, 9))
        memory.append()
    return video


@pytest.fixture(scope="module", params=["all kinds", "scalars", "all kinds in an old index"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemvidRetriever]:
    values = [value for value in VALUES if value_of(value)] if request.param == "scalars" else VALUES
    video = make_memory(tmp_path_factory.mktemp("filters"), values)
    if "old" in request.param:
        age_memory(video)
    with open_memory(video) as memory:
        yield memory


@pytest.fixture(params=["new", "old"])
def make_index(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[list[Any]], IndexManager]:
    """Makes an index of chunks with these metadata."""

    def make(metadatas: list[Any]) -> IndexManager:
        index_file = build_index(tmp_path, len(metadatas), metadatas=metadatas)
        if request.param == "old":
            age_index(index_file, {number: (make_text(number), each) for number, each in enumerate(metadatas)})
        index = IndexManager.open(index_file)
        index.read_metadata_by(lambda ids: [metadatas[number] or {} for number in ids.tolist()])
        return index

    return make


@lru_cache(4)
def chunks_of(memory: MemvidRetriever) -> tuple[Chunk, ...]:
    return tuple(memory.scan())


@settings(max_examples=200, deadline=None)
@given(where=WHERES)
def test_any_filter_finds_what_the_metadata_say(opened: MemvidRetriever, where: dict[str, Any]) -> None:
    expected = [chunk.chunk_id for chunk in chunks_of(opened) if passes(where, chunk.metadata)]
    assert opened._index.ids_where(where).tolist() == expected
    for mode in get_args(Mode):  # every chunk has the word
        found = opened.search_results("chunk", 3, mode=mode, where=where)
        assert len(found) == min(3, len(expected))
        assert {result.chunk_id for result in found} <= set(expected)


@pytest.mark.parametrize(
    "where", [{"a": {"$gt": 0}}, {"b.c": {"$exists": True}}, {"$not": {"b": "a"}}, {"a": "nothing"}]
)
def test_everybody_goes_by_the_same_filter(opened: MemvidRetriever, where: dict[str, Any]) -> None:
    chunks = [chunk for chunk in opened.scan() if passes(where, chunk.metadata)]
    assert list(opened.scan(where=where)) == chunks
    found = opened.search_results("chunk", 1000, where=where)
    assert sorted(result.chunk_id for result in found) == [chunk.chunk_id for chunk in chunks]
    with pytest.raises(QueryError):
        opened.scan(where={"a": {"$like": 1}})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadatas=st.lists(METADATA, min_size=1, max_size=8), wheres=st.lists(WHERES, min_size=1, max_size=8))
def test_any_metadata_is_found_by_any_filter(
    make_index: Callable[[list[Any]], IndexManager], metadatas: list[dict[str, Any]], wheres: list[dict[str, Any]]
) -> None:
    with make_index([metadata or None for metadata in metadatas]) as index:
        for where in wheres:
            expected = [n for n, metadata in enumerate(metadatas) if passes(where, metadata)]
            assert index.ids_where(where).tolist() == expected


def test_a_selection_is_kept_by_what_the_filter_means(tmp_path: Path) -> None:
    metadatas = [{"n": n % 2, "is": n % 2 == 1} for n in range(200)]
    with IndexManager.open(build_index(tmp_path, 200, metadatas=[*metadatas])) as index:
        records = index._records
        odd = records.select({"n": 1})
        assert records.select({"n": {"$in": [1.0]}}) is odd
        assert records.select({"n": True}).count == 0
        assert odd.count == 100
        assert odd.rows.tolist() == list(range(1, 200, 2))
        assert odd.mask.tolist() == [n % 2 == 1 for n in range(200)]
        assert [int(word) for word in odd.bits] == [0xAAAA_AAAA_AAAA_AAAA] * 3 + [0xAA]


def test_the_cache_of_selections_is_bounded() -> None:
    cache = SelectionCache(nbytes=1000)
    filters = [parse_filter({"n": n}) for n in range(20)]
    for where in filters:
        cache.put(where, Selection(np.arange(64) < 20))  # 8 + 160 bytes
    assert [cache.get(where) is not None for where in filters] == [False] * 15 + [True] * 5
    cache.get(filters[15])
    cache.put(filters[0], Selection(np.arange(64) < 20))
    assert cache.get(filters[15])
    assert cache.get(filters[16]) is None
    cache.put(filters[1], Selection(np.ones(640, bool)))
    assert cache.get(filters[1]) is None
    assert cache.get(filters[15])


def test_what_a_field_has_itself_and_what_a_filter_means(make_index: Callable[[list[Any]], IndexManager]) -> None:
    long = "k" * 2000
    metadatas: list[Any] = [
        {"k": "a"}, {"k": ["a"]}, {"k": {"x": "a"}}, {"k.x": "a"}, {"k": list(range(5000))}, {long: 1, "n": None},
        {"k": ["a"], "k.x": "a", "n": False},
    ]  # fmt: skip
    with make_index(metadatas) as index:
        assert index.ids_where({"k": "a"}).tolist() == [0, 1, 6]
        assert index.ids_having("k", ["a"]).tolist() == [0]
        assert index.ids_where({"k": 4999}).tolist() == [4]
        assert index.ids_having("k", [4999]).tolist() == []
        assert index.ids_having(long, [1, 2]).tolist() == [5]
        assert index.ids_having("n", [None]).tolist() == [5]
        assert index.ids_where({"k.x": "a"}).tolist() == [2, 3, 6]
        assert index.ids_having("k.x", ["a"]).tolist() == [3, 6]
        assert index.ids_having("k", [["a"], "b"]).tolist() == []


def test_near_misses_of_an_index(opened: MemvidRetriever) -> None:
    assert opened.near_misses({"a": 99, "b.c": {"$lt": 0}}) == {}
    assert opened.near_misses({"a": 99, "b,c": 1, "zzz": {"$exists": False}}) == {"b,c": ["b.c"], "zzz": []}


def test_metadata_of_other_json_is_looked_at_in_full(make_index: Callable[[list[Any]], IndexManager]) -> None:
    """What looks like a list in a string, and what an escape hides."""
    metadatas: list[Any] = [
        {"k": '"k":["a"]'}, {'"': ["a"]}, {"\\": {"\n": "a"}}, {"\u00e9": ["a"]}, {"": {"": ["a"]}}, {"a.b": [1]},
    ]  # fmt: skip
    assert '"k":[' not in metadata_json(metadatas[0])
    with make_index(metadatas) as index:
        for number, path in enumerate(["k", '"', "\\.\n", "\u00e9", ".", "a.b"]):
            assert index.ids_where({path: {"$exists": True}}).tolist() == [number]
        assert index.ids_where({"\ud800": {"$ne": 1}}).tolist() == [0, 1, 2, 3, 4, 5]
        assert index.ids_where({"k": {"$lt": "\ud800"}}).tolist() == [0]
        vectors = make_vectors(1)
        assert index.search(vectors, 9, where={"\u00e9": "a"})[0].tolist() == [[3] + [-1] * 5]


def test_long_values_are_looked_at_in_the_video(tmp_path: Path) -> None:
    values = ["a" * 200 + "b", "a" * 200, "a", "b" * 300]
    video = build(tmp_path, [f"chunk {n}" for n in range(4)], metadatas=[{"v": value} for value in values])
    for where in ({"v": {"$contains": "b"}}, {"v": {"$prefix": "a" * 130}}, {"v": {"$gt": "aa"}}, {"v": values[1]}):
        expected = [n for n in range(4) if passes(where, {"v": values[n]})]
        with open_memory(video) as memory:
            assert sorted(each.chunk_id for each in memory.search_results("chunk", 4, where=where)) == expected
        with MemvidEncoder.open(video) as encoder:
            assert encoder.delete_where(where) == len(expected)
    with IndexManager.open(video.with_name("memory_index.json")) as index:
        assert index.ids_where({"v": {"$in": values[:2]}}).tolist() == [0, 1]
        with pytest.raises(QueryError, match="MemvidRetriever"):
            index.ids_where({"v": {"$contains": "b"}})


def test_one_filter_for_everybody() -> None:
    assert parse_filter({"a": [1, True]}) == OneOf("a", frozenset([Value(Kind.BOOLEAN, True), Value(Kind.NUMBER, 1)]))
