"""What `verify` finds: nothing in sound memories, and in damaged ones each damage, its place and what it costs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid.cli import main
from memvid.errors import IndexFormatError, VideoError, VideoNotFoundError
from memvid.index.manifest import SideFile, read_manifest
from memvid.index.record_writer import RecordWriter
from memvid.index.section_file import read_sections
from memvid.maintenance import VerifyReport, delete, repair, verify
from memvid.maintenance.damaged.container import find_page_tables, read_container
from memvid.page import PageKind, count_chunks, describe_chunks
from memvid.types import Progress
from memvid.video import PageTable, VideoReader
from memvid.video.video_bytes import VideoBytes
from tests.index.sqlite.old_index import age_memory
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory
from tests.video.video_support import find, png, samples, without_page_table

TEXTS = make_texts(80)
METADATAS = [{"number": number} for number in range(80)]
STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
BARE: dict[str, Any] = {"compression": "none", "chunks_per_frame": 1, "symbol_version": 10}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    """A memory of some dozen frames: header, dictionary and data."""
    folder = tmp_path_factory.mktemp("original")
    build(folder, TEXTS, metadatas=METADATAS, symbol_version=12, dictionary=1024)
    return folder


@pytest.fixture
def video(original: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy" / "memory.mp4"


def codes(report: VerifyReport) -> list[tuple[str, str]]:
    return [(finding.severity, finding.code) for finding in report.findings]


def replace_frames(video: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Put other frames where the old ones are; the sample table follows."""
    data = video.read_bytes()
    old = samples(data)
    new = change(list(old))
    start = data.index(old[0])
    _, sizes, _ = find(data, *STBL, b"stsz")
    assert sum(map(len, new)) == sum(map(len, old))
    changed = data[:start] + b"".join(new) + data[start + sum(map(len, old)) :]
    table = struct.pack(f">{len(new)}I", *map(len, new))
    video.write_bytes(changed[: sizes + 12] + table + changed[sizes + 12 + len(table) :])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"symbol_version": 8},
        BARE,
        {"compression": "none", "symbol_version": 15, "error_correction": "H", "data_mask": None},
        {"dictionary": 1024, "symbol_version": 12, "keywords": False, "vector_dtype": "f32"},
    ],
    ids=["default", "small", "bare", "plain", "dictionary"],
)
def test_a_sound_memory_has_no_findings(tmp_path: Path, options: dict[str, Any]) -> None:
    texts = TEXTS if options is BARE else [*TEXTS[:-1], "long " * 4000]
    video = build(tmp_path, texts, metadatas=METADATAS, **options)
    before = all_files(tmp_path)
    report = verify(video)
    assert (report.ok, report.findings, report.lost_chunks) == (True, (), ())
    assert (report.chunks, report.frames_read, report.chunks_read) == (80, 0, 0)
    deep = verify(video, deep=True)
    assert (deep.ok, deep.findings) == (True, ())
    assert (deep.frames_read, deep.frames_corrected, deep.chunks_read) == (deep.frames, 0, 80)
    assert all_files(tmp_path) == before


def test_every_single_damaged_frame_is_named_with_its_chunks(original: Path, video: Path) -> None:
    data = video.read_bytes()
    frames = samples(data)
    with open_memory(original / "memory.mp4") as memory:
        chunks = memory.get_chunks_by_id(range(80))
    first_data = min(chunk.frame_index for chunk in chunks)
    for number, frame in enumerate(frames):
        at = data.index(frame)
        video.write_bytes(data[: at + 50] + bytes(9) + data[at + 59 :])
        report = verify(video, deep=True)
        errors = [finding for finding in report.errors if finding.code == "frame"]
        assert [(finding.frame, finding.offset) for finding in errors] == [(number, at)]
        lost = {chunk for first, last in report.lost_chunks for chunk in range(first, last + 1)}
        assert lost >= {chunk.chunk_id for chunk in chunks if chunk.frame_index == number}
        if number >= first_data:
            assert errors[0].chunks == report.lost_chunks
            assert len(lost) < 80
            assert report.chunks_read == 80 - len(lost)
        else:
            assert len(lost) in (0, 80)


