"""The 28 bytes every page starts with: who it is, what it holds, and a checksum over all of it.

Little endian: magic (3 bytes) | format version u8 | kind u8 | flags u8 | count u16 | tag u32 | page number u32 |
first chunk u64 | checksum u32. ``docs/format.md`` is normative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import partial
from struct import Struct
from zlib import crc32

from memvid._core import PAGE_FORMAT_VERSIONS
from memvid.errors import FrameError, UnsupportedVideoError
from memvid.remedies import REMEDY

__all__ = [
    "FORMAT_VERSION",
    "HEADER_BYTES",
    "MAGIC",
    "MAX_COUNT",
    "PageBody",
    "PageFlag",
    "PageHeader",
    "PageKind",
    "is_page",
    "memory_name",
    "page_checksum",
    "parse_header",
    "read_page",
    "reseal",
    "seal",
    "verify",
]

MAGIC = b"\x89MV"
FORMAT_VERSION = PAGE_FORMAT_VERSIONS[-1]
"""The version of the pages that are written. The native core says it, and which others are read."""

HEADER_BYTES = 28
MAX_COUNT = 0xFFFF

_FIELDS = Struct("<3sBBBHIIQI")
_CHECKED = Struct("<3sBBBHIIQ")
_CHECKSUM = Struct("<I")
_CHECKSUM_AT = _CHECKED.size


class PageKind(IntEnum):
    """What a page holds."""

    HEADER = 0
    DICTIONARY = 1
    DATA = 2
    CONTINUATION = 3
    TOMBSTONES = 4
    PARITY = 5
    ATTRIBUTES = 6
    COMMIT = 7
    METADATA = 8


class PageFlag(IntFlag):
    """How a page's body is stored. Bits 0 to 5 must be understood, bits 6 and 7 may be ignored."""

    ZSTD = 1
    DICTIONARY = 2
    RUN = 4


_KINDS = tuple(PageKind)
_UNKNOWN_MANDATORY = 0x3F & ~int(PageFlag.ZSTD | PageFlag.DICTIONARY | PageFlag.RUN)
_RUN = int(PageFlag.RUN)


@dataclass(frozen=True, slots=True)
class PageHeader:
    """A parsed page header.

    :ivar kind: what the page holds.
    :ivar flags: bits of :class:`PageFlag`.
    :ivar count: chunks that start in this page.
    :ivar tag: the memory's tag, the same in all of its pages.
    :ivar page_number: index of the page's frame in the video.
    :ivar first_chunk: id of the first chunk that starts here, or, in a continuation, that continues here.
    :ivar checksum: CRC-32 as stored; :func:`verify` compares it.
    """

    kind: PageKind
    flags: int
    count: int
    tag: int
    page_number: int
    first_chunk: int
    checksum: int

    @property
    def is_run(self) -> bool:
        """Whether the body is one part of a larger one."""
        return bool(self.flags & _RUN)


@dataclass(frozen=True, slots=True)
class PageBody:
    """A planned page: everything but its place in a video.

    :ivar kind: what the page holds.
    :ivar flags: bits of :class:`PageFlag`.
    :ivar count: chunks that start in this page.
    :ivar first_chunk: id of the first of them, or of the one that continues here.
    :ivar body: the bytes behind the header.
    """

    kind: PageKind
    flags: int
    count: int
    first_chunk: int
    body: bytes


def seal(body: PageBody, *, tag: int, page_number: int) -> bytes:
    """Make the payload of a page: its header with checksum, then its body."""
    head = _CHECKED.pack(MAGIC, FORMAT_VERSION, body.kind, body.flags, body.count, tag, page_number, body.first_chunk)
    return b"".join((head, _CHECKSUM.pack(crc32(body.body, crc32(head))), body.body))


def reseal(payload: bytes, *, tag: int, page_number: int) -> bytes:
    """The same page under another number."""
    header = parse_header(payload, frame_index=page_number)
    if header.page_number == page_number:
        return payload
    body = PageBody(header.kind, header.flags, header.count, header.first_chunk, payload[HEADER_BYTES:])
    return seal(body, tag=tag, page_number=page_number)


def is_page(payload: bytes) -> bool:
    """Whether ``payload`` is a page rather than bare text: no UTF-8 text starts with the magic's first byte."""
    return payload[:1] == MAGIC[:1]


def page_checksum(payload: bytes) -> int:
    """CRC-32 of a payload: of a page all but its checksum field, of bare text all of it."""
    if not is_page(payload):
        return crc32(payload)
    return crc32(memoryview(payload)[HEADER_BYTES:], crc32(payload[:_CHECKSUM_AT]))


