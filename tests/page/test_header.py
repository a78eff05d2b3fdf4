"""The page header: golden bytes, every flipped bit, and who is refused with which error."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid import _core
from memvid.errors import FrameError, UnsupportedVideoError
from memvid.page import header
from memvid.page.header import (
    HEADER_BYTES,
    MAGIC,
    PageBody,
    PageFlag,
    PageKind,
    is_page,
    page_checksum,
    parse_header,
    read_page,
    seal,
    verify,
)

BODY = PageBody(PageKind.DATA, 0, 1, 7, b"\x03\x00abc")


def reseal(payload: bytearray) -> bytes:
    payload[24:28] = zlib.crc32(payload[28:], zlib.crc32(payload[:24])).to_bytes(4, "little")
    return bytes(payload)


def test_both_readers_know_the_same_versions_and_the_last_is_written() -> None:
    """One that only one of them knew would be read slowly, or not at all."""
    assert sorted(header._PARSERS) == list(_core.PAGE_FORMAT_VERSIONS)
    assert seal(BODY, tag=1, page_number=0)[3] == header.FORMAT_VERSION == max(header._PARSERS)


def test_golden_bytes() -> None:
    payload = seal(BODY, tag=0x11223344, page_number=5)
    assert payload[:24].hex() == "894d56" + "02" + "02" + "00" + "0100" + "44332211" + "05000000" + "0700000000000000"
    assert payload[24:28].hex() == zlib.crc32(payload[:24] + payload[28:]).to_bytes(4, "little").hex()
    assert payload[28:] == BODY.body


bodies = st.builds(
    PageBody,
    st.sampled_from(PageKind),
    st.integers(0, 7),
    st.integers(0, 0xFFFF),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=64),
)
words = st.integers(0, 2**32 - 1)


@given(bodies, words, words)
def test_what_is_sealed_is_read(body: PageBody, tag: int, page_number: int) -> None:
    payload = seal(body, tag=tag, page_number=page_number)
    header = read_page(payload, frame_index=0, tag=tag, page_number=page_number)
    assert (header.kind, header.flags, header.count) == (body.kind, body.flags, body.count)
    assert (header.first_chunk, header.tag, header.page_number) == (body.first_chunk, tag, page_number)
    assert header.checksum == page_checksum(payload)
    assert header.is_run == bool(body.flags & PageFlag.RUN)


def test_every_flipped_bit_is_detected() -> None:
    payload = seal(BODY, tag=1, page_number=5)
    for bit in range(len(payload) * 8):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            read_page(bytes(damaged), frame_index=5, tag=1)


@given(st.binary(max_size=60))
def test_bytes_from_a_stranger(payload: bytes) -> None:
    with pytest.raises(FrameError) as caught:
        read_page(payload, frame_index=2)
    assert caught.value.frame_index == 2
    with pytest.raises(FrameError):
        read_page(MAGIC + payload, frame_index=2)


@pytest.mark.parametrize("length", range(HEADER_BYTES))
def test_a_payload_that_is_too_short(length: int) -> None:
    payload = seal(BODY, tag=1, page_number=0)[:length]
    with pytest.raises(FrameError, match=f"frame 3: {length} bytes are no memvid page"):
        parse_header(payload, frame_index=3)
    with pytest.raises(FrameError):
        verify(payload, frame_index=3)


def test_a_page_cut_off_behind_its_header() -> None:
    with pytest.raises(FrameError, match="checksum"):
        read_page(seal(BODY, tag=1, page_number=0)[:-1], frame_index=0)


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (3, 3, "format version 3"),
        (3, 0, "format version 0"),
        (4, 9, "page kind 9"),
        (5, 0x08, "mandatory page flags 0x08"),
        (5, 0x20, "mandatory page flags 0x20"),
    ],
)
def test_a_sound_page_from_the_future_is_refused(offset: int, value: int, message: str) -> None:
    payload = bytearray(seal(BODY, tag=1, page_number=0))
    payload[offset] = value
    with pytest.raises(FrameError, match="checksum"):
        parse_header(bytes(payload), frame_index=0)
    with pytest.raises(UnsupportedVideoError, match=message):
        parse_header(reseal(payload), frame_index=0)


@pytest.mark.parametrize("kind", PageKind)
def test_a_page_of_version_1_is_none_of_the_later_kinds(kind: PageKind) -> None:
    payload = bytearray(seal(replace(BODY, kind=kind), tag=1, page_number=0))
    payload[3] = 1
    if kind <= PageKind.ATTRIBUTES:
        assert read_page(reseal(payload), frame_index=0).kind == kind
    else:
        with pytest.raises(UnsupportedVideoError, match=f"page kind {kind}"):
            read_page(reseal(payload), frame_index=0)


@pytest.mark.parametrize("flag", [0x40, 0x80])
def test_optional_flags_are_ignored(flag: int) -> None:
    payload = seal(replace(BODY, flags=flag), tag=1, page_number=0)
    assert read_page(payload, frame_index=0).flags == flag


def test_a_page_in_the_wrong_place_or_memory() -> None:
    payload = seal(BODY, tag=1, page_number=5)
    with pytest.raises(FrameError, match="frame 6: holds page 5 instead of 6"):
        read_page(payload, frame_index=6)
    with pytest.raises(FrameError, match="belongs to memory 01000000, this one is 02000000"):
        read_page(payload, frame_index=5, tag=2)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bare_text_is_never_taken_for_a_page(text: str) -> None:
    payload = text.encode()
    assert not is_page(payload)
    assert page_checksum(payload) == zlib.crc32(payload)


def test_foreign_codes_are_named() -> None:
    with pytest.raises(FrameError, match="starts with 68 74 74"):
        parse_header(b"https://example.org/some/page", frame_index=0)
