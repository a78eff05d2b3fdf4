from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvid.index import IndexManager
from memvid.index.compounds import compound_terms
from memvid.index.keywords import LONGEST_TERM, indexed_terms, normalise, query_terms, search_terms
from tests.index.index_support import build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TK-10482", ["tk10482"]),
        ("TK\u201110482 and TK\uff0d10482", ["tk10482", "tk10482"]),
        ("Wi-Fi, e-mail; dry_run --dry-run.", ["wifi", "email", "dryrun", "dryrun"]),
        ("2.13.0 is not 2130", ["2·13·0"]),
        ("v2.4.0-rc.1", ["2·4·0rc1"]),
        ("2026-03-04T00:00:11Z, 2026.03.04", ["2026·03·04", "2026·03·04"]),
        ("host=10.0.3.3:8080/x", ["10·0·3·3"]),
        ("1,250.50 of 1,250,000", ["1250·50", "1250000"]),
        ("a,b 1,25 x,123 1,2345", []),
        ("ops-team@example.com", ["opsteam", "examplecom"]),
        ("naïve-Café", ["naivecafe"]),
        ("end. Next -x- a--b _y_ ...z", []),
        ("東京-2", []),
        ("x" * 62 + "-y", ["x" * 62 + "y"]),
        ("x" * 63 + "-y", []),
        ("x" * 90 + "-y", []),
        ("plain words", []),
        ("", []),
    ],
)
def test_compounds_are_written_as_one(text: str, expected: list[str]) -> None:
    assert compound_terms(normalise(text)) == expected


def test_korean_words_are_found_by_pairs_of_syllables() -> None:
    assert set(search_terms("백업")) <= set(indexed_terms("데이터베이스의 백업은 매일"))
    assert set(search_terms("데이터베이스")) - set(indexed_terms("데이터베이스의")) == set(
        search_terms("데이터베이스")[:1]
    )
    assert compound_terms(normalise("백업")) == []


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aB1 -._,v东백업é·T", max_size=40))
def test_a_text_has_all_that_it_is_asked_for_by(text: str) -> None:
    terms = indexed_terms(text)
    assert terms[: len(query_terms(text, limit=None))] == query_terms(text, limit=None)
    assert set(search_terms(text)) <= set(terms)
    assert all(0 < len(term.encode()) <= LONGEST_TERM for term in terms)


def test_one_of_many_with_the_same_parts_is_found(tmp_path: Path) -> None:
    texts = [f"host=10.0.{i // 12}.{i % 12} was up from 3 to 10, version 2.{i}.0" for i in range(144)]
    with IndexManager.open(build(tmp_path, len(texts), texts=texts)) as index:
        for i in (3, 14, 39, 130):
            for query in (f"10.0.{i // 12}.{i % 12}", f"v2.{i}.0"):
                assert index.keyword_search(query, 1)[0].tolist() == [i], query
