"""What metadata an encoder was asked to change, until an append knows what chunks have by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from memvid.errors import ChunkNotFoundError, MetadataError
from memvid.page import ChunkIds, decode_metadata, encode_metadata

if TYPE_CHECKING:
    from memvid.index import IndexManager
    from memvid.query import Filter
    from memvid.types import JsonObject
    from memvid.video import PageStore

__all__ = ["MetadataChanges"]

_READ = 256  # chunks at once


@dataclass(frozen=True, slots=True)
class _Fields:
    """Fields to be changed, and of which chunks."""

    values: JsonObject
    remove: frozenset[str]
    ids: ChunkIds
    where: Filter | None


@dataclass(slots=True)
class MetadataChanges:
    """Requests, in the order they were made.

    :ivar whole: stored metadata that chunks get in place of all they have.
    """

    whole: dict[int, bytes] = field(default_factory=dict)
    _fields: list[_Fields] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.whole or self._fields)

    def add_fields(self, values: JsonObject, remove: Iterable[str], ids: ChunkIds, where: Filter | None) -> None:
        """Have chunks get these fields, and lose others."""
        self._fields.append(_Fields(values, frozenset(remove), ids, where))

    def resolve(self, index: IndexManager, store: PageStore) -> dict[int, bytes]:
        """The stored metadata that chunks get.

        :raises ChunkNotFoundError: there is no such chunk any more, or none that passes a filter.
        :raises MetadataError: the metadata of a chunk cannot be used, so its other fields would be lost.
        """
        _check_there(index, ChunkIds.of(self.whole))
        changes = dict(self.whole)
        for fields in self._fields:
            ids = fields.ids if fields.where is None else fields.ids | _matching(index, fields.where)
            _check_there(index, ids)
            for chunk_id, metadata in _read(store, ids, changes):
                kept = {name: value for name, value in metadata.items() if name not in fields.remove}
                changed = encode_metadata({**kept, **fields.values})
                if changed != encode_metadata(metadata):  # as Python sees it, 1 is True
                    changes[chunk_id] = changed
        return changes


def _matching(index: IndexManager, where: Filter) -> ChunkIds:
    ids = ChunkIds.of(index.ids_where(where))
    if not ids:
        reason = index.why_none(where) or "`memvid scan` shows all metadata"
        raise ChunkNotFoundError(f"no chunk has this metadata: nothing was changed; {reason}")
    return ids


def _check_there(index: IndexManager, ids: ChunkIds) -> None:
    missing = ids - index.chunk_ids
    if missing:
        raise ChunkNotFoundError(f"there is no chunk {missing.ranges[0][0]} any more: its metadata cannot be changed")


def _read(store: PageStore, ids: ChunkIds, changes: Mapping[int, bytes]) -> Iterator[tuple[int, JsonObject]]:
    """The metadata of chunks, with what is changed already."""
    numbers = ids.numbers()
    for start in range(0, len(numbers), _READ):
        some = np.ascontiguousarray(numbers[start : start + _READ])
        for chunk_id, chunk in zip(some.tolist(), store.read(some), strict=True):
            if chunk_id in changes:
                yield chunk_id, decode_metadata(changes[chunk_id])
            elif chunk.metadata_fault is not None:
                raise MetadataError(
                    f"the metadata of chunk {chunk_id} cannot be used: {chunk.metadata_fault}; set all of it by "
                    "set_metadata()"
                )
            else:
                yield chunk_id, chunk.metadata
