"""Values as bytes: equal and in order where the values are."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvid.index.field_terms import UNLISTED, Wanted, number_key, terms_of, wanted_terms
from memvid.query import AllOf, AnyOf, Condition, Exists, Filter, Not, parse_filter
from tests.query.query_support import METADATA, WHERES, passes

NUMBERS = (
    st.integers(-300, 300)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [0.0, -0.0, 5e-324, sys.float_info.max, 2**53, 2**53 + 1, float(2**53), 10**400, -(10**400), 1 / 3]
    )
)


@settings(max_examples=500)
@given(first=NUMBERS, second=NUMBERS)
def test_numbers_are_in_the_order_of_their_keys(first: float, second: float) -> None:
    keys = number_key(first), number_key(second)
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (first < second, first == second)


def test_known_keys() -> None:
    assert number_key(0).hex() == "80"
    assert number_key(1).hex() == "818000000180"
    assert number_key(3.0).hex() == "8180000002c0"
    assert number_key(-0.5).hex() == "7f7fffffff7fff"


def finds(wanted: Wanted, terms: list[bytes]) -> bool:
    """Whether a chunk with these terms is among those wanted."""
    return any(
        term in wanted.terms
        or any(first <= term < last and wanted.needle in term[wanted.skip :] for first, last in wanted.ranges)
        for term in terms
    )


def decide(where: Filter, terms: list[bytes]) -> bool:
    if isinstance(where, Not):
        return not decide(where.part, terms)
    if isinstance(where, (AllOf, AnyOf)):
        return (all if isinstance(where, AllOf) else any)(decide(part, terms) for part in where.parts)
    assert isinstance(where, (Condition, Exists))
    return finds(wanted_terms(where), terms)


def is_unsure(where: Filter, terms: list[bytes]) -> bool:
    if isinstance(where, Not):
        return is_unsure(where.part, terms)
    if isinstance(where, (AllOf, AnyOf)):
        return any(is_unsure(part, terms) for part in where.parts)
    assert isinstance(where, (Condition, Exists))
    return finds(Wanted(ranges=wanted_terms(where).unsure), terms)


@settings(max_examples=500, deadline=None)
@given(where=WHERES, metadata=METADATA)
def test_terms_say_what_the_metadata_do(where: dict[str, Any], metadata: dict[str, Any]) -> None:
    terms = terms_of(metadata)
    assert len(set(terms)) == len(terms)
    assert all(0 < len(term) <= 200 for term in terms)
    parsed = parse_filter(where)
    assert is_unsure(parsed, terms) or decide(parsed, terms) == passes(where, metadata)


def is_found(where: dict[str, Any], terms: list[bytes]) -> bool:
    return decide(parse_filter(where), terms)


@pytest.mark.parametrize("path", ["p" * 60, "a\0b", "", "\u00e9" * 30, "p" * 1023])
def test_long_paths_are_known_by_digests(path: str) -> None:
    terms = terms_of({path: "x", "other" * 20: "x"})
    assert is_found({path: "x"}, terms)
    assert not is_found({path: "y"}, terms)
    assert not is_found({path + "p": "x"}, terms)


def test_long_values_are_known_by_digests() -> None:
    text, number = "x" * 200, 3**700
    terms = terms_of({"t": text, "n": number})
    assert not any(b"xxx" in term for term in terms)
    assert is_found({"t": text, "n": number}, terms)
    unsure: list[dict[str, Any]] = [
        {"t": {"$contains": "x"}}, {"t": {"$prefix": "x"}}, {"t": {"$gt": "a"}}, {"n": {"$lt": 3}},
    ]  # fmt: skip
    assert all(is_unsure(parse_filter(where), terms) for where in unsure)
    known: list[dict[str, Any]] = [
        {"t": {"$gt": 3}}, {"n": {"$lt": "a"}}, {"t": {"$exists": True}}, {"t": {"$ne": "x"}},
    ]  # fmt: skip
    assert not any(is_unsure(parse_filter(where), terms) for where in known)


@pytest.mark.parametrize(
    "metadata", [{"a": [*range(5000)]}, {str(n): n for n in range(5000)}, {"a": [[*range(3000)], [*range(3000)]]}]
)
def test_chunks_with_thousands_of_values_are_named_as_such(metadata: dict[str, Any]) -> None:
    assert terms_of(metadata) == [UNLISTED]


def test_what_cannot_be_asked_for_is_not_kept() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"k": deep}
    assert len(terms_of(deep)) == 32
    assert terms_of({"k" * 1025: 1}) == []
