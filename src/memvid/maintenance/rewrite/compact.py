"""A memory without the chunks that were deleted from it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid.allowance import unpack_allowance
from memvid.building.append import frame_config, next_chunk
from memvid.building.build import Builder
from memvid.building.spool import Spool
from memvid.config import EncoderConfig, Profile, with_profile
from memvid.embedding import AbsentEmbedder, Embedder, EmbedderLike, model_info, resolve_embedder
from memvid.errors import ConfigError, IndexFileError, UnsupportedVideoError
from memvid.index import IndexManager
from memvid.index.location import find_index
from memvid.index.manifest import own_name, read_manifest
from memvid.index.updating import OuterIndex
from memvid.interrupts import interruptible, uninterrupted
from memvid.maintenance.rewrite.erasure_proof import Erasure
from memvid.page import ChunkIds, ChunkRanges, Record
from memvid.storage.commit import Commit, default_index_file, refuse_links
from memvid.storage.hard_links import has_other_names
from memvid.types import ProgressCallback, StrPath
from memvid.video import PageStore, VideoReader

__all__ = ["CompactResult", "Compaction", "compact"]


_BRIDGED = 64
"""Deleted ids in a row, up to so many, stay in a page as empty chunks: ids of a page have no gaps, and a page that
ended at each deleted chunk would be nearly empty. They are still listed as deleted."""

_SPOOL_CHUNKS, _SPOOL_BYTES = 1024, 8 << 20  # read and spooled at once


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


@interruptible
def compact(
    video: StrPath,
    index: StrPath | None = None,
    *,
    embedder: EmbedderLike | None = None,
    profile: Profile | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
    unpacked_bytes: int | None = None,
) -> CompactResult:
    """Write the memory anew without its deleted chunks, and its index as one piece. Replaced in one step, at the end.

    Chunks keep their ids. Embeddings are taken from the index; everything else is as in a build, and costs that.
    Readers that are open keep seeing the memory as it was.

    :param video: the video, in memvid's own format.
    :param index: the index's manifest; ``None`` takes the one inside the video, or ``<stem>_index.json`` beside it.
    :param embedder: only needed if the index lacks vectors; ``None`` takes its own.
    :param profile: of the new index (docs/profiles.md); ``None`` keeps the memory's. From ``"fast"`` to another one
        takes no embedding.
    :param threads: worker threads; ``None`` uses the cores this process may run on.
    :param progress: called from this thread with a :class:`Progress`, a few times a second.
    :param unpacked_bytes: what the video may unpack to, counting 256 bytes for a chunk; ``None``: 64 MiB and 32 times
        its size. Only a file that was made to do harm exceeds that, or a few chunks of many megabytes.
    :raises ConfigError: the index has codes, of which no other profile can be made: reindex it.
    :raises ResourceLimitError: it unpacks to more than ``unpacked_bytes``: then nothing has changed.
    :raises VideoError: the video cannot be read: then nothing has changed.
    :raises IndexFileError: the index is missing, damaged, or belongs to another video.
    :raises OutputError: someone else is writing this memory, the disk is full, ...
    """
    with Compaction(video, index, embedder, threads, progress, unpacked_bytes) as compaction:
        return compaction.run(ChunkIds.of([]), profile=profile)


class Compaction:
    """One compaction, which holds the memory's lock. A context manager."""

    def __init__(
        self,
        video: StrPath,
        index: StrPath | None,
        embedder: EmbedderLike | None,
        threads: int | None,
        progress: ProgressCallback | None,
        unpacked_bytes: int | None,
    ) -> None:
        self._video_file = Path(video)
        self._index_file = find_index(self._video_file, index)
        self._given = embedder
        self._threads = threads
        self._progress = progress
        self._unpacked_bytes = unpacked_bytes
        self._removed = 0

    def __enter__(self) -> Compaction:
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
            self._compressed = self._store.spend_unpacked(
                unpack_allowance(self._video_file, self._video.identity.bytes, self._unpacked_bytes)
            )
            self.index = stack.enter_context(
                IndexManager.open(self._index_file, video=self._video.identity, video_file=self._video_file)
            )
            self.index.read_metadata_by(self._store.metadata_of)
            self._embedder: Embedder = AbsentEmbedder(self.index.model)
            if self._given is not None:
                self._embedder = resolve_embedder(self._given)
                self.index.check_model(model_info(self._embedder))
            self._stack = stack.pop_all()
        return self

    @uninterrupted
    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def index_beside(self) -> OuterIndex | None:
        """An index of any state of this memory that was left beside the video, which has it inside."""
        if not self._commit.is_single:
            return None
        beside = default_index_file(self._video_file)
        try:
            manifest = read_manifest(beside)
        except IndexFileError:  # there is none
            return None
        return OuterIndex(beside, manifest) if manifest.video.tag == self._video.table.tag else None

    def linked_files(self) -> tuple[Path, ...]:
        """Files of the memory that have other names."""
        side_files = (file.file_of(self._index_file) for _, file in self.index.manifest.side_files())
        files = dict.fromkeys((self._video_file, self._index_file, *side_files))
        return tuple(filter(has_other_names, files))

    def foreign_files(self) -> tuple[Path, ...]:
        """Side files that have not the index's own name."""
        files = self.index.manifest.side_files()
        return tuple(
            file.file_of(self._index_file)
            for role, file in files
            if own_name(self._index_file, role, file.name) != file.name
        )

    def there(self, ids: ChunkIds) -> ChunkIds:
        """Those of the ids that the video has."""
        return ids & self._video.table.chunk_ids()

    def check_ids(self, chunk_ids: NDArray[np.int64]) -> None:
        """Refuse ids there are no chunks of, deleted or not."""
        self._video.table.frames_of(chunk_ids)

    def records(self, ids: ChunkIds, *, removed: bool) -> Iterator[tuple[int, Record]]:
        """The chunks that are among the ids, or all others."""
        for chunk_id, record, among in self._records(ids):
            if among == removed:
                yield chunk_id, record

    def former_metadata(self) -> Iterator[bytes]:
        """All metadata that chunks had before it was changed, and what came in between."""
        changed = self._store.changed
        if not changed:
            return
        for frame, page in self._store.scan():
            first = int(self._video.table.first_chunks[frame])
            for slot in np.flatnonzero(changed.latest.chunks.contains(np.arange(first, first + len(page)))).tolist():
                yield self._store.first_metadata(page, frame, slot)
        for part in self._store.history.all_changed():
            yield from (data for _, data in part.items())

    @property
    def title(self) -> str | None:
        """What the memory is called."""
        return self._store.header.title

    def run(
        self,
        erased: ChunkIds,
        proof: Erasure | None = None,
        *,
        untitled: bool = False,
        profile: Profile | None = None,
    ) -> CompactResult:
        """Write the memory without what was deleted, and without ``erased``.

        :param untitled: leave its title out, too.
        :param profile: of the new index; ``None`` is that of the old one.
        """
        begin = time.perf_counter()
        table, before = self._video.table, self._video.identity
        gone = self.index.deleted | erased
        with closing(Spool()) as spool:
            bridged = self._fill(spool, gone)
            builder = Builder(
                spool,
                self._config(untitled=untitled, profile=profile),
                self._embedder,
                self._video_file,
                self._index_file,
                self._progress,
                commit=self._commit,
                deleted=bridged,
                next_chunk=next_chunk(table, self._store.header, self.index.deleted | self.index.missing),
                check=None if proof is None else proof.prove,
                codes_of=self.index,
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

    def _config(self, *, untitled: bool, profile: Profile | None) -> EncoderConfig:
        """The options of the memory, from its header page, and of its index."""
        options = self.index.manifest.options
        if profile is not None and options.profile not in ("fast", profile):
            raise ConfigError(
                f"profile={profile!r} is not possible: codes of profile {options.profile!r} say too little of the "
                f"texts, which have to be embedded again: `memvid reindex {self._video_file} --profile {profile}`"
            )
        options = with_profile(options, profile or options.profile)
        made_with = frame_config(self._store.header, fps=self._video.fps, threads=self._threads)
        return replace(
            made_with,
            title=None if untitled else made_with.title,
            # As its pages are, whatever the header page says: kilobytes are not to become gigabytes.
            compression="zstd" if self._compressed else made_with.compression,
            profile=options.profile,
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
        first = size = 0

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
            elif missing or len(batch) >= _SPOOL_CHUNKS or size >= _SPOOL_BYTES:
                flush()
            if not batch:
                first, size = chunk_id, 0
            batch.append(record)
            size += len(record.text) + len(record.metadata)
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
                    page.check_text(slot)
                record = Record(page.text_bytes(slot), self._store.metadata_bytes(page, frame, slot))
                yield first + slot, record, removed
