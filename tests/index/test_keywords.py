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
from memvid.index.keywords import length_code, normalise, query_terms
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
                assert i in index.keyword_search(term, len(texts))[0]


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


def test_common_words_only_rank_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"common {'rare' if i % 50 == 3 else 'other'} n{i}" for i in range(300)]
    index_file = build(tmp_path, 300, texts=texts)
    with IndexManager.open(index_file) as index:
        full = index.keyword_search("common rare other", 300)
    monkeypatch.setattr("memvid.index.keywords._DRIVING_ROWS", 10)
    with IndexManager.open(index_file) as index:
        ids, scores = index.keyword_search("common rare other", 300)
        assert ids.tolist() == full[0][:6].tolist() == [3, 53, 103, 153, 203, 253]
        assert np.allclose(scores, full[1][:6])
        assert len(index.keyword_search("common", 300)[0]) == 300


def test_an_index_without_keywords_says_so(tmp_path: Path) -> None:
    with (
        IndexManager.open(build(tmp_path, 20, keywords=False)) as index,
        pytest.raises(QueryError, match=r"keywords=True"),
    ):
        index.keyword_search("apples", 1)
    with IndexManager.open(tmp_path / "memory_index.json") as index:
        assert index.search(make_vectors(1), 1)[0].shape == (1, 1)


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
