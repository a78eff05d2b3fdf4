"""Opening and making files: regular ones alone, without waiting; never written through a link; private when made.

A pipe, a socket or a device in place of a file is refused at once, and before it is opened: opening some devices does
something. What memvid makes is made with the mode 0600, so that at no moment anybody else can open it;
:mod:`memvid.storage.access` opens it up, when it is complete, to whoever may read it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from memvid.types import StrPath

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "check_regular",
    "create_private",
    "drop_leftover",
    "make_private",
    "open_private",
    "open_regular",
    "opened",
    "write_private",
]

_PRIVATE = 0o600
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_STANDARD_ERROR = 2
_PLAIN = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_OTHERS = {
    stat.S_IFDIR: (errno.EISDIR, "a folder"),
    stat.S_IFLNK: (errno.ELOOP, "a symbolic link"),
    stat.S_IFIFO: (errno.EINVAL, "a pipe"),
    stat.S_IFSOCK: (errno.EINVAL, "a socket"),
    stat.S_IFCHR: (errno.EINVAL, "a device"),
    stat.S_IFBLK: (errno.EINVAL, "a device"),
}


def check_regular(path: StrPath) -> None:
    """Refuse a pipe, a socket, a device or a folder, for those who leave the opening to another library.

    :raises OSError: it is one, or is not there.
    """
    _refuse_other(os.stat(path), path)  # noqa: PTH116


def open_regular(path: StrPath, *, follow: bool = True) -> BinaryIO:
    """Open a file for reading; what is no file, and could make a reader wait for ever, is refused.

    :param follow: whether it may be a link that leads to a file.
    :raises OSError: it is not there, is not a file, or may not be read.
    """
    _refuse_other(os.stat(path, follow_symlinks=follow), path)  # noqa: PTH116

    def open_without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | _NO_WAIT | (0 if follow else _NO_LINK))

    file = open(path, "rb", opener=open_without_waiting)  # noqa: SIM115  # Path.open takes no opener
    try:
        _refuse_other(os.fstat(file.fileno()), path)  # another may have taken its place
    except BaseException:
        file.close()
        raise
    return file


def create_private(path: Path) -> int:
    """Make an empty file that nobody else can open, in place of what a dead process left there.

    :returns: its descriptor, to read and write.
    :raises OSError: there is something that is neither a file nor a link; or it cannot be made.
    """
    drop_leftover(path)
    return _own_number(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK | _PLAIN, _PRIVATE))


def open_private(path: Path, *, create: bool = True) -> int:
    """Open a file to be changed in place.

    :param create: make it, so that nobody else can open it, if it is not there.
    :returns: its descriptor, to read and write.
    :raises OSError: there is a link, or something that is no file.
    """
    try:
        _refuse_other(path.lstat(), path)
    except FileNotFoundError:
        if not create:
            raise
    descriptor = _own_number(os.open(path, os.O_RDWR | os.O_CREAT * create | _NO_LINK | _NO_WAIT | _PLAIN, _PRIVATE))
    try:
        _refuse_other(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of a file that is there, to be changed in place.

    :raises OSError: as :func:`open_private`.
    """
    descriptor = open_private(path, create=False)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_private(path: Path) -> None:
    """Make a file, if there is none, for a library that is given its name: what it writes then goes there.

    :raises OSError: as :func:`open_private`.
    """
    os.close(open_private(path))


def write_private(path: Path, data: bytes) -> None:
    """Write a file whole, in place; one that is not there is made so that nobody else can open it.

    :raises OSError: as :func:`open_private`; or the disk is full.
    """
    with os.fdopen(open_private(path), "r+b") as file:
        file.truncate()
        file.write(data)


def drop_leftover(path: Path) -> None:
    """Remove a file, or a link, where a file of ours is to be made.

    :raises OSError: there is something else.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISLNK(status.st_mode):
        _refuse_other(status, path)
    path.unlink(missing_ok=True)


def _own_number(descriptor: int) -> int:
    """The same file under a number that is none of a standard stream's.

    A process that closed those gives their numbers to its next files, and whatever a library prints goes into them.
    """
    if descriptor > _STANDARD_ERROR:
        return descriptor
    try:
        return _own_number(os.dup(descriptor))
    finally:
        os.close(descriptor)


def _refuse_other(status: os.stat_result, path: StrPath) -> None:
    """Refuse what is not a regular file."""
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        number, name = _OTHERS.get(kind, (errno.EINVAL, "something else"))
        raise OSError(number, f"it is {name}, not a file", os.fspath(path))
