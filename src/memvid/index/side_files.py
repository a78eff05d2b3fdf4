"""Opens side files, after checking that they are the ones the manifest means."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from memvid.errors import FrameError, IndexFormatError, MemvidError, VideoFormatError
from memvid.index import digests
from memvid.index.changed_records import ChangedRecords
from memvid.index.hnsw_file import HnswFileError, check_header, check_links, check_numbers
from memvid.index.manifest import MEND, Manifest, Segment, SideFile, VectorInfo
from memvid.index.open_file import OpenFile
from memvid.index.postings import Postings
from memvid.index.record_file import RecordFile
from memvid.index.segment_records import PageMetadata, RowWords, SegmentRecords
from memvid.index.segment_vectors import Vectors
from memvid.index.segments import Records
from memvid.index.vectors import CODE_BITS, VectorReader, check_codes
from memvid.page import ChunkIds, decode_tombstones
from memvid.storage.files import open_regular
from memvid.storage.lfs_pointer import LFS_REMEDY, POINTER_BYTES, is_lfs_pointer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from memvid.index.sqlite import SqliteRecords

__all__ = [
    "check_complete",
    "check_graph",
    "check_side_file",
    "open_old_records",
    "open_records",
    "open_side_file",
    "open_vectors",
    "read_deleted",
]


def check_complete(path: Path, manifest: Manifest) -> None:
    """Check that no side file of the manifest at ``path`` is missing.

    :raises IndexFormatError: some are; names all of them.
    """
    files = [file.file_of(path) for _, file in manifest.side_files()]
    missing = [str(file) for file in files if not os.path.lexists(file)]
    if missing:
        raise IndexFormatError(_missing(missing))


def open_records(path: Path, manifest: Manifest, *, always: bool = False) -> Records:
    """Open the records of the manifest at ``path``.

    :param always: hash the files in full, though this machine has checked them before.
    :raises IndexFormatError: a file is missing, cut off, damaged, or not what the manifest says.
    """
    deleted = read_deleted(path, manifest)
    changed = _read_changed(path, manifest, always=always)
    page_metadata = PageMetadata(deleted | ChunkIds.of(changed.ids))
    parts: list[SegmentRecords] = []
    try:
        for segment in manifest.segments:
            if segment.is_old:
                parts.append(open_old_records(path, segment, keywords=manifest.keywords, always=always))
            else:
                parts.append(_open_part(path, segment, manifest.keywords, page_metadata, always=always))
            if len(parts) > 1 and parts[-1].row_map.start < parts[-2].row_map.end:
                raise IndexFormatError(f"{parts[-1].path} has chunks of another segment: {MEND}")
    except BaseException:
        for part in parts:
            part.close()
        raise
    return Records(parts, deleted, changed, page_metadata, partial(_words, path, parts) if manifest.keywords else None)


def open_old_records(path: Path, segment: Segment, *, keywords: bool, always: bool = False) -> SqliteRecords:
    """Open the records of a segment that are a SQLite file.

    :raises IndexFormatError: it is missing, cut off, damaged, or not what the manifest says.
    """
    from memvid.index.sqlite import SqliteRecords

    side_file = segment.files["records"]
    with open_side_file(path, side_file) as file:
        _check_file(file, side_file, always=always)
    return SqliteRecords(file, count=segment.count, keywords=keywords)


def _open_part(path: Path, segment: Segment, keywords: bool, metadata: PageMetadata, *, always: bool) -> RecordFile:
    side_file = segment.files["records"]
    with open_side_file(path, side_file) as file:  # what is checked is what is mapped
        fresh = _check_file(file, side_file, always=always)
        data = file.load()
    part = RecordFile(file, data, count=segment.count, keywords=keywords, metadata=metadata)
    if fresh:
        part.verify()
    return part


def _words(path: Path, parts: Sequence[SegmentRecords]) -> RowWords:
    """The words of all segments, which are all old ones or all of today."""
    today = [part for part in parts if isinstance(part, RecordFile)]
    if len(today) == len(parts):
        return Postings([(part.words, part.length_codes) for part in today], today[0].path if len(today) == 1 else path)
    from memvid.index.sqlite import SqliteRecords, SqliteWords

    return SqliteWords([part for part in parts if isinstance(part, SqliteRecords)])


def open_vectors(path: Path, manifest: Manifest, records: Records, *, threads: int | None = None) -> Vectors:
    """The vectors of the manifest at ``path``: mapped, but for small files, which are loaded.

    :raises IndexFormatError: a file is missing, cut off, damaged, or not what the manifest says.
    """
    parts = []
    for segment, part in zip(manifest.segments, records.parts, strict=True):
        side_file = segment.files["vectors"]
        with open_side_file(path, side_file) as file:  # what is checked is what is mapped
            fresh = _check_file(file, side_file, always=False)
            data = file.load()
        check_graph(path, manifest, segment, memoryview(data), part, links=fresh)
        parts.append(VectorReader(file, data, _vectors_of(manifest, segment), threads=threads))
    return Vectors(parts)


def _vectors_of(manifest: Manifest, segment: Segment) -> VectorInfo:
    return replace(manifest.vectors, count=segment.count, copies=segment.copies)


def read_deleted(path: Path, manifest: Manifest) -> ChunkIds:
    """The deleted chunks of the manifest at ``path``. The file is hashed each time: it is small.

    :raises IndexFormatError: it is missing, cut off or damaged.
    """
    side_file = manifest.deleted
    if side_file is None:
        return ChunkIds.of([])
    with open_side_file(path, side_file) as file:
        _check_file(file, side_file, always=True)
        data = file.read(0, file.nbytes)
    try:
        return decode_tombstones(data)
    except FrameError as error:
        raise IndexFormatError(f"{file.path} is no list of deleted chunks: {MEND}") from error


def _read_changed(path: Path, manifest: Manifest, *, always: bool) -> ChangedRecords:
    side_file = manifest.changed
    if side_file is None:
        return ChangedRecords(path)
    with open_side_file(path, side_file) as file:
        _check_file(file, side_file, always=always)
        return ChangedRecords(file.path, file.read(0, file.nbytes))


def check_graph(
    path: Path, manifest: Manifest, segment: Segment, data: memoryview, records: SegmentRecords, *, links: bool
) -> None:
    """Check the headers of a segment's mapped vectors, and with ``links`` every node of the graph and every vector.

    :raises IndexFormatError: following it could lead out of the file, or a vector is none.
    """
    side_file = segment.files["vectors"].file_of(path)
    info = _vectors_of(manifest, segment)
    try:
        if info.dtype in CODE_BITS:
            check_codes(data, info, links=links)
            return
        check_header(data, info)
        if links:
            check_numbers(data, info)
            check_links(data, info, records.row_map.ids(np.arange(segment.count)))
    except (HnswFileError, VideoFormatError) as error:
        raise IndexFormatError(f"{side_file} is damaged: {error}: {MEND}") from error


def check_side_file(index_file: Path, expected: SideFile, *, always: bool = False) -> bool:
    """Check size, and the digest where it was not checked before. Returns whether it was hashed now."""
    with open_side_file(index_file, expected) as file:
        return _check_file(file, expected, always=always)


@contextmanager
def open_side_file(index_file: Path, side_file: SideFile) -> Iterator[OpenFile]:
    """A side file of the manifest at ``index_file``, open for reading. It may be used when the context has ended.

    :raises IndexFormatError: it is missing or cannot be read.
    """
    path = side_file.file_of(index_file)
    try:
        with open_regular(path) as file:
            yield OpenFile(path, file, offset=side_file.at, nbytes=side_file.bytes, manifest=side_file.inside)
    except MemvidError:
        raise
    except FileNotFoundError as error:
        raise IndexFormatError(_missing([str(path)])) from error
    except OSError as error:
        if error.errno == errno.ENOMEM:  # of the mapping: the file has no fault
            raise MemoryError(f"{path} cannot be mapped") from error
        raise IndexFormatError(f"{path} cannot be read ({error.strerror}): {MEND}") from error


def _missing(paths: list[str]) -> str:
    verb = "are" if len(paths) > 1 else "is"
    return f"{' and '.join(paths)} {verb} missing: copy what belongs to the memory along with its video, or {MEND}"


def _check_file(file: OpenFile, expected: SideFile, *, always: bool) -> bool:
    _check_size(file, expected)
    if not always and digests.is_verified(file, expected.digest):
        return False
    digest = digests.digest_of(file)
    if digest != expected.digest:
        raise IndexFormatError(f"{file.path} is damaged: SHA-256 expected {expected.digest}, found {digest}: {MEND}")
    digests.remember_verified(file, digest)
    return True


def _check_size(file: OpenFile, expected: SideFile) -> None:
    size = file.status.st_size
    if size == expected.bytes if expected.at is None else size >= expected.at + expected.bytes:
        return
    with open_regular(file.path) as whole:
        if is_lfs_pointer(whole.read(POINTER_BYTES)):
            raise IndexFormatError(f"{file.path} {LFS_REMEDY}")
    needed = expected.bytes + (expected.at or 0)
    raise IndexFormatError(f"{file.path} is cut off or changed: expected {needed} bytes, found {size}: {MEND}")
