"""What is wrong with the frames of a video that can be opened, each read in two ways."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.errors import DependencyError, VideoError
from memvid.maintenance.damaged.container import Container
from memvid.maintenance.damaged.loose_pictures import check_picture, symbol_style
from memvid.maintenance.verify.chunks_of_frames import ChunksOfFrames
from memvid.maintenance.verify.findings import Findings
from memvid.maintenance.verify.page_check import PageCheck
from memvid.page import HeaderInfo, PageKind, is_page, parse_header
from memvid.types import Progress, ProgressCallback
from memvid.video import COVER, PageTable, centred, cover_picture
from memvid.video.codecs import Frames, PictureVideo, open_frames
from memvid.video.frame_status import REASONS, UNREADABLE, WRONG
from memvid.video.layout import find_places
from memvid.video.parity_reader import GroupMargin, ParityReader
from memvid.video.video_bytes import VideoBytes

__all__ = ["FrameCheck"]

_BATCH = 512  # frames read at once


class FrameCheck:
    """Reads every frame; what is wrong goes to ``findings``.

    :param reader: knows the checksums of the page table.
    :param places: at which picture of the video each frame is, -1 for none; ``None`` if each is at that of its number.
    :ivar read: frames whose QR codes were read.
    :ivar corrected: of them, those that only error correction still reads.
    :ivar margin: the parity group that can lose fewest further frames; ``None`` without parity.
    """

    def __init__(
        self,
        path: Path,
        reader: Frames,
        table: PageTable,
        chunks: ChunksOfFrames,
        header: HeaderInfo | None,
        container: Container,
        findings: Findings,
        data: VideoBytes,
        places: NDArray[np.int64] | None,
    ) -> None:
        self._path = path
        self._reader = reader
        self._table = table
        self._chunks = chunks
        self._header = header
        self._container = container
        self._findings = findings
        self._data = data
        self._places = np.arange(len(table)) if places is None else places
        self._parity = ParityReader(table, reader.read) if len(table.frames_of_kind(PageKind.PARITY)) else None
        self._unreadable: list[int] = []
        self.read = self.corrected = 0
        self.margin: GroupMargin | None = None
        self._own = not isinstance(reader, PictureVideo)

    def run(
        self, pages: PageCheck, progress: ProgressCallback | None, *, absent: NDArray[np.int64], spare: set[int]
    ) -> None:
        """Read every frame twice, by its own bits and by a decoder with error correction; ``pages`` gets them all.

        :param absent: frames that are known to be lost.
        :param spare: frames of which there is a copy that can be read.
        """
        reader = self._reader
        lost = set(absent.tolist())
        for start in range(0, reader.frame_count, _BATCH):
            frames = np.arange(start, min(start + _BATCH, reader.frame_count))
            before = reader.counters()
            payloads, statuses = reader.read(frames)
            after = reader.counters()
            _, corrected = reader.read(frames, corrected=True)
            sound = int(np.count_nonzero(statuses == 0))
            self.read += sound
            # Other codecs have no bits of their own: every frame of theirs goes by error correction.
            imperfect = sound - (after["fast"] - before["fast"]) if self._own else 0
            for frame, payload, status, second in zip(
                frames.tolist(), payloads, statuses.tolist(), corrected.tolist(), strict=True
            ):
                if payload is None and frame in lost:
                    self._unreadable.append(frame)
                    pages.add(frame, None)
                    continue
                if payload is None:
                    self._unreadable.append(frame)
                    found = self._rebuild(frame, status)
                    if found is None:
                        found = self._find_elsewhere(frame, status)
                        self._bad_frame(frame, status, elsewhere=found is not None, spare=frame in spare)
                    pages.add(frame, found)
                    continue
                if second:
                    self._warn_frame(frame, "memvid reads it, but no QR reader that goes by error correction does")
                elif self._own and self._table.kinds[frame] == COVER:
                    imperfect -= 1
                    self._check_cover(frame, payload)
                elif imperfect:
                    imperfect -= self._check_bits(frame, payload)
                if (wrong := self._check_picture(frame)) is not None:
                    self._warn_frame(frame, f"memvid reads it, but {wrong}, which other programs may refuse")
                pages.add(frame, payload)
            if progress is not None:
                progress(Progress("frames", int(frames[-1]) + 1, reader.frame_count))
        pages.finish()
        self._check_parity()

    def _rebuild(self, frame: int, status: int) -> bytes | None:
        """A frame that cannot be read, if parity brings it back: then nothing is lost yet."""
        if self._parity is None:
            return None
        what = f"frame {frame} cannot be read: {REASONS[status]}; "
        if self._table.kinds[frame] == PageKind.PARITY:
            self._findings.warn(
                "parity",
                f"{what}it is parity, and only the margin is smaller; `memvid repair` writes it anew",
                self._path,
                frame=frame,
                offset=self._container.offset_of(frame),
            )
            return b""
        try:
            payload = self._parity.rebuild(frame)
        except (VideoError, DependencyError) as error:
            self._findings.warn("parity", f"{what}parity does not bring it back: {error}", self._path, frame=frame)
            return None
        if payload is not None:
            self._findings.warn(
                "parity",
                f"{what}parity brings it back, and `memvid repair` writes it anew",
                self._path,
                frame=frame,
                offset=self._container.offset_of(frame),
            )
        return payload

    def _check_parity(self) -> None:
        """Whether the parity is that of the frames, and how much of it is left."""
        if self._parity is None:
            return
        try:
            self.margin = self._parity.margin(self._unreadable)
            for block in self._parity.blocks:
                for group in map(block.group, range(block.groups)):
                    payloads = self._parity.payloads(group)
                    if all(frame in payloads for frame in group.members) and not group.is_consistent(payloads):
                        self._findings.warn(
                            "parity",
                            f"the parity of frame {group.members.start} and of every {block.groups}th behind it is not "
                            "theirs and would bring back nothing; `memvid repair` makes it anew",
                            self._path,
                            frame=group.parity.start,
                        )
        except (VideoError, DependencyError) as error:
            self._findings.warn("parity", f"the parity cannot be checked: {error}", self._path)

    @cached_property
    def _plain(self) -> Frames:
        """A reader that expects nothing of a frame."""
        reader = open_frames(str(self._path), threads=1)
        reader.place(self._places)
        return reader

    @cached_property
    def _elsewhere(self) -> Frames:
        """A reader that has looked for each frame in all of the video."""
        reader = open_frames(str(self._path), threads=0)
        find_places(reader, self._table)
        reader.expect(np.ascontiguousarray(self._table.checksums, np.uint32))
        return reader

    def _find_elsewhere(self, frame: int, status: int) -> bytes | None:
        """A frame in whose place is another one, if it was moved: then nothing is lost yet."""
        return None if status != WRONG else self._elsewhere.read(np.array([frame]))[0][0]

    def _bad_frame(self, frame: int, status: int, *, elsewhere: bool, spare: bool) -> None:
        """Say what is wrong with a frame that did not pass: the frame, or what the page table says of it."""
        picture = self._check_picture(frame) if status != UNREADABLE else None
        what = f"frame {frame} cannot be read: {REASONS[status]}" + (f" ({picture})" if picture else "")
        if status == WRONG:
            (payload,), _ = self._plain.read(np.array([frame]))
            if payload is not None and is_page(payload):
                header = parse_header(payload, frame_index=frame)
                what = (
                    f"frame {frame} holds a sound page, number {header.page_number}, but not the one that the page "
                    "table names: frames were swapped or repeated, or the table is damaged; `memvid repair` sorts them"
                )
        offset = self._container.offset_of(frame)
        if spare:
            what += "; it has a copy that can be, and `memvid repair` writes it anew"
            self._findings.warn("frame", what, self._path, frame=frame, offset=offset)
            return
        chunks = () if elsewhere else self._chunks.of(frame)
        self._findings.error("frame", what, self._path, frame=frame, offset=offset, chunks=chunks)

    def _check_bits(self, frame: int, payload: bytes) -> int:
        """Count the modules that are not as they were drawn; 0 if the frame is one of those read by their own bits."""
        reader, header = self._reader, self._header
        before = reader.counters()["fast"]
        reader.read(np.array([frame]))
        if reader.counters()["fast"] > before:
            return 0
        self.corrected += 1
        wrong = None if header is None else _wrong_modules(reader.read_pixels(frame), payload, header)
        count = "" if wrong is None else f"{wrong} modules are not as they were drawn; "
        self._warn_frame(frame, f"only error correction still reads it: {count}`memvid repair` draws it anew")
        return 1

    def _check_cover(self, frame: int, payload: bytes) -> None:
        """Compare the cover, which is no symbol alone, with what a writer draws."""
        if self._header is None:
            return
        pixels = self._reader.read_pixels(frame)
        drawn = cover_picture(payload, self._header.symbol_version)
        if drawn is not None and not np.array_equal(centred(drawn, pixels.shape[1], pixels.shape[0]), pixels):
            self.corrected += 1
            self._warn_frame(frame, "the cover is not as it was drawn; `memvid repair` draws it anew")

    def _check_picture(self, frame: int) -> str | None:
        """What is wrong with the picture of a frame, apart from what it shows."""
        start = self._container.offset_of(frame)
        if start is None or not self._own:
            return None
        wrong = check_picture(self._data.read(start, int(self._container.sizes[frame])))
        return None if wrong is None else f"in its picture {wrong}"

    def _warn_frame(self, frame: int, what: str) -> None:
        offset = self._container.offset_of(frame)
        self._findings.warn("picture", f"frame {frame}: {what}", self._path, frame=frame, offset=offset)


def _wrong_modules(pixels: NDArray[np.uint8], payload: bytes, header: HeaderInfo) -> int | None:
    """Modules of a frame of one pixel each that differ from what our writer draws for the payload.

    ``None`` when something else was drawn: in format version 1, all codes had an ECI designator in front.
    """
    side = 4 * header.symbol_version + 17
    rows, columns = np.nonzero(pixels < 128)
    if not len(rows):
        return None
    top, left = int(rows.min()), int(columns.min())
    found = pixels[top : top + side, left : left + side]
    if found.shape != (side, side):
        return None
    style = symbol_style(pixels)
    for mask in sorted(range(8), key=lambda mask: style is None or style[1] != mask):
        options = _core.SymbolOptions(
            version=header.symbol_version, level=header.error_correction, data_mask=mask, utf8=not is_page(payload)
        )
        wrong = int(np.count_nonzero(_core.create_symbol(payload, options) != found))
        if wrong < side * side // 5:  # by another mask, or as other writers arrange the bits, half of them would differ
            return wrong
    return None
