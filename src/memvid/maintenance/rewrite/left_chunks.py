"""What is left of a memory's chunks, and which are missing, as far as video and index say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memvid.allowance import unpack_allowance
from memvid.embedding import EmbedderLike, model_info, resolve_embedder
from memvid.errors import FrameError, IndexFileError, VideoFormatError
from memvid.index.known_chunks import KnownChunks, known_chunks
from memvid.index.manifest import read_manifest
from memvid.maintenance.rewrite.kept_vectors import IndexVectors, open_vectors
from memvid.maintenance.verify.missing_chunks import MissingChunks
from memvid.page import ChunkIds, HeaderInfo, memory_name
from memvid.types import ModelInfo
from memvid.video import BARE, PageStore, VideoReader

__all__ = ["LeftChunks", "model_of"]


def model_of(header: HeaderInfo) -> ModelInfo | None:
    """The embedding model that a header page names, if it names one."""
    return None if header.model is None else ModelInfo(header.model, header.dim or 0, header.model_digest)


@dataclass(slots=True, eq=False)
class LeftChunks:
    """The chunks of a video, of which an index is to be made.

    :ivar store: reads them.
    :ivar header: the header page, if it can be read.
    :ivar model: the embedding model that it names; without it, that of the index that is there.
    :ivar deleted: chunks that were deleted.
    :ivar undeleted: how many more were, at least.
    :ivar unreadable: chunks of frames that cannot be read, or that hold the text of another chunk.
    :ivar unchanged: chunks whose changed metadata is lost, as the index knows: they have what they had before.
    :ivar lost_frames: how many frames are lost, or hold chunks and cannot be read.
    """

    store: PageStore
    header: HeaderInfo | None
    model: ModelInfo | None
    deleted: ChunkIds
    undeleted: int
    unreadable: ChunkIds
    unchanged: ChunkIds
    lost_frames: int
    _video: VideoReader
    _known: KnownChunks

    @classmethod
    def of(cls, video: VideoReader, index_file: Path, unpacked_bytes: int | None) -> LeftChunks:
        """Look at all frames that hold chunks.

        :raises VideoFormatError: the header page is that of another memory.
        :raises ResourceLimitError: they unpack to more than ``unpacked_bytes``.
        """
        store, table = PageStore(video, cache_bytes=0), video.table
        header = _read_header(store, video)
        store.spend_unpacked(unpack_allowance(Path(video.path), video.identity.bytes, unpacked_bytes))
        known = known_chunks(index_file, table.tag)
        if video.has_table and known.digest != video.identity.digest:
            known = KnownChunks()  # it knows another state: perhaps what was deleted since is to be there again
        told = store.history.deletions_left(0, len(table))
        more = known.deleted - told.ids if told.lost or not video.has_table else ChunkIds.of([])
        lost = np.union1d(store.unreadable(), video.lost_frames)
        unreadable = table.chunks_in(lost)
        if not video.has_table and known.digest not in (None, video.identity.digest):
            unreadable |= _misplaced(video, index_file)
        return cls(
            store=store,
            header=header,
            model=_model_of_index(index_file, table.tag) if header is None else model_of(header),
            deleted=told.ids | more,
            undeleted=max(told.lost - len(more), 0),
            unreadable=unreadable,
            unchanged=ChunkIds.of([]) if video.has_table else _not_changed(store, known),
            lost_frames=len(lost) + (0 if video.has_table else max(known.frames - len(table), 0)),
            _video=video,
            _known=known,
        )

    @property
    def without(self) -> ChunkIds:
        """Those that are not for the index."""
        return self.deleted | self.unreadable

    @property
    def ids(self) -> ChunkIds:
        """Those that are."""
        return self._video.table.chunk_ids() - self.without

    @property
    def whole(self) -> bool:
        """Whether nothing is missing that anybody knows of."""
        return not (self.lost_frames or self.undeleted or self.missing_without(ChunkIds.of([])))

    def missing_without(self, lost: ChunkIds) -> MissingChunks:
        """The chunks that should be there and are not.

        :param lost: those that, after all, cannot be read.
        """
        table = self._video.table
        added = [info.chunk_ids for _, info in self.store.history.commits_left()]
        claimed = self._known.there | self._known.missing | table.chunk_ids()
        return MissingChunks.of(self.ids - lost, len(table), self.header, added, self.deleted, claimed)

    def open_vectors(self, index_file: Path, embedder: EmbedderLike | None) -> IndexVectors | None:
        """The vectors of an index that is sound, of the model that is wanted, and proven to be that of these chunks."""
        kept = open_vectors(index_file)
        if kept is not None and not self._is_of(kept, embedder):
            kept.close()
            return None
        return kept

    def _is_of(self, kept: IndexVectors, embedder: EmbedderLike | None) -> bool:
        wanted = self.model if embedder is None else model_info(resolve_embedder(embedder))
        if kept.manifest.model != wanted:
            return False
        if kept.manifest.video.digest == self._video.identity.digest:
            return True
        tag, table = self._video.table.tag, self._video.table
        pages = self.store.scan_chunks(without=self.without, lost=[])
        return kept.is_of(tag) is True and all(
            kept.fits(frame, int(table.first_chunks[frame]), page, [], tag) for frame, page in pages
        )


def _not_changed(store: PageStore, known: KnownChunks) -> ChunkIds:
    """Chunks whose metadata an index has as changed, and the video, by pages that can all be read, otherwise."""
    if store.changed.lost is not None:
        return ChunkIds.of([])
    there = store.changed.latest
    return ChunkIds.of(chunk for chunk, data in known.changed.items() if there.get(chunk) != data)


def _read_header(store: PageStore, video: VideoReader) -> HeaderInfo | None:
    """The header page, if it can be read.

    :raises VideoFormatError: it is that of another memory than the page table's.
    """
    try:
        header = store.header
    except FrameError:
        return None
    if header.tag != video.table.tag:
        raise VideoFormatError(
            f"the header page of {video.path} is that of memory {memory_name(header.tag)}, the page table that "
            f"of {memory_name(video.table.tag)}: frames of two videos were mixed; `memvid repair` sorts them"
        )
    return header


def _misplaced(video: VideoReader, index_file: Path) -> ChunkIds:
    """Of bare texts, which nothing numbers, those that by their words are other chunks, as a sound index knows them."""
    frames = video.table.frames_of_kind(BARE)
    kept = open_vectors(index_file) if len(frames) else None
    if kept is None:
        return ChunkIds.of([])
    try:
        ids = video.table.first_chunks[frames]
        left = video.read_in_turn(frames, left=True)
        texts = [(chunk, text) for chunk, (_, text) in zip(ids.tolist(), left, strict=True) if text is not None]
        return ChunkIds.of(chunk for chunk, text in texts if kept.contradicts(chunk, text))
    finally:
        kept.close()


def _model_of_index(index_file: Path, tag: int) -> ModelInfo | None:
    """The model that an index names, if it is one of this memory."""
    try:
        manifest = read_manifest(index_file)
    except IndexFileError:
        return None
    return manifest.model if manifest.video.tag == tag else None
