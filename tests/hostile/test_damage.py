"""Every kind of damage, in samples; ``tools/flip_bits.py`` goes through all of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memvid.errors import MemvidError
from memvid.maintenance import repair
from memvid.video import VideoReader
from tests.hostile.damage_support import FILES, ONE_FILE, build_small, build_small_one, outcome
from tests.index.index_support import environment
from tests.memory_support import open_memory
from tests.video.video_support import samples

SAMPLES = 150  # of each file and mode


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    folder = tmp_path_factory.mktemp("small")
    build_small(folder)
    build_small_one(folder)
    return folder


def run(folder: Path, name: str, mode: str) -> str:
    """Letters of a sample of damages, made by a process that may crash."""
    size = (folder / name).stat().st_size * (1 if mode == "cut" else 8)
    step = max(1, size // SAMPLES) | 1
    command = [sys.executable, "-m", "tests.hostile.damage_support", str(folder), name, mode, str(step // 3), str(step)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    expected = len(range(step // 3, size, step))
    assert (done.returncode, len(done.stdout)) == (0, expected), done.stderr[-2000:]
    assert "W" not in done.stdout, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("name", [*FILES, ONE_FILE])
def test_a_flipped_bit_is_found_or_harmless(original: Path, name: str) -> None:
    letters = run(original, name, "flip")
    assert letters.count("h") < (len(letters) / 4 if name.endswith(".mp4") else 1)


def test_a_flipped_bit_of_one_file_that_was_not_checked_before_is_found_or_harmless(original: Path) -> None:
    letters = run(original, ONE_FILE, "fresh")
    assert letters.count("h") < len(letters) / 4


@pytest.mark.parametrize("name", FILES[2:])
def test_a_flipped_bit_of_a_side_file_that_was_not_checked_before_is_always_detected(original: Path, name: str) -> None:
    assert set(run(original, name, "fresh")) == {"d"}


@pytest.mark.parametrize("name", [*FILES, ONE_FILE])
def test_a_file_that_ends_early_is_always_detected(original: Path, name: str) -> None:
    assert set(run(original, name, "cut")) == {"d"}


def test_what_is_whole_of_a_video_that_ends_early_comes_back(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "copy")
    video = tmp_path / "copy" / "memory.mp4"
    data = video.read_bytes()
    frames = samples(data)
    table = VideoReader(video).table
    ends = [data.index(frame) + len(frame) for frame in frames]
    with open_memory(video) as memory:
        chunks = memory.get_chunks_by_id(memory.chunk_ids())
        texts = {chunk.chunk_id: chunk.text for chunk in chunks}
        needs = {chunk.chunk_id: ends[table.run_of(chunk.frame_index).stop - 1] for chunk in chunks}
    for length in range(0, len(data), 97):
        video.write_bytes(data[:length])
        assert outcome(video) == "d"
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        (tmp_path / "new").mkdir()
        whole = [number for number in texts if needs[number] <= length]
        try:
            result = repair(video, tmp_path / "new" / "memory.mp4")
        except MemvidError:
            assert not whole
            continue
        with open_memory(result.video_file) as memory:
            assert result.chunks >= len(whole)
            assert [chunk.text for chunk in memory.get_chunks_by_id(whole)] == [texts[number] for number in whole]
