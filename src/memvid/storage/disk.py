"""Writing to a disk that may be full, read-only or about to lose its power."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from memvid.errors import MemvidError, OutputError
from memvid.types import StrPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "cache_folder",
    "drop_link",
    "open_regular",
    "output_errors",
    "staged_name",
    "sync_file",
    "sync_folder",
    "write_atomic",
]


def cache_folder() -> Path:
    """Where memvid keeps what it can recompute: ``$MEMVID_CACHE_DIR``, else the platform's cache folder."""
    chosen = os.environ.get("MEMVID_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "memvid" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "memvid"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "memvid"


def staged_name(path: Path) -> Path:
    """Where a file is written before it takes the place of ``path``."""
    return path.with_name(path.name + ".new")


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or a device, which could make a reader wait for ever, is refused.

    :raises OSError: it is not there, is not a file, or may not be read.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  # Path.open takes no opener
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), os.fspath(path))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def drop_link(path: Path) -> None:
    """Remove a symbolic link where a file of ours is to be written, so that nothing is written where it leads."""
    if path.is_symlink():
        path.unlink(missing_ok=True)


def write_atomic(path: StrPath, data: bytes) -> None:
    """Replace ``path`` by ``data``: it holds the old bytes or the new ones, whatever happens.

    :raises OutputError: with the reason and the remedy; the old file is untouched.
    """
    final = Path(path)
    staged = staged_name(final)
    with output_errors(final):
        try:
            drop_link(staged)
            with staged.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            staged.replace(final)
        except BaseException:
            with suppress(OSError):
                staged.unlink(missing_ok=True)
            raise
        sync_folder(final.parent)


@contextmanager
def output_errors(path: StrPath) -> Iterator[None]:
    """Turn an ``OSError`` into an :class:`OutputError` that says what to do."""
    try:
        yield
    except MemvidError:
        raise
    except OSError as error:
        name = str(error.filename or path)
        raise OutputError(error.errno, f"{error.strerror or error}: {_remedy(error, Path(path))}", name) from error


def _remedy(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
        return "free some space or write to another disk"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"create the folder {str(path.parent)!r} first"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a folder you may write to"
    return "nothing was changed, choose another place or try again"


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))  # some systems refuse to sync what is read-only
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder_posix(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # network file systems that cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def _sync_folder_windows(folder: Path) -> None:
    """Windows cannot sync a folder; NTFS journals its renames."""


sync_folder: Callable[[Path], None] = _sync_folder_windows if os.name == "nt" else _sync_folder_posix
