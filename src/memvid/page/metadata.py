"""A chunk's metadata as bytes: compact JSON of an object. What a writer stores, and what of any bytes can be used."""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from memvid.errors import FrameError, MetadataError
from memvid.workers import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from memvid.types import JsonObject

__all__ = [
    "ReadMetadata",
    "decode_metadata",
    "decoded_bytes",
    "encode_metadata",
    "is_json_of",
    "metadata_json",
    "read_metadata",
]

_T = TypeVar("_T")
_R = TypeVar("_R")

_MOST_DECODED = (256 << 20) + 4096  # bytes of memory that one object may take: a string as long as a chunk can be
_NESTED = 100  # brackets from which on it may depend on the caller's stack whether they can be read
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class ReadMetadata(NamedTuple):
    """What comes of stored metadata.

    :ivar value: the object, ``{}`` if there is none or if it cannot be used.
    :ivar fault: why it cannot be used, else ``None``.
    """

    value: JsonObject
    fault: str | None = None


def encode_metadata(metadata: object) -> bytes:
    """Compact JSON of a chunk's metadata, insertion order kept; ``None`` and ``{}`` are no bytes at all.

    :raises MetadataError: it is no ``dict``, or would not come back equal: NaN or infinity, keys that are not strings,
        tuples, values JSON does not have, a circle.
    """
    if metadata is None:
        return b""
    if not isinstance(metadata, dict):
        raise MetadataError(f"metadata is a {type(metadata).__name__}: expected a dict with string keys, or None")
    if not metadata:
        return b""
    try:
        data = _to_json(metadata).encode()
        value, fault = read_metadata(data)
        exact = value == metadata
    except (TypeError, ValueError, RecursionError) as error:
        raise MetadataError(f"metadata cannot be stored as JSON: {error}") from error
    if fault is not None:
        raise MetadataError(f"metadata cannot be stored as JSON: {fault}")
    if not exact:
        raise MetadataError(
            f"metadata {metadata!r:.200} would come back from JSON changed: use strings as keys and lists for tuples"
        )
    return data


def read_metadata(data: bytes) -> ReadMetadata:
    """What can be used of any stored bytes: an object that could be stored again as it is read.

    So no NaN, no number beyond the floating-point ones (``1e999``), no lone surrogate (``"\\ud800"``), no deeper
    nesting than Python's JSON takes, and nothing that takes more than 256 MiB of memory. Spaces between tokens do no
    harm, nor do keys that are there twice: the last one counts. The answer does not depend on how deep the caller's own
    stack is.
    """
    if not data:
        return ReadMetadata({})
    if (needed := decoded_bytes(data)) > _MOST_DECODED:
        return ReadMetadata({}, f"it may take {needed} bytes of memory, the limit is {_MOST_DECODED}")
    try:
        return ReadMetadata((_on_own_stack if _is_nested(data) else _on_any_stack)(_parse, data))
    except RecursionError:
        return ReadMetadata({}, "it is nested too deeply")
    except ValueError as error:
        return ReadMetadata({}, str(error))


def decode_metadata(data: bytes, *, frame_index: int = -1) -> JsonObject:
    """Metadata as it was given; ``{}`` for no bytes.

    :raises FrameError: it cannot be used, see :func:`read_metadata`.
    """
    value, fault = read_metadata(data)
    if fault is not None:
        raise FrameError(f"frame {frame_index}: metadata cannot be used: {fault}", frame_index=frame_index)
    return value


def decoded_bytes(data: bytes) -> int:
    """Memory that the object takes which stored metadata is read into, at most, without reading it."""
    wide = b"\\u" in data or not data.isascii()  # one wide character makes all of its string wide
    objects = 240 * data.count(b"{") + 120 * (data.count(b"[") + data.count(b","))
    return len(data) * (4 if wide else 1) + objects


def metadata_json(metadata: JsonObject) -> str:
    """Compact JSON of metadata, as an index keeps it; nothing for ``{}``.

    :raises MetadataError: it is not JSON, or has a lone surrogate.
    """
    if not metadata:
        return ""
    try:
        return _on_any_stack(_to_json, metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise MetadataError(f"metadata is not JSON: {error}") from error


def is_json_of(json: str, data: bytes) -> bool:
    """Whether what an index keeps is :func:`metadata_json` of what stored bytes come to."""
    return json.encode() == data or json == metadata_json(read_metadata(data).value)


def _parse(data: bytes) -> JsonObject:
    try:
        value = _DECODER.decode(data.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"it is a JSON {type(value).__name__}, not an object")
    if _ESCAPED_SURROGATE.search(data) or _is_nested(data):
        _to_json(value)  # reading alone does not prove that it can be written
    return value


def _is_nested(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") > _NESTED


def _to_json(metadata: object) -> str:
    text = json.dumps(metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"it has the lone surrogate U+{ord(text[error.start]):04X}") from error
    return text


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"its number {number:.40} is beyond all floating-point numbers")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"it is not JSON: {name} is none of its numbers")


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _on_any_stack(function: Callable[[_T], _R], argument: _T) -> _R:
    """Call a function, on a stack of its own if what is left of the caller's is too little."""
    try:
        return function(argument)
    except RecursionError:
        return _on_own_stack(function, argument)


def _on_own_stack(function: Callable[[_T], _R], argument: _T) -> _R:
    with WorkerPool(1, name="memvid-metadata") as pool:
        return pool.submit(partial(function, argument)).result()
