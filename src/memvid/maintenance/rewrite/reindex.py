"""The index of a memory, made anew from its video."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from memvid.building.checkpoint import Checkpoint
from memvid.building.index_append import append_movie, has_room
from memvid.building.outputs import check_index_output, new_folders
from memvid.building.shrinking import count_append
from memvid.building.video_chunks import VideoChunks, fill_index
from memvid.config import EncoderConfig, Profile, with_profile
from memvid.embedding import (
    AbsentEmbedder,
    Embedder,
    EmbedderLike,
    check_profile,
    embedder_of,
    model_info,
    resolve_embedder,
)
from memvid.errors import EmptyMemoryError, IndexFileError
from memvid.index import IndexBuilder, IndexManager
from memvid.index.location import find_index, has_traces
from memvid.index.manifest import read_manifest
from memvid.index.updating import find_outer, tidy
from memvid.interrupts import interruptible
from memvid.maintenance.rewrite.kept_vectors import IndexVectors
from memvid.maintenance.rewrite.left_chunks import LeftChunks
from memvid.page import memory_name
from memvid.storage.commit import Commit, default_index_file, is_single
from memvid.types import ChunkRanges, ModelInfo, ProgressCallback, StrPath
from memvid.video import PageTable, VideoReader

__all__ = ["ReindexResult", "add_frames", "choose_place", "reindex"]


@dataclass(frozen=True, slots=True)
class ReindexResult:
    """What a rebuilt index is.

    :ivar video_file: the video it was made from.
    :ivar index_file: its manifest.
    :ivar chunks: chunks in it.
    :ivar index_bytes: size of the manifest and its side files.
    :ivar model: the embedding model.
    :ivar embeddings_made: embeddings the embedder made.
    :ivar embeddings_resumed: embeddings that were in the checkpoint of an interrupted run.
    :ivar embeddings_kept: embeddings taken from the index that was there, of a video that has lost something.
    :ivar missing: chunks that the video should have and has lost, as far as page table, header page, commits, and the
        index that was there say which; the new index remembers them.
    :ivar unnamed: how many more are missing.
    :ivar undeleted: how many chunks were deleted, at least, of which nothing says any more which they are: they are in
        the index again.
    :ivar lost_frames: frames of the video that are lost, as far as that is known, or cannot be read and hold chunks.
    :ivar other_memories: how many frames of the video are of other memories, which were left out, by the first digits
        of the ids of these.
    :ivar lost_metadata: chunks whose metadata, or what it was changed to, is lost: they are in the index without, or
        with what they had before.
    :ivar unusable_metadata: chunks whose metadata cannot be used: it is not in the index, so no filter finds it, and
        stays in the video as it is.
    :ivar seconds: wall time.
    """

    video_file: Path
    index_file: Path
    chunks: int
    index_bytes: int
    model: ModelInfo
    embeddings_made: int
    embeddings_resumed: int
    embeddings_kept: int
    missing: ChunkRanges
    unnamed: int
    undeleted: int
    lost_frames: int
    other_memories: dict[str, int]
    lost_metadata: ChunkRanges
    unusable_metadata: ChunkRanges
    seconds: float

    @property
    def whole(self) -> bool:
        """Whether the video has lost nothing that anybody knows of."""
        return not (self.missing or self.unnamed or self.undeleted or self.lost_metadata or self.lost_frames)


@interruptible
def reindex(
    video: StrPath,
    index: StrPath | None = None,
    *,
    embedder: EmbedderLike | None = None,
    config: EncoderConfig | None = None,
    profile: Profile | None = None,
    progress: ProgressCallback | None = None,
    checkpoint: StrPath | None = None,
    unpacked_bytes: int | None = None,
) -> ReindexResult:
    """Make the whole index from the video alone: vectors, keywords, metadata, frame numbers.

    With the options and the model of the build it has the bytes of the index the build made. Every frame with chunks is
    read and verified; nothing is replaced before all of them were. Costs what embedding costs.

    Of a video that has lost frames it takes what is left, and the result says what is missing. Vectors of that are then
    taken from the index that is there, if it is sound and proven to be this memory's.

    :param video: the video.
    :param index: the index's manifest; ``None`` puts it where there is one, and else inside the video, or beside it as
        ``<stem>_index.json`` if it has no room for one: it is in another codec, or has lost frames.
    :param embedder: what makes the embeddings; ``None`` takes the model that the video's header page names. Another one
        than that makes an index of the other model.
    :param config: ``profile``, ``vector_dtype``, ``connectivity``, ``expansion_add``, ``expansion_search`` and
        ``keywords`` count; ``None`` takes those of the index that is replaced if it is this video's, else the defaults.
    :param profile: that one in place of theirs.
    :param progress: called from this thread with a :class:`Progress`, a few times a second.
    :param checkpoint: keeps embeddings until the index is complete, as in :meth:`MemvidEncoder.build_video`.
    :param unpacked_bytes: what the video may unpack to, counting 256 bytes for a chunk; ``None``: 64 MiB and 32 times
        its size. Only a file that was made to do harm exceeds that, or a few chunks of many megabytes.
    :raises VideoNotFoundError: there is no such video.
    :raises VideoError: it cannot be opened: repair it first.
    :raises EmptyMemoryError: it should have chunks, and none of them can be read: then nothing has changed.
    :raises ModelMismatchError: the model that the header page names is not at hand, so it must be given; or the
        checkpoint has embeddings of another one.
    :raises ResourceLimitError: it unpacks to more than ``unpacked_bytes``: then nothing has changed.
    :raises EmbeddingError: the embedder failed.
    :raises OutputError: the folder is read-only, the disk is full, the memory is being built.
    """
    begin = time.perf_counter()
    video_file = Path(video)
    old_index = find_index(video_file, index)
    index_file = choose_place(video_file, index)  # before anything is locked: whether there is something to index
    if not is_single(index_file, video_file):
        index_file = check_index_output(index_file if index is None else index, inputs=[video_file])
    with new_folders(index_file), Commit(index_file, video_file=video_file) as commit, ExitStack() as stack:
        commit.lock()  # before it is read: an append meanwhile would leave an index of what the video was
        if checkpoint is not None:
            commit.claim(Path(checkpoint))
        reader = VideoReader(video_file)
        stack.callback(reader.close)
        left = LeftChunks.of(reader, old_index, unpacked_bytes)
        options = _options(old_index, reader) if config is None else config
        if profile is not None:
            options = with_profile(options, profile)
        kept = None if left.whole else left.open_vectors(old_index, embedder)
        if kept is not None:
            stack.callback(kept.close)
            if not kept.can_become(options.profile):
                kept = None
        chosen = _choose_embedder(left, kept, embedder)
        model = model_info(chosen)
        check_profile(chosen, options.profile)
        builder = IndexManager.create(
            index_file,
            model=model,
            config=options,
            commit=commit,
            codes_of=None if kept is None else kept.index,
        )
        try:
            table, store = reader.table, left.store
            resumed = None if checkpoint is None else stack.enter_context(Checkpoint(Path(checkpoint), model))
            source = VideoChunks(store, table, left.without, kept, lossy=True)
            total = len(left.ids)
            indexed = fill_index(source, builder, chosen, total=total, checkpoint=resumed, progress=progress)
            missing = left.missing_without(source.lost)
            if missing and not indexed.chunks:
                raise EmptyMemoryError(f"no chunk of {video_file} can be read: restore it from a copy")
            add_frames(builder, table)
            appender = append_movie(commit, video_file, reader, store) if commit.is_single else None
            builder.stage(reader.identity, deleted=left.deleted, missing=missing.ids)
            manifest = builder.manifest
            if appender is not None:
                manifest = count_append(commit, video_file, appender, manifest)
            commit.commit(obsolete=partial(tidy, index_file, manifest, find_outer(index_file)))
            if resumed is not None:
                resumed.remove()
        except BaseException:
            builder.abort()
            raise
    return ReindexResult(
        video_file=video_file,
        index_file=index_file,
        chunks=indexed.chunks,
        index_bytes=manifest.nbytes,
        model=model,
        embeddings_made=indexed.made,
        embeddings_resumed=indexed.resumed,
        embeddings_kept=indexed.chunks - indexed.made - indexed.resumed,
        missing=missing.ids.ranges,
        unnamed=missing.unnamed,
        undeleted=left.undeleted,
        lost_frames=left.lost_frames,
        other_memories={memory_name(tag): frames for tag, frames in reader.others.items()},
        lost_metadata=(source.without_metadata | (left.unchanged & left.ids)).ranges,
        unusable_metadata=indexed.unusable_metadata,
        seconds=time.perf_counter() - begin,
    )


def choose_place(video_file: Path, index: StrPath | None) -> Path:
    """Where a new index of a video goes; see :func:`reindex`.

    :raises VideoError: there is no such video, or it cannot be opened.
    """
    reader = VideoReader(video_file)
    try:
        place = find_index(video_file, index)
        if index is not None:
            return place
        inside = is_single(place, video_file) or not has_traces(place)
        return video_file if inside and has_room(reader) else default_index_file(video_file)
    finally:
        reader.close()


def _choose_embedder(left: LeftChunks, kept: IndexVectors | None, embedder: EmbedderLike | None) -> Embedder:
    """What makes the embeddings.

    :raises ModelMismatchError: some have to be made, and their model is not at hand.
    """
    if embedder is not None:
        return resolve_embedder(embedder)
    if kept is not None and not kept.missing(left.ids):
        return AbsentEmbedder(kept.manifest.model)
    return embedder_of(left.model)


def add_frames(index: IndexBuilder, table: PageTable) -> None:
    """Tell an index the frames of all chunks."""
    starts = np.flatnonzero(table.counts)
    index.add_pages(starts, table.first_chunks[starts], table.counts[starts])


def _options(index_file: Path, reader: VideoReader) -> EncoderConfig:
    """The options of the index that is there, if it is this memory's; else the defaults."""
    try:
        manifest = read_manifest(index_file)
    except IndexFileError:  # missing or damaged, which is why it is made anew
        return EncoderConfig()
    if manifest.video.digest != reader.identity.digest and manifest.video.tag != reader.table.tag:
        return EncoderConfig()
    return manifest.options
