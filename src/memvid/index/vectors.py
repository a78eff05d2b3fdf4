"""Vectors in a usearch HNSW file or one of codes: quantised here, mapped for reading, and given an exact second look.

Cosine does not change when a vector is scaled. ``i8`` vectors are therefore scaled so that their own largest component
is 127 before they are rounded. usearch's own cast multiplies a unit vector by 127, which leaves the components of a
384-dimensional one about six levels. Codes are made by the core, of vectors that are scaled in the same way to 8191.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from memvid import _core
from memvid.errors import EmbeddingError, VideoFormatError
from memvid.index.arrays import BitArray, FloatArray, IntArray
from memvid.index.hnsw_file import MATRIX_OFFSET, NUMPY_DTYPES
from memvid.index.open_file import still_open
from memvid.storage.disk import check_utf8, native_output_errors

if TYPE_CHECKING:
    import mmap
    from pathlib import Path

    from typing_extensions import Buffer

    from memvid.index.manifest import VectorInfo
    from memvid.index.open_file import OpenFile

__all__ = [
    "CODES_MAGIC",
    "CODE_BITS",
    "KeptCodes",
    "VectorReader",
    "VectorWriter",
    "check_codes",
    "check_vectors",
    "quantise",
]


SMALL = 2048  # rows up to which a search compares with all: a walk of the graph is not faster
CODE_BITS = {"code4": 4, "code1": 1}
"""Bits a dimension of those dtypes that are codes."""

KeptCodes: TypeAlias = tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]
"""Which of some consecutive chunks have a code, bool[n], and those codes as an index has them, uint8[n, m]."""

CODES_MAGIC = "MVCODES1"
"""What a file of codes begins with."""

_CODE_PEAK = 8191  # the largest component of a vector that becomes a code

SPARE = 16  # candidates beyond k whose exact scores may still lift them into the answer


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
    """Vectors as the core takes them: the direction kept, the length not. A zero vector stays zero."""
    peak = np.abs(vectors).max(axis=1, keepdims=True)
    peak[peak == 0] = 1
    scaled = vectors / peak  # components from -1 to 1: nothing overflows, whatever the length was
    if dtype == "i8":
        return np.asarray(np.rint(scaled * 127), np.int8)
    if dtype in CODE_BITS:
        return np.asarray(np.rint(scaled * _CODE_PEAK), np.int16)
    norm = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    norm[norm == 0] = 1
    return np.asarray(scaled / norm, NUMPY_DTYPES[dtype])


class VectorWriter:
    """Builds the file in memory, with its HNSW graph, on all cores; the same input gives the same file on any number.

    Vectors that are equal as they are stored share a node. Memory: 1.3 times the file to come at 384 dimensions; with
    codes what it would take with ``i8``. One thread at a time.

    :param threads: ``None`` uses the cores this process may run on.
    """

    def __init__(
        self, *, dim: int, dtype: str, connectivity: int, expansion_add: int, threads: int | None = None
    ) -> None:
        self._dtype = dtype
        self._graph = _core.GraphBuilder(
            dim, dtype=dtype, connectivity=connectivity, expansion=expansion_add, threads=threads or 0
        )

    def __len__(self) -> int:
        return self._graph.rows

    @property
    def copies(self) -> int:
        """Rows that are stored as an earlier one is."""
        return self._graph.rows - self._graph.nodes

    def add(self, first_id: int, vectors: FloatArray, codes: KeptCodes | None = None) -> None:
        """Add rows under the ids ``first_id``, ``first_id + 1``, ...; the GIL is released.

        :param codes: those of some of the vectors, as an index has them, which are taken as they are.
        :raises MemoryError: no more fit.
        """
        try:
            if codes is None:
                self._add(first_id, vectors)
                return
            there, rows = codes
            edges = [0, *(np.flatnonzero(np.diff(there)) + 1).tolist(), len(vectors)]
            for start, end in itertools.pairwise(edges):
                if there[start]:
                    self._graph.add_codes(first_id + start, rows[start:end])
                else:
                    self._add(first_id + start, vectors[start:end])
        except MemoryError as error:
            raise MemoryError(f"no more than {len(self):,} vectors fit") from error

    def _add(self, first_id: int, vectors: FloatArray) -> None:
        if len(vectors):
            self._graph.add(first_id, quantise(vectors, self._dtype))

    def save(self, path: Path) -> None:
        """Finish the graph and write the file. Nothing can be added then.

        :raises OutputError: it could not be written in full.
        """
        check_utf8(path)
        with native_output_errors(path):
            self._graph.save(os.fspath(path))


def check_codes(data: memoryview, info: VectorInfo, *, links: bool) -> None:
    """Check headers and sizes of a file of codes, and with ``links`` each link and each factor.

    :raises VideoFormatError: it is not what ``info`` says.
    """
    graph = _core.HnswGraph(data, count=info.count, dim=info.dim, dtype=info.dtype, threads=1)
    if graph.nodes != info.nodes:
        raise VideoFormatError(f"it has {graph.nodes} different vectors, and should have {info.nodes}")
    if links:
        graph.check()


class VectorReader:
    """Search in a mapped file whose content was checked before. Many threads at a time."""

    def __init__(
        self, file: OpenFile, mapping: mmap.mmap | bytes, info: VectorInfo, *, threads: int | None = None
    ) -> None:
        """Search in ``mapping``, whose headers were found to be what ``info`` says.

        :param file: where it comes from.
        :param threads: for a batch and for a long exact search; ``None`` uses the cores this process may run on.
        """
        self._info = info
        self._file: OpenFile | None = file
        self._map: Buffer | None = mapping
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
    def is_linked(self) -> bool:
        """Whether there is a graph; else every search is an exact one."""
        return self.graph.is_linked

    @property
    def graph(self) -> _core.HnswGraph:
        """The vectors, and the graph if there is one.

        :raises ClosedError: the file was closed.
        """
        return still_open(self._graph)

    @property
    def nodes(self) -> int:
        """Vectors that are stored: what an exact search compares with."""
        return self._info.nodes

    def rows(self, rows: IntArray) -> npt.NDArray[Any]:
        """[n, dim]: the vectors of some rows as they are stored; of codes, float32 of what they stand for."""
        graph, info = self.graph, self._info
        nodes = graph.nodes_of(rows)
        return graph.decode(nodes) if info.dtype in CODE_BITS else _matrix(self.data, info)[nodes]

    def codes(self, rows: IntArray) -> npt.NDArray[np.uint8]:
        """uint8[n, m]: the same, byte for byte."""
        graph = self.graph
        return graph.stored(graph.nodes_of(rows))

    def copies_of(self, row: int) -> IntArray:
        """int64[n], ascending: the rows that have the vector of a row, itself among them."""
        return self.graph.copies_of(row)

    @property
    def data(self) -> memoryview:
        """The whole file."""
        return memoryview(still_open(self._map))

    def check(self) -> None:
        """Check that nobody has written into the file, which may be mapped.

        :raises IndexFormatError: someone has.
        """
        still_open(self._file).check()

    def close(self) -> None:
        """Let go of the mapping; searches under way finish on it."""
        self._graph = self._map = self._file = None

    def nearest(
        self,
        queries: FloatArray,
        k: int,
        *,
        expansion: int,
        allowed: BitArray | None = None,
        first: int = 0,
        distinct: bool = False,
        through: int | None = None,
        skimmed: int = 0,
    ) -> tuple[IntArray, FloatArray]:
        """Approximate: rows int64[q, m] and scores float32[q, m] with m = min(k, count), for queries float32[q, dim].

        Best first, ties by row; -1 and -inf at the end where the walk came across too few. One native call: off the
        GIL, queries in parallel.

        :param expansion: how many candidates the walk keeps: of rows that are allowed.
        :param allowed: the rows that may be found, as bits; row ``r`` is bit ``first + r``. ``None`` allows all.
        :param distinct: of the rows with the same vector only the first.
        :param through: vectors that a walk through all nodes compares to find so many allowed ones, and four times as
            many to its end, before it gives up. 0 does not begin one, ``None`` never gives up.
        :param skimmed: where there was no such walk to the end, all rows that are allowed are skimmed, and so many of
            them compared; with 0, nothing is found.
        """
        return self.graph.nearest(
            queries,
            k,
            expansion=expansion,
            spare=SPARE,
            allowed=allowed,
            first=first,
            distinct=distinct,
            **({} if through is None else {"through": through, "skimmed": skimmed}),
        )

    def exact(
        self, query: FloatArray, k: int, rows: IntArray | None = None, *, distinct: bool = False
    ) -> tuple[IntArray, FloatArray]:
        """Exact over all rows, or over ``rows``: rows int64[m] and scores float32[m], m <= k, for float32[1, dim].

        Best first, ties by row. One native call, off the GIL; about 40 ns a row and core when they are in memory.
        """
        found, scores = self.graph.exact(query[0], rows, k, distinct=distinct)
        return found[0], scores[0]


def _matrix(data: memoryview, info: VectorInfo) -> npt.NDArray[Any]:
    """[nodes, dim]: the vectors of a usearch file, a view."""
    flat = np.frombuffer(data, NUMPY_DTYPES[info.dtype], info.nodes * info.dim, MATRIX_OFFSET)
    return flat.reshape(info.nodes, info.dim)
