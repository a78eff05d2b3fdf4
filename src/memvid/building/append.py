"""One append: new pages behind the old ones, one more segment of the index, and both committed together.

What is there is neither rewritten nor read, but for what the index merges (:mod:`memvid.index.updating`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid.allowance import unpack_allowance
from memvid.building.checkpoint import Checkpoint
from memvid.building.deletions import Deletions
from memvid.building.index_feed import Indexed, IndexFeed, SegmentSource
from memvid.building.metadata_changes import MetadataChanges
from memvid.building.page_writer import PageWriter, read_back
from memvid.building.progress import Reporter, timed
from memvid.building.shrinking import count_append
from memvid.building.spool import Spool, SpoolSegment
from memvid.building.video_chunks import VideoChunks
from memvid.config import EncoderConfig, possible_fps
from memvid.embedding import Embedder, model_info
from memvid.errors import FrameError, ResourceLimitError
from memvid.index import IndexManager, Manifest, stage_changes
from memvid.index.updating import UpdatePlan, find_outer, next_number, plan_update, tidy
from memvid.page import ChunkIds, HeaderInfo, MetadataReader, PageCompressor, Record, check_record, metadata_bodies
from memvid.storage.commit import Commit
from memvid.types import AppendResult, CommitInfo, ProgressCallback, VideoIdentity
from memvid.video import PageStore, PageTable, VideoAppender, VideoReader, has_cover_room

__all__ = ["Appender", "frame_config", "next_chunk"]

_DEFAULTS = EncoderConfig()


def frame_config(header: HeaderInfo, *, fps: float = 30, threads: int | None = None) -> EncoderConfig:
    """The options a memory's pages and frames are made with, as its header page has them."""
    return EncoderConfig(
        symbol_version=header.symbol_version,
        error_correction=header.error_correction,  # type: ignore[arg-type]  # checked when it is used
        compression=header.compression,  # type: ignore[arg-type]
        compression_level=header.compression_level or _DEFAULTS.compression_level,
        chunks_per_frame=1 if header.bare else header.chunks_per_frame,
        parity=header.parity or 0,
        title=header.title,
        cover=header.is_covered or not has_cover_room(header.symbol_version),
        fps=possible_fps(fps),
        threads=threads,
    )


def next_chunk(table: PageTable, header: HeaderInfo, gone: ChunkIds) -> int:
    """Id of the chunk that is added next: no chunk had it, also none that was deleted, and none that was lost.

    :param gone: chunks that were deleted, or that an index says were lost.
    """
    behind = int(gone.ends[-1]) if gone else 0
    return max(table.next_chunk, header.chunks if header.next_chunk is None else header.next_chunk, behind)


@dataclass(frozen=True, slots=True)
class _Memory:
    """The memory as it is before the append."""

    video: VideoReader
    store: PageStore
    index: IndexManager

    @property
    def next_chunk(self) -> int:
        """Id of the first chunk that is added."""
        return next_chunk(self.video.table, self.store.header, self.index.deleted | self.index.missing)

    @property
    def unlisted(self) -> ChunkIds:
        """Chunks that only the index says were deleted, since the end of the video was lost: they are listed again."""
        if self.video.has_table:
            return ChunkIds.of([])
        return self.index.deleted - self.store.history.deletions_left(0, len(self.video.table)).ids

    def start_of(self, segment: int) -> int:
        """The frame of the first chunk in a segment of the index."""
        first = np.array([self.index.first_chunk(segment)], np.int64)
        return int(self.video.table.frames_of(first)[0])

    def chunks_from(self, start: int, *, lossy: bool = False) -> VideoChunks:
        """The chunks of the index from a frame on."""
        without = self.index.deleted | self.index.missing
        return VideoChunks(self.store, self.video.table, without, self, start=start, lossy=lossy)

    def rows(self, first_chunk: int, count: int) -> NDArray[np.float32] | None:
        """Vectors that need not be made again: as :meth:`IndexManager.stored_vectors`."""
        return self.index.stored_vectors(first_chunk, count)


