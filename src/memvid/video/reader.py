"""Verified payloads out of the frames of a video."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.errors import ClosedError, DependencyError, FrameError, VideoFormatError, VideoNotFoundError
from memvid.page import PageKind, is_page, page_checksum, parse_header
from memvid.pickling import NotPicklable
from memvid.remedies import REMEDY
from memvid.types import StrPath, VideoIdentity
from memvid.video.codecs import Frames, PictureVideo, native_source, open_frames
from memvid.video.frame_status import REASONS, WRONG
from memvid.video.layout import Layout, find_layout, find_places
from memvid.video.parity_reader import ParityReader
from memvid.video.table import BARE, COVER, LOST, PageTable

__all__ = ["VideoReader"]

_SCAN_FRAMES = 1024  # frames a batch when the whole video is read: a few MB of payload


class VideoReader(NotPicklable):
    """Reads frames of one video. Safe to share between threads.

    :param path: the video.
    :param threads: worker threads for a batch; ``None`` uses the cores this process may run on.
    :param movie: read by the movie header at this byte, that of an append which does not count yet.
    :ivar table: its page table; what is lost of a video without one is of the kind :data:`~memvid.video.LOST` in it.
    :ivar has_table: whether it carries its page table, and so knows all that was in it.
    :ivar in_place: whether it is memvid's own format with each page in the frame of its number, and so can grow.
    :raises VideoNotFoundError: no file is there.
    :raises VideoFormatError: it is empty, cut off, or not a video of memvid.
    :raises UnsupportedVideoError: its codec or format is not one this release reads.
    """

    _elsewhere = "pass its path on, and open it there"

    def __init__(self, path: StrPath, *, threads: int | None = None, movie: int | None = None) -> None:
        self._path = os.fspath(path)
        self._threads = threads or 0
        with self._advising():
            self._open(movie)

    def _open(self, movie: int | None) -> None:
        try:
            self._native: Frames | None = (
                open_frames(self._path, threads=self._threads)
                if movie is None
                else _core.FrameReader(self._path, threads=self._threads, movie=movie)
            )
        except VideoNotFoundError as error:
            raise VideoNotFoundError(
                f"there is no video {self._path!r}: check the path, or build it with memvid build"
            ) from error
        reader = self._native
        if reader.frame_count == 0 and not isinstance(reader, PictureVideo):
            raise VideoFormatError(f"{self._path} has no frame")
        try:
            self._layout = layout = find_layout(reader, self._path)
        except BaseException:
            self._close_frames()
            raise
        self.table, self.has_table = layout.table, layout.carried
        self._go_by(reader, self.table)
        self._rebuilt = 0
        self._lock, self._search_lock = threading.Lock(), threading.Lock()
        self._searched = movie is not None or layout.places is not None or not layout.carried
        self.identity = self._identify(reader, layout)
        self.width, self.height = reader.width, reader.height
        self.fps = reader.fps
        self.codec = reader.codec
        self.in_place = layout.in_place and not isinstance(reader, PictureVideo)

    def _go_by(self, reader: Frames, table: PageTable) -> None:
        """Read frames from a source that has them in their places."""
        reader.expect(np.ascontiguousarray(table.checksums, np.uint32))
        self._native = reader
        self._parity: ParityReader | None = ParityReader(table, reader.read)  # and with it the file

    def _identify(self, reader: Frames, layout: Layout) -> VideoIdentity:
        """Which video it is, and, where its frames had to be looked for, which chunks are left."""
        table = layout.table
        if layout.carried and layout.places is None:
            return VideoIdentity(table.digest, len(table), reader.file_size, table.tag)
        lost = self.lost_frames
        chunks = table.chunk_ids() - table.chunks_in(lost)
        frames = len(table) if layout.places is None else int((layout.places >= 0).sum())
        return VideoIdentity(table.digest, frames, reader.file_size, table.tag, chunks.ranges)

    @cached_property
    def lost_frames(self) -> NDArray[np.int64]:
        """``int64[n]``: frames that are not in the video any more, or in no picture of it, and that parity does not
        bring back, as far as is known without reading all of it.
        """
        places = self._layout.places
        if not self.has_table:
            return self.table.frames_of_kind(LOST)
        if places is None:
            return np.zeros(0, np.int64)
        absent = np.flatnonzero(places < 0)
        left = self.read_left(absent)
        return np.array(
            [frame for frame, payload in zip(absent.tolist(), left, strict=True) if payload is None], np.int64
        )

    @property
    def others(self) -> Mapping[int, int]:
        """Pictures of other memories by the tags of these, as far as is known without reading all of it."""
        return self._layout.others

    @property
    def moved_frames(self) -> int:
        """How many frames are at another picture than that of their number, those that are lost apart."""
        places = self._layout.places
        return 0 if places is None else int(((places >= 0) & (places != np.arange(len(places)))).sum())

    @property
    def path(self) -> str:
        """The video's path as it was given."""
        return self._path

    @property
    def frame_count(self) -> int:
        """Frames in the page table, those that were lost among them."""
        return len(self.table)

    def read(self, frames: Sequence[int] | NDArray[np.int64], *, corrected: bool = False) -> list[bytes]:
        """Payloads of the frames, in their order, each verified against the page table.

        One native call: distinct frames are read once, in the order they lie in the file, decoded in parallel.

        Where the memory has parity, frames that cannot be read are rebuilt, and verified like all others.

        :param corrected: decode by zxing-cpp with error correction only, not from the frame's own bits first, and
            rebuild nothing: to prove what is in the file.
        :raises FrameError: a frame cannot be read, or is not what was written there.
        """
        indices = np.ascontiguousarray(frames, np.int64)
        payloads, statuses = self._read(indices, corrected=corrected)
        for bad in np.flatnonzero(statuses).tolist():
            payloads[bad] = self._rebuild(int(indices[bad]), int(statuses[bad]), corrected=corrected)
        return payloads  # type: ignore[return-value]  # what could not be read was rebuilt

    def read_left(self, frames: NDArray[np.int64]) -> list[bytes | None]:
        """The same, and nothing for what cannot be read and verified."""
        indices = np.ascontiguousarray(frames, np.int64)
        payloads, statuses = self._read(indices)
        for bad in np.flatnonzero(statuses).tolist():
            with suppress(FrameError):
                payloads[bad] = self._rebuild(int(indices[bad]), int(statuses[bad]), corrected=False)
        return payloads

    def _read(
        self, indices: NDArray[np.int64], *, corrected: bool = False
    ) -> tuple[list[bytes | None], NDArray[np.uint8]]:
        """Payloads and statuses; where a frame holds another one, all of them are looked for, once."""
        payloads, statuses = self._open_reader().read(indices, corrected=corrected)
        wrong = indices[statuses == WRONG]
        if len(wrong) and not (corrected or self._searched) and self._find_moved(wrong):
            payloads, statuses = self._open_reader().read(indices)
        return payloads, statuses

    def chunk_reader(self, dictionary: bytes | None, *, cache_bytes: int) -> _core.ChunkReader:
        """The native reader of this video's chunks, which keeps the file open as long as it lives.

        :param dictionary: the memory's zstd dictionary, if it has one.
        :param cache_bytes: decoded pages to keep, in bytes of memory; 0 keeps none.
        :raises VideoFormatError: the dictionary is none.
        """
        table = self.table
        frames = np.flatnonzero(table.counts)
        return _core.ChunkReader(
            native_source(self._open_reader()),
            frames=frames,
            first_chunks=table.first_chunks[frames],
            counts=np.ascontiguousarray(table.counts[frames], np.uint16),
            runs=table.run_lengths(frames),
            bare=np.asarray(table.kinds[frames] == BARE, np.uint8),
            tag=table.tag,
            dictionary=dictionary,
            cache_bytes=cache_bytes,
        )

    def read_all(self, *, corrected: bool = False, start: int = 0, parity: bool = True) -> Iterator[tuple[int, bytes]]:
        """All frames from ``start`` on and their payloads, in order, a batch in memory at a time.

        :param parity: parity pages, too.
        """
        frames = np.arange(start, self.frame_count)
        for part in _parts(frames if parity else frames[self.table.kinds[frames] != PageKind.PARITY]):
            yield from zip(part.tolist(), self.read(part, corrected=corrected), strict=True)

    def read_in_turn(self, frames: NDArray[np.int64], *, left: bool = False) -> Iterator[tuple[int, bytes | None]]:
        """These frames and their payloads, a batch in memory at a time.

        :param left: give nothing for what cannot be read, which raises otherwise.
        """
        for part in _parts(frames):
            yield from zip(part.tolist(), self.read_left(part) if left else self.read(part), strict=True)

    def read_pixels(self, frame_index: int) -> NDArray[np.uint8]:
        """The picture of one frame: ``uint8[height, width]``, 0 black, 255 white."""
        return self._open_reader().read_pixels(frame_index)

    def counters(self) -> dict[str, int]:
        """Frames and bytes read, and how: ``fast`` (own bits), ``corrected``, ``detected``, ``failed``, ``rebuilt``."""
        return {**self._open_reader().counters(), "rebuilt": self._rebuilt}

    def close(self) -> None:
        """Let go of the file. Reading afterwards raises :class:`ClosedError`."""
        self._parity = None
        self._close_frames()
        self.__dict__.pop("_plain", None)

    def _close_frames(self) -> None:
        reader, self._native = self._native, None
        if isinstance(reader, PictureVideo):
            reader.close()

    @contextmanager
    def _advising(self) -> Iterator[None]:
        """Have errors of a file that is damaged, or is no memory, say what to do, where they do not yet."""
        try:
            yield
        except VideoFormatError as error:
            if "`memvid" in str(error) or "name the video" in str(error):
                raise
            raise VideoFormatError(f"{error}: if it is a damaged memory, {REMEDY}") from error

    def _open_reader(self) -> Frames:
        reader = self._native
        if reader is None:
            raise ClosedError(f"{self._path} was closed: open it again")
        return reader

    def _rebuild(self, frame_index: int, status: int, *, corrected: bool) -> bytes:
        """A frame that cannot be read, from the others of its parity group."""
        error = self._frame_error(frame_index, status)
        parity = self._parity
        if parity is None or corrected or not len(self.table.frames_of_kind(PageKind.PARITY)):
            raise error
        try:
            payload = parity.rebuild(frame_index)
        except (FrameError, DependencyError) as why:
            raise FrameError(f"{error}; {why}", frame_index=frame_index) from why
        if payload is None:
            raise error
        with self._lock:
            self._rebuilt += 1
        return payload

    def _frame_error(self, frame_index: int, status: int) -> FrameError:
        return FrameError(
            f"frame {frame_index} of {self._path} cannot be read: {REASONS[status]}: {REMEDY}",
            frame_index=frame_index,
        )

    def _find_moved(self, wrong: NDArray[np.int64]) -> bool:
        """Look for frames in all of the video, if one of these holds another one of it; whether they were moved."""
        with self._search_lock:
            if self._searched:
                return False
            self._searched = True
            if not self._holds_another(int(wrong[0])):
                return False
            reader = open_frames(self._path, threads=self._threads)
            places = find_places(reader, self.table)
            if np.array_equal(places, np.arange(len(places))):
                return False
            self._go_by(reader, self.table)
            return True

    def holds_unknown(self, frame: int) -> bool:
        """Whether a frame that cannot be read holds a sound page of its number: not the one of the page table."""
        payload = self._read_plain(frame) if self.has_table else None
        if payload is None or not is_page(payload):
            return False
        header = parse_header(payload, frame_index=frame)
        return (header.tag, header.page_number) == (self.table.tag, frame)

    @cached_property
    def _plain(self) -> Frames:
        """A reader that expects nothing of a frame."""
        reader = open_frames(self._path, threads=1)
        places = self._layout.places
        reader.place(np.arange(len(self.table)) if places is None else places)
        return reader

    def _read_plain(self, frame: int) -> bytes | None:
        """What is in the place of a frame, whatever should be there."""
        return self._plain.read(np.array([frame]))[0][0]

    def _holds_another(self, frame: int) -> bool:
        """Whether there is a sound frame of this video, and not the one that belongs there."""
        table, payload = self.table, self._read_plain(frame)
        if payload is None:
            return False
        checksum = page_checksum(payload)
        if not is_page(payload):
            return bool(((table.checksums == checksum) & ((table.kinds == BARE) | (table.kinds == COVER))).any())
        header = parse_header(payload, frame_index=frame)
        known = header.tag == table.tag and header.page_number < len(table)
        return known and int(table.checksums[header.page_number]) == checksum


def _parts(frames: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (frames[first : first + _SCAN_FRAMES] for first in range(0, len(frames), _SCAN_FRAMES))
