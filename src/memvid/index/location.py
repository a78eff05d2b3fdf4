"""Where the index of a video is: inside it, or beside it; and where a new one goes."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from memvid.index.manifest import numbered_files
from memvid.storage.commit import default_index_file
from memvid.storage.files import open_regular
from memvid.storage.inner_index import find_manifest, find_page_table
from memvid.storage.journal import journal_file
from memvid.types import StrPath

__all__ = ["find_index", "has_traces", "table_digest"]

_LIMIT = 1 << 20  # bytes of a manifest


def find_index(video_file: StrPath, index_file: StrPath | None = None) -> Path:
    """The file that the manifest of a video's index is in: the one that was given, else the video itself if it has one
    inside, else ``<stem>_index.json`` beside it, there or not.

    Where there are both, the one inside counts if it is that of the frames that the video has; but not if the other one
    is, too, and knows of chunks that the video has lost since. Where a commit of the one beside it was cut off, that is
    to be finished first.
    """
    if index_file is not None:
        return Path(index_file)
    video, beside = Path(video_file), default_index_file(video_file)
    if os.path.lexists(journal_file(beside)):
        return beside
    with suppress(OSError, ValueError), open_regular(video) as file:
        manifest = find_manifest(file, limit=_LIMIT)
        if manifest is not None and (not beside.exists() or _is_of(file, manifest.data, beside)):
            return video
    return beside


def has_traces(index_file: Path) -> bool:
    """Whether a file of an index beside a video is there: its manifest, or a side file."""
    with suppress(FileNotFoundError):
        return os.path.lexists(index_file) or bool(numbered_files(index_file))
    return False


def table_digest(file: BinaryIO) -> str | None:
    """The digest of the page table that counts in a video, by which indexes name it; ``None`` if there is none."""
    table = find_page_table(file)
    return None if table is None else hashlib.sha256(table).hexdigest()


def _is_of(file: BinaryIO, inner: bytes, beside: Path) -> bool:
    """Whether the manifest in a video is the one of its frames, and not the one beside it."""
    digest = table_digest(file)
    named, _ = _read_names(inner)
    if named is None or named != digest:
        return False
    with suppress(OSError), open_regular(beside) as outer:
        return _read_names(outer.read(_LIMIT)) != (digest, True)
    return True


def _read_names(manifest: bytes) -> tuple[object, bool]:
    """The digest of the page table that a manifest names, and whether it says that chunks are missing."""
    try:
        content = json.loads(manifest)
        return content["video"]["digest"], bool(content.get("missing"))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None, False
