"""One order out of two scores, and out of one what does not repeat itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from memvid.ranking.diversity import diverse_order
from memvid.ranking.fusion import fuse, names, words_share

COSINES = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20)


def array(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@given(COSINES)
def test_without_words_the_relevance_is_the_cosine(cosines: list[float]) -> None:
    scores = array(cosines)
    assert fuse(scores, np.zeros_like(scores), 0.4).tolist() == scores.tolist()
    assert fuse(scores, np.ones_like(scores), 0).tolist() == scores.tolist()


@given(
    st.lists(st.tuples(st.floats(-1, 1, width=32), st.floats(0, 50, width=32)), min_size=2, max_size=20),
    st.floats(0.1, 0.9),
)
def test_what_is_better_in_both_is_better(pairs: list[tuple[float, float]], share: float) -> None:
    cosines, keyword = array([cosine for cosine, _ in pairs]), array([words for _, words in pairs])
    relevance = fuse(cosines, keyword, share)
    for i in range(len(pairs)):
        for j in range(len(pairs)):
            if cosines[i] >= cosines[j] and keyword[i] >= keyword[j]:
                assert relevance[i] >= relevance[j]


def test_words_weigh_as_much_as_the_best_passage_stands_out() -> None:
    shares = [words_share([300, 300], 1000, array([5.0] * 9 + [tenth] * 9)) for tenth in (5.0, 4.0, 2.0, 0.1)]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(0.5, abs=0.02)
    assert words_share([300], 1000, array([5.0])) == pytest.approx(0.5, abs=0.02)
    assert words_share([], 1000, array([5.0])) == words_share([0, 0], 1000, array([])) == 0


@pytest.mark.parametrize("count", [500, 10**4, 10**6])
def test_a_rare_word_decides_a_short_query_and_not_a_long_one(count: int) -> None:
    alone = array([9.0])
    short, long = [count // 20, 1], [count // 20] * 20 + [1]
    assert words_share(short, count, alone) == 0.75
    assert words_share(long, count, alone) < 0.6
    assert words_share([count // 20, count // 4], count, alone) < 0.55


@given(st.lists(st.integers(0, 1000), max_size=8), st.lists(st.floats(0, 60, width=32), max_size=15))
def test_words_weigh_three_quarters_at_most(frequencies: list[int], scores: list[float]) -> None:
    assert 0 <= words_share(frequencies, 1000, array(sorted(scores, reverse=True))) <= 0.75


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.floats(0, 1), st.integers(1, 15), st.integers(0, 2**32 - 1)
)
def test_an_order_has_each_once_and_begins_with_the_best(
    relevance: list[float], diversity: float, limit: int, seed: int
) -> None:
    relevance.sort(reverse=True)
    vectors = np.random.default_rng(seed).standard_normal((len(relevance), 8)).astype(np.float32)
    order = diverse_order(relevance, vectors, diversity=diversity, limit=limit)
    assert len(set(order)) == len(order) == min(limit, len(relevance))
    assert order[0] == 0
    assert diverse_order(relevance, vectors, diversity=0, limit=limit) == list(range(len(order)))


def test_what_repeats_comes_after_what_is_new() -> None:
    vectors = np.array([[1, 0], [1, 0.01], [0, 1]], np.float32)
    assert diverse_order([0.9, 0.89, 0.5], vectors, diversity=0.1, limit=3) == [0, 1, 2]
    assert diverse_order([0.9, 0.89, 0.5], vectors, diversity=0.6, limit=3) == [0, 2, 1]
    assert diverse_order([], vectors[:0], diversity=0.5, limit=3) == []


@pytest.mark.parametrize("diversity", [0.0, 0.5, 1.0])
def test_vectors_of_any_length_and_none(diversity: float) -> None:
    vectors = np.array([[100, 0], [0, 0], [0, 0.001]], np.float32)
    assert sorted(diverse_order([3, 2, 1], vectors, diversity=diversity, limit=9)) == [0, 1, 2]


def test_relevance_may_be_as_large_as_numbers_are() -> None:
    largest = float(np.finfo(np.float64).max)
    assert diverse_order([largest, 0, -largest], np.eye(3, dtype=np.float32), diversity=0.1, limit=3) == [0, 1, 2]


@pytest.mark.parametrize("term", ["kd4703", "10·0·3·3", "2·13·0rc1", "h264", "550e8400", "o2"])
def test_a_number_with_letters_or_signs_is_a_name(term: str) -> None:
    assert names(["the", term, "1999"]) == [term]


@pytest.mark.parametrize("term", ["kd", "4703", "19th", "1st", "1980s", "econnrefused", "the"])
def test_words_years_and_ordinals_are_no_names(term: str) -> None:
    assert names([term]) == []
