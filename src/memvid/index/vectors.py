"""Vectors in a usearch HNSW file: quantised here, mapped for reading, and given an exact second look.

Cosine does not change when a vector is scaled. ``i8`` vectors are therefore scaled so that their own largest component
is 127 before they are rounded. usearch's own cast multiplies a unit vector by 127, which leaves the components of a
384-dimensional one about six levels.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memvid._disk import output_errors
from memvid._onnxruntime import import_onnxruntime
from memvid.errors import ClosedError, DependencyError, EmbeddingError, OutputError
from memvid.index.hnsw_file import MATRIX_OFFSET, NUMPY_DTYPES
from memvid.index.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memvid.index.manifest import VectorInfo
    from memvid.index.row_map import RowMap

__all__ = ["VectorReader", "VectorWriter", "check_vectors", "quantise"]

FloatMatrix = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

SMALL = 2048  # rows up to which the whole matrix is kept as float32 (3 MB at 384) and search is exact, without usearch
_BLOCK = 8192  # rows an exact search converts at a time
_MAX_VIEWS = 8  # each costs 8 bytes a vector
# A float32 dot product of unit vectors is at most this wrong (dim * 2**-24 would be the bound for 384: 2.3e-5).
_SLACK = 5e-5
_SPARE = 16  # candidates beyond k whose exact scores may still lift them into the answer


def check_vectors(vectors: Any, dim: int) -> FloatMatrix:
    """Return ``vectors`` as C-contiguous float32[n, dim].

    :raises EmbeddingError: for another shape or a dtype that is not floating, or NaN or infinity.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.shape[1] != dim:
        raise EmbeddingError(f"vectors have shape {array.shape}: expected [n, {dim}]")
    if array.dtype.kind != "f":
        raise EmbeddingError(f"vectors have dtype {array.dtype}: expected float32")
    result = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(result).all():
        raise EmbeddingError("vectors contain NaN or infinity")
    return result


def quantise(vectors: FloatMatrix, dtype: str) -> npt.NDArray[Any]:
    """Vectors as they are stored: the direction kept, the length not. A zero vector stays zero."""
    peak = np.abs(vectors).max(axis=1, keepdims=True)
    peak[peak == 0] = 1
    scaled = vectors / peak  # components from -1 to 1: nothing overflows, whatever the length was
    if dtype == "i8":
        return np.asarray(np.rint(scaled * 127), np.int8)
    norm = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    norm[norm == 0] = 1
    return np.asarray(scaled / norm, NUMPY_DTYPES[dtype])


class VectorWriter:
    """Builds the HNSW graph in memory, one vector after the other, so that the same input gives the same file.

    Memory: the size of the file to come. One thread at a time.
    """

    def __init__(self, *, dim: int, dtype: str, connectivity: int, expansion_add: int) -> None:
        self._dtype = dtype
        self._dim = dim
        self._index = _new_index(dim, dtype, connectivity, expansion_add=expansion_add)

    def __len__(self) -> int:
        return len(self._index)

    def add(self, first_id: int, vectors: FloatMatrix) -> None:
        """Add rows under the ids ``first_id``, ``first_id + 1``, ...; 0.1-0.4 ms each, the GIL is released."""
        keys = np.arange(first_id, first_id + len(vectors), dtype=np.uint64)
        if len(keys):
            # threads=1: with more, the order of insertion and so the graph would depend on timing.
            self._index.add(keys, quantise(vectors, self._dtype), threads=1)

    def save(self, path: Path) -> None:
        """Write the file.

        :raises OutputError: it could not be written in full.
        """
        size = self._index.serialized_length
        with output_errors(path):
            try:
                self._index.save(os.fspath(path))
            except RuntimeError as error:
                raise OutputError(f"{path}: {error}: free some space or choose another folder") from error
            written = path.stat().st_size
        if written != size:
            raise OutputError(f"{path} has {written} of {size} bytes: free some space or choose another folder")


