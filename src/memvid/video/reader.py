"""Verified payloads out of the frames of a video."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.errors import ClosedError, DependencyError, FrameError, VideoFormatError, VideoNotFoundError
from memvid.page import PageKind, is_page, page_checksum, read_page
from memvid.pickling import NotPicklable
from memvid.remedies import REMEDY
from memvid.types import StrPath, VideoIdentity
from memvid.video.codecs import Frames, PictureVideo, native_source, open_frames
from memvid.video.frame_status import REASONS
from memvid.video.lost_table import find_by_parity, least_frames
from memvid.video.parity_reader import ParityReader
from memvid.video.table import BARE, PageTable, PageTableBuilder

__all__ = ["VideoReader"]

_SCAN_FRAMES = 1024  # frames a batch when the whole video is read: a few MB of payload


class VideoReader(NotPicklable):
    """Reads frames of one video. Safe to share between threads.

    :param path: the video.
    :param threads: worker threads for a batch; ``None`` uses the cores this process may run on.
    :param movie: read by the movie header at this byte, that of an append which does not count yet.
    :ivar has_table: whether it carries its page table, and so is as it was written.
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
        if reader.frame_count == 0:
            raise VideoFormatError(f"{self._path} has no frame")
        blob = reader.page_table
        self.has_table = reader.has_table if isinstance(reader, PictureVideo) else blob is not None
        self.table = self._scan() if blob is None else PageTable.from_bytes(blob)
        reader = self._open_reader()  # another one, if frames are not in their places
        if len(self.table) != reader.frame_count:
            raise VideoFormatError(f"{self._path} has {reader.frame_count} frames, its page table {len(self.table)}")
        reader.expect(np.ascontiguousarray(self.table.checksums, np.uint32))
        self._parity: ParityReader | None = ParityReader(self.table, reader.read)  # and with it the file
        self._rebuilt = 0
        self._lock = threading.Lock()
        self.identity = VideoIdentity(self.table.digest, reader.frame_count, reader.file_size, self.table.tag)
        self.width, self.height = reader.width, reader.height
        self.fps = reader.fps
        self.codec = reader.codec
        self.in_place = not isinstance(reader, PictureVideo)

    @property
    def path(self) -> str:
        """The video's path as it was given."""
        return self._path

    @property
    def frame_count(self) -> int:
        """Frames in the video."""
        return self.identity.frames

    def read(self, frames: Sequence[int] | NDArray[np.int64], *, corrected: bool = False) -> list[bytes]:
        """Payloads of the frames, in their order, each verified against the page table.

        One native call: distinct frames are read once, in the order they lie in the file, decoded in parallel.

        Where the memory has parity, frames that cannot be read are rebuilt, and verified like all others.

        :param corrected: decode by zxing-cpp with error correction only, not from the frame's own bits first, and
            rebuild nothing: to prove what is in the file.
        :raises FrameError: a frame cannot be read, or is not what was written there.
        """
        reader = self._open_reader()
        indices = np.ascontiguousarray(frames, np.int64)
        payloads, statuses = reader.read(indices, corrected=corrected)
        for bad in np.flatnonzero(statuses).tolist():
            payloads[bad] = self._rebuild(int(indices[bad]), int(statuses[bad]), corrected=corrected)
        return payloads  # type: ignore[return-value]  # what could not be read was rebuilt

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
        return self.read_in_turn(
            frames if parity else frames[self.table.kinds[frames] != PageKind.PARITY], corrected=corrected
        )

    def read_in_turn(self, frames: NDArray[np.int64], *, corrected: bool = False) -> Iterator[tuple[int, bytes]]:
        """These frames and their payloads, a batch in memory at a time."""
        for first in range(0, len(frames), _SCAN_FRAMES):
            part = frames[first : first + _SCAN_FRAMES]
            yield from zip(part.tolist(), self.read(part, corrected=corrected), strict=True)

    def read_pixels(self, frame_index: int) -> NDArray[np.uint8]:
        """The picture of one frame: ``uint8[height, width]``, 0 black, 255 white."""
        return self._open_reader().read_pixels(frame_index)

    def counters(self) -> dict[str, int]:
        """Frames and bytes read, and how: ``fast`` (own bits), ``corrected``, ``detected``, ``failed``, ``rebuilt``."""
        return {**self._open_reader().counters(), "rebuilt": self._rebuilt}

    def close(self) -> None:
        """Let go of the file. Reading afterwards raises :class:`ClosedError`."""
        reader, self._native, self._parity = self._native, None, None
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

    def _scan(self) -> PageTable:
        """The page table from the frames themselves, for a video that lost its box on the way."""
        reader = self._open_reader()
        table = PageTableBuilder()
        tag: int | None = None
        cover = b""
        least = 0
        for start in range(0, reader.frame_count, _SCAN_FRAMES):
            frames = np.arange(start, min(start + _SCAN_FRAMES, reader.frame_count))
            payloads, statuses = reader.read(frames)
            for frame_index, payload, status in zip(frames.tolist(), payloads, statuses.tolist(), strict=True):
                if payload is None:
                    return self._scan_by_parity(self._frame_error(frame_index, status))
                if not is_page(payload) and (tag is not None or frame_index == 0):
                    cover = cover or payload
                    table.add_text(page_checksum(payload))
                    continue
                try:
                    header = read_page(payload, frame_index=frame_index, tag=tag)
                except FrameError as error:
                    return self._scan_by_parity(error)
                tag = header.tag
                table.add(header.kind, header.count, header.first_chunk, header.checksum)
                least = max(least, least_frames(payload, frame_index))
        if tag is None:
            read_page(cover, frame_index=0)  # says that it is none
        if least > reader.frame_count:
            return self._scan_by_parity(
                FrameError(
                    f"{self._path} ends behind frame {reader.frame_count - 1}, but had {least} frames: {REMEDY}",
                    frame_index=reader.frame_count,
                )
            )
        return table.build(tag or 0)

    def _scan_by_parity(self, error: FrameError) -> PageTable:
        """The same where frames cannot be read or are not in their places, for a video with parity.

        :raises FrameError: ``error``, if it has none; or the frames that parity does not bring back either.
        """
        found = find_by_parity(self._open_reader(), self._path, threads=self._threads)
        if found is None:
            raise error
        self._native, table = found
        return table
