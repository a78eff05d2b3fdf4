"""Which chunks that stay repeat a text that is erased, whole."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from memvid.maintenance.rewrite.text_traces import BLOCK, block_hashes
from memvid.page import ChunkIds

__all__ = ["Repeats"]

_STRETCH = 1 << 22  # bytes looked through at once


class Repeats:
    """Looks for erased texts in the chunks that stay: the same text, or a longer one that has it.

    All :meth:`erase` come before the first :meth:`keep`. A text shorter than a block counts only where it is all of the
    chunk: others contain it by chance.
    """

    def __init__(self) -> None:
        self._short: set[bytes] = set()
        self._long: dict[bytes, set[bytes]] = {}  # by their first block
        self._hashes = np.empty(0, np.uint64)
        self._found: list[int] = []
        self._batch: list[tuple[int, bytes]] = []
        self._size = 0

    def erase(self, text: bytes) -> None:
        """Note a text that is erased."""
        if len(text) >= BLOCK:
            self._long.setdefault(text[:BLOCK], set()).add(text)
        elif text:
            self._short.add(text)

    def keep(self, chunk_id: int, text: bytes) -> None:
        """Look at a chunk that stays."""
        if text in self._short:
            self._found.append(chunk_id)
        elif self._long:
            self._batch.append((chunk_id, text))
            self._size += len(text)
            if self._size >= _STRETCH:
                self._search()

    def chunks(self) -> ChunkIds:
        """The chunks that repeat one."""
        self._search()
        return ChunkIds.of(self._found)

    def _search(self) -> None:
        """Look through the chunks that wait, for first blocks at every offset, then for what they begin."""
        data = b"".join(text for _, text in self._batch)
        if len(data) >= BLOCK:
            if not len(self._hashes):
                self._hashes = np.sort(block_hashes(b"".join(self._long))[::BLOCK])
            ends = np.array(list(accumulate(len(text) for _, text in self._batch)))
            hashes = block_hashes(data)
            at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
            for hit in np.flatnonzero(self._hashes[at] == hashes).tolist():
                number = int(np.searchsorted(ends, hit, side="right"))
                room = int(ends[number]) - hit
                for text in self._long.get(data[hit : hit + BLOCK], ()):
                    if len(text) <= room and data.startswith(text, hit):
                        self._found.append(self._batch[number][0])
        self._batch, self._size = [], 0
