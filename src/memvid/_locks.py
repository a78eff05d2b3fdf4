"""Locks on files that are being written, so that two builds of one memory cannot mix their files."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from memvid.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be replaced anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["FileLocks"]


class FileLocks:
    """Exclusive locks on all of some files, which end with :meth:`release` or with the process, however it ends.

    Files that are not there are made.

    :raises OutputError: someone else has one of them locked; nothing is locked then, and no file was left behind.
    :raises OSError: one cannot be made.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._descriptors: list[int] = []
        locked: list[Path] = []
        try:
            for path in paths:
                self._take(path)
                locked.append(path)
        except BaseException:
            for path in locked:
                path.unlink(missing_ok=True)
            self.release()
            raise

    def release(self) -> None:
        """Let go of everything. Calling it twice is fine."""
        while self._descriptors:
            descriptor = self._descriptors.pop()
            if fcntl is not None:
                with suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked child may hold the descriptor too
            os.close(descriptor)

    def __del__(self) -> None:
        self.release()

    def _take(self, path: Path) -> None:
        while fcntl is not None:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            self._descriptors.append(descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    return  # a file system without locks
                raise OutputError(
                    error.errno, "another build is writing this memory: wait until it ends, or name another", str(path)
                ) from None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return
            # Its last owner renamed or removed it between the two calls: what was locked is not what is there now.
