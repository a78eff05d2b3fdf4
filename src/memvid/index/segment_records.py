"""What an index asks the records of a segment, whichever way they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from memvid.errors import QueryError
from memvid.page import ChunkIds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from memvid import _core
    from memvid.index.arrays import FloatArray, IntArray
    from memvid.index.passing import Mask
    from memvid.index.row_map import RowMap
    from memvid.query import Filter, Value
    from memvid.types import JsonObject

__all__ = ["PageMetadata", "RowWords", "SegmentRecords"]


class SegmentRecords(Protocol):
    """Frames, fields and words of one segment. Many threads at a time."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def row_map(self) -> RowMap:
        """Which row is which chunk's."""

    @property
    def length_codes(self) -> npt.NDArray[np.uint8]:
        """uint8[rows]: the length of each chunk in words, as :func:`~memvid.index.keywords.length_code` writes it."""

    def frames_of(self, ids: IntArray) -> IntArray:
        """int64 frame index of each chunk, all of which the segment has."""

    def mask(self, where: Filter) -> Mask:
        """bool[rows]: the chunks that pass."""

    def having(self, key: str, values: Collection[Value]) -> Mask:
        """bool[rows]: the chunks that have one of the values at a key of the metadata itself, in no list or object."""

    def paths(self) -> set[str]:
        """Paths into metadata that chunks have; of very many some."""

    def strings(self, path: str) -> set[str]:
        """Strings at a path into metadata that chunks have; of very many some."""

    def differing(self, ids: IntArray, metadatas: Sequence[bytes]) -> list[int]:
        """Places of the chunks of which it keeps other metadata than these, as they are stored, if it keeps any."""

    def terms_of(self, metadata: JsonObject) -> Sequence[bytes]:
        """What filters go by of some metadata, as bytes."""

    def sum_rows(self, numbers: npt.NDArray[np.uint64], take: Callable[[bytes, int], object]) -> None:
        """Hand all that filters go by to ``take``, each with the sum of the numbers of its rows modulo 2 ** 64."""

    def verify(self) -> None:
        """Go through all of it.

        :raises IndexFormatError: something is not as a build writes it.
        """

    def check(self) -> None:
        """Check that nobody has written into the file.

        :raises IndexFormatError: someone has.
        """

    def close(self) -> None:
        """Let go of the file; questions under way finish."""


class RowWords(Protocol):
    """The words of all rows. Many threads at a time."""

    @property
    def core(self) -> _core.WordIndex | None:
        """The native index, if there is one."""

    def frequency(self, term: str) -> int:
        """In how many rows a term is."""

    def search(
        self, terms: Sequence[str], k: int, allowed: npt.NDArray[np.uint64] | None = None
    ) -> tuple[IntArray, FloatArray]:
        """The k best rows that have any of the terms, of those that ``allowed`` has a bit for."""

    def score(self, terms: Sequence[str], rows: IntArray) -> FloatArray:
        """BM25 scores float32[n] of some rows; 0 for those without any of the terms."""

    def rows_with_all(self, terms: Sequence[str]) -> IntArray:
        """Rows int64[m], ascending, that have all of the terms; none, if there are no terms."""


class PageMetadata:
    """The metadata of chunks, which are in their pages alone: whoever opens an index may say how to read them.

    :param other: chunks whose metadata in the pages do not count: they were deleted, or changed.
    :ivar read: gives the metadata of some chunks.
    """

    def __init__(self, other: ChunkIds) -> None:
        self._other = other
        self.read: Callable[[IntArray], list[JsonObject]] | None = None

    def of(self, ids: IntArray) -> list[JsonObject]:
        """The metadata of some chunks, ``{}`` of those that do not count.

        :raises QueryError: nobody has said how to read them.
        """
        found: list[JsonObject] = [{} for _ in range(len(ids))]
        wanted = np.flatnonzero(~self._other.contains(ids))
        if len(wanted):
            if self.read is None:
                raise QueryError(
                    "this filter looks into long values, of which an index knows only whether they are equal: search "
                    "with MemvidRetriever, which reads them from the video"
                )
            for at, metadata in zip(wanted.tolist(), self.read(ids[wanted]), strict=True):
                found[at] = metadata
        return found
