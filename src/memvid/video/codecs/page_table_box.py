"""Our page table in an MP4 that another program has written: a ``uuid`` box behind all others (docs/format.md)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from memvid.storage.files import open_private
from memvid.storage.mp4_boxes import PAGE_TABLE_UUID, BoxError, extended_box, walk_boxes
from memvid.types import StrPath
from memvid.video.video_bytes import VideoBytes

__all__ = ["append_page_table", "find_page_table"]


def append_page_table(path: Path, table: bytes) -> None:
    """Put the table at the end of a complete MP4 file. Players skip boxes that they do not know."""
    with os.fdopen(open_private(path, create=False), "r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(extended_box(PAGE_TABLE_UUID, table))


def find_page_table(path: StrPath) -> bytes | None:
    """The page table of such a file, or nothing where there is none: another container, or re-muxed by someone.

    Nothing, too, where the disk does not give all of it.
    """
    with VideoBytes(Path(path)) as file, suppress(BoxError):
        for box in walk_boxes(file.read, 0, len(file)):
            if box.start == 0 and box.name != b"ftyp":
                break
            table = box.body + len(PAGE_TABLE_UUID)
            if box.name == b"uuid" and file.read(box.body, len(PAGE_TABLE_UUID)) == PAGE_TABLE_UUID:
                return file.read_whole(table, box.end - table)
    return None
