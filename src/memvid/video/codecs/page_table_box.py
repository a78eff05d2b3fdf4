"""Our page table in an MP4 that another program has written: a ``uuid`` box behind all others (docs/format.md)."""

from __future__ import annotations

import os
from pathlib import Path

from memvid.types import StrPath
from memvid.video.mp4_boxes import PAGE_TABLE_UUID, BoxError, extended_box, walk_boxes

__all__ = ["append_page_table", "find_page_table"]


def append_page_table(path: Path, table: bytes) -> None:
    """Put the table at the end of a complete MP4 file. Players skip boxes that they do not know."""
    with path.open("ab") as file:
        file.write(extended_box(PAGE_TABLE_UUID, table))


def find_page_table(path: StrPath) -> bytes | None:
    """The page table of such a file, or nothing where there is none: another container, or re-muxed by someone."""
    with Path(path).open("rb") as file:

        def read(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        try:
            for box in walk_boxes(read, 0, os.fstat(file.fileno()).st_size):
                if box.start == 0 and box.name != b"ftyp":
                    return None
                if box.name == b"uuid" and read(box.body, len(PAGE_TABLE_UUID)) == PAGE_TABLE_UUID:
                    return file.read(box.end - box.body - len(PAGE_TABLE_UUID))
        except BoxError:
            return None
    return None
