"""The header page: what a file of QR codes is and how to read it, in plain words, and the memory's parameters."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from memvid._core import PAGE_FORMAT_VERSIONS
from memvid.checks import ID_LIMIT, is_int, is_text
from memvid.errors import UnsupportedVideoError, VideoFormatError
from memvid.page.header import FORMAT_VERSION
from memvid.types import ChunkRanges

__all__ = ["HeaderInfo", "decode_header_body", "encode_header_body", "memory_tag"]

_EXPLANATION = """\
This is a memvid memory: a text, cut into chunks, in a sequence of QR codes. To read the rest you need a QR reader \
that gives raw bytes, and a zstd library (RFC 8878).

Each code holds one page: a header of 28 bytes, then a body. Numbers are little endian.
 0 magic 89 4D 56 (hex) | 3 format version, 1 byte | 4 kind, 1 byte | 5 flags, 1 byte | 6 count, 2 bytes: chunks that \
start here | 8 tag, 4 bytes, the same in all pages | 12 page number, 4 bytes, from 0 | 16 id of the first chunk, 8 \
bytes | 24 checksum, 4 bytes: CRC-32 (as in zip and PNG) of bytes 0 to 23 and the body.
Kinds: 0 this page, 1 dictionary, 2 data, 3 continuation, 4 deleted chunks, 5 parity, 6 metadata of bare texts, 7 \
commit, 8 changed metadata. Flags: 1 the body is a zstd frame; 2 that frame needs the dictionary; 4 the body is one \
part of a larger one: it starts with part number and number of parts, 4 bytes each. Join the parts of successive \
pages (the first has its own kind, the rest kind 3), then decompress. The dictionary (kind 1, if there is one) comes \
first: a zstd dictionary, compressed. Kinds 0 and 1 may be there once more, as a copy.
A varint is a number, 7 bits a byte, lowest first, high bit set on all but the last byte. A data body holds, for each \
of its count chunks, the length of its text and the length of its metadata as varints; then all texts in UTF-8; then \
all metadata, JSON in UTF-8. The ids of a page's chunks count up from the first one's, in the header.
Kind 4 lists runs of deleted ids, as pairs of varints: ids between the run before and this one, ids in this one. Kind \
8 has, for each of some chunks, a varint (its id less the one before, less 1; the first: its id), the length of its \
new metadata, and that; the latest counts. Kind 7 stands before each later change: JSON that says what it is. Kind 5 \
brings lost codes back (Reed-Solomon, as by zfec); others are read without it.
If "bare" below is true, the data codes hold plain UTF-8 text, one chunk each, without header; kind 6 has their \
metadata, laid out like data with texts of length 0. If there is a "cover", the first code is text for people.
Parameters:
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderInfo:
    """Parameters of a memory, as its header page has them.

    :ivar memory_id: SHA-256 over chunks and options in hexadecimal; :func:`memory_tag` is its start.
    :ivar chunks: chunks the video was built with; later appends and deletions are not counted.
    :ivar text_bytes: their UTF-8 bytes.
    :ivar symbol_version: QR symbol version of all frames.
    :ivar error_correction: QR error correction level, ``"L"``, ``"M"``, ``"Q"`` or ``"H"``.
    :ivar bare: whether each data frame holds one bare text.
    :ivar compression: ``"zstd"`` or ``"none"``.
    :ivar dictionary_pages: pages the dictionary takes, right behind the header; 0 if there is none.
    :ivar dictionary_bytes: its size when decompressed.
    :ivar model: name of the embedding model the index was built with, which a rebuilt index should use, if known.
    :ivar dim: length of its vectors.
    :ivar model_digest: SHA-256 of its files in hexadecimal, if it has any.
    :ivar next_chunk: no chunk that is appended gets an id below it, if it is above the last one's.
    :ivar compression_level: zstd level of the build, which appends use too, if it was not the default.
    :ivar chunks_per_frame: at most so many chunks a frame, in appends too, if that was limited.
    :ivar parity: parity frames for each frame, in appends too, if there are any.
    :ivar writer: name and version of the program that wrote the file.
    :ivar cover: CRC-32 of the text that the cover's code has, if the video begins with one.
    :ivar title: what the memory is called, if its builder said so.
    :ivar date: when it was built, if its builder said so.
    :ivar message: what its builder said of the build.
    :ivar lost: chunks that were lost before a repair wrote this page, first and last id of each run; some that are
        there may be among them.
    :ivar format_version: of the build's pages; those that were appended may be of a later one.
    """

    memory_id: str
    chunks: int
    text_bytes: int
    symbol_version: int
    error_correction: str
    bare: bool
    compression: str
    dictionary_pages: int = 0
    dictionary_bytes: int = 0
    model: str | None = None
    dim: int | None = None
    model_digest: str | None = None
    next_chunk: int | None = None
    compression_level: int | None = None
    chunks_per_frame: int | None = None
    parity: float | None = None
    writer: str | None = None
    cover: int | None = None
    title: str | None = None
    date: str | None = None
    message: str | None = None
    lost: ChunkRanges | None = None
    format_version: int = FORMAT_VERSION

    @property
    def is_covered(self) -> bool:
        """Whether what is written of this memory gets a cover, if frames have room: no, if it was built without one."""
        return self.cover is not None or self.format_version < 2  # there were none

    @property
    def tag(self) -> int:
        """The memory's tag, which every page carries."""
        return memory_tag(self.memory_id)


