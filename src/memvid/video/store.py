"""Chunks out of a video: from chunk id to frame to verified page to text, with a cache of decoded pages."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from memvid.errors import FrameError
from memvid.page import (
    HeaderInfo,
    PageDecompressor,
    PageKind,
    Record,
    RecordPage,
    decode_header_body,
    decode_metadata,
    encode_body,
    open_blob,
    open_run,
)
from memvid.types import Chunk, JsonObject
from memvid.video.reader import VideoReader
from memvid.video.table import BARE

__all__ = ["PageCacheStats", "PageStore"]


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


class _PageCache:
    """Decoded pages by frame, least recently used dropped first, bounded by bytes. Safe to share between threads."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._lock = threading.Lock()
        self._pages: OrderedDict[int, RecordPage] = OrderedDict()
        self._nbytes = 0
        self._hits = 0
        self._misses = 0

    def get(self, frames: Sequence[int]) -> dict[int, RecordPage]:
        """Those of the pages that are here."""
        found = {}
        with self._lock:
            for frame in frames:
                page = self._pages.get(frame)
                if page is not None:
                    self._pages.move_to_end(frame)
                    found[frame] = page
            self._hits += len(found)
            self._misses += len(frames) - len(found)
        return found

    def put(self, pages: dict[int, RecordPage]) -> None:
        with self._lock:
            for frame, page in pages.items():
                replaced = self._pages.pop(frame, None)
                self._nbytes += page.nbytes - (replaced.nbytes if replaced is not None else 0)
                self._pages[frame] = page
            while self._nbytes > self._capacity and self._pages:
                _, dropped = self._pages.popitem(last=False)
                self._nbytes -= dropped.nbytes

    def clear(self) -> None:
        with self._lock:
            self._pages.clear()
            self._nbytes = 0

    def stats(self) -> PageCacheStats:
        with self._lock:
            return PageCacheStats(self._hits, self._misses, len(self._pages), self._nbytes)


class _Attributes(NamedTuple):
    """Pages of metadata and the ids of their first chunks, ascending."""

    firsts: list[int]
    pages: list[RecordPage]


