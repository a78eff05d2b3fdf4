"""What a query quotes, and which texts have it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memvid.index.keywords import query_terms
from memvid.ranking import phrases
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
    found = Phrases(query)
    assert found.quoted == quoted
    assert bool(found) == bool(quoted)


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
def test_what_has_it(phrase: str, text: str, there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Phrases(f'"{phrase}"').are_in(text) == there
    monkeypatch.setattr(phrases, "_ONE_BY_ONE", 0)
    assert Phrases(f'"{phrase}"').are_in(text) == there


def test_all_of_them_are_needed() -> None:
    both = Phrases('"red apple" or "blue sky"')
    assert both.are_in("a red apple in the blue sky")
    assert not both.are_in("a red apple")
    assert Phrases("nothing quoted").are_in("")


@pytest.mark.parametrize("text", ["a" * 200_000, "aa " * 100_000, "a\u0334" * 100_000])
def test_a_text_that_has_it_in_every_word_takes_no_longer(text: str) -> None:
    """Such a text of 60 MiB takes 60 kB of a video, and would keep a search for minutes."""
    steps = 0

    def trace(*_: Any) -> Any:
        nonlocal steps
        steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        there = Phrases('"a"').are_in(text)
    finally:
        sys.settrace(before)
    assert not there
    assert 0 < steps < 200_000  # of which most make the pattern


@given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_a_text_with_a_phrase_has_its_words(phrase: str, before: str, after: str) -> None:
    """So that the index may be asked for those first."""
    asked = Phrases(f'"{phrase}"')
    text = f"{before} {phrase} {after}"
    if asked:
        assert asked.are_in(text)
        words = set(query_terms(text, limit=None))
        assert all(set(query_terms(quoted)) <= words for quoted in asked.quoted)


# Of words with blanks between them, and of kana, Han, Thai with their marks and digits, Hangul.
LETTERS = "ab1 \u0301\u00e9_-\u00ad\u30b5\u30fc\u3005\u3007\u0e52\u0e46\ubc31\uc5c5"


@given(st.text(LETTERS + '"', max_size=12), st.text(LETTERS, max_size=30))
@example('"\u30e1\u30f3\u30d0\u30fc"', "\u30e1\u30f3\u30d0\u30fcA")  # a mark of length beside a letter
@example('"wi-fi"', "wi-fi\u3005\u3005")
def test_whatever_has_a_phrase_has_its_words(query: str, text: str) -> None:
    asked = Phrases(query)
    if asked and asked.are_in(text):
        words = set(query_terms(text, limit=None))
        assert all(set(query_terms(quoted)) <= words for quoted in asked.quoted)
