"""A side file that is open and must stay as it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from memvid.errors import IndexFormatError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OpenFile"]


class OpenFile:
    """Holds on to a file, and notices when somebody writes into it.

    A build puts new files in the place of old ones: the old one, which is looked at here, then stays what it was. What
    is written into it (``cp new old``) is found by its size and time. Safe to share between threads.

    :ivar path: its name when it was opened.
    :ivar identity: device and inode.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._descriptor = -1
        self._descriptor = os.dup(file.fileno())  # open as long as anybody has this object
        status = os.fstat(self._descriptor)
        self.identity = status.st_dev, status.st_ino
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

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
