"""Chunks as bytes: the body of a data page before compression, and its reader.

A body is, for each chunk, the varint lengths of text and metadata; then all texts; then all metadata. Texts lie
together because that is what compresses best, and lengths come first so that one chunk is read without the others.
"""

from __future__ import annotations

from array import array
from codecs import getincrementaldecoder
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

from memvid.errors import ChunkError, FrameError
from memvid.page.metadata import decode_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memvid.types import JsonObject

__all__ = ["Record", "RecordPage", "encode_body", "encode_text", "varint"]

_VARINT_LIMIT = 1 << 32
_DECODED = 1 << 20  # bytes of a text that are looked at as characters at a time


class Record(NamedTuple):
    """One chunk as it is stored.

    :ivar text: UTF-8.
    :ivar metadata: compact UTF-8 JSON of an object, or nothing.
    """

    text: bytes
    metadata: bytes = b""


def encode_text(text: str) -> bytes:
    """UTF-8 of a chunk, byte for byte what :meth:`RecordPage.text` gives back.

    :raises ChunkError: it has a lone surrogate, which is not a character and has no UTF-8.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ChunkError(
            f"character {error.start} of the chunk is the lone surrogate U+{ord(text[error.start]):04X}, which UTF-8 "
            'cannot hold: read the source with the right encoding, or replace it with text.encode("utf-8", "replace")'
        ) from error


def varint(value: int) -> bytes:
    """``value`` in groups of seven bits, the lowest first, a high bit on all bytes but the last (unsigned LEB128)."""
    if value < 0x80:
        return value.to_bytes(1, "little")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_body(records: Sequence[Record]) -> bytes:
    """The body of a page that holds ``records``, before compression."""
    parts = [varint(len(part)) for record in records for part in record]
    parts += [record.text for record in records]
    parts += [record.metadata for record in records]
    return b"".join(parts)


class RecordPage:
    """The decoded body of a data page. Opening it reads the lengths; text and metadata are decoded when asked for.

    Immutable, so safe to share between threads.

    :raises FrameError: the lengths do not describe exactly ``count`` chunks and all of ``body``.
    """

    __slots__ = ("_body", "_frame_index", "_starts")

    def __init__(self, body: bytes, count: int, *, frame_index: int = -1) -> None:
        self._body = body
        self._frame_index = frame_index
        lengths, start = self._read_lengths(2 * count)
        end = start + sum(lengths)
        if end != len(body):
            raise self._error(f"{count} chunks end at byte {end}, the body at {len(body)}")
        self._starts = array("Q", accumulate(chain(lengths[0::2], lengths[1::2]), initial=start))

    def __len__(self) -> int:
        return len(self._starts) // 2

    def text_bytes(self, index: int) -> bytes:
        """UTF-8 of the ``index``-th chunk that starts in this page."""
        return self._slice(index, 0)

    def text_view(self, index: int) -> memoryview:
        """The same without a copy of what may be many megabytes."""
        start, end = self._ends(index, 0)
        return memoryview(self._body)[start:end]

    def text(self, index: int) -> str:
        """Text of the ``index``-th chunk that starts in this page.

        :raises FrameError: its bytes are not UTF-8.
        """
        try:
            return self._slice(index, 0).decode()
        except UnicodeDecodeError as error:
            raise self._error(f"text of chunk {index} of the page is not UTF-8: {error}") from error

    def check_text(self, index: int) -> None:
        """Whether a text can be read, without making one of it: a string may take four times its bytes.

        :raises FrameError: its bytes are not UTF-8.
        """
        data = self._slice(index, 0)
        if data.isascii():
            return
        decoder = getincrementaldecoder("utf-8")()
        try:
            for start in range(0, len(data), _DECODED):
                decoder.decode(data[start : start + _DECODED], start + _DECODED >= len(data))
        except UnicodeDecodeError as error:
            raise self._error(f"text of chunk {index} of the page is not UTF-8: {error.reason}") from error

    def metadata_bytes(self, index: int) -> bytes:
        """JSON of the ``index``-th chunk's metadata, empty if it has none."""
        return self._slice(index, len(self))

    def metadata(self, index: int) -> JsonObject:
        """Metadata of the ``index``-th chunk, a new object at each call.

        :raises FrameError: it is not a JSON object.
        """
        return decode_metadata(self._slice(index, len(self)), frame_index=self._frame_index)

    def _slice(self, index: int, shift: int) -> bytes:
        start, end = self._ends(index, shift)
        return self._body[start:end]

    def _ends(self, index: int, shift: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"chunk {index} of a page that holds {len(self)}")
        return self._starts[index + shift], self._starts[index + shift + 1]

    def _read_lengths(self, amount: int) -> tuple[list[int], int]:
        """``amount`` varints from the start of the body, and where they end."""
        body, lengths, at = self._body, [], 0
        try:
            for _ in range(amount):
                value = body[at]
                at += 1
                if value >= 0x80:
                    value, at = self._read_long(value & 0x7F, at)
                lengths.append(value)
        except IndexError:
            raise self._error(f"{amount} lengths are expected, the body of {len(body)} bytes ends before") from None
        return lengths, at

    def _read_long(self, value: int, at: int) -> tuple[int, int]:
        """The rest of a varint of several bytes, and where it ends."""
        for shift in (7, 14, 21, 28):
            byte = self._body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not byte or value >= _VARINT_LIMIT:
                    raise self._error(f"a length is not in its shortest form or above 32 bits, at byte {at}")
                return value, at
        raise self._error(f"a length has more than 5 bytes, at byte {at}")

    def _error(self, what: str) -> FrameError:
        return FrameError(f"frame {self._frame_index}: {what}; the page is damaged", frame_index=self._frame_index)
