"""What somebody would put into a memory who knows the format: bombs, circles, contradictions, paths that lead away.

Only typed errors may come out, in bounded time, and never a crash; see ``tests/hostile/test_hostile.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from memvid import _core
from memvid.errors import IndexFormatError, OutputError
from memvid.page import PageBody, PageFlag, PageKind, is_page, seal
from tests.hostile.damage_support import FILES
from tests.hostile.hostile_support import (
    VERSION,
    Victim,
    build_target,
    find_box,
    forge_index,
    forge_video,
    payloads_of,
    rebuild_table,
)
from tests.index.index_support import make_vectors
from tests.index.sqlite.old_index import age_memory
from tests.memory_support import build, make_texts, open_memory

PLAIN_FILES = FILES[:4]
JOURNAL = "memory_index.json.commit"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build_target(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    reader = Victim(Path(os.environ.get("MEMVID_HOSTILE_KEEP", tempfile.gettempdir())))
    yield reader
    reader.close()


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    """A copy of the memory to spoil; its video."""
    return Path(shutil.copytree(sound.parent, tmp_path / "copy")) / sound.name


# --- what an attacker who knows the format would try


def test_a_run_of_four_billion_pages(copy: Path, victim: Victim) -> None:
    payloads, table = payloads_of(copy)
    for at in range(len(payloads)):
        if payloads[at][4] == PageKind.DATA:
            count = int.from_bytes(payloads[at][6:8], "little")
            body = PageBody(PageKind.DATA, int(PageFlag.RUN), count, 0, struct.pack("<II", 0, 0xFFFFFFFF) + b"x" * 9)
            payloads[at] = seal(body, tag=table.tag, page_number=at)
    forge_video(copy, payloads, rebuild_table(payloads, table))
    victim.read(copy, thorough=True)


def test_chunk_ids_at_the_end_of_all_numbers(copy: Path, victim: Victim) -> None:
    payloads, table = payloads_of(copy)
    for first in ((1 << 64) - 1, (1 << 63) - 2, (1 << 62) + 1, 1 << 33):
        for at in range(len(payloads)):
            if payloads[at][4] == PageKind.DATA:
                body = PageBody(PageKind.DATA, payloads[at][5], 4, first, payloads[at][28:])
                payloads[at] = seal(body, tag=table.tag, page_number=at)
        forge_video(copy, payloads, rebuild_table(payloads, table))
        victim.read(copy, thorough=True)
        data = copy.read_bytes().replace(b"memvid-page-tab1", b"memvid-page-tab0")  # to be rebuilt from the frames
        copy.write_bytes(data)
        victim.read(copy, thorough=True)


@pytest.mark.parametrize("first", [0, 7, (1 << 62) - 1, (1 << 63) - 2, (1 << 64) - 4])
@pytest.mark.parametrize("count", [4, 65535])
def test_metadata_of_bare_texts_that_are_not_there(tmp_path: Path, victim: Victim, first: int, count: int) -> None:
    """Without a page table these pages say which texts are which; thousands of them claim texts by the million."""
    video = build_target(tmp_path, compression="none", chunks_per_frame=1)
    payloads, table = payloads_of(video)
    at = payloads.index(next(payload for payload in payloads if is_page(payload) and payload[4] == PageKind.ATTRIBUTES))
    body = PageBody(PageKind.ATTRIBUTES, payloads[at][5], count, first, payloads[at][28:])
    more = 2000 if count > 4 else 1
    forged = payloads[:at] + [seal(body, tag=table.tag, page_number=at + number) for number in range(more)]
    writer = _core.FrameWriter(video, _core.SymbolOptions(version=VERSION), threads=1)
    writer.write(forged)
    writer.finish(b"")
    victim.read(video, thorough=True)


def test_a_page_table_that_points_at_pages_of_other_kinds(copy: Path, victim: Victim) -> None:
    payloads, table = payloads_of(copy)
    for kind, count in ((2, 3), (255, 1), (255, 60000), (3, 0), (6, 0), (4, 0), (1, 0), (7, 9)):
        for at in range(len(payloads)):
            data = bytearray(rebuild_table(payloads, table))
            data[16 + at] = kind
            struct.pack_into("<H", data, 16 + len(payloads) + 2 * at, count)
            forge_video(copy, payloads, bytes(data))
            victim.read(copy, thorough=at == 0)


def test_a_header_page_that_lies(copy: Path, victim: Victim) -> None:
    payloads, table = payloads_of(copy)
    frames = table.run_of(0)
    joined = b"".join(payload[36 if payload[5] & PageFlag.RUN else 28 :] for payload in payloads[: len(frames)])
    line = joined.rstrip(b"\n").rpartition(b"\n")[2]
    for name, value in (
        ("chunks", 1 << 62), ("chunks", 10**400), ("next_chunk", (1 << 64) - 1), ("dictionary_bytes", 1 << 62),
        ("dictionary_pages", 1 << 31), ("symbol_version", 10**9), ("bare", True), ("memory_id", "0" * 63 + "g"),
        ("text_bytes", -1), ("chunks", 1 << 33),
    ):  # fmt: skip
        text = json.dumps({**json.loads(line), name: value}).encode() + b"\n"
        forged = _as_run(PageKind.HEADER, text, table.tag, len(frames))
        if forged is None:
            continue
        changed = [*forged, *payloads[len(frames) :]]
        forge_video(copy, changed, rebuild_table(changed, table))
        victim.read(copy, thorough=True)
        copy.write_bytes(copy.read_bytes().replace(b"memvid-page-tab1", b"memvid-page-tab0"))
        victim.read(copy, thorough=True)
    for text in (b"[" * 4000, b"9" * 5000, b'{"a":' * 700):
        forged = _as_run(PageKind.HEADER, text[: 180 * len(frames)] + b"\n", table.tag, len(frames))
        if forged is not None:
            changed = [*forged, *payloads[len(frames) :]]
            forge_video(copy, changed, rebuild_table(changed, table))
            victim.read(copy, thorough=True)


def _as_run(kind: PageKind, body: bytes, tag: int, frames: int) -> list[bytes] | None:
    """``body`` in exactly this many pages from frame 0 on; ``None`` where they cannot hold it."""
    if frames == 1:
        return [seal(PageBody(kind, 0, 0, 0, body), tag=tag, page_number=0)] if len(body) < 230 else None
    size = -(-len(body) // frames)
    if size > 230:
        return None
    slices = [body[i * size : (i + 1) * size] or b"\n" for i in range(frames)]
    return [
        seal(
            PageBody(
                PageKind.CONTINUATION if part else kind,
                int(PageFlag.RUN),
                0,
                0,
                struct.pack("<II", part, frames) + data,
            ),
            tag=tag,
            page_number=part,
        )
        for part, data in enumerate(slices)
    ]


@pytest.mark.parametrize("depth", [900, 100_000])
def test_metadata_nested_without_end(copy: Path, victim: Victim, depth: int) -> None:
    age_memory(copy)
    nested = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    body = bytes([1]) + _varint(len(nested)) + bytes([1, 0]) * 3 + b"abcd" + nested
    stored = zstandard.ZstdCompressor(19).compress(body)
    payloads, table = payloads_of(copy)
    at = int(table.frames_of_kind(PageKind.DATA)[0])
    payloads[at] = seal(PageBody(PageKind.DATA, int(PageFlag.ZSTD), 4, 0, stored), tag=table.tag, page_number=at)
    data = bytearray(rebuild_table(payloads, table))
    struct.pack_into("<H", data, 16 + len(payloads) + 2 * at, 4)
    forge_video(copy, payloads, bytes(data))
    victim.read(copy, thorough=True)
    connection = sqlite3.connect(copy.with_name("memory_index.sqlite"))
    connection.execute("UPDATE metadata SET json = ?", (nested.decode(),))
    connection.commit()
    connection.close()
    forge_index(copy.with_name("memory_index.json"))
    victim.read(copy, thorough=True)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize("size", [64 << 20, (64 << 20) + 1, 1 << 40])
@pytest.mark.parametrize("kind", [PageKind.DATA, PageKind.DICTIONARY])
def test_bodies_that_are_bombs(copy: Path, victim: Victim, kind: PageKind, size: int) -> None:
    """A zstd frame of a few bytes that says, and holds, much: one repeated byte a block of 128 KiB."""
    payloads, table = payloads_of(copy)
    at = int(table.frames_of_kind(PageKind.DATA)[0])
    blocks = b"".join(struct.pack("<I", 1 << 17 << 3 | 2)[:3] + b"x" for _ in range(50))
    stored = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", size) + blocks
    payloads[at] = seal(PageBody(kind, int(PageFlag.ZSTD), 4, 0, stored[:230]), tag=table.tag, page_number=at)
    data = bytearray(rebuild_table(payloads, table))
    data[16 + at] = kind
    forge_video(copy, payloads, bytes(data))
    victim.read(copy, thorough=True)


def test_frames_that_are_not_where_pictures_are(copy: Path, victim: Victim) -> None:
    """Sample tables that point into the header, over each other, at the same place, behind the file."""
    whole = copy.read_bytes()
    _, _, sizes_at, _ = find_box(whole, b"stsz")
    _, _, offsets_at, _ = find_box(whole, b"co64")
    moov_at = whole.rindex(b"moov") - 4
    for offset in (0, 8, moov_at, moov_at + 60, len(whole) - 1, len(whole), len(whole) + 1, 1 << 63, (1 << 64) - 1):
        victim.read(_changed(copy, whole, offsets_at + 8, ">Q", offset), honest=True, thorough=offset == moov_at)
    for size in (0, 1, 7, 8, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF):
        victim.read(_changed(copy, whole, sizes_at + 12, ">I", size), honest=True)
        victim.read(_changed(copy, whole, sizes_at + 4, ">I", size), honest=True)
        victim.read(_changed(copy, whole, sizes_at + 8, ">I", size), honest=True)
        _, _, runs_at, _ = find_box(whole, b"stsc")
        for field in (4, 8, 12):
            victim.read(_changed(copy, whole, runs_at + field, ">I", size), honest=True)


def test_movies_in_movies_and_tracks_twice(copy: Path, victim: Victim) -> None:
    whole = copy.read_bytes()
    _, start, _, end = find_box(whole, b"moov")
    movie = whole[start:end]
    _, track_start, _, track_end = find_box(whole, b"trak")
    track = whole[track_start:track_end]
    for inside in (movie, movie * 3, track, b"", movie[8:] + track, movie[8:] + movie):
        copy.write_bytes(whole[:start] + struct.pack(">I4s", len(inside) + 8, b"moov") + inside)
        victim.read(copy, honest=True, thorough=True)
    nested = movie
    for _ in range(2000):
        nested = struct.pack(">I4s", len(nested) + 8, b"moov") + nested
    copy.write_bytes(whole[:start] + nested)
    victim.read(copy, honest=True, thorough=True)


def _changed(path: Path, data: bytes, at: int, layout: str, value: int) -> Path:
    packed = struct.pack(layout, value)
    path.write_bytes(data[:at] + packed + data[at + len(packed) :])
    return path


@pytest.mark.parametrize("rows", [0, 4096, 1 << 17])
def test_pictures_that_are_bombs(copy: Path, victim: Victim, rows: int) -> None:
    """A frame of a few kilobytes that inflates to far more rows than it has, in a video of the largest pictures."""
    packer = zlib.compressobj(9)
    stream = b"".join(packer.compress(bytes(513 * 64)) for _ in range(rows // 64)) + packer.flush()
    head = struct.pack(">IIBBBBB", 4096, 4096, 1, 0, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), (b"IDAT", stream), (b"IEND", b""))
    )
    if len(picture) > 1 << 20:
        picture = picture[: 1 << 20]
    whole = bytearray(copy.read_bytes())
    _, _, entry, _ = find_box(bytes(whole), b"stsd")
    struct.pack_into(">HH", whole, entry + 8 + 8 + 24, 4096, 4096)
    _, _, sizes_at, _ = find_box(bytes(whole), b"stsz")
    _, _, offsets_at, _ = find_box(bytes(whole), b"co64")
    (count,) = struct.unpack_from(">I", whole, sizes_at + 8)
    struct.pack_into(">Q", whole, offsets_at + 8, len(whole) + 8)
    for i in range(count):
        struct.pack_into(">I", whole, sizes_at + 12 + 4 * i, len(picture) if i == 0 else 8)
    tail = struct.pack(">I4s", len(picture) + 8 * count + 8, b"free") + picture + bytes(8 * count)
    copy.write_bytes(bytes(whole) + tail)
    victim.read(copy, honest=True, thorough=True)


# --- the index


@pytest.mark.parametrize("dtype", ["i8", "f16", "f32"])
@pytest.mark.parametrize("value", [b"\xff\x7f", b"\x00\x7c", b"\x00\xfc", b"\x80\x7f", b"\x80\xff", b"\x01\x00"])
def test_vectors_that_are_no_numbers(tmp_path: Path, victim: Victim, dtype: str, value: bytes) -> None:
    video = build_target(tmp_path, vector_dtype=dtype)
    file = video.with_name("memory_index.usearch")
    data = file.read_bytes()
    rows, width = struct.unpack_from("<II", data)
    for first, last in ((0, rows), (0, 1), (rows - 1, rows)):
        start, end = 8 + first * width, 8 + last * width
        file.write_bytes(data[:start] + (value * width * rows)[: end - start] + data[end:])
        forge_index(video.with_name("memory_index.json"))
        victim.read(video, honest=True)


def test_graphs_of_circles_and_dead_ends(tmp_path: Path, victim: Victim) -> None:
    """Valid links only, that lead in circles, to themselves, or nowhere; and headers that contradict the rest."""
    video = build(tmp_path, make_texts(2500, words=3), embeddings=make_vectors(2500, dim=64), keywords=False)
    file = video.with_name("memory_index.usearch")
    data = file.read_bytes()
    graph_at = 8 + 2500 * 64 + 64
    _, upper_room, base_room, _, entry = struct.unpack_from("<5Q", data, graph_at)
    levels = struct.unpack_from("<2500h", data, graph_at + 40)
    for target in (0, 2499, entry, None):
        crafted = bytearray(data)
        at = graph_at + 40 + 2 * 2500
        for number, level in enumerate(levels):
            at += 10
            for step in range(level + 1):
                room = base_room if step == 0 else upper_room
                row = number if target is None else target
                sound = levels[row] >= step
                struct.pack_into(f"<I{room}I", crafted, at, room if sound else 0, *[row if sound else 0] * room)
                at += 4 * (1 + room)
        assert at == len(data)
        file.write_bytes(crafted)
        forge_index(video.with_name("memory_index.json"))
        victim.read(video)
    for field in range(5):
        for value in (0, 1, 2500, 2501, 0xFFFF, 1 << 32, (1 << 64) - 1):
            crafted = bytearray(data)
            struct.pack_into("<Q", crafted, graph_at + 8 * field, value)
            file.write_bytes(crafted)
            forge_index(video.with_name("memory_index.json"))
            victim.read(video)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE arrays SET data = zeroblob(8) WHERE name = 'run_starts'",
        "UPDATE arrays SET data = x'ffffffffffffff7f' WHERE name = 'run_starts'",
        "UPDATE arrays SET data = x'0000000000000080' WHERE name = 'run_starts'",
        "UPDATE arrays SET data = x'ffffffffffffff7f' WHERE name = 'run_lengths'",
        "UPDATE arrays SET data = x'00000000000000400000000000000040000000000000004004000000000000c0' "
        "WHERE name IN ('run_starts', 'run_lengths')",
        "UPDATE arrays SET data = x'ffffffff' WHERE name = 'page_frames'",
        "UPDATE arrays SET data = x'ffffffffffffffff' WHERE name = 'page_first_chunks'",
        "UPDATE arrays SET data = zeroblob(4000000) WHERE name = 'length_codes'",
        "UPDATE arrays SET data = 'text' WHERE name = 'length_codes'",
        "UPDATE attributes SET first = -9223372036854775808",
        "UPDATE attributes SET last = 9223372036854775807",
        "UPDATE attributes SET last = 'z'",
        "UPDATE attributes SET last = 1e300",
        "UPDATE fields SET name = cast(x'ff00ff' AS TEXT) WHERE field = 1",
        "UPDATE metadata SET json = x'ff'",
        "UPDATE metadata SET json = '[' || hex(zeroblob(100000)) || ']'",
        "UPDATE metadata SET json = '1e999'",
        "UPDATE metadata SET json = 'null'",
        "UPDATE keywords_data SET block = zeroblob(100)",
        "UPDATE keywords_data SET block = x'ffffffffffffffffffff' WHERE id > 10",
        "UPDATE keywords_data SET block = x'0000ffffffff0f7f' WHERE id = 10",
        "UPDATE keywords_idx SET pgno = 4611686018427387904",
        "UPDATE keywords_idx SET term = zeroblob(10)",
        "UPDATE keywords_config SET v = 5 WHERE k = 'version'",
        "INSERT INTO keywords_config VALUES ('pgsz', 2147483647)",
        "INSERT INTO keywords_config VALUES ('rank', 'load_extension(1)')",
    ],
)
def test_databases_with_the_right_tables_and_the_wrong_content(copy: Path, victim: Victim, statement: str) -> None:
    age_memory(copy)
    connection = sqlite3.connect(copy.with_name("memory_index.sqlite"))
    connection.execute(statement)
    connection.commit()
    connection.close()
    forge_index(copy.with_name("memory_index.json"))
    victim.read(copy, honest=True, thorough=True)


@pytest.mark.parametrize("table", ["arrays", "metadata", "fields", "attributes", "keywords_data", "sqlite_master"])
def test_a_b_tree_that_has_more_rows_than_anyone_could_read(copy: Path, victim: Victim, table: str) -> None:
    """Pages that all branches share: eighteen pages below a root, each with hundreds of ways to the next."""
    path = age_memory(copy).with_name("memory_index.sqlite")
    connection = sqlite3.connect(path)
    root = 1 if table == "sqlite_master" else connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
    ).fetchone()[0]  # fmt: skip
    connection.close()
    data = bytearray(path.read_bytes())
    size, count = 4096, len(data) // 4096
    start = (root - 1) * size
    kind = data[start + (100 if root == 1 else 0)]
    leaf = bytes(data[start : start + size])
    if root == 1:
        leaf = leaf[100:108] + bytes(100) + leaf[108:]  # as good a leaf as any: it only must not be the end
    pages = [leaf, *(_interior(kind, count + 1 + depth, size, head=0) for depth in range(16))]
    data += b"".join(pages)
    data[start : start + size] = data[: 100 if root == 1 else 0] + _interior(
        kind, count + len(pages), size - (100 if root == 1 else 0), head=100 if root == 1 else 0
    )
    struct.pack_into(">I", data, 28, count + len(pages))
    path.write_bytes(data)
    forge_index(copy.with_name("memory_index.json"))
    victim.read(copy, honest=True)


def _interior(kind: int, child: int, size: int, *, head: int) -> bytes:
    """An interior page of a b-tree all of whose children are one page."""
    interior = 5 if kind in (5, 13) else 2
    cells, body, at = 300, b"", head + size
    pointers = b""
    for number in range(cells):
        cell = struct.pack(">I", child) + (bytes([number % 100 + 1]) if interior == 5 else b"\x03\x02\x01\x00")
        at -= len(cell)
        body = cell + body
        pointers += struct.pack(">H", at)
    top = struct.pack(">BHHHBI", interior, 0, cells, at, 0, child)
    return top + pointers + bytes(size - len(top) - len(pointers) - len(body)) + body


# --- where paths lead


def test_a_journal_replaces_nothing_but_the_memory(copy: Path) -> None:
    precious = copy.with_name("precious")
    precious.write_text("mine")
    staged = copy.with_name("precious.new")
    staged.write_text("theirs")
    copy.with_name(JOURNAL).write_text(
        '{"renames": [{"bytes": 6, "folder": "index", "name": "precious"}], "version": 1}'
    )
    with pytest.raises(IndexFormatError, match="is of a commit of 'precious'"):
        open_memory(copy)
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("name", ["memory.mp4", "memory_index.json", "memory_index.records"])
def test_a_link_is_not_replaced_by_finishing_a_commit(copy: Path, tmp_path: Path, name: str) -> None:
    precious = copy.with_name(name).rename(tmp_path / "precious")
    content = precious.read_bytes()
    copy.with_name(name).symlink_to(precious)
    copy.with_name(name + ".new").write_bytes(content)
    entry = {"bytes": len(content), "folder": "video" if name == "memory.mp4" else "index", "name": name}
    manifest = {"bytes": 1, "folder": "index", "name": "memory_index.json"}
    renames = [entry] if name == "memory_index.json" else [entry, manifest]
    copy.with_name(JOURNAL).write_text(json.dumps({"renames": renames, "version": 1}))
    with pytest.raises(OutputError, match=rf"{name}: is a symbolic link.* rm .*{JOURNAL}$"):
        open_memory(copy)
    assert copy.with_name(name).is_symlink()
    assert precious.read_bytes() == content
    copy.with_name(JOURNAL).unlink()  # as it says
    with open_memory(copy) as memory:
        assert len(memory) > 0


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs links that can be refused")
def test_links_in_a_folder_are_not_written_through(copy: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    lock = copy.with_name("memory_index.json.lock")
    lock.unlink(missing_ok=True)
    lock.symlink_to(precious)
    copy.with_name(JOURNAL).write_text('{"renames": [], "version": 1}')
    with pytest.raises(OutputError):
        open_memory(copy)
    assert precious.read_text() == "mine"
    lock.unlink()
    copy.with_name(JOURNAL).unlink()
    for name in (*PLAIN_FILES, JOURNAL):
        copy.with_name(name + ".new").symlink_to(precious)
    build(copy.parent, ["a new memory in the old one's place"])
    assert precious.read_text() == "mine"
    with open_memory(copy) as memory:
        assert len(memory) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", [*PLAIN_FILES, JOURNAL])
def test_a_pipe_is_refused_and_not_waited_for(copy: Path, victim: Victim, name: str) -> None:
    copy.with_name(name).unlink(missing_ok=True)
    os.mkfifo(copy.with_name(name))
    victim.read(copy, honest=True)
