"""Filters answered by the SQLite file: by its values of fields, and where those do not say all, by the metadata.

The file has the strings, numbers, booleans and nulls that are at a key of the metadata itself, long ones as
digests. What lies in lists and objects is looked for in the metadata of the chunks, mostly none, that have such under a
key of the filter.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from memvid.checks import is_text
from memvid.errors import IndexFormatError
from memvid.index.arrays import IntArray
from memvid.index.manifest import MEND
from memvid.index.passing import Between, Mask, passing_rows
from memvid.index.sqlite.value_tokens import token_value, value_token
from memvid.query import Condition, Exists, Filter, OneOf

if TYPE_CHECKING:
    from memvid.index.sqlite.records import SqliteRecords
    from memvid.types import JsonObject

__all__ = ["RecordFilters"]

_PATHS = 256  # of which is remembered where lists and objects are


class RecordFilters:
    """Answers filters for one segment. Many threads at a time.

    :param records: of the segment.
    """

    def __init__(self, records: SqliteRecords) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._nested: dict[str, IntArray] = {}

    def mask(self, where: Filter) -> Mask:
        """bool[rows]: the chunks that pass.

        :raises IndexFormatError: the file has what no build writes.
        """
        return passing_rows(where, self)

    def passing(self, where: Condition | Exists) -> Between:
        """The rows that pass, by the values of fields."""
        surely, digests = self._by_values(where)
        nested = self._records.row_map.rows(self._nested_at(where.path))
        if not digests and not len(nested):
            return surely, surely
        perhaps = surely | self._records.rows_holding(where.path, digests.__contains__) if digests else surely.copy()
        perhaps[nested] = True
        return surely, perhaps

    def metadata_of(self, rows: IntArray) -> list[JsonObject]:
        """The metadata of rows."""
        return self._records.metadata(self._records.row_map.ids(rows))

    def _by_values(self, where: Condition | Exists) -> tuple[Mask, set[bytes]]:
        """The rows with a value that passes, and the values of which that is not known."""
        if isinstance(where, Exists):
            return self._records.rows_having(where.path), set()
        if isinstance(where, OneOf):
            tokens = {value_token(value.value) for value in where.values}
            return self._records.rows_having(where.path, sorted(token for token in tokens if token is not None)), set()
        digests = set()

        def holds(token: bytes) -> bool:
            try:
                value = token_value(token)
            except ValueError as error:
                raise IndexFormatError(f"{self._records.path} has a filter of nothing: {MEND}") from error
            if value is None:
                digests.add(token)
            return value is not None and where.holds(value)

        return self._records.rows_holding(where.path, holds), digests

    def _nested_at(self, path: str) -> IntArray:
        """Ids of the chunks that may have something at a path in a list or an object."""
        if not is_text(path):
            return np.empty(0, np.int64)  # no key of stored metadata has half a character
        with self._lock:
            known = self._nested.get(path)
        if known is None:
            known = self._records.ids_with_nested(path)
            with self._lock:
                if len(self._nested) >= _PATHS:
                    self._nested.clear()
                self._nested[path] = known
        return known
