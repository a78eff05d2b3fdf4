"""Where the index of a video is: inside it, or beside it."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from memvid.storage.commit import default_index_file
from memvid.storage.files import open_regular
from memvid.storage.inner_index import find_manifest, find_page_table
from memvid.types import StrPath

__all__ = ["find_index"]

_LIMIT = 1 << 20  # bytes of a manifest


def find_index(video_file: StrPath, index_file: StrPath | None = None) -> Path:
    """The file that the manifest of a video's index is in: the one that was given, else the video itself if it has one
    inside, else ``<stem>_index.json`` beside it, there or not.

    Where there are both, the one inside counts if it is that of the frames that the video has.
    """
    if index_file is not None:
        return Path(index_file)
    video, beside = Path(video_file), default_index_file(video_file)
    with suppress(OSError, ValueError), open_regular(video) as file:
        manifest = find_manifest(file, limit=_LIMIT)
        if manifest is not None and (not beside.exists() or _fits(file, manifest.data)):
            return video
    return beside


def _fits(file: BinaryIO, manifest: bytes) -> bool:
    """Whether a manifest names the page table that is in the video."""
    table = find_page_table(file)
    try:
        named = json.loads(manifest)["video"]["digest"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return False
    return table is not None and bool(named == hashlib.sha256(table).hexdigest())
