"""Files that Git LFS keeps elsewhere: a clone that has not fetched them has a text of three lines in their place."""

from __future__ import annotations

__all__ = ["LFS_REMEDY", "POINTER_BYTES", "is_lfs_pointer"]

LFS_REMEDY = "is a Git LFS pointer and not yet the file itself: fetch that with git lfs pull"
_START = b"version https://git-lfs.github.com/spec/"
POINTER_BYTES = len(_START)
"""Of a file, enough to tell a pointer by."""


def is_lfs_pointer(start: bytes) -> bool:
    """Whether a file that begins so is a pointer."""
    return start.startswith(_START)
