"""The cover of a memory that is repaired, found among what was salvaged."""

from __future__ import annotations

from collections.abc import Iterable

from memvid.errors import VideoError
from memvid.maintenance.repair.salvage import Slot
from memvid.page import PageKind, decode_header_body, open_blob, page_checksum, parse_header
from memvid.page.reading import run_parts
from memvid.video import PageTable
from memvid.video.cover import is_cover_text

__all__ = ["find_cover"]


def find_cover(texts: Iterable[Slot], pages: dict[int, bytes], table: PageTable | None) -> bytes | None:
    """The cover among what was read and is no page, by what page table or header page says of it.

    :param pages: payloads of one memory by page number.
    """
    checksum = _expected(pages, table)
    payloads = (slot.payload for slot in texts if slot.payload is not None)
    if checksum is None:  # header page and table are lost, or it never had one
        return next(filter(is_cover_text, payloads), None)
    return next((payload for payload in payloads if page_checksum(payload) == checksum), None)


def _expected(pages: dict[int, bytes], table: PageTable | None) -> int | None:
    if table is not None and table.has_cover:
        return int(table.checksums[0])
    for number in sorted(pages):
        header = parse_header(pages[number], frame_index=number)
        if header.kind != PageKind.HEADER:
            continue
        try:
            _, parts = run_parts(header, pages[number], frame_index=number)
            payloads = [pages[at] for at in range(number, number + min(parts, len(pages))) if at in pages]
            body = open_blob(PageKind.HEADER, payloads, first_frame=number, tag=header.tag)
            return decode_header_body(body).cover
        except VideoError:
            return None
    return None
