"""Files that have other names: what is to be changed in place is copied first, so that those names keep it as it was.

A snapshot by ``cp -al`` is a folder of such names. Files that are replaced need nothing: their old bytes stay with the
other names. What would change in place, a video that grows and a checkpoint, is copied, block by shared block where the
file system can do that.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from memvid.storage.access import read_access, settle
from memvid.storage.disk import discard, staged_name, sync_folder
from memvid.storage.files import create_private, open_regular, opened

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["copy_file", "has_other_names", "unshare"]

_SHARE_BLOCKS = 0x40049409  # FICLONE of Linux, for Btrfs, XFS and others
_STRETCH = 1 << 20


def has_other_names(path: Path) -> bool:
    """Whether a file has a name beside this one (a hard link)."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1


def copy_file(source: BinaryIO, target: Path) -> None:
    """Copy a file, from its start, into one that is there and empty.

    :raises OSError: one of them cannot be read or written.
    """
    with opened(target) as descriptor:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.ioctl(descriptor, _SHARE_BLOCKS, source.fileno())
                return
        source.seek(0)
        while data := source.read(_STRETCH):
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]


def unshare(path: Path) -> bool:
    """Give a name a file of its own with the same bytes, if its file has other names; whether it had.

    Killed at any moment, it leaves the name with the one file or the other.

    :raises OSError: the disk is full, ...
    """
    access = read_access(path)
    if access is None or not has_other_names(path):
        return False
    staged = staged_name(path)
    os.close(create_private(staged))
    try:
        with open_regular(path) as source:
            copy_file(source, staged)
        settle(staged, access)
        staged.replace(path)
    except BaseException:
        discard(staged)
        raise
    sync_folder(path.parent)
    return True
