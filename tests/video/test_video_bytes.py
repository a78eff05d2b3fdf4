"""A file whose sectors cannot all be read gives the others, says which it lacks, and does not ask twice."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from memvid.errors import VideoError, VideoNotFoundError
from memvid.video import video_bytes
from memvid.video.video_bytes import VideoBytes
from tests.video.video_support import SECTOR, refuse_sectors

Fail = Callable[..., list[tuple[int, int]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(10 * SECTOR + 100))
    return path


@pytest.fixture
def fail(path: Path, monkeypatch: pytest.MonkeyPatch) -> Fail:
    return partial(refuse_sectors, monkeypatch, path)


def test_a_sound_file_is_read_as_it_is(path: Path) -> None:
    whole = path.read_bytes()
    with VideoBytes(path) as file:
        assert len(file) == len(whole)
        for offset, size in ((0, 10), (5, 3 * SECTOR), (len(whole) - 3, 100), (len(whole), 1), (1 << 70, 8), (-5, 8)):
            assert file.read(offset, size) == (whole[offset : offset + size] if offset >= 0 else b"")
        assert file.read_whole(SECTOR, SECTOR) == whole[SECTOR : 2 * SECTOR]
        assert file.read_whole(len(whole) - 3, 4) is None
        assert list(file.unreadable()) == []


def test_what_cannot_be_read_is_zeros_and_only_that(path: Path, fail: Fail) -> None:
    whole = path.read_bytes()
    fail(2, 3, 7, 10)
    expected = bytearray(whole)
    for sector in (2, 3, 7, 10):
        end = min((sector + 1) * SECTOR, len(whole))
        expected[sector * SECTOR : end] = bytes(end - sector * SECTOR)
    with VideoBytes(path) as file:
        assert file.read(100, len(whole)) == expected[100:]
        assert list(file.unreadable()) == [
            range(2 * SECTOR, 4 * SECTOR), range(7 * SECTOR, 8 * SECTOR), range(10 * SECTOR, len(whole))
        ]  # fmt: skip
        assert file.read_whole(SECTOR, SECTOR) == whole[SECTOR : 2 * SECTOR]
        assert file.read_whole(SECTOR, SECTOR + 1) is None


def test_a_sector_is_not_asked_for_twice(path: Path, fail: Fail) -> None:
    failed = fail(2)
    with VideoBytes(path) as file:
        file.read(0, len(file))
        times = len(failed)
        for offset in range(0, len(file), 1000):
            file.read(offset, 2000)
        list(file.find_all(b"x"))
        assert len(failed) == times


def test_places_are_found_across_stretches(path: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_bytes, "_STRETCH", 1000)
    data = bytearray(path.read_bytes())
    places = [0, 995, 999, 1000, 4 * SECTOR, len(data) - 7]
    for place in places:
        data[place : place + 7] = b"aab|aab"
    path.write_bytes(data)
    fail(4)
    with VideoBytes(path) as file:
        found = [at for place in places if place != 4 * SECTOR for at in (place, place + 4)]
        assert list(file.find_all(b"aab")) == sorted({at for at in found if data[at : at + 3] == b"aab"})


def test_a_file_that_is_cut_off_meanwhile_ends_there(path: Path) -> None:
    whole = path.read_bytes()
    with VideoBytes(path) as file:
        os.truncate(path, 3 * SECTOR)
        assert file.read(SECTOR, len(whole)) == whole[SECTOR : 3 * SECTOR]
        assert file.read_whole(0, 4 * SECTOR) is None


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ""):
        with pytest.raises(VideoError, match="cannot be read"):
            VideoBytes(tmp_path / name)
    with pytest.raises(VideoNotFoundError):
        VideoBytes(tmp_path / "none")
