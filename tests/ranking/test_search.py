"""Searches by meaning, by words and by both, and the options that all of them take."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvid import MemvidRetriever, SearchResult
from memvid.config import RetrieverConfig
from memvid.errors import ConfigError, QueryError, RerankError
from memvid.ranking import pool
from tests.memory_support import EMBEDDER, WORDS, build, make_texts, open_memory

TICKETS = [f"Ticket TK-{10_000 + 37 * n}: the {WORDS[n % 30]} of the {WORDS[n * 7 % 30]} broke." for n in range(200)]
PLAIN = make_texts(200)
TEXTS = TICKETS + PLAIN
METADATAS: list[Any] = [{"half": n // 200, "third": n % 3} for n in range(400)]
MODES: Any = ("hybrid", "semantic", "keyword")
QUERIES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build(tmp_path_factory.mktemp("ranking"), TEXTS, metadatas=METADATAS)


@pytest.fixture(scope="module")
def shared(video: Path) -> Iterator[MemvidRetriever]:
    with open_memory(video) as memory:
        yield memory


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    texts = ["the violin"] * 120 + make_texts(40) + ["the violin"] * 3 + ["violin the"]
    return build(tmp_path_factory.mktemp("copies"), texts, metadatas=[{"even": n % 2 == 0} for n in range(len(texts))])


def ids(results: list[SearchResult]) -> list[int]:
    return [result.chunk_id for result in results]


class TestModes:
    def test_a_number_is_found_by_its_words(self, shared: MemvidRetriever) -> None:
        for n in range(0, 200, 17):
            for query in (f"TK-{10_000 + 37 * n}", f"what became of tk-{10_000 + 37 * n}?"):
                assert shared.search(query, 1) == shared.search(query, 1, mode="keyword") == [TEXTS[n]]

    def test_a_number_that_many_have_comes_before_what_is_only_like_it(self, tmp_path: Path) -> None:
        texts = [f"The printer of customer KD-{4700 + n % 8} {WORDS[n % 30]} again." for n in range(240)]
        with open_memory(build(tmp_path, texts)) as memory:
            for query in ("KD-4703", "kd4703", "which printer of customer KD-4703 was it again?"):
                assert all("KD-4703" in text for text in memory.search(query, 10)), query
            unknown = memory.search_results("KD-9999", 3, explain=True)
            assert all(hit.relevance == pytest.approx(hit.score, abs=0.05) for hit in unknown)

    def test_hybrid_is_the_default(self, shared: MemvidRetriever) -> None:
        assert shared.search_results("violin 7") == shared.search_results("violin 7", mode="hybrid")
        assert shared.search("violin 7") != shared.search("violin 7", mode="semantic")

    @given(QUERIES)
    @settings(max_examples=25)
    def test_scores_say_what_they_are(self, shared: MemvidRetriever, query: str) -> None:
        answers = {mode: shared.search_results(query, 400, mode=mode) for mode in MODES}
        vector = EMBEDDER.encode([query])[0]
        for mode, results in answers.items():
            relevance = [result.relevance for result in results]
            assert relevance == sorted(relevance, reverse=True)
            exact = EMBEDDER.encode([result.text for result in results]) @ vector
            expected = np.zeros(len(results)) if mode == "keyword" else exact
            assert [result.score for result in results] == pytest.approx(expected.tolist(), abs=0.01)
        words = {result.chunk_id: result.keyword_score for result in answers["keyword"]}
        assert all(result.relevance == result.score for result in answers["semantic"])
        assert all(result.keyword_score == 0 for result in answers["semantic"])
        assert [r.keyword_score for r in answers["hybrid"]] == [words.get(r.chunk_id, 0) for r in answers["hybrid"]]
        assert {r.chunk_id: r.score for r in answers["hybrid"]} == {r.chunk_id: r.score for r in answers["semantic"]}

    @given(QUERIES, st.integers(1, 60))
    @settings(max_examples=25)
    def test_fewer_are_the_first_of_more(self, shared: MemvidRetriever, query: str, top_k: int) -> None:
        for mode in ("semantic", "keyword"):
            more = shared.search_results(query, 90, mode=mode)
            assert ids(shared.search_results(query, top_k, mode=mode)) == ids(more)[:top_k]

    def test_by_words_finds_only_what_has_one(self, shared: MemvidRetriever) -> None:
        assert shared.search("nothing of that", mode="keyword") == []
        found = shared.search_results("violin", 400, mode="keyword")
        assert sorted(ids(found)) == [n for n, text in enumerate(TEXTS) if "violin" in text]

    def test_by_words_needs_no_embedder(self, video: Path) -> None:
        def refuse(texts: Any) -> Any:
            raise AssertionError(texts)

        class Refusing:
            name, dim, encode = EMBEDDER.name, EMBEDDER.dim, staticmethod(refuse)

        with MemvidRetriever(video, embedder=Refusing()) as memory:
            assert memory.search("TK-10037", 1, mode="keyword") == [TEXTS[1]]
            assert memory.stats.embed_seconds == 0

    def test_an_index_without_words(self, tmp_path: Path) -> None:
        with open_memory(build(tmp_path, TEXTS[:50], keywords=False)) as memory:
            hybrid = memory.search_results("violin", explain=True)
            assert ids(hybrid) == ids(memory.search_results("violin", mode="semantic"))
            assert "the index has no words" in str(hybrid[0].explanation)
            with pytest.raises(QueryError, match="keywords=True"):
                memory.search("violin", mode="keyword")
            assert memory.search(f'"{TEXTS[7][:20]}" the', 1) == [TEXTS[7]]  # by reading all of them

    @pytest.mark.parametrize("mode", MODES)
    def test_filters_go_before(self, shared: MemvidRetriever, mode: Any) -> None:
        for where in ({"half": 1}, {"third": 2, "half": 0}, {"half": 0, "third": [0, 1]}):
            results = shared.search_results("violin ticket", 30, mode=mode, where=where)
            assert len(results) == 30
            assert all(
                where.items() >= {**r.metadata, **where}.items() or where["half"] == r.metadata["half"] for r in results
            )
            assert {r.metadata["half"] for r in results} == {where["half"]}

    def test_deleted_chunks_are_found_by_no_mode(self, tmp_path: Path) -> None:
        from memvid.maintenance import delete

        video = build(tmp_path, TEXTS[:60])
        delete(video, chunk_ids=[5])
        with open_memory(video) as memory:
            for mode in MODES:
                assert 5 not in ids(memory.search_results(TEXTS[5], 60, mode=mode))


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"mode": "hybird"}, "did you mean 'hybrid'"),
            ({"mode": None}, "expected one of 'hybrid', 'semantic', 'keyword'"),
            ({"min_score": 2}, "min_score=2"),
            ({"min_score": "0.5"}, "min_score='0.5'"),
            ({"min_score": 0.5, "mode": "keyword"}, "none with mode='keyword'"),
            ({"diversity": -0.1}, "diversity=-0.1"),
            ({"diversity": float("nan")}, "diversity=nan"),
            ({"distinct": 1}, "distinct=1"),
            ({"explain": "yes"}, "explain='yes'"),
            ({"rerank": "peices"}, "did you mean 'pieces'"),
            ({"rerank": 5}, "rerank=5"),
            ({"rerank": "/no/such/folder"}, "folder, or a function"),
            ({"rerank": "pieces", "mode": "keyword"}, "none with mode='keyword'"),
            ({"min_scores": 0.5}, "did you mean 'min_score'"),
            ({"topk": 3}, "did you mean 'top_k'"),
        ],
    )
    def test_those_that_cannot_be(self, shared: MemvidRetriever, options: Any, message: str) -> None:
        async def wait(answer: Any) -> Any:
            return await answer

        for ask in (
            lambda: shared.search("violin", **options),
            lambda: shared.search_results("violin", **options),
            lambda: shared.search_many([], **options),
            lambda: asyncio.run(wait(shared.asearch("violin", **options))),
            lambda: asyncio.run(wait(shared.asearch_many(["violin"], **options))),
        ):
            with pytest.raises(QueryError, match=message):
                ask()

    def test_defaults_of_a_retriever(self, video: Path) -> None:
        with open_memory(video, mode="keyword", distinct=False) as memory:
            assert memory.search("nothing") == []
            assert len(memory.search("nothing", mode="semantic")) == 5
            assert pickle.loads(pickle.dumps(memory)).config == memory.config
        with pytest.raises(ConfigError, match="did you mean 'semantic'"):
            RetrieverConfig(mode="semantics")  # type: ignore[arg-type]
        with open_memory(video, min_score=0.9) as memory:
            assert memory.search("violin") == []
            assert memory.search("violin", mode="keyword")  # the default is a cosine

    def test_min_score_is_a_cosine(self, shared: MemvidRetriever) -> None:
        for mode in ("hybrid", "semantic"):
            everything = shared.search_results("violin glacier", 400, mode=mode)
            for least in (0.0, 0.2, 0.5):
                kept = shared.search_results("violin glacier", 400, mode=mode, min_score=least)
                assert ids(kept) == [r.chunk_id for r in everything if r.score >= least]

    def test_twins(self, shared: MemvidRetriever) -> None:
        chosen: list[Any] = [{"mode": "keyword"}, {"diversity": 0.5}, {"where": {"half": 1}, "mode": "semantic"}, {}]

        async def ask() -> None:
            for options in chosen:
                expected = shared.search_results("violin harvest", **options)
                assert await shared.asearch_results("violin harvest", **options) == expected
                assert await shared.asearch_many(["violin harvest"] * 2, **options) == [expected] * 2

        asyncio.run(ask())

    def test_waiting_searches_with_other_options_are_not_mixed(self, shared: MemvidRetriever) -> None:
        async def ask() -> list[list[SearchResult]]:
            asked = (shared.asearch_results("violin 7", mode=MODES[n % 3]) for n in range(30))
            return await asyncio.gather(*asked)

        expected = [shared.search_results("violin 7", mode=mode) for mode in MODES]
        assert asyncio.run(ask()) == expected * 10

    @given(st.lists(QUERIES, max_size=5), st.sampled_from(MODES), st.sampled_from([0, 0.4]), st.integers(1, 9))
    @settings(max_examples=20)
    def test_many_at_once_are_as_one_by_one(
        self, shared: MemvidRetriever, queries: list[str], mode: Any, diversity: float, top_k: int
    ) -> None:
        at_once = shared.search_many(queries, top_k, mode=mode, diversity=diversity)
        alone = [shared.search_results(query, top_k, mode=mode, diversity=diversity) for query in queries]
        assert at_once == alone


class TestCopies:
    def test_copies_take_one_place(self, copies: Path) -> None:
        with open_memory(copies) as memory:
            for mode in MODES:
                first, *others = memory.search_results("the violin", 10, mode=mode)
                assert first.chunk_id == 0
                assert first.duplicates == (*range(1, 120), 160, 161, 162)
                assert len(others) == 9 or mode == "keyword"
                texts = [first.text, *(other.text for other in others)]
                assert len(set(texts)) == len(texts)
                assert "violin the" in texts  # of the same words, so of the same vector, but another text

    def test_all_of_them_without_distinct(self, copies: Path) -> None:
        with open_memory(copies) as memory:
            results = memory.search_results("the violin", 50, distinct=False)
            assert ids(results) == list(range(50))
            assert all(result.duplicates == () for result in results)

    def test_a_copy_that_passes_the_filter_is_found(self, copies: Path) -> None:
        with open_memory(copies) as memory:
            first = memory.search_results("the violin", 1, where={"even": False})[0]
            assert first.chunk_id == 1
            assert all(chunk_id % 2 for chunk_id in first.duplicates)

    def test_what_is_looked_at_has_an_end(self, copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool, "_MOST_CANDIDATES", 60)
        with open_memory(copies) as memory:
            results = memory.search_results("the violin", 10, mode="semantic")
            assert ids(results) == [0]
            assert results[0].duplicates == tuple(range(1, 60))


class TestPhrases:
    def test_only_what_has_the_words_as_they_are(self, tmp_path: Path) -> None:
        texts = [f"apple red {n}" for n in range(300)] + ["a Red  Apple, 7", "red apple"]
        with open_memory(build(tmp_path, texts)) as memory:
            for mode in MODES:
                assert sorted(memory.search('"red apple"', 5, mode=mode)) == ["a Red  Apple, 7", "red apple"]
                assert memory.search('seven: "red apple, 7"', 5, mode=mode) == ["a Red  Apple, 7"]
                assert memory.search('"red apples"', 5, mode=mode) == []
            at_once = memory.search_many(['"red apple"', "apple", '"apple red 7"'], 3)
            assert at_once == [memory.search_results(query, 3) for query in ('"red apple"', "apple", '"apple red 7"')]

    def test_as_many_as_are_wanted(self, shared: MemvidRetriever) -> None:
        having = [n for n, text in enumerate(TEXTS) if "of the" in text]
        assert len(having) > 100
        assert set(ids(shared.search_results('violin "of the"', 100))) <= set(having)
        assert len(shared.search_results('violin "of the"', 100)) == 100
        found = shared.search_results('"of the" violin', 400, where={"third": 1})
        assert sorted(ids(found)) == [n for n in having if n % 3 == 1]


class TestRerank:
    def test_by_a_function(self, shared: MemvidRetriever) -> None:
        def length(query: str, texts: list[str]) -> list[int]:
            assert query == "violin"
            return [len(text) for text in texts]

        before = shared.search_results("violin", 50)
        results = shared.search_results("violin", 5, rerank=length, explain=True)
        longest = sorted(before, key=lambda result: (-len(result.text), result.chunk_id))[:5]
        assert ids(results) == ids(longest)
        assert [result.relevance for result in results] == [len(result.text) for result in results]
        assert [result.score for result in results] == [result.score for result in longest]
        assert "before it was reranked" in str(results[0].explanation)

    @pytest.mark.parametrize(
        "rerank",
        [
            lambda query, texts: [1.0],
            lambda query, texts: [float("nan")] * len(texts),
            lambda query, texts: None,
            lambda query, texts: 1 / 0,
            lambda query: [],
        ],
    )
    def test_a_function_that_fails(self, shared: MemvidRetriever, rerank: Any) -> None:
        with pytest.raises(RerankError, match="rerank"):
            shared.search("violin", rerank=rerank)

    def test_nothing_is_not_reranked(self, shared: MemvidRetriever) -> None:
        assert shared.search("violin", where={"no such field": 1}, rerank=lambda query, texts: 1 / 0) == []

    def test_by_pieces(self, tmp_path: Path) -> None:
        filler = " ".join(make_texts(1, words=60, seed=5))
        texts = [
            f"{filler} {filler} The zebra sleeps. {filler}",
            "A zebra of some other kind and colour.",
            *make_texts(30),
        ]
        with open_memory(build(tmp_path, texts)) as memory:
            plain = memory.search_results("zebra sleeps", 10, mode="semantic")
            results = memory.search_results("zebra sleeps", 10, mode="semantic", rerank="pieces", explain=True)
            assert sorted(ids(results)) == sorted(ids(plain))
            for result in results:
                assert result.score == next(r.score for r in plain if r.chunk_id == result.chunk_id)
                assert "its best piece" in str(result.explanation)
            gained = {r.chunk_id: r.relevance - r.score for r in results}
            assert gained[0] > gained[1] == pytest.approx(0, abs=0.01)

    def test_with_diversity_the_best_stays_first(self, shared: MemvidRetriever) -> None:
        results = shared.search_results(
            "violin", 10, rerank=lambda query, texts: list(range(len(texts))), diversity=0.7
        )
        assert results[0].relevance == 49
        assert len(results) == 10


class TestExplain:
    def test_nobody_asked(self, shared: MemvidRetriever) -> None:
        assert shared.search_results("violin", 1)[0].explanation is None

    def test_what_it_says(self, shared: MemvidRetriever) -> None:
        explained = {mode: shared.search_results("TK-10037", 2, mode=mode, explain=True) for mode in MODES}
        first = str(explained["hybrid"][0].explanation)
        assert "* cosine" in first
        assert "* words" in first
        assert "1st by words (tk, 10037, tk10037)" in first
        assert "2nd by words (tk)" in str(explained["hybrid"][1].explanation)
        assert "by words" not in str(explained["semantic"][0].explanation)
        assert "1st by meaning" in str(explained["semantic"][0].explanation)
        assert "by meaning" not in str(explained["keyword"][0].explanation)
        assert 'has "the violin"' in str(shared.search_results('"the violin"', 1, explain=True)[0].explanation)

    def test_a_field_that_no_chunk_has_is_named(self, shared: MemvidRetriever) -> None:
        where = {"hafl": {"$ne": 1}}
        explained = shared.search_results("violin", 2, where=where, explain=True)
        assert len(explained) == 2
        for result in explained:
            assert "no chunk has the metadata field 'hafl': did you mean 'half'?" in str(result.explanation)
        assert "no chunk has" not in str(shared.search_results("violin", 1, where={"half": 1}, explain=True)[0])
