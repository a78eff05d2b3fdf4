"""One build: pages, frames, vectors and keywords of the same chunks at the same time, then all of it committed at once.

The calling thread reads segments of chunks from the spool, has them packed by a pool, hands the pages to the native
writer, which draws and deflates them on threads of its own, and reads the finished video back. Meanwhile a second
thread goes through the chunks for the index. A bounded number of segments is in memory, whatever the size of the
corpus. What each thread makes depends on the chunks alone, not on who was faster.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np

from memvid import _core
from memvid._checkpoint import Checkpoint
from memvid._files import Commit
from memvid._index_feed import Indexed, IndexFeed
from memvid._spool import Spool, SpoolSegment, hash_record
from memvid.config import EncoderConfig
from memvid.embedding import Embedder, model_info
from memvid.errors import FrameError
from memvid.index import IndexBuilder, IndexManager
from memvid.page import (
    HeaderInfo,
    PageBody,
    PageCompressor,
    PageKind,
    Record,
    encode_header_body,
    memory_tag,
    pack,
    pack_attributes,
    pack_bare,
    pack_blob,
    sample_plan,
    seal,
    train_dictionary,
)
from memvid.page.dictionary import DICTIONARY_LEVEL, SAMPLE_BYTES
from memvid.types import BuildResult, ModelInfo, Progress, ProgressCallback, VideoIdentity
from memvid.video import PageStore, PageTable, VideoReader, VideoWriter, frame_capacity

__all__ = ["Builder"]

SEGMENT_CHUNKS = 4096
"""Chunks packed as one piece: the last page of each is partly empty, which costs 0.2 % at this size."""

SEGMENT_BYTES = 8 << 20
"""A piece of larger chunks ends at so many bytes: a handful of pieces are in memory at a time."""

_WRITE_PAGES = 128  # pages handed to the native writer at once
_REPORT_SECONDS = 0.1

# Options that decide the bytes of the pages, and so are part of the memory's id.
_IDENTITY_OPTIONS = (
    "fps",
    "symbol_version",
    "error_correction",
    "data_mask",
    "compression",
    "compression_level",
    "dictionary",
    "chunks_per_frame",
)


class Builder:
    """Builds one video and its index from a spool. For one use.

    :param progress: called from the thread that calls :meth:`run`.
    :param checkpoint: file that keeps the embeddings until the build has succeeded, and has those of an earlier one.
    """

    def __init__(
        self,
        spool: Spool,
        config: EncoderConfig,
        embedder: Embedder,
        video_file: Path,
        index_file: Path,
        progress: ProgressCallback | None,
        checkpoint: Path | None = None,
    ) -> None:
        self._spool = spool
        self._config = config
        self._embedder = embedder
        self._video_file = video_file
        self._index_file = index_file
        self._progress = progress
        self._checkpoint = checkpoint
        self._last_report = 0.0
        self._feed: IndexFeed | None = None
        self._seconds: dict[str, float] = {}
        self._capacity = frame_capacity(config)
        digest = spool.digest()
        options = asdict(config)
        digest.update(json.dumps({name: options[name] for name in _IDENTITY_OPTIONS}, sort_keys=True).encode())
        self._memory_id: str = digest.hexdigest()
        self._tag = memory_tag(self._memory_id)

    def run(self) -> BuildResult:
        """Build, read back, commit."""
        begin = time.perf_counter()
        model = model_info(self._embedder)
        with Commit(self._index_file, video_file=self._video_file) as commit:
            if self._checkpoint is not None:
                commit.claim(self._checkpoint)
            staged_video = commit.stage(self._video_file)
            index = IndexManager.create(self._index_file, model=model, config=self._config, commit=commit)
            try:
                with self._open_checkpoint(model) as checkpoint:
                    table, video, indexed = self._fill(staged_video, index, checkpoint)
                    with self._timed("commit"):
                        starts = np.flatnonzero(table.counts)
                        index.add_pages(starts, table.first_chunks[starts], table.counts[starts])
                        index_bytes = sum(path.stat().st_size for path in index.stage(video))
                        commit.commit()
                    if checkpoint is not None:
                        checkpoint.remove()
            except BaseException:
                index.abort()
                raise
        self._seconds["total"] = time.perf_counter() - begin
        return BuildResult(
            video_file=self._video_file,
            index_file=self._index_file,
            chunks=len(self._spool),
            frames=len(table),
            text_bytes=self._spool.text_bytes,
            video_bytes=video.bytes,
            index_bytes=index_bytes,
            seconds=dict(self._seconds),
            embeddings_made=indexed.made,
            embeddings_resumed=indexed.resumed,
            provider=getattr(self._embedder, "provider", None) if indexed.made else None,
        )

    def _open_checkpoint(self, model: ModelInfo) -> AbstractContextManager[Checkpoint | None]:
        return nullcontext() if self._checkpoint is None else Checkpoint(self._checkpoint, model)

    def _fill(
        self, staged_video: Path, index: IndexBuilder, checkpoint: Checkpoint | None
    ) -> tuple[PageTable, VideoIdentity, Indexed]:
        """Write the video, read it back, and wait for the index to have all chunks."""
        with IndexFeed(self._spool, index, self._embedder, checkpoint) as feed:
            self._feed = feed
            table = self._write(staged_video)
            with self._timed("verify"):
                video = self._read_back(staged_video)
            while not feed.finished():
                if self._is_time():
                    self._report_index()
            self._report_index()
            self._seconds.update(feed.seconds)
            return table, video, feed.indexed

    def _write(self, staged_video: Path) -> PageTable:
        with self._timed("dictionary"):
            dictionary = self._train()
        writer = VideoWriter(staged_video, self._config, tag=self._tag)
        self._seconds["pack and write"] = 0.0
        self._write_pages(writer, self._front_pages(dictionary))
        if self._config.bare:
            self._write_bare(writer)
        else:
            uncompressed = self._config.compression == "none"
            compressor = None if uncompressed else PageCompressor(self._config.compression_level, dictionary)
            self._write_chunks(writer, compressor)
        self._report("write", len(self._spool), last=True)
        return writer.finish()

    def _train(self) -> bytes | None:
        if self._config.compression == "none":
            return None
        size = self._config.dictionary
        plan = sample_plan(len(self._spool), self._spool.text_bytes, size=size)
        return train_dictionary(self._spool.sample(plan, SAMPLE_BYTES), self._spool.text_bytes, size=size)

    def _front_pages(self, dictionary: bytes | None) -> list[PageBody]:
        """The header page, and the dictionary's."""
        dictionary_pages: list[PageBody] = []
        if dictionary is not None:
            dictionary_pages = pack_blob(
                PageKind.DICTIONARY, dictionary, capacity=self._capacity, compressor=PageCompressor(DICTIONARY_LEVEL)
            )
        model = model_info(self._embedder)
        header = HeaderInfo(
            memory_id=self._memory_id,
            chunks=len(self._spool),
            text_bytes=self._spool.text_bytes,
            symbol_version=self._config.symbol_version,
            error_correction=self._config.error_correction,
            bare=self._config.bare,
            compression=self._config.compression,
            dictionary_pages=len(dictionary_pages),
            dictionary_bytes=len(dictionary or b""),
            model=model.name,
            dim=model.dim,
            model_digest=model.digest,
        )
        return pack_blob(PageKind.HEADER, encode_header_body(header), capacity=self._capacity) + dictionary_pages

    def _write_chunks(self, writer: VideoWriter, compressor: PageCompressor | None) -> None:
        threads = self._config.threads or _core.available_cores()
        waiting: deque[Future[list[PageBody]]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="memvid-pack") as pool:
            try:
                for segment in self._segments():
                    waiting.append(pool.submit(self._pack, segment, compressor))
                    while len(waiting) > threads:
                        self._write_pages(writer, waiting.popleft().result())
                while waiting:
                    self._write_pages(writer, waiting.popleft().result())
            finally:
                pool.shutdown(cancel_futures=True)

    def _pack(self, segment: SpoolSegment, compressor: PageCompressor | None) -> list[PageBody]:
        return pack(
            segment.records,
            segment.first_chunk,
            capacity=self._capacity,
            compressor=compressor,
            chunks_per_frame=self._config.chunks_per_frame,
        )

    def _write_bare(self, writer: VideoWriter) -> None:
        capacity = frame_capacity(self._config, bare=True)
        metadatas: list[bytes] = []
        for segment in self._segments():
            payloads = pack_bare(segment.records, segment.first_chunk, capacity=capacity)
            self._write_payloads(writer, payloads)
            metadatas += [record.metadata for record in segment.records]
        self._write_pages(writer, pack_attributes(metadatas, 0, capacity=self._capacity))

    def _segments(self) -> Iterator[SpoolSegment]:
        for segment in self._spool.segments(SEGMENT_CHUNKS, SEGMENT_BYTES):
            self._report("write", segment.first_chunk)
            yield segment

    def _write_pages(self, writer: VideoWriter, pages: list[PageBody]) -> None:
        first = writer.frames
        self._write_payloads(
            writer, [seal(page, tag=self._tag, page_number=first + offset) for offset, page in enumerate(pages)]
        )

    def _write_payloads(self, writer: VideoWriter, payloads: list[bytes]) -> None:
        begin = time.perf_counter()
        for start in range(0, len(payloads), _WRITE_PAGES):
            writer.write(payloads[start : start + _WRITE_PAGES])
        self._seconds["pack and write"] += time.perf_counter() - begin

    def _read_back(self, staged_video: Path) -> VideoIdentity:
        """Read every frame of the finished file with the independent decoder; compare all chunks with the spool's."""
        video = VideoReader(staged_video, threads=self._config.threads)
        try:
            store = PageStore(video, cache_bytes=0)
            digest = hashlib.sha256()
            chunks = 0
            for frame, page in store.scan(corrected=True):
                for slot in range(len(page)):
                    metadata = store.metadata_bytes(page, frame, slot)
                    hash_record(digest, Record(page.text_bytes(slot), metadata))
                chunks += len(page)
                self._report("verify", chunks)
            self._report("verify", chunks, last=True)
            if digest.digest() != self._spool.digest().digest():
                raise FrameError(
                    f"the finished video does not hold what was added, {chunks} of {len(self._spool)} chunks were read "
                    "back: nothing was changed; check the disk and build again"
                )
            return video.identity
        finally:
            video.close()

    def _report(self, stage: str, done: int, *, last: bool = False) -> None:
        """Tell how far a stage and the index are, and raise what ended the other thread, if anything did."""
        if self._feed is not None:
            self._feed.check()
        if self._progress is not None and (last or self._is_time()):
            self._progress(Progress(stage, done, len(self._spool)))
            self._report_index()

    def _report_index(self) -> None:
        if self._progress is not None and self._feed is not None:
            done = self._feed.indexed
            self._progress(Progress("index", done.chunks, len(self._spool), resumed=done.resumed))

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._last_report < _REPORT_SECONDS:
            return False
        self._last_report = now
        return True

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - begin
