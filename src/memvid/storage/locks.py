"""Locks on the files of a memory: builds of one memory, and the mending of one that was cut off, exclude each other.

The lock on ``NAME`` is a lock of the operating system on the file ``NAME.lock``, which is there only while it is
held, or after a process was killed that held it: the lock itself ends with the process.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from memvid.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be replaced anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["FileLocks", "lock_file"]

_BUSY = (errno.EWOULDBLOCK, errno.EACCES)
_BUILDING = b"build\n"  # in the lock file while a build holds it


def lock_file(path: Path) -> Path:
    """The file that is locked in place of ``path``."""
    return path.parent / (path.name + ".lock")


class FileLocks:
    """Holds the locks on some files, all of them, until :meth:`release`. A context manager.

    :param paths: taken in this order, the index before the video.
    :param building: whether it is for a build, which may take long. A build refuses to wait for another one; mending
        waits for a build that has the index, because it is about to end: it has come to its commit point.
    :raises OutputError: another build holds one of them.
    :raises OSError: a lock file cannot be made.
    """

    def __init__(self, paths: Sequence[Path], *, building: bool) -> None:
        self._held: list[tuple[Path, int]] = []
        try:
            for path in paths:
                self._take(path, building=building, patient=not building and path is paths[0])
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of everything, the last one first. Calling it twice is fine."""
        while self._held:
            file, descriptor = self._held.pop()
            with suppress(OSError):
                file.unlink()  # before the lock ends, so that nobody locks a file that is about to go
            os.close(descriptor)

    def __enter__(self) -> FileLocks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    def _take(self, path: Path, *, building: bool, patient: bool) -> None:
        file = lock_file(path)
        while fcntl is not None:
            # Never through a link: whoever made the folder would choose the file that is emptied below.
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                _lock(descriptor, path, patient=patient)
                # Its last holder may have removed it in between: then what was locked is not what others will lock.
                held = _is_same(descriptor, file)
            except BaseException:
                os.close(descriptor)
                raise
            if held:
                self._held.append((file, descriptor))
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _BUILDING if building else b"")
                return
            os.close(descriptor)


def _lock(descriptor: int, path: Path, *, patient: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            return  # a file system without locks
        if not patient and os.pread(descriptor, len(_BUILDING), 0):
            raise OutputError(
                error.errno, "another process is writing it: wait until that ends, or name another", str(path)
            ) from None
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_same(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
