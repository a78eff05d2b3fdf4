"""Chunks to bytes and back: any text, any JSON object, and no crash on bytes from a stranger."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.errors import ChunkError, FrameError
from memvid.page import records
from memvid.page.metadata import encode_metadata
from memvid.page.records import (
    Record,
    RecordPage,
    encode_body,
    encode_text,
    varint,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(texts, json_values, max_size=5)


@given(st.lists(st.tuples(texts, json_objects), max_size=40))
def test_any_chunks_come_back(chunks: list[tuple[str, dict[str, Any]]]) -> None:
    records = [Record(encode_text(text), encode_metadata(metadata)) for text, metadata in chunks]
    page = RecordPage(encode_body(records), len(records), frame_index=3)
    assert len(page) == len(chunks)
    for index, (text, metadata) in enumerate(chunks):
        assert page.text(index) == text
        assert page.text_bytes(index) == text.encode()
        assert page.metadata(index) == metadata
        assert page.metadata_bytes(index) == records[index].metadata
        assert list(page.metadata(index)) == list(metadata)


@pytest.mark.parametrize("size", [1, 127, 128, 16383, 16384, 1_000_000])
def test_lengths_at_the_edges_of_the_varints(size: int) -> None:
    page = RecordPage(encode_body([Record(b"a" * size), Record(b"b", b"{}" * size)]), 2)
    assert page.text_bytes(0) == b"a" * size
    assert page.metadata_bytes(1) == b"{}" * size


def test_varints_are_unsigned_leb128() -> None:
    assert [varint(value).hex() for value in (0, 1, 127, 128, 300, 1 << 21)] == [
        "00",
        "01",
        "7f",
        "8001",
        "ac02",
        "80808001",
    ]


def test_each_metadata_is_a_new_object() -> None:
    page = RecordPage(encode_body([Record(b"x", encode_metadata({"a": [1]}))]), 1)
    page.metadata(0)["a"].append(2)
    assert page.metadata(0) == {"a": [1]}


@pytest.mark.parametrize("index", [-1, 2])
def test_a_chunk_that_is_not_in_the_page(index: int) -> None:
    with pytest.raises(IndexError, match=f"chunk {index} of a page that holds 2"):
        RecordPage(encode_body([Record(b"x"), Record(b"y")]), 2).text(index)


def error_of(body: bytes, count: int) -> FrameError | None:
    """What reading everything in a body raises; any other exception fails the test."""
    try:
        page = RecordPage(body, count, frame_index=7)
        for index in range(count):
            page.text(index)
            page.metadata(index)
    except FrameError as error:
        return error
    return None


@given(st.binary(max_size=80), st.integers(0, 20))
def test_bytes_from_a_stranger_raise_frame_error_or_read(body: bytes, count: int) -> None:
    error = error_of(body, count)
    assert error is None or (error.frame_index == 7 and str(error).startswith("frame 7: "))


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 1),
        (b"\x05\x00abc", 1),
        (b"\x01\x00abc", 1),
        (b"\x01\x00a", 2),
        (b"\x01\x00a", 0),
        (b"\x81\x00\x00a", 1),
        (b"\xff\xff\xff\xff\x7f\x00", 1),
        (b"\xff\xff\xff\xff\xff\x01\x00", 1),
        (b"\xff\xff", 1),
    ],
)
def test_lengths_that_do_not_add_up(body: bytes, count: int) -> None:
    with pytest.raises(FrameError, match="frame 4: "):
        RecordPage(body, count, frame_index=4)


def test_text_that_is_not_utf8() -> None:
    page = RecordPage(encode_body([Record(b"\xff\xfe")]), 1, frame_index=9)
    with pytest.raises(FrameError, match=r"frame 9: .*not UTF-8"):
        page.text(0)


@given(st.binary(max_size=40) | st.text(max_size=20).map(str.encode), st.integers(1, 6))
def test_a_text_is_checked_without_making_it(text: bytes, piece: int) -> None:
    page = RecordPage(encode_body([Record(text)]), 1, frame_index=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_DECODED", piece)
        try:
            text.decode()
        except UnicodeDecodeError:
            with pytest.raises(FrameError, match="frame 4: text of chunk 0 of the page is not UTF-8"):
                page.check_text(0)
        else:
            page.check_text(0)


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ChunkError, match=r"character 2 .* U\+D800"):
        encode_text("ab\ud800c")
