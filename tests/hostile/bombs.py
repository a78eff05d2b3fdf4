"""Memories of less than 2 MB that claim, or unpack to, far more than that: what docs/security.md bounds.

Each maker takes an empty folder and gives the video of a memory whose checksums and digests all fit.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from memvid import MemvidEncoder, _core
from memvid.maintenance import delete
from memvid.page import (
    PageBody,
    PageFlag,
    PageKind,
    ParityHead,
    Record,
    encode_body,
    encode_changed_metadata,
    page_checksum,
    parse_header,
    seal,
)
from memvid.page.packing import RUN_HEAD
from tests.hostile.hostile_support import adopt_video, forge_index, payloads_of
from tests.memory_support import EMBEDDER, build, make_texts
from tests.video.video_support import box, movie, png

__all__ = ["KINDS", "MOST_BYTES", "finder_pixels", "forge", "target"]

MOST_BYTES = 2 << 20
"""Larger files are not what is meant here: their bytes alone are worth the work."""

_MIB = 1 << 20
_SMALL, _LARGE = 5, 40  # symbol versions
_CAPACITY = {_SMALL: 60, _LARGE: 2900}  # bytes of a page's body that surely fit
_CLAIM = 0xFFFF

Row = tuple[int, int, bytes]
"""What the page table says of a frame: its kind and how many chunks start in it; and the payload."""


def zstd(data: bytes, *, level: int = 3) -> bytes:
    return zstandard.ZstdCompressor(level).compress(data)


def plain_pages(kind: PageKind, body: bytes, *, count: int, first: int = 0, version: int = _LARGE) -> list[PageBody]:
    """A body as it is, as a run of pages."""
    room = _CAPACITY[version]
    pieces = [body[at : at + room] for at in range(0, len(body), room)]
    return _run(kind, int(PageFlag.RUN), count, first, pieces)


def pages(kind: PageKind, body: bytes, *, count: int = 0, first: int = 0, version: int = _LARGE) -> list[PageBody]:
    """A body, compressed, as one page or as a run of pages."""
    stored, room = zstd(body), _CAPACITY[version]
    if len(stored) <= room:
        return [PageBody(kind, int(PageFlag.ZSTD), count, first, stored)]
    pieces = [stored[at : at + room] for at in range(0, len(stored), room)]
    return _run(kind, int(PageFlag.ZSTD | PageFlag.RUN), count, first, pieces)


def _run(kind: PageKind, flags: int, count: int, first: int, pieces: Sequence[bytes]) -> list[PageBody]:
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
    video: Path,
    added: Sequence[PageBody],
    *,
    version: int = _LARGE,
    head: Sequence[PageBody] = (),
    bare_table: bool = False,
    table: bool = True,
    right: bool = True,
) -> None:
    """Put pages behind those of a sound video, and make its page table and its index's manifest fit.

    :param head: what is to be there in place of its header page.
    :param bare_table: leave out its own pages but for the header page.
    :param table: whether there is to be a page table.
    :param right: whether the page table has the checksums of these pages.
    """
    payloads, old = payloads_of(video)
    rows: list[Row] = list(zip(old.kinds.tolist(), old.counts.tolist(), payloads, strict=True))
    front = len(old.run_of(0))
    behind = [] if bare_table else rows[front:]
    rows = rows[:front]
    if head:
        rows = [(page.kind, 0, seal(page, tag=old.tag, page_number=at)) for at, page in enumerate(head)]
        behind = [(kind, count, renumber(payload, len(rows) + at)) for at, (kind, count, payload) in enumerate(behind)]
    rows += behind
    for page in added:
        count = page.count if page.kind == PageKind.DATA else 0
        rows.append((page.kind, count, seal(page, tag=old.tag, page_number=len(rows))))
    sums = np.array([page_checksum(payload) for _, _, payload in rows], "<u4")
    if not right:
        sums[len(rows) - len(added) :] ^= 1
    blob = table_bytes(old.tag, [row[0] for row in rows], [row[1] for row in rows], sums)
    writer = _core.FrameWriter(video, _core.SymbolOptions(version=version))
    writer.write([row[2] for row in rows])
    writer.finish(blob if table else b"")
    adopt_video(video, blob, len(rows))


def renumber(payload: bytes, number: int) -> bytes:
    """The same page in another frame."""
    page = parse_header(payload, frame_index=0)
    body = PageBody(page.kind, page.flags, page.count, page.first_chunk, payload[28:])
    return seal(body, tag=page.tag, page_number=number)


def table_bytes(tag: int, kinds: Sequence[int], counts: Sequence[int], sums: NDArray[np.uint32]) -> bytes:
    """A page table of these columns."""
    head = struct.pack("<4sHHII", b"MVPT", 1, 0, tag, len(kinds))
    return head + np.array(kinds, "u1").tobytes() + np.array(counts, "<u2").tobytes() + sums.tobytes()


def _table(video: Path, kinds: Sequence[int], counts: Sequence[int]) -> bytes:
    """A page table of the memory's, whatever its frames hold."""
    return table_bytes(payloads_of(video)[1].tag, kinds, counts, np.zeros(len(kinds), "<u4"))


