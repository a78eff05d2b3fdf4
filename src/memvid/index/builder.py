"""Builds the files of an index: all of them, or those of one more segment."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from memvid.errors import EmbeddingError, IndexFormatError
from memvid.index.inside import describe, put_inside
from memvid.index.manifest import (
    Manifest,
    Segment,
    SideFile,
    VectorInfo,
    dtype_of,
    new_records_name,
    own_name,
    side_file_name,
)
from memvid.index.record_writer import RecordWriter
from memvid.index.side_files import open_old_records, open_side_file
from memvid.index.vectors import KeptCodes, VectorWriter, check_vectors
from memvid.interrupts import uninterrupted
from memvid.page import ChunkIds, encode_changed_metadata, encode_tombstones
from memvid.pickling import NotPicklable
from memvid.storage.commit import Commit
from memvid.storage.disk import output_errors, staged_name
from memvid.storage.files import open_regular, write_private
from memvid.storage.hard_links import copy_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from memvid.config import EncoderConfig
    from memvid.types import JsonObject, ModelInfo, VideoIdentity

__all__ = ["IndexBuilder", "stage_changes"]


class IndexBuilder(NotPicklable):
    """Takes vectors, texts and pages, and stages the index files into a :class:`~memvid.storage.commit.Commit`.

    Made by :meth:`IndexManager.create`. Ids rise; each batch may start anywhere above the last. The vectors on one side
    and the records and pages on the other may be added from two threads at a time, which is worth it: both release the
    GIL.
    The same calls give the same bytes, however they are batched.

    :param number: of the append whose segment this is, by which its files are named; 0 for a build.
    :param kept: segments of the index there is that stay as they are, in front of this one. Files of them that are not
        under the index's own name, because it was copied, are copied to such names; old records are written as those of
        today are.
    :param changed: the file of changed metadata that stays with them; likewise.
    :param kept_codes: gives the codes of consecutive chunks, by the first id and how many, where they are made already.
    """

    _elsewhere = "it writes files that one process stages and commits"

    def __init__(
        self,
        index_file: Path,
        *,
        model: ModelInfo,
        config: EncoderConfig,
        commit: Commit,
        number: int = 0,
        kept: Sequence[Segment] = (),
        changed: SideFile | None = None,
        kept_codes: Callable[[int, int], KeptCodes | None] | None = None,
    ) -> None:
        self._index_file = index_file
        self._model = model
        self._config = config
        self._commit = commit
        self._number = number
        self._kept_codes = kept_codes
        self._manifest: Manifest | None = None
        self._next_vector = self._next_record = 0
        self._vectors = VectorWriter(
            dim=model.dim,
            dtype=dtype_of(config),
            connectivity=config.connectivity,
            expansion_add=config.expansion_add,
            threads=config.threads,
        )
        self._staged = {role: commit.stage_part(index_file.with_name(self._name(role))) for role in _ROLES}
        if not commit.is_single:
            commit.stage(index_file)
        self._kept = _own_segments(index_file, kept, commit, keywords=config.keywords)
        self._changed = None if changed is None else _own_file(index_file, "metadata", changed, commit)
        self._records = RecordWriter(self._staged["records"], keywords=config.keywords)

    @property
    def commit(self) -> Commit:
        """The commit the index files are staged into; stage the video into it too."""
        return self._commit

    def add(self, first_id: int, vectors: Any) -> None:
        """Add float32[n, dim], the vectors of the chunks ``first_id``, ``first_id + 1``, ...

        Costs about 0.1 ms of processor time a vector (more in a larger index), on all cores and without the GIL.

        :raises EmbeddingError: wrong shape or dtype, NaN, infinity, or ids that do not rise.
        """
        matrix = check_vectors(vectors, self._model.dim)
        self._next_vector = _after(self._next_vector, first_id, len(matrix))
        codes = None if self._kept_codes is None else self._kept_codes(first_id, len(matrix))
        self._vectors.add(first_id, matrix, codes)

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

    def stage(
        self,
        video: VideoIdentity,
        *,
        deleted: ChunkIds | None = None,
        missing: ChunkIds | None = None,
        changed: Mapping[int, bytes] | None = None,
    ) -> list[Path]:
        """Write all index files under their staged names and return those; nothing counts before the commit.

        Where nothing was added there is no new segment.

        :param deleted: all chunks of the memory that were deleted, whether a segment has them or not.
        :param missing: chunks that the video has lost.
        :param changed: stored metadata of chunks in place of what segments have; ``None`` leaves what there is.

        :raises EmbeddingError: not as many vectors as texts, or more than chunks in the page table.
        :raises OutputError: the disk is full.
        """
        count = len(self._vectors)
        if not count == len(self._records) <= self._records.paged or self._next_vector != self._next_record:
            raise EmbeddingError(
                f"{count} vectors for {len(self._records)} texts in pages of {self._records.paged} chunks in all"
            )
        segments = self._kept
        if count:
            self._records.finish()
            self._vectors.save(self._staged["vectors"])
            files = {role: self._side_file(role) for role in _ROLES}
            segments = (*segments, Segment(count, files, self._vectors.copies))
        else:
            self._records.close()
            for role in _ROLES:
                self._commit.drop(self._index_file.with_name(self._name(role)))
            self._staged.clear()
        manifest = Manifest(
            video=video,
            model=self._model,
            vectors=VectorInfo(
                dtype=dtype_of(self._config),
                dim=self._model.dim,
                count=sum(segment.count for segment in segments),
                connectivity=self._config.connectivity,
                expansion_add=self._config.expansion_add,
                expansion_search=self._config.expansion_search,
                copies=sum(segment.copies for segment in segments),
            ),
            keywords=self._config.keywords,
            segments=segments,
            missing=() if missing is None else missing.in_few_runs(_MISSING_RUNS).ranges,
            changed=self._changed,
        )
        self._manifest, staged = _stage_manifest(
            self._index_file, self._commit, manifest, deleted, changed, self._number
        )
        return [*self._staged.values(), *staged]

    @property
    def manifest(self) -> Manifest:
        """What was staged.

        :raises EmbeddingError: nothing was.
        """
        if self._manifest is None:
            raise EmbeddingError("this index has not been staged yet")
        return self._manifest

    @uninterrupted
    def abort(self) -> None:
        """Give up: close and remove the staged files. After the commit it does nothing."""
        self._records.close()
        self._commit.abort()

    def _name(self, role: str) -> str:
        return side_file_name(self._index_file, role, self._number, codes=self._config.profile != "fast")

    def _side_file(self, role: str) -> SideFile:
        return describe(self._staged[role], self._name(role), as_part=self._commit.is_single)


_ROLES = ("vectors", "records")
_MISSING_RUNS = 1000  # that a manifest names: chunks that are there may be among them


def stage_changes(
    index_file: Path,
    manifest: Manifest,
    *,
    video: VideoIdentity,
    deleted: ChunkIds,
    changed: Mapping[int, bytes] | None,
    number: int,
    commit: Commit,
) -> tuple[Manifest, list[Path]]:
    """Stage an index without a new segment: with other deletions, other metadata, and the video that says so.

    :param changed: as for :meth:`IndexBuilder.stage`.
    :param number: of the append that changes them.
    :raises OutputError: the disk is full.
    """
    segments = _own_segments(index_file, manifest.segments, commit, keywords=manifest.keywords)
    own = None if manifest.changed is None else _own_file(index_file, "metadata", manifest.changed, commit)
    if not commit.is_single:
        commit.stage(index_file)
    kept = replace(manifest, video=video, segments=segments, changed=own)
    return _stage_manifest(index_file, commit, kept, deleted, changed, number)


def _own_segments(
    index_file: Path, segments: Sequence[Segment], commit: Commit, *, keywords: bool
) -> tuple[Segment, ...]:
    """The segments, with copies of those of their files that are another index's, going by their names."""

    def own_file(segment: Segment, role: str, file: SideFile) -> SideFile:
        if role == "records" and segment.is_old:
            return _new_records(index_file, segment, commit, keywords=keywords)
        return _own_file(index_file, role, file, commit)

    return tuple(
        replace(
            segment, files={role: own_file(segment, role, file) for role, file in segment.files.items()}, is_old=False
        )
        for segment in segments
    )


