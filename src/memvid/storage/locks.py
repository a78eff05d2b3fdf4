"""Locks on the files of a memory: whoever writes one excludes all others that would, on any file system.

The lock on ``NAME`` is the file ``NAME.lock``, which is there while the lock is held. It appears complete, in one step,
and only where there was none: by ``link``, or by exclusive creation where a file system has no links. That alone
excludes. The file says which process holds the lock (:mod:`memvid.storage.lock_holder`), and is locked by ``flock``
where that works, so that a process that was killed is known to have ended even in another container.

A file that an ended process left is not removed by whoever finds it: two that find it would remove each other's. It is
succeeded: the next holder's file is ``NAME.lock.ID``, named by the id of the file before it, which only one process can
create. Whoever has done so, and still finds all files before his own left behind, holds the lock, and renames his file
over theirs.

Lock files are never written to after they have appeared, and what is there already is only read, never through a link.
"""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from memvid.errors import OutputError
from memvid.interrupts import uninterrupted
from memvid.printable import shell_word
from memvid.storage.files import open_regular
from memvid.storage.lock_holder import Holder, HolderState, is_begun, lock_open_file, probe_open_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["FileLocks", "lock_file"]

_MODE = 0o600
_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_RECORD_LIMIT = 4096  # bytes; a real one has about 300
_CHAIN_LIMIT = 64  # files of processes that were killed while they took the lock
_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two looks at a lock that is held
_PATIENCE = 10.0  # seconds to wait for a process of which nobody can say from here whether it still runs
_LEFT_AFTER = 5.0  # seconds: a file that says nothing for longer was left by a process that ended while it made it
_MADE_WITHIN = 1.0  # seconds: a process that took longer to make its file gives it up
_SUCCESSOR = re.compile("[0-9a-f]{32}")
_NOT_HERE = {
    *(errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM),
    *(errno.EISDIR, errno.EXDEV, errno.EMLINK, errno.ENOENT),
}  # what systems say that cannot make a file in one of the ways

_held: set[str] = set()  # ids of the lock files of this process


def lock_file(path: Path) -> Path:
    """The file that stands for the lock on ``path``."""
    return path.parent / (path.name + ".lock")


class FileLocks:
    """Holds the locks on some files, all of them, until :meth:`release`. A context manager.

    :param paths: taken in this order, the index before the video.
    :param building: whether it is for a build, which may take long. A build refuses to wait for another one; mending
        waits for a build that has the index, because it is about to end: it has come to its commit point.
    :raises OutputError: another build holds one of them; or a process of another host does, or did; or this file system
        lets nobody exclude others.
    :raises OSError: a lock file cannot be made.
    """

    def __init__(self, paths: Sequence[Path], *, building: bool) -> None:
        self._held: list[_FileLock] = []
        try:
            for path in paths:
                lock = _FileLock(path, building=building)
                self._held.append(lock)
                lock.take(patient=not building and path is paths[0])
        except BaseException:
            self.release()
            raise

    @uninterrupted
    def release(self) -> None:
        """Let go of everything, the last one first. Calling it twice is fine."""
        while self._held:
            self._held[-1].release()
            self._held.pop()

    def __enter__(self) -> FileLocks:
        return self

    @uninterrupted
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    @uninterrupted
    def __del__(self) -> None:
        with suppress(AttributeError):  # __init__ did not get as far as that
            self.release()


class _Found(NamedTuple):
    """A lock file that is there.

    :ivar id: what its successor is named by.
    :ivar holder: what it says; ``None`` of one that does not say it yet: a power cut leaves such, and, where there are
        no links, a process that is killed while it makes one.
    :ivar mtime: when it was last written, by the clock of the file system.
    """

    file: Path
    id: str
    holder: Holder | None
    state: HolderState
    mtime: float