class VectorReader:
    """Search in a mapped file whose content was checked before. Many threads at a time."""

    def __init__(self, mapping: mmap.mmap, info: VectorInfo, row_map: RowMap) -> None:
        """Search in ``mapping``, which :func:`~memvid.index.hnsw_file.check_header` found to be what ``info`` says."""
        self._info = info
        self._row_map = row_map
        self._map: mmap.mmap | None = mapping
        self._matrix: npt.NDArray[Any] | None = np.frombuffer(
            mapping, NUMPY_DTYPES[info.dtype], info.count * info.dim, MATRIX_OFFSET
        ).reshape(info.count, info.dim)
        self._small: FloatMatrix | None = None
        # Two searches on one usearch object share its scratch space, so each caller borrows a view of its own.
        self._views: Pool[Any] = Pool(self._make_view, _drop, limit=min(_MAX_VIEWS, os.cpu_count() or 1))

    @property
    def data(self) -> memoryview:
        """The whole file."""
        if self._map is None:
            raise ClosedError("this index is closed: open it again")
        return memoryview(self._map)

    def close(self) -> None:
        """Let go of the mapping; searches under way finish on it."""
        self._views.close()
        self._matrix = self._small = self._map = None

    def nearest(self, query: FloatMatrix, k: int, *, expansion: int) -> tuple[IntArray, FloatMatrix]:
        """Approximate: rows int64[m] and scores float32[m], m <= k, for one query float32[1, dim], best first."""
        matrix = self._rows_matrix()
        wanted = min(self._info.count, k + _SPARE)
        with self._views.lend() as view:
            view.expansion_search = max(expansion, wanted)
            keys = view.search(quantise(query, self._info.dtype), wanted, threads=1).keys
        return self._best(matrix, query[0], self._row_map.rows(keys.astype(np.int64)), k)

    def exact(self, query: FloatMatrix, k: int, rows: IntArray | None = None) -> tuple[IntArray, FloatMatrix]:
        """Exact over all rows, or over ``rows``; as :meth:`nearest`. About a microsecond a row."""
        matrix = self._rows_matrix()
        direction = _unit(query[0])
        candidates: list[IntArray] = []
        floor = -np.inf
        for numbers, block in self._blocks(matrix, rows):
            scores = _products(block, direction)
            if len(scores) > k:
                floor = max(floor, float(np.partition(scores, len(scores) - k)[-k]))
            candidates.append(numbers[scores >= floor - _SLACK])
        found = np.concatenate(candidates) if candidates else np.empty(0, np.int64)
        return self._best(matrix, query[0], found, k)

    def _rows_matrix(self) -> npt.NDArray[Any]:
        matrix = self._matrix
        if matrix is None:
            raise ClosedError("this index is closed: open it again")
        return matrix

    def _blocks(self, matrix: npt.NDArray[Any], rows: IntArray | None) -> Iterator[tuple[IntArray, FloatMatrix]]:
        """Row numbers and their unit vectors, a block at a time."""
        count = len(matrix) if rows is None else len(rows)
        if rows is None and count <= SMALL:
            small = self._small
            if small is None:
                small = self._small = _directions(matrix)
            yield np.arange(count), small  # not the attribute, which another thread's close() may have cleared
            return
        for start in range(0, count, _BLOCK):
            if rows is None:
                numbers = np.arange(start, min(start + _BLOCK, count))
                block = matrix[start : start + _BLOCK]
            else:
                numbers = rows[start : start + _BLOCK]
                block = matrix[numbers]
            yield numbers, _directions(block)

    def _best(
        self, matrix: npt.NDArray[Any], query: FloatMatrix, rows: IntArray, k: int
    ) -> tuple[IntArray, FloatMatrix]:
        """Score ``rows`` in float64 against the query as it was given, and keep the k best, ties by row."""
        stored = matrix[rows].astype(np.float64)
        target = query.astype(np.float64)
        norms = np.sqrt(np.einsum("nd,nd->n", stored, stored)) * np.sqrt(target @ target)
        norms[norms == 0] = 1
        # Rounding to float32 makes equal vectors score equal, in whatever order a product was summed.
        scores = (_products(stored, target) / norms).astype(np.float32)
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]

    def _make_view(self) -> Any:
        view = _new_index(self._info.dim, self._info.dtype, self._info.connectivity)
        view.view(self.data)
        return view


def _products(rows: npt.NDArray[Any], vector: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``rows @ vector``, without the BLAS library behind it.

    That one hands a product of this size to threads of its own. On a busy machine it then waits for cores, for many
    times as long as the product takes; and when the process forks, it ends them, and a product that is under way in
    another thread never returns.
    """
    return np.asarray(np.einsum("nd,d->n", rows, vector))


def _directions(stored: npt.NDArray[Any]) -> FloatMatrix:
    """Stored vectors as float32 unit vectors; their components are small, so no care for overflow is needed."""
    vectors = stored.astype(np.float32)
    norm = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    norm[norm == 0] = 1
    vectors *= (1 / norm)[:, None]
    return vectors


def _unit(vectors: FloatMatrix) -> FloatMatrix:
    peak = np.abs(vectors).max(axis=-1, keepdims=True)
    scaled = vectors / np.where(peak == 0, np.float32(1), peak)
    norm = np.sqrt(np.einsum("...d,...d->...", scaled, scaled))[..., None]
    return np.asarray(scaled / np.where(norm == 0, np.float32(1), norm), np.float32)


def _new_index(dim: int, dtype: str, connectivity: int, *, expansion_add: int = 0) -> Any:
    # With usearch's Linux wheels 2.26.3 to 2.26.6, an onnxruntime that is loaded after them crashes the process (seen
    # with 1.27 to 1.32), and one that is loaded before does not. Both carry a C++ runtime of their own.
    with suppress(DependencyError):
        import_onnxruntime()
    from usearch.index import Index  # 0.1 s and 20 MB, which small memories never need

    return Index(
        ndim=dim,
        metric="cos",
        dtype=dtype,
        connectivity=connectivity,
        expansion_add=expansion_add,
        enable_key_lookups=False,
    )


def _drop(view: Any) -> None:
    view.reset()
