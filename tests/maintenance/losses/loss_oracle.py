"""What of a damaged video can still be read, by other programs: FFmpeg decodes it, the zxing-cpp wheel reads the codes.

The pages are put together by a second, small implementation of docs/format.md.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.maintenance.losses.loss_damages import png_pictures, read_pictures

__all__ = ["Readable", "look"]

_HEAD = struct.Struct("<3sBBBHIIQI")
_HEADER, _DICTIONARY, _DATA, _CONTINUATION, _PARITY = 0, 1, 2, 3, 5


@dataclass(slots=True)
class Readable:
    """What is there.

    :ivar texts: chunks of pages by id, deleted ones among them.
    :ivar bare: texts that stand alone in a code, in the order of the video.
    :ivar header: whether the header page is whole.
    """

    texts: dict[int, str] = field(default_factory=dict)
    bare: list[str] = field(default_factory=list)
    header: bool = False


def look(video: Path, tag: int, *, loose: bool = True) -> Readable:
    """Everything that a picture of the video yields, and what parity makes of it.

    :param loose: also what lies in the file and no player shows, and first pages put together of two copies.
    """
    found = Readable()
    pages: dict[int, bytes] = {}
    for payload in _payloads(video, loose=loose):
        if payload[:1] != b"\x89":
            text = _text(payload)
            if text is not None:
                found.bare.append(text)
        elif len(payload) >= _HEAD.size and payload[:3] == b"\x89MV":
            fields = _HEAD.unpack_from(payload)
            if fields[5] == tag and zlib.crc32(payload[28:], zlib.crc32(payload[:24])) == fields[8]:
                pages.setdefault(fields[6], payload)
    _rebuild(pages)
    if loose:
        _complete(pages)
    bodies = list(_bodies(pages))
    found.header = any(kind == _HEADER for kind, *_ in bodies)
    dictionary = next((_plain(flags, body, None) for kind, flags, _, _, body in bodies if kind == _DICTIONARY), None)
    for kind, flags, count, first, body in bodies:
        if kind == _DATA and (not flags & 2 or dictionary is not None):
            found.texts |= _chunks(_plain(flags, body, dictionary), count, first)
    return found


def _payloads(video: Path, *, loose: bool) -> Iterator[bytes]:
    import cv2

    seen = read_pictures(video)
    for data in png_pictures(video.read_bytes()) if loose else ():
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if picture is not None:
            seen.append(np.asarray(picture, np.uint8))
    for picture in seen:
        payload = _read_code(picture)
        if payload is not None:
            yield payload


def _read_code(picture: NDArray[np.uint8]) -> bytes | None:
    import zxingcpp

    scale = 4 if picture.shape[0] < 220 else 1
    large = np.ascontiguousarray(picture.repeat(scale, 0).repeat(scale, 1))
    codes = zxingcpp.read_barcodes(large, formats=zxingcpp.barcode_formats_from_str("QRCode"))
    return bytes(codes[0].bytes) if codes else None


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _bodies(pages: dict[int, bytes]) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Kind, flags, count, first chunk and stored body of every whole page and run."""
    for number, payload in sorted(pages.items()):
        _, _, kind, flags, count, _, _, first, _ = _HEAD.unpack_from(payload)
        if kind == _CONTINUATION:
            continue
        if not flags & 4:
            yield kind, flags, count, first, payload[28:]
            continue
        parts = struct.unpack_from("<I", payload, 32)[0]
        if all(number + part in pages for part in range(parts)):
            yield kind, flags, count, first, b"".join(pages[number + part][36:] for part in range(parts))


def _complete(pages: dict[int, bytes]) -> None:
    """Add pages that are lost of header page or dictionary, and left of their copies."""
    for wanted in (_HEADER, _DICTIONARY):
        heads = [number for number, page in sorted(pages.items()) if page[4] == wanted and page[5] & 4]
        for number in heads:
            for part in range(1, struct.unpack_from("<I", pages[number], 32)[0]):
                copy = next((pages[head + part] for head in heads if head + part in pages), None)
                if copy is not None:
                    pages.setdefault(number + part, copy)


def _plain(flags: int, body: bytes, dictionary: bytes | None) -> bytes:
    import zstandard

    if not flags & 1:
        return body
    keyed = zstandard.ZstdCompressionDict(dictionary) if flags & 2 and dictionary is not None else None
    return bytes(zstandard.ZstdDecompressor(dict_data=keyed).decompress(body))


def _chunks(body: bytes, count: int, first: int) -> dict[int, str]:
    at, lengths = 0, []
    for _ in range(2 * count):
        value = shift = 0
        while True:
            value |= (body[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if body[at - 1] < 0x80:
                break
        lengths.append(value)
    texts = {}
    for slot, length in enumerate(lengths[::2]):
        texts[first + slot] = body[at : at + length].decode()
        at += length
    return texts


def _rebuild(pages: dict[int, bytes]) -> None:
    """Add what parity gives."""
    groups: dict[tuple[int, ...], dict[int, bytes]] = {}
    for number, payload in pages.items():
        if payload[4] == _PARITY:
            first, frames, count, parity, group, index = struct.unpack_from("<IIHHHH", payload, 28)
            start = number - group * parity - index
            groups.setdefault((first, frames, count, parity, group, start), {})[index] = payload[44:]
    for (first, frames, count, parity, group, _), shares in groups.items():
        members = range(first + group, first + frames, count)
        lost = [frame for frame in members if frame not in pages]
        if lost and len(lost) <= len(shares):
            pages |= _decode(members, lost, shares, parity, pages)


def _decode(
    members: range, lost: list[int], shares: dict[int, bytes], parity: int, pages: dict[int, bytes]
) -> dict[int, bytes]:
    import zfec

    length = len(next(iter(shares.values())))
    blocks: list[bytes] = []
    numbers: list[int] = []
    for at, frame in enumerate(members):
        if frame in pages:
            data = pages[frame]
            blocks.append((len(data).to_bytes(2, "little") + data).ljust(length, b"\0"))
            numbers.append(at)
    for index in sorted(shares)[: len(lost)]:
        blocks.append(shares[index])
        numbers.append(len(members) + index)
    decoder: Any = zfec.Decoder(len(members), len(members) + parity)
    whole = decoder.decode(blocks, numbers)
    found = {}
    for at, frame in enumerate(members):
        size = int.from_bytes(whole[at][:2], "little")
        payload = bytes(whole[at][2 : 2 + size])
        if frame in lost and payload[:3] == b"\x89MV":
            found[frame] = payload
    return found
