"""Which frame of a memory is at which picture of its video: all in their places, or what is left of them, wherever.

A video that carries its page table, with as many frames, is taken at its word. Of every other one all pictures are
read: pages are put in order by their numbers, bare texts by the page table or by what is around them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memvid.errors import MemvidError, VideoFormatError
from memvid.page import HeaderInfo, PageKind, decode_commit, decode_header_body, is_page, open_blob, page_checksum, seal
from memvid.remedies import IMPORT_REMEDY, REMEDY
from memvid.video.bare_texts import find_zones, number_texts, place_texts, take_cover
from memvid.video.codecs import Frames, PictureVideo, payloads_of
from memvid.video.codecs.table_cache import load_table, store_table
from memvid.video.cover import is_cover_text
from memvid.video.found_pages import FoundPages
from memvid.video.parity import ParityBlock, ParityGroup, parity_pages
from memvid.video.table import COVER, LOST, PageTable

__all__ = ["Layout", "find_layout", "find_places"]

_PARITY_FACTOR = 4  # groups looked at for each picture of the video; a real one has less than one


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the frames of a memory are.

    :ivar table: the page table: the one that the video carries, or what its frames say, in which lost ones are of the
        kind :data:`LOST`.
    :ivar carried: whether the video carries it.
    :ivar places: ``int64[n]``, at which picture of the video each frame is, -1 for one that is not there; ``None`` if
        each is at that of its number, as far as the table says.
    :ivar others: pictures of other memories by the tags of these, as far as pictures were looked at.
    """

    table: PageTable
    carried: bool
    places: NDArray[np.int64] | None
    others: Mapping[int, int] = field(default_factory=dict)

    @property
    def in_place(self) -> bool:
        """Whether each frame is at the picture of its number, and none is lost."""
        there = self.places is None or np.array_equal(self.places, np.arange(len(self.places)))
        return there and not self.table.has_lost_frames


def find_layout(frames: Frames, path: str, *, damaged_table: bool = False) -> Layout:
    """Find out, and have ``frames`` go by it: from then on they are numbered as in the table.

    :param frames: of a video that was just opened.
    :param damaged_table: go by the frames alone if its page table is damaged.
    :raises VideoFormatError: there is no page of a memory in it, chunks are out of order, or its page table is damaged.
    :raises UnsupportedVideoError: its page table is of a newer release.
    """
    blob = frames.page_table
    table: PageTable | None = None
    with suppress(VideoFormatError) if damaged_table else nullcontext():
        table = None if blob is None else PageTable.from_bytes(blob)
    if table is not None and len(table) == frames.frame_count:
        if isinstance(frames, PictureVideo):
            frames.place(np.arange(len(table)))
        return Layout(table, True, None)
    if blob is None and isinstance(frames, PictureVideo) and (cached := load_table(path)) is not None:
        frames.place(cached[1])
        return Layout(PageTable.from_bytes(cached[0]), False, cached[1])
    if table is not None:
        return Layout(table, True, find_places(frames, table))
    found = _look(frames, None)
    table, places = _Search(frames, found, path).run()
    if blob is None and isinstance(frames, PictureVideo) and not found.others:  # of which a table says nothing
        store_table(path, table.to_bytes(), places)
    return Layout(table, False, places, found.others)


def find_places(frames: Frames, table: PageTable) -> NDArray[np.int64]:
    """Where the frames of a page table are, and have ``frames`` go by it."""
    places = _look(frames, table.tag).places_in(table)
    frames.place(places)
    return places


def _look(frames: Frames, tag: int | None) -> FoundPages:
    """Read all pictures of a video."""
    found = FoundPages(tag)
    for payload in payloads_of(frames):
        found.add(payload)
    return found


