"""Sets of chunk ids, kept as runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvid.types import ChunkRanges

__all__ = ["ChunkIds", "ChunkRanges", "count_chunks", "describe_chunks", "describe_numbers"]

_SHOWN = 8  # ranges a sentence names

_Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkIds:
    """A set of chunk ids, never written out one by one: a damaged file may claim billions.

    :ivar starts: ``int64[n]``, the first id of each run, ascending.
    :ivar ends: ``int64[n]``, the id behind its last one, below the next start.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Iterable[int] | NDArray[np.int64]) -> ChunkIds:
        """The set of these ids, in any order, repeated or not."""
        if isinstance(ids, range) and ids.step == 1:
            return cls.of_runs(np.array([ids.start], np.int64), np.array([ids.stop], np.int64))
        array = np.fromiter(ids, np.int64) if not isinstance(ids, np.ndarray) else ids.astype(np.int64)
        return cls.of_runs(array, array + 1)

    @classmethod
    def of_runs(cls, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> ChunkIds:
        """The union of the runs ``starts[i]`` to ``ends[i] - 1``, in any order, overlapping or not."""
        filled = ends > starts
        starts, ends = starts[filled], ends[filled]
        order = np.argsort(starts, kind="stable")
        starts, reach = starts[order], np.maximum.accumulate(ends[order]) if len(order) else ends
        begins = np.ones(len(starts), bool)
        begins[1:] = starts[1:] > reach[:-1]  # a run that touches the one before is part of it
        last = np.append(begins[1:], True) if len(starts) else begins
        return cls(starts[begins], reach[last])

    @classmethod
    def of_ranges(cls, ranges: Iterable[tuple[int, int]]) -> ChunkIds:
        """The set of these ids, from the first to the last of each range; in any order, overlapping or not."""
        edges = np.array([*ranges], np.int64).reshape(-1, 2)
        return cls.of_runs(edges[:, 0], edges[:, 1] + 1)

    @classmethod
    def union(cls, sets: Iterable[ChunkIds]) -> ChunkIds:
        """All ids of several sets, put together once."""
        every = [cls.of([]), *sets]
        return cls.of_runs(np.concatenate([ids.starts for ids in every]), np.concatenate([ids.ends for ids in every]))

    @property
    def ranges(self) -> ChunkRanges:
        """First and last id of each run."""
        return tuple(zip(self.starts.tolist(), (self.ends - 1).tolist(), strict=True))

    def __len__(self) -> int:
        return int((self.ends - self.starts).sum())

    def __or__(self, other: ChunkIds) -> ChunkIds:
        return self.union([self, other])

    def __and__(self, other: ChunkIds) -> ChunkIds:
        return self._between_edges(other, lambda own, others: own & others)

    def __sub__(self, other: ChunkIds) -> ChunkIds:
        return self._between_edges(other, lambda own, others: own & ~others)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChunkIds):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    def __hash__(self) -> int:
        return hash((self.starts.tobytes(), self.ends.tobytes()))

    def first(self, count: int) -> ChunkIds:
        """The lowest ids, up to so many of them."""
        behind = np.cumsum(self.ends - self.starts)
        runs = int(np.searchsorted(behind, count)) + 1
        ends = self.ends[:runs].copy()
        if runs <= len(self.ends):
            ends[-1] -= int(behind[runs - 1]) - count
        return self.of_runs(self.starts[:runs], ends)

    def last(self, count: int) -> ChunkIds:
        """The highest ids, up to so many of them."""
        return self - self.first(max(len(self) - count, 0))

    def nth(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """``int64[n]``: the ids at these places, of all of them in order."""
        behind = np.cumsum(self.ends - self.starts)
        runs = np.searchsorted(behind, places, side="right")
        return np.asarray(self.ends[runs] - behind[runs] + places, np.int64)

    def in_few_runs(self, most: int) -> ChunkIds:
        """These ids in at most so many runs, for which the shortest gaps between them are filled."""
        if len(self.starts) <= most:
            return self
        gaps = self.starts[1:] - self.ends[:-1]
        kept = np.sort(np.argsort(gaps, kind="stable")[len(gaps) - most + 1 :])
        return ChunkIds(
            np.concatenate([self.starts[:1], self.starts[kept + 1]]), np.concatenate([self.ends[kept], self.ends[-1:]])
        )

    def numbers(self) -> NDArray[np.int64]:
        """``int64[n]``: all ids, written out: for as many as are to be read."""
        sizes = self.ends - self.starts
        before = np.cumsum(sizes) - sizes
        return np.asarray(np.repeat(self.starts - before, sizes) + np.arange(len(self)), np.int64)

    def contains(self, ids: NDArray[np.int64]) -> _Mask:
        """``bool[n]``: which of the ids are in the set. A binary search each."""
        if not len(self.starts):
            return np.zeros(len(ids), bool)
        at = np.searchsorted(self.starts, ids, side="right") - 1
        found: _Mask = (at >= 0) & (ids < self.ends[at])
        return found

    def meets(self, firsts: NDArray[np.int64], ends: NDArray[np.int64]) -> _Mask:
        """``bool[n]``: whether any id from ``firsts[i]`` to ``ends[i] - 1`` is in the set. Two binary searches each."""
        met: _Mask = np.searchsorted(self.ends, firsts, side="right") < np.searchsorted(self.starts, ends)
        return met

    def _within(self, first: int, end: int) -> ChunkIds:
        """The runs that have an id from ``first`` to ``end - 1``."""
        part = slice(np.searchsorted(self.ends, first, side="right"), np.searchsorted(self.starts, end))
        return ChunkIds(self.starts[part], self.ends[part])

    def _between_edges(self, other: ChunkIds, keep: Callable[[_Mask, _Mask], _Mask]) -> ChunkIds:
        """Ids of this set by where they are: between two edges of either set, all are in the same of them."""
        if not len(self.starts):
            return self
        other = other._within(int(self.starts[0]), int(self.ends[-1]))
        edges = np.sort(np.concatenate([self.starts, self.ends, other.starts, other.ends]))
        starts, ends = edges[:-1], edges[1:]
        kept = keep(self.contains(starts), other.contains(starts))
        return self.of_runs(starts[kept], ends[kept])

    def __repr__(self) -> str:
        return f"ChunkIds({len(self)} in {len(self.starts)} runs)"


def count_chunks(ranges: ChunkRanges) -> int:
    """How many chunks the ranges hold."""
    return sum(last - first + 1 for first, last in ranges)


def describe_chunks(ranges: ChunkRanges) -> str:
    """``chunk 7``; ``12 chunks: 0-9, 20, 31``; the first few ranges of many."""
    count = count_chunks(ranges)
    if count == 0:
        return "no chunk"
    if count == 1:
        return f"chunk {ranges[0][0]}"
    return f"{count:,} chunks: {describe_numbers(ranges)}"


def describe_numbers(ranges: ChunkRanges) -> str:
    """``0-9, 20, 31``; the first few ranges of many."""
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges[:_SHOWN])
    return f"{shown}{', ...' if len(ranges) > _SHOWN else ''}"
