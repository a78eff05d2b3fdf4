"""Vectors of an old index, for chunks that are proven to be those that it was made of."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid.errors import MemvidError
from memvid.index.hnsw_file import MATRIX_OFFSET, NUMPY_DTYPES
from memvid.index.keywords import length_code
from memvid.index.manifest import Manifest, read_manifest
from memvid.index.records import RecordReader
from memvid.index.side_files import check_side_file
from memvid.page import RecordPage
from memvid.types import JsonObject

__all__ = ["IndexVectors", "open_vectors"]


class IndexVectors:
    """The rows of an index by chunk id."""

    def __init__(self, manifest: Manifest, records: RecordReader, matrix: NDArray[np.generic]) -> None:
        self.manifest = manifest
        self._records = records
        self._matrix = matrix

    def rows(self, first_chunk: int, count: int) -> NDArray[np.float32] | None:
        """float32[count, dim] of consecutive chunks, NaN for those that are not in the index; not of length 1."""
        rows = self._records.row_map.rows(np.arange(first_chunk, first_chunk + count))
        known = rows >= 0
        if not known.any():
            return None
        vectors = np.full((count, self._matrix.shape[1]), np.nan, np.float32)
        vectors[known] = self._matrix[rows[known]].astype(np.float32)
        return vectors

    def chunks(self) -> list[int]:
        """Ids of the chunks in the index."""
        return self._records.row_map.ids(np.arange(len(self._records.row_map))).tolist()  # type: ignore[no-any-return]

    def missing(self, chunks: Collection[int]) -> int:
        """How many of the chunks are not in the index."""
        return int(np.count_nonzero(self._records.row_map.rows(np.fromiter(chunks, np.int64)) < 0))

    def fits(self, frame: int, first_chunk: int, page: RecordPage, metadatas: list[JsonObject]) -> bool:
        """Whether chunks that were read from the video are those that the index knows by their ids.

        By frame, length and metadata; chunks that it does not know do not speak against it.
        """
        ids = np.arange(first_chunk, first_chunk + len(page))
        rows = self._records.row_map.rows(ids)
        known = np.flatnonzero(rows >= 0)
        if not len(known):
            return True
        codes = self._records.length_codes[rows[known]]
        return (
            bool((self._records.frames_of(ids[known]) == frame).all())
            and [length_code(page.text(slot)) for slot in known.tolist()] == codes.tolist()
            and self._records.metadata(ids[known]) == [metadatas[slot] for slot in known.tolist()]
        )

    def close(self) -> None:
        """Let go of the files."""
        self._records.close()


def open_vectors(index_file: Path) -> IndexVectors | None:
    """The vectors of an index whose files are all sound; ``None`` if one is missing or damaged."""
    try:
        manifest = read_manifest(index_file)
        for side_file in manifest.files.values():
            check_side_file(index_file, side_file, always=True)
        info = manifest.vectors
        records = RecordReader(
            index_file.with_name(manifest.files["records"].name), count=info.count, keywords=manifest.keywords
        )
    except MemvidError:
        return None
    matrix: NDArray[np.generic] = np.memmap(
        index_file.with_name(manifest.files["vectors"].name),
        np.dtype(NUMPY_DTYPES[info.dtype]),
        "r",
        MATRIX_OFFSET,
        (info.count, info.dim),
    )
    return IndexVectors(manifest, records, matrix)
