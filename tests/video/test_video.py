"""Videos: other programs play them, damage is named, the page table comes back from the frames."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st

from memvid import _core
from memvid.config import EncoderConfig
from memvid.errors import (
    ChunkNotFoundError,
    ClosedError,
    FrameError,
    OutputError,
    UnsupportedVideoError,
    VideoFormatError,
    VideoNotFoundError,
)
from memvid.page import ChunkIds, HeaderInfo, PageBody, PageKind, encode_header_body, page_checksum, seal
from memvid.video import BARE, PageTable, PageTableBuilder, VideoReader, VideoWriter, frame_capacity
from tests.video.video_support import (
    TAG,
    box,
    make_pages,
    make_video,
    movie,
    png,
    samples,
    symbol_picture,
    without_page_table,
    write_hole,
    write_video,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def blacken(picture: NDArray[np.uint8]) -> bytes:
    return png(np.zeros_like(picture))


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    reader = VideoReader(path)
    return [reader.read_pixels(index) for index in range(reader.frame_count)]


def rewrite(source: Path, target: Path, frames: list[bytes]) -> VideoReader:
    """The video with other frames under the same page table."""
    reader = VideoReader(source)
    make_video(target, frames, reader.width, reader.height, table=reader.table.to_bytes())
    return VideoReader(target)


def mixed_payloads() -> list[bytes]:
    """A header page, a dictionary run, data pages with a gap in the ids and a run."""
    rng = np.random.default_rng(5)
    kinds = [
        (PageKind.HEADER, 0, 0),
        (PageKind.DICTIONARY, 0, 0),
        (PageKind.CONTINUATION, 0, 0),
        (PageKind.DATA, 3, 0),
        (PageKind.DATA, 1, 3),
        (PageKind.CONTINUATION, 0, 3),
        (PageKind.CONTINUATION, 0, 3),
        (PageKind.DATA, 2, 10),
    ]
    return [
        seal(PageBody(kind, 0, count, first, rng.bytes(40)), tag=TAG, page_number=number)
        for number, (kind, count, first) in enumerate(kinds)
    ]


@pytest.mark.parametrize("version", [1, 7, 25, 40])
def test_opencv_and_zxing_read_every_frame(version: int, tmp_path: Path) -> None:
    config = EncoderConfig(symbol_version=version)
    if version == 1:  # too small for a page
        payloads = [f"text {i:3}".encode() for i in range(12)]
    else:
        payloads = make_pages(12, size=frame_capacity(config))
    write_video(tmp_path / "a.mp4", payloads, version=version)
    reader = VideoReader(tmp_path / "a.mp4")
    assert reader.read(list(range(12))) == payloads
    assert reader.counters()["fast"] == 12
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    assert capture.get(cv2.CAP_PROP_FPS) == 30
    for index, payload in enumerate(payloads):
        found, picture = capture.read()
        assert found
        grey = picture[:, :, 0]
        assert np.array_equal(grey, reader.read_pixels(index))
        (code,) = zxingcpp.read_barcodes(picture)
        assert code.bytes == payload
    assert not capture.read()[0]
    capture.release()


def test_the_same_payloads_make_the_same_bytes(tmp_path: Path) -> None:
    for name, threads in (("a", 1), ("b", 3)):
        writer = VideoWriter(tmp_path / name, EncoderConfig(symbol_version=8, threads=threads), tag=TAG)
        writer.write(make_pages(9))
        writer.finish()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_video_is_what_was_written(tmp_path: Path) -> None:
    payloads = mixed_payloads()
    table = write_video(tmp_path / "a.mp4", payloads)
    with_reader = VideoReader(tmp_path / "a.mp4", threads=2)
    assert with_reader.table.to_bytes() == table.to_bytes()
    assert with_reader.identity.digest == table.digest
    assert with_reader.identity.frames == with_reader.frame_count == len(payloads)
    assert with_reader.identity.bytes == (tmp_path / "a.mp4").stat().st_size
    assert list(with_reader.read_all()) == list(enumerate(payloads))
    assert list(with_reader.read_all(corrected=True)) == list(enumerate(payloads))
    assert samples((tmp_path / "a.mp4").read_bytes())[0][:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("codec", ["png", "mp4v"])
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_nothing_that_is_there_is_written_over(tmp_path: Path, codec: Any, kind: str) -> None:
    path, precious = tmp_path / "a.mp4", tmp_path / "precious"
    precious.write_text("mine")
    if kind == "file":
        precious.rename(path)
        precious = path
    elif kind == "link":
        path.symlink_to(precious)
    else:
        path.mkdir()
    with pytest.raises(OutputError, match="is there already"):
        VideoWriter(path, EncoderConfig(codec=codec), tag=TAG)
    assert precious.read_text() == "mine"


def test_a_video_without_a_frame_cannot_be_finished(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="without a frame"):
        VideoWriter(tmp_path / "a.mp4", EncoderConfig(), tag=TAG).finish()


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_video_is_refused(keep: float, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", make_pages(20))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(VideoFormatError):
        VideoReader(tmp_path / "a.mp4")


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with pytest.raises(VideoNotFoundError, match="memvid build"):
        VideoReader(path)
    for content in (b"", b"text, not a video", png(np.zeros((9, 9), np.uint8))):
        path.write_bytes(content)
        with pytest.raises(VideoFormatError):
            VideoReader(path)
    make_video(path, [], 10, 10)
    with pytest.raises(VideoFormatError, match="no frame"):
        VideoReader(path)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 64))
    writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    with pytest.raises(VideoFormatError, match="none of its 1 frames holds a page"):
        VideoReader(path)
    picture = symbol_picture(b"a code of someone else's", 5)
    make_video(path, [png(picture)], *picture.shape)
    with pytest.raises(VideoFormatError, match="none of its 1 frames holds a page"):
        VideoReader(path)


@pytest.mark.parametrize("left", [[0, 1, 2, 3], [1, 2, 3, 4], [0, 0, 1, 2, 4, 4], [4, 2, 0]])
def test_frames_that_are_left_are_found_by_the_page_table(left: list[int], tmp_path: Path) -> None:
    pages = make_pages(5)
    table = write_video(tmp_path / "a.mp4", pages)
    frames = samples((tmp_path / "a.mp4").read_bytes())
    reader = VideoReader(tmp_path / "a.mp4")
    shown = [frames[frame] for frame in left]
    make_video(tmp_path / "b.mp4", shown, reader.width, reader.height, table=table.to_bytes())
    reader = VideoReader(tmp_path / "b.mp4")
    lost = [frame for frame in range(5) if frame not in left]
    assert (reader.lost_frames.tolist(), reader.in_place) == (lost, False)
    assert (reader.identity.digest, reader.identity.frames) == (table.digest, 5 - len(lost))
    assert reader.read(sorted(set(left))) == [pages[frame] for frame in sorted(set(left))]
    for frame in lost:
        with pytest.raises(FrameError, match=f"frame {frame} .* not in the video any more"):
            reader.read([frame])


def test_a_blackened_frame_is_named(tmp_path: Path) -> None:
    pages = make_pages(6)
    write_video(tmp_path / "a.mp4", pages)
    frames = samples((tmp_path / "a.mp4").read_bytes())
    frames[3] = blacken(pictures(tmp_path / "a.mp4")[3])
    reader = rewrite(tmp_path / "a.mp4", tmp_path / "b.mp4", frames)
    with pytest.raises(FrameError, match="frame 3 ") as error:
        reader.read([0, 5, 3])
    assert error.value.frame_index == 3
    assert reader.read([0, 5]) == [pages[0], pages[5]]
    assert reader.counters()["failed"] == 1


@pytest.mark.parametrize("corrected", [False, True])
def test_swapped_frames_are_found(corrected: bool, tmp_path: Path) -> None:
    pages = make_pages(6)
    write_video(tmp_path / "a.mp4", pages)
    frames = samples((tmp_path / "a.mp4").read_bytes())
    frames[1], frames[4] = frames[4], frames[1]
    reader = rewrite(tmp_path / "a.mp4", tmp_path / "b.mp4", frames)
    for index in (1, 4):
        if corrected:  # what is in the place of that frame
            with pytest.raises(FrameError, match=f"frame {index} .*checksum") as error:
                reader.read([index], corrected=True)
            assert error.value.frame_index == index
        else:
            assert reader.read([index]) == [pages[index]]
    # Without the table each page still knows its number.
    (tmp_path / "c.mp4").write_bytes(without_page_table((tmp_path / "b.mp4").read_bytes()))
    reader = VideoReader(tmp_path / "c.mp4")
    assert reader.read(range(6), corrected=corrected) == pages
    assert (reader.in_place, reader.lost_frames.tolist()) == (False, [])


def test_a_frame_of_another_video_is_named(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", make_pages(6))
    write_video(tmp_path / "other.mp4", make_pages(6, seed=1, tag=TAG + 1))
    frames = samples((tmp_path / "a.mp4").read_bytes())
    frames[2] = samples((tmp_path / "other.mp4").read_bytes())[2]
    reader = rewrite(tmp_path / "a.mp4", tmp_path / "b.mp4", frames)
    with pytest.raises(FrameError, match="frame 2 "):
        reader.read([2])
    (tmp_path / "c.mp4").write_bytes(without_page_table((tmp_path / "b.mp4").read_bytes()))
    reader = VideoReader(tmp_path / "c.mp4")
    assert reader.lost_frames.tolist() == [2]
    with pytest.raises(FrameError, match="frame 2 "):
        reader.read([2])


def test_a_frame_that_is_no_picture_is_named(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", make_pages(5))
    frames = samples((tmp_path / "a.mp4").read_bytes())
    frames[0] = frames[0][:-20]
    frames[1] = b"no picture at all"
    frames[2] = png(np.full((10, 10), 255, np.uint8))
    frames[3] = b""
    frames.append(bytes(100))  # the least a table of so many frames may stand for
    table = PageTable.from_columns(TAG, np.zeros(6, np.uint8), np.zeros(6, np.uint16), np.zeros(6, np.uint32))
    source = VideoReader(tmp_path / "a.mp4")
    make_video(tmp_path / "b.mp4", frames, source.width, source.height, table=table.to_bytes())
    reader = VideoReader(tmp_path / "b.mp4")
    for index in (0, 1, 2, 3, 5):
        with pytest.raises(FrameError, match=f"frame {index} .*not a picture"):
            reader.read([index])
        with pytest.raises(VideoFormatError, match=f"frame {index} "):
            reader.read_pixels(index)


def test_damaged_modules_are_corrected_and_counted(tmp_path: Path) -> None:
    pages = make_pages(4)
    write_video(tmp_path / "a.mp4", pages, level="M")
    damaged = pictures(tmp_path / "a.mp4")
    for index, size in ((2, 1), (3, 3)):
        bottom, right = (int(axis.max()) for axis in np.nonzero(damaged[index] == 0))
        # The first bits are drawn at the bottom right; the very corner tells where the symbol ends.
        damaged[index][bottom - size : bottom, right - size : right] ^= 255
    reader = rewrite(tmp_path / "a.mp4", tmp_path / "b.mp4", [png(picture) for picture in damaged])
    assert reader.read(range(4)) == pages
    counters = reader.counters()
    assert counters["fast"] == 2
    assert counters["corrected"] + counters["detected"] == 2
    assert counters["failed"] == 0


@pytest.mark.parametrize("bare", [False, True])
def test_the_page_table_comes_back_from_the_frames(bare: bool, tmp_path: Path) -> None:
    texts = [b"one", "zwei \N{SNOWMAN}".encode(), b"3" * 40]
    payloads = [make_header(texts), *texts] if bare else mixed_payloads()
    write_video(tmp_path / "a.mp4", payloads, version=12 if bare else 5)
    (tmp_path / "b.mp4").write_bytes(without_page_table((tmp_path / "a.mp4").read_bytes()))
    before, after = VideoReader(tmp_path / "a.mp4"), VideoReader(tmp_path / "b.mp4")
    assert _core.FrameReader(tmp_path / "b.mp4").page_table is None
    assert after.identity.digest == before.identity.digest
    assert after.table.to_bytes() == before.table.to_bytes()
    assert after.read(range(len(payloads))) == payloads


def make_header(texts: Sequence[bytes]) -> bytes:
    info = HeaderInfo(
        memory_id=TAG.to_bytes(4, "little").hex() + 56 * "0", chunks=len(texts),
        text_bytes=sum(map(len, texts)), symbol_version=5, error_correction="L", bare=True, compression="none",
    )  # fmt: skip
    body = b"parameters:\n{" + encode_header_body(info).rpartition(b"\n{")[2]
    return seal(PageBody(PageKind.HEADER, 0, 0, 0, body), tag=TAG, page_number=0)


@pytest.mark.tools
def test_a_video_that_ffmpeg_re_muxed_is_the_same_memory(tmp_path: Path, program: Callable[[str], str]) -> None:
    ffmpeg = program("ffmpeg")
    payloads = mixed_payloads()
    write_video(tmp_path / "a.mp4", payloads)
    flags = {"b.mp4": ["-c", "copy"], "c.mp4": ["-c", "copy", "-movflags", "+faststart"], "d.mov": ["-c", "copy"]}
    for name, options in flags.items():
        target = tmp_path / name
        subprocess.run([ffmpeg, "-v", "error", "-i", tmp_path / "a.mp4", *options, target], check=True, timeout=120)
        reader = VideoReader(target)
        assert _core.FrameReader(target).page_table is None
        assert reader.identity.digest == VideoReader(tmp_path / "a.mp4").identity.digest
        assert reader.read(range(len(payloads))) == payloads
        assert reader.fps == 30


@pytest.mark.tools
@pytest.mark.parametrize("suffix", ["mkv", "avi"])
def test_ffmpeg_copies_a_video_without_making_it_larger(
    tmp_path: Path, program: Callable[[str], str], suffix: str
) -> None:
    """It takes the depth that the sample entry says for that of a palette, of which 24 bits make 64 MiB."""
    payloads = mixed_payloads()
    write_video(tmp_path / "a.mp4", payloads)
    copy = tmp_path / f"b.{suffix}"
    ffmpeg = program("ffmpeg")
    subprocess.run([ffmpeg, "-v", "error", "-i", tmp_path / "a.mp4", "-c", "copy", copy], check=True, timeout=120)
    assert copy.stat().st_size < (tmp_path / "a.mp4").stat().st_size + 20_000
    pytest.importorskip("av")
    assert VideoReader(copy).read(range(len(payloads))) == payloads


@pytest.mark.tools
def test_a_lossless_re_encoding_by_ffmpeg_is_the_same_memory(tmp_path: Path, program: Callable[[str], str]) -> None:
    ffmpeg = program("ffmpeg")
    payloads = mixed_payloads()
    write_video(tmp_path / "a.mp4", payloads)
    options = ["-c:v", "png", "-pix_fmt", "monob", "-pred", "mixed"]
    subprocess.run(
        [ffmpeg, "-v", "error", "-i", tmp_path / "a.mp4", *options, tmp_path / "b.mp4"], check=True, timeout=120
    )
    assert (tmp_path / "a.mp4").stat().st_size != (tmp_path / "b.mp4").stat().st_size
    reader = VideoReader(tmp_path / "b.mp4")
    assert reader.read(range(len(payloads))) == payloads
    assert reader.identity.digest == VideoReader(tmp_path / "a.mp4").identity.digest


@pytest.mark.tools
@pytest.mark.parametrize("version", [1, 40])
def test_ffmpeg_decodes_all_frames_without_a_word(version: int, tmp_path: Path, program: Callable[[str], str]) -> None:
    count = 300  # more than one chunk of the sample table
    payloads = [b"%06d" % i for i in range(count)] if version == 1 else make_pages(count, size=2900)
    write_video(tmp_path / "a.mp4", payloads, version=version)
    result = subprocess.run(
        [program("ffmpeg"), "-v", "warning", "-i", tmp_path / "a.mp4", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert result.stderr == b""
    reader = VideoReader(tmp_path / "a.mp4")
    decoded = np.frombuffer(result.stdout, np.uint8).reshape(-1, reader.height, reader.width)
    assert len(decoded) == count
    assert np.array_equal(decoded[-1], reader.read_pixels(count - 1))


@pytest.mark.tools
def test_mediainfo_names_png(tmp_path: Path, program: Callable[[str], str]) -> None:
    write_video(tmp_path / "a.mp4", make_pages(60))
    result = subprocess.run(
        [program("mediainfo"), "--Output=JSON", tmp_path / "a.mp4"], check=True, capture_output=True, timeout=120
    )
    (video,) = [track for track in json.loads(result.stdout)["media"]["track"] if track["@type"] == "Video"]
    reader = VideoReader(tmp_path / "a.mp4")
    assert video["Format"] == "PNG"
    assert int(video["FrameCount"]) == 60
    assert float(video["FrameRate"]) == 30
    assert (int(video["Width"]), int(video["Height"])) == (reader.width, reader.height)


def test_frames_behind_4_gib_are_read(tmp_path: Path) -> None:
    pages = make_pages(6)
    write_video(tmp_path / "a.mp4", pages)
    source = VideoReader(tmp_path / "a.mp4")
    frames = samples((tmp_path / "a.mp4").read_bytes())
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.write(box(b"ftyp", b"isom", bytes(4)))
        offsets = []
        for frame in frames:
            write_hole(file, 1 << 30)
            offsets.append(file.tell() + 8)
            file.write(box(b"mdat", frame))
        sizes = [len(frame) for frame in frames]
        file.write(movie(source.width, source.height, sizes, offsets, source.table.to_bytes()))
    if path.stat().st_blocks * 512 > 1 << 28:
        pytest.skip("this file system keeps no holes")
    assert offsets[-1] > 1 << 32
    reader = VideoReader(path)
    assert reader.identity.bytes > 6 << 30
    assert reader.read([5, 0, 4]) == [pages[5], pages[0], pages[4]]


def test_offsets_of_the_writer_hold_behind_4_gib(tmp_path: Path) -> None:
    """Any frame that claims to lie behind the end is refused, however large its offset."""
    frame = png(symbol_picture(b"text", 1))
    for offset in (1 << 20, (1 << 32) + 100, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - len(frame)):
        data = box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", frame) + movie(30, 30, [len(frame)], [offset], None)
        (tmp_path / "a.mp4").write_bytes(data)
        with pytest.raises(VideoFormatError, match="behind its end"):
            VideoReader(tmp_path / "a.mp4")


def test_a_closed_reader_says_so(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", make_pages(3))
    reader = VideoReader(tmp_path / "a.mp4")
    reader.close()
    reader.close()
    with pytest.raises(ClosedError):
        reader.read([0])
    with pytest.raises(ClosedError):
        reader.read_pixels(0)
    with pytest.raises(ClosedError):
        next(reader.read_all())
    with pytest.raises(ClosedError):
        reader.counters()


def test_a_file_that_changes_under_an_open_reader_is_an_error_at_most(tmp_path: Path) -> None:
    pages = make_pages(10)
    write_video(tmp_path / "a.mp4", pages)
    reader = VideoReader(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").unlink()
    assert reader.read([9]) == [pages[9]]  # the file lives as long as someone has it open

    write_video(tmp_path / "a.mp4", pages)
    reader = VideoReader(tmp_path / "a.mp4")
    os.truncate(tmp_path / "a.mp4", 100)
    with pytest.raises(FrameError, match=r"frame 9 .*file ends") as error:
        reader.read([9])
    assert error.value.frame_index == 9

    write_video(tmp_path / "a.mp4", pages)
    reader = VideoReader(tmp_path / "a.mp4")
    with (tmp_path / "a.mp4").open("r+b") as file:
        file.write(bytes(reader.identity.bytes))
    with pytest.raises(FrameError, match="frame 9 "):
        reader.read([9])


tables = st.integers(0, 30).flatmap(
    lambda count: st.tuples(
        *(st.lists(st.integers(0, limit), min_size=count, max_size=count) for limit in (7, 65535, 2**32 - 1, 2**32 - 1))
    )
)


@given(tag=st.integers(0, 2**32 - 1), columns=tables, gaps=st.booleans())
def test_any_table_survives_its_bytes(tag: int, columns: list[list[int]], gaps: bool) -> None:
    kinds, counts, checksums, gap = columns
    counts = [count if kind == PageKind.DATA else 0 for kind, count in zip(kinds, counts, strict=True)]
    table = PageTable.from_columns(
        tag,
        np.array(kinds, np.uint8),
        np.array(counts, np.uint16),
        np.array(checksums, np.uint32),
        np.array(gap, np.uint32) if gaps else None,
    )
    again = PageTable.from_bytes(table.to_bytes())
    assert again.tag == tag
    assert len(again) == len(kinds)
    for name in ("kinds", "counts", "checksums", "first_chunks"):
        assert getattr(again, name).tolist() == getattr(table, name).tolist()
    assert again.digest == table.digest
    assert again.chunk_count == sum(counts)


@given(
    data=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=20),
    before=st.integers(0, 8),
    after=st.integers(0, 8),
    gone=st.sets(st.integers(0, 60), max_size=20),
)
def test_chunks_are_found_as_a_list_would(data: list[tuple[int, int]], before: int, after: int, gone: set[int]) -> None:
    """The builder's rows, with gaps, against a plain list of ids and frames."""
    builder = PageTableBuilder()
    builder.add(PageKind.HEADER, 0, 0, 1)
    ids: list[int] = []
    frames: list[int] = []
    next_id = 0
    for count, gap in data:
        next_id += gap
        builder.add(PageKind.DATA, count, next_id, 2)
        ids += range(next_id, next_id + count)
        frames += [len(builder) - 1] * count
        next_id += count
    table = builder.build(TAG)
    table = PageTable.from_bytes(table.to_bytes())
    assert table.chunk_count == len(ids)
    assert table.frames_of(np.array(ids, np.int64)).tolist() == frames
    for chunk_id in ids:
        around = table.ids_around(chunk_id, before, after, without=ChunkIds.of(gone))
        kept = [known for known in ids if known not in gone or known == chunk_id]
        position = kept.index(chunk_id)
        assert around.numbers().tolist() == kept[max(position - before, 0) : position + after + 1]
    for missing in {-1, next_id, 2**40, *range(next_id)} - set(ids):
        with pytest.raises(ChunkNotFoundError, match=str(missing)):
            table.frames_of(np.array([missing], np.int64))
        with pytest.raises(ChunkNotFoundError):
            table.ids_around(missing, 1, 1, without=ChunkIds.of([]))


