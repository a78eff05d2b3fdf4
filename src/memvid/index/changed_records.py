"""Metadata that was changed after its segment was written: it takes the place of what the segment has."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from memvid.errors import FrameError, IndexFormatError
from memvid.index.filters import attributes_of
from memvid.index.manifest import MEND
from memvid.page import ChangedMetadata, decode_changed_metadata, read_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from memvid.index.arrays import IntArray
    from memvid.types import JsonObject

__all__ = ["ChangedRecords"]


class ChangedRecords:
    """What the file of changed metadata says. It is read when it is first asked, and then in memory.

    :param path: where it is, for errors; of an index without one, anything.
    :param data: its content, the body of a METADATA page; nothing, if there is none.
    :ivar metadata: by chunk, as it is stored.
    :raises IndexFormatError: it is no such body.
    """

    def __init__(self, path: Path, data: bytes = b"") -> None:
        self._path = path
        try:
            self.metadata: ChangedMetadata = decode_changed_metadata(data)
        except FrameError as error:
            raise IndexFormatError(f"{path} is no list of changed metadata: {MEND}") from error

    def __len__(self) -> int:
        return len(self.metadata)

    @property
    def ids(self) -> IntArray:
        """The chunks, ascending."""
        return self.metadata.ids

    @property
    def fields(self) -> set[str]:
        """Metadata fields that can be filtered by."""
        return set(self._found)

    def json(self, chunk_id: int) -> str | None:
        """The metadata of a chunk as it is kept, nothing if it has none; ``None`` if it was not changed.

        :raises IndexFormatError: it is no text.
        """
        data = self.metadata.get(chunk_id)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError as error:
            raise IndexFormatError(f"{self._path} holds metadata that is no text: {MEND}") from error

    def value(self, chunk_id: int) -> JsonObject | None:
        """The same as an object.

        :raises IndexFormatError: it cannot be used.
        """
        data = self.metadata.get(chunk_id)
        return None if data is None else self._read(data)

    def ids_matching(self, field: str, values: Sequence[bytes]) -> IntArray:
        """Ids of the chunks that have one of the values in a field now, in any order."""
        having = self._found.get(field, {})
        return np.array([chunk_id for value in values for chunk_id in having.get(value, ())], np.int64)

    def filter_runs(self) -> Iterator[tuple[str, bytes, int]]:
        """All that filters go by: a field, a value, and a chunk that has it."""
        for field, having in self._found.items():
            for value, ids in having.items():
                yield from ((field, value, chunk_id) for chunk_id in ids)

    @cached_property
    def _found(self) -> dict[str, dict[bytes, list[int]]]:
        """Chunks by field and value."""
        found: dict[str, dict[bytes, list[int]]] = {}
        for chunk_id, data in self.metadata.items():
            for field, token in attributes_of(self._read(data)).items():
                found.setdefault(field, {}).setdefault(token, []).append(chunk_id)
        return found

    def _read(self, data: bytes) -> JsonObject:
        value, fault = read_metadata(data)
        if fault is not None:
            raise IndexFormatError(f"{self._path} holds metadata that cannot be used: {fault}: {MEND}")
        return value