def test_the_front_is_read_without_deep(video: Path) -> None:
    table = VideoReader(video).table
    dictionary = int(table.frames_of_kind(1)[0])
    for frame, expected in ((0, "header"), (dictionary, "dictionary")):
        data = video.read_bytes()
        at = data.index(samples(data)[frame])
        video.write_bytes(data[: at + 50] + bytes(9) + data[at + 59 :])
        report = verify(video)
        assert codes(report) == [("error", expected)]
        assert count_chunks(report.lost_chunks) == (80 if expected == "dictionary" else 0)
        video.write_bytes(data)


def spoil_frame(video: Path, frame: int) -> None:
    def change(frames: list[bytes]) -> list[bytes]:
        frames[frame] = frames[frame][:60] + bytes(len(frames[frame]) - 60)
        return frames

    replace_frames(video, change)


def test_what_was_deleted_is_not_lost(video: Path, tmp_path: Path) -> None:
    table = VideoReader(video).table
    frame = int(np.flatnonzero(table.counts)[1])
    first = int(table.first_chunks[frame])
    behind = first + int(table.counts[frame])
    spoil_frame(video, frame)
    delete(video, chunk_ids=range(first, behind - 1))
    report = verify(video, deep=True)
    assert not report.ok
    assert report.lost_chunks == ((behind - 1, behind - 1),)
    mended = repair(video, tmp_path / "mended.mp4")
    assert mended.lost == report.lost_chunks
    assert mended.embeddings_kept == 80 - (behind - first)


def test_metadata_of_bare_texts(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS[:10], metadatas=METADATAS[:10], **BARE)
    spoil_frame(video, int(VideoReader(video).table.frames_of_kind(PageKind.ATTRIBUTES)[0]))
    with open_memory(video) as memory:
        for chunk in memory.get_chunks_by_id(range(10)):
            assert (chunk.text, chunk.metadata) == (TEXTS[chunk.chunk_id], {})
            assert re.search(r"frame \d+ .* cannot be read", chunk.metadata_fault or "")
    report = verify(video, deep=True)
    assert codes(report) == [("error", "frame"), ("error", "metadata")]  # and no word of the index, which is right
    assert report.findings[1].chunks == ((0, 9),)
    assert report.lost_chunks == ()


def test_a_lost_page_of_metadata_costs_the_metadata_in_it(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS[:40], metadatas=METADATAS[:40], **BARE)
    with closing(VideoReader(video)) as reader:
        pages = reader.table.frames_of_kind(PageKind.ATTRIBUTES).tolist()
    assert len(pages) > 2
    spoil_frame(video, pages[1])
    with open_memory(video) as memory:
        chunks = memory.get_chunks_by_id(range(40))
        results = memory.search_results(TEXTS[5], 40)
    assert [chunk.text for chunk in chunks] == TEXTS[:40]
    lost = [chunk.chunk_id for chunk in chunks if chunk.metadata_fault]
    assert 0 < len(lost) < 30
    for chunk in chunks:
        assert chunk.metadata == ({} if chunk.chunk_id in lost else METADATAS[chunk.chunk_id])
    assert sorted(result.chunk_id for result in results if result.metadata_fault) == lost
    report = verify(video, deep=True)
    assert codes(report) == [("error", "frame"), ("error", "metadata")]
    assert report.findings[1].chunks == ((lost[0], lost[-1]),)
    mended = repair(video, tmp_path / "mended.mp4", embedder=EMBEDDER)
    assert (mended.chunks, mended.lost, mended.unusable_metadata) == (40, (), ((lost[0], lost[-1]),))
    with open_memory(tmp_path / "mended.mp4") as memory:
        for chunk in memory.get_chunks_by_id(range(40)):
            assert chunk.metadata_fault is None
            assert chunk.metadata == ({} if chunk.chunk_id in lost else METADATAS[chunk.chunk_id])


