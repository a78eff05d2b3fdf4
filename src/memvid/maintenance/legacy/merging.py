"""Which text each chunk gets: its frame's if that was read, else the index's copy. No files."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from memvid.errors import ChunkError
from memvid.maintenance.legacy.codes import OldCode
from memvid.maintenance.legacy.frames import OldFrames
from memvid.maintenance.legacy.index import OldEntry
from memvid.page import ChunkRanges, Record, encode_metadata, encode_text

__all__ = ["Tally", "merge"]


def _ids() -> array[int]:
    return array("q")


@dataclass(slots=True)
class Tally:
    """What became of the chunks, ids of the new memory ascending.

    :ivar from_frames: chunks whose text is their frame's.
    :ivar from_index: chunks whose text is the index's copy.
    :ivar disagreeing: chunks whose frame and index have different texts.
    :ivar unindexed: chunks that only frames had, numbered behind all others.
    :ivar lost: first and last id of each run of chunks of which no text is left.
    :ivar lost_frames: the same of frames that were not read and that the index does not know.
    :ivar left_out: frames (of what has none, ids) whose text is blank or not valid Unicode.
    :ivar next_chunk: one more than the largest id, also of chunks that are lost: it is not given again.
    """

    from_frames: int = 0
    from_index: array[int] = field(default_factory=_ids)
    disagreeing: array[int] = field(default_factory=_ids)
    unindexed: array[int] = field(default_factory=_ids)
    lost: ChunkRanges = ()
    lost_frames: ChunkRanges = ()
    left_out: array[int] = field(default_factory=_ids)
    next_chunk: int = 0


def merge(entries: Sequence[OldEntry] | None, frames: OldFrames, tally: Tally) -> Iterator[tuple[int, Record]]:
    """Ids and contents of the new memory's chunks, ascending; ``tally`` is complete when all have been taken.

    The ids are the index's. Chunks that it does not know come behind its last one, in the order of their frames.
    Without an index a chunk's id is its frame's number.

    :param entries: the index's chunks by ascending ids; ``None`` if there is no index.
    :raises MetadataError: what an old object says beyond its text cannot be stored.
    """
    if entries is None:
        yield from _by_number(frames, sorted(frames.payloads), tally)
        tally.lost = _holes(sorted(frames.payloads), frames.expected)
        tally.next_chunk = frames.expected
        return
    lost: list[int] = []
    for entry in entries:
        record = _choose(entry.chunk_id, entry, frames.code(entry.frame), tally)
        if record is not None:
            yield entry.chunk_id, record
        elif entry.text is None and frames.code(entry.frame) is None:
            lost.append(entry.chunk_id)
    known = {entry.frame for entry in entries if entry.frame is not None}
    extra = sorted(frames.payloads.keys() - known)
    tally.next_chunk = entries[-1].chunk_id + 1 if entries else 0
    yield from _by_number(frames, extra, tally, renumber=True)
    tally.lost = _runs(lost)
    tally.lost_frames = _holes(sorted(known | set(extra)), frames.expected)


def _by_number(
    frames: OldFrames, numbers: Sequence[int], tally: Tally, *, renumber: bool = False
) -> Iterator[tuple[int, Record]]:
    """Chunks that only frames have; with the frames' numbers as ids, or counted on behind all others."""
    for number in numbers:
        chunk_id = tally.next_chunk if renumber else number
        record = _choose(chunk_id, None, frames.code(number), tally)
        if record is None:
            continue
        if renumber:
            tally.unindexed.append(chunk_id)
            tally.next_chunk += 1
        yield chunk_id, record


def _choose(chunk_id: int, entry: OldEntry | None, code: OldCode | None, tally: Tally) -> Record | None:
    """The chunk as it is stored; nothing if no text is left of it, or none that can be stored."""
    copy = None if entry is None else entry.text
    if code is not None and copy is not None and code.text != copy:
        tally.disagreeing.append(chunk_id)
    metadata = encode_metadata({**({} if entry is None else entry.metadata), **({} if code is None else code.metadata)})
    text = None if code is None else _storable(code.text)
    if text is not None:
        tally.from_frames += 1
        return Record(text, metadata)
    text = None if copy is None else _storable(copy)
    if text is not None:
        tally.from_index.append(chunk_id)
        return Record(text, metadata)
    if code is not None or copy is not None:
        frame = None if entry is None else entry.frame
        tally.left_out.append(code.number if code is not None else chunk_id if frame is None else frame)
    return None


def _storable(text: str) -> bytes | None:
    """UTF-8 of a text; nothing if it is blank or has half a surrogate pair, neither of which a memory holds."""
    if not text or text.isspace():
        return None
    try:
        return encode_text(text)
    except ChunkError:
        return None


def _runs(ids: Sequence[int]) -> ChunkRanges:
    """First and last of each run of ascending ids."""
    runs: list[tuple[int, int]] = []
    for number in ids:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return tuple(runs)


def _holes(present: Sequence[int], end: int) -> ChunkRanges:
    """Runs of numbers below ``end`` that are not among the ascending ones."""
    holes: list[tuple[int, int]] = []
    before = -1
    for number in [*present, end]:
        if before + 1 < number <= end:
            holes.append((before + 1, number - 1))
        before = max(before, number)
    return tuple(holes)
