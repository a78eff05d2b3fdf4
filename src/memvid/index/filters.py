"""Filters on metadata: equality on top-level keys, a list meaning any of its values."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from memvid.errors import QueryError

__all__ = ["attributes_of", "parse_filter", "value_token"]

_INLINE = 64  # bytes of a value kept as they are; a longer one is known by its digest, which keeps long texts out


def value_token(value: object) -> bytes | None:
    """A scalar as bytes that are equal exactly when the values are; ``None`` if ``value`` cannot be filtered by.

    Numbers are equal by value (``1`` and ``1.0``); ``True`` and ``1`` are not equal.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        token = b"n%x" % int(value) if value.is_integer() else b"n" + repr(value).encode()
    elif value is None or isinstance(value, bool):
        token = repr(value).encode()
    elif isinstance(value, int):
        token = b"n%x" % value
    elif isinstance(value, str):
        token = b"s" + value.encode("utf-8", "surrogatepass")
    else:
        return None
    return token if len(token) <= _INLINE else b"h" + hashlib.sha256(token).digest()


def attributes_of(metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """The fields of one chunk's metadata that a filter can ask for."""
    tokens = ((name, value_token(value)) for name, value in metadata.items())
    return {name: token for name, token in tokens if token is not None}


def parse_filter(where: object, fields: Collection[str] | None) -> list[tuple[str, list[bytes]]]:
    """Check a filter and return its fields, each with the values allowed.

    :param fields: the fields that exist in this index; ``None`` takes any: an empty memory has none.
    :raises QueryError: it is not a mapping, names a field no chunk has, or asks for something other than scalars.
    """
    if not isinstance(where, Mapping) or not where:
        raise QueryError(f"where={where!r}: expected a dict like {{'source': 'a.txt', 'page': [1, 2]}}")
    parsed = []
    for name, wanted in where.items():
        if not isinstance(name, str):
            raise QueryError(f"where has the key {name!r}: expected a string")
        values = list(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, (str, bytes)) else [wanted]
        tokens = [value_token(value) for value in values]
        if not tokens or None in tokens:
            raise QueryError(
                f"where[{name!r}]={wanted!r}: expected a string, a finite number, True, False, None, or a list of these"
            )
        if fields is not None and name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            known = f"fields are {', '.join(sorted(fields)[:20])}" if fields else "no chunk has any field"
            hint = f"did you mean {near[0]!r}?" if near else known
            raise QueryError(
                f"no chunk has the metadata field {name!r} with a value to filter by, which no list or object is: "
                f"{hint}"
            )
        parsed.append((name, sorted({token for token in tokens if token is not None})))
    return parsed
