"""Whether filters on metadata find what the video says, in memory that does not grow with the metadata.

Each chunk that was read has a secret random number, and each field with its value another one, by a keyed digest. The
sum of their products over all chunks of the video is compared with that over all runs of chunks in the index: equal
sums of different things cannot be made by somebody who does not know the numbers, nor come about by accident.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np

from memvid.index.arrays import IntArray
from memvid.index.segments import Records
from memvid.index.value_tokens import attributes_of
from memvid.page import read_metadata

__all__ = ["FilterCheck"]

_MODULUS = 1 << 64


class FilterCheck:
    """Compares the fields and values of chunks with those that an index has for filters. 17 bytes a chunk.

    :param records: of the index.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._digest = hashlib.blake2b(digest_size=8, key=secrets.token_bytes(16))
        rows = len(records.row_map)
        self._numbers = np.random.default_rng(secrets.randbits(128)).integers(0, _MODULUS, rows, np.uint64)
        self._taken = np.zeros(rows, np.bool_)
        self._sum = 0

    def take(self, row: int, metadata: bytes) -> None:
        """Take a chunk of the index with its stored metadata out of the video."""
        self._taken[row] = True
        number = int(self._numbers[row])
        for field, value in attributes_of(read_metadata(metadata).value).items():
            self._sum += self._number_of(field, value) * number

    def differs(self) -> bool:
        """Whether the index has other fields and values for the chunks that were taken.

        :raises IndexFormatError: what it has is of wrong types.
        """
        if not self._taken.any():
            return False
        changed = self._records.changed
        own = self._taken.copy()  # those of which the segments say what they have
        others = self._records.row_map.rows(changed.ids)
        own[others[others >= 0]] = False
        numbers = np.where(own, self._numbers, np.uint64(0))
        before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(numbers, dtype=np.uint64)])
        total = sum(
            self._number_of(field, value) * int(self._numbers[row])
            for field, value, chunk_id in changed.filter_runs()
            if (row := int(self._records.row_map.rows(np.array([chunk_id]))[0])) >= 0 and self._taken[row]
        )
        for part in self._records.parts:
            for runs in part.filter_runs():
                ends = np.array([(first, last) for _, _, first, last in runs], np.int64)
                rows = self._rows(ends)
                if rows is None:
                    return True
                sums = before[rows[:, 1] + 1] - before[rows[:, 0]]
                for (field, value, _, _), each in zip(runs, sums.tolist(), strict=True):
                    total += self._number_of(field, value) * each
        return (total - self._sum) % _MODULUS != 0

    def _rows(self, ends: IntArray) -> IntArray | None:
        """First and last rows of runs of chunks; ``None`` if there are no such chunks."""
        rows = self._records.row_map.rows(ends.reshape(-1)).reshape(-1, 2)
        sound = (rows >= 0).all() and (rows[:, 1] - rows[:, 0] == ends[:, 1] - ends[:, 0]).all()
        return rows if sound and (rows[:, 0] <= rows[:, 1]).all() else None

    def _number_of(self, field: str, value: bytes) -> int:
        name = field.encode("utf-8", "surrogatepass")
        digest = self._digest.copy()
        digest.update(b"%d %s%s" % (len(name), name, value))
        return int.from_bytes(digest.digest(), "little")
