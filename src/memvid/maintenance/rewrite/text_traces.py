"""Whether anything of some texts is left in some bytes.

A text is cut into blocks of :data:`BLOCK` bytes. Whatever holds a piece of it that is twice as long holds a block, at
any offset; blocks are looked for by 64-bit hashes at every offset, and what the hashes find is compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "SHORTEST", "Fragments", "block_hashes"]

BLOCK = 16
SHORTEST = 2 * BLOCK - 1
"""Bytes of the shortest piece that is certain to be found wherever it begins."""

_LEAST_BYTES = 4  # different ones, in a block that is looked for
_FILTER_BITS = 22
_FILTERED = np.uint64(64 - _FILTER_BITS)
_STRETCH = 1 << 22  # bytes hashed at a time
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # odd, their bits well mixed


@dataclass(slots=True)
class Fragments:
    """Blocks of texts that should be nowhere.

    :ivar blocks: those that are looked for.
    :ivar scanned: bytes that were looked through.
    """

    blocks: set[bytes] = field(default_factory=set)
    scanned: int = 0

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> Fragments:
        """The blocks of the texts.

        What is shorter than a block, or is left at a text's end, is not looked for, nor is what says nothing: sixteen
        spaces, rows of dashes.
        """
        blocks = {text[at : at + BLOCK] for text in texts for at in range(0, len(text) - BLOCK + 1, BLOCK)}
        return cls({block for block in blocks if len(set(block)) >= _LEAST_BYTES})

    def allow(self, data: bytes) -> None:
        """Do not look for what is in ``data``, too."""
        self.blocks.difference_update(self._found(data))

    def find(self, data: bytes) -> set[bytes]:
        """The blocks that are in ``data``. About 0.03 s a megabyte."""
        self.scanned += len(data)
        return self._found(data)

    def _found(self, data: bytes) -> set[bytes]:
        if not self.blocks or len(data) < BLOCK:
            return set()
        halves = np.frombuffer(b"".join(self.blocks), "<u8").reshape(-1, 2)
        wanted = np.sort(_mix(halves[:, 0], halves[:, 1]))
        possible = np.zeros(1 << _FILTER_BITS, bool)  # by the first bits of a hash: nearly all offsets are none
        possible[wanted >> _FILTERED] = True
        found: set[bytes] = set()
        for start in range(0, len(data) - BLOCK + 1, _STRETCH):
            numbers = _numbers(data[start : start + _STRETCH + BLOCK - 1])
            hashes = _mix(numbers[:-8], numbers[8:])
            offsets = np.flatnonzero(possible[hashes >> _FILTERED])
            at = np.minimum(np.searchsorted(wanted, hashes[offsets]), len(wanted) - 1)
            hits = offsets[wanted[at] == hashes[offsets]]
            for hit in _distinct(hits, hashes, numbers):
                found.add(data[start + hit : start + hit + BLOCK])
        return found & self.blocks


def block_hashes(data: bytes) -> NDArray[np.uint64]:
    """A hash of the block that begins at each offset, ``uint64[len(data) - BLOCK + 1]``."""
    numbers = _numbers(data)
    return _mix(numbers[:-8], numbers[8:])


def _distinct(hits: NDArray[np.int64], hashes: NDArray[np.uint64], numbers: NDArray[np.uint64]) -> list[int]:
    """Of the offsets, one for each block that is at some of them: a text may repeat it a million times."""
    _, first, same = np.unique(hashes[hits], return_index=True, return_inverse=True)
    likely = hits[first]
    other = (numbers[hits] != numbers[likely[same]]) | (numbers[hits + 8] != numbers[likely[same] + 8])
    return [*likely.tolist(), *hits[other].tolist()]  # there are hardly ever two blocks of one hash


def _mix(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes of blocks, from their halves."""
    with np.errstate(over="ignore"):
        mixed: NDArray[np.uint64] = first * _FIRST ^ second * _SECOND
    return mixed


def _numbers(data: bytes) -> NDArray[np.uint64]:
    """The eight bytes that begin at each offset, ``uint64[len(data) - 7]``."""
    raw = np.frombuffer(data, np.uint8)
    words = np.lib.stride_tricks.as_strided(raw[: len(data) - 7].view(), (len(data) - 7, 8), (1, 1), writeable=False)
    numbers: NDArray[np.uint64] = np.ascontiguousarray(words).view("<u8")[:, 0]
    return numbers
