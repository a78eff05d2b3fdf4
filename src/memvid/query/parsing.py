"""From what a caller gives as ``where`` to a filter."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Integral

from memvid.errors import QueryError
from memvid.query.filters import AllOf, AnyOf, Compare, Contains, Exists, Filter, Not, OneOf, Prefix
from memvid.query.paths import MOST_CHARACTERS, MOST_PARTS
from memvid.query.values import Kind, Value, value_of

__all__ = ["parse_filter"]

_DEEPEST = 64  # of expressions in expressions
_ANY_FILTER = ("$and", "$or", "$not")
_COMPARISONS = ("$gt", "$gte", "$lt", "$lte")
_VALUES = "a string, a finite number, a date, True, False or None"
_Part = Callable[[object, str, int], Filter]


def parse_filter(where: object) -> Filter:
    """The filter that a ``where`` is; one that was parsed already comes back as it is.

    :raises QueryError: it is none. Which fields there are is not looked at.
    """
    return where if isinstance(where, Filter) else _expression(where, "where", 0)


def _expression(where: object, name: str, depth: int) -> Filter:
    """A mapping of fields and of ``$and``, ``$or``, ``$not``."""
    if not isinstance(where, Mapping) or not where:
        raise QueryError(f"{name}={where!r:.200}: expected a dict like {{'source': 'a.txt', 'page': {{'$gte': 3}}}}")
    _check_depth(name, depth)
    parts = []
    for key, wanted in where.items():
        if not isinstance(key, str):
            raise QueryError(f"{name} has the key {key!r:.200}: expected a string")
        at = f"{name}[{key!r}]"
        if key in _ANY_FILTER:
            parts.append(_combine(key, wanted, at, depth, _expression))
        elif key in _OPERATORS:
            raise QueryError(f"{at}={wanted!r:.200}: {key} stands at a field, as in {{'page': {{{key!r}: ...}}}}")
        elif key.startswith("$"):
            raise QueryError(f"{name}: there is no operator {key!r}: {_near(key, _ANY_FILTER)}")
        else:
            _check_path(key, at)
            parts.append(_of_field(key)(wanted, at, depth + 1))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _of_field(path: str) -> _Part:
    """Parses what stands at a field: a value, a list for any of its values, or operators."""

    def parse(wanted: object, name: str, depth: int) -> Filter:
        if isinstance(wanted, Mapping):
            _check_depth(name, depth)
            parts = [_operation(path, key, operand, name, depth) for key, operand in _operations(path, wanted, name)]
            return parts[0] if len(parts) == 1 else AllOf(tuple(parts))
        values = _as_list(wanted)
        if values is None:
            return OneOf(path, frozenset([_value(wanted, name)]))
        if not values:
            raise QueryError(f"{name}={wanted!r}: the list is empty: expected {_VALUES}, or a list of these")
        return OneOf(path, frozenset(_value(value, name) for value in values))

    return parse


def _operations(path: str, wanted: Mapping[object, object], name: str) -> Iterator[tuple[str, object]]:
    if not wanted:
        raise QueryError(f"{name}={wanted!r}: expected {_VALUES}, a list of these, or operators like {{'$gte': 3}}")
    for key, operand in wanted.items():
        if not isinstance(key, str) or key not in _OPERATORS:
            names_a_key = isinstance(key, str) and not key.startswith("$") and f"${key}" not in _OPERATORS
            remedy = f"the key of an object is {f'{path}.{key}'!r}" if names_a_key else _near(key, _OPERATORS)
            raise QueryError(f"{name}: there is no operator {key!r:.200}: {remedy:.200}")
        yield key, operand


def _operation(path: str, key: str, operand: object, name: str, depth: int) -> Filter:
    at = f"{name}[{key!r}]"
    if key in _ANY_FILTER:
        return _combine(key, operand, at, depth, _of_field(path))
    if key in ("$eq", "$ne"):
        found: Filter = OneOf(path, frozenset([_value(operand, at)]))
    elif key in ("$in", "$nin"):
        values = _as_list(operand)
        if values is None:
            raise QueryError(f"{at}={operand!r:.200}: expected a list of values")
        found = OneOf(path, frozenset(_value(value, at) for value in values))
    elif key in _COMPARISONS:
        found = _comparison(path, key, _value(operand, at))
    elif key == "$exists":
        if not isinstance(operand, bool):
            raise QueryError(f"{at}={operand!r:.200}: expected True or False")
        return Exists(path) if operand else Not(Exists(path))
    else:
        return _text_search(path, key, operand, at)
    return Not(found) if key in ("$ne", "$nin") else found


def _comparison(path: str, key: str, bound: Value) -> Filter:
    if bound.kind != Kind.NULL:
        return Compare(path, key, bound)
    return OneOf(path, frozenset([bound] if key in ("$gte", "$lte") else []))  # None is as large as itself


def _text_search(path: str, key: str, operand: object, name: str) -> Filter:
    if isinstance(operand, str):
        return Prefix(path, operand) if key == "$prefix" else Contains(path, operand)
    if key == "$prefix":
        raise QueryError(f"{name}={operand!r:.200}: expected a string")
    return OneOf(path, frozenset([_value(operand, name)]))  # a list contains it, if anything does


def _combine(key: str, operand: object, name: str, depth: int, parse: _Part) -> Filter:
    """``$and`` and ``$or`` of a list, ``$not`` of one."""
    if key == "$not":
        return Not(parse(operand, name, depth + 1))
    parts = _as_list(operand)
    if not parts:
        raise QueryError(f"{name}={operand!r:.200}: expected a list of at least one filter")
    parsed = tuple(parse(part, f"{name}[{number}]", depth + 1) for number, part in enumerate(parts))
    if len(parsed) == 1:
        return parsed[0]
    return AllOf(parsed) if key == "$and" else AnyOf(parsed)


_OPERATORS = ("$eq", "$ne", *_COMPARISONS, "$in", "$nin", "$exists", "$contains", "$prefix", *_ANY_FILTER)


def _value(given: object, name: str) -> Value:
    if isinstance(given, datetime.date):  # a time is one, too
        given = given.isoformat()
    elif isinstance(given, Integral) and not isinstance(given, bool):
        given = int(given)  # one of numpy's
    value = value_of(given)
    if value is None:
        raise QueryError(f"{name}={given!r:.200}: expected {_VALUES}")
    return value


def _as_list(given: object) -> list[object] | None:
    """Several values; ``None`` if it is one."""
    if isinstance(given, (set, frozenset)) or (isinstance(given, Sequence) and not isinstance(given, (str, bytes))):
        return list(given)
    return None


def _check_depth(name: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise QueryError(f"{name:.80}... is nested more than {_DEEPEST} times: write it flatter")


def _check_path(path: str, name: str) -> None:
    if path.count(".") >= MOST_PARTS or len(path) > MOST_CHARACTERS:
        raise QueryError(f"{name:.200}: a path has at most {MOST_PARTS} parts and {MOST_CHARACTERS} characters")


def _near(key: object, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
