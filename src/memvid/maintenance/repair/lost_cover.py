"""The cover of a memory that is repaired, found among what was salvaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from memvid.errors import VideoError
from memvid.maintenance.repair.salvage import Slot
from memvid.page import HeaderInfo, PageKind, decode_header_body, open_blob, page_checksum, parse_header
from memvid.page.reading import run_parts
from memvid.video import PageTable, make_cover
from memvid.video.cover import cover_text, is_cover_text

__all__ = ["find_cover", "make_cover_again"]

_MOST_DOCUMENTS = 1 << 16


def find_cover(texts: Iterable[Slot], pages: dict[int, bytes], table: PageTable | None) -> bytes | None:
    """The cover among what was read and is no page, by what header page or page table says of it.

    :param pages: payloads of one memory by page number.
    """
    is_cover = _recognised_by(pages, table)
    return next((slot.payload for slot in texts if slot.payload is not None and is_cover(slot.payload)), None)


def make_cover_again(header: HeaderInfo, chunks: int) -> bytes | None:
    """A cover in place of a lost one: as it was, which its checksum tells, or else one that is true of what is left.

    :param chunks: how many are left.
    """
    known = {"title": header.title, "date": header.date}
    for documents in range(min(header.chunks, _MOST_DOCUMENTS) + 1):  # all else that it said, the header page says, too
        payload = cover_text(chunks=header.chunks, documents=documents, **known).encode()
        if page_checksum(payload) == header.cover:
            return payload
    return make_cover(header.symbol_version, chunks=chunks, documents=0, **known)


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
            continue
    if table is not None and len(table):
        return _by_checksum(int(table.checksums[0]) if table.has_cover else None)
    return is_cover_text


def _by_checksum(checksum: int | None) -> Callable[[bytes], bool]:
    return lambda payload: page_checksum(payload) == checksum