def _new_records(index_file: Path, segment: Segment, commit: Commit, *, keywords: bool) -> SideFile:
    """The records of an old segment, as they are written today."""
    from memvid.index import sqlite

    name = new_records_name(index_file, segment.files["records"].name)
    staged = commit.stage(index_file.with_name(name))
    with closing(open_old_records(index_file, segment, keywords=keywords)) as records:
        sqlite.convert(records, staged, keywords=keywords)
    return describe(staged, name)


def _own_file(index_file: Path, role: str, file: SideFile, commit: Commit) -> SideFile:
    name = own_name(index_file, role, file.name)
    if name == file.name or file.at is not None:
        return file
    final = index_file.with_name(name)
    staged = commit.stage(final)
    with open_side_file(index_file, file) as source, output_errors(final), open_regular(source.path) as whole:
        copy_file(whole, staged)
    copy = describe(staged, name)
    if copy != replace(file, name=name):
        raise IndexFormatError(f"{file.file_of(index_file)} is being changed by another process: try again")
    return copy


def _stage_manifest(
    index_file: Path,
    commit: Commit,
    manifest: Manifest,
    deleted: ChunkIds | None,
    changed: Mapping[int, bytes] | None,
    number: int,
) -> tuple[Manifest, list[Path]]:
    """Write the list of deletions and the changed metadata, if there are any, and the manifest, which is staged.

    :param changed: ``None`` leaves the file of it that the manifest names.
    """
    paths = []

    def write(role: str, data: bytes) -> SideFile:
        final = index_file.with_name(side_file_name(index_file, role, number))
        staged = commit.stage_part(final)
        with output_errors(final):
            write_private(staged, data)
        paths.append(staged)
        return describe(staged, final.name, as_part=commit.is_single)

    if deleted:
        manifest = replace(manifest, deleted=write("deleted", encode_tombstones(deleted)))
    if changed:
        manifest = replace(manifest, changed=write("metadata", encode_changed_metadata(sorted(changed.items()))))
    if commit.is_single:
        return put_inside(index_file, commit.body, manifest), paths
    staged = staged_name(index_file)
    with output_errors(index_file):
        write_private(staged, manifest.to_bytes())
    return manifest, [*paths, staged]


def _after(next_id: int, first_id: int, count: int) -> int:
    if first_id < next_id:
        raise EmbeddingError(f"chunk ids must rise: {first_id} comes after {next_id - 1}")
    return first_id + count if count else next_id
