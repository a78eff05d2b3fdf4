"""The body of a COMMIT page: what an append changes, as a JSON object. ``docs/format.md`` is normative."""

from __future__ import annotations

import json
from typing import Any

from memvid.checks import ID_LIMIT, is_int, is_text
from memvid.errors import FrameError
from memvid.remedies import REMEDY
from memvid.types import CommitInfo

__all__ = ["decode_commit", "encode_commit"]

_COUNTS = {
    "commit": "number",
    "first_chunk": "first_chunk",
    "added": "added",
    "deleted": "deleted",
    "changed": "changed",
    "chunks": "chunks",
}
_WORDS = ("date", "message")


def encode_commit(info: CommitInfo) -> bytes:
    """The body of its page."""
    content: dict[str, Any] = {"commit": info.number}
    content.update({name: value for name in _WORDS if (value := getattr(info, name)) is not None})
    content.update({name: getattr(info, attribute) for name, attribute in _COUNTS.items()})
    return json.dumps(content, ensure_ascii=False).encode()


def decode_commit(body: bytes, *, frame_index: int = -1) -> CommitInfo:
    """What a commit page says; names that it does not know are skipped.

    :raises FrameError: it is no JSON object, or a value is missing or cannot be.
    """
    try:
        content = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise _error(f"is no JSON: {error}", frame_index) from error
    if not isinstance(content, dict):
        raise _error("is no JSON object", frame_index)
    counts: dict[str, Any] = {attribute: content.get(name) for name, attribute in _COUNTS.items()}
    words: dict[str, Any] = {name: content.get(name) for name in _WORDS}
    sound = all(is_int(value, 0, ID_LIMIT) for value in counts.values()) and all(
        value is None or is_text(value) for value in words.values()
    )
    if not sound:
        raise _error("lacks a number, or has one that cannot be", frame_index)
    return CommitInfo(**counts, **words)


def _error(what: str, frame_index: int) -> FrameError:
    return FrameError(
        f"frame {frame_index}: its commit page {what}; the video is damaged: {REMEDY}", frame_index=frame_index
    )
