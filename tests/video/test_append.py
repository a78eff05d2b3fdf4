"""Frames behind those of a video: what counts when, what a cut leaves, and what other programs make of it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import zxingcpp

from memvid import MemvidEncoder, _core
from memvid.config import EncoderConfig
from memvid.errors import ClosedError, ConfigError, MemvidError, UnsupportedVideoError, VideoFormatError
from memvid.maintenance import repair, verify
from memvid.page import parse_header
from memvid.video import BARE, PageTableBuilder, VideoAppender, VideoReader, VideoWriter
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import TAG, find, make_pages, png, samples, write_video

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from memvid.video import PageTable

CONFIG = EncoderConfig(symbol_version=5, error_correction="L")
OLD = make_pages(6)
NEW = make_pages(4, first=6, seed=1)
MARK = b"\0\0\0\x20uuidmemvid-append-01"


def append(path: Path, payloads: Sequence[bytes], *, commit: bool = True) -> VideoAppender:
    appender = VideoAppender(path, CONFIG, table=VideoReader(path).table)
    appender.write(payloads)
    appender.finish()
    if commit:
        _core.commit_append(path, appender.mark)
    return appender


def read(path: Path) -> list[bytes]:
    reader = VideoReader(path)
    return reader.read(range(reader.frame_count), corrected=True)


def expected_table() -> PageTable:
    builder = PageTableBuilder()
    for frame, payload in enumerate(OLD + NEW):
        header = parse_header(payload, frame_index=frame)
        builder.add(header.kind, header.count, header.first_chunk, header.checksum)
    return builder.build(TAG)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_video(tmp_path / "a.mp4", OLD)
    return tmp_path / "a.mp4"


def test_an_append_counts_from_its_commit_on(video: Path) -> None:
    before = video.read_bytes()
    old = VideoReader(video)
    appender = VideoAppender(video, CONFIG, table=old.table)
    assert (appender.frames, appender.mark) == (6, len(before))
    appender.write(NEW[:1])
    appender.write(NEW[1:])
    assert appender.frames == 10
    assert read(video) == OLD
    table = appender.finish()
    assert read(video) == OLD
    new = VideoReader(video, movie=appender.movie)
    assert new.read(range(10), corrected=True) == OLD + NEW
    assert new.table.to_bytes() == table.to_bytes() == expected_table().to_bytes()
    for _ in range(2):
        _core.commit_append(video, appender.mark)
        assert VideoReader(video).identity == new.identity
    assert read(video) == OLD + NEW
    assert old.read(range(6)) == OLD
    after = video.read_bytes()
    movie = find(before, b"moov")[0]
    assert after[: len(before)] == before[: movie + 4] + b"free" + before[movie + 8 :]
    assert after[len(before) : len(before) + 32] == MARK + struct.pack(">Q", movie)
    with pytest.raises(ClosedError):
        appender.write(NEW)


def test_the_same_appends_make_the_same_bytes(tmp_path: Path, video: Path) -> None:
    shutil.copy(video, tmp_path / "b.mp4")
    append(tmp_path / "b.mp4", make_pages(2, first=6, seed=5), commit=False)  # left by another, and cut off
    append(video, NEW)
    append(tmp_path / "b.mp4", NEW)
    assert video.read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_many_appends_make_one_video(video: Path) -> None:
    pages = list(OLD)
    for seed, count in enumerate((1, 300, 1, 255)):
        more = make_pages(count, first=len(pages), seed=seed)
        append(video, more)
        pages += more
    assert read(video) == pages
    assert len(samples(video.read_bytes())) == len(pages)


def test_ids_that_were_left_out_stay_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, CONFIG, tag=TAG)
    writer.write(make_pages(1))
    writer.skip_to(1)
    writer.write([b"one", b"two"])
    writer.skip_to(7)
    writer.write([b"seven"])
    table = writer.finish()
    appender = VideoAppender(path, CONFIG, table=table)
    appender.write([b"eight"])
    appender.skip_to(20)
    appender.write([b"twenty"])
    table = appender.finish()
    _core.commit_append(path, appender.mark)
    assert VideoReader(path).table.to_bytes() == table.to_bytes()
    assert table.first_chunks[table.kinds == BARE].tolist() == [1, 2, 7, 8, 20]


def test_cut_off_at_any_byte_it_is_the_old_video(tmp_path: Path, video: Path) -> None:
    start = video.stat().st_size
    append(video, NEW[:1], commit=False)
    whole = video.read_bytes()
    cut = tmp_path / "cut.mp4"
    for size in range(start, len(whole)):
        cut.write_bytes(whole[:size])
        reader = VideoReader(cut, threads=1)
        assert reader.frame_count == 6
        if size % 97 == 0:
            assert read(cut) == OLD
            append(cut, NEW)
            assert read(cut) == OLD + NEW
            assert cut.read_bytes().count(MARK) == 1


def test_what_is_abandoned_leaves_nothing(video: Path) -> None:
    before = video.read_bytes()
    appender = VideoAppender(video, CONFIG, table=VideoReader(video).table)
    appender.write(NEW)
    del appender
    assert video.read_bytes() == before
    appender = append(video, NEW, commit=False)
    appender.abandon()
    appender.abandon()
    assert video.read_bytes() == before
    appender = append(video, NEW)
    appender.abandon()
    assert read(video) == OLD + NEW


@pytest.mark.parametrize(
    ("damage", "error", "remedy"),
    [
        (lambda data: data + b"not a box", VideoFormatError, "memvid repair"),
        (lambda data: data + struct.pack(">I4s", 0, b"mdat"), UnsupportedVideoError, "memvid export --codec png"),
        (lambda data: data + data[find(data, b"moov")[0] :], UnsupportedVideoError, "second movie"),
        (lambda data: data.replace(b"mp4v", b"avc1"), UnsupportedVideoError, "avc1"),
        (lambda data: data + MARK + struct.pack(">Q", 8), VideoFormatError, "names no movie header"),
    ],
)
def test_what_cannot_be_appended_to_is_refused(
    video: Path, damage: Callable[[bytes], bytes], error: type[MemvidError], remedy: str
) -> None:
    table = VideoReader(video).table
    video.write_bytes(damage(video.read_bytes()))
    before = video.read_bytes()
    with pytest.raises(error, match=remedy):
        VideoAppender(video, CONFIG, table=table)
    with pytest.raises(VideoFormatError if error is VideoFormatError else MemvidError):
        _core.commit_append(video, len(before))
    assert video.read_bytes() == before


def test_frames_of_another_version_are_refused(video: Path) -> None:
    table = VideoReader(video).table
    with pytest.raises(UnsupportedVideoError, match="symbols of version 6"):
        VideoAppender(video, EncoderConfig(symbol_version=6), table=table)
    with pytest.raises(ConfigError):
        _core.FrameWriter.append_to(video, _core.SymbolOptions(version=41))


def test_a_second_movie_never_counts_by_a_commit(video: Path) -> None:
    """Were it appended to, the one between would be the first when the old one no longer counts."""
    appender = append(video, NEW, commit=False)
    data = bytearray(video.read_bytes())
    with pytest.raises(VideoFormatError):
        _core.commit_append(video, appender.movie)
    data[appender.mark + 24 : appender.mark + 32] = struct.pack(">Q", appender.movie)
    video.write_bytes(data)
    with pytest.raises(VideoFormatError, match="names no movie header"):
        _core.commit_append(video, appender.mark)


def test_opencv_and_zxing_read_all_frames(video: Path) -> None:
    append(video, NEW[:2])
    append(video, NEW[2:])
    capture = cv2.VideoCapture(str(video))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 10
    found = []
    while True:
        more, picture = capture.read()
        if not more:
            break
        big = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
        (code,) = zxingcpp.read_barcodes(big)
        found.append(bytes(code.bytes))
    assert found == OLD + NEW


@pytest.mark.tools
def test_ffmpeg_decodes_all_frames_without_a_word(video: Path, program: Callable[[str], str]) -> None:
    pages = OLD + make_pages(300, first=6, seed=3)
    append(video, pages[6:100])
    append(video, pages[100:])
    result = subprocess.run(
        [program("ffmpeg"), "-v", "warning", "-i", video, "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert result.stderr == b""
    reader = VideoReader(video)
    decoded = np.frombuffer(result.stdout, np.uint8).reshape(-1, reader.height, reader.width)
    assert len(decoded) == len(pages)
    assert all(np.array_equal(decoded[frame], reader.read_pixels(frame)) for frame in (0, 5, 6, 99, 100, 305))
    wanted = "stream=codec_name,nb_frames,nb_read_frames,r_frame_rate"
    probed = subprocess.run(
        [program("ffprobe"), "-v", "warning", "-count_frames", "-show_entries", wanted, "-of", "csv=p=0", video],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert (probed.stdout.strip(), probed.stderr) == (b"png,30/1,306,306", b"")


@pytest.mark.tools
def test_what_ffmpeg_re_muxed_is_appended_to(tmp_path: Path, video: Path, program: Callable[[str], str]) -> None:
    ffmpeg = program("ffmpeg")
    append(video, NEW[:2])
    for name, options in {"b.mp4": [], "c.mp4": ["-movflags", "+faststart"]}.items():
        path = tmp_path / name
        subprocess.run([ffmpeg, "-v", "error", "-i", video, "-c", "copy", *options, path], check=True, timeout=120)
        append(path, NEW[2:])
        reader = VideoReader(path)
        assert reader.read(range(10), corrected=True) == OLD + NEW
        assert reader.fps == 30
        assert _core.FrameReader(path).page_table == expected_table().to_bytes()


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """A memory that an append was added to, which was not committed; it has 12 chunks."""
    path = build(tmp_path, make_texts(12), symbol_version=8)
    reader = VideoReader(path)
    appender = VideoAppender(path, EncoderConfig(symbol_version=8), table=reader.table)
    appender.write(make_pages(3, tag=reader.table.tag, first=appender.frames))  # their chunks have the same numbers
    appender.finish()
    return path


def test_what_was_not_committed_is_no_finding_and_is_not_brought_back(tmp_path: Path, memory: Path) -> None:
    assert verify(memory, deep=True).findings == ()
    with open_memory(memory) as retriever:
        assert [chunk.text for chunk in retriever.get_chunks_by_id(range(12))] == make_texts(12)
    result = repair(memory, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert (result.chunks, result.lost) == (12, ())


def test_nor_where_the_file_has_to_be_searched(tmp_path: Path, memory: Path) -> None:
    """Without an index, and with a damaged frame, nothing but the file itself says what counts."""
    data = bytearray(memory.read_bytes())
    frame = samples(bytes(data))[-1]
    at = data.find(frame)
    width, height = struct.unpack_from(">II", frame, 16)
    blank = png(np.full((height, width), 255, np.uint8))
    data[at : at + len(blank)] = blank
    memory.write_bytes(data)
    for path in tmp_path.glob("memory_index*"):
        path.unlink()
    result = repair(memory, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert result.findings
    assert result.chunks + sum(last - start + 1 for start, last in result.lost) == 12


def test_committed_appends_are_no_finding(tmp_path: Path) -> None:
    texts = make_texts(30)
    path = build(tmp_path, texts[:10], symbol_version=8)
    for start in (10, 20):
        with MemvidEncoder.open(path, embedder=EMBEDDER) as encoder:
            encoder.add_chunks(texts[start : start + 10])
            encoder.append()
    assert path.read_bytes().count(MARK) == 2
    report = verify(path, deep=True)
    assert (report.findings, report.chunks_read) == ((), 30)
    result = repair(path, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert (result.chunks, result.lost, result.findings) == (30, (), ())
