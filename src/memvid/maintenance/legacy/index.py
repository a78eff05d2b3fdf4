"""The index of an old memory: JSON with a copy of every text. Its vectors, in a file of their own, are not read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from memvid.errors import IndexFileError, IndexFormatError, IndexNotFoundError
from memvid.maintenance.legacy.codes import as_number, other_names
from memvid.storage.files import open_regular
from memvid.types import JsonObject, StrPath

__all__ = ["OldEntry", "read_index"]

_MAX_BYTES = 1 << 30  # of JSON, which takes several times as much in memory


@dataclass(frozen=True, slots=True)
class OldEntry:
    """One chunk as the index has it.

    :ivar chunk_id: its id.
    :ivar frame: the frame that should hold it, if the index says so.
    :ivar text: the index's copy of the text, if it has one.
    :ivar metadata: whatever else the entry has. The real writer has nothing else.
    """

    chunk_id: int
    frame: int | None
    text: str | None
    metadata: JsonObject


def read_index(path: StrPath) -> list[OldEntry]:
    """All chunks of an old index, by ascending ids.

    :raises IndexNotFoundError: there is no such file.
    :raises IndexFormatError: it is larger than 1 GiB, damaged, or no index of an old memory.
    """
    data = _load(Path(path))
    entries = data.get("metadata") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise IndexFormatError(
            f'{path} has no list "metadata": it is not an index of memvid 0.1.3; a video alone can be imported, too'
        )
    found: list[OldEntry] = []
    for at, value in enumerate(entries):
        entry = _entry(value)
        if entry is None or (found and entry.chunk_id <= found[-1].chunk_id):
            raise IndexFormatError(
                f'{path}: entry {at} of "metadata" has no id, or not one above that of the entry before: the index is '
                "damaged; import the video alone"
            )
        found.append(entry)
    return found


def _load(path: Path) -> object:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _MAX_BYTES:
                raise IndexFormatError(f"{path} has {size} bytes, the limit is {_MAX_BYTES}: import the video alone")
            return json.loads(file.read(_MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IndexNotFoundError(f"there is no index {str(path)!r}: check the path") from error
    except IndexFormatError:
        raise
    except OSError as error:
        raise IndexFileError(
            f"index {str(path)!r} cannot be read: {error.strerror}; a video alone can be imported, too"
        ) from error
    except (ValueError, RecursionError) as error:
        raise IndexFormatError(f"{path} is not JSON: {error}; a video alone can be imported, too") from error


def _entry(value: object) -> OldEntry | None:
    chunk_id = as_number(value.get("id")) if isinstance(value, dict) else None
    if chunk_id is None or not isinstance(value, dict):
        return None
    text = value.get("text")
    return OldEntry(
        chunk_id, as_number(value.get("frame")), text if isinstance(text, str) else None, other_names(value)
    )