def test_frames_out_of_order_are_no_table() -> None:
    builder = PageTableBuilder()
    builder.add(PageKind.DATA, 3, 5, 1)
    with pytest.raises(VideoFormatError, match="out of order"):
        builder.add(PageKind.DATA, 1, 7, 1)


def test_the_texts_that_a_page_of_metadata_is_about_lie_before_it() -> None:
    text, page, more = BARE, PageKind.ATTRIBUTES, PageKind.CONTINUATION
    kinds = np.array([0, text, text, page, more, page, text, PageKind.TOMBSTONES, text, text, page, 0], np.uint8)
    counts = (kinds == text).astype(np.uint16)
    table = PageTable.from_columns(TAG, kinds, counts, np.zeros(12, np.uint32), np.eye(12, dtype=np.uint32)[8] * 10)
    assert [edges.tolist() for edges in table.text_stretches()] == [[1, 6, 8], [3, 7, 10]]
    for frames, ranges in (([3], ((0, 1),)), ([5], ((0, 1),)), ([10], ((13, 14),)), ([3, 10], ((0, 1), (13, 14)))):
        assert table.texts_before(np.array(frames, np.int64)).ranges == ranges
    for frames in ([], [0]):
        assert not table.texts_before(np.array(frames, np.int64))


def test_runs_and_kinds_are_found(tmp_path: Path) -> None:
    table = write_video(tmp_path / "a.mp4", mixed_payloads())
    assert table.run_of(0) == range(1)
    assert table.run_of(1) == range(1, 3)
    assert table.run_of(4) == range(4, 7)
    assert table.run_of(7) == range(7, 8)
    assert table.frames_of_kind(PageKind.DATA).tolist() == [3, 4, 7]
    assert table.frames_of_kind(BARE).tolist() == []
    assert table.checksums.tolist() == [page_checksum(payload) for payload in mixed_payloads()]
    assert table.frames_of(np.array([11, 0, 3])).tolist() == [7, 3, 4]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: b"", VideoFormatError),
        (lambda data: data[:10], VideoFormatError),
        (lambda data: data[:-1], VideoFormatError),
        (lambda data: data + b"\0", VideoFormatError),
        (lambda data: b"XXXX" + data[4:], VideoFormatError),
        (lambda data: data[:4] + b"\2" + data[5:], UnsupportedVideoError),
        (lambda data: data[:6] + b"\2" + data[7:], UnsupportedVideoError),
        (lambda data: data[:12] + struct.pack("<I", 2**32 - 1) + data[16:], VideoFormatError),
    ],
)
def test_damaged_tables_are_refused(change: Callable[[bytes], bytes], error: type[Exception], tmp_path: Path) -> None:
    source = VideoReaderOf(tmp_path)
    data = change(source.table.to_bytes())
    with pytest.raises(error):
        PageTable.from_bytes(data)
    make_video(tmp_path / "b.mp4", samples(source.data), source.width, source.height, table=data)
    with pytest.raises(error):
        VideoReader(tmp_path / "b.mp4")