def test_swapped_and_repeated_frames_are_named(video: Path) -> None:
    count = len(samples(video.read_bytes()))

    def swap(frames: list[bytes]) -> list[bytes]:
        frames[-1], frames[-2] = frames[-2], frames[-1]
        return frames

    replace_frames(video, swap)
    report = verify(video, deep=True)
    assert [finding.frame for finding in report.errors] == [count - 2, count - 1]
    assert "swapped" in report.errors[0].message
    assert report.lost_chunks == ()
    data = video.read_bytes()
    video.write_bytes(without_page_table(data))
    report = verify(video, deep=True)
    assert ("warning", "page table") in codes(report)
    assert {finding.frame for finding in report.errors if finding.code == "frame"} == {count - 2, count - 1}


def test_a_frame_that_error_correction_still_reads_is_a_warning(video: Path) -> None:
    reader = VideoReader(video)
    last = reader.frame_count - 1
    pixels = reader.read_pixels(last).copy()
    pixels[30:32, 30:33] ^= 255
    picture = png(pixels)

    data = video.read_bytes()
    frames = samples(data)
    grown = data[: data.index(frames[last])] + picture + data[data.index(frames[last]) + len(frames[last]) :]
    # The last frame may be longer than it was: everything behind it moves, and only its size and mdat's change.
    difference = len(picture) - len(frames[last])
    start, body, _ = find(data, b"mdat")
    grown = grown[: start + 8] + struct.pack(">Q", find(data, b"mdat")[2] - start + difference) + grown[body:]
    _, sizes, _ = find(grown, *STBL, b"stsz")
    at = sizes + 12 + 4 * last
    video.write_bytes(grown[:at] + struct.pack(">I", len(picture)) + grown[at + 4 :])
    report = verify(video, deep=True)
    assert codes(report) == [("warning", "picture")]
    assert report.ok
    assert report.frames_corrected == 1
    assert "6 modules" in report.findings[0].message
    assert report.findings[0].frame == last


def test_a_wrong_checksum_of_a_picture_is_a_warning(video: Path) -> None:
    data = bytearray(video.read_bytes())
    frame = samples(bytes(data))[3]
    at = bytes(data).index(frame) + len(frame) - 1  # of IEND
    data[at] ^= 1
    video.write_bytes(data)
    report = verify(video, deep=True)
    assert codes(report) == [("warning", "picture")]
    assert "'IEND'" in report.findings[0].message


