"""Page tables of videos whose container does not carry one, in the user's cache folder. The folder may be deleted."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid.errors import OutputError
from memvid.storage.disk import cache_folder, make_cache_folder, write_atomic
from memvid.storage.files import open_regular

__all__ = ["load_table", "store_table"]

_KEPT = 64  # tables; beyond it the older half is forgotten
_DIGEST = 32  # bytes of SHA-256 in front of what was stored


def load_table(path: str) -> tuple[bytes, NDArray[np.int64]] | None:
    """The page table of this very file, and at which position each page is; nothing if it is not known."""
    try:
        with open_regular(_file_of(path)) as file:
            data = file.read()
    except (OSError, RuntimeError):  # no cache and no home folder
        return None
    digest, content = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(content).digest() != digest or len(content) < 8:
        return None
    frames = int.from_bytes(content[:8], "little")
    return content[8 + 8 * frames :], np.frombuffer(content, "<i8", frames, 8).astype(np.int64)


def store_table(path: str, table: bytes, positions: NDArray[np.int64]) -> None:
    """Remember a page table. A cache that cannot be written to only means that all frames are read again next time."""
    content = len(positions).to_bytes(8, "little") + positions.astype("<i8").tobytes() + table
    with suppress(OSError, RuntimeError, OutputError):
        file = _file_of(path)
        make_cache_folder("tables")
        write_atomic(file, hashlib.sha256(content).digest() + content)
        _forget_old(file.parent)


def _file_of(path: str) -> Path:
    status = os.stat(path)  # noqa: PTH116
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return cache_folder() / "tables" / hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


def _forget_old(folder: Path) -> None:
    files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    if len(files) > _KEPT:
        for file in files[: _KEPT // 2]:
            file.unlink(missing_ok=True)
