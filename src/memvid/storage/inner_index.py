"""An index inside its video: boxes of an MP4 file that players skip.

Its side files lie one after the other in a box in front of the movie header, its manifest in one inside it: so the four
letters that make an append count make both count. A copy of the manifest between them finds the side files again when
the movie header is lost. ``docs/format.md``, "An index inside", is normative.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from memvid._core import INDEX_UUID, MANIFEST_UUID, PAGE_TABLE_UUID
from memvid.errors import VideoFormatError
from memvid.storage.files import open_regular, opened
from memvid.storage.mp4_boxes import Box, BoxError, extended_box, walk_boxes

__all__ = [
    "BORDER",
    "InnerManifest",
    "Stretch",
    "find_manifest",
    "find_page_table",
    "measure_use",
    "place_parts",
    "put_index",
]

BORDER = 1 << 16
"""Parts that are larger begin on a multiple of it, so that they can be mapped by themselves on every system."""

_SMALL_BORDER = 64
_HEAD = struct.Struct(">I4sQ16s")
_MOVIE_HEAD = struct.Struct(">I4s")
_LARGEST_MOVIE = (1 << 32) - 1
_STRETCH = 1 << 20
_SIZE = struct.Struct(">I")
_MANIFEST_TYPE = b"uuid" + MANIFEST_UUID
_MANIFEST_START = b"{"


class InnerManifest(NamedTuple):
    """The manifest of an index inside a video, and where in the file its bytes begin."""

    offset: int
    data: bytes


class Stretch(NamedTuple):
    """A part of an index where it is now: some bytes of a file."""

    path: Path
    offset: int
    nbytes: int


def find_manifest(file: BinaryIO, *, limit: int) -> InnerManifest | None:
    """The manifest in the movie header that counts; ``None`` if there is none.

    Of a file that is no whole MP4 any more, the last one that is left, be it in a movie header or in front of it: the
    whole file is searched for it.

    :param limit: most bytes of it that are read.
    :raises OSError: the file cannot be read.
    """
    try:
        return _find(file, MANIFEST_UUID, limit)
    except BoxError:
        return _find_last_manifest(file, limit)


def find_page_table(file: BinaryIO) -> bytes | None:
    """The page table in the movie header that counts; ``None`` if there is none, or the file is no whole MP4."""
    try:
        found = _find(file, PAGE_TABLE_UUID, os.fstat(file.fileno()).st_size)
    except BoxError:
        return None
    return None if found is None else found.data


def _find(file: BinaryIO, uuid: bytes, limit: int) -> InnerManifest | None:
    """A box of the movie header that counts.

    :raises BoxError: there is no movie header, or it is damaged.
    """
    read = partial(_read, file.fileno())
    size = os.fstat(file.fileno()).st_size
    movie = next((box for box in walk_boxes(read, 0, size) if box.name == b"moov"), None)
    if movie is None:
        raise BoxError("there is no movie header", size)
    for box in walk_boxes(read, movie.body, movie.end):
        start = box.body + len(uuid)
        if box.name == b"uuid" and read(box.body, len(uuid)) == uuid:
            return InnerManifest(start, read(start, min(box.end - start, limit)))
    return None


def _find_last_manifest(file: BinaryIO, limit: int) -> InnerManifest | None:
    size = os.fstat(file.fileno()).st_size
    behind = len(_MANIFEST_TYPE) + len(_MANIFEST_START)
    for start in range((size - 1) // _STRETCH * _STRETCH, -1, -_STRETCH):
        begin = max(0, start - _SIZE.size)
        try:
            stretch = _read(file.fileno(), begin, start - begin + _STRETCH + behind)
        except OSError:  # the disk does not give it
            continue
        at = len(stretch)
        while (at := stretch.rfind(_MANIFEST_TYPE + _MANIFEST_START, _SIZE.size, at)) >= 0:
            end = begin + at - _SIZE.size + _SIZE.unpack_from(stretch, at - _SIZE.size)[0]
            content = begin + at + len(_MANIFEST_TYPE)
            if content < end <= size:
                return InnerManifest(content, _read(file.fileno(), content, min(end - content, limit)))
    return None


def place_parts(start: int, sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where in a file the parts of an index go whose box begins at ``start``, and where it ends."""
    offsets, end = [], start + _HEAD.size
    for size in sizes:
        border = BORDER if size > BORDER else _SMALL_BORDER
        offsets.append(end + -end % border)
        end = offsets[-1] + size
    return offsets, end


