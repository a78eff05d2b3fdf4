"""The tree that a ``where`` is parsed into, and what it means: :meth:`Filter.matches` decides for one chunk.

An index answers for all its chunks at once, and must agree with that. Filters are equal where they are the same tree of
the same conditions, so that answers can be kept by filter.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from memvid.query.paths import nodes_at, values_at
from memvid.query.values import Kind, Value

__all__ = ["AllOf", "AnyOf", "Compare", "Condition", "Contains", "Exists", "Filter", "Not", "OneOf", "Prefix"]

_COMPARISONS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


class Filter(ABC):
    """A filter on metadata."""

    __slots__ = ()

    @abstractmethod
    def matches(self, metadata: dict[str, Any]) -> bool:
        """Whether a chunk with this metadata, ``{}`` if it has none, passes."""

    @property
    @abstractmethod
    def paths(self) -> frozenset[str]:
        """The paths that are looked at."""


@dataclass(frozen=True, slots=True)
class _Combined(Filter):
    parts: tuple[Filter, ...]

    @property
    def paths(self) -> frozenset[str]:
        return frozenset().union(*(part.paths for part in self.parts))


@dataclass(frozen=True, slots=True)
class AllOf(_Combined):
    """Passes what all parts pass."""

    def matches(self, metadata: dict[str, Any]) -> bool:
        return all(part.matches(metadata) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf(_Combined):
    """Passes what some part passes."""

    def matches(self, metadata: dict[str, Any]) -> bool:
        return any(part.matches(metadata) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """Passes what its part does not, chunks without the field among it."""

    part: Filter

    def matches(self, metadata: dict[str, Any]) -> bool:
        return not self.part.matches(metadata)

    @property
    def paths(self) -> frozenset[str]:
        return self.part.paths


@dataclass(frozen=True, slots=True)
class _AtPath(Filter):
    path: str

    @property
    def paths(self) -> frozenset[str]:
        return frozenset([self.path])


@dataclass(frozen=True, slots=True)
class Exists(_AtPath):
    """Passes chunks that have anything at a path, ``None`` and an empty list too."""

    def matches(self, metadata: dict[str, Any]) -> bool:
        return any(True for _ in nodes_at(metadata, self.path))


@dataclass(frozen=True, slots=True)
class Condition(_AtPath):
    """Passes chunks that have a value at a path for which it :meth:`holds`."""

    @abstractmethod
    def holds(self, value: Value) -> bool:
        """Whether one value is such."""

    def matches(self, metadata: dict[str, Any]) -> bool:
        return any(self.holds(value) for value in values_at(metadata, self.path))


@dataclass(frozen=True, slots=True)
class OneOf(Condition):
    """A value that equals one of some."""

    values: frozenset[Value]

    def holds(self, value: Value) -> bool:
        return value in self.values


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """A value of the bound's kind that is above or below it.

    :ivar operator: ``$gt``, ``$gte``, ``$lt`` or ``$lte``.
    :ivar bound: a number, string or boolean.
    """

    operator: str
    bound: Value

    def holds(self, value: Value) -> bool:
        kind, bound = self.bound
        return value.kind == kind and bool(_COMPARISONS[self.operator](value.value, bound))


@dataclass(frozen=True, slots=True)
class Prefix(Condition):
    """A string that begins with a text."""

    text: str

    def holds(self, value: Value) -> bool:
        return value.kind == Kind.STRING and value.value.startswith(self.text)


@dataclass(frozen=True, slots=True)
class Contains(Condition):
    """A string that has a text in it."""

    text: str

    def holds(self, value: Value) -> bool:
        return value.kind == Kind.STRING and self.text in value.value