def write_frames(video: Path, frames: Sequence[bytes], *, side: int, table: bytes, shared: bool = True) -> None:
    """A video of any pictures.

    :param shared: pictures that are equal are in the file once.
    """
    distinct = list(dict.fromkeys(frames)) if shared else list(frames)
    head = box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", *distinct)
    ends = np.cumsum([len(frame) for frame in distinct]) + len(head) - sum(map(len, distinct))
    starts = [int(end) - len(frame) for frame, end in zip(distinct, ends, strict=True)]
    offsets = starts
    if shared:
        place = dict(zip(distinct, starts, strict=True))
        offsets = [place[frame] for frame in frames]
    video.write_bytes(head + movie(side, side, [len(frame) for frame in frames], offsets, table))
    adopt_video(video, table, len(frames))


def target(folder: Path, *, version: int = _LARGE, chunks: int = 5, **options: Any) -> Path:
    """A sound memory in a folder."""
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
    forge(video, pages(PageKind.TOMBSTONES, b"\1\1" * (32 * _MIB)) * 2)
    return video


def many_tombstones(folder: Path) -> Path:
    """4,000 lists of deleted chunks with 128 KiB each."""
    video = target(folder, version=_SMALL)
    forge(video, pages(PageKind.TOMBSTONES, b"\1\1" * (64 << 10), version=_SMALL) * 4000, version=_SMALL)
    return video


def changed_metadata(folder: Path) -> Path:
    """Two pages that change the metadata of 32 million chunks each."""
    video = target(folder)
    forge(video, pages(PageKind.METADATA, bytes(64 * _MIB)) * 2)
    return video


def many_changes(folder: Path) -> Path:
    """4,000 pages that each change the metadata of all five chunks, and of 2,000 that are not there."""
    video = target(folder, version=_SMALL)
    body = pages(PageKind.METADATA, b"\0\x0c" + b'{"a":[0,1]}\n' + b"\0\0" * 2000, version=_SMALL)
    forge(video, body * 4000, version=_SMALL)
    return video


def changed_brackets(folder: Path) -> Path:
    """A page that gives a chunk 9 MiB of metadata, for which Python needs twenty times as much."""
    video = target(folder)
    data = b'{"a":[' + b"[]," * (3 * _MIB) + b"0]}"
    forge(video, pages(PageKind.METADATA, encode_changed_metadata([(0, data)])) + _filler(2))
    return video


def _filler(size: int) -> list[PageBody]:
    """Deletions of what is not there, which make a file larger by so many hundreds of kilobytes."""
    return [PageBody(PageKind.TOMBSTONES, 0, 0, 0, b"\x64\1" + b"\1\1" * 1400)] * (70 * size)


