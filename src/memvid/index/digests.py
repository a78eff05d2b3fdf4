"""SHA-256 of side files, and the memory of which files were checked.

A side file is hashed in full the first time it is opened on a machine. That it was is remembered as an empty file in
the user's cache folder, named after device, inode, size, mtime and the digest found. The folder may be deleted.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from memvid.storage.disk import cache_folder, make_cache_folder
from memvid.storage.files import open_private

if TYPE_CHECKING:
    from memvid.index.open_file import OpenFile

__all__ = ["file_digest", "is_verified", "remember_verified"]

_BLOCK = 1 << 20
_KEPT = 4096  # remembered files; beyond it the older half is forgotten


def file_digest(file: OpenFile) -> str:
    """SHA-256 of a side file, in hexadecimal. About 1 GB a second; the GIL is released."""
    digest = hashlib.sha256()
    for start in range(0, file.nbytes, _BLOCK):
        digest.update(file.read(start, _BLOCK))
    return digest.hexdigest()


def is_verified(status: os.stat_result, digest: str) -> bool:
    """Whether the file with this ``fstat`` was found to have this digest before."""
    try:
        return (cache_folder() / "verified" / _key(status, digest)).exists()
    except (OSError, RuntimeError):  # no cache and no home folder: check each time
        return False


def remember_verified(status: os.stat_result, digest: str) -> None:
    """Remember a check. A cache that cannot be written to only means that the file is hashed again next time."""
    with suppress(OSError, RuntimeError):
        folder = make_cache_folder("verified")
        mark = open_private(folder / _key(status, digest))
        os.utime(mark)  # the ones that were not needed for longest are forgotten
        os.close(mark)
        _forget_old(folder)


def _key(status: os.stat_result, digest: str) -> str:
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, digest)
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


def _forget_old(folder: Path) -> None:
    names = list(os.scandir(folder))
    if len(names) > _KEPT:
        names.sort(key=lambda entry: entry.stat().st_mtime_ns)
        for entry in names[: _KEPT // 2]:
            Path(entry.path).unlink(missing_ok=True)
