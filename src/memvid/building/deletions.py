"""What an encoder was asked to delete, until an append knows which chunks that are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from memvid.page import ChunkIds, decode_metadata
from memvid.query import value_of

if TYPE_CHECKING:
    from memvid.building.spool import Spool
    from memvid.index import IndexManager
    from memvid.query import Filter

__all__ = ["Deletions"]

_SEGMENT_CHUNKS = 4096
_SEGMENT_BYTES = 8 << 20


@dataclass(slots=True)
class _Upsert:
    """Chunks that take the place of all that have one of their values in a field.

    :ivar before: number of the first of them among the chunks that were added.
    :ivar values: the values as they were given.
    """

    field: str
    values: list[Any]
    before: int


@dataclass(slots=True)
class Deletions:
    """Requests, in the order they were made.

    :ivar ids: chunks by id.
    :ivar filters: filters on metadata.
    """

    ids: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))
    filters: list[Filter] = field(default_factory=list)
    _upserts: list[_Upsert] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(len(self.ids) or self.filters or self._upserts)

    def add_upsert(self, name: str, values: list[Any], before: int) -> None:
        """Have chunks with one of the values deleted, but for those that are added from number ``before`` on."""
        self._upserts.append(_Upsert(name, values, before))

    def resolve(self, index: IndexManager, spool: Spool) -> ChunkIds:
        """The chunks of the memory, and of those about to be added, that are to be deleted and are not yet."""
        wanted = self.ids
        for where in self.filters:
            wanted |= ChunkIds.of(index.ids_where(where))
        for upsert in self._upserts:
            wanted |= ChunkIds.of(index.ids_having(upsert.field, upsert.values))
        committed = index.ids
        return ChunkIds.of(committed[wanted.contains(committed)]) | self._superseded(spool)

    def _superseded(self, spool: Spool) -> ChunkIds:
        """Chunks that were added, and then replaced before they were ever stored."""
        upserts = [upsert for upsert in self._upserts if upsert.before]
        if not upserts:
            return ChunkIds.of([])
        wanted = [(upsert.field, {value_of(value) for value in upsert.values}, upsert.before) for upsert in upserts]
        gone = []
        number = 0
        for segment in spool.segments(_SEGMENT_CHUNKS, _SEGMENT_BYTES):
            for chunk_id, record in enumerate(segment.records, segment.first_chunk):
                has = decode_metadata(record.metadata)
                if any(
                    number < before and name in has and value_of(has[name]) in values for name, values, before in wanted
                ):
                    gone.append(chunk_id)
                number += 1
        return ChunkIds.of(np.array(gone, np.int64))
