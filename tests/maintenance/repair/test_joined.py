"""Two memories in one file: `repair` brings back the one that is meant, all of it, and nothing of the other."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from string import ascii_lowercase

import pytest

from memvid import _core
from memvid.cli import main
from memvid.errors import ConfigError, VideoFormatError
from memvid.maintenance import reindex, repair, verify
from memvid.page import PageKind, memory_name
from memvid.video import VideoReader
from memvid.video.codecs import available_codecs
from memvid.video.codecs.writing import PictureWriter
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import find, samples

LETTERS = random.Random(1)
ONE = make_texts(9, seed=1)
TWO = [f"{text} {''.join(LETTERS.choices(ascii_lowercase, k=1300))}" for text in make_texts(60, seed=2)]


@pytest.fixture
def memories(tmp_path: Path) -> tuple[Path, Path]:
    """Two memories, the second with a copy of its header page."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    return build(tmp_path / "one", ONE, symbol_version=20), build(tmp_path / "two", TWO, symbol_version=20)


@pytest.fixture
def joined(memories: tuple[Path, Path], tmp_path: Path) -> Path:
    """As `cat one.mp4 two.mp4` makes it: players show the first alone."""
    video = tmp_path / "joined.mp4"
    video.write_bytes(b"".join(memory.read_bytes() for memory in memories))
    return video


def texts_of(video: Path) -> list[str]:
    with open_memory(video) as memory:
        return [chunk.text for chunk in memory.get_chunks_by_id(memory.chunk_ids())]


@pytest.mark.parametrize("wanted", [0, 1])
def test_the_index_says_which_one_is_meant(
    memories: tuple[Path, Path], joined: Path, tmp_path: Path, wanted: int
) -> None:
    index = memories[wanted].with_name("memory_index.json")
    result = repair(
        joined, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", index=index, embedder=EMBEDDER
    )
    assert (result.lost, result.embeddings_made) == ((), 0)
    assert result.video_file.read_bytes() == memories[wanted].read_bytes()
    assert texts_of(result.video_file) == (ONE, TWO)[wanted]


def test_without_an_index_it_is_the_first(memories: tuple[Path, Path], joined: Path, tmp_path: Path) -> None:
    result = repair(joined, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    assert result.video_file.read_bytes() == memories[0].read_bytes()


def test_what_is_behind_the_first_is_named(memories: tuple[Path, Path], joined: Path, tmp_path: Path) -> None:
    behind = memories[0].stat().st_size
    shutil.copy(memories[0].with_name("memory_index.json"), tmp_path / "joined_index.json")
    for suffix in ("records", "usearch"):
        shutil.copy(memories[0].with_name(f"memory_index.{suffix}"), tmp_path / f"joined_index.{suffix}")
    for findings in (
        verify(joined).findings,
        repair(joined, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json").findings,
    ):
        (found,) = (finding for finding in findings if "another MP4 begins" in finding.message)
        assert found.offset == behind
        assert f"`tail -c +{behind + 1} FILE > OTHER.mp4`" in found.message
    assert joined.read_bytes()[behind:] == memories[1].read_bytes()


def test_vectors_of_one_are_never_given_to_the_other(memories: tuple[Path, Path], tmp_path: Path) -> None:
    """Of the second there is but its movie header, whose page table is that of the index."""
    data = memories[1].read_bytes()
    video = tmp_path / "joined.mp4"
    video.write_bytes(memories[0].read_bytes() + data[data.rindex(b"moov") - 4 :])
    index = memories[1].with_name("memory_index.json")
    result = repair(
        video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", index=index, embedder=EMBEDDER
    )
    assert (result.lost, result.embeddings_kept, result.embeddings_made) == ((), 0, len(ONE))
    assert texts_of(result.video_file) == ONE
    assert verify(result.video_file, deep=True).findings == ()


def test_it_is_the_first_however_many_header_pages_the_other_has(memories: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = (memory.read_bytes() for memory in memories)
    assert len(VideoReader(memories[1]).table.copies_of(PageKind.HEADER)) == 2
    video = tmp_path / "joined.mp4"
    video.write_bytes(one[: find(one, b"mdat")[0]] + bytes(16) + b"".join(samples(one) + samples(two)))
    result = repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    assert result.video_file.read_bytes() == memories[0].read_bytes()


@pytest.fixture
def film(memories: tuple[Path, Path], tmp_path: Path) -> Path:
    """As a program joins them that puts the pictures of both behind each other."""
    if "ffv1" not in available_codecs():
        pytest.skip("this machine cannot write ffv1")
    symbols = _core.SymbolOptions(version=20)
    writer = PictureWriter(tmp_path / "film.mkv", codec="ffv1", version=20, pages=symbols, texts=symbols, fps=30)
    for memory in memories:
        writer.write([payload for _, payload in VideoReader(memory).read_all()])
    writer.finish(b"")
    return tmp_path / "film.mkv"


class TestPictures:
    def test_all_verbs_name_the_other(
        self, memories: tuple[Path, Path], film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        other = VideoReader(memories[1])
        name = memory_name(other.table.tag)
        said = f"{other.frame_count - 1} frames are of another memory ({name}), which is"  # a cover is of none
        result = reindex(film, embedder=EMBEDDER)
        assert (result.whole, result.other_memories) == (True, {name: other.frame_count - 1})
        for _ in range(2):  # the second time, tables may come from the cache
            report = verify(film, deep=True)
            assert report.ok
            assert sum(said in finding.message for finding in report.findings) == 1
        mended = repair(film, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json")
        assert sum(said in finding.message for finding in mended.findings) == 1
        assert mended.video_file.read_bytes() == memories[0].read_bytes()
        assert main(["reindex", str(film), "--model", "hashing"]) == 0
        assert f"`memvid repair VIDEO --memory {name} -o NEW.mp4`" in " ".join(capsys.readouterr().out.split())

    @pytest.mark.parametrize("wanted", [0, 1])
    def test_each_comes_back_by_its_name(
        self, memories: tuple[Path, Path], film: Path, tmp_path: Path, wanted: int
    ) -> None:
        reindex(film, embedder=EMBEDDER)  # of the first
        name = memory_name(VideoReader(memories[wanted]).table.tag)
        result = repair(
            film, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", memory=name, embedder=EMBEDDER
        )
        assert (result.lost, result.embeddings_made) == ((), (0, len(TWO))[wanted])
        assert result.video_file.read_bytes() == memories[wanted].read_bytes()

    def test_one_that_is_not_there_is_refused(self, film: Path, tmp_path: Path) -> None:
        with pytest.raises(VideoFormatError, match=r"no frame of memory 01234567 in .*film.mkv: .* \(\d+ frames\), "):
            repair(film, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", memory="01234567")
        for no_id in ("0123456", "ABCDEF01", "memory"):
            with pytest.raises(ConfigError, match="no id of a memory"):
                repair(film, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", memory=no_id)