class _Search:
    """Makes the page table of the pages that were found."""

    def __init__(self, frames: Frames, found: FoundPages, path: str) -> None:
        self._frames = frames
        self._found = found
        self._path = path
        self._rows = found.rows()

    def run(self) -> tuple[PageTable, NDArray[np.int64]]:
        """The table, and where its frames are."""
        found = self._found
        if found.tag is None:
            text = f"; if it is a memory of bare texts without its first frames, {REMEDY}" if found.front else ""
            raise VideoFormatError(
                f"{self._path}: none of its {found.frames} frames holds a page of memvid; {IMPORT_REMEDY}{text}"
            )
        self._place()
        header = self._read_header()
        self._take_cover(header)
        if header.bare if header is not None else not (self._rows.kinds == PageKind.DATA).any():
            self._take_texts(header)
        else:
            self._extend(0)
        self._place()
        self._rebuild()
        rows = self._rows
        rows.lose_parts()
        unreadable = found.unreadable()
        unreadable = unreadable[unreadable < len(rows)]
        unreadable = unreadable[rows.kinds[unreadable] == LOST]
        rows.places[unreadable] = unreadable  # they are there, and may be asked why
        self._place()
        return rows.table(found.tag), rows.places

    def _place(self) -> None:
        """Have the reader go by what is known so far."""
        self._frames.place(self._rows.places)
        self._frames.expect(self._rows.checksums)

    def _extend(self, frames: int) -> None:
        """Have rows for so many frames, and for pictures behind them that cannot be read, if no parity counts those."""
        trailing = 0 if self._found.parity else self._found.trailing
        self._rows = self._rows.extended(max(len(self._rows), frames) + trailing)

    def _read_blob(self, kind: PageKind, frame: int) -> bytes:
        """The body of a run; every page of it is proven by the checksum in its row.

        :raises FrameError: it is not whole.
        """
        run = np.arange(frame, min(frame + max(int(self._rows.runs[frame, 1]), 1), len(self._rows)))
        payloads = self._frames.read(run)[0]
        return open_blob(kind, [payload for payload in payloads if payload is not None], first_frame=frame)

    def _read_header(self) -> HeaderInfo | None:
        for frame in np.flatnonzero(self._rows.kinds == PageKind.HEADER).tolist():
            with suppress(MemvidError):
                return decode_header_body(self._read_blob(PageKind.HEADER, frame))
        return None

    def _read_commits(self) -> dict[int, range]:
        """The chunks that each commit says it has added, by the frame behind its page."""
        added = {}
        for frame in np.flatnonzero(self._rows.kinds == PageKind.COMMIT).tolist():
            with suppress(MemvidError):
                info = decode_commit(self._read_blob(PageKind.COMMIT, frame), frame_index=frame)
                added[frame + int(self._rows.runs[frame, 1])] = info.chunk_ids
        return added

    def _take_cover(self, header: HeaderInfo | None) -> None:
        """Find the cover: what has the checksum that the header page tells, or is in front of all pages and says so."""
        rows, front = self._rows, self._found.front
        checksum = None
        if header is not None:
            checksum = header.cover
        elif front is not None and is_cover_text(front):
            checksum = page_checksum(front)
        place = None if checksum is None else self._found.text_at(checksum)
        if checksum is not None and place is not None and len(rows) and rows.kinds[0] == LOST:
            rows.take_cover(checksum, place)

    def _take_texts(self, header: HeaderInfo | None) -> None:
        """Fill in the rows of bare texts, and of those that were lost, as far as it is certain which they are."""
        pages = self._rows.pages()
        heads = [frame for frame, row in pages.items() if row.kind == PageKind.HEADER]
        front = 0 if header is None else (header.cover is not None) + int(self._rows.runs[heads[0], 1])
        zones = find_zones(header, front, self._read_commits(), pages)
        grows = header is not None and header.format_version == 1  # by texts that no commit tells of
        shown = self._found.shown()
        has_cover = self._rows.kinds[:1].tolist() == [COVER]
        if has_cover:
            shown = take_cover(shown, int(self._rows.checksums[0]))
        filmed = isinstance(self._frames, PictureVideo)
        places = place_texts(shown, zones, front=front, grows=grows, filmed=filmed)
        if has_cover:
            places.pop(0, None)
        ids = number_texts(sorted(places), pages, zones, grows=grows)
        self._extend(max([0, *(frame + 1 for frame in ids)]))
        for zone in zones:
            for frame, chunk_id in zone.ids_of(
                range(zone.start, min(zone.start + zone.count, len(self._rows)))
            ).items():
                self._rows.take_text(frame, chunk_id, None, -1)
        for frame, chunk_id in ids.items():
            self._rows.take_text(frame, chunk_id, self._found.checksums[places[frame]], places[frame])

    def _rebuild(self) -> None:
        """Fill in the rows of pages that are missing, as far as parity brings them back."""
        left = _PARITY_FACTOR * self._found.frames  # how many groups there are is not for a page to claim
        for block in self._found.blocks:
            if block.groups <= left and block.stop <= len(self._rows):
                left -= block.groups
                for number in range(block.groups):
                    with suppress(MemvidError):
                        self._rebuild_group(block, block.group(number))

    def _rebuild_group(self, block: ParityBlock, group: ParityGroup) -> None:
        """Not of bare texts: without a page table nothing proves one. A cover is proven by the pages beside it.

        :raises FrameError: too much of it is lost.
        :raises DependencyError: zfec is not installed.
        """
        rows, tag = self._rows, self._found.tag
        frames = np.array([*group.members, *group.parity], np.int64)
        if not (rows.kinds[frames] == LOST).any():
            return
        there = frames[(rows.kinds[frames] != LOST) & (rows.places[frames] >= 0)]
        payloads = zip(there.tolist(), self._frames.read(there)[0], strict=True)
        left = {frame: payload for frame, payload in payloads if payload is not None}
        rebuilt = group.rebuild(left)
        for frame, payload in rebuilt.items():
            if frame == 0 and not is_page(payload):
                rows.take_cover(page_checksum(payload), -1)
            elif is_page(payload):
                rows.take_page(payload, frame, tag)
            else:
                return
        whole = [(left | rebuilt)[frame] for frame in group.members]
        for frame, page in zip(group.parity, parity_pages(whole, block, group), strict=True):
            if rows.kinds[frame] == LOST:
                rows.take_page(seal(page, tag=tag or 0, page_number=frame), frame, tag)
