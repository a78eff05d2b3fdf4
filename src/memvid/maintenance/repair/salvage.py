"""Every payload that can still be read out of a damaged video, by whatever way leads to its frame.

Of memvid's own format, the native reader goes through the sample table, if there is one. Only if that leaves something
unread, or out of place, the whole file is searched for pictures. A video in another codec or container goes through its
decoder, from the first picture to the last. Nothing counts here but what its own checksum proves: the page's, or, of
a bare text, that of the picture or of a page table.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from memvid import _core
from memvid.errors import FrameError, MemvidError, ResourceLimitError, UnsupportedVideoError, VideoError
from memvid.maintenance.damaged.container import (
    Container,
    Problem,
    find_file_behind,
    find_index_boxes,
    find_page_tables,
    outside,
    read_container,
    uncommitted_from,
)
from memvid.maintenance.damaged.loose_pictures import (
    MAX_FRAME_BYTES,
    Size,
    SymbolStyle,
    check_picture,
    find_pictures,
    picture_pixels,
    picture_size,
    read_payloads,
    symbol_style,
)
from memvid.page import is_page, parse_header, verify
from memvid.types import Progress, ProgressCallback
from memvid.video import PageTable
from memvid.video.codecs import EveryPicture
from memvid.video.codecs.decoding import read_payloads as read_pictures
from memvid.video.codecs.page_table_box import find_page_table
from memvid.video.video_bytes import VideoBytes
from memvid.workers import WorkerPool

__all__ = ["Salvage", "Slot", "salvage"]

_BATCH = 512
_OTHER_CONTAINERS = (b"\x1aE\xdf\xa3", b"RIFF")  # Matroska and AVI: what is no MP4 lacks no box of one
_SEARCHED = 32  # pictures a worker takes at a time; a divisor of that
_STYLES = 64  # frames whose format is looked at


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A place where a frame is, or was.

    :ivar offset: byte of the file, -1 if only the sample table could say.
    :ivar frame: its number in the sample table, if it came from there.
    :ivar payload: what is in it, with a checksum that holds; ``None`` if nothing could be read.
    :ivar whole: whether its picture is sound from the first byte to the last.
    :ivar end: byte behind it, if it is whole.
    """

    offset: int
    frame: int | None
    payload: bytes | None
    whole: bool
    end: int


@dataclass(slots=True)
class Salvage:
    """What was found.

    :ivar path: the file.
    :ivar slots: frames in the order of the sample table, or of the file.
    :ivar tables: page tables that are in the file, the one that counts last.
    :ivar counted: digest of the page table that counts in the file, if it can be opened by one.
    :ivar size: width and height of the frames, if they are pictures of our own.
    :ivar styles: error correction level and data mask of some frames.
    :ivar fps: frames a second, if the movie header says.
    :ivar file_bytes: size of the file.
    :ivar problems: what is wrong with the container.
    :ivar searched: whether the whole file was searched for pictures.
    """

    path: Path
    slots: list[Slot] = field(default_factory=list)
    tables: list[PageTable] = field(default_factory=list)
    counted: str | None = None
    size: Size | None = None
    styles: Counter[SymbolStyle] = field(default_factory=Counter)
    fps: int | None = None
    searched: bool = False
    file_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)


def salvage(path: Path, data: VideoBytes, progress: ProgressCallback | None) -> Salvage:
    """Read what can be read.

    :param data: the file.
    :param progress: called with the stages ``"frames"`` and, if the file is searched, ``"search"``.
    :raises UnsupportedVideoError: there are pages of a newer version, or the codec is none that is read.
    :raises DependencyError: its codec needs a package that is not installed.
    """
    indexes = find_index_boxes(data)
    found = Salvage(path, file_bytes=len(data), tables=find_page_tables(data, indexes))
    native, refusal = _open_native(path)
    own = native is not None and native.codec == "png"
    blob = native.page_table if native is not None and own else find_page_table(path)
    if blob is not None:
        found.counted = hashlib.sha256(blob).hexdigest()
    _read_own(native if own else None, data, indexes, found, progress)
    if not any(slot.payload for slot in found.slots):
        pictures = [*_read_pictures(path, found)]
        if not found.slots or any(slot.payload for slot in pictures):
            found.slots, found.size = pictures, None
    if native is not None and 1 <= round(native.fps) <= 240:
        found.fps = round(native.fps)
    if isinstance(refusal, UnsupportedVideoError) and not any(slot.payload for slot in found.slots):
        raise refusal
    _note_styles(found, data)
    found.problems += [
        Problem(f"bytes {run.start} to {run.stop - 1} cannot be read: the disk does not give them", run.start)
        for run in data.unreadable()
    ]
    return found


def _open_native(path: Path) -> tuple[_core.FrameReader | None, MemvidError | None]:
    """Our own reader, which knows frames of our own format; of other codecs in an MP4, only that they are others."""
    try:
        return _core.FrameReader(os.fspath(path), threads=0), None
    except MemvidError as error:  # that is why this is done
        return None, error


