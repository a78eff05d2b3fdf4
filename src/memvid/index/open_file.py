"""A side file that is open and must stay as it is."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from memvid.errors import ClosedError, IndexFormatError
from memvid.storage.files import open_private
from memvid.storage.mp4_boxes import append_counts

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OpenFile", "still_open"]

_T = TypeVar("_T")

_STRETCH = 1 << 20  # bytes copied at once
_READ_BYTES = 4 << 20  # up to which a side file is read and not mapped: a millisecond


class OpenFile:
    """Holds on to a side file, a file of its own or a part of a video, and notices when somebody writes into it.

    A build puts new files in the place of old ones: the old one, which is looked at here, then stays what it was. What
    is written into it (``cp new old``) is found by its size and time. A video may have grown, though: then the manifest
    that was in it is still where it was. Safe to share between threads.

    :param offset: where in the video the part begins; ``None`` if it is a file of its own.
    :param nbytes: of the side file; ``None`` takes the whole file.
    :param manifest: where that of the video begins which it is a part of, and its bytes; ``None``: the file may not
        grow.
    :ivar path: name of the file when it was opened.
    :ivar identity: device and inode.
    :ivar nbytes: how long the side file is.
    :ivar status: the file's when it was opened.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        *,
        offset: int | None = None,
        nbytes: int | None = None,
        manifest: tuple[int, bytes] | None = None,
    ) -> None:
        self.path = path
        self._descriptor = -1
        self._descriptor = os.dup(file.fileno())  # open as long as anybody has this object
        self.status = status = os.fstat(self._descriptor)
        self.identity = status.st_dev, status.st_ino
        self.is_part = offset is not None
        self._offset = offset or 0
        self.nbytes = status.st_size if nbytes is None else nbytes
        self._manifest = manifest
        self._state = status.st_size, status.st_mtime_ns

    @property
    def place(self) -> tuple[int | str, ...]:
        """What tells it from all other side files of this machine, and from what it was before it was changed.

        Of a part it has neither size nor time of the video, which change when something is appended to that.
        """
        if self.is_part:
            return (*self.identity, "part", self._offset, self.nbytes)
        return (*self.identity, *self._state)

    @property
    def state(self) -> bytes:
        """What the video of a part was like: its size, its time, and where what counted in it ended."""
        end = 0 if self._manifest is None else self._manifest[0] + len(self._manifest[1])
        return b"%d %d %d" % (*self._state, end)

    def is_since(self, state: bytes) -> bool:
        """Whether nothing but appends has happened to the video of a part since it was in a :attr:`state`.

        :raises OSError: it cannot be read.
        """
        if state.rpartition(b" ")[0] == self.state.rpartition(b" ")[0]:
            return True
        try:
            _, _, end = map(int, state.split())
        except ValueError:
            return False
        return end > 0 and append_counts(self._read, end)

    def check(self) -> None:
        """Compare size and time with those at opening; about a microsecond.

        :raises IndexFormatError: somebody has written into it.
        """
        status = os.fstat(self._descriptor)
        state = status.st_size, status.st_mtime_ns
        if state == self._state:
            return
        if not self._has_grown():
            raise IndexFormatError(
                f"{self.path} was overwritten while this memory was open: open the memory again; new files are to take "
                "the place of old ones by renaming (mv), not by copying over them"
            )
        self._state = state

    def _has_grown(self) -> bool:
        """Whether the file is the video that it was, with something behind its end."""
        if self._manifest is None:
            return False
        offset, data = self._manifest
        return self._read(offset, len(data)) == data

    def load(self) -> mmap.mmap | bytes:
        """The side file and nothing else. A small one is read, so that no bad sector of it can be a SIGBUS.

        A large one is mapped, which takes an offset that is a multiple of :data:`mmap.ALLOCATIONGRANULARITY`.

        :raises OSError: it cannot be read or mapped.
        """
        if self.nbytes > _READ_BYTES:
            return mmap.mmap(self._descriptor, self.nbytes, access=mmap.ACCESS_READ, offset=self._offset)
        return self.read(0, self.nbytes)

    def read(self, start: int, nbytes: int) -> bytes:
        """``nbytes`` of the side file from ``start`` on, fewer where it ends.

        :raises OSError: they cannot be read.
        """
        return self._read(self._offset + start, min(nbytes, self.nbytes - start))

    def copy_to(self, target: Path) -> None:
        """Write the side file into a file that is there and empty.

        :raises OSError: one of them cannot be read or written.
        """
        with os.fdopen(open_private(target, create=False), "r+b") as file:
            for start in range(0, self.nbytes, _STRETCH):
                file.write(self.read(start, _STRETCH))

    def _read(self, offset: int, nbytes: int) -> bytes:
        data = b""
        while len(data) < nbytes and (more := os.pread(self._descriptor, nbytes - len(data), offset + len(data))):
            data += more
        return data

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def still_open(held: _T | None) -> _T:
    """What an index holds on to while it is open.

    :raises ClosedError: it was closed.
    """
    if held is None:
        raise ClosedError("this index is closed: open it again")
    return held
