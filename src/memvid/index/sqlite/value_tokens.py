"""Values of metadata as the SQLite file keeps them for filters: bytes, equal exactly when the values are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from memvid.query import Kind, Value, value_of

__all__ = ["attributes_of", "token_value", "value_token"]

_INLINE = 64  # bytes of a value kept as they are; a longer one is known by its digest, which keeps long texts out
_WORDS = {b"None": Value(Kind.NULL, None), b"True": Value(Kind.BOOLEAN, True), b"False": Value(Kind.BOOLEAN, False)}


def value_token(value: object) -> bytes | None:
    """A scalar as bytes; ``None`` if ``value`` is none that filters compare.

    Numbers are equal by value (``1`` and ``1.0``); ``True`` and ``1`` are not equal.
    """
    comparable = value_of(value)
    if comparable is None:
        return None
    kind, plain = comparable
    if kind == Kind.STRING:
        token = b"s" + plain.encode("utf-8", "surrogatepass")
    elif kind == Kind.NUMBER:
        whole = isinstance(plain, int) or plain.is_integer()
        token = b"n%x" % int(plain) if whole else b"n" + repr(plain).encode()
    else:
        token = repr(plain).encode()
    return token if len(token) <= _INLINE else b"h" + hashlib.sha256(token).digest()


def token_value(token: bytes) -> Value | None:
    """The value of a token, ``None`` if only its digest is kept.

    :raises ValueError: it is none of :func:`value_token`.
    """
    sort, rest = token[:1], token[1:]
    if sort == b"s":
        return Value(Kind.STRING, rest.decode("utf-8", "surrogatepass"))
    if sort == b"n":
        is_whole = b"." not in rest and b"-" not in rest[1:]  # 1e-07 has no point
        return Value(Kind.NUMBER, int(rest, 16) if is_whole else float(rest))
    if sort == b"h":
        return None
    if token not in _WORDS:
        raise ValueError(f"{token!r:.100} is no value")
    return _WORDS[token]


def attributes_of(metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """The fields of one chunk's metadata that have a scalar."""
    tokens = ((name, value_token(value)) for name, value in metadata.items())
    return {name: token for name, token in tokens if token is not None}
