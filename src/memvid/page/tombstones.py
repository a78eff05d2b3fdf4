"""The body of a tombstones page: a set of chunk ids, as runs. ``docs/format.md`` is normative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from memvid.checks import ID_LIMIT
from memvid.errors import FrameError
from memvid.page.chunk_ids import ChunkIds
from memvid.page.compression import MAX_BODY_BYTES
from memvid.page.header import PageKind
from memvid.page.reading import open_blob
from memvid.page.records import varint
from memvid.remedies import REMEDY

__all__ = ["LONGEST_DELETION", "TombstoneReader", "decode_tombstones", "encode_tombstones"]

LONGEST_DELETION = (1 << 32) - 1
"""Most chunks in a row that a list of deletions can name."""

_FREE_BYTES = 4 << 20
_BLOCK_BYTES = 1 << 20  # decoded at once, in about forty times as much memory
_MAX_VARINT_BYTES = 5


def encode_tombstones(deleted: ChunkIds) -> bytes:
    """Logical body of a tombstones page.

    :raises FrameError: more chunks in a row are deleted than a list can name; no memory has so many.
    """
    gaps = deleted.starts - np.concatenate([np.zeros(1, np.int64), deleted.ends[:-1]])[: len(deleted.starts)]
    lengths = deleted.ends - deleted.starts
    if len(lengths) and max(int(lengths.max()), int(gaps.max())) > LONGEST_DELETION:
        raise _error(f"names more than {LONGEST_DELETION} chunks in a row", -1)
    pairs = zip(gaps.tolist(), lengths.tolist(), strict=True)
    return b"".join(varint(value) for pair in pairs for value in pair)


def decode_tombstones(body: bytes, *, frame_index: int = -1) -> ChunkIds:
    """The chunks that a tombstones page says are deleted.

    :raises FrameError: the body is not a list of runs.
    """
    blocks = [_varints(block, frame_index) for block in _blocks(body)]
    numbers = np.concatenate(blocks) if blocks else np.empty(0, np.int64)
    if not len(numbers) or len(numbers) % 2:
        raise _error(f"has {len(numbers)} numbers, an even number of at least 2 is needed", frame_index)
    if (numbers[1::2] == 0).any() or (numbers[2::2] == 0).any():
        raise _error("has an empty run, or two runs without a gap", frame_index)
    if len(numbers) > ID_LIMIT >> 32:
        raise _error(f"has {len(numbers) // 2} runs", frame_index)
    edges = np.cumsum(numbers)  # start, end, start, end, ...
    return ChunkIds(edges[0::2], edges[1::2])


class TombstoneReader:
    """Puts together what all tombstones pages of a video say.

    Together they unpack to at most 4 MiB and twice the video's bytes: a deletion names chunks that the video has, and a
    few thousand bytes of zstd can hold any number of runs.

    :param video_bytes: size of the video.
    """

    def __init__(self, video_bytes: int) -> None:
        self._left = _FREE_BYTES + 2 * video_bytes
        self._lists: list[ChunkIds] = []

    def add(self, payloads: Sequence[bytes], *, first_frame: int, tag: int | None = None) -> ChunkIds:
        """Take the payloads of a page, or of a run of pages; the chunks that it says were deleted.

        :raises FrameError: they are no list of deleted chunks, or more than the video's bytes can hold.
        """
        limit = min(self._left, MAX_BODY_BYTES)
        body = open_blob(PageKind.TOMBSTONES, payloads, first_frame=first_frame, tag=tag, limit=limit)
        self._left -= len(body)
        deleted = decode_tombstones(body, frame_index=first_frame)
        self._lists.append(deleted)
        return deleted

    @property
    def deleted(self) -> ChunkIds:
        """All chunks that the pages so far say were deleted."""
        return ChunkIds.union(self._lists)


def _blocks(body: bytes) -> Iterator[bytes]:
    """The body in pieces that end where a number does, or where one would have become too long."""
    start = 0
    while start < len(body):
        end = min(start + _BLOCK_BYTES, len(body))
        for _ in range(_MAX_VARINT_BYTES):
            if end < len(body) and body[end - 1] & 0x80:
                end += 1
        yield body[start:end]
        start = end


def _varints(block: bytes, frame_index: int) -> NDArray[np.int64]:
    """All numbers of a block, each in its shortest form and below 2^32."""
    raw = np.frombuffer(block, np.uint8)
    last = np.flatnonzero(raw < 0x80)
    if not len(last) or last[-1] != len(raw) - 1:
        raise _error("ends inside a number", frame_index)
    first = np.concatenate([np.zeros(1, np.int64), last[:-1] + 1])
    size = last - first + 1
    if size.max() > _MAX_VARINT_BYTES:
        raise _error("has a number that is too long", frame_index)
    values = np.zeros(len(last), np.int64)
    for place in range(int(size.max())):
        there = size > place
        values[there] |= (raw[first[there] + place].astype(np.int64) & 0x7F) << 7 * place
    if (values >> 32).any() or ((raw[last] == 0) & (size > 1)).any():
        raise _error("has a number that is too large, or longer than it must be", frame_index)
    return values


def _error(what: str, frame_index: int) -> FrameError:
    return FrameError(
        f"frame {frame_index}: its list of deleted chunks {what}; the video is damaged: {REMEDY}",
        frame_index=frame_index,
    )
