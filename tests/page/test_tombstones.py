"""The tombstones page, and what all of a video's say together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.errors import FrameError
from memvid.page import (
    LONGEST_DELETION,
    ChunkIds,
    PageCompressor,
    PageKind,
    TombstoneReader,
    decode_tombstones,
    encode_tombstones,
    pack_blob,
    seal,
    tombstones,
)

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


@given(st.sets(st.integers(0, 1 << 34), max_size=30), st.integers(1, 9))
def test_bodies_are_decoded_in_blocks(ids: set[int], block: int) -> None:
    deleted = ChunkIds.of(ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tombstones, "_BLOCK_BYTES", block)
        if ids and all(gap < 1 << 32 for gap in np.diff([0, *sorted(ids)])):
            assert decode_tombstones(encode_tombstones(deleted)) == deleted


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


def _pages(body: bytes) -> list[bytes]:
    pages = pack_blob(PageKind.TOMBSTONES, body, capacity=400, compressor=PageCompressor(3))
    return [seal(page, tag=7, page_number=number) for number, page in enumerate(pages)]


def test_lists_of_a_video_add_up() -> None:
    reader = TombstoneReader(1000)
    for ids in ([1, 2, 3], [3, 4, 9]):
        reader.add(_pages(encode_tombstones(ChunkIds.of(ids))), first_frame=0, tag=7)
    assert reader.deleted == ChunkIds.of([1, 2, 3, 4, 9])


def test_a_list_is_not_larger_than_its_video_can_need() -> None:
    """The limit counts all lists together, before any of it is unpacked."""
    most = (4 << 20) + 2000
    body = encode_tombstones(ChunkIds.of(range(1, 2))) * (most // 4)  # 01 01, each run one id behind the last
    reader = TombstoneReader(1000)
    reader.add(_pages(body), first_frame=0)
    assert len(reader.deleted) == len(body) // 2
    reader.add(_pages(body), first_frame=0)
    with pytest.raises(FrameError, match="the limit is 0"):
        reader.add(_pages(body[:2]), first_frame=0)
    with pytest.raises(FrameError, match=f"claims {most + 2} bytes, the limit is {most}"):
        TombstoneReader(1000).add(_pages(body + body + body[:2]), first_frame=0)


def test_more_chunks_in_a_row_than_a_list_can_name() -> None:
    """Two lists that are right may say so together; what nobody could read is not written."""
    longest = ChunkIds.of_ranges([(1, LONGEST_DELETION)])
    assert decode_tombstones(encode_tombstones(longest)) == longest
    for ranges in ([(0, LONGEST_DELETION)], [(5, 5), (LONGEST_DELETION + 7, LONGEST_DELETION + 7)]):
        with pytest.raises(FrameError, match="names more than 4294967295 chunks in a row"):
            encode_tombstones(ChunkIds.of_ranges(ranges))
