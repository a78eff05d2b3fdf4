"""What a query quotes, and which texts have it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.index.keywords import query_terms
from memvid.ranking.phrases import Phrases


@pytest.mark.parametrize(
    ("query", "quoted"),
    [
        ("no quotes", ()),
        ('who wrote "disk is full"?', ("disk is full",)),
        ('"one" and "two words"', ("one", "two words")),
        ("curly \u201cquotes here\u201d too", ("quotes here",)),
        ('one " alone', ()),
        ('""', ()),
        ('" "', ()),
        ('a 5" and a 6" pipe', ()),
        ('"again" "again"', ("again",)),
        ('什么是"日本"?', ("日本",)),
    ],
)
def test_what_is_quoted(query: str, quoted: tuple[str, ...]) -> None:
    phrases = Phrases(query)
    assert phrases.quoted == quoted
    assert bool(phrases) == bool(quoted)


@pytest.mark.parametrize(
    ("phrase", "text", "there"),
    [
        ("disk is full", "error: Disk  is\nFULL.", True),
        ("disk is full", "the disk is nearly full", False),
        ("cat", "concatenate", False),
        ("cat", "a cat, asleep", True),
        ("Walking in Fresno?", "who recorded Walking in Fresno in", True),
        ("C++", "C++ and C", True),
        ("C++", "C and D", False),
        ("user_id", "the user_id_2 field", False),
        ("foo", "foo-bar", True),
        ("日本", "東京は日本の首都です", True),
        ("cafe\u0301", "Caf\u00e9 au lait", True),
        ("cafe", "caf\u00e9", False),
        ("straße", "STRASSE", True),
        ("?", "what?", True),
    ],
)
def test_what_has_it(phrase: str, text: str, there: bool) -> None:
    assert Phrases(f'"{phrase}"').are_in(text) == there


def test_all_of_them_are_needed() -> None:
    phrases = Phrases('"red apple" or "blue sky"')
    assert phrases.are_in("a red apple in the blue sky")
    assert not phrases.are_in("a red apple")
    assert Phrases("nothing quoted").are_in("")


@given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_a_text_with_a_phrase_has_its_words(phrase: str, before: str, after: str) -> None:
    """So that the index may be asked for those first."""
    phrases = Phrases(f'"{phrase}"')
    text = f"{before} {phrase} {after}"
    if phrases:
        assert phrases.are_in(text)
        words = set(query_terms(text, limit=None))
        assert all(set(query_terms(quoted)) <= words for quoted in phrases.quoted)


@given(st.text('ab \u0301\u00e9_-"', max_size=12), st.text("ab \u0301\u00e9_-", max_size=30))
def test_whatever_has_a_phrase_has_its_words(query: str, text: str) -> None:
    phrases = Phrases(query)
    if phrases and phrases.are_in(text):
        words = set(query_terms(text, limit=None))
        assert all(set(query_terms(quoted)) <= words for quoted in phrases.quoted)