def parse_header(payload: bytes, *, frame_index: int) -> PageHeader:
    """Read the header of a page. It is checked for form only: :func:`verify` proves the bytes.

    :raises FrameError: the payload is too short, is not a memvid page, or is damaged.
    :raises UnsupportedVideoError: a sound page of a newer format, of an unknown kind, or with an unknown mandatory
        flag.
    """
    if len(payload) < HEADER_BYTES:
        raise FrameError(
            f"frame {frame_index}: {len(payload)} bytes are no memvid page, which has at least {HEADER_BYTES}; "
            f"the video is damaged or was not made by memvid: {REMEDY}",
            frame_index=frame_index,
        )
    if not payload.startswith(MAGIC):
        raise FrameError(
            f"frame {frame_index}: its code starts with {payload[:3].hex(' ')}, a memvid page with {MAGIC.hex(' ')}; "
            f"the video is damaged or was not made by memvid: {REMEDY}",
            frame_index=frame_index,
        )
    version = payload[len(MAGIC)]
    parse = _PARSERS.get(version)
    if parse is None:
        raise _refusal(payload, frame_index, f"format version {version}, this release reads {_known_versions()}")
    return parse(payload, frame_index)


def _parse(payload: bytes, frame_index: int, *, kinds: int) -> PageHeader:
    """Versions 1 and 2, which have the same fields; the second knows more kinds of pages."""
    _, _, kind, flags, count, tag, page_number, first_chunk, checksum = _FIELDS.unpack_from(payload)
    if kind >= kinds:
        raise _refusal(payload, frame_index, f"page kind {kind}, this release knows 0 to {kinds - 1}")
    if unknown := flags & _UNKNOWN_MANDATORY:
        raise _refusal(payload, frame_index, f"mandatory page flags {unknown:#04x}, which this release does not know")
    return PageHeader(_KINDS[kind], flags, count, tag, page_number, first_chunk, checksum)


# How the header of each version is read: one for each of PAGE_FORMAT_VERSIONS, and none is ever taken out.
_PARSERS: dict[int, Callable[[bytes, int], PageHeader]] = {
    1: partial(_parse, kinds=PageKind.ATTRIBUTES + 1),
    2: partial(_parse, kinds=len(_KINDS)),
}


def verify(payload: bytes, *, frame_index: int) -> None:
    """Compare a page's checksum with its bytes; up to three changed bits in a page always show.

    :raises FrameError: the page is too short or differs from what was written.
    """
    if len(payload) >= HEADER_BYTES and is_page(payload):
        expected = int.from_bytes(payload[_CHECKSUM_AT:HEADER_BYTES], "little")
        if page_checksum(payload) == expected:
            return
    raise FrameError(
        f"frame {frame_index}: the page's checksum does not match its {len(payload)} bytes; "
        f"the frame is damaged: {REMEDY}",
        frame_index=frame_index,
    )


def memory_name(tag: int) -> str:
    """The first eight digits of the id of the memory that has a tag: what messages call it."""
    return tag.to_bytes(4, "little").hex()


def read_page(
    payload: bytes, *, frame_index: int, tag: int | None = None, page_number: int | None = None
) -> PageHeader:
    """Parse and verify a page, and check that it is the one asked for.

    :param tag: tag of the memory that is being read; ``None`` accepts any.
    :param page_number: the page's number; ``None`` expects that of its frame.
    :raises FrameError: damaged, of another memory, or in another page's place.
    :raises UnsupportedVideoError: see :func:`parse_header`.
    """
    header = parse_header(payload, frame_index=frame_index)
    verify(payload, frame_index=frame_index)
    expected = frame_index if page_number is None else page_number
    if header.page_number != expected:
        raise FrameError(
            f"frame {frame_index}: holds page {header.page_number} instead of {expected}; "
            f"frames were swapped, dropped or repeated: {REMEDY}",
            frame_index=frame_index,
        )
    if tag is not None and header.tag != tag:
        raise FrameError(
            f"frame {frame_index}: belongs to memory {memory_name(header.tag)}, this one is {memory_name(tag)}; "
            f"frames of two videos were mixed: {REMEDY}",
            frame_index=frame_index,
        )
    return header


def _refusal(payload: bytes, frame_index: int, what: str) -> UnsupportedVideoError:
    # The checksum keeps its place in every version, so that damage is not mistaken for a newer format.
    verify(payload, frame_index=frame_index)
    return UnsupportedVideoError(f"frame {frame_index}: {what}; install a newer memvid to read this video")


def _known_versions() -> str:
    return " and ".join(map(str, sorted(_PARSERS)))
