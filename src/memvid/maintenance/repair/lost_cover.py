"""The cover of a memory that is repaired, found among what was salvaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from memvid.errors import VideoError
from memvid.maintenance.repair.salvage import Slot
from memvid.page import PageKind, decode_header_body, open_blob, page_checksum, parse_header
from memvid.page.reading import run_parts
from memvid.video import PageTable
from memvid.video.cover import is_cover_text

__all__ = ["find_cover"]


def find_cover(texts: Iterable[Slot], pages: dict[int, bytes], table: PageTable | None) -> bytes | None:
    """The cover among what was read and is no page, by what header page or page table says of it.

    :param pages: payloads of one memory by page number.
    """
    is_cover = _recognised_by(pages, table)
    return next((slot.payload for slot in texts if slot.payload is not None and is_cover(slot.payload)), None)


def _recognised_by(pages: dict[int, bytes], table: PageTable | None) -> Callable[[bytes], bool]:
    """How the cover is told from bare texts, which can say the same: by its words only where nothing else is left."""
    for number in sorted(pages):
        header = parse_header(pages[number], frame_index=number)
        if header.kind != PageKind.HEADER:
            continue
        try:
            _, parts = run_parts(header, pages[number], frame_index=number)
            payloads = [pages[at] for at in range(number, number + min(parts, len(pages))) if at in pages]
            body = open_blob(PageKind.HEADER, payloads, first_frame=number, tag=header.tag)
            return _by_checksum(decode_header_body(body).cover)
        except VideoError:
            break
    if table is not None and len(table):
        return _by_checksum(int(table.checksums[0]) if table.has_cover else None)
    return is_cover_text


def _by_checksum(checksum: int | None) -> Callable[[bytes], bool]:
    return lambda payload: page_checksum(payload) == checksum
