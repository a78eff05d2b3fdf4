"""A second, small implementation of the video container, to take videos apart and to make damaged ones."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pytest

from memvid import _core
from memvid.config import EncoderConfig
from memvid.page import PageBody, PageKind, seal
from memvid.video import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from memvid.video import PageTable

TAG = 0x1234ABCD
TABLE_UUID = b"memvid-page-tab1"


def make_pages(count: int, *, size: int = 60, tag: int = TAG, first: int = 0, seed: int = 0) -> list[bytes]:
    """Sound data pages of ``size`` bytes, one chunk each, numbered from ``first``."""
    rng = np.random.default_rng(seed)
    bodies = [rng.bytes(size - 28) for _ in range(count)]
    return [
        seal(PageBody(PageKind.DATA, 0, 1, number, body), tag=tag, page_number=number)
        for number, body in enumerate(bodies, first)
    ]


def write_video(path: Path, payloads: Sequence[bytes], *, version: int = 5, level: str = "L") -> PageTable:
    path.unlink(missing_ok=True)  # a writer refuses what is there
    writer = VideoWriter(path, EncoderConfig(symbol_version=version, error_correction=level), tag=TAG)  # type: ignore[arg-type]
    writer.write(payloads)
    return writer.finish()


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int, int]]:
    """Name, start, start of the body, and end of each box."""
    end = len(data) if end is None else end
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            size, body = struct.unpack_from(">Q", data, body)[0], body + 8
        yield name, start, body, start + size
        start += size


def find(data: bytes, *path: bytes) -> tuple[int, int, int]:
    """Start, start of the body, and end of a box inside boxes."""
    start, end = 0, len(data)
    found = (0, 0, end)
    for wanted in path:
        found = next((s, b, e) for name, s, b, e in boxes(data, start, end) if name == wanted)
        _, start, end = found
    return found


def samples(data: bytes) -> list[bytes]:
    """The frames of one of our videos, by its sample table."""
    stbl = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
    _, sizes_at, _ = find(data, *stbl, b"stsz")
    _, runs_at, _ = find(data, *stbl, b"stsc")
    _, offsets_at, _ = find(data, *stbl, b"co64")
    fixed, count = struct.unpack_from(">II", data, sizes_at + 4)
    assert fixed == 0
    sizes = iter(struct.unpack_from(f">{count}I", data, sizes_at + 12))
    (chunks,) = struct.unpack_from(">I", data, offsets_at + 4)
    (run_count,) = struct.unpack_from(">I", data, runs_at + 4)
    runs = [struct.unpack_from(">II", data, runs_at + 8 + 12 * run) for run in range(run_count)]
    frames = []
    for chunk in range(1, chunks + 1):
        (offset,) = struct.unpack_from(">Q", data, offsets_at + 8 * chunk)
        room = next(room for first, room in reversed(runs) if first <= chunk)
        for _ in range(room):
            size = next(sizes)
            frames.append(data[offset : offset + size])
            offset += size
    assert len(frames) == count
    return frames


def without_page_table(data: bytes) -> bytes:
    """The same video as a program leaves it that does not know our box."""
    moov, _, moov_end = find(data, b"moov")
    start, body, end = find(data, b"moov", b"uuid")
    assert data[body : body + 16] == TABLE_UUID
    moov_size = struct.pack(">I", moov_end - moov - (end - start))
    return data[:moov] + moov_size + data[moov + 4 : start] + data[end:]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A 1-bit greyscale PNG: 0 black, anything else white."""
    height, width = pixels.shape
    rows = np.packbits(pixels > 0, axis=1)
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def movie(width: int, height: int, sizes: Sequence[int], offsets: Sequence[int], table: bytes | None) -> bytes:
    """A movie header in another style than ours: a ``png `` sample entry, a chunk for every frame."""
    count = len(sizes)
    entry = box(b"png ", bytes(6), b"\0\1", bytes(16), struct.pack(">HH", width, height), bytes(14), b"\0\1", bytes(36))
    stbl = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), entry),
        box(b"stts", struct.pack(">IIII", 0, 1, count, 1)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
        box(b"stsz", struct.pack(">III", 0, 0, count), np.asarray(sizes, ">u4").tobytes()),
        box(b"co64", struct.pack(">II", 0, count), np.asarray(offsets, ">u8").tobytes()),
    )
    mdhd = box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 30, count, 0x55C4, 0))
    hdlr = box(b"hdlr", bytes(8), b"vide", bytes(13))
    trak = box(b"trak", box(b"mdia", mdhd, hdlr, box(b"minf", stbl)))
    return box(b"moov", trak, b"" if table is None else box(b"uuid", TABLE_UUID, table))


def make_video(path: Path, frames: Sequence[bytes], width: int, height: int, *, table: bytes | None = None) -> None:
    """A video of the frames as they are given, whatever they hold."""
    head = box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", *frames)
    start = len(head) - sum(map(len, frames))
    sizes = [len(frame) for frame in frames]
    offsets = start + np.cumsum([0, *sizes[:-1]])
    path.write_bytes(head + movie(width, height, sizes, offsets.tolist(), table))


def write_hole(file: BinaryIO, size: int) -> None:
    """An ``mdat`` box of ``size`` bytes that takes no place on the disk."""
    file.write(struct.pack(">I4sQ", 1, b"mdat", size))
    file.seek(size - 16, 1)


def symbol_picture(payload: bytes, version: int, *, level: str = "L", utf8: bool = False) -> NDArray[np.uint8]:
    """One symbol with a quiet zone of four modules on even sides."""
    modules = _core.create_symbol(payload, _core.SymbolOptions(version=version, level=level, utf8=utf8))
    return np.pad(modules, ((4, 5), (4, 5)), constant_values=255)


def overwrite_packets(path: Path, frames: Sequence[int]) -> None:
    """Damage what frames of a video in another codec were encoded to, so that no decoder makes anything of it."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    with path.open("r+b") as file:
        for frame in frames:
            at, size = packets[frame]
            file.seek(at + 16)  # behind what Matroska has in front of it
            file.write(b"\xff" * (size - 32))


SECTOR = 4096
"""Bytes that a disk gives or refuses together."""


def refuse_sectors(patch: pytest.MonkeyPatch, path: Path, *sectors: int) -> list[tuple[int, int]]:
    """Have Python's reads of some sectors of a file fail; gives place and size of all reads that fail."""
    real, failed, bad = os.pread, list[tuple[int, int]](), path.stat()

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        touched = range(offset // SECTOR, -(-(offset + size) // SECTOR))
        if os.path.samestat(os.fstat(descriptor), bad) and any(sector in touched for sector in sectors):
            failed.append((offset, size))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, size, offset)

    patch.setattr(os, "pread", pread)
    return failed