class _FileLock:
    """The lock on one file, taken or not."""

    def __init__(self, path: Path, *, building: bool) -> None:
        self._path = path
        self._root = lock_file(path)
        self._building = building
        self._process = os.getpid()
        self._holder: Holder | None = None
        self._descriptor = -1
        self._files: list[Path] = []  # the own one at the end, behind those it has succeeded
        self._named = False  # whether files are made here that have a name before they are complete

    def take(self, *, patient: bool) -> None:
        """Take the lock; wait for whoever has it, unless that is another build.

        :param patient: wait for another build, too.
        """
        pause, begin = _PAUSE, time.monotonic()
        while (rival := self._try()) is not None:
            waits = patient or (rival.holder is not None and not rival.holder.building)
            if rival.state is HolderState.UNKNOWN:
                waits = (waits or rival.holder is None) and time.monotonic() - begin < _PATIENCE
            if not waits:
                raise self._refusal(rival)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    @uninterrupted
    def release(self) -> None:
        """Let go; a process that was forked meanwhile only forgets it. Calling it twice is fine."""
        if self._process == os.getpid():
            self._remove()
        self._close()

    def _try(self) -> _Found | None:
        """Take the lock, if nobody has it; else whoever does."""
        while True:
            ended, end, rival = self._follow()
            if rival is not None:
                return rival
            young = None
            try:
                if self._place(end):
                    young = next((found for found in ended if found.holder is None and not self._is_left(found)), None)
                    if young is None and self._is_reached():
                        self._files = [*(found.file for found in ended), end]
                        self._tidy()
                        return None
            except BaseException:
                self.release()
                raise
            self.release()
            if young is not None:
                return young._replace(state=HolderState.UNKNOWN)
            # Else someone was faster.

    def _follow(self) -> tuple[list[_Found], Path, _Found | None]:
        """The files of ended processes, the name for whoever succeeds them, and who has done so, if anybody has."""
        ended: list[_Found] = []
        name = self._root
        while (found := _look(name)) is not None:
            if found.state is not HolderState.ENDED:
                return ended, name, found
            ended.append(found)
            if len(ended) > _CHAIN_LIMIT:
                raise OutputError(errno.EEXIST, "there are more lock files than can be: remove them", str(self._root))
            name = self._root.with_name(f"{self._root.name}.{found.id}")
        return ended, name, None

    def _place(self, name: Path) -> bool:
        """Make the lock file, unless there is one of this name; whether it was made."""
        for way in (self._link_unnamed, self._link_named, self._create):
            try:
                return way(name)
            except FileExistsError:  # noqa: PERF203
                return self._is_own(name)  # a network drive that has asked twice is told of its own success
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                number = error.errno
        if number == errno.ENOENT:
            raise FileNotFoundError(number, os.strerror(number), str(name))
        raise OutputError(
            number,
            f"{os.strerror(number)}: this file system has neither links nor exclusive creation, so nobody can be kept "
            "from writing at the same time: choose another folder",
            str(self._path),
        )

    def _link_unnamed(self, name: Path) -> bool:
        """By a file that has no name before: a process that is killed leaves nothing."""
        if not hasattr(os, "O_TMPFILE"):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        self._open(name.parent, os.O_TMPFILE)  # a folder may be reached by a link
        self._files = [name]
        # Python follows the link that stands for the file if it is given a folder, which plays no part.
        os.link(f"/proc/self/fd/{self._descriptor}", name, src_dir_fd=self._descriptor)
        return True

    def _link_named(self, name: Path) -> bool:
        self._named = True
        temporary = self._root.with_name(f"{self._root.name}.{os.urandom(16).hex()}")
        try:
            self._open(temporary, _NEW)
            self._files = [name]
            os.link(temporary, name)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _create(self, name: Path) -> bool:
        begin = time.time()
        self._files = [name]
        self._open(name, _NEW)
        if time.time() - begin < _MADE_WITHIN:
            return True
        os.ftruncate(self._descriptor, 0)  # meanwhile others may have taken it for one that was left
        self._files = []
        return False

    def _open(self, path: Path, flags: int) -> None:
        """Make a file with the record of this process in it."""
        self._close()
        self._descriptor = os.open(path, os.O_RDWR | flags, _MODE)
        self._holder = Holder.new(building=self._building, flocked=lock_open_file(self._descriptor))
        _held.add(self._holder.id)
        left = memoryview(self._holder.to_bytes())
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _close(self) -> None:
        if self._holder is not None:
            _held.discard(self._holder.id)
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _is_own(self, file: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), file.lstat())
        except OSError:  # there is none, or none was made
            return False

    def _is_left(self, found: _Found) -> bool:
        """Whether a file is so old that whoever makes it would long have written what it says."""
        return os.fstat(self._descriptor).st_mtime - found.mtime > _LEFT_AFTER

    def _is_reached(self) -> bool:
        """Whether the file that was just made holds the lock: nothing in front of it has changed meanwhile."""
        _, _, found = self._follow()
        return found is not None and found.holder == self._holder

    def _tidy(self) -> None:
        """Put the own file in the place of those it has succeeded, and remove what others left behind."""
        if len(self._files) == 1 and not self._named:
            return
        with suppress(OSError):
            while len(self._files) > 1:
                self._files[-1].replace(self._files[-2])
                self._files.pop()
            prefix = self._root.name + "."
            with os.scandir(self._root.parent) as entries:
                names = {entry.name for entry in entries if entry.name.startswith(prefix)}
            for name in names - {file.name for file in self._files}:
                if _SUCCESSOR.fullmatch(name.removeprefix(prefix)):
                    found = _look(self._root.with_name(name))
                    if (
                        found is not None
                        and found.state is HolderState.ENDED
                        and (found.holder or self._is_left(found))
                    ):
                        found.file.unlink(missing_ok=True)

    def _remove(self) -> None:
        """Remove the own file, after those it has succeeded, before its lock ends."""
        try:
            for file in self._files:
                if file != self._files[-1] or self._is_own(file):
                    file.unlink(missing_ok=True)
        except OSError:
            with suppress(OSError):  # it stays: then it is not to say that this process, which goes on, holds the lock
                os.ftruncate(self._descriptor, 0)
        self._files = []

    def _refusal(self, rival: _Found) -> OutputError:
        if rival.state is HolderState.RUNNING:
            reason = "another process is writing it: wait until that ends, or name another"
        else:
            holder = "a process that its lock file does not name" if rival.holder is None else str(rival.holder)
            reason = (
                f"is locked by {holder}, and whether that still runs cannot be seen from here: wait until it ends; if "
                f"it was killed, remove its lock: rm {shell_word(rival.file)}"
            )
        return OutputError(errno.EWOULDBLOCK, reason, str(self._path))