class TestContainer:
    @pytest.mark.parametrize("content", [b"", b"text", bytes(5000), random.Random(5).randbytes(5000)])
    def test_what_is_no_video(self, video: Path, content: bytes) -> None:
        video.write_bytes(content)
        for deep in (False, True):
            report = verify(video, deep=deep)
            assert not report.ok
            assert report.frames == 0
            assert report.lost_chunks == ((0, 79),)
            assert "memvid repair" in report.errors[-1].message

    def test_a_cut_off_file(self, video: Path) -> None:
        data = video.read_bytes()
        video.write_bytes(data[: len(data) // 2])
        report = verify(video, deep=True)
        assert ("error", "container") in codes(report)
        assert report.lost_chunks == ((0, 79),)

    def test_pictures_of_an_impossible_size(self, video: Path) -> None:
        data = video.read_bytes()
        entry = data.index(b"mp4v")
        video.write_bytes(data[: entry + 28] + b"\xff\xff" + data[entry + 30 :])
        assert ("error", "header") in codes(verify(video))
        assert ("error", "container") in codes(verify(video, deep=True))

    def test_it_finds_the_frames_where_the_native_reader_does(self, original: Path) -> None:
        data = (original / "memory.mp4").read_bytes()
        with VideoBytes(original / "memory.mp4") as file:
            container = read_container(file)
        spans = zip(container.offsets.tolist(), container.sizes.tolist(), strict=True)
        assert [data[at : at + size] for at, size in spans] == samples(data)
        assert container.problems == []

    def test_page_tables_are_found_anywhere(self, original: Path, tmp_path: Path) -> None:
        data = (original / "memory.mp4").read_bytes()
        (tmp_path / "part").write_bytes(b"x" * 7 + data[find(data, b"moov")[0] :])
        with VideoBytes(tmp_path / "part") as file:
            (table,) = find_page_tables(file, [])
        assert table.digest == VideoReader(original / "memory.mp4").table.digest

    def test_no_video_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(VideoNotFoundError):
            verify(tmp_path / "none.mp4")
        with pytest.raises(VideoError):
            verify(tmp_path)


class TestPageTable:
    def test_a_missing_one_is_a_warning(self, video: Path) -> None:
        video.write_bytes(without_page_table(video.read_bytes()))
        for deep in (False, True):
            report = verify(video, deep=deep)
            assert codes(report) == [("warning", "page table")]
            assert report.ok

    def test_each_changed_byte_of_it_is_found(self, video: Path) -> None:
        data = video.read_bytes()
        _, body, end = find(data, b"moov", b"uuid")
        for at in range(body + 16, end):
            video.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            assert not verify(video).ok, at

    def test_a_wrong_row_is_told_from_a_damaged_frame(self, video: Path) -> None:
        data = bytearray(video.read_bytes())
        _, body, end = find(bytes(data), b"moov", b"uuid")
        table = PageTable.from_bytes(bytes(data[body + 16 : end]))
        data[body + 16 + 16 + 3 * len(table) + 4 * (len(table) - 1)] ^= 1
        video.write_bytes(data)
        (finding, *_) = (finding for finding in verify(video, deep=True).errors if finding.code == "frame")
        assert finding.frame == len(table) - 1
        assert "sound page" in finding.message


class TestIndex:
    def test_a_missing_one(self, video: Path) -> None:
        video.with_name("memory_index.json").unlink()
        report = verify(video, deep=True)
        assert codes(report) == [("error", "manifest")]
        assert "memvid reindex" in report.errors[0].message
        assert report.lost_chunks == ()

    @pytest.mark.parametrize("name", ["memory_index.json", "memory_index.records", "memory_index.usearch"])
    def test_damage_in_each_file_is_found_also_where_it_was_checked_before(self, video: Path, name: str) -> None:
        path = video.with_name(name)
        open_memory(video).close()
        data = bytearray(path.read_bytes())
        for at in random.Random(2).sample(range(len(data)), 20):
            status = path.stat()
            changed = bytearray(data)
            changed[at] ^= 1 << at % 8
            with path.open("r+b") as file:
                file.write(changed)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            report = verify(video)
            assert not report.ok
            assert report.errors[0].file == str(path)
            assert report.lost_chunks == ()

    def test_a_damaged_schema_of_an_old_one_that_is_no_utf_8(self, video: Path) -> None:
        path = age_memory(video).with_name("memory_index.sqlite")
        data = path.read_bytes()
        at = data.index(b"CREATE VIRTUAL TABLE keywords") + 24
        path.write_bytes(data[:at] + bytes([data[at] | 0x80]) + data[at + 1 :])
        _forge_manifest(video)
        assert codes(verify(video)) == [("error", "records")]
        with pytest.raises(IndexFormatError):
            open_memory(video)

    def test_that_of_another_video(self, video: Path, tmp_path: Path) -> None:
        other = build(tmp_path, TEXTS[::-1], symbol_version=12)
        report = verify(video, other.with_name("memory_index.json"))
        assert codes(report) == [("error", "manifest")]
        assert "another video" in report.errors[0].message

    def test_metadata_of_an_old_one_that_are_not_those_of_the_video(self, video: Path) -> None:
        _change_old_records(video, "UPDATE metadata SET json = '{\"number\":8}' WHERE id = 7")
        assert verify(video).ok
        report = verify(video, deep=True)
        assert codes(report) == [("error", "records")]
        assert "chunk 7 " in report.errors[0].message

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE attributes SET value = X'6e38' WHERE first = 7",  # the number 8
            "DELETE FROM attributes WHERE first = 7",
            "UPDATE attributes SET first = 8, last = 8 WHERE first = 7",
            "UPDATE attributes SET last = 9 WHERE first = 7",
            "UPDATE attributes SET last = 1000000000 WHERE first = 7",
            "UPDATE attributes SET value = 'n7' WHERE first = 7",
            "UPDATE attributes SET field = 5 WHERE first = 7",
            "UPDATE fields SET name = 'other'",
            "INSERT INTO attributes SELECT field, X'6e99', 7, 7 FROM fields",
            "DELETE FROM attributes",
        ],
    )
    def test_filters_of_an_old_one_that_find_something_else(self, video: Path, change: str) -> None:
        _change_old_records(video, change)
        assert verify(video).ok
        report = verify(video, deep=True)
        assert codes(report) == [("error", "records")]
        assert "memvid reindex" in report.errors[0].message
        assert report.lost_chunks == ()

    @pytest.mark.parametrize(
        "other",
        [
            lambda metadatas: [*metadatas[:7], {"number": 8}, *metadatas[8:]],
            lambda metadatas: [*metadatas[:7], None, *metadatas[8:]],
            lambda metadatas: metadatas[:7] + metadatas[8:] + [metadatas[7]],
            lambda metadatas: [{**metadata, "more": 1} for metadata in metadatas],
            lambda metadatas: [{"number": [7]} if metadata == {"number": 7} else metadata for metadata in metadatas],
        ],
    )
    def test_filters_that_find_something_else(self, video: Path, other: Callable[[list[Any]], list[Any]]) -> None:
        _write_records(video, TEXTS, other([*METADATAS]))
        assert verify(video).ok
        report = verify(video, deep=True)
        assert codes(report) == [("error", "records")]
        assert "filter" in report.errors[0].message
        assert "memvid reindex" in report.errors[0].message
        assert report.lost_chunks == ()

    def test_lengths_that_are_not_those_of_the_video(self, video: Path) -> None:
        _write_records(video, ["a " * 99, *TEXTS[1:]], [*METADATAS])
        report = verify(video, deep=True)
        assert codes(report) == [("error", "records")]
        assert "chunk 0 " in report.errors[0].message

    def test_postings_that_are_no_postings(self, video: Path) -> None:
        path = video.with_name("memory_index.records")
        data = path.read_bytes()
        words = bytes(read_sections(memoryview(data))["words"])
        path.write_bytes(data.removesuffix(words) + words[:64] + bytes([words[64] ^ 0xFF]) + words[65:])
        _forge_manifest(video)
        assert codes(verify(video)) == [("error", "records")]

    def test_a_commit_that_cannot_be_finished(self, video: Path) -> None:
        video.with_name("memory_index.json.commit").write_text("no journal")
        report = verify(video)
        assert codes(report) == [("error", "commit")]


