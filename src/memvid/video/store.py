"""Chunks out of a video: from chunk id to frame to verified page to text, with a cache of decoded pages."""

from __future__ import annotations

import sys
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.allowance import CHUNK_BYTES, Allowance, SharedAllowance
from memvid.config import QUESTION_BYTES
from memvid.errors import ClosedError, FrameError, ResourceLimitError, VideoFormatError
from memvid.page import (
    ChunkIds,
    HeaderInfo,
    PageDecompressor,
    PageFlag,
    PageKind,
    ReadMetadata,
    Record,
    RecordPage,
    decode_header_body,
    encode_body,
    open_blob,
    open_run,
    parse_header,
    unpacked_size,
)
from memvid.pickling import NotPicklable
from memvid.remedies import REMEDY
from memvid.types import JsonObject
from memvid.video.history import History, MetadataState
from memvid.video.question import Question
from memvid.video.reader import VideoReader
from memvid.video.table import BARE, LOST

__all__ = ["PageCacheStats", "PageStore", "StoredChunk"]

_UNPACKED = 8  # times ``question_bytes`` that pages may be unpacked to for one answer: most of a page is other chunks
_USUAL_BYTES = 8192  # that a chunk and the page around it take: where it is more, a read has to be tried again
_MEDIUM, _ALL = 8, 64  # parts of ``question_bytes`` that a read gets; of one part, without asking
_COUNTED_FRAMES = 1024  # read at once where they are only counted
_METADATA_CHUNKS = 256  # of which the texts are in memory for their metadata


@dataclass(frozen=True, slots=True)
class PageCacheStats:
    """What the page cache did and holds.

    :ivar hits: pages that were in it.
    :ivar misses: pages that had to be read.
    :ivar pages: pages in it.
    :ivar nbytes: memory they take.
    """

    hits: int
    misses: int
    pages: int
    nbytes: int


class StoredChunk(NamedTuple):
    """One chunk as it came out of its frame.

    :ivar text: the text.
    :ivar metadata: its metadata, ``{}`` if it has none, or none that can be used.
    :ivar frame_index: the frame in which it starts.
    :ivar metadata_fault: why its metadata cannot be used, else ``None``: the text is sound all the same.
    """

    text: str
    metadata: JsonObject
    frame_index: int
    metadata_fault: str | None


class _Attributes(NamedTuple):
    """Pages of metadata.

    :ivar firsts: the ids of their first chunks, ascending.
    :ivar stretches: first frame of each stretch of texts.
    :ivar lost: frames of the pages behind a stretch that could not be read, by its number.
    """

    firsts: list[int]
    pages: list[RecordPage]
    stretches: NDArray[np.int64]
    lost: dict[int, list[int]]


