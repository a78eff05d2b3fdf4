"""The records of all segments as one: rows are numbered through, ids lead to the segment that has them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memvid.errors import ChunkDeletedError, ChunkNotFoundError
from memvid.index.arrays import IntArray
from memvid.index.row_map import RowMap
from memvid.index.selection import Selection, SelectionCache
from memvid.index.words import Words
from memvid.page import is_json_of
from memvid.query import (
    Exists,
    Filter,
    Value,
    missing_values_text,
    near_misses,
    near_misses_text,
    parse_filter,
    paths_of,
    strings_at,
)
from memvid.types import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from memvid.index.changed_records import ChangedRecords
    from memvid.index.segment_records import PageMetadata, RowWords, SegmentRecords
    from memvid.page import ChunkIds

__all__ = ["Records"]

_SAMPLE = 1000  # chunks with other metadata of which fields are suggested


class Records:
    """Frames, fields and words of all segments, without the chunks that were deleted.

    :param parts: each knows ids above those of the one before.
    :param deleted: the chunks that were deleted; segments may or may not have them still.
    :param changed: metadata in place of what segments have.
    :param page_metadata: metadata of chunks where the segments do not say all.
    :param words: makes what finds words of the parts, numbered through; ``None`` if this index keeps none.
    :ivar row_map: rows of all chunks in the segments, deleted ones among them.
    """

    def __init__(
        self,
        parts: Sequence[SegmentRecords],
        deleted: ChunkIds,
        changed: ChangedRecords,
        page_metadata: PageMetadata,
        words: Callable[[], RowWords] | None,
    ) -> None:
        self.parts = tuple(parts)
        self.deleted = deleted
        self.changed = changed
        self.page_metadata = page_metadata
        self._words = words
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

    def ids_having(self, key: str, values: Collection[Value]) -> IntArray:
        """Ids of the chunks that have one of the values at a key of the metadata itself, ascending."""
        found = np.concatenate([np.empty(0, bool), *(part.having(key, values) for part in self.parts)])
        changed = self.row_map.rows(self.changed.ids)
        found[changed[changed >= 0]] = False
        rows = self.row_map.rows(np.array(self.changed.ids_having(key, values), np.int64))
        found[rows[rows >= 0]] = True
        return self.row_map.ids(np.flatnonzero(found if self.alive is None else found & self.alive))

    def near_misses(self, where: Where | Filter) -> dict[str, list[str]]:
        """For each path of the filter that no chunk has, similar ones that some have."""
        unknown = [path for path in parse_filter(where).paths if not self.select(Exists(path)).count]
        if not unknown:
            return {}
        known = {path for part in self.parts for path in part.paths()}
        for chunk_id in self.changed.ids[:_SAMPLE].tolist():
            known |= paths_of(self.changed.value(chunk_id) or {})
        return near_misses(unknown, known)

    def why_none(self, where: Where | Filter) -> str:
        """Which fields or values of a filter no chunk has, and similar ones there are; ``""`` where that is not it."""
        return near_misses_text(self.near_misses(where)) or missing_values_text(
            parse_filter(where), lambda part: self.select(part).count > 0, self._strings
        )

    def _strings(self, path: str) -> set[str]:
        found = {string for part in self.parts for string in part.strings(path)}
        for chunk_id in self.changed.ids[:_SAMPLE].tolist():
            found |= strings_at(self.changed.value(chunk_id) or {}, path)
        return found

    @cached_property
    def words(self) -> Words | None:
        """The words of the chunks, if this index keeps any."""
        return None if self.row_words is None else Words(self.row_words, self.row_map, self.alive)

    @cached_property
    def row_words(self) -> RowWords | None:
        """The words of the rows, deleted ones among them."""
        return None if self._words is None else self._words()

    def living(self, ids: IntArray) -> IntArray:
        """Those of the ids that were not deleted."""
        return ids[~self.deleted.contains(ids)] if len(self.deleted.starts) else ids

    def differing(self, ids: IntArray, metadatas: Sequence[bytes]) -> list[int]:
        """Places of the chunks of which the index keeps other metadata than these, as they are stored.

        It keeps them of chunks whose metadata were changed, and in old segments.

        :raises IndexFormatError: they are no text.
        """
        changed = {at: json for at, chunk in enumerate(ids.tolist()) if (json := self.changed.json(chunk)) is not None}
        found = [at for at, json in changed.items() if not is_json_of(json, metadatas[at])]
        for part, at in self._split(ids):
            places = [place for place in at.tolist() if place not in changed]
            found += [places[each] for each in part.differing(ids[places], [metadatas[place] for place in places])]
        return found

    def check(self) -> None:
        """As :meth:`SegmentRecords.check`, of all segments."""
        for part in self.parts:
            part.check()

    def close(self) -> None:
        """Close all segments."""
        for name in ("words", "row_words"):  # which look at their mappings
            self.__dict__.pop(name, None)
        for part in self.parts:
            part.close()

    def _mask(self, where: Filter) -> npt.NDArray[np.bool_]:
        """bool[rows]: the chunks that pass, without those that were deleted."""
        mask = np.concatenate([np.empty(0, bool), *(part.mask(where) for part in self.parts)])
        rows = self.row_map.rows(self.changed.ids)
        for row, chunk_id in zip(rows.tolist(), self.changed.ids.tolist(), strict=True):
            if row >= 0:
                mask[row] = where.matches(self.changed.value(chunk_id) or {})
        return mask if self.alive is None else mask & self.alive

    def _split(self, ids: IntArray) -> list[tuple[SegmentRecords, IntArray]]:
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