def _change_old_records(video: Path, statement: str) -> None:
    """Make the index an old one, and carry a statement out on its records."""
    with closing(sqlite3.connect(age_memory(video).with_name("memory_index.sqlite"), isolation_level=None)) as records:
        records.execute(statement)
        assert records.execute("SELECT changes()").fetchone() != (0,)
    _forge_manifest(video)


def _write_records(video: Path, texts: list[str], metadatas: list[Any]) -> None:
    """Give the index the records of other chunks."""
    with closing(VideoReader(video)) as reader:
        table = reader.table
    writer = RecordWriter(video.with_name("memory_index.records"), keywords=True)
    writer.add(0, texts, metadatas)
    starts = np.flatnonzero(table.counts)
    writer.add_pages(starts, table.first_chunks[starts], table.counts[starts])
    writer.finish()
    _forge_manifest(video)


def _forge_manifest(video: Path) -> None:
    """Have the manifest say that the side files are as they should be."""
    path = video.with_name("memory_index.json")
    manifest = read_manifest(path)
    files = {}
    for role, file in manifest.side_files():
        data = path.with_name(file.name).read_bytes()
        files[role] = SideFile(file.name, len(data), hashlib.sha256(data).hexdigest())
    segment = dataclasses.replace(manifest.segments[0], count=manifest.vectors.count, files=files)
    path.write_bytes(dataclasses.replace(manifest, segments=(segment,)).to_bytes())


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_overwritten_is_found_or_harmless(original: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Garbage anywhere never raises, and if verify says that all is well, then all is well."""
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    path = folder / data.draw(st.sampled_from(sorted(all_files(original))))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    garbage = data.draw(st.binary(min_size=1, max_size=300))
    path.write_bytes(content[:at] + garbage + content[at + len(garbage) :])
    report = verify(folder / "memory.mp4", deep=True)
    shallow = verify(folder / "memory.mp4")
    assert report.ok <= shallow.ok
    if report.ok:
        with open_memory(folder / "memory.mp4") as memory:
            chunks = memory.get_chunks_by_id(range(80))
            assert [chunk.text for chunk in chunks] == TEXTS
            assert [chunk.metadata for chunk in chunks] == METADATAS


def test_ranges_in_words() -> None:
    assert count_chunks(((0, 9), (20, 20))) == 11
    assert describe_chunks(()) == "no chunk"
    assert describe_chunks(((7, 7),)) == "chunk 7"
    assert describe_chunks(((0, 9), (20, 20))) == "11 chunks: 0-9, 20"
    assert describe_chunks(tuple((n, n) for n in range(0, 40, 2))).endswith("14, ...")


def test_progress_counts_frames(original: Path) -> None:
    seen: list[Progress] = []
    report = verify(original / "memory.mp4", deep=True, progress=seen.append)
    assert seen[-1] == Progress("frames", report.frames, report.frames)


class TestCommand:
    def test_a_sound_memory(self, original: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(original / "memory.mp4"), "--deep"]) == 0
        out, err = capsys.readouterr()
        assert "is sound" in out
        assert "80 chunks in full" in out
        assert err == ""

    def test_deleted_chunks_are_told_apart(self, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
        delete(video, chunk_ids=[3, 4])
        assert main(["verify", str(video)]) == 0
        assert "80 chunks" in (out := capsys.readouterr().out)
        assert ", 2 of them deleted" in out

    def test_a_damaged_one(self, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
        data = video.read_bytes()
        at = data.index(samples(data)[-1]) + 50
        video.write_bytes(data[:at] + bytes(9) + data[at + 9 :])
        assert main(["verify", str(video)]) == 0  # the frames are not read
        out = capsys.readouterr().out
        assert "sound structure" in out
        assert re.search(r"; \d+ frames were not read: --deep reads them", out)
        assert "is sound" not in out
        assert main(["verify", str(video), "--deep"]) == 1
        out = capsys.readouterr().out
        assert "is damaged: 1 error" in out
        assert "chunks: " in out
        assert main(["verify", str(video), "--deep", "--json"]) == 1
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] is False
        (finding,) = report["findings"]
        assert finding["chunks"] == report["lost_chunks"]
        assert finding["frame"] == report["frames"] - 1

    def test_many_findings_are_cut_short(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        video = build(tmp_path, TEXTS, symbol_version=8)
        data = video.read_bytes()
        first = data.index(samples(data)[20])
        video.write_bytes(data[:first] + bytes(len(data) - first - 20000) + data[-20000:])
        assert main(["verify", str(video), "--deep"]) == 1
        assert main(["verify", str(tmp_path / "none.mp4")]) == 1
        assert main(["verify"]) == 2
