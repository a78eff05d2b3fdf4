"""Vectors in a usearch HNSW file: quantised here, mapped for reading, and given an exact second look.

Cosine does not change when a vector is scaled. ``i8`` vectors are therefore scaled so that their own largest component
is 127 before they are rounded. usearch's own cast multiplies a unit vector by 127, which leaves the components of a
384-dimensional one about six levels.
"""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memvid import _core
from memvid._onnxruntime import import_onnxruntime
from memvid.dependencies import import_dependency
from memvid.errors import ClosedError, DependencyError, EmbeddingError
from memvid.index.arrays import FloatArray, IntArray
from memvid.index.hnsw_file import MATRIX_OFFSET, NUMPY_DTYPES
from memvid.storage.disk import check_utf8, output_errors
from memvid.storage.files import make_private, open_private

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.index.manifest import VectorInfo
    from memvid.index.open_file import OpenFile

__all__ = ["VectorReader", "VectorWriter", "check_vectors", "quantise"]


SMALL = 2048  # rows up to which a search compares with all: a walk of the graph is not faster
_SPARE = 16  # candidates beyond k whose exact scores may still lift them into the answer


def check_vectors(vectors: Any, dim: int) -> FloatArray:
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


def quantise(vectors: FloatArray, dtype: str) -> npt.NDArray[Any]:
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

    def add(self, first_id: int, vectors: FloatArray) -> None:
        """Add rows under the ids ``first_id``, ``first_id + 1``, ...; 0.1-0.4 ms each, the GIL is released."""
        keys = np.arange(first_id, first_id + len(vectors), dtype=np.uint64)
        if len(keys):
            try:
                # threads=1: with more, the order of insertion and so the graph would depend on timing.
                self._index.add(keys, quantise(vectors, self._dtype), threads=1)
            except RuntimeError as error:
                if "out of memory" not in str(error).lower():
                    raise
                raise MemoryError(f"no more than {len(self):,} vectors fit") from error

    def save(self, path: Path) -> None:
        """Write the file.

        :raises OutputError: it could not be written in full.
        """
        size = self._index.serialized_length
        check_utf8(path)
        with output_errors(path):
            make_private(path)
            try:
                self._index.save(os.fspath(path))
            except RuntimeError as error:
                raise _write_error(path, size) from error
            if path.stat().st_size != size:
                raise _write_error(path, size)


def _write_error(path: Path, size: int) -> OSError:
    """Why a file is not ``size`` bytes long, which usearch does not say: what is answered to the bytes it lacks."""
    try:
        with os.fdopen(open_private(path), "r+b", buffering=0) as file:
            missing = size - file.seek(0, os.SEEK_END)
            while missing > 0:
                missing -= file.write(bytes(min(missing, 1 << 20)))
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(path))


class VectorReader:
    """Search in a mapped file whose content was checked before. Many threads at a time."""

    def __init__(
        self, file: OpenFile, mapping: mmap.mmap | bytes, info: VectorInfo, *, threads: int | None = None
    ) -> None:
        """Search in ``mapping``, which :func:`~memvid.index.hnsw_file.check_header` found to be what ``info`` says.

        :param file: where it comes from.
        :param threads: for a batch and for a long exact search; ``None`` uses the cores this process may run on.
        """
        self._info = info
        self._file: OpenFile | None = file
        self._map: mmap.mmap | bytes | None = mapping
        self._graph: _core.HnswGraph | None = _core.HnswGraph(
            mapping, count=info.count, dim=info.dim, dtype=info.dtype, threads=threads or 0
        )

    def __len__(self) -> int:
        return self._info.count

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._info.dim

    @property
    def matrix(self) -> npt.NDArray[Any]:
        """[count, dim]: the vectors as they are stored, in the order of the rows; a view of the file."""
        info = self._info
        flat = np.frombuffer(self.data, NUMPY_DTYPES[info.dtype], info.count * info.dim, MATRIX_OFFSET)
        return flat.reshape(info.count, info.dim)

    @property
    def data(self) -> memoryview:
        """The whole file."""
        mapping = self._map
        if mapping is None:
            raise _closed()
        return memoryview(mapping)

    def check(self) -> None:
        """Check that nobody has written into the file, which may be mapped.

        :raises IndexFormatError: someone has.
        """
        file = self._file
        if file is None:
            raise _closed()
        file.check()

    def close(self) -> None:
        """Let go of the mapping; searches under way finish on it."""
        self._graph = self._map = self._file = None

    def nearest(self, queries: FloatArray, k: int, *, expansion: int) -> tuple[IntArray, FloatArray]:
        """Approximate: rows int64[q, m] and scores float32[q, m] with m = min(k, count), for queries float32[q, dim].

        Best first, ties by row; -1 and -inf at the end where a graph in several parts left some out. One native call:
        off the GIL, queries in parallel.
        """
        return self._open_graph().nearest(queries, k, expansion=expansion, spare=_SPARE)

    def exact(self, query: FloatArray, k: int, rows: IntArray | None = None) -> tuple[IntArray, FloatArray]:
        """Exact over all rows, or over ``rows``: rows int64[m] and scores float32[m], m <= k, for float32[1, dim].

        Best first, ties by row. One native call, off the GIL; about 40 ns a row and core when they are in memory.
        """
        found, scores = self._open_graph().exact(query[0], rows, k)
        return found[0], scores[0]

    def _open_graph(self) -> _core.HnswGraph:
        graph = self._graph
        if graph is None:
            raise _closed()
        return graph


def _new_index(dim: int, dtype: str, connectivity: int, *, expansion_add: int = 0) -> Any:
    # With usearch's Linux wheels 2.26.3 to 2.26.6, an onnxruntime that is loaded after them crashes the process (seen
    # with 1.27 to 1.32), and one that is loaded before does not. Both carry a C++ runtime of their own.
    with suppress(DependencyError):
        import_onnxruntime()
    # 0.1 s and 20 MB, which small memories never need
    usearch = import_dependency("usearch.index", "building an index needs usearch: pip install usearch")
    return usearch.Index(
        ndim=dim,
        metric="cos",
        dtype=dtype,
        connectivity=connectivity,
        expansion_add=expansion_add,
        enable_key_lookups=False,
    )


def _closed() -> ClosedError:
    return ClosedError("this index is closed: open it again")