_REQUIRED: dict[str, type] = {
    "format_version": int,
    "memory_id": str,
    "chunks": int,
    "text_bytes": int,
    "symbol_version": int,
    "error_correction": str,
    "bare": bool,
    "compression": str,
    "dictionary_pages": int,
    "dictionary_bytes": int,
}
_OPTIONAL: dict[str, type] = {
    "model": str,
    "dim": int,
    "model_digest": str,
    "next_chunk": int,
    "compression_level": int,
    "chunks_per_frame": int,
    "parity": float,
    "writer": str,
    "cover": int,
    "title": str,
    "date": str,
    "message": str,
    "lost": list,
}

_WORDS = ("title", "date", "message")  # they are drawn and printed


def memory_tag(memory_id: str) -> int:
    """The first four bytes of a memory's id as a little endian number."""
    return int.from_bytes(bytes.fromhex(memory_id[:8]), "little")


def encode_header_body(info: HeaderInfo) -> bytes:
    """Body of the header page: the explanation, then one line of JSON. Plain UTF-8, never compressed.

    About 2 KB: one code of version 40-L, a run of pages in smaller ones.
    """
    values = {name: value for name, value in asdict(info).items() if value is not None}
    ordered = {"memvid": "memory", "format_version": values.pop("format_version"), **values}
    return (_EXPLANATION + json.dumps(ordered) + "\n").encode()


def decode_header_body(body: bytes) -> HeaderInfo:
    """Parameters from the last line of a header page's body; the words before and unknown names are skipped.

    :raises VideoFormatError: there is no such line, or a parameter is missing or cannot be.
    :raises UnsupportedVideoError: the memory is in another format version.
    """
    try:
        values = json.loads(body.decode().rstrip("\n").rpartition("\n")[2])
    except (ValueError, RecursionError) as error:
        raise _error(f"does not end in a line of JSON: {error}") from error
    if not isinstance(values, dict):
        raise _error("does not end in a JSON object")
    known = {field.name: _parameter(values, field.name) for field in fields(HeaderInfo)}
    if known["format_version"] not in PAGE_FORMAT_VERSIONS:
        readable = " and ".join(map(str, PAGE_FORMAT_VERSIONS))
        raise UnsupportedVideoError(
            f"the memory is in format version {known['format_version']}, this release reads {readable}: "
            "install a newer memvid to read this video"
        )
    if not re.fullmatch("[0-9a-f]{64}", known["memory_id"]):
        raise _error(f"has memory_id={known['memory_id']!r:.80}, expected 64 hexadecimal digits")
    return HeaderInfo(**known)


def _parameter(values: dict[str, Any], name: str) -> Any:
    value = values.get(name)
    if value is None and name in _OPTIONAL:
        return None
    if name not in values:
        raise _error(f"has no {name!r}")
    expected = _REQUIRED.get(name) or _OPTIONAL[name]
    if type(value) is not expected or (isinstance(value, int) and not 0 <= value <= ID_LIMIT):
        raise _error(f"has {name}={_short(value)}, expected {expected.__name__}")
    if name in _WORDS and not is_text(value):
        raise _error(f"has {name}={_short(value)}, which has halves of characters")
    return _runs(value) if isinstance(value, list) else value


def _runs(value: list[Any]) -> ChunkRanges:
    """First and last ids of runs of chunks."""
    for run in value:
        sound = isinstance(run, list) and len(run) == 2 and all(is_int(edge, 0, ID_LIMIT) for edge in run)
        if not sound or run[0] > run[1]:
            raise _error(f"has a run of lost chunks that is {run!r:.80}")
    return tuple((first, last) for first, last in value)


def _short(value: object) -> str:
    large = isinstance(value, int) and abs(value) > ID_LIMIT  # Python refuses to write out numbers of 4300 digits
    return "a number of more than 62 bits" if large else f"{value!r:.80}"


def _error(what: str) -> VideoFormatError:
    return VideoFormatError(f"the header page {what}; the video is damaged or was not made by memvid")
