"""An MP4 file as far as it can be made out: where its frames are, its page table, and what is wrong with it.

The native reader refuses a damaged file as a whole; this one goes on as long as anything makes sense, so that what is
there can be named and mended. It decides nothing about content: whatever is found is decoded and verified by others.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memvid._core import INDEX_UUID
from memvid.errors import VideoError
from memvid.storage.mp4_boxes import APPEND_MARK, PAGE_TABLE_UUID, Box, BoxError, walk_boxes
from memvid.video import PageTable
from memvid.video.video_bytes import VideoBytes

__all__ = [
    "Container",
    "Problem",
    "find_file_behind",
    "find_index_boxes",
    "find_page_tables",
    "outside",
    "read_container",
    "uncommitted_from",
]

_MAX_MOVIE_BYTES = 4 << 30
_MIN_FRAME_BYTES = 8  # no picture is smaller
_TABLE_FACTOR = 2  # times the file: bytes of page tables that are read
_INDEX_HEAD = b"\0\0\0\1uuid"  # then its size, then its type


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in the container, and at which byte."""

    message: str
    offset: int


@dataclass(slots=True)
class Container:
    """What could be made out.

    :ivar offsets: ``int64[n]``, where each frame starts by the sample table; empty if there is none.
    :ivar sizes: ``int64[n]``, their bytes.
    :ivar problems: what is wrong.
    """

    offsets: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    problems: list[Problem] = field(default_factory=list)

    def offset_of(self, frame: int) -> int | None:
        """Where a frame starts, if the sample table says so."""
        return int(self.offsets[frame]) if frame < len(self.offsets) and self.offsets[frame] >= 0 else None

    def placed(self, places: NDArray[np.int64]) -> Container:
        """The same with other frames: frame ``i`` is the one at ``places[i]``, -1 none."""
        known = (places >= 0) & (places < len(self.offsets))
        offsets, sizes = np.full(len(places), -1, np.int64), np.zeros(len(places), np.int64)
        offsets[known], sizes[known] = self.offsets[places[known]], self.sizes[places[known]]
        return Container(offsets, sizes, self.problems)


def read_container(data: VideoBytes) -> Container:
    """Go through the boxes of a file and read its sample table; never raises."""
    container = Container()
    movie: Box | None = None
    try:
        for number, box in enumerate(walk_boxes(data.read, 0, len(data))):
            if number == 0 and box.name != b"ftyp":
                container.problems.append(Problem("the file does not start as an MP4", 0))
            if box.name == b"moov":
                movie = box
                break
    except BoxError as error:
        container.problems.append(Problem(str(error), error.offset))
    if movie is None:
        container.problems.append(
            Problem("there is no movie header ('moov'): the file is cut off or was never finished", len(data))
        )
        return container
    if movie.end - movie.body > _MAX_MOVIE_BYTES:
        container.problems.append(Problem("the movie header has more than 4 GiB", movie.start))
        return container
    try:
        container.offsets, container.sizes = _read_samples(data, movie)
    except BoxError as error:
        container.problems.append(Problem(str(error), error.offset))
    except (struct.error, ValueError, IndexError):
        container.problems.append(Problem("the sample table cannot be read", movie.start))
    behind = np.flatnonzero(container.offsets + container.sizes > len(data))
    if len(behind):
        container.problems.append(
            Problem(
                f"{len(behind)} frames, from frame {int(behind[0])} on, lie behind the end of the file: it is cut off",
                int(container.offsets[behind[0]]),
            )
        )
    return container


def find_file_behind(data: VideoBytes) -> Problem | None:
    """Another MP4 behind this one, as `cat` joins files; whatever plays them shows the first alone."""
    with suppress(BoxError):
        for box in walk_boxes(data.read, 0, len(data)):
            if box.name == b"ftyp" and box.start > 0:
                message = (
                    f"another MP4 begins at byte {box.start}, which nothing shows that plays the one before it: "
                    f"`tail -c +{box.start + 1} FILE > OTHER.mp4` makes a file of it"
                )
                return Problem(message, box.start)
    return None


def find_index_boxes(data: VideoBytes) -> list[range]:
    """Where indexes lie inside a video, ascending: boxes that are whole, with a manifest or movie header behind them.

    What looks like a part of a video in there is none: an index holds whatever words and fields were stored.
    """
    boxes: list[range] = []
    for at in data.find_all(INDEX_UUID):
        start = at - len(_INDEX_HEAD) - 8
        size = int.from_bytes(data.read(start + len(_INDEX_HEAD), 8), "big")
        if data.read(start, len(_INDEX_HEAD)) != _INDEX_HEAD or (boxes and start < boxes[-1].stop):
            continue
        if data.read(start + size + 4, 4) in (b"uuid", b"moov", b"free"):  # else its size is damaged
            boxes.append(range(start, start + size))
    return boxes


def outside(boxes: Sequence[range], places: Iterable[int]) -> Iterator[int]:
    """Those of some places in a file that are in none of the boxes."""
    starts = [box.start for box in boxes]
    for place in places:
        number = bisect_right(starts, place) - 1
        if number < 0 or place not in boxes[number]:
            yield place


