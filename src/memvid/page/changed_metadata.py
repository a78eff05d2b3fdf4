"""The body of a METADATA page: other metadata for chunks that are there. ``docs/format.md`` is normative."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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

__all__ = [
    "ChangedMetadata",
    "MetadataReader",
    "decode_changed_metadata",
    "encode_changed_metadata",
    "metadata_bodies",
]

_FREE_BYTES = 4 << 20
_TIMES = 8
_ENTRY_BYTES = 16  # what an entry counts beside its bytes: the numbers that lead to it
_BODY_TARGET = 2 << 20
_LONGEST_ID, _LONGEST_LENGTH = 9, 5  # bytes of a varint


@dataclass(frozen=True, slots=True)
class ChangedMetadata:
    """Metadata that takes the place of what was stored with chunks. Immutable.

    :ivar ids: ``int64[n]``, the chunks, ascending.
    :ivar starts: ``int64[n]``, where in its body the metadata of each begins.
    :ivar ends: ``int64[n]``, and where it ends.
    :ivar bodies: what it is in.
    :ivar which: ``int64[n]``, which of them.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    bodies: tuple[bytes, ...]
    which: NDArray[np.int64]

    @classmethod
    def latest(cls, parts: Sequence[ChangedMetadata]) -> ChangedMetadata:
        """Several, of which the last that names a chunk counts."""
        if len(parts) == 1:
            return parts[0]
        empty = np.empty(0, np.int64)
        firsts = np.cumsum([0, *(len(part.bodies) for part in parts)])
        ids = np.concatenate([empty, *(part.ids for part in parts)])
        starts = np.concatenate([empty, *(part.starts for part in parts)])
        ends = np.concatenate([empty, *(part.ends for part in parts)])
        which = np.concatenate([empty, *(part.which + first for part, first in zip(parts, firsts, strict=False))])
        order = np.argsort(ids, kind="stable")  # those of one chunk in the order of their pages
        last = order[np.append(np.diff(ids[order]) != 0, True)] if len(order) else order
        bodies = tuple(body for part in parts for body in part.bodies)
        return cls(ids[last], starts[last], ends[last], bodies, which[last])

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def chunks(self) -> ChunkIds:
        """The chunks."""
        return ChunkIds.of(self.ids)

    def get(self, chunk_id: int) -> bytes | None:
        """Stored JSON of a chunk's metadata, empty if it has none now; ``None`` if it was not changed."""
        at = int(np.searchsorted(self.ids, chunk_id))
        if at == len(self.ids) or self.ids[at] != chunk_id:
            return None
        body: bytes = self.bodies[int(self.which[at])]
        return body[int(self.starts[at]) : int(self.ends[at])]

    def below(self, chunk_id: int) -> ChangedMetadata:
        """What it says of chunks whose ids are lower than that."""
        end = int(np.searchsorted(self.ids, chunk_id))
        return ChangedMetadata(self.ids[:end], self.starts[:end], self.ends[:end], self.bodies, self.which[:end])

    def items(self) -> Iterator[tuple[int, bytes]]:
        """All chunks, ascending, and their metadata."""
        rows = zip(self.ids.tolist(), self.which.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True)
        for chunk_id, which, start, end in rows:
            yield chunk_id, self.bodies[which][start:end]


def encode_changed_metadata(changes: Iterable[tuple[int, bytes]]) -> bytes:
    """Logical body of a METADATA page.

    :param changes: ids, ascending, and stored metadata.
    """
    parts: list[bytes] = []
    last = -1
    for chunk_id, metadata in changes:
        parts += [varint(chunk_id - last - 1), varint(len(metadata)), metadata]
        last = chunk_id
    return b"".join(parts)


def metadata_bodies(changes: Mapping[int, bytes]) -> Iterator[bytes]:
    """The bodies of the pages that say so: each of 2 MiB at most, unless one chunk alone has more."""
    part: list[tuple[int, bytes]] = []
    size = 0
    for chunk_id, metadata in sorted(changes.items()):
        if part and size + len(metadata) + _LONGEST_ID + _LONGEST_LENGTH > _BODY_TARGET:
            yield encode_changed_metadata(part)
            part, size = [], 0
        part.append((chunk_id, metadata))
        size += len(metadata) + _LONGEST_ID + _LONGEST_LENGTH
    if part:
        yield encode_changed_metadata(part)


