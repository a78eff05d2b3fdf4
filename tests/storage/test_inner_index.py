"""An index inside its video: where it lies, when it counts, and that nobody else minds it."""

from __future__ import annotations

import json
import struct
import subprocess
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid import _core
from memvid._core import MANIFEST_UUID
from memvid.config import EncoderConfig
from memvid.errors import VideoFormatError
from memvid.storage.inner_index import BORDER, InnerManifest, Stretch, find_manifest, place_parts
from memvid.storage.inner_index import put_index as put_stretches
from memvid.video import VideoAppender, VideoReader
from tests.video.video_support import boxes, find, make_pages, write_video

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CONFIG = EncoderConfig(symbol_version=5, error_correction="L")
OLD = make_pages(6)
NEW = make_pages(4, first=6, seed=1)
SIZES = (10, BORDER, BORDER + 1, 64, 3 * BORDER + 7, 1)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_video(tmp_path / "a.mp4", OLD)
    return tmp_path / "a.mp4"


def make_parts(folder: Path, sizes: Sequence[int] = SIZES, *, seed: int = 0) -> list[Path]:
    rng = np.random.default_rng(seed)
    parts = [folder / f"part{number}" for number in range(len(sizes))]
    for part, size in zip(parts, sizes, strict=True):
        part.write_bytes(rng.bytes(size))
    return parts


def manifest_of(offsets: Sequence[int]) -> bytes:
    return json.dumps(list(offsets)).encode()


def manifest_in(video: Path, *, limit: int = 1 << 20) -> InnerManifest | None:
    with video.open("rb") as file:
        return find_manifest(file, limit=limit)


def check_parts(video: Path, parts: Sequence[Path]) -> None:
    found = manifest_in(video)
    assert found is not None
    data = video.read_bytes()
    assert data[found.offset :].startswith(found.data)
    offsets = json.loads(found.data)
    for part, offset in zip(parts, offsets, strict=True):
        content = part.read_bytes()
        assert data[offset : offset + len(content)] == content
        assert offset % (BORDER if len(content) > BORDER else 64) == 0


def put_index(video: Path, parts: Sequence[Path], manifest: Callable[[Sequence[int]], bytes]) -> None:
    put_stretches(video, [Stretch(part, 0, part.stat().st_size) for part in parts], manifest)


def read(video: Path) -> list[bytes]:
    reader = VideoReader(video)
    return reader.read(range(reader.frame_count), corrected=True)


def append(video: Path, pages: Sequence[bytes] = NEW) -> VideoAppender:
    appender = VideoAppender(video, CONFIG, table=VideoReader(video).table)
    appender.write(pages)
    appender.finish()
    return appender


def test_an_index_lies_in_front_of_the_movie_header(tmp_path: Path, video: Path) -> None:
    before = video.read_bytes()
    identity = VideoReader(video).identity
    assert manifest_in(video) is None
    parts = make_parts(tmp_path)
    put_index(video, parts, manifest_of)
    check_parts(video, parts)
    after = video.read_bytes()
    movie = find(before, b"moov")[0]
    assert after[:movie] == before[:movie]
    assert [name for name, *_ in boxes(after)] == [b"ftyp", b"mdat", b"uuid", b"uuid", b"moov"]
    assert read(video) == OLD
    assert VideoReader(video).identity.digest == identity.digest
    with pytest.raises(VideoFormatError, match="without an index"):
        put_index(video, parts, manifest_of)
    assert video.read_bytes() == after


def test_an_index_of_nothing_has_a_manifest_alone(video: Path) -> None:
    put_index(video, [], manifest_of)
    assert [name for name, *_ in boxes(video.read_bytes())] == [b"ftyp", b"mdat", b"uuid", b"moov"]
    found = manifest_in(video)
    assert found is not None
    assert found.data == b"[]"
    assert read(video) == OLD


def test_an_index_counts_when_its_append_does(tmp_path: Path, video: Path) -> None:
    parts = make_parts(tmp_path, (100, BORDER + 1))
    put_index(video, parts, manifest_of)
    before, old = video.read_bytes(), manifest_in(video)
    appender = append(video)
    put_index(video, [], lambda _: b"new")
    assert manifest_in(video) == old
    assert video.read_bytes()[: len(before)] == before
    _core.commit_append(video, appender.mark)
    found = manifest_in(video)
    assert found is not None
    assert found.data == b"new"
    assert read(video) == OLD + NEW
    later = append(video, [])  # an index alone
    put_index(video, parts, manifest_of)
    _core.commit_append(video, later.mark)
    check_parts(video, parts)
    assert read(video) == OLD + NEW
    last = append(video, make_pages(1, first=10))
    _core.commit_append(video, last.mark)  # by a program that knows nothing of it
    assert manifest_in(video) is None


def test_cut_off_at_any_byte_the_old_index_counts(tmp_path: Path, video: Path) -> None:
    put_index(video, make_parts(tmp_path, (300,)), manifest_of)
    start, old = video.stat().st_size, manifest_in(video)
    appender = append(video, NEW[:1])
    put_index(video, make_parts(tmp_path, (200, 300), seed=1), lambda _: b"new")
    whole = video.read_bytes()
    cut = tmp_path / "cut.mp4"
    for size in range(start, len(whole)):
        cut.write_bytes(whole[:size])
        assert manifest_in(cut) == old
        if size % 61 == 0:
            assert read(cut) == OLD
            assert VideoAppender(cut, CONFIG, table=VideoReader(cut).table).mark == start
            if appender.mark <= size:
                with pytest.raises(VideoFormatError):
                    _core.commit_append(cut, appender.mark)
    cut.write_bytes(whole)
    _core.commit_append(cut, appender.mark)
    assert read(cut) == OLD + NEW[:1]


