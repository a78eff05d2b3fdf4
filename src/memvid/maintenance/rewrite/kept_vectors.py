"""Vectors of an old index, for chunks that are proven to be those that it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid.errors import IndexFormatError, MemvidError
from memvid.index import IndexManager, Manifest
from memvid.index.keywords import length_code, query_terms
from memvid.page import ChangedMetadata, ChunkIds, RecordPage

__all__ = ["IndexVectors", "open_vectors"]


class IndexVectors:
    """The rows of an index by chunk id."""

    def __init__(self, index: IndexManager) -> None:
        self._index = index
        self._ids = index.ids

    @property
    def index(self) -> IndexManager:
        """The index."""
        return self._index

    def can_become(self, profile: str) -> bool:
        """Whether its vectors say as much of the texts as those of a profile do."""
        own = self.manifest.vectors.profile
        return own in ("fast", profile)

    @property
    def manifest(self) -> Manifest:
        """That of the index."""
        return self._index.manifest

    @property
    def deleted(self) -> ChunkIds:
        """The chunks that it says were deleted."""
        return self._index.deleted

    @property
    def changed(self) -> ChangedMetadata:
        """Metadata that was changed after its chunks were indexed."""
        return self._index.changed

    def rows(self, first_chunk: int, count: int) -> NDArray[np.float32] | None:
        """float32[count, dim] of consecutive chunks, NaN for those that are not in the index; not of length 1."""
        return self._index.stored_vectors(first_chunk, count)

    @property
    def chunks(self) -> ChunkIds:
        """Ids of the chunks in the index."""
        return self._index.chunk_ids

    @property
    def every(self) -> ChunkIds:
        """The same, and those that were deleted."""
        return self.chunks | self.deleted

    def frame_of(self, chunk: int) -> int:
        """The frame in which a chunk of the index starts."""
        return int(self._index.frames_of([chunk])[0])

    def chunks_like(self, text: bytes) -> tuple[int, ...]:
        """Chunks with all words of a text, and as long: nearly always it is that of one alone."""
        code = length_code(text.count(b" "))
        ids = self._index.ids_with_words(text.decode("utf-8", "replace"))
        return tuple(ids[self._index.length_codes(ids) == code].tolist())

    def contradicts(self, chunk: int, text: bytes) -> bool:
        """Whether a text cannot be that of a chunk, by its words, or by those that the chunk has."""
        likely = self.chunks_like(text)
        if likely:
            return chunk not in likely
        has_words = self.manifest.keywords and bool(query_terms(text.decode("utf-8", "replace")))
        return has_words and bool(self.chunks & ChunkIds.of([chunk]))

    def missing(self, chunks: ChunkIds) -> int:
        """How many of the chunks are not in the index."""
        return len(chunks - self.chunks)

    def is_of(self, tag: int) -> bool | None:
        """Whether it is an index of this memory, in whatever state; ``None`` if it does not say."""
        known = self.manifest.video.tag
        return None if known is None else known == tag

    def fits(self, frame: int, first_chunk: int, page: RecordPage, metadatas: list[bytes], tag: int) -> bool:
        """Whether chunks that were read from the video are those that the index knows by their ids.

        By frame and length, and by metadata if it does not say that it is of this memory: pages of metadata may be
        lost. Chunks that it does not know do not speak against it.

        :param metadatas: as they are stored; not looked at if the index says that it is of this memory.
        """
        ids = np.arange(first_chunk, first_chunk + len(page))
        known = np.flatnonzero(np.isin(ids, self._ids))
        if not len(known):
            return True
        codes = self._index.length_codes(ids[known])
        try:
            return (
                bool((self._index.frames_of(ids[known]) == frame).all())
                and [length_code(page.text_bytes(slot).count(b" ")) for slot in known.tolist()] == codes.tolist()
                and (
                    self.is_of(tag) or self._index.keeps_metadata(ids[known], [metadatas[at] for at in known.tolist()])
                )
            )
        except IndexFormatError:  # what it says of them cannot even be read
            return False

    def close(self) -> None:
        """Let go of the files."""
        self._index.close()


def open_vectors(index_file: Path) -> IndexVectors | None:
    """The vectors of an index whose files are all sound; ``None`` if one is missing or damaged."""
    try:
        index = IndexManager.open(index_file)
    except MemvidError:
        return None
    try:
        index.verify()
    except MemvidError:
        index.close()
        return None
    return IndexVectors(index)