def decode_changed_metadata(body: bytes, *, frame_index: int = -1) -> ChangedMetadata:
    """What the body of a METADATA page says. Metadata itself is not looked at.

    :raises FrameError: the body is not as described.
    """
    found = _decode(body, frame_index, len(body))
    assert found is not None  # noqa: S101  # an entry has at least two bytes
    return found


def _decode(body: bytes, frame_index: int, most: int) -> ChangedMetadata | None:
    """The same; ``None`` if it names more chunks than so many."""
    ids, starts, ends = [], [], []
    at, chunk_id, size = 0, -1, len(body)
    while at < size:
        gap, at = body[at], at + 1
        if gap >= 0x80:  # most numbers take a byte
            gap, at = _read_varint(body, at - 1, _LONGEST_ID, frame_index)
        if at < size and body[at] < 0x80:
            length, at = body[at], at + 1
        else:
            length, at = _read_varint(body, at, _LONGEST_LENGTH, frame_index)
        chunk_id += gap + 1
        ids.append(chunk_id)
        starts.append(at)
        at += length
        ends.append(at)
        if len(ids) > most:
            return None
    if at > size or chunk_id >= ID_LIMIT:
        raise _error("ends inside metadata" if at > size else "names chunks beyond all ids", frame_index)
    return ChangedMetadata(
        np.array(ids, np.int64), np.array(starts, np.int64), np.array(ends, np.int64), (body,),
        np.zeros(len(ids), np.int64),
    )  # fmt: skip


def _read_varint(body: bytes, at: int, longest: int, frame_index: int) -> tuple[int, int]:
    """A number in its shortest form, and where it ends."""
    value = 0
    for shift in range(0, 7 * longest, 7):
        if at >= len(body):
            raise _error("ends inside a number", frame_index)
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (not byte and shift) or value >= (1 << 32 if longest == _LONGEST_LENGTH else ID_LIMIT):
                break
            return value, at
    raise _error("has a number that is too large, or longer than it must be", frame_index)


class MetadataReader:
    """Puts together what all METADATA pages of a video say.

    Together they unpack to at most 4 MiB and eight times the video's bytes, 16 bytes more counted for each chunk.

    :param video_bytes: size of the video.
    :ivar left: how many bytes there may still be.
    """

    def __init__(self, video_bytes: int) -> None:
        self.left = _FREE_BYTES + _TIMES * video_bytes
        self._parts: list[ChangedMetadata] = []

    def add(
        self, payloads: Sequence[bytes], *, first_frame: int, below: int, tag: int | None = None
    ) -> ChangedMetadata:
        """Take the payloads of a page, or of a run of pages; what it says.

        :param below: the id of no chunk before it: what it says of that and of higher ones is ignored.
        :raises FrameError: they are no such list, or more than the video's bytes can hold.
        """
        limit = min(self.left, MAX_BODY_BYTES)
        body = open_blob(PageKind.METADATA, payloads, first_frame=first_frame, tag=tag, limit=limit)
        found = _decode(body, first_frame, (self.left - len(body)) // _ENTRY_BYTES)
        if found is None:
            self.left = 0  # nobody is to go through all that are behind it as far as that
            raise _error("names more chunks than the video can have changed", first_frame)
        if not len(found):
            raise _error("is empty", first_frame)
        self.left -= self.cost([body], len(found))
        found = found.below(below)
        self._parts.append(found)
        return found

    @staticmethod
    def cost(bodies: Iterable[bytes], chunks: int) -> int:
        """What bodies that name so many chunks take of the bytes there may be."""
        return sum(map(len, bodies)) + _ENTRY_BYTES * chunks

    @property
    def latest(self) -> ChangedMetadata:
        """What counts of all pages so far."""
        return ChangedMetadata.latest(self._parts)


def _error(what: str, frame_index: int) -> FrameError:
    return FrameError(
        f"frame {frame_index}: its page of changed metadata {what}; the video is damaged: {REMEDY}",
        frame_index=frame_index,
    )
