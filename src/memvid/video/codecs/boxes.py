"""Our page table in an MP4 that another program has written: a ``uuid`` box behind all others (docs/format.md)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from memvid.types import StrPath

__all__ = ["append_page_table", "find_page_table"]

_TABLE_UUID = b"memvid-page-tab1"
_HEADER = struct.Struct(">I4s")
_WIDE = struct.Struct(">Q")
_MAX_BOXES = 4096  # of files with fragments there are more, but none of ours


def append_page_table(path: Path, table: bytes) -> None:
    """Put the table at the end of a complete MP4 file. Players skip boxes that they do not know."""
    size = _HEADER.size + len(_TABLE_UUID) + len(table)
    with path.open("ab") as file:
        file.write(_HEADER.pack(size, b"uuid") + _TABLE_UUID + table)


def find_page_table(path: StrPath) -> bytes | None:
    """The page table of such a file, or nothing where there is none: another container, or re-muxed by someone."""
    with Path(path).open("rb") as file:
        for name, start, end in _boxes(file):
            if name != b"uuid":
                continue
            file.seek(start)
            if file.read(len(_TABLE_UUID)) == _TABLE_UUID:
                return file.read(end - start - len(_TABLE_UUID))
    return None


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Names of the outermost boxes, and where their bodies start and end; none in what is no MP4."""
    total = os.fstat(file.fileno()).st_size
    position = 0
    for _ in range(_MAX_BOXES):
        file.seek(position)
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return
        size, name = _HEADER.unpack(head)
        body = position + _HEADER.size
        if size == 1:
            wide = file.read(_WIDE.size)
            size = _WIDE.unpack(wide)[0] if len(wide) == _WIDE.size else 0
            body += _WIDE.size
        elif size == 0:
            size = total - position
        if position + size < body or position + size > total or (position == 0 and name != b"ftyp"):
            return
        yield name, body, position + size
        position += size
