from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid.errors import QueryError
from memvid.index import IndexManager, keywords
from memvid.index.keywords import length_code, normalise, query_terms, search_terms
from memvid.index.selection import Selection
from tests.index.index_support import build, make_text, make_vectors

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    "The quick brown fox",
    "A steam turbine drives the generator; the turbine is old.",
    "naïve CAFÉ “quoted” — dashes",
    "東京は日本の首都です",
    "Straße and STRASSE",
    "x_y foo-bar foo.bar 3.14 0x1F",
    "AND OR NOT NEAR",
    "nul\0byte",
    "नमस्ते दुनिया",
]


@pytest.fixture
def index(tmp_path: Path) -> IndexManager:
    return IndexManager.open(build(tmp_path, len(TEXTS), texts=TEXTS))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("turbine", [1]),
        ("TURBINE!", [1]),
        ("cafe", [2]),
        ("Café quoted", [2]),
        ("cafe\u0301", [2]),
        ("日本", [3]),
        ("strasse", [4]),
        ("straße", [4]),
        ("foo", [5]),
        ("y", [5]),
        ("1f 0x1f", [5]),
        ("and", [6, 4]),
        ("and near", [6]),
        ('NEAR("near", 2)', [6]),
        ("byte", [7]),
        ("दुनिया", [8]),
        ("nothing", []),
        ("", []),
        ("?!", []),
    ],
)
def test_words_are_found(index: IndexManager, query: str, expected: list[int]) -> None:
    ids, scores = index.keyword_search(query, 10)
    assert set(ids.tolist()) == set(expected)
    assert ids.dtype == np.int64
    assert scores.dtype == np.float32
    assert (scores > 0).all()


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="\"*()^:+-{}. 'ANDORNEARtext\0\x1a", max_size=30),
    st.sampled_from(
        ['"', '""', "a OR", "text:a", "NEAR(", "^a", "a*", "-a", "{a b}:c", "keywords", "\ud800", "a" * 9999]
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE)
def test_no_query_is_syntax(index: IndexManager, query: str) -> None:
    ids, scores = index.keyword_search(query, 3)
    assert len(ids) == len(scores) <= 3


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), min_size=1, max_size=5))
def test_every_word_of_any_text_finds_it(tmp_path: Path, texts: list[str]) -> None:
    with IndexManager.open(build(tmp_path, len(texts), texts=texts)) as index:
        for i, text in enumerate(texts):
            for term in query_terms(text):
                assert i in index.need_words().search([term], len(texts))[0]


def test_the_ranking_is_bm25_with_counts_of_one(large: Path) -> None:
    query = "number77 number4000 word27 pears apples speaks"
    with IndexManager.open(large) as index:
        ids, scores = index.keyword_search(query, 60)
    texts = [make_text(i) for i in range(5000)]
    words = [set(re.findall(r"\w+", text.lower())) for text in texts]
    expected = np.zeros(5000)
    for term in query.split():
        having = [i for i in range(5000) if term in words[i]]
        expected[having] += 2.2 * math.log1p((5000 - len(having) + 0.5) / (len(having) + 0.5)) / 2.2
    order = np.lexsort((np.arange(5000), -expected))[:60]
    assert ids.tolist() == order.tolist()
    assert np.allclose(scores, expected[order], rtol=1e-4)  # all chunks are equally long


def test_shorter_chunks_rank_before_longer_ones(tmp_path: Path) -> None:
    texts = [f"needle {'hay ' * (i * 20)}" for i in range(8)]
    with IndexManager.open(build(tmp_path, 8, texts=texts)) as index:
        assert index.keyword_search("needle", 8)[0].tolist() == list(range(8))


def test_an_index_without_keywords_says_so(tmp_path: Path) -> None:
    with (
        IndexManager.open(build(tmp_path, 20, keywords=False)) as index,
        pytest.raises(QueryError, match=r"keywords=True"),
    ):
        index.keyword_search("apples", 1)
    with IndexManager.open(tmp_path / "memory_index.json") as index:
        assert index.search(make_vectors(1), 1)[0].shape == (1, 1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(["apples", "pears", "word1", "word27", "number4", "number77", "speaks", "the", "nothing"]),
        max_size=6,
    )
)
def test_scores_of_given_chunks_are_those_of_the_search(large: Path, query: list[str]) -> None:
    with IndexManager.open(large) as index:
        words = index.need_words()
        ids, scores = words.search(query, 40)
        assert words.score(query, ids).tolist() == scores.tolist()
        others = np.setdiff1d(np.arange(0, 5000, 97), ids)
        having = {i for term in query for i in index.ids_with_words(term).tolist()}
        assert [score > 0 for score in words.score(query, others).tolist()] == [i in having for i in others.tolist()]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["apples", "word1", "word27", "number4"]), min_size=1, max_size=4), st.integers(1, 60))
def test_a_filter_goes_before_and_leaves_as_many_as_there_are(large: Path, query: list[str], k: int) -> None:
    with IndexManager.open(large) as index:
        words, within = index.need_words(), Selection(np.arange(5000) % 7 == 0)
        everywhere = words.search(query, 5000)
        inside = np.isin(everywhere[0], within.rows)
        ids, scores = words.search(query, k, within)
        assert ids.tolist() == everywhere[0][inside][:k].tolist()
        assert scores.tolist() == everywhere[1][inside][:k].tolist()


def test_stop_words_count_where_there_is_nothing_else() -> None:
    assert search_terms("What is the status of TK-12345?") == ["status", "tk", "12345", "tk12345"]
    assert search_terms("Who is it?") == ["who", "is", "it"]
    assert search_terms("der die das") == ["der", "die", "das"]
    long = " ".join(f"the word{i}" for i in range(100))
    assert search_terms(long) == [f"word{i}" for i in range(64)]


def test_normal_form() -> None:
    assert normalise("Plain ASCII, as it is") == "Plain ASCII, as it is"
    assert query_terms("Ünïcode “quotes” a_b a a") == ["unicode", "quotes", "a", "b"]
    assert len(query_terms(" ".join(f"w{i}" for i in range(1000)))) == 64


@given(st.text(max_size=80))
def test_a_long_text_is_normalised_in_pieces(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keywords, "_PIECE", max(map(len, text.split(" "))) + 1)
        assert normalise(text).split() == normalise(text.replace(" ", "\n")).split()


def test_what_comes_of_a_text_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One character of Arabic stands for eighteen."""
    monkeypatch.setattr(keywords, "_PIECE", 100)
    monkeypatch.setattr(keywords, "_MOST_NORMAL", 1000)
    assert len(normalise("\ufdfa" * 500)) == 1000
    assert normalise("\ufdfa" * 50) == normalise("\ufdfa") * 50


@given(st.integers(0, 3000))
def test_lengths_fit_a_byte(words: int) -> None:
    code = length_code(max(words - 1, 0))
    assert 0 <= code <= 255
    assert abs(math.expm1(code / 16) - max(1, words)) <= 0.04 * max(1, words) + 0.1