def many_commits(folder: Path) -> Path:
    """3,600 commits that each say something else of what is not there."""
    video = target(folder, version=_SMALL)
    names = ("commit", "first_chunk", "added", "deleted", "changed", "chunks")

    def body(number: int) -> PageBody:
        content = json.dumps(dict(zip(names, (number, 1 << 61, 1 << 61, 0, 0, 0), strict=True)))
        return PageBody(PageKind.COMMIT, 0, 0, 0, content.encode())

    forge(video, [body(number) for number in range(3600)], version=9)
    return video


def large_chunks(folder: Path) -> Path:
    """24 chunks of 60 MiB."""
    return _chunks(folder, [b"login backup server " * (3 * _MIB)] * 24)


def wide_chunks(folder: Path) -> Path:
    """24 chunks of 60 MiB, each with a character that makes Python keep it in 240."""
    return _chunks(folder, ["\U0001f40b".encode() + b"a" * (60 * _MIB)] * 24)


def words(folder: Path) -> Path:
    """24 chunks of 60 MiB of words of one letter."""
    return _chunks(folder, [b"a b " * (15 * _MIB)] * 24)


def expanding_chunks(folder: Path) -> Path:
    """A chunk of 60 MiB whose every character becomes eighteen when it is indexed."""
    return _chunks(folder, ["\ufdfa".encode() * (20 * _MIB), b"another"])


def alike_chunks(folder: Path) -> Path:
    """A chunk of 20 MiB of one letter, and one of 24, which repeats it at every byte."""
    return _chunks(folder, [b"a" * (20 * _MIB), b"a" * (24 * _MIB)])


def metadata(folder: Path) -> Path:
    """24 chunks with 30 MiB of metadata that Python needs twenty times as much for."""
    return _chunks(folder, [b"text"] * 24, b'{"a":[' + b"[]," * (10 * _MIB) + b"[]]}")


def deep_metadata(folder: Path) -> Path:
    """Metadata nested as deeply as Python's JSON takes it, in all chunks."""
    return _chunks(folder, [b"text of one", b"text of two"] * 12, b'{"a":' + b"[" * 980 + b"]" * 980 + b"}")


def endless_metadata(folder: Path) -> Path:
    """Metadata nested 20 million deep, in all chunks."""
    return _chunks(folder, [b"text"] * 24, b'{"a":' + b"[" * (20 * _MIB))


def _chunks(folder: Path, texts: Sequence[bytes], metadata: bytes = b"") -> Path:
    """A memory of these chunks, a page each; its index is that of others, as many."""
    video = target(folder, chunks=len(texts))
    packed = {text: pages(PageKind.DATA, encode_body([Record(text, metadata)]), count=1) for text in set(texts)}
    added = [replace(page, first_chunk=number) for number, text in enumerate(texts) for page in packed[text]]
    forge(video, added, bare_table=True)
    return video


def small_chunks(folder: Path) -> Path:
    """5,000 frames that hold 65,535 chunks of a letter each, and really do."""
    video = target(folder, version=_SMALL)
    (page,) = pages(PageKind.DATA, encode_body([Record(b"x")] * _CLAIM), count=_CLAIM, version=_SMALL)
    added = [replace(page, first_chunk=5 + _CLAIM * number) for number in range(5000)]
    forge(video, added, version=_SMALL)
    return video


def dictionary(folder: Path) -> Path:
    """A dictionary of 60 MiB."""
    video = target(folder)
    body = zstandard.train_dictionary(4096, [text.encode() for text in make_texts(2000)]).as_bytes()
    forge(video, pages(PageKind.DICTIONARY, body + b"login " * (10 * _MIB)))
    return video


def large_dictionary(folder: Path) -> Path:
    """A dictionary as large as one may be, and pages that need it."""
    video = target(folder)
    body = zstandard.train_dictionary(4096, [text.encode() for text in make_texts(2000)]).as_bytes()
    forge(video, pages(PageKind.DICTIONARY, (body + b"login " * (3 * _MIB))[: 16 * _MIB]))
    return video


def header(folder: Path) -> Path:
    """A header page of 60 MiB."""
    return _with_header(folder, b'{"a":[' + b"[]," * (20 * _MIB) + b"[]]}\n")


