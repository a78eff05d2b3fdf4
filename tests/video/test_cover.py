"""The cover: a picture that people read and phones scan, in front of the pages, and none of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import cv2
import numpy as np
import pytest
import zxingcpp

from memvid import MemvidEncoder
from memvid.errors import ConfigError, FrameError
from memvid.exchange import export
from memvid.maintenance import compact, reindex, repair, verify
from memvid.page import PageKind, is_page, page_checksum
from memvid.video import COVER, PageStore, VideoReader, cover_picture
from memvid.video.codecs import available_codecs
from memvid.video.cover import cover_text
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import make_video, png, samples, without_page_table

TEXTS = make_texts(60)
SOURCES = [{"source": f"notes-{number % 7}.txt"} for number in range(len(TEXTS))]


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return build(tmp_path, TEXTS, metadatas=SOURCES, title="Field notes")


def front(video: Path) -> tuple[bytes, int | None]:
    """What the cover holds, and the checksum of it that the header page has."""
    reader = VideoReader(video)
    assert reader.table.kinds[0] == COVER
    assert reader.table.header_frame == 1
    return reader.read([0])[0], PageStore(reader, cache_bytes=0).header.cover


def chunks_of(video: Path) -> list[tuple[int, str]]:
    with open_memory(video) as memory:
        return [(chunk.chunk_id, chunk.text) for chunk in memory.get_chunks_by_id(memory.chunk_ids())]


def test_any_reader_of_codes_shows_what_it_says(memory: Path) -> None:
    payload, checksum = front(memory)
    text = payload.decode()
    assert text.startswith("Field notes\n60 chunks of 7 documents\n\n")
    assert "memvid search" in text
    assert page_checksum(payload) == checksum
    picture = cv2.VideoCapture(str(memory)).read()[1]
    large = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    assert [found.text for found in zxingcpp.read_barcodes(large)] == [text]
    assert cv2.QRCodeDetectorAruco().detectAndDecode(large)[0] == text


def test_people_read_it_around_the_code() -> None:
    payload = cover_text(title="Ab", chunks=1, documents=0, date="2026-11-27").encode()
    picture = cover_picture(payload, 40)
    assert picture is not None
    code = zxingcpp.read_barcodes(picture)[0].position
    above, below = picture[: code.top_left.y - 8], picture[code.bottom_left.y + 8 :]
    assert (above == 0).sum() > 200
    assert (below == 0).sum() > 500
    rows = np.flatnonzero((above == 0).any(axis=1))
    assert len(np.flatnonzero(np.diff(rows) > 1)) == 2  # three lines: title, chunks, date
    assert b"1 chunk\n" in payload


@pytest.mark.parametrize(
    "title",
    ["Ä", "水の記録", "x" * 80, "many words " * 7 + "!", "می\u200cخواهم", "東京\u3000大学", "\u0301", "👩\u200d🔬"],
)
def test_any_title_makes_one(title: str, tmp_path: Path) -> None:
    payload, _ = front(build(tmp_path, ["one"], title=title))
    assert payload.decode().startswith(title + "\n")
    picture = cover_picture(payload, 40)
    assert picture is not None
    assert zxingcpp.read_barcodes(picture)[0].bytes == payload


@pytest.mark.parametrize(
    ("title", "drawn"),
    [
        ("Cafe\u0301 o\u0308", "Cafe o"),
        ("Große Straße – Łódź, Ærø…", "Grosse Strasse - Lodz, AEro..."),
        ("Anna’s “notes” \u00bd ①", 'Anna\'s "notes" 1/2 1'),
        ("\u6771\u3000Ｎｏｔｅｓ 2026", "? Notes 2026"),
        ("Why? What? 😀", "Why? What? ?"),
        ("水の記録", "Title: scan the code"),
        ("Log 平仮名 שלום مرحبا", "Title: scan the code"),
    ],
)
def test_a_title_is_drawn_in_the_letters_there_are(title: str, drawn: str) -> None:
    lines = []
    for name in (title, drawn):
        picture = cover_picture(f"{name}\n1 chunk\n\nx".encode(), 40)
        assert picture is not None
        top = int(np.flatnonzero((picture == 0).any(axis=1))[0])
        lines.append(picture[top : top + 7])
    assert np.array_equal(lines[0], lines[1])


@pytest.mark.parametrize("title", ["", " ", "two\nlines", "x" * 81, 7, "\x1b[1m", "a\u2028b", "\u202egnp", "\ud800"])
def test_a_title_is_a_line(title: object) -> None:
    with pytest.raises(ConfigError, match="title"):
        MemvidEncoder(title=title, embedder=EMBEDDER)


@pytest.mark.parametrize("options", [{"cover": False}, {"symbol_version": 12}])
def test_it_can_be_left_out(options: dict[str, Any], tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, **options)
    reader = VideoReader(video)
    assert reader.table.header_frame == 0
    assert PageStore(reader, cache_bytes=0).header.cover is None
    assert verify(video, deep=True).findings == ()
    before = video.read_bytes()
    with MemvidEncoder.open(video, embedder=EMBEDDER) as writer:
        writer.delete([0])
        writer.append()
    compact(video, embedder=EMBEDDER)
    assert VideoReader(video).table.header_frame == 0
    assert len(video.read_bytes()) <= len(before) + 200


@pytest.mark.skipif(which("ffprobe") is None, reason="ffprobe is not installed")
def test_it_is_shown_for_a_second_and_all_others_as_ever(memory: Path) -> None:
    def probe(*options: str) -> dict[str, object]:
        command = ["ffprobe", "-v", "error", "-of", "json", *options, str(memory)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        found: dict[str, object] = json.loads(done.stdout)
        return found

    packets = probe("-show_packets")["packets"]
    assert isinstance(packets, list)
    durations = [float(packet["duration_time"]) for packet in packets]
    assert durations[0] == 1
    assert {round(duration * 30) for duration in durations[1:]} == {1}
    with MemvidEncoder.open(memory, embedder=EMBEDDER) as writer:
        writer.add_chunks(["one more"])
        writer.append()
    packets = probe("-show_packets")["packets"]
    assert isinstance(packets, list)
    assert float(packets[0]["duration_time"]) == 1
    assert VideoReader(memory).fps == 30


@pytest.mark.parametrize("bare", [False, True])
def test_it_is_no_text_where_the_page_table_is_lost(bare: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"compression": "none", "chunks_per_frame": 1} if bare else {}
    video = build(tmp_path, TEXTS, metadatas=SOURCES, **options)
    table = VideoReader(video).table
    video.write_bytes(without_page_table(video.read_bytes()))
    found = VideoReader(video).table
    assert found.to_bytes() == table.to_bytes()
    assert found.chunk_count == len(TEXTS)


@pytest.mark.parametrize("codec", ["h264", "vp9", "ffv1", "mp4v"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_it_goes_through_other_codecs(codec: str, suffix: str, memory: Path, tmp_path: Path) -> None:
    if codec not in available_codecs():
        pytest.skip(f"this machine does not write {codec}")
    other = tmp_path / f"other{suffix}"
    export(memory, other, codec=codec)  # type: ignore[arg-type]
    assert front(other) == front(memory)
    assert round(VideoReader(other).fps) == 30
    assert export(other, tmp_path / "back.mp4", codec="png").video_file.read_bytes() == memory.read_bytes()


class TestDamage:
    def test_a_lost_cover_costs_nothing_but_itself(self, memory: Path, tmp_path: Path) -> None:
        reader = VideoReader(memory)
        frames = samples(memory.read_bytes())
        frames[0] = png(np.zeros((reader.height, reader.width), np.uint8))
        make_video(memory, frames, reader.width, reader.height, table=reader.table.to_bytes())
        assert [chunk[1] for chunk in chunks_of(memory)] == TEXTS
        report = verify(memory, deep=True)
        assert not report.ok
        assert {finding.frame for finding in report.findings} == {0}
        with pytest.raises(FrameError, match="frame 0"):
            VideoReader(memory).read([0])
        fixed = tmp_path / "fixed.mp4"
        assert repair(memory, fixed, embedder=EMBEDDER).lost == ()
        payload, checksum = front(fixed)
        assert payload.decode().startswith("Field notes\n60 chunks of ")  # its checksum tells how many documents
        assert page_checksum(payload) == checksum
        assert verify(fixed, deep=True).findings == ()

    def test_one_that_was_drawn_over_is_named_and_drawn_again(self, memory: Path, tmp_path: Path) -> None:
        whole = memory.read_bytes()
        reader = VideoReader(memory)
        frames = samples(memory.read_bytes())
        picture = reader.read_pixels(0).copy()
        picture[2:5, 2:180] = 0
        frames[0] = png(picture)
        make_video(memory, frames, reader.width, reader.height, table=reader.table.to_bytes())
        report = verify(memory, deep=True)
        assert [finding.frame for finding in report.findings if finding.code == "picture"] == [0]
        fixed = tmp_path / "fixed.mp4"
        repair(memory, fixed, embedder=EMBEDDER)
        assert samples(fixed.read_bytes()) == samples(whole)

    def test_parity_brings_it_back(self, tmp_path: Path) -> None:
        pytest.importorskip("zfec")
        video = build(tmp_path, TEXTS, metadatas=SOURCES, parity=0.5, symbol_version=25)
        before, _ = front(video)
        reader = VideoReader(video)
        frames = samples(video.read_bytes())
        frames[0] = png(np.zeros((reader.height, reader.width), np.uint8))
        make_video(video, frames, reader.width, reader.height, table=reader.table.to_bytes())
        assert VideoReader(video).read([0])[0] == before
        video.write_bytes(without_page_table(video.read_bytes()))
        assert front(video)[0] == before

    def test_another_cover_is_not_taken_for_it(self, memory: Path, tmp_path: Path) -> None:
        other = build(tmp_path, TEXTS, name="other", metadatas=SOURCES, title="Another")
        frames = samples(memory.read_bytes())
        frames[0] = samples(other.read_bytes())[0]
        reader = VideoReader(memory)
        make_video(memory, frames, reader.width, reader.height, table=reader.table.to_bytes())
        with pytest.raises(FrameError, match="frame 0"):
            VideoReader(memory).read([0])
        memory.write_bytes(without_page_table(memory.read_bytes()))  # and then nothing but the header page knows
        assert VideoReader(memory).lost_frames.tolist() == [0]
        assert any("cover" in finding.message for finding in verify(memory, deep=True).findings)


def test_what_is_written_of_a_memory_keeps_its_title(memory: Path) -> None:
    with MemvidEncoder.open(memory, embedder=EMBEDDER) as writer:
        writer.delete(range(50))
        writer.append()
    compact(memory, embedder=EMBEDDER)
    payload, _ = front(memory)
    assert payload.decode().startswith("Field notes\n10 chunks of 7 documents\n")
    reindex(memory, embedder=EMBEDDER)
    assert verify(memory, deep=True).findings == ()


def test_no_frame_of_pages_is_one(memory: Path) -> None:
    reader = VideoReader(memory)
    for frame, payload in reader.read_all():
        assert is_page(payload) == (frame > 0)
    assert reader.table.kinds[1] == PageKind.HEADER