class PageStore:
    """Chunks of one video. Safe to share between threads.

    :param video: an open video.
    :param cache_bytes: decoded pages to keep, in bytes of memory; 0 keeps none.
    :raises FrameError: the header page cannot be read.
    """

    def __init__(self, video: VideoReader, *, cache_bytes: int) -> None:
        self._video = video
        self._table = video.table
        self._cache = _PageCache(cache_bytes)
        self._lazy_lock = threading.Lock()

    @cached_property
    def header(self) -> HeaderInfo:
        """What the header page says of the memory.

        :raises FrameError: it cannot be read.
        """
        return decode_header_body(self._read_blob(PageKind.HEADER, 0))

    @cached_property
    def _decompressor(self) -> PageDecompressor:
        with self._lazy_lock:
            frames = self._table.frames_of_kind(PageKind.DICTIONARY)
            return PageDecompressor(self._read_blob(PageKind.DICTIONARY, int(frames[0])) if len(frames) else None)

    @cached_property
    def _attributes(self) -> _Attributes:
        """Metadata pages of a bare memory."""
        found = _Attributes([], [])
        with self._lazy_lock:
            for frame in self._table.frames_of_kind(PageKind.ATTRIBUTES).tolist():
                payloads = self._video.read(list(self._table.run_of(frame)))
                header, page = open_run(payloads, PageDecompressor(), first_frame=frame, tag=self._table.tag)
                found.firsts.append(header.first_chunk)
                found.pages.append(page)
        return found

    def warm(self) -> None:
        """Read what every query needs: the dictionary."""
        _ = self._decompressor

    def chunks(self, chunk_ids: Sequence[int]) -> list[Chunk]:
        """The chunks, in the order of their ids; each distinct frame is read once, all of them in one native call.

        :raises ChunkNotFoundError: there is no chunk of that id.
        :raises FrameError: a frame cannot be read and verified.
        """
        ids = np.asarray(chunk_ids, np.int64)
        frames = self._table.frames_of(ids)
        slots = (ids - self._table.first_chunks[frames]).tolist()
        wanted = frames.tolist()
        pages = self.pages(list(dict.fromkeys(wanted)))
        return [
            Chunk(chunk_id, pages[frame].text(slot), self._metadata(pages[frame], frame, slot), frame)
            for chunk_id, frame, slot in zip(ids.tolist(), wanted, slots, strict=True)
        ]

    def pages(self, frames: Sequence[int]) -> dict[int, RecordPage]:
        """Decoded pages of distinct frames, from the cache or the video.

        :raises FrameError: a frame cannot be read and verified.
        """
        found = self._cache.get(frames)
        missing = [frame for frame in frames if frame not in found]
        if missing:
            read = self._read_pages(missing)
            self._cache.put(read)
            found.update(read)
        return found

    def scan(self, *, corrected: bool = False) -> Iterator[tuple[int, RecordPage]]:
        """All pages that hold chunks, in order, with their frames; past the cache, some pages in memory at a time.

        :param corrected: decode by zxing-cpp alone, which also proves that any other QR reader can.
        :raises FrameError: a frame, of whatever kind, cannot be read and verified.
        """
        run: list[bytes] = []
        start = 0
        for frame, payload in self._video.read_all(corrected=corrected):
            if run and self._table.kinds[frame] != PageKind.CONTINUATION:
                yield from self._open_run(start, run)
                run = []
            if not run:
                start = frame
            run.append(payload)
        yield from self._open_run(start, run)

    def _open_run(self, frame: int, payloads: list[bytes]) -> Iterator[tuple[int, RecordPage]]:
        if self._table.counts[frame]:
            yield frame, self._open(frame, payloads)

    def metadata_bytes(self, page: RecordPage, frame: int, slot: int) -> bytes:
        """Stored JSON of one chunk's metadata, empty if it has none."""
        if self._table.kinds[frame] != BARE:
            return page.metadata_bytes(slot)
        chunk_id = int(self._table.first_chunks[frame]) + slot
        at = bisect_right(self._attributes.firsts, chunk_id) - 1
        if at < 0:
            return b""
        attributes, offset = self._attributes.pages[at], chunk_id - self._attributes.firsts[at]
        return attributes.metadata_bytes(offset) if offset < len(attributes) else b""

    def cache_stats(self) -> PageCacheStats:
        """What the page cache did and holds."""
        return self._cache.stats()

    def clear_cache(self) -> None:
        """Forget all decoded pages."""
        self._cache.clear()

    def _metadata(self, page: RecordPage, frame: int, slot: int) -> JsonObject:
        return decode_metadata(self.metadata_bytes(page, frame, slot), frame_index=frame)

    def _read_pages(self, frames: list[int]) -> dict[int, RecordPage]:
        runs = [self._table.run_of(frame) for frame in frames]
        payloads = iter(self._video.read([frame for run in runs for frame in run]))
        return {run.start: self._open(run.start, [next(payloads) for _ in run]) for run in runs}

    def _open(self, frame: int, payloads: list[bytes]) -> RecordPage:
        if self._table.kinds[frame] == BARE:
            return RecordPage(encode_body([Record(payloads[0])]), 1, frame_index=frame)
        header, page = open_run(payloads, self._decompressor, first_frame=frame, tag=self._table.tag)
        if header.first_chunk != self._table.first_chunks[frame] or header.count != self._table.counts[frame]:
            raise FrameError(
                f"frame {frame}: its page and the page table do not agree on its chunks; "
                "the video is damaged: restore it from a copy",
                frame_index=frame,
            )
        return page

    def _read_blob(self, kind: PageKind, frame: int) -> bytes:
        payloads = self._video.read(list(self._table.run_of(frame)))
        return open_blob(kind, payloads, first_frame=frame, tag=self._table.tag)