def header_claims(folder: Path) -> Path:
    """A header page that says there were 4 billion chunks, in symbols of version 40."""
    return _with_header(folder, None, chunks=6000 * _CLAIM, symbol_version=40, next_chunk=1 << 61)


def _with_header(folder: Path, body: bytes | None, **changes: object) -> Path:
    video = target(folder)
    payloads, _ = payloads_of(video)
    if body is None:
        text, _, line = payloads[0][28:].rstrip(b"\n").rpartition(b"\n")
        body = text + b"\n" + json.dumps({**json.loads(line), **changes}).encode() + b"\n"
    forge(video, [], head=pages(PageKind.HEADER, body))
    return video


def attributes(folder: Path) -> Path:
    """Metadata of 65,535 bare texts in each of 550 pages, of a memory with five."""
    video = target(folder, version=_LARGE, chunks_per_frame=1)
    page = pages(PageKind.ATTRIBUTES, bytes(2 * _CLAIM), count=_CLAIM)
    forge(video, page * 550)
    return video


def plain_attributes(folder: Path) -> Path:
    """Metadata of 65,535 bare texts in each of 20 pages, without compression."""
    video = target(folder, chunks_per_frame=1)
    forge(video, plain_pages(PageKind.ATTRIBUTES, bytes(2 * _CLAIM), count=_CLAIM) * 20)
    return video


def endless_run(folder: Path) -> Path:
    """One page that goes on over 5,800 frames, each of which says so."""
    video = target(folder, version=_SMALL)
    forge(video, plain_pages(PageKind.DATA, bytes(60 * 5800), count=1, first=5, version=_SMALL), version=_SMALL)
    return video


def lost_runs(folder: Path) -> Path:
    """5,800 frames that all continue a page that is not there."""
    video = target(folder, version=_SMALL)
    page = PageBody(PageKind.CONTINUATION, int(PageFlag.RUN), 0, 5, RUN_HEAD.pack(1, 0xFFFFFFFF) + b"x")
    forge(video, [page] * 5800, version=_SMALL)
    return video


def other_pages(folder: Path) -> Path:
    """5,800 sound pages, none of which is the one that the page table names."""
    video = target(folder, version=_SMALL)
    page = PageBody(PageKind.DATA, 0, 1, 5, encode_body([Record(b"x")]))
    forge(video, [replace(page, first_chunk=5 + number) for number in range(5800)], version=_SMALL, right=False)
    return video


def parity(folder: Path) -> Path:
    """5,800 frames that cannot be read, and as many of parity, each of a group of its own."""
    video = target(folder, version=_SMALL)
    lost = [PageBody(PageKind.DATA, 0, 1, 5 + number, encode_body([Record(b"x")])) for number in range(2900)]
    first = len(payloads_of(video)[0])
    heads = [ParityHead(first, 200, 200, 1, 0, 0).to_bytes() + bytes(40)] * 2900
    blocks = [PageBody(PageKind.PARITY, 0, 0, 0, head) for head in heads]
    forge(video, [*lost, *blocks], version=_SMALL, right=False)
    return video


def no_table(folder: Path) -> Path:
    """Pages that claim 65,535 chunks each, and no page table that says so, too."""
    video = target(folder, version=_SMALL)
    body = encode_body([Record(b"x")])
    lies = [PageBody(PageKind.DATA, 0, _CLAIM, 5 + _CLAIM * number, body) for number in range(6000)]
    forge(video, lies, version=_SMALL, table=False)
    return video


def empty_frames(folder: Path) -> Path:
    """99,000 frames of no length."""
    video = target(folder, version=_SMALL)
    count = 99_000
    write_frames(video, [b""] * count, side=46, table=_table(video, [PageKind.DATA] * count, [_CLAIM] * count))
    return video


def one_frame(folder: Path) -> Path:
    """100,000 frames that are all one picture, which shows a hundred finder patterns."""
    video = target(folder)
    count = 100_000
    picture = finder_patterns(1000)
    write_frames(video, [picture] * count, side=1000, table=_table(video, [PageKind.DATA] * count, [1] * count))
    return video


