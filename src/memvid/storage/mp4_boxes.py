"""The boxes of an MP4 file, for files that the native core does not open: those of others, and damaged ones."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from memvid._core import APPEND_UUID, PAGE_TABLE_UUID

__all__ = ["APPEND_MARK", "PAGE_TABLE_UUID", "Box", "BoxError", "append_counts", "extended_box", "walk_boxes"]

_HEADER = struct.Struct(">I4s")
_WIDE = struct.Struct(">Q")
_MAX_BOXES = 1 << 16  # next to each other

APPEND_MARK = _HEADER.pack(_HEADER.size + len(APPEND_UUID) + _WIDE.size, b"uuid") + APPEND_UUID
"""How the box in front of an append begins; the place of the movie header that counts until then follows."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box, and where in its file it begins, its content begins, and it ends."""

    name: bytes
    start: int
    body: int
    end: int


class BoxError(Exception):
    """A box that cannot be; whoever walks says what that means.

    :ivar offset: where it is.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def walk_boxes(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[Box]:
    """The boxes that lie next to each other from ``start`` to ``end``.

    :param read: gives the bytes at an offset: ``read(offset, size)``, fewer where the file ends.
    :raises BoxError: a box is not whole, or there are more than 65,536.
    """
    count = 0
    while start < end:
        head, body = read(start, _HEADER.size), start + _HEADER.size
        if end - start < _HEADER.size or len(head) < _HEADER.size:
            raise BoxError("the last box is not whole", start)
        size, name = _HEADER.unpack(head)
        if size == 0:
            size = end - start
        elif size == 1:
            wide, body = read(body, _WIDE.size), body + _WIDE.size
            if body > end or len(wide) < _WIDE.size:
                raise BoxError("the last box is not whole", start)
            size = _WIDE.unpack(wide)[0]
        count += 1
        if start + size < body or size > end - start or count > _MAX_BOXES:
            raise BoxError(
                f"the box {name.decode('ascii', 'replace')!r} claims {size} bytes, {end - start} are left", start
            )
        yield Box(name, start, body, start + size)
        start += size


def append_counts(read: Callable[[int, int], bytes], offset: int) -> bool:
    """Whether an append begins at a byte of a file, and was committed.

    :param read: as for :func:`walk_boxes`.
    """
    mark = read(offset, len(APPEND_MARK) + _WIDE.size)
    movie = int.from_bytes(mark[len(APPEND_MARK) :], "big")
    return mark.startswith(APPEND_MARK) and movie < offset and read(movie + 4, 4) != b"moov"


def extended_box(uuid: bytes, content: bytes) -> bytes:
    """A whole box of a type that the standard does not have."""
    return _HEADER.pack(_HEADER.size + len(uuid) + len(content), b"uuid") + uuid + content
