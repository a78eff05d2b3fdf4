"""A side file that is open and must stay as it is."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, BinaryIO

from memvid.errors import IndexFormatError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OpenFile"]

_READ_BYTES = 4 << 20  # up to which a side file is read and not mapped: a millisecond


class OpenFile:
    """Holds on to a side file, a whole file or a stretch of one, and notices when somebody writes into it.

    A build puts new files in the place of old ones: the old one, which is looked at here, then stays what it was. What
    is written into it (``cp new old``) is found by its size and time. Safe to share between threads.

    :param nbytes: of the side file; ``None`` takes all of the file behind ``offset``.
    :ivar path: name of the file when it was opened.
    :ivar identity: device and inode.
    :ivar offset: where in the file the side file begins.
    :ivar nbytes: how long it is.
    :ivar status: the file's when it was opened.
    """

    def __init__(self, path: Path, file: BinaryIO, *, offset: int = 0, nbytes: int | None = None) -> None:
        self.path = path
        self._descriptor = -1
        self._descriptor = os.dup(file.fileno())  # open as long as anybody has this object
        self.status = status = os.fstat(self._descriptor)
        self.identity = status.st_dev, status.st_ino
        self.offset, self.nbytes = offset, status.st_size - offset if nbytes is None else nbytes
        self._state = status.st_size, status.st_mtime_ns

    def check(self) -> None:
        """Compare size and time with those at opening; about a microsecond.

        :raises IndexFormatError: one of them is another.
        """
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) != self._state:
            raise IndexFormatError(
                f"{self.path} was overwritten while this memory was open: open the memory again; new files are to take "
                "the place of old ones by renaming (mv), not by copying over them"
            )

    def load(self) -> mmap.mmap | bytes:
        """The side file and nothing else. A small one is read, so that no bad sector of it can be a SIGBUS.

        A large one is mapped, which takes an offset that is a multiple of :data:`mmap.ALLOCATIONGRANULARITY`.

        :raises OSError: it cannot be read or mapped.
        """
        if self.nbytes > _READ_BYTES:
            return mmap.mmap(self._descriptor, self.nbytes, access=mmap.ACCESS_READ, offset=self.offset)
        return self.read(0, self.nbytes)

    def read(self, start: int, nbytes: int) -> bytes:
        """``nbytes`` of the side file from ``start`` on, fewer where it ends.

        :raises OSError: they cannot be read.
        """
        data, left = b"", min(nbytes, self.nbytes - start)
        while left > 0 and (more := os.pread(self._descriptor, left, self.offset + start + len(data))):
            data, left = data + more, left - len(more)
        return data

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