def _look(file: Path) -> _Found | None:
    """What a lock file says; ``None`` if there is none.

    :raises OutputError: it is a link, a pipe, or another thing that is no file; or may not be read; or is somebody's
        own file, which happens to have this name.
    """
    try:
        with open_regular(file, follow=False) as opened:
            descriptor = opened.fileno()
            status = os.fstat(descriptor)
            data = opened.read(_RECORD_LIMIT + 1)
            holder = Holder.parse(data)
            if holder is not None:
                return _Found(file, holder.id, holder, holder.state(descriptor, _held), status.st_mtime)
            if len(data) > _RECORD_LIMIT or not is_begun(data):
                raise FileExistsError(errno.EEXIST, "memvid did not write it")
            state = HolderState.RUNNING if probe_open_file(descriptor) is False else HolderState.ENDED
            successor = f"{status.st_ino:016x}{status.st_mtime_ns:016x}"[:32]
            return _Found(file, successor, None, state, status.st_mtime)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"is in the place of a lock file, which cannot be read: {error.strerror}; remove it"
        if isinstance(error, FileExistsError):
            reason = (
                f"is in the place of a lock file, and {error.strerror}: rename it, or if nobody needs it, remove it"
            )
        if isinstance(error, PermissionError):
            reason = "is the lock of another user's process: wait until that ends; if it was killed, remove its lock"
        raise OutputError(error.errno, f"{reason}: rm {shell_word(file)}", str(file)) from error