class VideoReaderOf:
    """A small video and what is needed to make another of it."""

    def __init__(self, folder: Path) -> None:
        self.table = write_video(folder / "a.mp4", make_pages(3))
        self.data = (folder / "a.mp4").read_bytes()
        reader = VideoReader(folder / "a.mp4")
        self.width, self.height = reader.width, reader.height


@pytest.mark.tools
@pytest.mark.parametrize("how", ["format=gray", "transpose=1", "format=rgb24,negate", "scale=4*iw:4*ih:flags=neighbor"])
def test_other_pngs_are_read_by_ffmpeg(tmp_path: Path, program: Callable[[str], str], how: str) -> None:
    """The container says that they are PNG pictures, as our own are, and the native reader knows those of one bit."""
    pytest.importorskip("av")
    payloads = mixed_payloads()
    write_video(tmp_path / "a.mp4", payloads)
    encode = [program("ffmpeg"), "-v", "error", "-i", str(tmp_path / "a.mp4"), "-vf", how, "-c:v", "png"]
    subprocess.run([*encode, str(tmp_path / "b.mp4")], check=True, timeout=120)
    reader = VideoReader(tmp_path / "b.mp4")
    assert reader.identity.digest == VideoReader(tmp_path / "a.mp4").identity.digest
    assert reader.read(range(len(payloads))) == payloads
