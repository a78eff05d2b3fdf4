"""What is left of a video that cannot be opened, as frames are lost: which chunks, and what it says there were."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from memvid.errors import MemvidError
from memvid.page import (
    ChunkIds,
    HeaderInfo,
    PageHeader,
    PageKind,
    decode_commit,
    decode_header_body,
    is_page,
    open_blob,
    read_page,
)
from memvid.page.reading import run_parts

__all__ = ["LeftPages"]


@dataclass(slots=True)
class LeftPages:
    """Pages of one memory, wherever they were found.

    :ivar tag: of the memory; ``None`` without a page.
    """

    tag: int | None = None
    _parts: dict[int, tuple[PageHeader, int, int]] = field(default_factory=dict)
    _told: dict[int, bytes] = field(default_factory=dict)  # payloads of header page and commits

    @classmethod
    def of(cls, payloads: Iterable[bytes | None]) -> LeftPages:
        """Those among what was read of each picture."""
        left = cls()
        for payload in payloads:
            if payload is not None and is_page(payload):
                with suppress(MemvidError):  # damaged
                    left._take(payload)
        return left

    def _take(self, payload: bytes) -> None:
        number = int.from_bytes(payload[12:16], "little")
        header = read_page(payload, frame_index=number, tag=self.tag)
        self.tag = header.tag
        self._parts[number] = (header, *run_parts(header, payload, frame_index=number))
        if header.kind in (PageKind.HEADER, PageKind.COMMIT, PageKind.CONTINUATION) and header.first_chunk == 0:
            self._told[number] = payload

    @property
    def pages(self) -> int:
        """How many there are."""
        return len(self._parts)

    @property
    def chunks(self) -> ChunkIds:
        """The chunks of all pages and runs that are whole."""
        return ChunkIds.of_ranges(
            (header.first_chunk, header.first_chunk + header.count - 1)
            for number, (header, _, parts) in self._parts.items()
            if header.kind == PageKind.DATA and header.count and self._is_whole(number, parts)
        )

    @property
    def header(self) -> HeaderInfo | None:
        """The header page, if it is whole."""
        for number in self._numbers_of(PageKind.HEADER):
            with suppress(MemvidError):
                return decode_header_body(self._blob(PageKind.HEADER, number))
        return None

    @property
    def added(self) -> list[range]:
        """The chunks that each commit says it has added."""
        found = []
        for number in self._numbers_of(PageKind.COMMIT):
            with suppress(MemvidError):
                found.append(decode_commit(self._blob(PageKind.COMMIT, number), frame_index=number).chunk_ids)
        return found

    def _numbers_of(self, kind: PageKind) -> list[int]:
        return [number for number, (header, _, _) in self._parts.items() if header.kind == kind]

    def _blob(self, kind: PageKind, number: int) -> bytes:
        parts = self._parts[number][2]
        payloads = [self._told[at] for at in range(number, number + min(parts, len(self._told))) if at in self._told]
        return open_blob(kind, payloads, first_frame=number)

    def _is_whole(self, number: int, parts: int) -> bool:
        """Whether all parts of a run are there; a page can claim four billion."""
        return parts <= len(self._parts) and all(at in self._parts for at in range(number, number + parts))
