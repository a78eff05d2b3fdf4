"""Whether filters on metadata find what the video says, in memory that does not grow with the metadata.

Each chunk that was read has a secret random number, and each value of a field another one, by a keyed digest. The
sum of their products over all chunks of the video is compared with that over all runs of chunks in the index: equal
sums of different things cannot be made by somebody who does not know the numbers, nor come about by accident.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np

from memvid.index.segments import Records
from memvid.page import read_metadata

__all__ = ["FilterCheck"]

_MODULUS = 1 << 64


class FilterCheck:
    """Compares the fields and values of chunks with those that an index has for filters. 18 bytes a chunk.

    :param records: of the index.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._digest = hashlib.blake2b(digest_size=8, key=secrets.token_bytes(16))
        rows = len(records.row_map)
        self._numbers = np.random.default_rng(secrets.randbits(128)).integers(0, _MODULUS, rows, np.uint64)
        self._taken = np.zeros(rows, np.bool_)
        self._is_changed = np.zeros(rows, np.bool_)
        changed = records.row_map.rows(records.changed.ids)
        self._is_changed[changed[changed >= 0]] = True
        self._ends = np.cumsum([len(part.row_map) for part in records.parts], dtype=np.int64)
        self._sum = 0

    def take(self, row: int, metadata: bytes) -> None:
        """Take a chunk of the index with its stored metadata out of the video, unless the index has it as changed."""
        if self._is_changed[row]:
            return
        self._taken[row] = True
        number = int(self._numbers[row])
        part = self._records.parts[int(np.searchsorted(self._ends, row, side="right"))]
        for term in part.terms_of(read_metadata(metadata).value):
            self._sum += self._number_of(term) * number

    def differs(self) -> bool:
        """Whether the index has other fields and values for the chunks that were taken.

        :raises IndexFormatError: what it has is of wrong types.
        """
        numbers = np.where(self._taken, self._numbers, np.uint64(0))
        total = 0

        def add(term: bytes, number: int) -> None:
            nonlocal total
            total += self._number_of(term) * number

        if self._taken.any():
            for part, end in zip(self._records.parts, self._ends.tolist(), strict=True):
                part.sum_rows(numbers[end - len(part.row_map) : end], add)
        return (total - self._sum) % _MODULUS != 0

    def _number_of(self, term: bytes) -> int:
        digest = self._digest.copy()
        digest.update(term)
        return int.from_bytes(digest.digest(), "little")