def _read_own(
    native: _core.FrameReader | None,
    data: VideoBytes,
    indexes: list[range],
    found: Salvage,
    progress: ProgressCallback | None,
) -> None:
    """Frames of our own format: by the sample table, and where that does not lead to all of them, wherever they are."""
    container = read_container(data)
    behind = find_file_behind(data)
    slots: list[Slot] = []
    if native is not None:
        with suppress(VideoError):  # its pictures are of an impossible size: they are searched for
            found.size = (native.width, native.height)
            slots = list(_read_samples(native, container, data, progress))
    if container.problems or behind or not slots or not all(map(_is_in_place, slots)):
        found.searched = True
        slots = _search(data, indexes, slots, found, progress)
    if (slots or native is not None) and data.read(0, 4) not in _OTHER_CONTAINERS:
        found.problems += container.problems
    found.problems += [] if behind is None else [behind]
    found.slots += slots


def _read_pictures(path: Path, found: Salvage) -> Iterator[Slot]:
    """What a decoder makes of a video in another codec, or in a container that is none of ours.

    :raises DependencyError: nothing that is installed decodes it.
    """
    position = 0
    try:
        for payload in read_pictures(EveryPicture(os.fspath(path))):
            good = payload if payload is not None and _is_good(payload, whole=True) else None
            yield Slot(-1, position, good, good is not None, -1)
            position += 1
    except (VideoError, ResourceLimitError) as error:
        found.problems.append(Problem(f"from picture {position} on nothing is decoded: {error}", 0))


def _is_in_place(slot: Slot) -> bool:
    if slot.payload is None:
        return False
    return (
        not is_page(slot.payload) or parse_header(slot.payload, frame_index=slot.frame or 0).page_number == slot.frame
    )


def _read_samples(
    reader: _core.FrameReader, container: Container, data: VideoBytes, progress: ProgressCallback | None
) -> Iterator[Slot]:
    """The frames of the sample table."""
    for start in range(0, reader.frame_count, _BATCH):
        frames = range(start, min(start + _BATCH, reader.frame_count))
        payloads, _ = reader.read(np.arange(frames.start, frames.stop))
        for frame, payload in zip(frames, payloads, strict=True):
            offset = container.offset_of(frame)
            size = int(container.sizes[frame]) if offset is not None else 0
            whole = offset is None or check_picture(data.read(offset, size)) is None
            good = payload if payload is not None and _is_good(payload, whole=whole) else None
            yield Slot(-1 if offset is None else offset, frame, good, whole, (offset or 0) + size)
        if progress is not None:
            progress(Progress("frames", frames.stop, reader.frame_count))


def _search(
    data: VideoBytes, indexes: list[range], slots: list[Slot], found: Salvage, progress: ProgressCallback | None
) -> list[Slot]:
    """All frames of the file: those that are known already, and whatever else looks like a picture."""
    end = uncommitted_from(data, indexes)
    known = {slot.offset: slot for slot in slots}
    pictures = outside(indexes, find_pictures(data))
    starts = sorted({at for at in pictures if at < end} | {at for at in known if 0 <= at < end})
    borders = sorted({*starts, end, *(box.start for box in indexes if box.start < end)})
    behinds = dict(pairwise(borders))
    spans = [(at, min(behinds[at], at + MAX_FRAME_BYTES)) for at in starts]
    sizes = Counter(size for at, _ in spans if (size := picture_size(data.read(at, 64))) is not None)
    if not sizes:
        return slots
    found.size = size = sizes.most_common(1)[0][0]

    budget = _core.DetectionBudget(_core.DetectionBudget.work_for(len(data)))

    def read(span: tuple[int, int]) -> Slot:
        at, behind = span
        old = known.get(at)
        if old is not None and old.payload is not None:
            return old
        return _read_slot(data.read(at, behind - at), at, None if old is None else old.frame, size, budget)

    def read_some(start: int) -> list[Slot]:
        return [read(span) for span in spans[start : start + _SEARCHED]]

    result: list[Slot] = []
    with WorkerPool(_core.available_cores(), name="memvid-salvage") as pool:
        for start in range(0, len(spans), _BATCH):
            for some in pool.map(read_some, range(start, min(start + _BATCH, len(spans)), _SEARCHED)):
                result += some
            if progress is not None:
                progress(Progress("search", len(result), len(spans)))
    return result


def _read_slot(png: bytes, at: int, frame: int | None, size: Size, budget: _core.DetectionBudget) -> Slot:
    whole = check_picture(png) is None
    end = at + (png.find(b"IEND") + 8 if whole else len(png))
    for payload in read_payloads(png, size, budget):
        if _is_good(payload, whole=whole):
            return Slot(at, frame, payload, whole, end)
    return Slot(at, frame, None, whole, end)


def _is_good(payload: bytes, *, whole: bool) -> bool:
    """Whether a payload is what was written: a page by its checksum, a bare text by its picture's."""
    if not is_page(payload):
        return whole
    try:
        verify(payload, frame_index=-1)
    except FrameError:
        return False
    return True


def _note_styles(found: Salvage, data: VideoBytes) -> None:
    good = [slot for slot in found.slots if slot.payload is not None and slot.offset >= 0 and slot.whole]
    if found.size is None:
        return
    for slot in good[:: max(1, len(good) // _STYLES)]:
        pixels = picture_pixels(data.read(slot.offset, slot.end - slot.offset), found.size)
        style = None if pixels is None else symbol_style(pixels)
        if style is not None:
            found.styles[style] += 1
