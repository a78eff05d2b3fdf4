"""Chunks of a spool into pages and frames, and back again to prove them: what builds and appends have in common."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from memvid import _core
from memvid.building.spool import Spool, SpoolSegment, hash_record
from memvid.config import EncoderConfig
from memvid.errors import FrameError
from memvid.page import (
    ChunkIds,
    PageBody,
    PageCompressor,
    PageKind,
    encode_commit,
    encode_tombstones,
    metadata_bodies,
    pack,
    pack_attributes,
    pack_bare,
    pack_blob,
    seal,
)
from memvid.page.dictionary import DICTIONARY_LEVEL
from memvid.video import PageStore, VideoReader, frame_capacity
from memvid.workers import WorkerPool

if TYPE_CHECKING:
    from memvid.types import CommitInfo
    from memvid.video import VideoAppender, VideoWriter

__all__ = ["PageWriter", "blob_pages", "read_back"]

SEGMENT_CHUNKS = 4096
"""Chunks packed as one piece: the last page of each is partly empty, which costs 0.2 % at this size."""

SEGMENT_BYTES = 8 << 20
"""A piece of larger chunks ends at so many bytes: a handful of pieces are in memory at a time."""

_WRITE_PAGES = 128  # pages handed to the native writer at once

Report = Callable[[int], None]
"""Gets the number of chunks done; raises what is to end the work."""


class PageWriter:
    """Packs chunks by a pool of threads and hands the pages to a video's writer, in order.

    What is made depends on the chunks alone, not on which thread was faster.

    :param video: takes the payloads, and draws frames on threads of its own.
    :param compressor: ``None`` stores bodies as they are.
    :param report: called between pieces, from the calling thread.
    :ivar seconds: time spent in the video's writer.
    :ivar written: bytes of all pages and bare texts so far.
    """

    def __init__(
        self,
        video: VideoWriter | VideoAppender,
        config: EncoderConfig,
        *,
        tag: int,
        compressor: PageCompressor | None,
        report: Report,
    ) -> None:
        self._video = video
        self._config = config
        self._tag = tag
        self._compressor = compressor
        self._report = report
        self._capacity = frame_capacity(config)
        self.seconds = 0.0
        self.written = 0

    def write_chunks(self, spool: Spool, *, told: bool = False) -> None:
        """Write all chunks of a spool, and in a bare memory their metadata behind them.

        :param told: whether the metadata of bare texts is written in any case: it says which chunks they are.
        """
        if self._config.bare:
            self._write_bare(spool, told=told)
        else:
            self._write_packed(spool)
        self._report(len(spool))

    def write_commit(self, info: CommitInfo) -> None:
        """Write what begins here: the first page of an append."""
        self.write_pages(pack_blob(PageKind.COMMIT, encode_commit(info), capacity=self._capacity))

    def write_metadata(self, changes: Mapping[int, bytes]) -> None:
        """Write the metadata that chunks get, if any do."""
        for body in metadata_bodies(changes):
            self.write_pages(blob_pages(PageKind.METADATA, body, self._capacity))

    def write_tombstones(self, deleted: ChunkIds) -> None:
        """Write which chunks are deleted, if any are."""
        if deleted:
            self.write_pages(blob_pages(PageKind.TOMBSTONES, encode_tombstones(deleted), self._capacity))

    def write_pages(self, pages: list[PageBody]) -> None:
        """Write planned pages under the next numbers."""
        first = self._video.frames
        self._write_payloads(
            [seal(page, tag=self._tag, page_number=first + offset) for offset, page in enumerate(pages)]
        )

    def _write_packed(self, spool: Spool) -> None:
        threads = self._config.threads or _core.available_cores()
        waiting: deque[Future[list[PageBody]]] = deque()
        with WorkerPool(threads, name="memvid-pack") as pool:
            for segment in self._segments(spool):
                waiting.append(pool.submit(partial(self._pack, segment)))
                while len(waiting) > threads:
                    self.write_pages(waiting.popleft().result())
            while waiting:
                self.write_pages(waiting.popleft().result())

    def _pack(self, segment: SpoolSegment) -> list[PageBody]:
        return pack(
            segment.records,
            segment.first_chunk,
            capacity=self._capacity,
            compressor=self._compressor,
            chunks_per_frame=self._config.chunks_per_frame,
        )

    def _write_bare(self, spool: Spool, *, told: bool) -> None:
        capacity = frame_capacity(self._config, bare=True)
        metadatas: dict[int, list[bytes]] = {}  # of each run of ids, by its first one
        first = 0
        gaps = told  # then only pages of metadata tell which text is which, should the page table be lost
        for segment in self._segments(spool):
            payloads = pack_bare(segment.records, segment.first_chunk, capacity=capacity)
            if not metadatas or segment.first_chunk != first + len(metadatas[first]):
                first = segment.first_chunk
                metadatas[first] = []
            gaps = gaps or segment.first_chunk != self._video.next_bare
            self._video.skip_to(segment.first_chunk)
            self._write_payloads(payloads)
            metadatas[first] += [record.metadata for record in segment.records]
        always = gaps or any(map(any, metadatas.values()))
        for first_chunk, run in metadatas.items():
            self.write_pages(pack_attributes(run, first_chunk, capacity=self._capacity, always=always))

    def _segments(self, spool: Spool) -> Iterator[SpoolSegment]:
        done = 0
        for segment in spool.segments(SEGMENT_CHUNKS, SEGMENT_BYTES):
            self._report(done)
            yield segment
            done += len(segment.records)

    def _write_payloads(self, payloads: list[bytes]) -> None:
        begin = time.perf_counter()
        self.written += sum(map(len, payloads))
        for start in range(0, len(payloads), _WRITE_PAGES):
            self._video.write(payloads[start : start + _WRITE_PAGES])
        self.seconds += time.perf_counter() - begin


def blob_pages(kind: PageKind, data: bytes, capacity: int) -> list[PageBody]:
    """Pages with a dictionary or a list of deletions: compressed by itself, if that makes it smaller."""
    return pack_blob(kind, data, capacity=capacity, compressor=PageCompressor(DICTIONARY_LEVEL))


def read_back(video: VideoReader, spool: Spool, report: Report, *, start: int = 0) -> None:
    """Read every frame from ``start`` on with the independent decoder, and compare all chunks with the spool's.

    :raises FrameError: a frame cannot be read, or a chunk is not what was added.
    """
    store = PageStore(video, cache_bytes=0)
    digest = hashlib.sha256()
    chunks = 0
    for frame, page in store.scan(corrected=True, start=start):
        for slot in range(len(page)):
            hash_record(digest, page.text_view(slot), store.metadata_bytes(page, frame, slot))
        chunks += len(page)
        report(chunks)
    report(chunks)
    if digest.digest() != spool.digest().digest():
        raise FrameError(
            f"the finished video does not hold what was added, {chunks} of {len(spool)} chunks were read back: "
            "nothing was changed; check the disk and try again"
        )
