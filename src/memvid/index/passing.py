"""Which rows pass a filter, where an index knows some for sure, and of others only that they may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from memvid.query import AllOf, AnyOf, Condition, Exists, Filter, Not

if TYPE_CHECKING:
    from memvid.index.arrays import IntArray
    from memvid.types import JsonObject

__all__ = ["Between", "Mask", "RowValues", "passing_rows"]

Mask = npt.NDArray[np.bool_]
Between = tuple[Mask, Mask]
"""The rows that surely pass, and those that may, which has all of them; one array twice, if nothing is unsure."""

_READ = 4096  # rows of which the metadata are in memory at once


class RowValues(Protocol):
    """What the rows of a segment have in their fields."""

    def passing(self, where: Condition | Exists) -> Between:
        """The rows that pass a condition."""

    def metadata_of(self, rows: IntArray) -> list[JsonObject]:
        """The metadata of some rows, which ascend: seldom asked for."""


def passing_rows(where: Filter, values: RowValues) -> Mask:
    """bool[rows]: which rows pass; where that is not sure, their metadata are looked at."""
    surely, perhaps = _between(where, values)
    unsure = np.flatnonzero(perhaps & ~surely)
    passing = surely.copy()
    for start in range(0, len(unsure), _READ):
        some = unsure[start : start + _READ]
        passing[some] = [where.matches(metadata) for metadata in values.metadata_of(some)]
    return passing


def _between(where: Filter, values: RowValues) -> Between:
    if isinstance(where, (Condition, Exists)):
        return values.passing(where)
    if isinstance(where, Not):
        surely, perhaps = _between(where.part, values)
        not_surely = ~perhaps
        return not_surely, not_surely if surely is perhaps else ~surely
    if isinstance(where, (AllOf, AnyOf)):
        combine = np.logical_and if isinstance(where, AllOf) else np.logical_or
        surely, perhaps = _between(where.parts[0], values)
        for part in where.parts[1:]:
            more, more_perhaps = _between(part, values)
            is_sure = surely is perhaps and more is more_perhaps
            surely = combine(surely, more)
            perhaps = surely if is_sure else combine(perhaps, more_perhaps)
        return surely, perhaps
    raise TypeError(f"{type(where).__name__} is no filter that an index answers")
