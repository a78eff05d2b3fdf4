"""Memories of less than 2 MB that claim, or unpack to, far more than that: what docs/security.md bounds.

Each maker takes an empty folder and gives the video of a memory whose checksums and digests all fit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from memvid import _core
from memvid.page import PageBody, PageFlag, PageKind, Record, encode_body, page_checksum, seal
from memvid.page.packing import RUN_HEAD
from tests.hostile.hostile_support import adopt_video, payloads_of
from tests.memory_support import build, make_texts

__all__ = ["KINDS", "MOST_BYTES", "forge"]

MOST_BYTES = 2 << 20
"""Larger files are not what is meant here: their bytes alone are worth the work."""

_MIB = 1 << 20
_SMALL, _LARGE = 5, 40  # symbol versions
_CAPACITY = {_SMALL: 100, _LARGE: 2900}  # bytes of a page's body that surely fit
_CLAIM = 0xFFFF

Row = tuple[int, int, bytes]
"""What the page table says of a frame: its kind and how many chunks start in it; and the payload."""


def zstd(data: bytes, *, level: int = 3) -> bytes:
    return zstandard.ZstdCompressor(level).compress(data)


def pages(kind: PageKind, body: bytes, *, count: int = 0, first: int = 0, version: int = _LARGE) -> list[PageBody]:
    """A body, compressed, as one page or as a run of pages."""
    stored, room = zstd(body), _CAPACITY[version]
    if len(stored) <= room:
        return [PageBody(kind, int(PageFlag.ZSTD), count, first, stored)]
    pieces = [stored[at : at + room] for at in range(0, len(stored), room)]
    flags = int(PageFlag.ZSTD | PageFlag.RUN)
    return [
        PageBody(
            PageKind.CONTINUATION if part else kind,
            flags,
            0 if part else count,
            first,
            RUN_HEAD.pack(part, len(pieces)) + piece,
        )
        for part, piece in enumerate(pieces)
    ]


def forge(
    video: Path, added: Iterable[PageBody], *, version: int = _LARGE, replace: bool = False, table: bool = True
) -> None:
    """Put pages behind those of a sound video, and make its page table and its index's manifest fit.

    :param replace: instead of the pages that have chunks.
    :param table: whether there is to be a page table.
    """
    payloads, old = payloads_of(video)
    rows: list[Row] = [
        (kind, count, payload)
        for kind, count, payload in zip(old.kinds.tolist(), old.counts.tolist(), payloads, strict=True)
    ]
    if replace:
        rows = rows[: len(old.run_of(0))]  # the header page's
    for page in added:
        starts = page.kind == PageKind.DATA
        rows.append((page.kind, page.count if starts else 0, seal(page, tag=old.tag, page_number=len(rows))))
    write_video(video, rows, old.tag, version=version, table=table)


def write_video(video: Path, rows: Sequence[Row], tag: int, *, version: int, table: bool = True) -> None:
    """A video of these frames and the page table that they are the rows of."""
    kinds, counts, payloads = zip(*rows, strict=True)
    sums = np.array([page_checksum(payload) for payload in payloads], "<u4")
    head = struct.pack("<4sHHII", b"MVPT", 1, 0, tag, len(rows))
    blob = head + np.array(kinds, "u1").tobytes() + np.array(counts, "<u2").tobytes() + sums.tobytes()
    writer = _core.FrameWriter(video, _core.SymbolOptions(version=version))
    writer.write(list(payloads))
    writer.finish(blob if table else b"")
    adopt_video(video, blob, len(rows))


def target(folder: Path, *, version: int = _LARGE, chunks: int = 5, **options: Any) -> Path:
    """A sound memory."""
    texts = make_texts(chunks, words=4)
    return build(folder, texts, symbol_version=version, **{"compression": "none", **options})


def table_counts(folder: Path) -> Path:
    """65,535 chunks claimed in each of 6,000 frames, which hold one."""
    video = target(folder, version=_SMALL)
    body = encode_body([Record(b"x")])
    lies = [PageBody(PageKind.DATA, 0, _CLAIM, 5 + _CLAIM * number, body) for number in range(6000)]
    forge(video, lies, version=_SMALL)
    return video


def tombstones(folder: Path) -> Path:
    """Two lists of deleted chunks of 64 MiB each."""
    video = target(folder)
    body = b"\1\1" * (32 * _MIB)
    forge(video, pages(PageKind.TOMBSTONES, body) * 2)
    return video


KINDS: dict[str, Callable[[Path], Path]] = {
    maker.__name__: maker
    for maker in (table_counts, tombstones)
}  # fmt: skip
