"""Candidates of the core's one call, beside those of the same rule in Python, one step after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memvid import MemvidAppender, _core
from memvid.config import RetrieverConfig, SearchOptions, search_options
from memvid.errors import ClosedError
from memvid.index import IndexManager
from memvid.maintenance import delete
from memvid.ranking.candidates import Asked, Candidates, candidates_of
from memvid.ranking.fusion import fuse, words_share
from tests.memory_support import EMBEDDER, WORDS, build, make_texts

COPY = "the violin of the harvest"
QUERIES = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
    st.lists(st.sampled_from(WORDS), min_size=20, max_size=30).map(" ".join),  # not all of its words propose
    st.sampled_from(
        [
            '"the violin"',
            f'"{WORDS[0]}" {WORDS[1]}',
            "nothing of that",
            "...",
            COPY,
            "TK-10037 the",
            "KD-4703",
            "the violin KD-4703",
        ]
    ),
)
FILTERS: Any = st.sampled_from([None, {"third": 1}, {"third": {"$ne": 1}}, {"n": {"$lt": 40}}, {"none": 1}])
OPTIONS = st.fixed_dictionaries(
    {"mode": st.sampled_from(["hybrid", "hybrid", "semantic", "keyword"]), "where": FILTERS}
)


def append(video: Path, texts: list[str], start: int) -> None:
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(texts, metadatas=fields(texts, start))
        appender.append()


def fields(texts: list[str], start: int = 0) -> list[Any]:
    return [{"third": n % 3, "n": n} for n in range(start, start + len(texts))]


@pytest.fixture(scope="module", params=["fast", "small"])
def plain(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, session_cache: None
) -> Iterator[IndexManager]:
    """More chunks than are all compared with, and copies among them; fifty have one number, so that few stand out."""
    texts = make_texts(2400) + [COPY] * 300 + [f"Ticket TK-{10_000 + n}" for n in range(100)]
    texts += [f"{text} " * (n % 5 + 1) + "KD-4703" for n, text in enumerate(make_texts(50))]
    video = build(tmp_path_factory.mktemp("plain"), texts, metadatas=fields(texts), profile=request.param)
    with IndexManager.open(video.with_name("memory_index.json")) as index:
        yield index


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Iterator[IndexManager]:
    """Three segments, and deletions in each of them."""
    texts = make_texts(160)
    video = build(tmp_path_factory.mktemp("segments"), texts[:60], metadatas=fields(texts[:60]))
    append(video, texts[60:100] + [COPY] * 20, 60)
    append(video, texts[100:], 120)
    delete(video, chunk_ids=[*range(3, 170, 7), 101, 102])
    with IndexManager.open(video.with_name("memory_index.json")) as index:
        yield index


def asked_of(index: IndexManager, query: str, options: SearchOptions) -> Asked:
    vector = None if options.mode == "keyword" else EMBEDDER.encode([query])[0]
    return Asked(index, query, options, vector=vector)


def check_same(found: Candidates, expected: Candidates) -> None:
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.cosines.tolist() == expected.cosines.tolist()
    assert found.keyword.tolist() == expected.keyword.tolist()
    assert found.relevance == pytest.approx(expected.relevance, rel=1e-12)
    assert found.share == pytest.approx(expected.share, rel=1e-12)
    assert found.complete == expected.complete


@given(QUERIES, OPTIONS, st.sampled_from([1, 5, 50, 4000]), st.sampled_from([None, 0.3]))
@settings(max_examples=60)
def test_one_call_finds_what_the_steps_find(
    plain: IndexManager, segments: IndexManager, query: str, options: dict[str, Any], count: int, least: float | None
) -> None:
    if options["mode"] != "keyword":
        options = {**options, "min_score": least}
    chosen = search_options(RetrieverConfig(), options)
    for index in (plain, segments):
        asked = asked_of(index, query, chosen)
        assert asked.in_one_call()
        check_same(candidates_of([asked], count)[0], asked.one_by_one(count))


def test_the_best_by_words_sets_the_scale_also_below_the_least_score(plain: IndexManager) -> None:
    (vector,) = EMBEDDER.encode([f"{make_texts(8)[-1]} KD-4703"])  # another chunk is the best by words

    def asked(**options: Any) -> Asked:
        return Asked(plain, "KD-4703", search_options(RetrieverConfig(), options), vector=vector)

    everything = asked().one_by_one(50)
    best = everything.cosines[np.argmax(everything.keyword)]
    assert np.any((everything.cosines > best) & (everything.keyword > 0))
    some = asked(min_score=float(np.nextafter(best, 1)))
    assert some.least_share > 0
    check_same(candidates_of([some], 50)[0], some.one_by_one(50))


@given(st.lists(QUERIES.filter(lambda query: '"' not in query), min_size=1, max_size=6), OPTIONS)
@settings(max_examples=20)
def test_several_are_as_one_by_one(segments: IndexManager, queries: list[str], options: Any) -> None:
    chosen = search_options(RetrieverConfig(), options)
    asked = [asked_of(segments, query, chosen) for query in queries]
    for each, found in zip(asked, candidates_of(asked, 20), strict=True):
        check_same(found, each.one_by_one(20))


@given(
    st.lists(st.integers(0, 10**6), max_size=30),
    st.integers(1, 10**6),
    st.lists(st.floats(0, 60, width=32), max_size=20),
    st.lists(st.tuples(st.floats(-1, 1, width=32), st.floats(0, 60, width=32)), min_size=1, max_size=20),
)
def test_the_rule_is_the_same(
    frequencies: list[int], count: int, scores: list[float], pairs: list[tuple[float, float]]
) -> None:
    best: NDArray[np.float32] = np.sort(np.array(scores, np.float32))[::-1].copy()
    share = words_share(frequencies, count, best)
    assert _core.words_share(frequencies, count, best) == pytest.approx(share, rel=1e-12)
    cosines, keyword = (np.array(values, np.float32) for values in zip(*pairs, strict=True))
    relevance = fuse(cosines, keyword, share)
    highest = float(keyword.max())
    assert [_core.relevance(*pair, share, highest) for pair in pairs] == relevance.tolist()


def test_closed_indexes_and_other_vectors(tmp_path: Path) -> None:
    video = build(tmp_path, make_texts(20))
    with IndexManager.open(video.with_name("memory_index.json")) as index:
        assert len(index.candidates(EMBEDDER.encode(["violin"]), [["violin"]], 5)[0].ids) >= 5
        assert index.candidates(None, [[], ["nothing"]], 5)[1].ids.tolist() == []
    with pytest.raises(ClosedError):
        index.candidates(None, [["violin"]], 5)
