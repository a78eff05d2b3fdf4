"""Bare texts of a video without a page table: which frame each is in, and which chunk it is.

Their frames say neither. A text counts only where that is certain: under a wrong id it would be worse than lost.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import NamedTuple

import numpy as np

from memvid.checks import ID_LIMIT
from memvid.page import ChunkIds, HeaderInfo, PageKind

__all__ = [
    "LOST_RUNS",
    "PageRow",
    "Shown",
    "TextZone",
    "find_zones",
    "number_texts",
    "place_texts",
    "take_cover",
    "without_others",
]

LOST_RUNS = 1000
"""Runs of lost chunks that a header page names at most; then some that are there are among them."""


@dataclass(frozen=True, slots=True)
class PageRow:
    """What a page says of its chunks."""

    kind: int
    first_chunk: int
    count: int


class Shown(NamedTuple):
    """One picture of a video.

    :ivar number: of the page in it; ``None`` if there is none.
    :ivar text: what tells its text from others; ``None`` if nothing can be read: it may have been a text.
    :ivar size: bytes of the text.
    :ivar elsewhere: whether it is of another memory, which begins here or before.
    """

    number: int | None
    text: Hashable = None
    size: int = 0
    elsewhere: bool = False


def without_others(shown: Iterable[Shown], covers: Collection[Hashable]) -> list[Shown]:
    """The pictures; those of another memory, from its cover and header page on up to the next page of this one, empty.

    :param shown: pictures, in which ``elsewhere`` tells header pages of other memories.
    :param covers: texts that covers have.
    """
    found: list[Shown] = []
    others = False
    for picture in shown:
        if picture.elsewhere and not others and found and found[-1].text in covers:
            pictures = len([*takewhile(found[-1].__eq__, reversed(found))])  # a film may show it for a second
            found[-pictures:] = [_OTHER] * pictures
        others = picture.number is None and (others or picture.elsewhere)
        found.append(_OTHER if others else picture)
    return found


_OTHER = Shown(None, elsewhere=True)


@dataclass(frozen=True, slots=True, eq=False)
class TextZone:
    """Successive frames that are known to hold texts.

    :ivar start: the first frame.
    :ivar count: how many there are.
    :ivar ids: of their chunks; ``None`` if nothing but pages of metadata tells.
    :ivar size: bytes of all of them together, if that is known.
    """

    start: int
    count: int
    ids: ChunkIds | None = None
    size: int | None = None

    def ids_of(self, frames: Sequence[int]) -> dict[int, int]:
        """Those of the frames that are among them, and their ids, as far as those are known."""
        among = np.array([frame for frame in frames if 0 <= frame - self.start < self.count], np.int64)
        if self.ids is None or not len(among):
            return {}
        return dict(zip(among.tolist(), self.ids.nth(among - self.start).tolist(), strict=True))


def take_cover(shown: Sequence[Shown], cover: Hashable) -> list[Shown]:
    """The same pictures; those in front of all others that show the cover are that of page 0, and hold no text."""
    covers = sum(1 for _ in takewhile(lambda picture: picture.text == cover, shown))
    return [Shown(0)] * covers + [*shown[covers:]]


def find_zones(
    header: HeaderInfo | None, front: int, added: Mapping[int, range], pages: Iterable[int]
) -> list[TextZone]:
    """The frames that header page and commits say hold texts, without those that a repair left out.

    :param header: if it can be read, and is that of a bare memory.
    :param front: the frame behind it.
    :param added: the chunks that each commit says it has added, by the frame behind its page.
    :param pages: numbers of all pages, ascending: no text is in their frames.
    """
    lost = ChunkIds.of_ranges(header.lost or () if header is not None else ())
    zones = [_zone(behind, ids, lost) for behind, ids in added.items()]
    if header is not None and header.next_chunk is None:
        zones.append(_zone(front, range(header.chunks), lost, header.text_bytes))
    elif header is not None and not lost:  # its ids have gaps
        zones.append(TextZone(front, header.chunks, None, header.text_bytes))
    ends = iter([*pages, ID_LIMIT])
    end = next(ends)
    found = []
    for zone in sorted((zone for zone in zones if zone is not None), key=lambda zone: zone.start):
        while end < zone.start:
            end = next(ends)
        if zone.count <= end - zone.start:
            found.append(zone)
    return found


def _zone(start: int, ids: range, lost: ChunkIds, size: int | None = None) -> TextZone | None:
    there = ChunkIds.of(ids)
    left = there - lost
    if len(left) < len(there):
        size = None
        if len(lost.starts) >= LOST_RUNS:  # some that are there may be among them
            return None
    return TextZone(start, len(left), left, size)


def place_texts(
    shown: Sequence[Shown], zones: Sequence[TextZone], *, front: int = 0, grows: bool = False, filmed: bool = False
) -> dict[int, int]:
    """By frame, which of the pictures holds its text, as far as that is certain.

    It is between two pages if there are as many pictures as frames, with or without those that are shown twice; behind
    the last page, if there are as many as its zone has.

    :param shown: all pictures.
    :param front: no text is in the frames before this one.
    :param grows: whether texts may have been added that no page tells of, as in format version 1.
    :param filmed: whether others may have encoded the pictures anew, who leave one out and show another twice to keep
        up a frame rate: then there are as many as before.
    """
    found: dict[int, int] = {}
    texts: list[int] = []
    last = -1
    sizes = {zone.start: zone for zone in zones if zone.size is not None}
    regular = all(picture.number in (None, at) for at, picture in enumerate(shown))  # nothing is lost, nothing repeated

    def place(frames: range) -> None:
        frames = range(max(frames.start, front), frames.stop)
        changed = texts[:1] + [at for before, at in pairwise(texts) if shown[at].text != shown[before].text]
        zone = sizes.get(frames.start)
        for pictures in (texts, changed):
            if len(pictures) != len(frames):
                continue
            placed = dict(zip(frames, pictures, strict=True))
            repeats = pictures is texts and len(changed) < len(texts)  # or they are texts that are the same
            if _fits(shown, placed, zone) and not (repeats and (not regular or (filmed and zone is None))):
                found.update(placed)
                return

    def place_last() -> None:
        start = max(last + 1, front)
        expected = next((zone.count for zone in zones if zone.start == start), 0)
        if grows and regular:
            expected = max(expected, len(texts))
        place(range(start, start + expected))

    behind_others = False
    for at, picture in enumerate(shown):
        if picture.elsewhere:
            if not behind_others:
                place_last()
        elif picture.number is None:
            texts.append(at)
        else:
            if not behind_others:
                place(range(last + 1, picture.number))
            texts, last = [], picture.number
        behind_others = picture.elsewhere
    if not behind_others:
        place_last()
    return {frame: at for frame, at in found.items() if shown[at].text is not None}


def _fits(shown: Sequence[Shown], placed: Mapping[int, int], zone: TextZone | None) -> bool:
    """Whether texts have as many bytes as those of their zone have, or fewer, if some cannot be read."""
    if zone is None:
        return True
    texts = [shown[at] for frame, at in placed.items() if frame < zone.start + zone.count]
    size = sum(picture.size for picture in texts)
    whole = len(texts) == zone.count and all(picture.text is not None for picture in texts)
    return size == zone.size if whole else size <= (zone.size or 0)


def number_texts(
    frames: Iterable[int], pages: Mapping[int, PageRow], zones: Sequence[TextZone], *, grows: bool = False
) -> dict[int, int]:
    """Ids of texts by frame: by zone, by the pages of metadata behind them, or, if the memory ``grows``, counted on.

    :param frames: of the texts, ascending.
    :param pages: by number.
    """
    texts = [*frames]
    found: dict[int, int] = {}
    for zone in zones:
        found |= zone.ids_of(texts)
    found |= dict(_by_metadata(texts, pages, {zone.start for zone in zones}))
    if grows:
        known = {*texts, *pages}
        for frame in texts:
            before = frame - 1
            while before in pages and before not in found:
                before -= 1
            if frame not in found and before in found and all(at in known for at in range(before + 1, frame)):
                found[frame] = found[before] + 1
    return found


def _by_metadata(
    texts: Sequence[int], pages: Mapping[int, PageRow], starts: Collection[int]
) -> Iterator[tuple[int, int]]:
    """Where the pages of metadata behind a stretch of texts are about as many as it has, and no frame is missing.

    :param starts: frames in which a stretch is known to begin.
    """
    stretch: list[int] = []
    described: list[PageRow] = []  # a page can claim 65,535 texts: not written out before they are there
    last = -1
    for frame in [*sorted({*texts, *pages}), ID_LIMIT]:
        row = pages.get(frame)
        goes_on = row is not None and row.kind in (PageKind.ATTRIBUTES, PageKind.CONTINUATION)
        if frame != last + 1 or (not goes_on and (described or row is not None)):
            begins = bool(stretch) and (stretch[0] - 1 in pages or stretch[0] in starts)
            if begins and sum(page.count for page in described) == len(stretch):
                ids = (page.first_chunk + at for page in described for at in range(page.count))
                yield from zip(stretch, ids, strict=True)
            stretch, described = [], []
        if row is None:
            stretch.append(frame)
        elif row.kind == PageKind.ATTRIBUTES and row.first_chunk <= ID_LIMIT:
            described.append(row)
        last = frame
