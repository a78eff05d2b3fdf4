"""Sets of chunk ids, and the tombstones page that lists one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.errors import FrameError
from memvid.page import ChunkIds, decode_tombstones, encode_tombstones

IDS = st.sets(st.integers(0, 400), max_size=60)


def test_the_example_of_the_format() -> None:
    assert encode_tombstones(ChunkIds.of([9, 2, 4, 3])) == bytes.fromhex("02030401")


@given(IDS)
def test_what_is_written_is_read(ids: set[int]) -> None:
    deleted = ChunkIds.of(ids)
    assert len(deleted) == len(ids)
    assert bool(deleted) == bool(ids)
    assert np.flatnonzero(deleted.contains(np.arange(500))).tolist() == sorted(ids)
    if ids:
        assert decode_tombstones(encode_tombstones(deleted)) == deleted


@given(IDS, IDS)
def test_a_union_is_one(some: set[int], others: set[int]) -> None:
    both = ChunkIds.of(some) | ChunkIds.of(others)
    assert both == ChunkIds.of(some | others)
    assert hash(both) == hash(ChunkIds.of(some | others))


def test_billions_are_a_run() -> None:
    body = bytes.fromhex("00ffffffff0f01ffffffff0f")
    deleted = decode_tombstones(body)
    assert len(deleted) == 2 * (2**32 - 1)
    assert deleted.contains(np.array([0, 2**32 - 1, 2**32, 2**33 - 2, 2**33 - 1])).tolist() == [
        True,
        False,
        True,
        True,
        False,
    ]
    assert encode_tombstones(deleted) == body


@pytest.mark.parametrize(
    "body",
    [
        "",  # nothing
        "01",  # half a pair
        "0100",  # an empty run
        "01010001",  # two runs that touch
        "0180",  # a number without an end
        "018000",  # longer than it must be
        "01ffffffffff01",  # too long
        "01ffffffff1f",  # too large
    ],
)
def test_other_bodies_are_damage(body: str) -> None:
    with pytest.raises(FrameError, match="frame 7: its list of deleted chunks"):
        decode_tombstones(bytes.fromhex(body), frame_index=7)


@given(st.binary(max_size=40))
def test_any_body_is_read_in_one_way_or_refused(body: bytes) -> None:
    try:
        deleted = decode_tombstones(body)
    except FrameError:
        return
    assert encode_tombstones(deleted) == body
