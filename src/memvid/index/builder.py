"""Builds the three index files of a memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from memvid._disk import output_errors
from memvid._files import Commit
from memvid.errors import EmbeddingError, EmptyMemoryError
from memvid.index.digests import file_digest, remember_verified
from memvid.index.manifest import Manifest, SideFile, VectorInfo, side_file_name
from memvid.index.record_writer import RecordWriter
from memvid.index.vectors import VectorWriter, check_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from memvid.config import EncoderConfig
    from memvid.types import JsonObject, ModelInfo, VideoIdentity

__all__ = ["IndexBuilder"]


class IndexBuilder:
    """Takes vectors, texts and pages, and stages the index files into a :class:`~memvid._files.Commit`.

    Made by :meth:`IndexManager.create`. Ids rise; each batch may start anywhere above the last. The vectors on one side
    and the records and pages on the other may be added from two threads at a time, which is worth it: both release the
    GIL.
    The same calls give the same bytes, however they are batched.
    """

    def __init__(self, index_file: Path, *, model: ModelInfo, config: EncoderConfig, commit: Commit) -> None:
        self._index_file = index_file
        self._model = model
        self._config = config
        self._commit = commit
        self._next_vector = self._next_record = 0
        self._vectors = VectorWriter(
            dim=model.dim,
            dtype=config.vector_dtype,
            connectivity=config.connectivity,
            expansion_add=config.expansion_add,
        )
        self._staged = {role: commit.stage(index_file.with_name(side_file_name(index_file, role))) for role in _ROLES}
        self._staged_manifest = commit.stage(index_file)
        self._records = RecordWriter(self._staged["records"], keywords=config.keywords)

    @property
    def commit(self) -> Commit:
        """The commit the index files are staged into; stage the video into it too."""
        return self._commit

    def add(self, first_id: int, vectors: Any) -> None:
        """Add float32[n, dim], the vectors of the chunks ``first_id``, ``first_id + 1``, ...

        Costs 0.1-0.4 ms a vector on one thread (more in a larger index), without the GIL.

        :raises EmbeddingError: wrong shape or dtype, NaN, infinity, or ids that do not rise.
        """
        matrix = check_vectors(vectors, self._model.dim)
        self._next_vector = _after(self._next_vector, first_id, len(matrix))
        self._vectors.add(first_id, matrix)

    def add_records(self, first_id: int, texts: Sequence[str], metadatas: Sequence[JsonObject | None]) -> None:
        """Add what can be searched by word and filtered by: the texts' words (not the texts) and the metadata.

        :raises MetadataError: a metadata is not a JSON object.
        :raises OutputError: the disk is full.
        """
        if len(texts) != len(metadatas):
            raise EmbeddingError(f"{len(metadatas)} metadatas for {len(texts)} texts")
        self._next_record = _after(self._next_record, first_id, len(texts))
        self._records.add(first_id, texts, metadatas)

    def add_pages(self, frame_indexes: Any, first_chunks: Any, counts: Any) -> None:
        """Add rows of the page table: integers[m] each, in chunk order. Pages where no chunk starts may be left out."""
        self._records.add_pages(frame_indexes, first_chunks, counts)

    def stage(self, video: VideoIdentity) -> list[Path]:
        """Write all index files under their staged names and return those; nothing counts before the commit.

        :raises EmptyMemoryError: nothing was added.
        :raises EmbeddingError: not as many vectors as texts, or as chunks in the page table.
        :raises OutputError: the disk is full.
        """
        count = len(self._vectors)
        if count == 0:
            raise EmptyMemoryError("there are no chunks: add some before building")
        if not count == len(self._records) == self._records.paged or self._next_vector != self._next_record:
            raise EmbeddingError(
                f"{count} vectors for {len(self._records)} texts in pages of {self._records.paged} chunks in all"
            )
        self._records.finish()
        self._vectors.save(self._staged["vectors"])
        manifest = Manifest(
            video=video,
            model=self._model,
            vectors=VectorInfo(
                dtype=self._config.vector_dtype,
                dim=self._model.dim,
                count=count,
                connectivity=self._config.connectivity,
                expansion_add=self._config.expansion_add,
                expansion_search=self._config.expansion_search,
            ),
            keywords=self._config.keywords,
            files={role: self._side_file(role) for role in _ROLES},
        )
        with output_errors(self._index_file):
            self._staged_manifest.write_bytes(manifest.to_bytes())
        return [*self._staged.values(), self._staged_manifest]

    def abort(self) -> None:
        """Give up: close and remove the staged files. After the commit it does nothing."""
        self._records.close()
        self._commit.abort()

    def _side_file(self, role: str) -> SideFile:
        staged = self._staged[role]
        with output_errors(staged), staged.open("rb") as file:
            os.fsync(file.fileno())  # before mtime is read: some file systems settle it when data reaches the disk
            digest = file_digest(file)
            status = os.fstat(file.fileno())
        remember_verified(status, digest)  # a rename changes none of device, inode, size and mtime
        return SideFile(side_file_name(self._index_file, role), status.st_size, digest)


_ROLES = ("vectors", "records")


def _after(next_id: int, first_id: int, count: int) -> int:
    if first_id < next_id:
        raise EmbeddingError(f"chunk ids must rise: {first_id} comes after {next_id - 1}")
    return first_id + count if count else next_id
