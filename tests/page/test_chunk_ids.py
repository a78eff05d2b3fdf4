"""Sets of chunk ids."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memvid.page import ChunkIds

IDS = st.sets(st.integers(0, 200), max_size=60)


@given(IDS, IDS)
def test_it_is_a_set(some: set[int], others: set[int]) -> None:
    own, other = ChunkIds.of(some), ChunkIds.of(others)
    assert own | other == ChunkIds.of(some | others)
    assert own & other == ChunkIds.of(some & others)
    assert own - other == ChunkIds.of(some - others)
    assert hash(own | other) == hash(ChunkIds.of(some | others))
    assert ChunkIds.union([own, other, own]) == own | other
    assert np.flatnonzero(own.contains(np.arange(300))).tolist() == sorted(some)
    assert len(own) == len(some)
    assert bool(own) == bool(some)


@given(IDS)
def test_its_ranges(ids: set[int]) -> None:
    ranges = ChunkIds.of(ids).ranges
    assert [chunk for first, last in ranges for chunk in range(first, last + 1)] == sorted(ids)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(ranges))
    assert ChunkIds.of_ranges(ranges) == ChunkIds.of(ids)


@given(IDS, st.integers(0, 70))
def test_its_lowest_and_highest(ids: set[int], count: int) -> None:
    every = sorted(ids)
    assert ChunkIds.of(ids).numbers().tolist() == every
    assert ChunkIds.of(ids).first(count).numbers().tolist() == every[:count]
    assert ChunkIds.of(ids).last(count).numbers().tolist() == every[max(len(every) - count, 0) :]


def test_billions_are_two_runs_and_nothing_is_written_out() -> None:
    """An array of these would take exabytes."""
    every = ChunkIds.of(range(1 << 60))
    hole = ChunkIds.of(range(1 << 20, 1 << 50))
    left = every - hole
    assert left.ranges == ((0, (1 << 20) - 1), (1 << 50, (1 << 60) - 1))
    assert len(left) == (1 << 60) - (1 << 50) + (1 << 20)
    assert left.first(1 << 40).last(2).numbers().tolist() == [(1 << 50) + (1 << 40) - (1 << 20) - 2 + i for i in (0, 1)]
    assert left & ChunkIds.of([5, 1 << 30, 1 << 55]) == ChunkIds.of([5, 1 << 55])
    assert left | hole == every
    assert not every - every
