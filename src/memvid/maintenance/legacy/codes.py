"""What one QR code of an old memory holds: a JSON object with a number and a text, packed if it is long."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memvid.allowance import Allowance
from memvid.checks import is_int
from memvid.types import JsonObject

__all__ = ["MAX_NUMBER", "OldCode", "parse_code", "text_allowance"]

MAX_NUMBER = 1 << 31
"""Frame numbers and chunk ids are below: ours go further, but what says more is not what it seems to be."""

_PACKED = b"GZ:"
_GZIP = 31  # zlib's number for a gzip header, at any window
# The largest code holds 2,953 bytes, and no more than 1,032 times the 2,212 that Base64 makes of them come out.
_MOST_TEXT = 4 << 20
# Bytes of all texts. An old video has at least as many bytes as its texts; a packed code of 3 kB may claim megabytes.
_EXPANSION = 8
_SMALL = 8 << 20
_OWN_NAMES = frozenset(("id", "text", "frame", "length"))


@dataclass(frozen=True, slots=True)
class OldCode:
    """One chunk as its frame has it.

    :ivar number: the frame it was made for, from 0; the chunk's id, too, as far as the frame knows.
    :ivar text: the chunk.
    :ivar metadata: whatever else the object has. The real writer has nothing else.
    :ivar nbytes: what it unpacked to.
    """

    number: int
    text: str
    metadata: JsonObject
    nbytes: int


def parse_code(payload: bytes) -> OldCode | None:
    """The chunk in a code; ``None`` if the code is not of an old memory. Never more than 4 MiB are unpacked."""
    try:
        data = _unpack(payload.removeprefix(_PACKED)) if payload.startswith(_PACKED) else payload
        value = json.loads(data.decode("ascii"), parse_constant=_refuse)
    except (ValueError, RecursionError, zlib.error):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return None
    number = as_number(value.get("frame", value.get("id")))
    return None if number is None else OldCode(number, value["text"], other_names(value), len(data))


def text_allowance(old: Sequence[Path]) -> Allowance:
    """What the texts of old files may come to."""
    limit = _SMALL + _EXPANSION * sum(path.stat().st_size for path in old)
    names = " and ".join(map(str, old))
    return Allowance(limit, f"the texts of {names} unpack to", "no memory of memvid 0.1.3 does, do not trust it")


def as_number(value: object) -> int | None:
    """A frame's number or a chunk's id, if it can be one."""
    return value if is_int(value, 0, MAX_NUMBER - 1) else None


def other_names(value: JsonObject) -> JsonObject:
    """What an object says beyond the text and where it is: neither frame nor length means anything in another file."""
    return {name: item for name, item in value.items() if name not in _OWN_NAMES}


def _unpack(packed: bytes) -> bytes:
    inflater = zlib.decompressobj(_GZIP)
    data = inflater.decompress(base64.b64decode(packed, validate=True), _MOST_TEXT)
    if not inflater.eof:  # gzip's own checksum comes last
        raise ValueError("the packed text is cut off, or too large")
    return data


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
