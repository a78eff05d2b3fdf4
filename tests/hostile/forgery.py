"""Memories whose pages say anything, behind checksums that are right, and whether memvid keeps its word about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memvid import _core
from memvid.errors import ChunkTooLargeError, FrameError, MemvidError
from memvid.page import (
    HEADER_BYTES,
    PageBody,
    PageFlag,
    PageHeader,
    PageKind,
    Record,
    RecordPage,
    encode_body,
    is_page,
    page_checksum,
    parse_header,
    seal,
)
from memvid.video import BARE, PageStore, PageTable, PageTableBuilder, VideoReader

__all__ = ["Forgery", "Page", "stored_chunks"]

VERSION = 10


@dataclass(slots=True)
class Page:
    """A page to be sealed, or a bare text.

    :ivar number: its page number; ``None`` takes that of its frame.
    :ivar chunk: of a bare text, its id.
    """

    kind: int
    flags: int
    count: int
    first_chunk: int
    body: bytes
    tag: int | None = None
    number: int | None = None

    def records(self) -> list[Record] | None:
        """Its chunks, if they lie there as they are."""
        if self.kind not in (PageKind.DATA, PageKind.ATTRIBUTES) or self.flags & 7:
            return None
        try:
            page = RecordPage(self.body, self.count)
        except FrameError:
            return None
        return [Record(page.text_bytes(slot), page.metadata_bytes(slot)) for slot in range(len(page))]

    def put(self, records: list[Record]) -> None:
        self.body, self.count = encode_body(records), len(records)


class Forgery:
    """The pages of a memory, to be changed, and a video made of them."""

    def __init__(self, video: Path) -> None:
        reader = VideoReader(video)
        self.table = reader.table
        self.pages = [_parse(payload, int(reader.table.first_chunks[frame])) for frame, payload in reader.read_all()]
        reader.close()

    @property
    def header(self) -> dict[str, object] | None:
        """The parameters in the header page, if there are any."""
        try:
            return json.loads(self._header_text().rstrip(b"\n").rpartition(b"\n")[2])  # type: ignore[no-any-return]
        except ValueError:
            return None

    def set_header(self, values: dict[str, object]) -> None:
        """Write another header page, in as many pages as it takes."""
        words = self._header_text().rstrip(b"\n").rpartition(b"\n")[0]
        text = words + b"\n" + json.dumps(values).encode() + b"\n"
        room = _core.symbol_capacity(_core.SymbolOptions(version=VERSION)) - HEADER_BYTES - 8 - 46
        slices = [text[at : at + room] for at in range(0, len(text), room)]
        run = [
            Page(
                PageKind.CONTINUATION if part else PageKind.HEADER, PageFlag.RUN, 0, 0,
                part.to_bytes(4, "little") + len(slices).to_bytes(4, "little") + piece,
            )
            for part, piece in enumerate(slices)
        ]  # fmt: skip
        self.pages[: self._front()] = run

    def payloads(self) -> list[bytes]:
        made = []
        for frame, page in enumerate(self.pages):
            if page.kind == BARE:
                made.append(page.body)
                continue
            body = PageBody(page.kind, page.flags, page.count, page.first_chunk, page.body)  # type: ignore[arg-type]
            tag = self.table.tag if page.tag is None else page.tag
            made.append(seal(body, tag=tag, page_number=frame if page.number is None else page.number))
        return made

    def write(self, video: Path, table: bytes | None = None) -> bool:
        """Write the video, without an index. Returns whether that can be: not every payload can be drawn.

        :param table: the page table; ``None`` makes the one that the pages say.
        """
        payloads = self.payloads()
        writer = _core.FrameWriter(video, _core.SymbolOptions(version=VERSION), threads=1)
        try:
            writer.write(payloads)
        except (ChunkTooLargeError, MemvidError):
            return False
        writer.finish(self.make_table(payloads) if table is None else table)
        return True

    def make_table(self, payloads: list[bytes]) -> bytes:
        """The page table that the pages say; where they contradict each other, their kinds and counts."""
        builder = PageTableBuilder()
        try:
            for payload, page in zip(payloads, self.pages, strict=True):
                builder.add(int(page.kind), page.count, page.first_chunk, page_checksum(payload))
            return builder.build(self.table.tag).to_bytes()
        except (MemvidError, OverflowError):
            kinds = np.array([page.kind for page in self.pages], np.uint8)
            counts = np.array([page.count if page.kind in (PageKind.DATA, BARE) else 0 for page in self.pages])
            sums = np.array([page_checksum(payload) for payload in payloads], np.uint32)
            return PageTable.from_columns(self.table.tag, kinds, counts.astype(np.uint16), sums).to_bytes()

    def _header_text(self) -> bytes:
        return b"".join(page.body[8 if page.flags & PageFlag.RUN else 0 :] for page in self.pages[: self._front()])

    def _front(self) -> int:
        end = 1
        while end < len(self.pages) and self.pages[end].kind == PageKind.CONTINUATION:
            end += 1
        return end


def _parse(payload: bytes, first_chunk: int) -> Page:
    if not is_page(payload):
        return Page(BARE, 0, 1, first_chunk, payload)
    header: PageHeader = parse_header(payload, frame_index=0)
    return Page(int(header.kind), header.flags, header.count, header.first_chunk, payload[HEADER_BYTES:])


def stored_chunks(video: Path) -> dict[int, tuple[bytes, bytes]]:
    """Text and metadata of each chunk as they lie in the video, without those that were deleted."""
    reader = VideoReader(video)
    store = PageStore(reader, cache_bytes=0)
    found = {
        int(reader.table.first_chunks[frame]) + slot: (page.text_bytes(slot), store.metadata_bytes(page, frame, slot))
        for frame, page in store.scan()
        for slot in range(len(page))
    }
    gone = store.deleted.contains(np.fromiter(found, np.int64, len(found))).tolist()
    reader.close()
    return {chunk: kept for (chunk, kept), away in zip(found.items(), gone, strict=True) if not away}