class PageStore(NotPicklable):
    """Chunks of one video. Safe to share between threads.

    :param video: an open video.
    :param cache_bytes: decoded pages to keep, in bytes of memory; 0 keeps none.
    :param question_bytes: what one :meth:`read` may take, and all that run at once together, see
        :class:`~memvid.config.RetrieverConfig`.
    :ivar history: what appends changed.
    :raises FrameError: the header page cannot be read.
    """

    _elsewhere = "open the video there"

    def __init__(self, video: VideoReader, *, cache_bytes: int, question_bytes: int = QUESTION_BYTES) -> None:
        self._video = video
        self._table = video.table
        self._cache_bytes = cache_bytes
        self._question_bytes = question_bytes
        self._remedy = f"ask for fewer at a time, or raise question_bytes={question_bytes}"
        self._shared = SharedAllowance(_ALL)
        self._native: _core.ChunkReader | None = None
        self._closed = False
        self._lazy_lock = threading.Lock()
        self.history = History(video)

    @cached_property
    def header(self) -> HeaderInfo:
        """What the header page says of the memory.

        :raises FrameError: it cannot be read.
        """
        found = self._read_either(PageKind.HEADER)
        if found is None and self._table.has_lost_frames:
            raise FrameError(f"the header page of {self._video.path} is lost: {REMEDY}")
        return decode_header_body(self._read_blob(PageKind.HEADER, 0) if found is None else found)

    @cached_property
    def dictionary(self) -> bytes | None:
        """The zstd dictionary, if the memory has one.

        :raises FrameError: it cannot be read.
        """
        return self._read_either(PageKind.DICTIONARY)

    @cached_property
    def _decompressor(self) -> PageDecompressor:
        return PageDecompressor(self.dictionary)

    @cached_property
    def _attributes(self) -> _Attributes:
        """Metadata pages of a bare memory."""
        starts, ends = self._table.text_stretches()
        found = _Attributes([], [], starts, {})
        # A frame that is lost, and that no bare text was in, may have been one of them.
        may_be = (self._table.kinds == PageKind.ATTRIBUTES) | ((self._table.kinds == LOST) & (self._table.counts == 0))
        frames = np.flatnonzero(may_be)
        for frame, behind in zip(frames.tolist(), np.searchsorted(ends, frames, side="right").tolist(), strict=True):
            try:
                first, page = self._open_attributes(frame)
            except FrameError:  # it costs nobody but its own texts, and is read again when one of them is asked for
                found.lost.setdefault(behind - 1, []).append(frame)
                continue
            found.firsts.append(first)
            found.pages.append(page)
        return found

    def _open_attributes(self, frame: int) -> tuple[int, RecordPage]:
        payloads = self._video.read(list(self._table.run_of(frame)))
        header, page = open_run(payloads, PageDecompressor(), first_frame=frame, tag=self._table.tag)
        return header.first_chunk, page

    @cached_property
    def deleted(self) -> ChunkIds:
        """The chunks that the video says were deleted. Reads all tombstones pages, one for each deletion.

        :raises FrameError: one cannot be read.
        """
        return self.history.deleted_in(0, len(self._table))

    @cached_property
    def changed(self) -> MetadataState:
        """The metadata that was changed. Reads all pages of it, some for each append that changed any."""
        return self.history.changed_in(0, len(self._table))

    def warm(self) -> None:
        """Read what every query needs: the dictionary."""
        self._reader()

    def read(self, chunk_ids: Sequence[int] | NDArray[np.int64]) -> list[StoredChunk]:
        """The chunks, in the order of their ids.

        One native call: each distinct page comes from the cache or is read once, and only the texts that were asked for
        become Python strings.

        :raises ChunkNotFoundError: there is no chunk of that id.
        :raises FrameError: a frame cannot be read and verified.
        :raises ResourceLimitError: they take more than ``question_bytes``.
        """
        ids = np.ascontiguousarray(chunk_ids, np.int64)
        self.check_count(len(ids))
        limit = self._question_bytes // _ALL
        if len(ids) * _USUAL_BYTES <= limit:
            try:
                return self._read(ids, Question(limit, limit, self._remedy))  # so little waits for nobody
            except ResourceLimitError:  # it needs more
                pass
        limit = self._question_bytes * _MEDIUM // _ALL
        if len(ids) * _USUAL_BYTES <= limit:
            try:
                with self._shared.share(_MEDIUM):
                    return self._read(ids, Question(limit, limit, self._remedy))
            except ResourceLimitError:  # it needs more, and holds nothing while it waits for that
                pass
        limit = self._question_bytes
        with self._shared.share(_ALL):
            return self._read(ids, Question(limit, _UNPACKED * limit, self._remedy))

    def _read(self, ids: NDArray[np.int64], question: Question) -> list[StoredChunk]:
        try:
            texts, metadatas, frames = self._reader().read(ids, unpacked=question.unpacked_limit, answer=question.limit)
        except ResourceLimitError as error:
            raise ResourceLimitError(f"{error}: {self._remedy}") from error
        found = []
        elsewhere = self._is_elsewhere
        for i, (text, stored, frame) in enumerate(zip(texts, metadatas, frames, strict=True)):
            if text is None:
                found.append(self._read_again(int(ids[i]), question))
            elif elsewhere:
                value, fault = self._read_metadata(int(ids[i]), stored or b"", question)
                found.append(StoredChunk(text, value, frame, fault))
            elif stored:
                value, fault = question.read(stored)
                found.append(StoredChunk(text, value, frame, fault))
            else:
                found.append(StoredChunk(text, {}, frame, None))
        return found

    def metadata_of(self, ids: NDArray[np.int64]) -> list[JsonObject]:
        """The metadata of chunks, ``{}`` where there are none that can be used; their frames are read for it.

        :raises FrameError: a frame cannot be read and verified.
        :raises ResourceLimitError: the texts of a few hundred exceed ``question_bytes``.
        """
        starts = range(0, len(ids), _METADATA_CHUNKS)
        return [chunk.metadata for start in starts for chunk in self.read(ids[start : start + _METADATA_CHUNKS])]

    def check_count(self, count: int) -> None:
        """Whether so many chunks can be read at once at all.

        :raises ResourceLimitError: they cannot, however short they are.
        """
        if count * CHUNK_BYTES > self._question_bytes:
            raise ResourceLimitError(
                f"the chunks that were asked for take more than {self._question_bytes} bytes: {self._remedy}"
            )

    def scan(self, *, corrected: bool = False, start: int = 0) -> Iterator[tuple[int, RecordPage]]:
        """All pages that hold chunks, in order, with their frames; past the cache, some pages in memory at a time.

        :param start: frame to begin with, in which no run goes on.
        :param corrected: decode by zxing-cpp alone, which also proves that any other QR reader can; and read the
            parity, which otherwise nothing here needs, too.
        :raises FrameError: a frame, of whatever kind, cannot be read and verified.
        """
        frames = self._video.read_all(corrected=corrected, start=start, parity=corrected)
        return self._pages(frames, None)

    def scan_chunks(
        self,
        *,
        start: int = 0,
        stop: int | None = None,
        without: ChunkIds | None = None,
        lost: list[int] | None = None,
    ) -> Iterator[tuple[int, RecordPage]]:
        """The same of pages that hold chunks alone; no frame of another kind is read.

        :param start: frame to begin with.
        :param stop: frame before which to end.
        :param without: chunks; pages that have no others are left out.
        :param lost: gets the frames of pages that cannot be read, which raise nothing then.
        :raises FrameError: one of them cannot be read and verified.
        """
        starts = start + np.flatnonzero(self._table.counts[start:stop])
        if without:
            wanted = self._table.chunk_ids() - without
            firsts = self._table.first_chunks[starts]
            starts = starts[wanted.meets(firsts, firsts + self._table.counts[starts])]
        frames = ChunkIds.of_runs(starts, starts + self._table.run_lengths(starts)).numbers()
        return self._pages(self._video.read_in_turn(frames, left=lost is not None), lost)

    def _pages(
        self, frames: Iterator[tuple[int, bytes | None]], lost: list[int] | None
    ) -> Iterator[tuple[int, RecordPage]]:
        run: list[bytes | None] = []
        first = 0
        for frame, payload in frames:
            if run and self._table.kinds[frame] != PageKind.CONTINUATION:
                yield from self._open_run(first, run, lost)
                run = []
            if not run:
                first = frame
            run.append(payload)
        if run:
            yield from self._open_run(first, run, lost)

    def unreadable(self) -> NDArray[np.int64]:
        """``int64[n]``: the frames of pages with chunks that cannot be read. Reads all of them.

        :raises VideoFormatError: there are sound pages that are not what the page table says: it is damaged itself.
        """
        table = self._table
        starts = np.flatnonzero(table.counts)
        frames = ChunkIds.of_runs(starts, starts + table.run_lengths(starts)).numbers()
        lost, strange = [], 0
        for frame, payload in self._video.read_in_turn(frames, left=True):
            if payload is None:
                lost.append(frame)
            elif table.kinds[frame] == PageKind.DATA:
                header = parse_header(payload, frame_index=frame)
                row = PageKind.DATA, table.counts[frame], table.first_chunks[frame]
                strange += (header.kind, header.count, header.first_chunk) != row
        strange += sum(map(self._video.holds_unknown, lost))
        if strange:
            raise VideoFormatError(
                f"{self._video.path}: {strange} sound pages are not what its page table says, which must be damaged: "
                "`memvid repair` makes it anew"
            )
        return np.array(lost, np.int64)

    def spend_unpacked(self, allowance: Allowance, *, start: int = 0) -> bool:
        """Count what all pages with chunks unpack to, before any of them is: reads the first frame of each.

        What cannot be read counts nothing.

        :param start: frame to begin with.
        :returns: whether any of them is compressed.
        :raises ResourceLimitError: it is more than allowed.
        """
        table = self._table
        allowance.spend(CHUNK_BYTES * len(table.chunk_ids(start=start)))
        frames = start + np.flatnonzero(table.counts[start:])
        frames = frames[table.kinds[frames] != BARE]
        compressed = False
        for at in range(0, len(frames), _COUNTED_FRAMES):
            part = frames[at : at + _COUNTED_FRAMES]
            for frame, payload in zip(part.tolist(), self._video.read_left(part), strict=True):
                if payload is None:
                    continue
                allowance.spend(unpacked_size(payload, frame_index=frame))
                compressed = compressed or bool(parse_header(payload, frame_index=frame).flags & PageFlag.ZSTD)
        return compressed

    def _open_run(
        self, frame: int, payloads: list[bytes | None], lost: list[int] | None
    ) -> Iterator[tuple[int, RecordPage]]:
        if not self._table.counts[frame]:
            return
        whole = [payload for payload in payloads if payload is not None]
        try:
            if len(whole) < len(payloads):
                raise FrameError(f"frame {frame}: a part of its page is lost", frame_index=frame)
            page = self._open(frame, whole)
        except FrameError:
            if lost is None:
                raise
            lost.append(frame)
            return
        yield frame, page

    def metadata_bytes(self, page: RecordPage, frame: int, slot: int, *, changed: MetadataState | None = None) -> bytes:
        """Stored JSON of one chunk's metadata, empty if it has none.

        :param changed: what was changed by then; ``None`` takes all that was.
        :raises FrameError: the page that may have it cannot be read.
        """
        chunk_id = int(self._table.first_chunks[frame]) + slot
        if changed is None:
            changed = self.changed
        if changed and (current := changed.get(chunk_id)) is not None:
            return current
        return self.first_metadata(page, frame, slot)

    def first_metadata(self, page: RecordPage, frame: int, slot: int) -> bytes:
        """The same as it was when the chunk was added.

        :raises FrameError: the page that may have it cannot be read.
        """
        if self._table.kinds[frame] != BARE:
            return page.metadata_bytes(slot)
        return self._attributes_of(int(self._table.first_chunks[frame]) + slot)

    def cache_stats(self) -> PageCacheStats:
        """What the page cache did and holds."""
        native = self._native
        return PageCacheStats(**native.cache_stats()) if native is not None else PageCacheStats(0, 0, 0, 0)

    def clear_cache(self) -> None:
        """Forget all decoded pages."""
        native = self._native
        if native is not None:
            native.clear_cache()

    def close(self) -> None:
        """Let go of the video and of all decoded pages. Reading afterwards raises :class:`ClosedError`."""
        with self._lazy_lock:
            self._closed = True
            self._native = None

    def _reader(self) -> _core.ChunkReader:
        native = self._native
        if native is not None:
            return native
        with self._lazy_lock:
            if self._closed:
                raise ClosedError(f"{self._video.path} was closed: open it again")
            if self._native is None:
                self._native = self._video.chunk_reader(self.dictionary, cache_bytes=self._cache_bytes)
            return self._native

    def _read_again(self, chunk_id: int, question: Question) -> StoredChunk:
        """A chunk that the native reader did not deliver, step by step: to name what is wrong, where it still is."""
        ids = np.array([chunk_id], np.int64)
        frame = int(self._table.frames_of(ids)[0])
        if question.page is None or question.page[0] != frame:
            payloads = self._video.read(list(self._table.run_of(frame)))
            question.page = frame, self._open(frame, payloads, question.unpacked)
        page = question.page[1]
        slot = chunk_id - int(self._table.first_chunks[frame])
        text = page.text(slot)
        question.answer.spend(sys.getsizeof(text))
        stored = b"" if self._table.kinds[frame] == BARE else page.metadata_bytes(slot)
        value, fault = self._read_metadata(chunk_id, stored, question)
        return StoredChunk(text, value, frame, fault)

    @cached_property
    def _is_bare(self) -> bool:
        return bool((self._table.kinds == BARE).any())

    @cached_property
    def _is_elsewhere(self) -> bool:
        """Whether metadata may be in other pages than the chunks."""
        return self._is_bare or bool(self.changed)

    def _read_metadata(self, chunk_id: int, stored: bytes, question: Question) -> ReadMetadata:
        """A chunk's metadata, or why it cannot be had: the text is sound all the same.

        :param stored: what its own page says of it.
        """
        try:
            data = self.changed.get(chunk_id)
            if data is None:
                data = self._attributes_of(chunk_id) if self._is_bare else stored
        except FrameError as error:
            return ReadMetadata({}, f"the page that may have it cannot be read: {error}")
        return question.read(data)

    def _attributes_of(self, chunk_id: int) -> bytes:
        """Stored JSON of a bare text's metadata, empty if it has none.

        :raises FrameError: the page that may have it cannot be read.
        """
        known = self._attributes
        at = bisect_right(known.firsts, chunk_id) - 1
        if at >= 0 and chunk_id < known.firsts[at] + len(known.pages[at]):
            return known.pages[at].metadata_bytes(chunk_id - known.firsts[at])
        if known.lost:
            text = self._table.frames_of(np.array([chunk_id], np.int64))
            stretch = int(np.searchsorted(known.stretches, text, side="right")[0]) - 1
            for frame in known.lost.get(stretch, ()):
                first, page = self._open_attributes(frame)
                if first <= chunk_id < first + len(page):
                    return page.metadata_bytes(chunk_id - first)
        return b""

    def _open(self, frame: int, payloads: list[bytes], allowance: Allowance | None = None) -> RecordPage:
        if self._table.kinds[frame] == BARE:
            return RecordPage(encode_body([Record(payloads[0])]), 1, frame_index=frame)
        header, page = open_run(
            payloads, self._decompressor, first_frame=frame, tag=self._table.tag, allowance=allowance
        )
        expected = (PageKind.DATA, self._table.first_chunks[frame], self._table.counts[frame])
        if (header.kind, header.first_chunk, header.count) != expected:
            raise FrameError(
                f"frame {frame}: its page and the page table do not agree on its chunks; "
                f"the video is damaged: {REMEDY}",
                frame_index=frame,
            )
        return page

    def _read_either(self, kind: PageKind) -> bytes | None:
        """What a page, or its copy, holds; ``None`` if there is none of its kind.

        :raises FrameError: neither can be read.
        """
        first: FrameError | None = None
        for frame in self._table.copies_of(kind):
            try:
                return self._read_blob(kind, frame)
            except FrameError as error:  # noqa: PERF203  # of each copy by itself
                first = first or error
        if first is not None:
            raise first
        return None

    def _read_blob(self, kind: PageKind, frame: int) -> bytes:
        payloads = self._video.read(list(self._table.run_of(frame)))
        return open_blob(kind, payloads, first_frame=frame, tag=self._table.tag)
