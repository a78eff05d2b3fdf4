"""The page table of a video that has lost it, and frames with it, as its parity pages tell."""

from __future__ import annotations

import numpy as np

from memvid.errors import FrameError
from memvid.page import PageKind, parse_header, parse_parity_head
from memvid.video.codecs import Frames, PictureVideo, find_pages
from memvid.video.parity import ParityBlock
from memvid.video.table import BARE, PageTable

__all__ = ["find_by_parity", "least_frames"]

_BATCH_FRAMES = 1024  # read at once


def least_frames(payload: bytes, frame_index: int) -> int:
    """How many frames a video has at least that holds this sound page here, which parity knows of those behind it."""
    if parse_header(payload, frame_index=frame_index).kind == PageKind.PARITY:
        try:
            return ParityBlock.of(parse_parity_head(payload, frame_index=frame_index), frame_index).stop
        except FrameError:  # it names an impossible group, and nothing will go by it
            pass
    return frame_index + 1


def find_by_parity(reader: Frames, path: str, *, threads: int = 0) -> tuple[Frames, PageTable] | None:
    """What to read the video by, and its page table, whole. Reads all frames.

    That is ``reader`` where each page that is left is at the place of its number. Where frames were cut out, repeated
    or moved it is a :class:`PictureVideo`, which knows the place of each page; of bare texts, which have no numbers,
    none.

    :param reader: of a video without a page table.
    :param threads: for QR codes; 0 uses the cores this process may run on.
    :returns: ``None`` if no parity page can be read, or frames that were moved hold bare texts.
    :raises FrameError: pages are missing that parity does not bring back; says how many.
    :raises DependencyError: neither PyAV nor OpenCV decodes the video.
    """
    everything = np.arange(reader.frame_count)
    parts = np.array_split(everything, -(-len(everything) // _BATCH_FRAMES))
    found = find_pages(payload for part in parts for payload in reader.read(part)[0])
    if not found.parity:
        return None
    if all(number == position for number, position in found.positions.items()):
        table, positions = found.table(path, lambda pages: reader.read(pages)[0])
        if len(positions) == reader.frame_count:
            return reader, table
    if any(row[0] == BARE for row in found.rows.values()):
        return None
    pictures = PictureVideo(path, threads=threads)
    try:
        blob = pictures.page_table
        return pictures, PageTable.from_bytes(blob)
    except BaseException:
        pictures.close()
        raise
