"""Values that filters compare: of which kind they are, and what equals what."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, NamedTuple

__all__ = ["Kind", "Value", "value_of"]


class Kind(IntEnum):
    """Kinds of values. Those of different kinds are never equal, and neither is below the other."""

    NULL = 0
    BOOLEAN = 1
    NUMBER = 2
    STRING = 3


class Value(NamedTuple):
    """A value with its kind, so that ``True`` and ``1``, which Python takes for equal, are not; ``1`` and ``1.0`` are.

    Values of a kind are ordered as Python orders them: numbers by value, whatever their type, strings by code point.
    """

    kind: Kind
    value: Any


def value_of(value: object) -> Value | None:
    """A string, finite number, boolean or ``None``; of anything else ``None``."""
    if isinstance(value, str):
        return Value(Kind.STRING, value)
    if isinstance(value, bool):
        return Value(Kind.BOOLEAN, value)
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return Value(Kind.NUMBER, value)
    return Value(Kind.NULL, None) if value is None else None
