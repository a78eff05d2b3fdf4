"""A second copy of the header page and the dictionary behind the pages of a build: without them nothing is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SPARE_VERSION", "count_spare"]

SPARE_VERSION = 2
"""The format version that copies came with."""

_SHARE = 0.01  # of the bytes of a build's pages, which copies may always take
_SMALL, _SMALL_SHARE = 128 << 10, 0.1  # bytes, up to which they may take such a share


def count_spare(header: Sequence[int], dictionary: Sequence[int], *, written: int) -> int:
    """How many pages of the front are written once more: all, those of the header page, or none.

    :param header: bytes of each page of the header page; likewise ``dictionary``.
    :param written: bytes of all pages and bare texts of the build.
    """
    for pages in ([*header, *dictionary], header):
        size = sum(pages)
        if size <= _SHARE * written or (size <= _SMALL and size <= _SMALL_SHARE * written):
            return len(pages)
    return 0
