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
        """The blocks that are in ``data``. About 0.1 s a megabyte."""
        self.scanned += len(data)
        return self._found(data)

    def _found(self, data: bytes) -> set[bytes]:
        if not self.blocks or len(data) < BLOCK:
            return set()
        wanted = np.sort(block_hashes(b"".join(self.blocks))[::BLOCK])
        found: set[bytes] = set()
        for start in range(0, len(data) - BLOCK + 1, _STRETCH):
            hashes = block_hashes(data[start : start + _STRETCH + BLOCK - 1])
            at = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
            for hit in np.flatnonzero(wanted[at] == hashes).tolist():
                found.add(data[start + hit : start + hit + BLOCK])
        return found & self.blocks


def block_hashes(data: bytes) -> NDArray[np.uint64]:
    """A hash of the block that begins at each offset, ``uint64[len(data) - BLOCK + 1]``."""
    count = len(data) - BLOCK + 1
    raw = np.frombuffer(data, np.uint8)
    words = np.lib.stride_tricks.as_strided(raw[: len(data) - 7].view(), (len(data) - 7, 8), (1, 1), writeable=False)
    numbers = np.ascontiguousarray(words).view("<u8")[:, 0]
    with np.errstate(over="ignore"):
        mixed: NDArray[np.uint64] = numbers[:count] * _FIRST ^ numbers[8 : 8 + count] * _SECOND
    return mixed