def find_page_tables(data: VideoBytes, indexes: Sequence[range]) -> list[PageTable]:
    """Page tables in ``data``, in its order, also of movie headers that count no more; of none that never did.

    From the last one on, as many as are together twice as large as the file: only forged ones lie over each other.

    :param indexes: as :func:`find_index_boxes` finds them.
    """
    tables = []
    left = _TABLE_FACTOR * len(data)
    committed = uncommitted_from(data, indexes)
    found = outside(indexes, data.find_all(PAGE_TABLE_UUID))
    for at in reversed([at for at in found if at < committed]):
        start = at + len(PAGE_TABLE_UUID)
        head = data.read(start, 16)
        if len(head) == 16 and head[:4] == b"MVPT":
            flags, frames = struct.unpack_from("<H", head, 6)[0], struct.unpack_from("<I", head, 12)[0]
            size = 16 + frames * (11 if flags & 1 else 7)
            left -= min(size, len(data) - start)
            if left < 0:
                break
            table = data.read_whole(start, size)
            if table is not None:
                with suppress(VideoError):  # something that only looks like one
                    tables.append(PageTable.from_bytes(table))
    return tables[::-1]


def uncommitted_from(data: VideoBytes, indexes: Sequence[range]) -> int:
    """Where what an append wrote begins that was never committed; the end of the file if there is no such.

    It begins at a mark whose movie header is still named so.
    """
    for at in outside(indexes, data.find_all(APPEND_MARK)):
        place = data.read(at + len(APPEND_MARK), 8)
        movie = int.from_bytes(place, "big")
        if len(place) == 8 and movie + 8 <= at and data.read(movie + 4, 4) == b"moov":
            return at
    return len(data)


def _find(data: VideoBytes, box: Box, *path: bytes) -> Box:
    for name in path:
        box = next(
            (inner for inner in walk_boxes(data.read, box.body, box.end) if inner.name == name), Box(b"", 0, 0, 0)
        )
        if not box.name:
            raise BoxError(f"the movie header lacks the box {name.decode()!r}", box.start)
    return box


def _read_samples(data: VideoBytes, movie: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    tracks = [box for box in walk_boxes(data.read, movie.body, movie.end) if box.name == b"trak"]
    for track in tracks:
        media = _find(data, track, b"mdia")
        if data.read(_find(data, media, b"hdlr").body + 8, 4) == b"vide":
            return _read_table(data, _find(data, media, b"minf", b"stbl"))
    raise BoxError("the movie header has no video track", movie.start)


def _read_table(data: VideoBytes, stbl: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    inner = {box.name: box for box in walk_boxes(data.read, stbl.body, stbl.end)}
    for name in (b"stsz", b"stsc"):
        if name not in inner:
            raise BoxError(f"the movie header lacks the box {name.decode()!r}", stbl.start)
    wide = b"co64" in inner
    if not wide and b"stco" not in inner:
        raise BoxError("the movie header lacks the box 'co64'", stbl.start)
    fixed, count = struct.unpack(">II", data.read(inner[b"stsz"].body + 4, 8))
    if count > len(data) // max(fixed, _MIN_FRAME_BYTES):
        raise BoxError(f"the sample table has {count} frames, more than its bytes can hold", stbl.start)
    sizes = np.full(count, fixed, np.int64) if fixed else _column(data, inner[b"stsz"], 12, count, ">u4")
    chunks = inner[b"co64" if wide else b"stco"]
    (chunk_count,) = struct.unpack(">I", data.read(chunks.body + 4, 4))
    starts = _column(data, chunks, 8, chunk_count, ">u8" if wide else ">u4")
    (run_count,) = struct.unpack(">I", data.read(inner[b"stsc"].body + 4, 4))
    runs = _column(data, inner[b"stsc"], 8, 3 * run_count, ">u4").reshape(-1, 3)
    firsts = np.append(runs[:, 0], chunk_count + 1)
    if (np.diff(firsts) < 0).any() or (run_count and firsts[0] < 1):
        raise BoxError("the sample table is damaged", stbl.start)
    room = np.minimum(np.repeat(runs[:, 1], np.diff(firsts)), count)
    # Frames behind the last one that there is are cut off chunk by chunk, so that nothing grows beyond `count`.
    begins = np.minimum(np.concatenate([np.zeros(1, np.int64), np.cumsum(room)]), count)
    if begins[-1] != count:
        raise BoxError("the sample table is damaged", stbl.start)
    chunk_of = np.repeat(np.arange(len(room)), np.diff(begins))
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])[:-1]
    first_chunk = int(runs[0, 0]) - 1 if run_count else 0
    return starts[chunk_of + first_chunk] + before - before[begins[:-1]][chunk_of], sizes


def _column(data: VideoBytes, box: Box, skip: int, count: int, dtype: str) -> NDArray[np.int64]:
    size = count * np.dtype(dtype).itemsize
    if box.body + skip + size > box.end:
        raise BoxError(f"the box {box.name.decode()!r} is too short for its {count} rows", box.start)
    return np.frombuffer(data.read(box.body + skip, size), dtype, count).astype(np.int64)
