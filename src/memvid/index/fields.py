"""The values of fields in a section of an index file, written and searched by the native core.

Chunks are kept by value as they are kept by word (:mod:`memvid.index.postings`); which terms stand for values is in
:mod:`memvid.index.field_terms`. No metadata is kept as it was given: where a filter asks more of a long value than
whether it is equal, whoever opens the index has to give the metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memvid import _core
from memvid.errors import IndexFormatError, VideoFormatError
from memvid.index.field_terms import (
    PATHS,
    UNLISTED,
    Wanted,
    is_listed,
    nested_term,
    path_of,
    string_of,
    strings_at,
    wanted_terms,
)
from memvid.index.manifest import MEND
from memvid.index.passing import Between, Mask, passing_rows
from memvid.query import OneOf, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from typing_extensions import Buffer

    from memvid.index.arrays import IntArray
    from memvid.query import Condition, Exists, Filter, Value
    from memvid.types import JsonObject

__all__ = ["Fields"]

_MOST_NAMES = 10_000  # paths, or strings at one, that are looked through for similar ones


class Fields:
    """Answers filters for one segment. Many threads at a time.

    :param path: of the file, for errors.
    :param section: its section of fields.
    :param rows: that there should be.
    :param metadata_of: the metadata of some rows, which ascend: seldom asked for.
    :raises IndexFormatError: the section is none.
    """

    def __init__(
        self, path: Path, section: Buffer, rows: int, metadata_of: Callable[[IntArray], list[JsonObject]]
    ) -> None:
        self._path = path
        self.metadata_of = metadata_of
        try:
            self._index = _core.FieldIndex(section)
        except VideoFormatError as error:
            raise self._damaged(error) from error
        if self._index.rows != rows:
            raise IndexFormatError(f"{path} has the fields of {self._index.rows} chunks, not of {rows}: {MEND}")
        self._unlisted = self._mask(Wanted((UNLISTED,)))

    def check(self) -> None:
        """Go through all of it.

        :raises IndexFormatError: it is not as a build writes it.
        """
        try:
            self._index.check()
        except VideoFormatError as error:
            raise self._damaged(error) from error

    def paths(self) -> set[str]:
        """Paths there are, but for long ones; of very many some."""
        terms = self._index.terms_between(*PATHS, _MOST_NAMES)
        return {path for path in map(path_of, terms) if path is not None}

    def strings(self, path: str) -> set[str]:
        """The strings at a path, but for long ones; of very many some."""
        return {string_of(path, term) for term in self._index.terms_between(*strings_at(path), _MOST_NAMES)}

    def mask(self, where: Filter) -> Mask:
        """bool[rows]: the chunks that pass.

        :raises IndexFormatError: the section has what no build writes.
        """
        return passing_rows(where, self)

    def having(self, key: str, values: Collection[Value]) -> Mask:
        """bool[rows]: the chunks that have one of the values at a key of the metadata itself, in no list or object."""
        if is_listed(key):
            found = self._mask(wanted_terms(OneOf(key, frozenset(values))))
            nested = self._mask(Wanted((nested_term(key),)))
            having, unsure = found & ~nested, found & nested | self._unlisted
        else:
            having, unsure = np.zeros(self._index.rows, bool), np.ones(self._index.rows, bool)
        rows = np.flatnonzero(unsure)
        if len(rows):
            having[rows] = [key in each and value_of(each[key]) in values for each in self.metadata_of(rows)]
        return having

    def sum_rows(self, numbers: npt.NDArray[np.uint64], take: Callable[[bytes, int], object]) -> None:
        """Hand each term to ``take``, with the sum of the numbers of its rows modulo 2 ** 64.

        :param numbers: uint64[rows].
        """
        try:
            self._index.sum_rows(numbers, take)
        except VideoFormatError as error:
            raise self._damaged(error) from error

    def passing(self, where: Condition | Exists) -> Between:
        """The rows that pass, by the values of fields."""
        wanted = wanted_terms(where)
        surely = self._mask(wanted)
        unsure = self._mask(Wanted(ranges=wanted.unsure)) if wanted.unsure else None
        if self._unlisted.any():
            unsure = self._unlisted if unsure is None else unsure | self._unlisted
        return surely, surely if unsure is None or not unsure.any() else surely | unsure

    def _mask(self, wanted: Wanted) -> Mask:
        try:
            bits = self._index.rows_with_any(wanted.terms, wanted.ranges, wanted.skip, wanted.needle)
        except VideoFormatError as error:
            raise self._damaged(error) from error
        return np.unpackbits(bits.view(np.uint8), count=self._index.rows, bitorder="little").view(np.bool_)

    def _damaged(self, error: Exception) -> IndexFormatError:
        return IndexFormatError(f"{self._path} cannot be used: {error}: {MEND}")
