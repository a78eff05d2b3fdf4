"""Metadata that was changed after its segment was written: it takes the place of what the segment has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memvid.errors import FrameError, IndexFormatError
from memvid.index.manifest import MEND
from memvid.page import ChangedMetadata, decode_changed_metadata, read_metadata
from memvid.query import value_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from memvid.index.arrays import IntArray
    from memvid.query import Value
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

    def ids_having(self, key: str, values: Collection[Value]) -> list[int]:
        """Ids of the chunks that have one of the values at a key of the metadata itself now, in no list or object."""
        read = ((chunk_id, self._read(data)) for chunk_id, data in self.metadata.items())
        return [chunk_id for chunk_id, metadata in read if key in metadata and value_of(metadata[key]) in values]

    def _read(self, data: bytes) -> JsonObject:
        value, fault = read_metadata(data)
        if fault is not None:
            raise IndexFormatError(f"{self._path} holds metadata that cannot be used: {fault}: {MEND}")
        return value