def put_index(video: Path, parts: Sequence[Stretch], manifest: Callable[[Sequence[int]], bytes]) -> None:
    """Put an index before the movie header at the end of a file, which does not count yet; on return it is on the disk.

    Killed meanwhile, it leaves a file whose last boxes are not whole.

    :param parts: what the index consists of; without any, there is no box of them.
    :param manifest: gives the manifest, told where the parts begin; it is in the movie header, and in front of it.
    :raises VideoFormatError: the file does not end with a movie header, or that has an index already.
    :raises OSError: the disk is full, ...
    """
    with opened(video) as descriptor:
        movie, content = _read_movie(descriptor, video)
        end = movie
        offsets: list[int] = []
        if parts:
            offsets, end = place_parts(movie, [part.nbytes for part in parts])
            _write(descriptor, movie, _HEAD.pack(1, b"uuid", end - movie, INDEX_UUID))
            behind = movie + _HEAD.size
            for part, offset in zip(parts, offsets, strict=True):
                _write(descriptor, behind, bytes(offset - behind))
                _copy(part, descriptor, offset)
                behind = offset + part.nbytes
        copy = extended_box(MANIFEST_UUID, manifest(offsets))
        content += copy
        if _MOVIE_HEAD.size + len(content) > _LARGEST_MOVIE:
            raise VideoFormatError(f"{video} has no room in its movie header for the manifest of an index")
        _write(descriptor, end, copy + _MOVIE_HEAD.pack(_MOVIE_HEAD.size + len(content), b"moov") + content)
        os.fsync(descriptor)


def _read_movie(descriptor: int, video: Path) -> tuple[int, bytes]:
    """Where the movie header at the end of a file begins, and what is in it."""
    read = partial(_read, descriptor)
    last = Box(b"", 0, 0, 0)
    try:
        for box in walk_boxes(read, 0, os.fstat(descriptor).st_size):
            last = box
        content = read(last.body, last.end - last.body)
        inner = walk_boxes(lambda start, size: content[start : start + size], 0, len(content))
        if last.name == b"moov" and not any(content[box.body : box.end].startswith(MANIFEST_UUID) for box in inner):
            return last.start, content
    except BoxError as error:
        raise VideoFormatError(f"{video} cannot take an index: {error}") from error
    raise VideoFormatError(f"{video} does not end with a movie header without an index")


def _read(descriptor: int, offset: int, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := os.pread(descriptor, size - len(data), offset + len(data))):
        data += more
    return data


def _write(descriptor: int, offset: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        done = os.pwrite(descriptor, left, offset)
        left, offset = left[done:], offset + done


def _copy(part: Stretch, descriptor: int, offset: int) -> None:
    with open_regular(part.path) as file:
        for start in range(0, part.nbytes, _STRETCH):
            size = min(_STRETCH, part.nbytes - start)
            data = _read(file.fileno(), part.offset + start, size)
            if len(data) < size:
                raise OSError(errno.EIO, "it is shorter than it was", str(part.path))
            _write(descriptor, offset + start, data)


def measure_use(video: Path) -> tuple[int, int, int]:
    """Of a file that ends with a movie header: where that begins, bytes of it, of the copy of the manifest
    before it and of frames, and bytes of the file.

    :raises BoxError: the file is no whole MP4.
    :raises OSError: it cannot be read.
    """
    with open_regular(video) as file:
        read, size = partial(_read, file.fileno()), os.fstat(file.fileno()).st_size
        *boxes, movie = walk_boxes(read, 0, size)
        used = [box for box in boxes if box.name in (b"ftyp", b"mdat")]
        used += [box for box in boxes[-1:] if read(box.body, len(MANIFEST_UUID)) == MANIFEST_UUID]
    return movie.start, sum(box.end - box.start for box in (*used, movie)), size
