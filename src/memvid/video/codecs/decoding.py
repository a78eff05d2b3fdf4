"""Payloads out of pictures, and what a whole video of them holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.errors import FrameError, MemvidError, VideoFormatError
from memvid.page import (
    PageHeader,
    PageKind,
    ParityHead,
    is_page,
    page_checksum,
    parse_header,
    parse_parity_head,
    read_page,
    seal,
)
from memvid.remedies import IMPORT_REMEDY, REMEDY
from memvid.video.codecs.bare_texts import BareTexts, Shown
from memvid.video.codecs.picture_limits import BATCH_PIXELS
from memvid.video.codecs.sources import Picture, Pictures
from memvid.video.parity import ParityBlock, ParityGroup, parity_pages
from memvid.video.table import BARE, COVER, PageTable, PageTableBuilder

__all__ = ["FoundPages", "batches", "decode_pictures", "find_pages", "read_payloads"]

Decode: TypeAlias = "Callable[[Sequence[Picture | None]], list[bytes | None]]"
ReadPages = Callable[[NDArray[np.int64]], "list[bytes | None]"]

_PARITY_FACTOR = 4  # groups looked at for each picture of the video; a real one has less than one
_BATCH = 64  # pictures in memory at a time


def decode_pictures(
    pictures: Sequence[Picture | None], *, budget: _core.DetectionBudget | None = None, threads: int = 0
) -> tuple[list[bytes | None], NDArray[np.uint8]]:
    """Payloads of pictures, ``uint8[height, width]`` each, and a status for each, 0 where there is a payload.

    ``None`` is a picture that could not be had. One native call, in parallel. A page's own checksum is verified; a
    bare text has none.

    :param budget: what the detector may do in vain, here and elsewhere; ``None``: a second's work.
    """
    reader = _core.PictureReader(
        lambda wanted: [pictures[i] for i in wanted], len(pictures), budget=budget, threads=threads
    )
    return reader.read(np.arange(len(pictures), dtype=np.int64))


def batches(pictures: Iterable[Picture | None]) -> Iterator[list[Picture | None]]:
    """The pictures, in lists of as many as may be in memory at a time."""
    batch: list[Picture | None] = []
    pixels = 0
    for picture in pictures:
        batch.append(picture)
        pixels += 0 if picture is None else picture.size
        if len(batch) == _BATCH or pixels >= BATCH_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def read_payloads(source: Pictures, decode: Decode | None = None, *, threads: int = 0) -> Iterator[bytes | None]:
    """The payload of each picture in turn, ``None`` where none can be read; some pictures in memory at a time.

    A picture that is shown again and again is read once.

    :param decode: gives the payloads of some pictures; ``None`` is :func:`decode_pictures`.
    """
    if decode is None:

        def decode(pictures: Sequence[Picture | None]) -> list[bytes | None]:
            return decode_pictures(pictures, budget=source.detection_budget, threads=threads)[0]

    shown: Picture | None = None
    payload: bytes | None = None
    for batch in batches(source.pictures()):
        before = [shown, *batch[:-1]]
        shown = batch[-1]
        changed = [at for at, pair in enumerate(zip(before, batch, strict=True)) if not _is_same(*pair)]
        found = iter(decode([batch[at] for at in changed]))
        anew = set(changed)
        for at in range(len(batch)):
            if at in anew:
                payload = next(found)
            yield payload


def _is_same(old: Picture | None, new: Picture | None) -> bool:
    return old is not None and new is not None and np.array_equal(old, new)


@dataclass(slots=True)
class FoundPages:
    """What the frames of a video hold.

    :ivar payloads: checksum and place in the page table of every page that was read, by its number.
    :ivar positions: where in the video each of them is shown first.
    :ivar parity: what the parity pages among them protect, by their numbers.
    :ivar cover: checksum and position of what is in front of all pages, and no page.
    :ivar frames: pictures in the video.
    :ivar texts: what is shown between the pages.
    :ivar trailing: how many of them, behind all others, hold nothing that can be read.
    """

    rows: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    parity: dict[int, ParityHead] = field(default_factory=dict)
    tag: int | None = None
    cover: tuple[int, int] | None = None
    frames: int = 0
    trailing: int = 0
    texts: BareTexts = field(default_factory=BareTexts)

    def add(self, payload: bytes | None) -> None:
        """Note the next picture's payload."""
        self.trailing = 0 if self._take(payload) else self.trailing + 1

    def _take(self, payload: bytes | None) -> bool:
        """Whether the next picture holds something of this memory."""
        position = self.frames
        self.frames += 1
        header = self._header_of(payload, position)
        if payload is None or header is None:
            text = None if payload is None or is_page(payload) else page_checksum(payload)
            if self.tag is not None:
                self.texts.add(Shown(position, text))
            elif text is not None and self.cover is None:
                self.cover = text, position
            return text is not None and self.tag is not None
        self.texts.add_page(header, payload)
        self.rows.setdefault(header.page_number, (header.kind, header.count, header.first_chunk, header.checksum))
        self.positions.setdefault(header.page_number, position)
        return True

    def _header_of(self, payload: bytes | None, position: int) -> PageHeader | None:
        """The header of a page of this memory; ``None`` if it is none."""
        if payload is None or not is_page(payload):
            return None
        try:
            header = parse_header(payload, frame_index=position)
            if self.tag is None:
                self.tag = header.tag
            if header.tag != self.tag:
                return None
            if header.kind == PageKind.PARITY:
                self.parity.setdefault(header.page_number, parse_parity_head(payload, frame_index=header.page_number))
        except MemvidError:
            return None
        return header

    def place_texts(self) -> None:
        """Say which frames the bare texts are, once all pictures have been seen."""
        for frame, shown in self.texts.place().items():
            self.rows.setdefault(frame, (BARE, 1, -1, shown.checksum or 0))
            self.positions.setdefault(frame, shown.position)

    def table(self, path: str, read: ReadPages) -> tuple[PageTable, NDArray[np.int64]]:
        """The page table, and the position of each page, -1 for those that parity alone has.

        :param read: gives the payloads of pages that are there, by their numbers; for parity, if any are missing.
        :raises VideoFormatError: there is no page at all.
        :raises FrameError: pages are missing that parity does not bring back; the message says how many.
        """
        if self.tag is None:
            text = "" if self.cover is None else f"; if it is a memory of bare texts without its first frames, {REMEDY}"
            raise VideoFormatError(
                f"{path}: none of its {self.frames} frames holds a page of memvid; {IMPORT_REMEDY}{text}"
            )
        if self.cover is not None and 0 not in self.rows:
            self.rows[0], self.positions[0] = (COVER, 0, 0, self.cover[0]), self.cover[1]
        blocks = sorted({ParityBlock.of(head, number) for number, head in self.parity.items()})
        count = max(max(self.rows) + 1, *(block.stop for block in blocks), 0)
        if count > len(self.rows):  # not a list of those that are missing: a page can be number four billion
            left = _PARITY_FACTOR * self.frames  # how many groups there are is not for a page to claim
            for block in blocks:
                if block.groups <= left:
                    left -= block.groups
                    for group in map(block.group, range(block.groups)):
                        self._rebuild(block, group, read)
        if self.texts.fault is not None:
            frame, fault = self.texts.fault
            raise FrameError(f"{path}: {fault}; some were repeated or lost in re-encoding: {REMEDY}", frame_index=frame)
        if count > len(self.rows):
            raise self._loss(path, count)
        if self.trailing and not blocks:
            raise FrameError(
                f"the last {self.trailing} of {self.frames} frames of {path} cannot be read, and without its page "
                f"table nothing says what was in them: {REMEDY}",
                frame_index=self.frames - self.trailing,
            )
        builder = PageTableBuilder()
        for number in range(count):
            kind, chunks, first_chunk, checksum = self.rows[number]
            if kind == BARE:
                builder.add_text(checksum)
            else:
                builder.add(kind, chunks, first_chunk, checksum)
        positions = np.array([self.positions.get(number, -1) for number in range(count)], np.int64)
        return builder.build(self.tag), positions

    def _loss(self, path: str, count: int) -> FrameError:
        """What is missing of so many frames."""
        first = next(number for number, known in enumerate([*sorted(self.rows), None]) if number != known)
        if self.texts.unplaced:
            why = f"has lost frames to re-encoding, and nothing says which {self.texts.unplaced} bare texts are left"
        else:
            why = f"has lost {count - len(self.rows)} of {count} frames, the first of them {first}, to re-encoding"
        parity = " and more than parity brings back" if self.parity else ""
        return FrameError(f"{path} {why}{parity}: {REMEDY}", frame_index=first)

    def _rebuild(self, block: ParityBlock, group: ParityGroup, read: ReadPages) -> None:
        """Fill in the rows of pages of a group that are missing, as far as it brings them back.

        Not of bare texts: without a page table nothing proves one. Of a cover the pages do from which it is computed.
        """
        frames = [*group.members, *group.parity]
        there = [frame for frame in frames if frame in self.positions]
        if len(there) == len(frames):
            return
        payloads = read(np.array(there, np.int64))
        left = {frame: payload for frame, payload in zip(there, payloads, strict=True) if payload is not None}
        with suppress(MemvidError):
            rebuilt = group.rebuild(left)
            for frame, payload in rebuilt.items():
                if frame == 0 and not is_page(payload):
                    self.rows[0] = (COVER, 0, 0, page_checksum(payload))
                    continue
                header = read_page(payload, frame_index=frame, tag=self.tag)
                self.rows[frame] = (header.kind, header.count, header.first_chunk, header.checksum)
            whole = [(left | rebuilt)[frame] for frame in group.members]
            for frame, page in zip(group.parity, parity_pages(whole, block, group), strict=True):
                checksum = page_checksum(seal(page, tag=self.tag or 0, page_number=frame))
                self.rows.setdefault(frame, (PageKind.PARITY, 0, 0, checksum))


def find_pages(payloads: Iterable[bytes | None]) -> FoundPages:
    """Which pages a video holds, from the payloads of all its frames in order."""
    found = FoundPages()
    for payload in payloads:
        found.add(payload)
    found.place_texts()
    return found
