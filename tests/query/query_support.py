"""Filters and metadata of all kinds, and what passes by a plain reading of the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

__all__ = ["METADATA", "SCALARS", "WHERES", "passes"]

KEYS = st.sampled_from(["a", "b", "a.b", "b.c", "c"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from(
        [0.5, 1.0, -0.0, 1e300, 10**30, 2**53 + 1, 1e-7, "", "a", "ab", "b", "\u00e9", "\U0001f600", "\uffff"]
    ),
    st.text("ab\u00e9", max_size=3),
    st.sampled_from(["a" * 70, "a" * 70 + "b", "b" * 70]),
)
METADATA = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=5
    ),
    max_size=4,
)
_TEXTS = st.text("ab\u00e9", max_size=2) | st.just("a" * 69)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), SCALARS),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
    st.tuples(st.sampled_from(["$prefix", "$contains"]), _TEXTS),
    st.tuples(st.just("$contains"), SCALARS),
)


def _of_fields(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What stands at a field, of what stands at one."""
    return st.one_of(
        st.builds(lambda part: {"$not": part}, inner),
        st.builds(
            lambda name, parts: {name: parts}, st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3)
        ),
    )


_FIELD = st.recursive(
    st.one_of(
        SCALARS, st.lists(SCALARS, min_size=1, max_size=3), st.lists(OPERATIONS, min_size=1, max_size=2).map(dict)
    ),
    _of_fields,
    max_leaves=3,
)
_PLAIN = st.dictionaries(KEYS | st.sampled_from(["a.b.c", "d"]), _FIELD, min_size=1, max_size=2)
WHERES = st.recursive(_PLAIN, _of_fields, max_leaves=4)


def passes(where: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """Whether metadata pass, by reading ``where`` from the top."""
    return all(_clause(key, wanted, metadata) for key, wanted in where.items())


def _clause(key: str, wanted: Any, metadata: dict[str, Any]) -> bool:
    if key == "$and":
        return all(passes(part, metadata) for part in wanted)
    if key == "$or":
        return any(passes(part, metadata) for part in wanted)
    if key == "$not":
        return not passes(wanted, metadata)
    return _field(list(_at(metadata, key)), wanted)


def _at(node: Any, path: str) -> Iterator[Any]:
    """What lies at a path, members of lists one by one; a list itself, too, which shows that there is something."""
    if isinstance(node, list):
        for member in node:
            yield from _at(member, path)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == path:
                yield from _members(value)
            elif path.startswith(key + "."):
                yield from _at(value, path[len(key) + 1 :])


def _members(value: Any) -> Iterator[Any]:
    yield value
    for member in value if isinstance(value, list) else ():
        yield from _members(member)


def _field(values: list[Any], wanted: Any) -> bool:
    if isinstance(wanted, list):
        return any(_field(values, {"$eq": each}) for each in wanted)
    if not isinstance(wanted, dict):
        return _field(values, {"$eq": wanted})
    return all(_operation(values, name, operand) for name, operand in wanted.items())


def _operation(values: list[Any], name: str, operand: Any) -> bool:
    if name == "$exists":
        return bool(values) is operand
    if name == "$not":
        return not _field(values, operand)
    if name in ("$and", "$or"):
        return (all if name == "$and" else any)(_field(values, part) for part in operand)
    if name in ("$ne", "$nin"):
        return not _operation(values, {"$ne": "$eq", "$nin": "$in"}[name], operand)
    return any(_holds(value, name, operand) for value in values if not isinstance(value, (list, dict)))


def _holds(value: Any, name: str, operand: Any) -> bool:
    if name == "$in":
        return any(_holds(value, "$eq", each) for each in operand)
    if name in ("$prefix", "$contains") and isinstance(operand, str):
        return isinstance(value, str) and bool(value.startswith(operand) if name == "$prefix" else operand in value)
    if _kind(value) != _kind(operand):
        return False
    if name in ("$eq", "$contains"):
        return bool(value == operand)
    if value is None:
        return name in ("$gte", "$lte")
    if isinstance(value, str):
        value, operand = [ord(c) for c in value], [ord(c) for c in operand]
    return bool(
        {"$gt": value > operand, "$gte": value >= operand, "$lt": value < operand, "$lte": value <= operand}[name]
    )


def _kind(value: Any) -> type:
    return float if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value)
