"""One build: pages, frames, vectors and keywords of the same chunks at the same time, then all of it committed at once.

The calling thread reads segments of chunks from the spool, has them packed by a pool, hands the pages to the native
writer, which draws and deflates them on threads of its own, and reads the finished video back. Meanwhile a second
thread goes through the chunks for the index. A bounded number of segments is in memory, whatever the size of the
corpus. What each thread makes depends on the chunks alone, not on who was faster.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from memvid.building.checkpoint import Checkpoint
from memvid.building.feasible import check_feasible
from memvid.building.index_feed import Indexed, IndexFeed
from memvid.building.page_writer import PageWriter, blob_pages, read_back
from memvid.building.progress import Reporter, timed
from memvid.building.spool import Spool
from memvid.config import EncoderConfig
from memvid.embedding import Embedder, check_profile, model_info
from memvid.index import IndexBuilder, IndexManager, Manifest
from memvid.index.updating import find_outer, tidy
from memvid.page import (
    HEADER_BYTES,
    ChunkIds,
    HeaderInfo,
    PageBody,
    PageCompressor,
    PageKind,
    count_spare,
    encode_header_body,
    memory_tag,
    pack_blob,
    page_checksum,
    sample_plan,
    train_dictionary,
)
from memvid.page.dictionary import SAMPLE_BYTES
from memvid.storage.commit import Commit
from memvid.types import BuildResult, ChunkRanges, ModelInfo, ProgressCallback, VideoIdentity
from memvid.video import PageTable, VideoReader, VideoWriter, frame_capacity, make_cover

__all__ = ["About", "Builder"]

_DEFAULTS = EncoderConfig()

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

_LATER_OPTIONS = ("parity", "title", "cover")  # the same; they are new, and count where they are chosen


@dataclass(frozen=True, slots=True)
class About:
    """What a header page says of a memory in the words of whoever built it.

    :ivar date: when it was built, in ISO 8601.
    :ivar message: what is said of the build.
    """

    date: str | None = None
    message: str | None = None


class _Made(NamedTuple):
    """What was written and committed."""

    frames: int
    video_bytes: int
    index_bytes: int
    indexed: Indexed


class Builder:
    """Builds one video and its index from a spool. For one use.

    :param progress: called from the thread that calls :meth:`run`.
    :param checkpoint: file that keeps the embeddings until the build has succeeded, and has those of an earlier one.
    :param deleted: chunks of the spool that stand for deleted ones: they are not indexed, and the video says so.
    :param next_chunk: what is appended later gets no id below it.
    :param about: what the header page is to say of it.
    :param commit: a commit of these files that is begun already and holds their locks.
    :param check: gets the paths of the complete video, of the index's files that are not inside it, and the manifest,
        before they are committed.
    :param codes_of: as for :meth:`IndexManager.create`.
    :raises ConfigError: the options cannot be carried out here, see :func:`check_feasible`; likewise
        :class:`DependencyError`.
    :ivar unusable_metadata: after :meth:`run`, the chunks that are in the index without their metadata, which cannot be
        used.
    """

    def __init__(
        self,
        spool: Spool,
        config: EncoderConfig,
        embedder: Embedder,
        video_file: Path,
        index_file: Path | None,
        progress: ProgressCallback | None,
        checkpoint: Path | None = None,
        *,
        deleted: ChunkIds | None = None,
        next_chunk: int = 0,
        about: About | None = None,
        commit: Commit | None = None,
        check: Callable[[Path, Sequence[Path], Manifest], None] | None = None,
        codes_of: IndexManager | None = None,
    ) -> None:
        check_feasible(config)
        check_profile(embedder, config.profile)
        self._spool = spool
        self._config = config
        self._embedder = embedder
        self._video_file = video_file
        self._index_file = index_file
        self._reporter = Reporter(progress, len(spool))
        self._checkpoint = checkpoint
        self._deleted = ChunkIds.of([]) if deleted is None else deleted
        self._reporter.indexed -= len(self._deleted)
        self._next_chunk = next_chunk
        self._about = about or About()
        self._commit = commit
        self._check = check
        self._codes_of = codes_of
        self._seconds: dict[str, float] = {}
        self._capacity = frame_capacity(config)
        digest = spool.digest()
        options = asdict(config)
        named = (*_IDENTITY_OPTIONS, *(name for name in _LATER_OPTIONS if options[name] != getattr(_DEFAULTS, name)))
        digest.update(json.dumps({name: options[name] for name in named}, sort_keys=True).encode())
        runs = list(spool.runs())
        self._has_gaps = runs != [(0, len(spool))]
        if self._has_gaps or next_chunk > spool.next_chunk or self._deleted:
            deletions = [self._deleted.starts.tolist(), self._deleted.ends.tolist()]
            digest.update(json.dumps([runs, next_chunk, deletions]).encode())
        self.unusable_metadata: ChunkRanges = ()
        self._memory_id: str = digest.hexdigest()
        self._tag = memory_tag(self._memory_id)

    def run(self) -> BuildResult:
        """Build, read back, commit."""
        begin = time.perf_counter()
        place = self._video_file if self._index_file is None else self._index_file
        with self._commit or Commit(place, video_file=self._video_file) as commit:
            if self._checkpoint is not None:
                commit.claim(self._checkpoint)
            staged_video = commit.stage(self._video_file)
            if self._index_file is None:
                made = self._make_video(commit, staged_video)
            else:
                made = self._make_both(commit, staged_video, self._index_file)
        self._seconds["total"] = time.perf_counter() - begin
        self.unusable_metadata = made.indexed.unusable_metadata
        return BuildResult(
            video_file=self._video_file,
            index_file=self._index_file,
            chunks=len(self._spool),
            frames=made.frames,
            text_bytes=self._spool.text_bytes,
            video_bytes=made.video_bytes,
            index_bytes=made.index_bytes,
            seconds=dict(self._seconds),
            embeddings_made=made.indexed.made,
            embeddings_resumed=made.indexed.resumed,
            provider=getattr(self._embedder, "provider", None) if made.indexed.made else None,
        )

    def _make_video(self, commit: Commit, staged_video: Path) -> _Made:
        """Write the video alone, read it back, and commit it."""
        table = self._write(staged_video)
        with timed(self._seconds, "verify"):
            self._read_back(staged_video)
        with timed(self._seconds, "commit"):
            video_bytes = staged_video.stat().st_size
            commit.commit(obsolete=partial(tidy, self._video_file, None, find_outer(self._video_file)))
        return _Made(len(table), video_bytes, 0, Indexed())

    def _make_both(self, commit: Commit, staged_video: Path, index_file: Path) -> _Made:
        """The same with an index."""
        model = model_info(self._embedder)
        index = IndexManager.create(
            index_file, model=model, config=self._config, commit=commit, codes_of=self._codes_of
        )
        try:
            with self._open_checkpoint(model) as checkpoint:
                table, video, indexed = self._fill(staged_video, index, checkpoint)
                with timed(self._seconds, "commit"):
                    starts = np.flatnonzero(table.counts)
                    index.add_pages(starts, table.first_chunks[starts], table.counts[starts])
                    staged = index.stage(video, deleted=self._deleted)
                    video_bytes = staged_video.stat().st_size
                    if self._check is not None:
                        self._check(staged_video, [] if commit.is_single else staged, index.manifest)
                    commit.commit(obsolete=partial(tidy, index_file, index.manifest, find_outer(index_file)))
                if checkpoint is not None:
                    checkpoint.remove()
        except BaseException:
            index.abort()
            raise
        return _Made(len(table), video_bytes, index.manifest.nbytes, indexed)

    def _open_checkpoint(self, model: ModelInfo) -> AbstractContextManager[Checkpoint | None]:
        return nullcontext() if self._checkpoint is None else Checkpoint(self._checkpoint, model)

    def _fill(
        self, staged_video: Path, index: IndexBuilder, checkpoint: Checkpoint | None
    ) -> tuple[PageTable, VideoIdentity, Indexed]:
        """Write the video, read it back, and wait for the index to have all chunks."""
        with IndexFeed(self._spool, index, self._embedder, checkpoint, skip=self._deleted) as feed:
            feed.start()
            self._reporter.feed = feed
            table = self._write(staged_video)
            with timed(self._seconds, "verify"):
                video = self._read_back(staged_video)
            self._reporter.wait_for_index()
            self._seconds.update(feed.seconds)
            return table, video, feed.indexed

    def _write(self, staged_video: Path) -> PageTable:
        with timed(self._seconds, "dictionary"):
            dictionary = self._train()
        compressor = None
        if self._config.compression != "none":
            compressor = PageCompressor(self._config.compression_level, dictionary)
        video = VideoWriter(staged_video, self._config, tag=self._tag)
        writer = PageWriter(
            video, self._config, tag=self._tag, compressor=compressor, report=self._reporter.stage("write")
        )
        cover = self._cover()
        try:
            if cover is not None:
                video.write_cover(cover)
            header, dictionary_pages = self._front_pages(dictionary, cover)
            writer.write_pages(header + dictionary_pages)
            writer.write_chunks(self._spool, told=self._states_next)
            writer.write_tombstones(self._deleted)
            sizes = [[HEADER_BYTES + len(page.body) for page in pages] for pages in (header, dictionary_pages)]
            writer.write_pages((header + dictionary_pages)[: count_spare(*sizes, written=writer.written)])
            self._seconds["pack and write"] = writer.seconds
            return video.finish()
        except BaseException:
            video.abandon()
            raise

    def _train(self) -> bytes | None:
        if self._config.compression == "none":
            return None
        size = self._config.dictionary
        plan = sample_plan(len(self._spool), self._spool.text_bytes, size=size)
        samples = [sample for sample in self._spool.sample(plan, SAMPLE_BYTES) if sample]
        return train_dictionary(samples, self._spool.text_bytes, size=size)

    def _cover(self) -> bytes | None:
        """What the cover's code holds; ``None`` if there is to be none, or frames are too small for one."""
        config = self._config
        if not config.cover:
            return None
        return make_cover(
            config.symbol_version,
            title=config.title,
            chunks=len(self._spool) - len(self._deleted),
            documents=self._spool.documents,
            date=self._about.date,
        )

    def _front_pages(self, dictionary: bytes | None, cover: bytes | None) -> tuple[list[PageBody], list[PageBody]]:
        """The pages of the header page, and of the dictionary."""
        dictionary_pages: list[PageBody] = []
        if dictionary is not None:
            dictionary_pages = blob_pages(PageKind.DICTIONARY, dictionary, self._capacity)
        model = model_info(self._embedder)
        config = self._config
        header = HeaderInfo(
            memory_id=self._memory_id,
            chunks=len(self._spool) - len(self._deleted),
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
            next_chunk=self._next_chunk if self._states_next else None,
            compression_level=_unless_default(config, "compression_level"),
            chunks_per_frame=_unless_default(config, "chunks_per_frame"),
            parity=float(config.parity) or None,
            title=config.title,
            cover=None if cover is None else page_checksum(cover),
            **asdict(self._about),
        )
        pages = pack_blob(PageKind.HEADER, encode_header_body(header), capacity=self._capacity)
        return pages, dictionary_pages

    @property
    def _states_next(self) -> bool:
        """Whether the header page says which id comes next, and so that ids do not count up from 0.

        Else all below the number of chunks should be there.
        """
        return self._next_chunk > self._spool.next_chunk or self._has_gaps or bool(self._deleted)

    def _read_back(self, staged_video: Path) -> VideoIdentity:
        video = VideoReader(staged_video, threads=self._config.threads)
        try:
            read_back(video, self._spool, self._reporter.stage("verify"))
            return video.identity
        finally:
            video.close()


def _unless_default(config: EncoderConfig, name: str) -> int | None:
    value: int | None = getattr(config, name)
    return None if value == getattr(_DEFAULTS, name) else value
