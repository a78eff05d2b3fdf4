"""The body of a page of changed metadata: round trips, bounds, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.checks import ID_LIMIT
from memvid.errors import FrameError
from memvid.page import (
    ChangedMetadata,
    MetadataReader,
    PageCompressor,
    PageKind,
    decode_changed_metadata,
    encode_changed_metadata,
    metadata_bodies,
    pack_blob,
    seal,
)

ids = st.one_of(st.integers(0, 300), st.integers(0, ID_LIMIT - 1))
changes = st.dictionaries(ids, st.one_of(st.just(b""), st.binary(max_size=300)), max_size=40)


def stored(given_changes: dict[int, bytes]) -> ChangedMetadata:
    return decode_changed_metadata(encode_changed_metadata(sorted(given_changes.items())))


@given(changes)
def test_what_is_written_is_read(given_changes: dict[int, bytes]) -> None:
    found = stored(given_changes)
    assert dict(found.items()) == given_changes
    assert found.ids.tolist() == sorted(given_changes)
    assert all(found.get(chunk) == metadata for chunk, metadata in given_changes.items())
    assert all(found.get(chunk + 1) == given_changes.get(chunk + 1) for chunk in given_changes)


@given(st.lists(changes, max_size=5))
def test_the_latest_counts(parts: list[dict[int, bytes]]) -> None:
    expected: dict[int, bytes] = {}
    for part in parts:
        expected.update(part)
    assert dict(ChangedMetadata.latest([stored(part) for part in parts]).items()) == expected


@given(changes, ids)
def test_what_comes_later_is_left_out(given_changes: dict[int, bytes], below: int) -> None:
    found = stored(given_changes).below(below)
    assert dict(found.items()) == {chunk: data for chunk, data in given_changes.items() if chunk < below}


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """There is one way to write what a body says."""
    try:
        found = decode_changed_metadata(body)
    except FrameError:
        return
    assert encode_changed_metadata(found.items()) == body


@pytest.mark.parametrize(
    "body",
    [
        b"\0",  # no length
        b"\0\1",  # no metadata
        b"\0\2{",  # cut off
        b"\x80\0\0",  # not the shortest form
        b"\0\x80\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\0",  # an id beyond all
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x3f\0\0\0",  # the last id, and one behind it
        b"\0\xff\xff\xff\xff\x1f",  # a length of more than 32 bits
    ],
)
def test_what_is_no_such_body_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError, match="frame 9: its page of changed metadata"):
        decode_changed_metadata(body, frame_index=9)


def payloads(body: bytes, kind: PageKind = PageKind.METADATA) -> list[bytes]:
    pages = pack_blob(kind, body, capacity=2900, compressor=PageCompressor(3))
    return [seal(page, tag=1, page_number=5 + at) for at, page in enumerate(pages)]


def test_pages_are_put_together() -> None:
    reader = MetadataReader(100)
    assert reader.add(payloads(b"\1\2{}"), first_frame=5, below=9, tag=1).ids.tolist() == [1]
    assert (
        reader.add(payloads(encode_changed_metadata([(1, b""), (3, b"x")])), first_frame=5, below=3, tag=1).get(1)
        == b""
    )
    assert dict(reader.latest.items()) == {1: b""}
    with pytest.raises(FrameError, match="is empty"):
        reader.add(payloads(b""), first_frame=5, below=9, tag=1)
    with pytest.raises(FrameError, match="TOMBSTONES"):
        reader.add(payloads(b"\1\2{}", PageKind.TOMBSTONES), first_frame=5, below=9, tag=1)


@pytest.mark.parametrize("body", [b"\0\0" * (4 << 20), b"\0\x80\x80\x80\2" + b"x" * (4 << 20)])
def test_they_may_take_so_much_and_no_more(body: bytes) -> None:
    reader = MetadataReader(0)
    with pytest.raises(FrameError):
        reader.add(payloads(body), first_frame=5, below=1, tag=1)
    assert reader.left == 4 << 20
    small = body[: 2 << 10]
    reader.add(payloads(b"\0\xfe\x0f" + small[2:]), first_frame=5, below=1, tag=1)
    assert reader.left == (4 << 20) - MetadataReader.cost([b"\0\xfe\x0f" + small[2:]], 1)


def test_large_changes_take_several_pages() -> None:
    given_changes = dict.fromkeys(range(50), b"x" * 100000) | {99: b"y" * (3 << 20)}
    bodies = list(metadata_bodies(given_changes))
    assert len(bodies) > 3
    assert max(map(len, bodies[:-1])) <= 2 << 20
    parts = [decode_changed_metadata(body) for body in bodies]
    assert dict(ChangedMetadata.latest(parts).items()) == given_changes
    assert list(metadata_bodies({})) == []
