"""The bytes of a video on a disk that may not give all of them.

A video is read by position and never mapped: where a sector cannot be read, a read is an error that can be stepped
over, and a mapping ends the process. The native core reads frames of our own format so; this is for all else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from memvid.errors import ClosedError, VideoError, VideoFormatError, VideoNotFoundError
from memvid.storage.files import open_regular
from memvid.storage.lfs_pointer import LFS_REMEDY, POINTER_BYTES, is_lfs_pointer

__all__ = ["VideoBytes"]

_SECTOR = 4096  # bytes given up where one of them cannot be read
_STRETCH = 4 << 20  # bytes looked through at once


class VideoBytes:
    """A file to be read as far as that goes. Safe to share between threads. A context manager; what nobody closes
    closes itself.

    Sectors that the disk does not give are zeros, and are not asked for again: a disk may try each for many seconds.

    :raises VideoNotFoundError: there is no such file.
    :raises VideoError: it cannot be opened, or is no file, or is a pointer of Git LFS.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        try:
            with open_regular(path) as file:
                self._descriptor = os.dup(file.fileno())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise VideoNotFoundError(f"there is no video {str(path)!r}: check the path") from error
        except (OSError, ValueError) as error:
            raise VideoError(f"video {str(path)!r} cannot be read: {error}") from error
        self._size = os.fstat(self._descriptor).st_size
        self._unreadable: set[int] = set()  # numbers of sectors
        if is_lfs_pointer(self.read(0, POINTER_BYTES)):
            raise VideoFormatError(f"video {str(path)!r} {LFS_REMEDY}")

    def __len__(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset``, fewer where the file ends; zeros for what cannot be read."""
        if self._descriptor < 0:
            raise ClosedError(f"{self._path} was closed: open it again")
        if not 0 <= offset < self._size:
            return b""
        end = min(offset + size, self._size)
        if not self._unreadable or self._unreadable.isdisjoint(_sectors(offset, end)):
            try:
                return self._pread(offset, end)
            except OSError:  # part of it may be readable
                pass
        return b"".join(self._read_sector(sector, offset, end) for sector in _sectors(offset, end))

    def read_whole(self, offset: int, size: int) -> bytes | None:
        """``size`` bytes from ``offset``; ``None`` where the file ends first or any of them cannot be read."""
        data = self.read(offset, size)
        whole = len(data) == size and self._unreadable.isdisjoint(_sectors(offset, offset + size))
        return data if whole else None

    def find_all(self, wanted: bytes) -> Iterator[int]:
        """Where ``wanted`` is, ascending. Reads the whole file, a few megabytes in memory at a time."""
        for start in range(0, self._size, _STRETCH):
            data = self.read(start, _STRETCH + len(wanted) - 1)
            at = data.find(wanted)
            while at >= 0:
                yield start + at
                at = data.find(wanted, at + 1)

    def unreadable(self) -> Iterator[range]:
        """The bytes that could not be read so far, as runs of whole sectors."""
        run = range(0)
        for sector in sorted(self._unreadable):
            start, stop = sector * _SECTOR, min((sector + 1) * _SECTOR, self._size)
            if run and run.stop != start:
                yield run
                run = range(0)
            run = range(run.start if run else start, stop)
        if run:
            yield run

    def read_through(self) -> None:
        """Ask the disk for every byte, so that :meth:`unreadable` knows all that it does not give."""
        for start in range(0, self._size, _STRETCH):
            self.read(start, _STRETCH)

    def close(self) -> None:
        """Let go of the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> VideoBytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read_sector(self, sector: int, offset: int, end: int) -> bytes:
        """The part of a sector that lies between two places."""
        start, stop = max(offset, sector * _SECTOR), min(end, (sector + 1) * _SECTOR)
        if sector not in self._unreadable:
            try:
                return self._pread(start, stop)
            except OSError:
                self._unreadable.add(sector)
        return bytes(stop - start)

    def _pread(self, start: int, stop: int) -> bytes:
        """Bytes between two places, fewer where the file was cut off."""
        data = os.pread(self._descriptor, stop - start, start)
        while len(data) < stop - start:
            more = os.pread(self._descriptor, stop - start - len(data), start + len(data))
            if not more:
                break
            data += more
        return data


def _sectors(offset: int, end: int) -> range:
    return range(offset // _SECTOR, -(-end // _SECTOR))