def pictures(folder: Path) -> Path:
    """As many pictures of 4096 x 4096 pixels as there is room for, full of finder patterns."""
    return _pictures(folder, 4096)


def small_pictures(folder: Path) -> Path:
    """As many pictures of 190 x 190 pixels, the largest that a symbol needs, full of finder patterns."""
    return _pictures(folder, 190)


def white_pictures(folder: Path) -> Path:
    """As many pictures of 1000 x 1000 pixels with nothing in them."""
    return _pictures(folder, 1000, draw=lambda side: png(np.full((side, side), 255, np.uint8)))


def _pictures(folder: Path, side: int, draw: Callable[[int], bytes] | None = None) -> Path:
    video = target(folder)
    picture = (draw or finder_patterns)(side)
    count = 1_900_000 // (len(picture) + 20)
    frames = [picture] * count
    table = _table(video, [PageKind.DATA] * count, [1] * count)
    write_frames(video, frames, side=side, table=table, shared=False)
    return video


def finder_patterns(side: int) -> bytes:
    """A picture of nothing but the corners of QR codes."""
    return png(finder_pixels(side, side))


def finder_pixels(width: int, height: int) -> NDArray[np.uint8]:
    """Its pixels, ``uint8[height, width]``."""
    pattern = np.full((8, 8), 255, np.uint8)
    pattern[:7, :7] = 0
    pattern[1:6, 1:6] = 255
    pattern[2:5, 2:5] = 0
    return np.ascontiguousarray(np.tile(pattern, (height // 8 + 1, width // 8 + 1))[:height, :width])


def page_tables(folder: Path) -> Path:
    """40,000 page tables inside each other behind the video, and a movie header that is damaged."""
    video = target(folder)
    head = b"memvid-page-tab1" + struct.pack("<4sHHII", b"MVPT", 1, 0, 7, 100_000)
    video.write_bytes(video.read_bytes().replace(b"moov", b"mooo") + head * 40_000 + bytes(700_000))
    return video


def picture_names(folder: Path) -> Path:
    """400,000 places where a picture could begin, and a movie header that is damaged."""
    video = target(folder)
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", 4096, 4096, 1, 0, 0, 0, 0)
    ihdr += struct.pack(">I", zlib.crc32(ihdr))
    video.write_bytes(video.read_bytes().replace(b"moov", b"mooo") + ihdr + b"IHDR" * 450_000)
    return video


def loose_pictures(folder: Path) -> Path:
    """Pictures of 4096 x 4096 pixels that only a search of the file finds."""
    video = target(folder)
    picture = finder_patterns(4096)
    data = picture * (1_900_000 // len(picture))
    video.write_bytes(video.read_bytes().replace(b"moov", b"mooo") + data)
    return video


def changed_ids(folder: Path) -> Path:
    """An index with other metadata for 900,000 chunks, five of which are there."""
    video = target(folder)
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.set_metadata(4, {"a": 1})
        memory.append()
    next(folder.glob("*.metadata.*")).write_bytes(bytes(1_800_000))
    forge_index(folder / "memory_index.json")
    return video


def deleted_ids(folder: Path) -> Path:
    """An index with a million runs of deleted chunks."""
    video = target(folder)
    delete(video, chunk_ids=[4])
    deleted = next(folder.glob("*.deleted.*"))
    deleted.write_bytes(b"\4\1" + b"\1\1" * 900_000)
    forge_index(folder / "memory_index.json")
    return video


KINDS: dict[str, Callable[[Path], Path]] = {
    maker.__name__: maker
    for maker in (
        table_counts, no_table, tombstones, many_tombstones, large_chunks, wide_chunks, words, expanding_chunks,
        alike_chunks, small_chunks, metadata, deep_metadata, endless_metadata, dictionary, large_dictionary, header,
        header_claims, attributes, plain_attributes, endless_run, lost_runs, other_pages, parity, empty_frames,
        one_frame, pictures, small_pictures, white_pictures, page_tables, picture_names, loose_pictures, deleted_ids,
        changed_metadata, many_changes, changed_brackets, many_commits, changed_ids,
    )
}  # fmt: skip
