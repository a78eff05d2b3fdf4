"""The index of a memory, made anew from its video."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from memvid.allowance import unpack_allowance
from memvid.building.checkpoint import Checkpoint
from memvid.building.outputs import check_index_output, new_folders
from memvid.building.video_chunks import VideoChunks, fill_index
from memvid.config import EncoderConfig
from memvid.embedding import EmbedderLike, embedder_of, model_info, resolve_embedder
from memvid.errors import IndexFileError, VideoFormatError
from memvid.index import IndexBuilder, IndexManager
from memvid.index.manifest import read_manifest
from memvid.index.updating import unused_files
from memvid.interrupts import interruptible
from memvid.maintenance.verify.missing_chunks import KnownChunks, MissingChunks, known_chunks
from memvid.page import HeaderInfo
from memvid.storage.commit import Commit, default_index_file
from memvid.types import ChunkRanges, ModelInfo, ProgressCallback, StrPath
from memvid.video import PageStore, PageTable, VideoReader

__all__ = ["ReindexResult", "add_frames", "model_of", "reindex"]


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
    :ivar missing: chunks that the video should have and has lost, as far as header page, commits, and the index that
        was there say which; the new index keeps them.
    :ivar unnamed: how many more are missing.
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
    missing: ChunkRanges
    unnamed: int
    unusable_metadata: ChunkRanges
    seconds: float


@interruptible
def reindex(
    video: StrPath,
    index: StrPath | None = None,
    *,
    embedder: EmbedderLike | None = None,
    config: EncoderConfig | None = None,
    progress: ProgressCallback | None = None,
    checkpoint: StrPath | None = None,
    unpacked_bytes: int | None = None,
) -> ReindexResult:
    """Make the whole index from the video alone: vectors, keywords, metadata, frame numbers.

    With the options and the model of the build it has the bytes of the index the build made. Every frame is read and
    verified; nothing is replaced before all of them were. Costs what embedding costs.

    :param video: the video.
    :param index: the index's manifest; ``None`` takes ``<stem>_index.json`` beside the video.
    :param embedder: what makes the embeddings; ``None`` takes the model that the video's header page names. Another one
        than that makes an index of the other model.
    :param config: ``vector_dtype``, ``connectivity``, ``expansion_add``, ``expansion_search`` and ``keywords`` count;
        ``None`` takes those of the index that is replaced if it is this video's, else the defaults.
    :param progress: called from this thread with a :class:`Progress`, a few times a second.
    :param checkpoint: keeps embeddings until the index is complete, as in :meth:`MemvidEncoder.build_video`.
    :param unpacked_bytes: what the video may unpack to, counting 256 bytes for a chunk; ``None``: 64 MiB and 32 times
        its size. Only a file that was made to do harm exceeds that, or a few chunks of many megabytes.
    :raises VideoNotFoundError: there is no such video.
    :raises VideoError: it cannot be opened, or a frame of it cannot be read and verified: repair it first.
    :raises ModelMismatchError: the model that the header page names is not at hand, so it must be given; or the
        checkpoint has embeddings of another one.
    :raises ResourceLimitError: it unpacks to more than ``unpacked_bytes``: then nothing has changed.
    :raises EmbeddingError: the embedder failed.
    :raises OutputError: the folder is read-only, the disk is full, the memory is being built.
    """
    begin = time.perf_counter()
    video_file = Path(video)
    index_file = check_index_output(default_index_file(video_file) if index is None else index, inputs=[video_file])
    VideoReader(video_file).close()  # before anything is locked and staged: whether there is something to index
    with new_folders(index_file), Commit(index_file, video_file=video_file) as commit:
        commit.lock()  # before it is read: an append meanwhile would leave an index of what the video was
        if checkpoint is not None:
            commit.claim(Path(checkpoint))
        reader = VideoReader(video_file)
        try:
            store = PageStore(reader, cache_bytes=0)
            header = store.header
            _check_tag(header, reader)
            store.spend_unpacked(unpack_allowance(video_file, reader.identity.bytes, unpacked_bytes))
            chosen = embedder_of(model_of(header)) if embedder is None else resolve_embedder(embedder)
            model = model_info(chosen)
            options = _options(index_file, reader) if config is None else config
            builder = IndexManager.create(index_file, model=model, config=options, commit=commit)
            try:
                table = reader.table
                with nullcontext() if checkpoint is None else Checkpoint(Path(checkpoint), model) as kept:
                    source = VideoChunks(store, table)
                    indexed = fill_index(source, builder, chosen, total=len(source), checkpoint=kept, progress=progress)
                    add_frames(builder, table)
                    # A video with a page table is whole, be it an old copy; else the index knows what it was.
                    known = KnownChunks() if reader.has_table else known_chunks(index_file, table.tag)
                    added = [info.chunk_ids for _, info in store.history.commits(header)[1:]]
                    deleted = store.deleted | known.deleted
                    missing = MissingChunks.of(table.chunk_ids(), len(table), header, added, deleted, known.ids)
                    staged = builder.stage(reader.identity, deleted=deleted, missing=missing.ids)
                    index_bytes = sum(path.stat().st_size for path in staged)
                    commit.commit(obsolete=partial(unused_files, index_file, builder.manifest))
                    if kept is not None:
                        kept.remove()
            except BaseException:
                builder.abort()
                raise
        finally:
            reader.close()
    return ReindexResult(
        video_file=video_file,
        index_file=index_file,
        chunks=indexed.chunks - len((deleted - store.deleted) & table.chunk_ids()),
        index_bytes=index_bytes,
        model=model,
        embeddings_made=indexed.made,
        embeddings_resumed=indexed.resumed,
        missing=missing.ids.ranges,
        unnamed=missing.unnamed,
        unusable_metadata=indexed.unusable_metadata,
        seconds=time.perf_counter() - begin,
    )


def _check_tag(header: HeaderInfo, reader: VideoReader) -> None:
    """Refuse a header page of another memory than the page table's.

    :raises VideoFormatError: it is.
    """
    if header.tag != reader.table.tag:
        raise VideoFormatError(
            f"the header page of {reader.path} is that of memory {header.tag:08x}, the page table that of "
            f"{reader.table.tag:08x}: frames of two videos were mixed; `memvid repair` sorts them"
        )


def model_of(header: HeaderInfo) -> ModelInfo | None:
    """The embedding model that a header page names, if it names one."""
    return None if header.model is None else ModelInfo(header.model, header.dim or 0, header.model_digest)


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
