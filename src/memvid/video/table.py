"""The page table: for every frame its kind, the chunks that start in it, and its checksum.

It rides in a box of its own in the MP4, so that a chunk's frame is found without reading any frame, and its digest is
the video's identity. ``docs/format.md`` is normative.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvid.checks import ID_LIMIT
from memvid.errors import ChunkNotFoundError, UnsupportedVideoError, VideoFormatError
from memvid.page import ChunkIds, PageKind

__all__ = ["BARE", "COVER", "LARGEST_GAP", "LOST", "PageTable", "PageTableBuilder"]

BARE = 255
"""The kind of a frame that holds one chunk's bare text and no page."""

COVER = 254
"""The kind of a frame that shows a picture for people, with some text and no page. It counts no chunk."""

LOST = 253
"""The kind of a frame that was lost, in the table that a reader makes of what is left. It counts a chunk where it is
known to have been a bare text."""

LARGEST_GAP = 0xFFFF_FFFF
"""Most chunk ids in a row that can be left out."""

_MAGIC = b"MVPT"
_VERSION = 1
_GAPS = 1  # flag: a column of gaps between chunk ids follows
_HEAD = Struct("<4sHHII")


@dataclass(frozen=True, slots=True, eq=False)
class PageTable:
    """The frames of a video, ``n`` of them.

    :ivar tag: the memory's tag.
    :ivar kinds: ``uint8[n]``, a :class:`~memvid.page.PageKind`, :data:`BARE`, :data:`COVER` or :data:`LOST`.
    :ivar counts: ``uint16[n]``, chunks that start in the frame.
    :ivar checksums: ``uint32[n]``, CRC-32 of the page.
    :ivar first_chunks: ``int64[n]``, id of the first chunk that starts in the frame, or would.
    """

    tag: int
    kinds: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    checksums: NDArray[np.uint32]
    first_chunks: NDArray[np.int64]
    _data_frames: NDArray[np.int64]
    _starts: NDArray[np.int64]
    _ends: NDArray[np.int64]

    @classmethod
    def from_columns(
        cls,
        tag: int,
        kinds: NDArray[np.uint8],
        counts: NDArray[np.uint16],
        checksums: NDArray[np.uint32],
        gaps: NDArray[np.uint32] | None = None,
    ) -> PageTable:
        """Make a table. ``gaps[i]`` chunk ids, if given, are left out before frame ``i``."""
        before = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=before[1:])
        first_chunks = before[:-1]
        if gaps is not None:
            first_chunks = first_chunks + np.cumsum(gaps, dtype=np.int64)
        data_frames = np.flatnonzero(counts)
        starts = first_chunks[data_frames]
        return cls(tag, kinds, counts, checksums, first_chunks, data_frames, starts, starts + counts[data_frames])

    @classmethod
    def from_bytes(cls, data: bytes) -> PageTable:
        """Read a table.

        :raises VideoFormatError: it is damaged.
        :raises UnsupportedVideoError: it is of a newer version.
        """
        if len(data) < _HEAD.size:
            raise VideoFormatError(f"the page table has {len(data)} bytes, at least {_HEAD.size} are needed")
        magic, version, flags, tag, frames = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise VideoFormatError("the page table does not start as one: the video is damaged")
        if version != _VERSION or flags & ~_GAPS:
            raise UnsupportedVideoError(
                f"the page table is of version {version} with flags {flags:#x}: install a newer memvid"
            )
        columns: list[np.dtype[Any]] = [
            np.dtype(code) for code in ("<u1", "<u2", "<u4", "<u4")[: 4 if flags & _GAPS else 3]
        ]
        expected = _HEAD.size + frames * sum(dtype.itemsize for dtype in columns)
        if len(data) != expected:
            raise VideoFormatError(f"the page table of {frames} frames has {len(data)} bytes instead of {expected}")
        arrays, offset = [], _HEAD.size
        for dtype in columns:
            arrays.append(np.frombuffer(data, dtype, frames, offset))
            offset += frames * dtype.itemsize
        kinds, counts = arrays[0], arrays[1]
        lost = np.where(kinds == LOST, np.minimum(counts, 1), 0)
        allowed = np.where(kinds == BARE, 1, np.where(kinds == PageKind.DATA, counts, lost))
        if not np.array_equal(counts, allowed):
            raise VideoFormatError("the page table counts chunks in frames that have none, or several in a bare one")
        return cls.from_columns(tag, *arrays)

    def to_bytes(self) -> bytes:
        """The table as it rides in the video."""
        gaps = self.gaps
        columns = [self.kinds.astype("<u1"), self.counts.astype("<u2"), self.checksums.astype("<u4")]
        if gaps.any():
            columns.append(gaps.astype("<u4"))
        head = _HEAD.pack(_MAGIC, _VERSION, _GAPS if gaps.any() else 0, self.tag, len(self))
        return head + b"".join(column.tobytes() for column in columns)

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def gaps(self) -> NDArray[np.int64]:
        """``int64[n]``: chunk ids left out before each frame."""
        dense = np.zeros(len(self), np.int64)
        np.cumsum(self.counts[:-1], out=dense[1:])
        return np.asarray(np.diff(self.first_chunks - dense, prepend=0), np.int64)

    @property
    def chunk_count(self) -> int:
        """Chunks in the video."""
        return int(self._ends[-1] - self._starts[0] - self._gap_total()) if len(self._starts) else 0

    @property
    def next_chunk(self) -> int:
        """The id behind the last chunk's."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def _gap_total(self) -> int:
        return int((self._starts[1:] - self._ends[:-1]).sum())

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal: the identity of what is in the video, whatever it is packed in."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def chunk_ids(self, *, start: int = 0, stop: int | None = None) -> ChunkIds:
        """All chunk ids of the frames from ``start`` on, up to the one before ``stop``."""
        part = slice(*np.searchsorted(self._data_frames, [start, len(self) if stop is None else stop]))
        return ChunkIds.of_runs(self._starts[part], self._ends[part])

    def frames_of(self, chunk_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Frames in which the chunks start, ``int64[n]``, in their order. Costs a binary search each.

        :raises ChunkNotFoundError: there is no such chunk.
        """
        at = np.searchsorted(self._starts, chunk_ids, side="right") - 1
        known = at >= 0
        if known.any():
            known &= chunk_ids < self._ends[at]
        if not known.all():
            missing = int(np.asarray(chunk_ids)[~known][0])
            raise ChunkNotFoundError(f"there is no chunk {missing}{self._describe_missing(missing)}")
        frames: NDArray[np.int64] = self._data_frames[at]
        return frames

    def _describe_missing(self, chunk_id: int) -> str:
        if not len(self._starts):
            return ": the memory has none"
        if self._starts[0] <= chunk_id < self._ends[-1]:
            return " any more: it was lost, or it was deleted and a compaction has taken it out"
        return f": this memory's ids go from {int(self._starts[0])} to {int(self._ends[-1]) - 1}"

    def ids_around(self, chunk_id: int, before: int, after: int, *, without: ChunkIds) -> ChunkIds:
        """The id, up to ``before`` ids below it and up to ``after`` above it that exist.

        :param without: ids that do not count.
        :raises ChunkNotFoundError: there is no such chunk.
        """
        frame = int(self.frames_of(np.array([chunk_id], np.int64))[0])
        at = int(np.searchsorted(self._data_frames, frame))
        reach, frames = 1, len(self._starts)
        while True:
            part = slice(max(at - reach, 0), at + reach + 1)
            ids = ChunkIds.of_runs(self._starts[part], self._ends[part]) - without
            below, above = ids & ChunkIds.of(range(chunk_id)), ids - ChunkIds.of(range(chunk_id + 1))
            if (len(below) >= before or at <= reach) and (len(above) >= after or at + reach >= frames):
                return ChunkIds.union([below.last(before), ChunkIds.of([chunk_id]), above.first(after)])
            reach *= 4

    def run_of(self, frame_index: int) -> range:
        """The frames of the run that starts at ``frame_index``: itself and the continuations behind it."""
        end = frame_index + 1
        while end < len(self.kinds) and self.kinds[end] == PageKind.CONTINUATION:
            end += 1
        return range(frame_index, end)

    def run_lengths(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """``int64[n]``: how many frames each of the pages takes that start in these frames, ascending."""
        starts = np.append(np.flatnonzero(self.kinds != PageKind.CONTINUATION), len(self.kinds))
        return np.asarray(starts[np.searchsorted(starts, frames, side="right")] - frames, np.int64)

    def text_stretches(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``int64[m]`` each: the first frame of each stretch of bare texts, and the frame behind its last one."""
        edges = np.diff((self.kinds == BARE).astype(np.int8), prepend=0, append=0)
        return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)

    def texts_before(self, frames: NDArray[np.int64]) -> ChunkIds:
        """The chunks that pages of metadata in these frames can be about: the stretch of bare texts before each."""
        starts, ends = self.text_stretches()
        which = {*(np.searchsorted(ends, frames, side="right") - 1).tolist()}
        texts = [self.first_chunks[starts[at] : ends[at]] for at in which if at >= 0]
        return ChunkIds.union(ChunkIds.of_runs(first, first + 1) for first in texts)

    @property
    def has_lost_frames(self) -> bool:
        """Whether it is of what is left of a video."""
        return bool((self.kinds == LOST).any())

    def below(self, frame: int) -> int:
        """The id behind those of the chunks before a frame; above all ids, if some of them may have been lost."""
        return ID_LIMIT if self.has_lost_frames else int(self.first_chunks[frame])

    def chunks_in(self, frames: NDArray[np.int64]) -> ChunkIds:
        """The chunks of pages, or runs of them, that any of these frames is of."""
        starts = np.flatnonzero(self.kinds != PageKind.CONTINUATION)
        pages = starts[np.maximum(np.searchsorted(starts, frames, side="right") - 1, 0)]
        return ChunkIds.of_runs(self.first_chunks[pages], self.first_chunks[pages] + self.counts[pages])

    @property
    def has_cover(self) -> bool:
        """Whether the first frame is a cover."""
        return bool((self.kinds[:1] == COVER).any())

    @property
    def header_frame(self) -> int:
        """The first header page's frame, which a cover may be before; where there is none, that which should be."""
        frames = self.frames_of_kind(PageKind.HEADER)
        return int(frames[0]) if len(frames) else 0

    def copies_of(self, kind: int) -> list[int]:
        """The frames in which the header page, or the dictionary, begins, and its copy."""
        return [int(frame) for frame in self.frames_of_kind(kind)[:2]]

    def frames_of_kind(self, kind: int) -> NDArray[np.int64]:
        """Frames of one kind, ascending."""
        return np.flatnonzero(self.kinds == kind)


class PageTableBuilder:
    """Collects the rows of a page table, 7 bytes each.

    :param table: begin with the rows of this one.
    """

    def __init__(self, table: PageTable | None = None) -> None:
        self._kinds = array("B")
        self._counts = array("H")
        self._checksums = array("I")
        self._gaps = array("q")
        self._next_chunk = 0
        if table is not None:
            self._kinds.frombytes(table.kinds.astype(np.uint8).tobytes())
            self._counts.frombytes(table.counts.astype(np.uint16).tobytes())
            self._checksums.frombytes(table.checksums.astype(np.uint32).tobytes())
            self._gaps.frombytes(table.gaps.tobytes())
            self._next_chunk = table.next_chunk

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, kind: int, count: int, first_chunk: int, checksum: int) -> None:
        """Add the next frame; ``count`` and ``first_chunk`` matter where chunks start: data pages and bare frames."""
        starts_chunks = kind in {PageKind.DATA, BARE, LOST}
        self._kinds.append(kind)
        self._counts.append(count if starts_chunks else 0)
        self._checksums.append(checksum)
        if not starts_chunks or count == 0:
            self._gaps.append(0)
            return
        self._gaps.append(self._gap_before(first_chunk, len(self._kinds) - 1))
        self._next_chunk = first_chunk + count

    def add_lost(self, count: int) -> None:
        """Add so many frames that were lost."""
        self._kinds.extend([LOST] * count)
        for column in (self._counts, self._checksums, self._gaps):
            column.extend([0] * count)

    def _gap_before(self, first_chunk: int, frame: int) -> int:
        """How many ids are left out before a chunk.

        :raises VideoFormatError: it cannot come behind the one before.
        """
        if first_chunk < self._next_chunk:
            raise VideoFormatError(
                f"frame {frame} starts with chunk {first_chunk}, but chunk {self._next_chunk - 1} "
                "came before: frames are out of order"
            )
        gap = first_chunk - self._next_chunk
        if gap > LARGEST_GAP:
            raise VideoFormatError(
                f"frame {frame} starts with chunk {first_chunk}, {gap} ids behind the last one; "
                f"at most {LARGEST_GAP} can be left out: the video is damaged"
            )
        return gap

    def build(self, tag: int) -> PageTable:
        """The table of the frames so far."""
        gaps = np.array(self._gaps, np.int64)
        return PageTable.from_columns(
            tag,
            np.array(self._kinds, np.uint8),
            np.array(self._counts, np.uint16),
            np.array(self._checksums, np.uint32),
            gaps.astype(np.uint32) if gaps.any() else None,
        )
