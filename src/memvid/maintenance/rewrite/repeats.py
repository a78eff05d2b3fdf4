"""Which chunks that stay repeat a text that is erased, whole."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress, groupby

import numpy as np
from numpy.typing import NDArray

from memvid.maintenance.rewrite.text_traces import BLOCK, block_hashes
from memvid.page import ChunkIds

__all__ = ["Repeats"]

_STRETCH = 1 << 22  # bytes looked through at once
_COMPARED = 16  # times the bytes that stay: so much is compared


class Repeats:
    """Looks for erased texts in the chunks that stay: the same text, or a longer one that has it.

    All :meth:`erase` come before the first :meth:`keep`. A text shorter than a block counts only where it is all of the
    chunk: others contain it by chance. Where thousands of long texts begin and end alike, as only forged ones do, not
    all are compared: a chunk that may repeat one then counts as if it did.
    """

    def __init__(self) -> None:
        self._short: set[bytes] = set()
        self._long: dict[int, set[bytes]] = {}  # by the hash of their first block
        self._found: list[int] = []
        self._batch: list[tuple[int, bytes]] = []
        self._size = 0
        self._left = 0  # bytes that may still be compared

    def erase(self, text: bytes) -> None:
        """Note a text that is erased."""
        if len(text) >= BLOCK:
            self._long.setdefault(int(block_hashes(text[:BLOCK])[0]), set()).add(text)
        elif text:
            self._short.add(text)

    def is_erased(self, text: bytes) -> bool:
        """Whether a text is an erased one that is too short to be looked for in others."""
        return text in self._short

    def keep(self, chunk_id: int, text: bytes) -> None:
        """Look at a chunk that stays."""
        if text in self._short:
            self._found.append(chunk_id)
        elif self._long:
            self._left += _COMPARED * len(text)
            self._batch.append((chunk_id, text))
            self._size += len(text)
            if self._size >= _STRETCH:
                self._search()

    def chunks(self) -> ChunkIds:
        """The chunks that repeat one."""
        self._search()
        return ChunkIds.of(self._found)

    def _search(self) -> None:
        """Look through the chunks that wait: for first blocks at every offset, then for what they begin."""
        batch, self._batch, self._size = self._batch, [], 0
        if not batch:
            return
        firsts = np.array(sorted(self._long), np.uint64)
        data = b"".join(text for _, text in batch)
        ends = np.cumsum([len(text) for _, text in batch])
        pairs: set[int] = set()  # of a text in the batch and a first block, as one number
        for start, hashes in _stretches(data):
            at = np.minimum(np.searchsorted(firsts, hashes), len(firsts) - 1)
            hits = np.flatnonzero(firsts[at] == hashes)
            numbers = np.searchsorted(ends, start + hits, side="right")
            pairs.update(np.unique(numbers * len(firsts) + at[hits]).tolist())
        for number, same in groupby(sorted(pairs), lambda pair: pair // len(firsts)):
            chunk_id, text = batch[number]
            begun = (self._long[int(firsts[pair % len(firsts)])] for pair in same)
            candidates = [one for some in begun for one in some if len(one) <= len(text)]
            if candidates and self._is_in(text, candidates):
                self._found.append(chunk_id)

    def _is_in(self, text: bytes, candidates: list[bytes]) -> bool:
        """Whether one of the candidates is in a text; those whose last block is, too, are looked for."""
        lasts = block_hashes(b"".join(one[-BLOCK:] for one in candidates))[::BLOCK]
        possible = np.zeros(len(candidates), np.bool_)
        for _, hashes in _stretches(text):
            possible |= np.isin(lasts, hashes)
        for one in compress(candidates, possible):
            self._left -= len(text)
            if self._left < 0 or one in text:
                return True
        return False


def _stretches(data: bytes) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """The hashes of the blocks at every offset, some megabytes at a time, and where each stretch begins."""
    for start in range(0, len(data) - BLOCK + 1, _STRETCH):
        yield start, block_hashes(data[start : start + _STRETCH + BLOCK - 1])
