"""Header page and dictionary among salvaged pages: a whole copy, or one put together of what two have left."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from memvid.errors import VideoError
from memvid.maintenance.repair.page_runs import Sorted
from memvid.maintenance.verify.findings import Findings
from memvid.page import (
    PageDecompressor,
    PageKind,
    decode_header_body,
    open_blob,
    parse_header,
    reseal,
)
from memvid.page.reading import run_parts
from memvid.video import PageTable

__all__ = ["find_front"]


def find_front(
    pages: dict[int, bytes], table: PageTable | None, result: Sorted, path: object, findings: Findings
) -> tuple[PageDecompressor, set[int]]:
    """Find both and note them in ``result``.

    :param pages: payloads by page number.
    :returns: what opens compressed pages, and the numbers of all pages of the front and its copies.
    """
    pieces = _pieces(pages)
    header = _Copies(PageKind.HEADER, pieces, table, {0, 1})
    try:
        if header:
            payloads = header.put_together(result.tag)
            result.header = decode_header_body(open_blob(PageKind.HEADER, payloads, first_frame=header.start))
            result.header_pages = payloads
            result.header_frame = int(result.header.cover is not None)
    except VideoError as error:
        findings.error("page", f"page {header.start} cannot be opened: {error}", path, frame=header.start)
    behind = header.stops | {result.header_frame + header.parts}
    dictionary = _Copies(PageKind.DICTIONARY, pieces, table, behind)
    decompressor = PageDecompressor()
    try:
        if dictionary:
            payloads = dictionary.put_together(result.tag)
            body = open_blob(PageKind.DICTIONARY, payloads, first_frame=dictionary.start)
            decompressor = PageDecompressor(body)
            result.dictionary, result.dictionary_pages = body, payloads
    except VideoError as error:
        findings.error("page", f"page {dictionary.start} cannot be opened: {error}", path, frame=dictionary.start)
    return decompressor, header.numbers | dictionary.numbers


@dataclass(frozen=True, slots=True)
class _Piece:
    """A page that may be one of the front."""

    number: int
    kind: PageKind
    flags: int
    part: int
    parts: int
    payload: bytes

    @property
    def start(self) -> int:
        """Where the run begins that it is of."""
        return self.number - self.part


def _pieces(pages: dict[int, bytes]) -> list[_Piece]:
    found = []
    for number in sorted(pages):
        header = parse_header(pages[number], frame_index=number)
        continues = header.kind == PageKind.CONTINUATION and header.first_chunk == 0
        if continues or header.kind in (PageKind.HEADER, PageKind.DICTIONARY):
            with suppress(VideoError):  # which whoever goes through all pages names
                part, parts = run_parts(header, pages[number], frame_index=number)
                found.append(_Piece(number, header.kind, header.flags, part, parts, pages[number]))
    return found


class _Copies:
    """What is left of the copies of one page, or run; false if there is nothing.

    :param starts: where one may begin whose first page is lost.
    :ivar parts: how many pages each has.
    :ivar numbers: of all pages that are left of them.
    :ivar stops: behind each of them.
    """

    def __init__(self, kind: PageKind, pieces: list[_Piece], table: PageTable | None, starts: Collection[int]) -> None:
        heads = [piece for piece in pieces if piece.kind == kind]
        told = () if table is None else table.frames_of_kind(kind).tolist()
        starts = {*starts, *told, *(piece.start for piece in heads)}
        shapes = {(piece.parts, piece.flags) for piece in heads[:1]}  # copies are alike

        def continues(piece: _Piece) -> bool:
            alike = piece.start in starts and (piece.parts, piece.flags) in shapes
            return alike and piece.kind == PageKind.CONTINUATION

        self._kind = kind
        self._left = [piece for piece in pieces if piece.kind == kind or continues(piece)]
        self.parts = heads[0].parts if heads else 0
        self.numbers = {piece.number for piece in self._left}
        self.stops = {piece.start + self.parts for piece in self._left}

    def __bool__(self) -> bool:
        return bool(self._left)

    @property
    def start(self) -> int:
        """Where the first of them begins."""
        return min(piece.start for piece in self._left)

    def put_together(self, tag: int) -> list[bytes]:
        """The pages of the first, with those that are left of another one alone in place of lost ones.

        :raises VideoError: a page is lost in all of them.
        """
        left = {piece.part: piece for piece in reversed(self._left)}
        lost = [self.start + part for part in range(self.parts) if part not in left]
        if lost:
            raise VideoError(
                f"{self._kind.name} pages {self.start} to {self.start + self.parts - 1} belong together, and "
                f"{len(lost)} of them are lost (page {lost[0]} first)"
            )
        return [reseal(left[part].payload, tag=tag, page_number=self.start + part) for part in range(self.parts)]
