"""The records of all segments as one: rows are numbered through, ids lead to the segment that has them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from memvid.errors import ChunkDeletedError, ChunkNotFoundError
from memvid.index.arrays import IntArray
from memvid.index.record_filters import RecordFilters
from memvid.index.row_map import RowMap
from memvid.index.selection import Selection, SelectionCache
from memvid.index.words import Words
from memvid.query import Exists, Filter, near_misses, parse_filter, paths_of
from memvid.types import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memvid.index.changed_records import ChangedRecords
    from memvid.index.records import RecordReader
    from memvid.page import ChunkIds
    from memvid.types import JsonObject

__all__ = ["Records"]

_T = TypeVar("_T")

_SAMPLE = 1000  # chunks of which the fields in lists and objects are suggested


class Records:
    """Frames, metadata, filters and keywords of all segments, without the chunks that were deleted.

    :param parts: each knows ids above those of the one before.
    :param deleted: the chunks that were deleted; segments may or may not have them still.
    :param changed: metadata in place of what segments have.
    :ivar row_map: rows of all chunks in the segments, deleted ones among them.
    """

    def __init__(
        self, parts: Sequence[RecordReader], deleted: ChunkIds, changed: ChangedRecords, *, keywords: bool
    ) -> None:
        self.parts = tuple(parts)
        self.deleted = deleted
        self.changed = changed
        self._keywords = keywords
        self._filters = [RecordFilters(part) for part in self.parts]
        self._selections = SelectionCache()
        maps = [part.row_map for part in parts]
        self._firsts = np.array([each.start for each in maps], np.int64)
        self.row_map = maps[0] if len(maps) == 1 else RowMap.joined(maps)

    @cached_property
    def length_codes(self) -> npt.NDArray[np.uint8]:
        """uint8[rows]: the length of each chunk in words, as :func:`~memvid.index.keywords.length_code` writes it."""
        return np.concatenate([np.empty(0, np.uint8), *(part.length_codes for part in self.parts)])

    @cached_property
    def alive(self) -> npt.NDArray[np.bool_] | None:
        """bool[rows]: which rows were not deleted; ``None`` if none was."""
        low, high = self.row_map.rows_below(self.deleted.starts), self.row_map.rows_below(self.deleted.ends)
        if not (low < high).any():
            return None
        change = np.zeros(len(self.row_map) + 1, np.int64)
        np.add.at(change, low, 1)
        np.add.at(change, high, -1)
        alive: npt.NDArray[np.bool_] = np.cumsum(change[:-1]) == 0
        return alive

    @cached_property
    def living_rows(self) -> Selection | None:
        """The same rows, as a filter that leaves them would."""
        return None if self.alive is None else Selection(self.alive)

    @property
    def count(self) -> int:
        """Chunks that were not deleted."""
        return len(self.row_map) if self.living_rows is None else self.living_rows.count

    def rows_of(self, ids: IntArray) -> IntArray:
        """int64 row of each chunk.

        :raises ChunkDeletedError: an id of a chunk that was deleted.
        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_ids(ids)
        return self.row_map.rows(ids)

    def frames_of(self, ids: IntArray) -> IntArray:
        """int64 frame index of each chunk.

        :raises ChunkDeletedError: an id of a chunk that was deleted.
        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_ids(ids)
        frames = np.empty(len(ids), np.int64)
        for part, at in self._split(ids):
            frames[at] = part.frames_of(ids[at])
        return frames

    def metadata(self, ids: IntArray) -> list[JsonObject]:
        """The metadata of each chunk, ``{}`` where none was given.

        :raises ChunkDeletedError: an id of a chunk that was deleted.
        :raises ChunkNotFoundError: an id there is none of.
        :raises IndexFormatError: it cannot be used.
        """
        found = self._of_each(ids, lambda part, own: part.metadata(own))
        if len(self.changed):
            changed = map(self.changed.value, ids.tolist())
            found = [value if new is None else new for value, new in zip(found, changed, strict=True)]
        return found

    def metadata_json(self, ids: IntArray) -> list[str]:
        """The same as it is kept, nothing where none was given."""
        found = self._of_each(ids, lambda part, own: part.metadata_json(own))
        if len(self.changed):
            changed = map(self.changed.json, ids.tolist())
            found = [json if new is None else new for json, new in zip(found, changed, strict=True)]
        return found

    def select(self, where: Where | Filter) -> Selection:
        """The chunks whose metadata passes the filter; kept for the next one who asks.

        :raises QueryError: the filter is not one.
        """
        parsed = parse_filter(where)
        found = self._selections.get(parsed)
        if found is None:
            found = Selection(self._mask(parsed))
            self._selections.put(parsed, found)
        return found

    def ids_where(self, where: Where | Filter) -> IntArray:
        """The same as ids, ascending."""
        return self.row_map.ids(self.select(where).rows)

    def ids_having(self, field: str, values: Sequence[bytes]) -> IntArray:
        """Ids of the chunks that have one of the values, as :func:`value_token` makes them, at a key; ascending."""
        found = np.concatenate([np.empty(0, bool), *(part.having(field, values) for part in self.parts)])
        changed = self.row_map.rows(self.changed.ids)
        found[changed[changed >= 0]] = False
        rows = self.row_map.rows(np.array(self.changed.ids_having(field, values), np.int64))
        found[rows[rows >= 0]] = True
        return self.row_map.ids(np.flatnonzero(found if self.alive is None else found & self.alive))

    def near_misses(self, where: Where | Filter) -> dict[str, list[str]]:
        """For each path of the filter that no chunk has, similar ones: keys with scalars, and all of some chunks."""
        unknown = [path for path in parse_filter(where).paths if not self.select(Exists(path)).count]
        if not unknown:
            return {}
        known = {name for part in self.parts for name in part.fields}
        alive = np.ones(len(self.row_map), bool) if self.alive is None else self.alive
        some = np.flatnonzero(alive)[:_SAMPLE]
        for metadata in self.metadata(self.row_map.ids(some)):
            known |= paths_of(metadata)
        return near_misses(unknown, known)

    @cached_property
    def words(self) -> Words | None:
        """The words of the chunks, if this index keeps any."""
        return Words(self) if self._keywords else None

    def living(self, ids: IntArray) -> IntArray:
        """Those of the ids that were not deleted."""
        return ids[~self.deleted.contains(ids)] if len(self.deleted.starts) else ids

    def check(self) -> None:
        """As :meth:`RecordReader.check`, of all segments."""
        for part in self.parts:
            part.check()

    def close(self) -> None:
        """Close all segments."""
        for part in self.parts:
            part.close()

    def _mask(self, where: Filter) -> npt.NDArray[np.bool_]:
        """bool[rows]: the chunks that pass, without those that were deleted."""
        mask = np.concatenate([np.empty(0, bool), *(part.mask(where) for part in self._filters)])
        rows = self.row_map.rows(self.changed.ids)
        for row, chunk_id in zip(rows.tolist(), self.changed.ids.tolist(), strict=True):
            if row >= 0:
                mask[row] = where.matches(self.changed.value(chunk_id) or {})
        return mask if self.alive is None else mask & self.alive

    def _of_each(self, ids: IntArray, ask: Callable[[RecordReader, IntArray], Sequence[_T]]) -> list[_T]:
        """What the segments say of the ids, in their order."""
        self._check_ids(ids)
        found: dict[int, _T] = {}
        for part, at in self._split(ids):
            found.update(zip(at.tolist(), ask(part, ids[at]), strict=True))
        return [found[place] for place in range(len(ids))]

    def _split(self, ids: IntArray) -> list[tuple[RecordReader, IntArray]]:
        """The segments that have some of the ids, with the places of those."""
        if len(self.parts) == 1:
            return [(self.parts[0], np.arange(len(ids)))]
        owner = np.searchsorted(self._firsts, ids, side="right") - 1
        return [(part, at) for i, part in enumerate(self.parts) if len(at := np.flatnonzero(owner == i))]

    def _check_ids(self, ids: IntArray) -> None:
        gone = ids[self.deleted.contains(ids)]
        if len(gone):
            raise ChunkDeletedError(f"chunk {int(gone[0])} was deleted from this memory")
        missing = ids[self.row_map.rows(ids) < 0]
        if len(missing):
            raise ChunkNotFoundError(f"no chunk has the id {int(missing[0])}: there are {self.count} chunks")
