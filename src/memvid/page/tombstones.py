"""Sets of chunk ids, kept as runs, and the body of a tombstones page, which is one. ``docs/format.md`` is normative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memvid.checks import ID_LIMIT
from memvid.errors import FrameError
from memvid.page.records import varint

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ChunkIds", "decode_tombstones", "encode_tombstones"]

_MAX_VARINT_BYTES = 5


@dataclass(frozen=True, slots=True, eq=False)
class ChunkIds:
    """A set of chunk ids, never written out one by one: a damaged file may claim billions.

    :ivar starts: ``int64[n]``, the first id of each run, ascending.
    :ivar ends: ``int64[n]``, the id behind its last one, below the next start.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Iterable[int] | NDArray[np.int64]) -> ChunkIds:
        """The set of these ids, in any order, repeated or not."""
        array = np.unique(np.fromiter(ids, np.int64) if not isinstance(ids, np.ndarray) else ids.astype(np.int64))
        return cls.of_runs(array, array + 1)

    @classmethod
    def of_runs(cls, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> ChunkIds:
        """The union of the runs ``starts[i]`` to ``ends[i] - 1``, in any order, overlapping or not."""
        filled = ends > starts
        starts, ends = starts[filled], ends[filled]
        order = np.argsort(starts, kind="stable")
        starts, reach = starts[order], np.maximum.accumulate(ends[order]) if len(order) else ends
        begins = np.ones(len(starts), bool)
        begins[1:] = starts[1:] > reach[:-1]  # a run that touches the one before is part of it
        last = np.append(begins[1:], True) if len(starts) else begins
        return cls(starts[begins], reach[last])

    def __len__(self) -> int:
        return int((self.ends - self.starts).sum())

    def __or__(self, other: ChunkIds) -> ChunkIds:
        return self.of_runs(np.concatenate([self.starts, other.starts]), np.concatenate([self.ends, other.ends]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChunkIds):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    def __hash__(self) -> int:
        return hash((self.starts.tobytes(), self.ends.tobytes()))

    def contains(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``bool[n]``: which of the ids are in the set. A binary search each."""
        if not len(self.starts):
            return np.zeros(len(ids), bool)
        at = np.searchsorted(self.starts, ids, side="right") - 1
        found: NDArray[np.bool_] = (at >= 0) & (ids < self.ends[at])
        return found

    def __repr__(self) -> str:
        return f"ChunkIds({len(self)} in {len(self.starts)} runs)"


def encode_tombstones(deleted: ChunkIds) -> bytes:
    """Logical body of a tombstones page."""
    gaps = deleted.starts - np.concatenate([np.zeros(1, np.int64), deleted.ends[:-1]])[: len(deleted.starts)]
    lengths = deleted.ends - deleted.starts
    pairs = zip(gaps.tolist(), lengths.tolist(), strict=True)
    return b"".join(varint(value) for pair in pairs for value in pair)


def decode_tombstones(body: bytes, *, frame_index: int = -1) -> ChunkIds:
    """The chunks that a tombstones page says are deleted.

    :raises FrameError: the body is not a list of runs.
    """
    values = _varints(body, frame_index)
    if not values or len(values) % 2:
        raise _error(f"has {len(values)} numbers, an even number of at least 2 is needed", frame_index)
    numbers = np.array(values, np.int64).reshape(-1, 2)
    if (numbers[:, 1] == 0).any() or (numbers[1:, 0] == 0).any():
        raise _error("has an empty run, or two runs without a gap", frame_index)
    if len(numbers) > ID_LIMIT >> 33:
        raise _error(f"has {len(numbers)} runs", frame_index)
    edges = np.cumsum(numbers.reshape(-1))  # start, end, start, end, ...
    return ChunkIds(edges[0::2], edges[1::2])


def _varints(body: bytes, frame_index: int) -> list[int]:
    """All numbers of a body, each in its shortest form and below 2^32."""
    values: list[int] = []
    value = shift = 0
    for byte in body:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            if shift >= 7 * _MAX_VARINT_BYTES:
                raise _error("has a number that is too long", frame_index)
            continue
        if value >> 32 or (byte == 0 and shift > 7):
            raise _error("has a number that is too large, or longer than it must be", frame_index)
        values.append(value)
        value = shift = 0
    if shift:
        raise _error("ends inside a number", frame_index)
    return values


def _error(what: str, frame_index: int) -> FrameError:
    return FrameError(
        f"frame {frame_index}: its list of deleted chunks {what}; the video is damaged: restore it from a copy",
        frame_index=frame_index,
    )
