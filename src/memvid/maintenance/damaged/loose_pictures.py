"""The PNG pictures of a file that nothing leads to any more, and what can be read out of damaged ones.

The native reader wants a sound container and a sound picture. Here a frame is found by its first bytes, and read as far
as its data goes: rows that are missing are white, and the error correction of the QR code makes up for a few. What
comes out counts only when its checksum says so.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.video.video_bytes import VideoBytes

__all__ = [
    "MAX_FRAME_BYTES",
    "Size",
    "SymbolStyle",
    "check_picture",
    "find_pictures",
    "picture_pixels",
    "picture_size",
    "read_payloads",
    "symbol_style",
]

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

SymbolStyle: TypeAlias = tuple[str, int]
"""Error correction level and data mask of a QR code."""

MAX_FRAME_BYTES = 8 << 20

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_AT = 12  # of the name IHDR in a picture
_MAX_SIDE = 512  # as the native reader has it
_DETECTOR_SCALE = 4


def find_pictures(data: VideoBytes) -> list[int]:
    """Where pictures start, ascending: by their signature, or by the name of their first chunk."""
    found = set(data.find_all(_SIGNATURE))
    found |= {at - _HEADER_AT for at in data.find_all(b"IHDR") if at >= _HEADER_AT}
    return sorted(found)


def check_picture(png: bytes) -> str | None:
    """What is wrong with the chunks of a picture, in words; ``None`` if their checksums hold up to the end."""
    if not png.startswith(_SIGNATURE):
        return "its signature is damaged"
    at = len(_SIGNATURE)
    while at + 12 <= len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        end = at + 12 + length
        if end > len(png):
            return "a chunk of it goes on behind its end"
        if zlib.crc32(png[at + 4 : end - 4]) != int.from_bytes(png[end - 4 : end], "big"):
            return f"the checksum of its chunk {name.decode('ascii', 'replace')!r} is wrong"
        if name == b"IEND":
            return None
        at = end
    return "its last chunk is missing"


def picture_size(png: bytes) -> Size | None:
    """What a picture says of its size, if that is sound."""
    header = png[_HEADER_AT : _HEADER_AT + 17]
    if len(header) < 17 or header[:4] != b"IHDR":
        return None
    if zlib.crc32(header) != int.from_bytes(png[_HEADER_AT + 17 : _HEADER_AT + 21], "big"):
        return None
    width, height, depth, *rest = struct.unpack_from(">IIBBBBB", header, 4)
    possible = 0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE and depth == 1 and not any(rest)
    return (width, height) if possible else None


def picture_pixels(png: bytes, size: Size) -> NDArray[np.uint8] | None:
    """``uint8[height, width]``, 0 black, 255 white; rows that are not there are white."""
    width, height = size
    pitch = (width + 7) // 8 + 1
    raw = _inflate(_stream(png), pitch * height)
    rows = len(raw) // pitch
    if not rows:
        return None
    lines = np.frombuffer(raw, np.uint8, rows * pitch).reshape(rows, pitch)
    packed = lines[:, 1:] if not lines[:, 0].any() else _unfilter(lines)
    pixels = np.full((height, width), 255, np.uint8)
    pixels[:rows] = np.unpackbits(packed, axis=1)[:, :width] * 255
    return pixels


def read_payloads(png: bytes, size: Size, budget: _core.DetectionBudget) -> Iterator[bytes]:
    """What QR readers make of a picture, the surest way first; nothing of it is verified.

    :param size: the size of the video's pictures.
    :param budget: what the detector may do in vain, with this picture and others.
    """
    pixels = picture_pixels(png, size)
    if pixels is None:
        return
    payload = _core.read_symbol(pixels, pure=True)
    if payload is not None:
        yield payload
    if budget.is_spent:
        return
    large = np.ascontiguousarray(np.repeat(np.repeat(pixels, _DETECTOR_SCALE, 0), _DETECTOR_SCALE, 1))
    payload = _core.read_symbol(large, budget=budget)
    if payload is not None:
        yield payload


def symbol_style(pixels: NDArray[np.uint8]) -> SymbolStyle | None:
    """Error correction level and data mask of an upright symbol of one pixel a module, from its format information.

    Five of its fifteen bits, those in row 8 from the left; nobody checks them here.
    """
    rows, columns = np.nonzero(pixels < 128)
    if not len(rows):
        return None
    top, left = int(rows.min()), int(columns.min())
    if rows.max() - top != columns.max() - left:  # a cover
        return None
    bits = pixels[top + 8 : top + 9, left : left + 5].ravel() < 128
    if len(bits) < 5:
        return None
    value = int("".join("01"[bit] for bit in bits.tolist()), 2) ^ 0b10101
    return "MLHQ"[value >> 3], value & 7


def _stream(png: bytes) -> bytes:
    """The joined data of a picture's IDAT chunks, as far as they can be told."""
    at = png.find(b"IDAT") - 4
    parts = []
    while at >= 0 and png[at + 4 : at + 8] == b"IDAT":
        length = int.from_bytes(png[at : at + 4], "big")
        parts.append(png[at + 8 : at + 8 + length])
        at += 12 + length
    if not parts and len(png) > 41:  # the name itself is damaged: where a picture of ours has its data
        parts.append(png[41:])
    return b"".join(parts)


def _inflate(stream: bytes, most: int) -> bytes:
    """Up to ``most`` bytes, also where the stream breaks off or its own checksum is wrong."""
    inflater = zlib.decompressobj(-15)
    out = bytearray()
    # In small steps: what was inflated before a fault is kept.
    for at in range(2, len(stream), 64):
        try:
            out += inflater.decompress(stream[at : at + 64], most - len(out) or 1)
            while inflater.unconsumed_tail and len(out) < most:
                out += inflater.decompress(inflater.unconsumed_tail, most - len(out))
        except zlib.error:
            break
        if len(out) >= most or inflater.eof:
            break
    return bytes(out[:most])


def _unfilter(lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo PNG's filters; rows with one that does not exist stay as they are."""
    rows, pitch = lines.shape
    out = np.zeros((rows, pitch - 1), np.uint8)
    above = [0] * (pitch - 1)
    for y in range(rows):
        kind, *line = lines[y].tolist()
        left = corner = 0
        for x, value in enumerate(line):
            up = above[x]
            predicted = (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind if kind <= 4 else 0]
            line[x] = left = (value + predicted) & 0xFF
            corner = up
        above = line
        out[y] = line
    return out


def _paeth(left: int, up: int, corner: int) -> int:
    by_left, by_up, by_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if by_left <= by_up and by_left <= by_corner:
        return left
    return up if by_up <= by_corner else corner
