"""The last value that is taken, and the one behind it, of what docs/security.md bounds."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import pytest

from memvid.errors import FrameError, IndexFormatError, VideoError, VideoFormatError
from memvid.page import PageBody, PageKind, decode_header_body, open_blob, seal
from memvid.video import BARE, PageTable, PageTableBuilder, VideoReader
from memvid.video.found_pages import FoundPages
from tests.hostile.hostile_support import (
    build_target,
    find_box,
    payloads_of,
    rebuild_table,
)
from tests.memory_support import open_memory
from tests.video.video_support import make_video, samples

JOURNAL = "memory_index.json.commit"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A memory to be changed."""
    return build_target(tmp_path)


def test_gaps_between_ids_have_an_end() -> None:
    builder = PageTableBuilder()
    builder.add(PageKind.DATA, 1, 0, 0)
    builder.add(PageKind.DATA, 1, 1 + 0xFFFF_FFFF, 0)
    assert builder.build(1).first_chunks.tolist() == [0, 1 + 0xFFFF_FFFF]
    with pytest.raises(VideoFormatError, match="4294967296 ids behind"):
        builder.add(PageKind.DATA, 1, 2 + 0xFFFF_FFFF + (1 << 32), 0)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("4611686018427387904", True),
        ("4611686018427387905", False),
        ("1" + "0" * 4400, False),
        ("-1", False),
        ("1e3", False),
    ],
    ids=["2^62", "above", "4401 digits", "negative", "not whole"],
)
def test_numbers_of_the_header_page_have_an_end(copy: Path, text: str, taken: bool) -> None:
    reader = VideoReader(copy)
    payloads = reader.read(list(reader.table.run_of(0)))
    body = open_blob(PageKind.HEADER, payloads, first_frame=0)
    forged = re.sub(rb'"chunks": [0-9]+', b'"chunks": ' + text.encode(), body)
    if taken:
        assert decode_header_body(forged).chunks == int(text)
    else:
        with pytest.raises(VideoFormatError):
            decode_header_body(forged)


@pytest.mark.parametrize(("kind", "count", "taken"), [
    (PageKind.DATA, 65535, True), (BARE, 1, True), (BARE, 0, False), (BARE, 2, False), (BARE, 65535, False),
    (PageKind.HEADER, 1, False), (PageKind.CONTINUATION, 1, False), (PageKind.TOMBSTONES, 1, False), (77, 1, False),
])  # fmt: skip
def test_counts_of_a_page_table_fit_its_kinds(kind: int, count: int, taken: bool) -> None:
    data = struct.pack("<4sHHIIBHI", b"MVPT", 1, 0, 7, 1, kind, count, 0)
    if taken:
        assert PageTable.from_bytes(data).counts.tolist() == [count]
    else:
        with pytest.raises(VideoFormatError):
            PageTable.from_bytes(data)


def test_a_page_of_four_billion_in_a_video_of_another_codec() -> None:
    pages = [seal(PageBody(PageKind.DATA, 0, 1, n, b"x"), tag=7, page_number=n) for n in (0, 0xFFFF_FFFF)]
    found = FoundPages()
    for page in pages:
        found.add(page)
    assert len(found.rows()) == 1  # nobody believes that there were so many


@pytest.mark.parametrize(("name", "limit"), [("memory_index.json", 1 << 20), (JOURNAL, 65536)])
def test_small_files_that_are_large_are_not_read(copy: Path, name: str, limit: int) -> None:
    path = copy.with_name(name)
    text = path.read_bytes() if path.exists() else b'{"renames": [], "version": 1}'
    path.write_bytes(text + b" " * (limit + 1 - len(text)))
    with pytest.raises(IndexFormatError):
        open_memory(copy)
    path.write_bytes(text + b" " * (limit - len(text)))
    open_memory(copy).close()


@pytest.mark.parametrize(("side", "message"), [(512, "not a picture"), (513, "impossible size")])
def test_pictures_have_a_largest_side(copy: Path, side: int, message: str) -> None:
    whole = bytearray(copy.read_bytes())
    _, _, entry, _ = find_box(bytes(whole), b"stsd")
    struct.pack_into(">HH", whole, entry + 8 + 8 + 24, side, side)
    copy.write_bytes(whole)
    with pytest.raises(VideoError, match=message):
        VideoReader(copy).read([0])


@pytest.mark.parametrize("over", [0, 1])
def test_frames_have_a_largest_size(copy: Path, over: int) -> None:
    """A picture with a chunk of its own in it that makes it as large as a frame may be, and larger by a byte."""
    limit = 8 << 20
    data = copy.read_bytes()
    frames = samples(data)
    space = limit + over - len(frames[0]) - 12
    body = b"spAc" + bytes(space)
    chunk = struct.pack(">I", space) + body + struct.pack(">I", zlib.crc32(body))
    frames[0] = frames[0][:33] + chunk + frames[0][33:]  # behind IHDR
    reader = VideoReader(copy)
    payloads, table = payloads_of(copy)
    make_video(copy, frames, reader.width, reader.height, table=rebuild_table(payloads, table))
    assert len(samples(copy.read_bytes())[0]) == limit + over
    if over:
        with pytest.raises(FrameError, match="frame 0"):
            VideoReader(copy).read([0])
    else:
        assert VideoReader(copy).read([0]) == payloads[:1]


def test_a_movie_has_a_largest_number_of_frames(copy: Path) -> None:
    """Refused by what the sample table claims, whatever the size of the file would allow."""
    data = bytearray(copy.read_bytes())
    _, _, entry, _ = find_box(bytes(data), b"stsz")
    for count in ((1 << 27) + 1, (1 << 32) - 1):
        struct.pack_into(">II", data, entry + 4, 1, count)  # of one size, so that the table itself is short
        copy.write_bytes(data)
        with copy.open("r+b") as file:
            file.truncate(1 << 36)  # takes no place on the disk
        with pytest.raises(VideoFormatError, match="frames"):
            VideoReader(copy)
