"""A memory without the chunks that were deleted from it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid.building.append import frame_config, next_chunk
from memvid.building.build import Builder
from memvid.building.checkpoint import remove_checkpoints
from memvid.building.spool import Spool
from memvid.checks import check_chunk_id
from memvid.config import EncoderConfig
from memvid.embedding import AbsentEmbedder, Embedder, EmbedderLike, model_info, resolve_embedder
from memvid.errors import ConfigError, EmptyMemoryError, UnsupportedVideoError
from memvid.index import IndexManager
from memvid.index.manifest import own_name
from memvid.interrupts import interruptible, uninterrupted
from memvid.maintenance.rewrite.erasure_proof import Erasure
from memvid.page import ChunkIds, ChunkRanges, Record
from memvid.storage.commit import Commit, default_index_file, refuse_links
from memvid.storage.hard_links import has_other_names
from memvid.types import ProgressCallback, StrPath, Where
from memvid.video import PageStore, VideoReader

__all__ = ["CompactResult", "EraseResult", "compact", "erase"]


_BRIDGED = 64
"""Deleted ids in a row, up to so many, stay in a page as empty chunks: ids of a page have no gaps, and a page that
ended at each deleted chunk would be nearly empty. They are still listed as deleted."""

_SPOOL_CHUNKS = 1024  # read and spooled at once


@dataclass(frozen=True, slots=True)
class CompactResult:
    """What a compaction made of a memory.

    :ivar video_file: the video.
    :ivar index_file: the index's manifest.
    :ivar chunks: chunks in it.
    :ivar removed: deleted chunks whose text was in it.
    :ivar frames: frames now.
    :ivar frames_before: frames before.
    :ivar video_bytes: size of the video now.
    :ivar video_bytes_before: size of the video before.
    :ivar index_bytes: size of the index's files now.
    :ivar unusable_metadata: chunks whose metadata cannot be used: it is in the video byte for byte, not in the index.
    :ivar seconds: wall time.
    """

    video_file: Path
    index_file: Path
    chunks: int
    removed: int
    frames: int
    frames_before: int
    video_bytes: int
    video_bytes_before: int
    index_bytes: int
    unusable_metadata: ChunkRanges
    seconds: float


@dataclass(frozen=True, slots=True)
class EraseResult:
    """What an erasure did.

    :ivar erased: the chunks that were asked for.
    :ivar compacted: what became of the memory.
    :ivar blocks: pieces of 16 bytes of the removed texts and metadata that were looked for: all of them but those that
        chunks that stay contain as well.
    :ivar scanned_bytes: bytes they were looked for in: all files as they are, and all payloads and pages decompressed.
    :ivar checkpoints_removed: checkpoints of interrupted builds, with digests and vectors of texts, which went too.
    :ivar checkpoints_left: files under such a name that could not be removed, or are none: look at them.
    :ivar linked_files: files of the memory that had other names (hard links, as ``cp -al`` makes them): those names
        still hold what was erased.
    :ivar foreign_files: side files under another memory's name, which the index was read from because its own were
        missing: they still hold words of what was erased. See docs/index.md, "Renaming, moving, copying".
    """

    erased: ChunkRanges
    compacted: CompactResult
    blocks: int
    scanned_bytes: int
    checkpoints_removed: tuple[Path, ...] = ()
    checkpoints_left: tuple[Path, ...] = ()
    linked_files: tuple[Path, ...] = ()
    foreign_files: tuple[Path, ...] = ()


@interruptible
def compact(
    video: StrPath,
    index: StrPath | None = None,
    *,
    embedder: EmbedderLike | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> CompactResult:
    """Write the memory anew without its deleted chunks, and its index as one piece. Replaced in one step, at the end.

    Chunks keep their ids. Embeddings are taken from the index; everything else is as in a build, and costs that.
    Readers that are open keep seeing the memory as it was.

    :param video: the video, in memvid's own format.
    :param index: the index's manifest; ``None`` takes ``<stem>_index.json`` beside the video.
    :param embedder: only needed if the index lacks vectors; ``None`` takes its own.
    :param threads: worker threads; ``None`` uses the cores this process may run on.
    :param progress: called from this thread with a :class:`Progress`, a few times a second.
    :raises VideoError: the video cannot be read: then nothing has changed.
    :raises IndexFileError: the index is missing, damaged, or belongs to another video.
    :raises OutputError: someone else is writing this memory, the disk is full, ...
    """
    with _Compaction(video, index, embedder, threads, progress) as compaction:
        return compaction.run(ChunkIds.of([]))


@interruptible
def erase(
    video: StrPath,
    index: StrPath | None = None,
    *,
    chunk_ids: Iterable[int] = (),
    where: Where | None = None,
    embedder: EmbedderLike | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> EraseResult:
    """Compact so that nothing of some chunks is left in the memory's files, and prove it before they are replaced.

    With them goes what was deleted before. The compression dictionary, which holds pieces of the texts it was trained
    on, is trained anew. Then all new files are scanned, as they are and decompressed, for every piece of the removed
    texts and metadata that no chunk that stays contains.

    Checkpoints that interrupted builds have left beside the memory, which hold digests and vectors of texts, are
    removed.

    The proof is about the new files. It says nothing of copies, backups, other names of the old files (hard links,
    which the result lists), open readers, and blocks of the disk that the old files have left.

    :param chunk_ids: the chunks; deleted ones are fine.
    :param where: all chunks whose metadata has these values, deleted ones not among them.
    :raises ChunkNotFoundError: there is no chunk of that id.
    :raises QueryError: ``where`` is no filter.
    :raises ConfigError: neither is given.
    :raises EmptyMemoryError: no chunk would be left.
    :raises FrameError: something is left, and nothing has changed; report it. Otherwise as :func:`compact`.
    """
    given = np.array([check_chunk_id(chunk_id) for chunk_id in chunk_ids], np.int64)
    wanted = ChunkIds.of(given)
    if not wanted and where is None:
        raise ConfigError("nothing to erase: give chunk_ids= or where=")
    with _Compaction(video, index, embedder, threads, progress) as compaction:
        if where is not None:
            wanted |= ChunkIds.of(compaction.index.ids_where(where))
        compaction.check_ids(given)
        gone = compaction.index.deleted | wanted
        proof = Erasure(compaction.texts(gone, removed=True), compaction.texts(gone, removed=False))
        linked, foreign = compaction.linked_files(), compaction.foreign_files()
        result = compaction.run(wanted, proof)
        removed, left = remove_checkpoints(result.video_file, result.index_file)
        return EraseResult(
            erased=compaction.there(wanted).ranges,
            compacted=result,
            blocks=proof.blocks,
            scanned_bytes=proof.scanned,
            checkpoints_removed=removed,
            checkpoints_left=left,
            linked_files=linked,
            foreign_files=foreign,
        )


class _Compaction:
    """One compaction, which holds the memory's lock. A context manager."""

    def __init__(
        self,
        video: StrPath,
        index: StrPath | None,
        embedder: EmbedderLike | None,
        threads: int | None,
        progress: ProgressCallback | None,
    ) -> None:
        self._video_file = Path(video)
        self._index_file = default_index_file(self._video_file) if index is None else Path(index)
        self._given = embedder
        self._threads = threads
        self._progress = progress
        self._removed = 0

    def __enter__(self) -> _Compaction:
        refuse_links(self._video_file, self._index_file)
        VideoReader(self._video_file).close()  # before anything is locked: whether there is something to compact
        with ExitStack() as stack:
            self._commit = stack.enter_context(Commit(self._index_file, video_file=self._video_file))
            self._commit.lock()
            self._video = VideoReader(self._video_file, threads=self._threads)
            stack.callback(self._video.close)
            if self._video.codec != "png":
                raise UnsupportedVideoError(
                    f"{self._video_file} is encoded as {self._video.codec}, and only memvid's own format can be "
                    f"compacted: `memvid export {self._video_file} --codec png -o NEW.mp4`, then that"
                )
            self._store = PageStore(self._video, cache_bytes=0)
            self.index = stack.enter_context(
                IndexManager.open(self._index_file, video=self._video.identity, video_file=self._video_file)
            )
            self._embedder: Embedder = AbsentEmbedder(self.index.model)
            if self._given is not None:
                self._embedder = resolve_embedder(self._given)
                self.index.check_model(model_info(self._embedder))
            self._stack = stack.pop_all()
        return self

    @uninterrupted
    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def linked_files(self) -> tuple[Path, ...]:
        """Files of the memory that have other names."""
        names = [file.name for _, file in self.index.manifest.side_files()]
        files = [self._video_file, self._index_file, *map(self._index_file.with_name, names)]
        return tuple(filter(has_other_names, files))

    def foreign_files(self) -> tuple[Path, ...]:
        """Side files that have not the index's own name."""
        files = self.index.manifest.side_files()
        return tuple(
            self._index_file.with_name(file.name)
            for role, file in files
            if own_name(self._index_file, role, file.name) != file.name
        )

    def there(self, ids: ChunkIds) -> ChunkIds:
        """Those of the ids that the video has."""
        return ids & self._video.table.chunk_ids()

    def check_ids(self, chunk_ids: NDArray[np.int64]) -> None:
        """Refuse ids there are no chunks of, deleted or not."""
        self._video.table.frames_of(chunk_ids)

    def texts(self, ids: ChunkIds, *, removed: bool) -> Iterator[bytes]:
        """Texts and metadata of the chunks that are among the ids, or of all others."""
        for _, record, among in self._records(ids):
            if among == removed:
                yield record.text
                yield record.metadata

    def run(self, erased: ChunkIds, proof: Erasure | None = None) -> CompactResult:
        """Write the memory without what was deleted, and without ``erased``."""
        begin = time.perf_counter()
        table, before = self._video.table, self._video.identity
        gone = self.index.deleted | erased
        with closing(Spool()) as spool:
            bridged = self._fill(spool, gone)
            if not len(spool):
                raise EmptyMemoryError("no chunk would be left: remove the memory's files instead")
            builder = Builder(
                spool,
                self._config(),
                self._embedder,
                self._video_file,
                self._index_file,
                self._progress,
                commit=self._commit,
                deleted=bridged,
                next_chunk=next_chunk(table, self._store.header, self.index.deleted),
                check=None if proof is None else proof.prove,
            )
            result = builder.run()
            kept = len(spool) - len(bridged)
        return CompactResult(
            video_file=self._video_file,
            index_file=self._index_file,
            chunks=kept,
            removed=self._removed,
            frames=result.frames,
            frames_before=before.frames,
            video_bytes=result.video_bytes,
            video_bytes_before=before.bytes,
            index_bytes=result.index_bytes,
            unusable_metadata=builder.unusable_metadata,
            seconds=time.perf_counter() - begin,
        )

    def _config(self) -> EncoderConfig:
        """The options of the memory, from its header page, and of its index."""
        options = self.index.manifest.options
        return replace(
            frame_config(self._store.header, fps=self._video.fps, threads=self._threads),
            vector_dtype=options.vector_dtype,
            connectivity=options.connectivity,
            expansion_add=options.expansion_add,
            expansion_search=options.expansion_search,
            keywords=options.keywords,
        )

    def _fill(self, spool: Spool, gone: ChunkIds) -> ChunkIds:
        """Spool all chunks but those in ``gone``; returns those for which empty ones stand."""
        bridge = 0 if self._store.header.bare or self._store.header.chunks_per_frame else _BRIDGED
        bridged: list[int] = []
        batch: list[Record] = []
        first = 0

        def flush() -> None:
            if not batch:
                return
            spool.skip_to(first)
            with spool.adding() as adder:
                for record in batch:
                    adder.add(record)
                vectors = self.index.stored_vectors(first, len(batch))
                if vectors is not None:
                    adder.add_vectors(vectors)
            batch.clear()

        for chunk_id, record, removed in self._records(gone):
            if removed:
                self._removed += bool(record.text)  # not those for which a compaction left an empty one
                continue
            missing = range(first + len(batch), chunk_id)
            if (len(spool) or batch) and 0 < len(missing) <= bridge:
                bridged += missing
                batch += [Record(b"")] * len(missing)
            elif missing or len(batch) >= _SPOOL_CHUNKS:
                flush()
            if not batch:
                first = chunk_id
            batch.append(record)
        flush()
        return ChunkIds.of(bridged)

    def _records(self, gone: ChunkIds) -> Iterator[tuple[int, Record, bool]]:
        """All chunks of the video, and whether each is among ``gone``.

        :raises FrameError: a frame cannot be read, or a text that is to stay is not UTF-8.
        """
        for frame, page in self._store.scan():
            first = int(self._video.table.first_chunks[frame])
            for slot, removed in enumerate(gone.contains(np.arange(first, first + len(page))).tolist()):
                if not removed:
                    page.text(slot)
                record = Record(page.text_bytes(slot), self._store.metadata_bytes(page, frame, slot))
                yield first + slot, record, removed