def object_of(offsets: Sequence[int]) -> bytes:
    return json.dumps({"at": list(offsets)}).encode()


def test_without_its_movie_header_the_last_manifest_is_found(tmp_path: Path, video: Path) -> None:
    put_index(video, make_parts(tmp_path, (300, 2 * BORDER)), object_of)
    old, cut = manifest_in(video), tmp_path / "cut.mp4"
    assert old is not None
    appender = append(video, NEW[:1])
    start = video.stat().st_size
    put_index(video, make_parts(tmp_path, (200, 3 << 20), seed=1), object_of)
    _core.commit_append(video, appender.mark)
    whole, new = video.read_bytes(), manifest_in(video)
    assert new is not None
    movie = find(whole, b"moov")[0]
    for size in (len(whole) - 1, movie + 8, movie):
        cut.write_bytes(whole[:size])
        found = manifest_in(cut)
        assert found is not None
        assert found.data == new.data
        assert whole[found.offset :].startswith(found.data)
    for size in (movie - 1, start):  # its copy is not whole any more: that of the movie header before
        cut.write_bytes(whole[:size])
        assert manifest_in(cut) == old
    cut.write_bytes(whole[: old.offset - 1])
    found = manifest_in(cut)
    assert found is not None
    assert found.offset < old.offset
    assert found.data == old.data
    cut.write_bytes(bytes(100) + whole[100:])  # nothing leads to the movie header
    assert manifest_in(cut) == new


def test_the_search_for_a_manifest_takes_what_has_an_end_alone(tmp_path: Path, video: Path) -> None:
    put_index(video, [], object_of)
    data = video.read_bytes()
    movie = find(data, b"moov")[0]
    for size in (0, 23, 1 << 31):
        video.write_bytes(data[:movie] + struct.pack(">I4s", size, b"uuid") + MANIFEST_UUID + b"{}")
        found = manifest_in(video)
        assert found is not None
        assert found.data == object_of([])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: find(data, b"moov")[0]],
        lambda data: data[:-1],
        lambda data: data + b"\0\0\0\x08free",
        lambda data: b"",
    ],
)
def test_a_file_that_does_not_end_with_a_movie_header_is_refused(
    tmp_path: Path, video: Path, damage: Callable[[bytes], bytes]
) -> None:
    video.write_bytes(damage(video.read_bytes()))
    before = video.read_bytes()
    with pytest.raises(VideoFormatError):
        put_index(video, make_parts(tmp_path, (10,)), manifest_of)
    assert video.read_bytes() == before


def test_what_is_no_video_has_no_manifest(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"{}", b"\0\0\0\x08ftyp", struct.pack(">I4s", 8, b"moov"), bytes(100))):
        path = tmp_path / str(number)
        path.write_bytes(data)
        assert manifest_in(path) is None


def test_of_a_long_manifest_no_more_is_read_than_allowed(video: Path) -> None:
    put_index(video, [], lambda _: bytes(100_000))
    found = manifest_in(video, limit=100)
    assert found is not None
    assert len(found.data) == 100


@given(st.integers(0, 1 << 50), st.lists(st.integers(1, 1 << 40), max_size=8))
def test_parts_lie_apart_on_their_borders(start: int, sizes: list[int]) -> None:
    offsets, end = place_parts(start, sizes)
    behind = start + 32
    for offset, size in zip(offsets, sizes, strict=True):
        border = BORDER if size > BORDER else 64
        assert behind <= offset < behind + border
        assert offset % border == 0
        behind = offset + size
    assert end == behind


def test_opencv_reads_all_frames(tmp_path: Path, video: Path) -> None:
    put_index(video, make_parts(tmp_path), manifest_of)
    appender = append(video)
    put_index(video, make_parts(tmp_path, seed=1), manifest_of)
    _core.commit_append(video, appender.mark)
    capture = cv2.VideoCapture(str(video))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 10
    reader = VideoReader(video)
    for frame in range(10):
        more, picture = capture.read()
        assert more
        assert np.array_equal(picture[:, :, 0], reader.read_pixels(frame))


@pytest.mark.tools
def test_ffmpeg_decodes_all_frames_without_a_word(tmp_path: Path, video: Path, program: Callable[[str], str]) -> None:
    put_index(video, make_parts(tmp_path), manifest_of)
    appender = append(video)
    put_index(video, make_parts(tmp_path, seed=1), manifest_of)
    _core.commit_append(video, appender.mark)
    result = subprocess.run(
        [program("ffmpeg"), "-v", "warning", "-i", video, "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert result.stderr == b""
    reader = VideoReader(video)
    assert len(result.stdout) == 10 * reader.height * reader.width
    again = tmp_path / "b.mp4"
    subprocess.run([program("ffmpeg"), "-v", "error", "-i", video, "-c", "copy", again], check=True, timeout=120)
    assert manifest_in(again) is None
    assert read(again) == OLD + NEW
