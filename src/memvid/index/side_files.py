"""Opens side files, after checking that they are the ones the manifest means."""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING

import numpy as np

from memvid.errors import IndexFormatError
from memvid.index import digests
from memvid.index.hnsw_file import HnswFileError, check_header, check_links
from memvid.index.manifest import MEND, Manifest, SideFile
from memvid.index.records import RecordReader
from memvid.index.vectors import VectorReader

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_graph", "check_side_file", "open_records", "open_vectors"]


def open_records(path: Path, manifest: Manifest) -> RecordReader:
    """Open the records of the manifest at ``path``.

    :raises IndexFormatError: the file is missing, cut off, damaged, or not what the manifest says.
    """
    side_file = manifest.files["records"]
    check_side_file(path, side_file)
    return RecordReader(path.with_name(side_file.name), count=manifest.vectors.count, keywords=manifest.keywords)


def open_vectors(path: Path, manifest: Manifest, records: RecordReader, *, threads: int | None = None) -> VectorReader:
    """Map the vectors of the manifest at ``path``.

    :raises IndexFormatError: the file is missing, cut off, damaged, or not what the manifest says.
    """
    side_file = manifest.files["vectors"]
    fresh = check_side_file(path, side_file)
    with path.with_name(side_file.name).open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    check_graph(path, manifest, memoryview(mapping), records, links=fresh)
    return VectorReader(mapping, manifest.vectors, threads=threads)


def check_graph(path: Path, manifest: Manifest, data: memoryview, records: RecordReader, *, links: bool) -> None:
    """Check the headers of the mapped vectors, and with ``links`` every node of the graph.

    :raises IndexFormatError: following it could lead out of the file.
    """
    side_file = path.with_name(manifest.files["vectors"].name)
    try:
        check_header(data, manifest.vectors)
        if links:
            check_links(data, manifest.vectors, records.row_map.ids(np.arange(manifest.vectors.count)))
    except HnswFileError as error:
        raise IndexFormatError(f"{side_file} is damaged: {error}: {MEND}") from error


def check_side_file(index_file: Path, expected: SideFile, *, always: bool = False) -> bool:
    """Check size, and the digest where it was not checked before. Returns whether it was hashed now."""
    path = index_file.with_name(expected.name)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size != expected.bytes:
                raise IndexFormatError(
                    f"{path} is cut off or changed: expected {expected.bytes} bytes, found {status.st_size}: {MEND}"
                )
            if not always and digests.is_verified(status, expected.sha256):
                return False
            digest = digests.file_digest(file)
    except OSError as error:
        if isinstance(error, IndexFormatError):
            raise
        raise IndexFormatError(f"{path} cannot be read ({error.strerror}): {MEND}") from error
    if digest != expected.sha256:
        raise IndexFormatError(f"{path} is damaged: SHA-256 expected {expected.sha256}, found {digest}: {MEND}")
    digests.remember_verified(status, digest)
    return True
