"""Metadata as terms: strings of bytes that an index keeps as it keeps words, with the chunks that have each.

A term says which value is at which path (:mod:`memvid.query.paths`): a one, the path, a zero, the kind of the value,
and a key whose bytes are in the order of the values. So the values of a path, and those of a range, lie beside each
other in the order of the terms. A path that is long or has a zero in it, and a value whose key is long, are there as
digests: of such a value only equality is known. One more term of each path, a zero and the path, says which chunks have
anything there; and one with a three which have something there that lies in a list or an object.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, NamedTuple

from memvid.query import Compare, Condition, Contains, Exists, Kind, OneOf, Prefix, Value, value_of
from memvid.query.paths import MOST_CHARACTERS, MOST_PARTS

__all__ = [
    "PATHS",
    "UNLISTED",
    "Wanted",
    "is_listed",
    "nested_term",
    "number_key",
    "path_of",
    "string_of",
    "strings_at",
    "terms_of",
    "wanted_terms",
]

_LONGEST_PATH = 48  # bytes
_LONGEST_KEY = 128
_MOST_VALUES = 4096  # of a chunk
_THERE, _VALUE, _NESTED = b"\0", b"\1", b"\3"
_NULL, _FALSE, _TRUE, _NUMBER, _STRING, _LONG_NUMBER, _LONG_STRING = (bytes([kind]) for kind in range(7))
_BIAS = 1 << 31

UNLISTED = b"\2"
"""The term of chunks that have more values than are kept: what their metadata are has to be looked at."""

PATHS = (_THERE, _VALUE)
"""The range of the terms that name paths."""


class Wanted(NamedTuple):
    """Where chunks are that pass a condition.

    :ivar terms: those of any of these terms.
    :ivar ranges: those of any term from the first up to and without the second of any of these pairs,
    :ivar skip: if so many bytes
    :ivar needle: are followed by any, and by these.
    :ivar unsure: as ``ranges``: whether those of these pass is not known.
    """

    terms: tuple[bytes, ...] = ()
    ranges: tuple[tuple[bytes, bytes], ...] = ()
    skip: int = 0
    needle: bytes = b""
    unsure: tuple[tuple[bytes, bytes], ...] = ()


def terms_of(metadata: dict[str, Any]) -> list[bytes]:
    """The terms of one chunk, each once, in no order; of one with thousands of values, :data:`UNLISTED` alone."""
    terms: set[bytes] = set()
    waiting: list[tuple[Any, str, bool]] = [(metadata, "", False)]
    values = 0
    while waiting:
        node, path, is_nested = waiting.pop()
        if isinstance(node, (dict, list)):
            values += len(node)
            if values > _MOST_VALUES:
                return [UNLISTED]
        if isinstance(node, list):
            waiting += [(member, path, True) for member in node]
        elif isinstance(node, dict):
            is_inner = node is not metadata
            for key, member in node.items():
                inner = f"{path}.{key}" if is_inner else key
                if is_listed(inner):
                    terms.add(_there(inner))
                    waiting.append((member, inner, is_inner))
        elif (value := value_of(node)) is not None:
            terms.add(_head(path) + _key(value))
            if is_nested:
                terms.add(nested_term(path))
    return list(terms)


def is_listed(path: str) -> bool:
    """Whether there are terms of a path: not of one that no filter can ask for."""
    return len(path) <= MOST_CHARACTERS and path.count(".") < MOST_PARTS


def nested_term(path: str) -> bytes:
    """The term of chunks that have a value at a path which lies in a list or an object there."""
    return _NESTED + _there(path)[1:]


def wanted_terms(where: Condition | Exists) -> Wanted:
    """Where the chunks are that pass."""
    if isinstance(where, Exists):
        return Wanted((_there(where.path),))
    head = _head(where.path)
    strings, long_strings = _range(head + _STRING), _range(head + _LONG_STRING)
    if isinstance(where, OneOf):
        return Wanted(tuple(sorted(head + _key(value) for value in where.values)))
    if isinstance(where, Prefix):
        return Wanted(ranges=(_range(strings[0] + _utf8(where.text)),), unsure=(long_strings,))
    if isinstance(where, Contains):
        return Wanted(ranges=(strings,), skip=len(strings[0]), needle=_utf8(where.text), unsure=(long_strings,))
    if isinstance(where, Compare):
        return _compared(head, where)
    raise TypeError(f"{type(where).__name__} is no condition that an index answers")


def path_of(term: bytes) -> str | None:
    """The path that a term of :data:`PATHS` names, ``None`` if only its digest is known."""
    try:
        return term.removeprefix(_THERE).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def strings_at(path: str) -> tuple[bytes, bytes]:
    """The range of the terms of strings at a path, but for long ones."""
    return _range(_head(path) + _STRING)


def string_of(path: str, term: bytes) -> str:
    """The string that such a term names."""
    return term[len(_head(path)) + 1 :].decode("utf-8", "replace")


@lru_cache(1 << 14)
def number_key(number: float) -> bytes:
    """A finite number as bytes: equal where numbers are, and in their order, of whatever types they are."""
    if number == 0:
        return b"\x80"
    numerator, denominator = number.as_integer_ratio()
    magnitude = abs(numerator)
    zeros = (magnitude & -magnitude).bit_length() - 1
    exponent = magnitude.bit_length() - (denominator.bit_length() - 1)  # the least power of two above it
    digits = magnitude >> zeros
    length = digits.bit_length()
    data = (exponent + _BIAS).to_bytes(4, "big") + (digits << -length % 8).to_bytes((length + 7) // 8, "big")
    if numerator > 0:
        return b"\x81" + data
    return b"\x7f" + bytes(255 - byte for byte in data) + b"\xff"  # so that fewer digits are above more


def _compared(head: bytes, where: Compare) -> Wanted:
    kind, bound = where.bound
    unsure: tuple[tuple[bytes, bytes], ...] = ()
    if kind == Kind.BOOLEAN:
        first, last, place = head + _FALSE, head + _NUMBER, head + (_TRUE if bound else _FALSE)
    else:
        sort, long = (_NUMBER, _LONG_NUMBER) if kind == Kind.NUMBER else (_STRING, _LONG_STRING)
        first, last = _range(head + sort)
        place = first + (number_key(bound) if kind == Kind.NUMBER else _utf8(bound))
        unsure = (_range(head + long),)
    behind = place + b"\0"  # the next string of bytes
    ranges = {"$gt": (behind, last), "$gte": (place, last), "$lt": (first, place), "$lte": (first, behind)}
    return Wanted(ranges=(ranges[where.operator],), unsure=unsure)


def _range(begin: bytes) -> tuple[bytes, bytes]:
    """All strings of bytes that begin so: the first, and the first one behind them."""
    kept = begin.rstrip(b"\xff")
    return begin, kept[:-1] + bytes([kept[-1] + 1])


@lru_cache(1024)
def _there(path: str) -> bytes:
    data = _utf8(path)
    if len(data) > _LONGEST_PATH or b"\0" in data:
        data = b"\xff" + hashlib.sha256(data).digest()[:24]
    return _THERE + data


@lru_cache(1024)
def _head(path: str) -> bytes:
    return _VALUE + _there(path)[1:] + b"\0"


def _key(value: Value) -> bytes:
    kind, plain = value
    if kind == Kind.NULL:
        return _NULL
    if kind == Kind.BOOLEAN:
        return _TRUE if plain else _FALSE
    key = number_key(plain) if kind == Kind.NUMBER else _utf8(plain)
    if len(key) > _LONGEST_KEY:
        return (_LONG_NUMBER if kind == Kind.NUMBER else _LONG_STRING) + hashlib.sha256(key).digest()
    return (_NUMBER if kind == Kind.NUMBER else _STRING) + key


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