@dataclass(frozen=True, slots=True)
class _Change:
    """What an append does, beside adding chunks."""

    commit: CommitInfo
    deleted: ChunkIds
    metadata: Mapping[int, bytes]

    def all_metadata(self, index: IndexManager) -> dict[int, bytes] | None:
        """All metadata of the memory that was changed, by this append or before; ``None`` if it changes none."""
        return {**dict(index.changed.items()), **self.metadata} if self.metadata else None


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the new chunks go."""

    config: EncoderConfig
    video: VideoAppender
    commit: Commit
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class _InTurn:
    """Chunks of several sources, one after the other."""

    sources: list[SegmentSource]

    def segments(self, chunks: int, nbytes: int, *, with_vectors: bool = False) -> Iterator[SpoolSegment]:
        """As :meth:`SegmentSource.segments`."""
        for source in self.sources:
            yield from source.segments(chunks, nbytes, with_vectors=with_vectors)


class Appender:
    """Adds a spool's chunks to a memory and deletes others. For one use.

    :param changes: metadata that chunks of the memory get.
    :param embedder: makes the embeddings; must be the model of the index, if any chunk is added.
    :param threads: worker threads; ``None`` uses the cores this process may run on.
    :param progress: called from the thread that calls :meth:`run`.
    :param checkpoint: file that keeps the embeddings until the append has succeeded, and has those of an earlier one.
    :param date: when it is made, in ISO 8601.
    :param message: what is said of it.
    """

    def __init__(
        self,
        spool: Spool,
        deletions: Deletions,
        changes: MetadataChanges,
        embedder: Embedder,
        video_file: Path,
        index_file: Path,
        *,
        threads: int | None = None,
        progress: ProgressCallback | None = None,
        checkpoint: Path | None = None,
        date: str | None = None,
        message: str | None = None,
    ) -> None:
        self._spool = spool
        self._deletions = deletions
        self._changes = changes
        self._embedder = embedder
        self._video_file = video_file
        self._index_file = index_file
        self._threads = threads
        self._reporter = Reporter(progress, len(spool))
        self._checkpoint = checkpoint
        self._date = date
        self._message = message
        self._seconds: dict[str, float] = {}

    def run(self) -> AppendResult:
        """Append, read back, commit."""
        begin = time.perf_counter()
        with Commit(self._index_file, video_file=self._video_file) as commit:
            commit.lock()
            if self._checkpoint is not None:
                commit.claim(self._checkpoint)
            with self._opened() as memory:
                first = memory.next_chunk
                self._spool.number_from(first)
                gone = self._deletions.resolve(memory.index, self._spool)
                chunks = memory.index.count + len(self._spool) - len(gone)
                frames, indexed, manifest = 0, Indexed(), memory.index.manifest
                number = memory.store.history.last_commit()
                changes = self._resolve_changes(memory, gone)
                if len(self._spool) or gone or changes:
                    number += 1
                    listed = gone | memory.unlisted
                    info = CommitInfo(
                        number=number, date=self._date, message=self._message,
                        first_chunk=first, added=len(self._spool), deleted=len(listed), changed=len(changes),
                        chunks=chunks,
                    )  # fmt: skip
                    table, manifest, indexed = self._write(memory, _Change(info, listed, changes), commit)
                    frames = len(table) - memory.video.frame_count
        self._seconds["total"] = time.perf_counter() - begin
        return AppendResult(
            video_file=self._video_file,
            index_file=self._index_file,
            added=len(self._spool),
            first_chunk=first,
            deleted=len(gone),
            chunks=chunks,
            frames=frames,
            text_bytes=self._spool.text_bytes,
            video_bytes=self._video_file.stat().st_size if commit.is_single else manifest.video.bytes,
            index_bytes=manifest.nbytes,
            seconds=dict(self._seconds),
            embeddings_made=indexed.made,
            embeddings_resumed=indexed.resumed,
            unusable_metadata=indexed.unusable_metadata,
            copied=commit.copied,
            changed=len(changes),
            commit=number,
        )

    def _resolve_changes(self, memory: _Memory, gone: ChunkIds) -> dict[int, bytes]:
        """The metadata that chunks get which stay.

        :raises ChunkNotFoundError: a chunk was deleted meanwhile.
        :raises MetadataError: fields of metadata that cannot be used are to be changed.
        :raises ResourceLimitError: all changes together would be more than a reader takes.
        :raises ChunkTooLargeError: a chunk would be too large.
        """
        if not self._changes:
            return {}
        resolved = self._changes.resolve(memory.index, memory.store)
        ids = np.array(sorted(resolved), np.int64)
        changes = {chunk: resolved[chunk] for chunk in ids[~gone.contains(ids)].tolist()}
        state = memory.store.changed
        if state.lost is not None:
            raise state.lost
        if MetadataReader.cost(metadata_bodies(changes), len(changes)) > state.left:
            raise ResourceLimitError(
                f"{self._video_file} has much changed metadata already, and no room for that of {len(changes)} chunks: "
                f"`memvid compact {self._video_file}` writes it with the chunks"
            )
        _check_sizes(memory, changes)
        return changes

    @contextmanager
    def _opened(self) -> Iterator[_Memory]:
        video = VideoReader(self._video_file, threads=self._threads)
        try:
            model = model_info(self._embedder) if len(self._spool) else None
            with IndexManager.open(
                self._index_file, video=video.identity, model=model, video_file=self._video_file
            ) as index:
                store = PageStore(video, cache_bytes=0)
                index.read_metadata_by(store.metadata_of)
                yield _Memory(video, store, index)
        finally:
            video.close()

    def _write(self, memory: _Memory, change: _Change, commit: Commit) -> tuple[PageTable, Manifest, Indexed]:
        """Write everything, read it back, and commit it."""
        config = frame_config(memory.store.header, fps=memory.video.fps, threads=self._threads)
        video = VideoAppender(commit.stage_growth(self._video_file), config, table=memory.video.table)
        commit.on_abort(video.abandon)
        model = memory.index.manifest.model
        with nullcontext() if self._checkpoint is None else Checkpoint(self._checkpoint, model) as checkpoint:
            if len(self._spool):
                table, manifest, indexed = self._add(memory, change, _Target(config, video, commit, checkpoint))
            else:
                table, identity = self._write_video(memory, change, config, video)
                number = next_number(self._index_file, memory.index.manifest)
                deleted = memory.index.deleted | change.deleted
                manifest, _ = stage_changes(
                    self._index_file, memory.index.manifest, video=identity,
                    deleted=deleted, changed=change.all_metadata(memory.index), number=number, commit=commit,
                )  # fmt: skip
                indexed = Indexed()
            with timed(self._seconds, "commit"):
                if commit.is_single:
                    manifest = count_append(commit, self._video_file, video, manifest)
                else:
                    commit.grow(video.mark)
                commit.commit(obsolete=partial(tidy, self._index_file, manifest, find_outer(self._index_file)))
            if checkpoint is not None:
                checkpoint.remove()
        return table, manifest, indexed

    def _add(self, memory: _Memory, change: _Change, target: _Target) -> tuple[PageTable, Manifest, Indexed]:
        """Add chunks to video and index at the same time."""
        manifest = memory.index.manifest
        plan, merged = self._plan(memory)
        index = IndexManager.create(
            self._index_file,
            model=manifest.model,
            config=manifest.options,
            commit=target.commit,
            number=next_number(self._index_file, manifest),
            kept=plan.kept,
            changed=manifest.changed,
            codes_of=memory.index,
        )
        try:
            sources: list[SegmentSource] = [self._spool]
            ids = ChunkIds.of(range(memory.next_chunk, memory.next_chunk + len(self._spool)))
            start = memory.video.frame_count
            if merged is not None:
                sources.insert(0, merged)
                start = merged.start
                ids |= merged.ids
            self._reporter.indexed = len(ids - change.deleted)
            source = _InTurn(sources)
            with IndexFeed(source, index, self._embedder, target.checkpoint, skip=change.deleted) as feed:
                feed.start()
                self._reporter.feed = feed
                table, identity = self._write_video(memory, change, target.config, target.video)
                self._reporter.wait_for_index()
                self._seconds.update(feed.seconds)
                frames = start + np.flatnonzero(table.counts[start:])
                index.add_pages(frames, table.first_chunks[frames], table.counts[frames])
                index.stage(
                    identity,
                    deleted=memory.index.deleted | change.deleted,
                    missing=ChunkIds.of_ranges(memory.index.manifest.missing),
                    changed=change.all_metadata(memory.index),
                )
                return table, index.manifest, feed.indexed
        except BaseException:
            index.abort()
            raise

    def _plan(self, memory: _Memory) -> tuple[UpdatePlan, VideoChunks | None]:
        """What becomes of the index's segments, and the chunks of those that are merged into the new one.

        Chunks that unpack to far more than their bytes stay where they are: nobody is to wait for them to be read.
        Likewise those of segments that have one that cannot be read: it may be there again some day.
        """
        manifest, video = memory.index.manifest, memory.video
        plan = plan_update(manifest, len(self._spool))
        try:
            allowance = unpack_allowance(self._video_file, video.identity.bytes, None)
            while plan.merged:
                start = memory.start_of(len(plan.kept))
                memory.store.spend_unpacked(allowance, start=start)
                lost = memory.chunks_from(start, lossy=True).find_lost()
                if not lost:
                    return plan, memory.chunks_from(start)
                firsts = map(memory.index.first_chunk, range(len(plan.kept), len(manifest.segments)))
                merged = sum(first > int(lost.ends[-1]) for first in firsts)
                plan = UpdatePlan(manifest.segments[: len(manifest.segments) - merged], merged)
        except ResourceLimitError:
            pass
        return UpdatePlan(manifest.segments, 0), None

    def _write_video(
        self, memory: _Memory, change: _Change, config: EncoderConfig, video: VideoAppender
    ) -> tuple[PageTable, VideoIdentity]:
        """Write the new frames behind the old ones and read them back; nothing of it counts yet."""
        compressor = None
        if config.compression != "none":
            compressor = PageCompressor(config.compression_level, memory.store.dictionary)
        writer = PageWriter(
            video, config, tag=memory.video.table.tag, compressor=compressor, report=self._reporter.stage("write")
        )
        writer.write_commit(change.commit)
        if len(self._spool):
            writer.write_chunks(self._spool)
        writer.write_metadata(change.metadata)
        writer.write_tombstones(change.deleted)
        table = video.finish()
        self._seconds["pack and write"] = writer.seconds
        with timed(self._seconds, "verify"):
            return table, self._read_back(memory, change, video)

    def _read_back(self, memory: _Memory, change: _Change, video: VideoAppender) -> VideoIdentity:
        start = memory.video.frame_count
        reader = VideoReader(video.path, threads=self._threads, movie=video.movie)
        try:
            read_back(reader, self._spool, self._reporter.stage("verify"), start=start)
            store = PageStore(reader, cache_bytes=0)
            history, stop = store.history, len(reader.table)
            changed = history.changed_in(start, stop).latest
            said = (history.read_commit(start), history.deleted_in(start, stop), dict(changed.items()))
            if said != (change.commit, change.deleted, change.metadata):
                raise FrameError(
                    "what the append says of itself is not read back as it was written: nothing was changed"
                )
            return reader.identity
        finally:
            reader.close()


def _check_sizes(memory: _Memory, changes: Mapping[int, bytes]) -> None:
    """Whether a page takes each chunk together with its new metadata; looks at those that run over several frames.

    :raises ChunkTooLargeError: one is too large.
    """
    ids = np.array(list(changes), np.int64)
    frames = memory.video.table.frames_of(ids)
    for chunk_id in ids[memory.video.table.run_lengths(frames) > 1].tolist():
        (chunk,) = memory.store.read([chunk_id])
        check_record(Record(chunk.text.encode(), changes[chunk_id]), chunk_id)
