"""A file of named sections, which is mapped: what an index has of a segment beside its vectors.

Little endian; offsets are from the file's own start, so that it may lie inside another file::

    8 bytes "MVRECORD" | u32 version | u32 sections
    for each section: 16 bytes name, ASCII, padded with zeros | u64 offset | u64 bytes
    the sections in that order, each on a border of 64 bytes, zeros between; nothing behind the last one
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from memvid.storage.disk import native_output_errors, output_errors
from memvid.storage.files import open_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Buffer

__all__ = ["SectionFileError", "SectionWriter", "read_sections"]

VERSION = 1
_MAGIC = b"MVRECORD"
_HEAD = struct.Struct("<8s2I")
_ENTRY = struct.Struct("<16s2Q")
_BORDER = 64
_MOST = 64  # sections


class SectionFileError(Exception):
    """What is wrong with a file, in words; never leaves this package."""


class SectionWriter:
    """Writes a file, a section after another. A context manager; what is left without :meth:`finish` is no such file.

    :param names: of the sections to come, in their order.
    """

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._path = path
        self._names = names
        self._entries: list[bytes] = []
        with output_errors(path):
            self._file: BinaryIO = os.fdopen(open_private(path), "r+b")
            self._file.truncate()
            self._file.write(bytes(_HEAD.size + _ENTRY.size * len(names)))

    def add(self, name: str, *buffers: Buffer) -> None:
        """Write a section, of bytes that follow each other.

        :raises OutputError: the disk is full.
        """

        def write(_: Path, __: int) -> int:
            return sum(self._file.write(buffer) for buffer in buffers)

        self.append(name, write)

    def append(self, name: str, write: Callable[[Path, int], int]) -> None:
        """Have a section written by somebody else: ``write(path, size)`` appends it behind ``size`` bytes, returns its
        bytes.

        :raises OutputError: the disk is full.
        """
        if name != self._names[len(self._entries)]:
            raise ValueError(f"section {name!r} is not the next one")
        with output_errors(self._path):
            self._file.seek(0, os.SEEK_END)
            self._file.write(bytes(-self._file.tell() % _BORDER))
            self._file.flush()
            begin = self._file.tell()
            with native_output_errors(self._path):
                nbytes = write(self._path, begin)
        self._entries.append(_ENTRY.pack(name.encode(), begin, nbytes))

    def finish(self) -> None:
        """Write what names the sections, and close the file.

        :raises OutputError: the disk is full.
        """
        if len(self._entries) != len(self._names):
            raise ValueError(f"section {self._names[len(self._entries)]!r} is missing")
        with output_errors(self._path), self._file:
            self._file.seek(0)
            self._file.write(_HEAD.pack(_MAGIC, VERSION, len(self._entries)) + b"".join(self._entries))

    def close(self) -> None:
        """Close the file as it is. Nobody needs it any more: whether the disk takes the rest does not matter."""
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> SectionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_sections(data: memoryview) -> dict[str, memoryview]:
    """The sections of a file by name, views of it.

    :raises SectionFileError: it is none.
    """
    if len(data) < _HEAD.size:
        raise SectionFileError(f"{len(data)} bytes are too few")
    magic, version, count = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise SectionFileError("it is another kind of file")
    if version != VERSION:
        raise SectionFileError(f"it has version {version}, this release reads {VERSION}")
    end = _HEAD.size + count * _ENTRY.size
    if count > _MOST or len(data) < end:
        raise SectionFileError(f"{len(data)} bytes cannot name {count} sections")
    sections: dict[str, memoryview] = {}
    for raw, begin, nbytes in _ENTRY.iter_unpack(data[_HEAD.size : end]):
        name = raw.rstrip(b"\0").decode("ascii", "replace")
        if begin != end + -end % _BORDER or nbytes > len(data) - begin or name in sections:
            raise SectionFileError(f"section {name!r} is not where it should be")
        if any(data[end:begin]):
            raise SectionFileError(f"there is something in front of section {name!r}")
        sections[name] = data[begin : begin + nbytes]
        end = begin + nbytes
    if end != len(data):
        raise SectionFileError(f"{len(data) - end} bytes are behind its last section")
    return sections
