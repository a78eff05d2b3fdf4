"""Writing to a disk that may be full, read-only or about to lose its power."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from memvid.errors import MemvidError, OutputError
from memvid.interrupts import uninterrupted
from memvid.storage.access import Access, settle
from memvid.storage.files import create_private, opened
from memvid.types import StrPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "cache_folder",
    "check_utf8",
    "discard",
    "make_cache_folder",
    "native_output_errors",
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


def make_cache_folder(name: str) -> Path:
    """A folder in it, made for its owner alone if it is not there."""
    folder = cache_folder() / name
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def check_utf8(path: Path) -> None:
    """Refuse to write to a name that is not UTF-8: not every library that writes a file takes one.

    :raises OutputError: it is not.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise OutputError(errno.EILSEQ, "its name is not UTF-8: choose another", str(path)) from None


def staged_name(path: Path) -> Path:
    """Where a file is written before it takes the place of ``path``."""
    return path.with_name(path.name + ".new")


def write_atomic(path: StrPath, data: bytes, access: Access | None = None) -> None:
    """Replace ``path`` by ``data``: it holds the old bytes or the new ones, whatever happens.

    :param access: who may use the file; ``None`` leaves it to its owner alone.
    :raises OutputError: with the reason and the remedy; the old file is untouched.
    """
    final = Path(path)
    staged = staged_name(final)
    with output_errors(final):
        descriptor = create_private(staged)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if access is not None:
                settle(staged, access)
            staged.replace(final)
        except BaseException:
            discard(staged)
            raise
        sync_folder(final.parent)


@uninterrupted
def discard(staged: Path) -> None:
    """Remove a file that has come to nothing; where that fails, too, it stays."""
    with suppress(OSError):
        staged.unlink(missing_ok=True)


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


@contextmanager
def native_output_errors(path: StrPath) -> Iterator[None]:
    """Have the native core's errors about a file that is written say what to do, like those of other files."""
    try:
        yield
    except OutputError as error:
        if error.errno is None:
            raise
        with output_errors(path):
            raise OSError(error.errno, os.strerror(error.errno), os.fspath(path)) from error


def _remedy(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)):
        return "free some space or write to another disk"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"create the folder {str(path.parent)!r} first"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a folder you may write to, or make this one writable"
    if error.errno in (errno.EINVAL, errno.ELOOP, errno.EISDIR):
        return "remove it, or choose another name"
    return "nothing was changed, choose another place or try again"


def sync_file(path: Path) -> None:
    with opened(path) as descriptor:  # to read and write: some systems refuse to sync what is read-only
        os.fsync(descriptor)


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
