"""What the pictures of a video hold, one after the other: pages, wherever they are, bare texts, and nothing."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from memvid.checks import ID_LIMIT
from memvid.errors import MemvidError
from memvid.page import PageKind, ParityHead, is_page, page_checksum, parse_header, parse_parity_head, read_page
from memvid.page.reading import run_parts
from memvid.video.bare_texts import PageRow, Shown, without_others
from memvid.video.cover import is_cover_text
from memvid.video.parity import ParityBlock
from memvid.video.table import BARE, COVER, LOST, PageTable, PageTableBuilder

__all__ = ["FoundPages", "PageRows"]

_TEXT, _NOTHING, _FOREIGN, _OTHER_HEADER = -1, -2, -3, -4  # in place of a page's number
_CREDIBLE_FRAMES = 1 << 20  # that a page's number may say there were, however little of the video is left
_CREDIBLE_FACTOR = 8  # or so many for each that is left


@dataclass(slots=True, eq=False)
class PageRows:
    """Rows of a page table as far as they are known, by page number; of what is not, the kind is :data:`LOST`.

    :ivar runs: ``uint32[n, 2]``, which part of how many each page is.
    :ivar places: ``int64[n]``, at which picture of the video each is shown first; -1 for what parity alone has.
    """

    kinds: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    first_chunks: NDArray[np.int64]
    checksums: NDArray[np.uint32]
    runs: NDArray[np.uint32]
    places: NDArray[np.int64]

    @classmethod
    def lost(cls, count: int) -> PageRows:
        """Rows of which nothing is known."""
        return cls(
            np.full(count, LOST, np.uint8),
            np.zeros(count, np.uint16),
            np.zeros(count, np.int64),
            np.zeros(count, np.uint32),
            np.zeros((count, 2), np.uint32),
            np.full(count, -1, np.int64),
        )

    def __len__(self) -> int:
        return len(self.kinds)

    def take_text(self, frame: int, chunk_id: int, checksum: int | None, place: int) -> None:
        """Fill in the row of a bare text; without a checksum, of one that was lost."""
        self.kinds[frame], self.counts[frame] = LOST if checksum is None else BARE, 1
        self.first_chunks[frame], self.checksums[frame] = chunk_id, checksum or 0
        self.runs[frame], self.places[frame] = (0, 1), place

    def take_cover(self, checksum: int, place: int) -> None:
        """Fill in the first row."""
        self.kinds[0], self.checksums[0], self.places[0], self.runs[0] = COVER, checksum, place, (0, 1)

    def take_page(self, payload: bytes, frame: int, tag: int | None) -> None:
        """Fill in the row of a page that was brought back.

        :raises FrameError: it is none, or is not that of this frame.
        """
        header = read_page(payload, frame_index=frame, tag=tag)
        self.runs[frame] = run_parts(header, payload, frame_index=frame)
        self.kinds[frame], self.counts[frame], self.checksums[frame] = header.kind, header.count, header.checksum
        self.first_chunks[frame] = min(header.first_chunk, ID_LIMIT)

    def extended(self, count: int) -> PageRows:
        """The same, with more rows of which nothing is known, so that there are so many."""
        more = PageRows.lost(max(count - len(self), 0))
        return PageRows(
            *(np.concatenate([getattr(self, field.name), getattr(more, field.name)]) for field in fields(self))
        )

    def pages(self) -> dict[int, PageRow]:
        """All pages that are known, by their numbers."""
        known = np.flatnonzero((self.kinds != LOST) & (self.kinds != COVER))
        rows = zip(
            self.kinds[known].tolist(), self.first_chunks[known].tolist(), self.counts[known].tolist(), strict=True
        )
        return dict(zip(known.tolist(), (PageRow(*row) for row in rows), strict=True))

    def is_whole(self, frame: int) -> bool:
        """Whether all parts are there of the page, or run of pages, that begins in a frame."""
        parts = int(self.runs[frame, 1])
        rows = self.runs[frame : frame + parts]
        return len(rows) == parts and bool((rows == [[part, parts] for part in range(parts)]).all())

    def lose_parts(self) -> None:
        """Have what is left of runs that are not whole be lost, too."""
        whole = np.zeros(len(self), bool)
        whole[self.runs[:, 1] <= 1] = True
        for start in np.flatnonzero((self.runs[:, 0] == 0) & (self.runs[:, 1] > 1)).tolist():
            if self.is_whole(start):
                whole[start : start + int(self.runs[start, 1])] = True
        self.kinds[~whole] = LOST
        self.checksums[~whole] = self.counts[~whole] = 0

    def table(self, tag: int) -> PageTable:
        """The page table.

        :raises VideoFormatError: chunks are out of order.
        """
        builder = PageTableBuilder()
        known = np.flatnonzero((self.kinds != LOST) | (self.counts > 0))
        for frame, kind, count, first, checksum in zip(
            known.tolist(), self.kinds[known].tolist(), self.counts[known].tolist(),
            self.first_chunks[known].tolist(), self.checksums[known].tolist(), strict=True,
        ):  # fmt: skip
            builder.add_lost(frame - len(builder))
            builder.add(kind, count, first, checksum)
        builder.add_lost(len(self) - len(builder))
        return builder.build(tag)


class FoundPages:
    """Takes the payload of one picture after the other.

    :param tag: of the memory; ``None`` takes that of the first page.
    :ivar tag: of the memory.
    :ivar frames: pictures so far.
    :ivar others: pictures of other memories, by their tags.
    :ivar front: the text in front of all pages, which may be a cover.
    :ivar parity: what parity pages protect, by their numbers.
    """

    def __init__(self, tag: int | None = None) -> None:
        self.tag = tag
        self.frames = 0
        self.others: Counter[int] = Counter()
        self.front: bytes | None = None
        self.parity: dict[int, ParityHead] = {}
        self._has_page = False
        self._numbers = array("q")  # of pages; else _TEXT, _NOTHING, or what is of another memory
        self._kinds = array("B")
        self._counts = array("H")
        self._first_chunks = array("q")
        self._checksums = array("I")
        self._parts, self._of = array("I"), array("I")
        self._sizes = array("I")  # of texts

    def add(self, payload: bytes | None) -> None:
        """Note the next picture's payload; a page is sound."""
        self.frames += 1
        if payload is None:
            self._note(_NOTHING)
        elif not is_page(payload):
            if self.front is None and not self._has_page:
                self.front = payload
            kind = COVER if is_cover_text(payload) else BARE
            self._note(_TEXT, kind, checksum=page_checksum(payload), size=len(payload))
        else:
            try:
                self._take(payload)
            except MemvidError:  # one of a newer release, or that cannot be
                self._note(_NOTHING)

    def _take(self, payload: bytes) -> None:
        header = parse_header(payload, frame_index=self.frames - 1)
        if self.tag is None:
            self.tag = header.tag
        number = header.page_number
        part, parts = run_parts(header, payload, frame_index=number)
        if header.tag != self.tag:
            self.others[header.tag] += 1
            self._note(_OTHER_HEADER if header.kind == PageKind.HEADER else _FOREIGN)
            return
        if header.first_chunk > ID_LIMIT:
            self._note(_NOTHING)
            return
        if header.kind == PageKind.PARITY:
            self.parity.setdefault(number, parse_parity_head(payload, frame_index=number))
        self._has_page = True
        self._note(number, header.kind, header.count, header.first_chunk, header.checksum, part, parts)

    @property
    def trailing(self) -> int:
        """How many pictures behind all others hold nothing that can be read."""
        return next((at for at, number in enumerate(reversed(self._numbers)) if number != _NOTHING), self.frames)

    def rows(self) -> PageRows:
        """The pages, each where it is shown first; nothing of bare texts."""
        numbers = np.array(self._numbers, np.int64)
        credible = max(_CREDIBLE_FRAMES, _CREDIBLE_FACTOR * self.frames)
        blocks = [block.stop for block in self.blocks if block.stop <= credible]
        wanted, at = np.unique(np.where(numbers < credible, numbers, _NOTHING), return_index=True)
        wanted, at = wanted[wanted >= 0], at[wanted >= 0]
        rows = PageRows.lost(max([0, *blocks, *(wanted[-1:] + 1).tolist()]))
        rows.places[wanted] = at
        for column, known in (
            (rows.kinds, self._kinds), (rows.counts, self._counts), (rows.first_chunks, self._first_chunks),
            (rows.checksums, self._checksums), (rows.runs[:, 0], self._parts), (rows.runs[:, 1], self._of),
        ):  # fmt: skip
            column[wanted] = np.array(known, column.dtype)[at]
        return rows

    @property
    def blocks(self) -> list[ParityBlock]:
        """The blocks of parity that pages tell of."""
        return sorted({ParityBlock.of(head, number) for number, head in self.parity.items()})

    def shown(self) -> list[Shown]:
        """What is in each picture; the checksums of texts tell them from each other."""
        pictures = (
            Shown(number) if number >= 0 else Shown(None, checksum, size) if number == _TEXT
            else Shown(None, elsewhere=number == _OTHER_HEADER)
            for number, checksum, size in zip(self._numbers, self._checksums, self._sizes, strict=True)
        )  # fmt: skip
        rows = zip(self._numbers, self._kinds, self._checksums, strict=True)
        return without_others(
            pictures, {checksum for number, kind, checksum in rows if number == _TEXT and kind == COVER}
        )

    @property
    def checksums(self) -> Sequence[int]:
        """Of each picture, that of the page or the text in it."""
        return self._checksums

    def text_at(self, checksum: int) -> int | None:
        """Where a text with a checksum is shown first."""
        texts = np.array(self._numbers, np.int64) == _TEXT
        at = np.flatnonzero(texts & (np.array(self._checksums, np.uint32) == checksum))
        return int(at[0]) if len(at) else None

    def unreadable(self) -> NDArray[np.int64]:
        """``int64[n]``: the pictures that hold nothing that can be read."""
        return np.flatnonzero(np.array(self._numbers, np.int64) == _NOTHING)

    def places_in(self, table: PageTable) -> NDArray[np.int64]:
        """Where each frame of a page table is shown first; -1 for one that is not there."""
        numbers, checksums = np.array(self._numbers, np.int64), np.array(self._checksums, np.uint32)
        places = np.full(len(table), -1, np.int64)
        at = np.flatnonzero((numbers >= 0) & (numbers < len(table)))
        at = at[checksums[at] == table.checksums[numbers[at]]][::-1]
        places[numbers[at]] = at  # of several the last one assigned, which is the first one shown
        waiting: dict[int, list[int]] = {}
        for at in np.flatnonzero(numbers == _TEXT)[::-1].tolist():
            waiting.setdefault(int(checksums[at]), []).append(at)
        for frame in np.flatnonzero((table.kinds == BARE) | (table.kinds == COVER)).tolist():
            texts = waiting.get(int(table.checksums[frame]))
            if texts:  # equal texts are as good as each other
                places[frame] = texts.pop() if len(texts) > 1 else texts[0]
        return places

    def _note(
        self, number: int, kind: int = 0, count: int = 0, first_chunk: int = 0, checksum: int = 0,
        part: int = 0, parts: int = 0, size: int = 0,
    ) -> None:  # fmt: skip
        self._numbers.append(number)
        self._kinds.append(kind)
        self._counts.append(count)
        self._first_chunks.append(first_chunk)
        self._checksums.append(checksum)
        self._parts.append(part)
        self._of.append(parts)
        self._sizes.append(size)
