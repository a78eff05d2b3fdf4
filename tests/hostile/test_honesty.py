"""Attempts to make a memory lie: answers come out of verified frames, or an error says which frame is to blame."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidEncoder, MemvidRetriever
from memvid.embedding import HashingEmbedder
from memvid.errors import (
    EmbeddingError,
    FrameError,
    IndexFileError,
    IndexMismatchError,
    MemvidError,
    VideoError,
    VideoFormatError,
    VideoNotFoundError,
)
from memvid.index import IndexBuilder
from memvid.maintenance import verify
from memvid.video import VideoReader, VideoWriter
from tests.memory_support import EMBEDDER, all_files, build, make_texts, make_vectors, open_memory
from tests.video.video_support import find, png, samples, without_page_table

TEXTS = make_texts(80)
METADATAS = [{"number": number} for number in range(80)]
STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
FILES = {"memory.mp4", "memory_index.json", "memory_index.records", "memory_index.usearch"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    """A memory of some dozen frames: header, dictionary and data, most of them runs or several chunks."""
    folder = tmp_path_factory.mktemp("original")
    with open_memory(build(folder, TEXTS, metadatas=METADATAS, symbol_version=12, dictionary=1024)) as memory:
        assert memory.info.dictionary_bytes > 0
    return folder


@pytest.fixture
def video(original: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy" / "memory.mp4"


def frames_of(video: Path) -> list[int]:
    """The frame each chunk starts in, read from the sound video."""
    with open_memory(video) as memory:
        return [chunk.frame_index for chunk in memory.get_chunks_by_id(range(len(memory)))]


def black(like: bytes, video: Path, value: int = 0) -> bytes:
    """A picture of one colour, as many bytes long as the frame it takes the place of."""
    reader = VideoReader(video)
    pixels = np.full((reader.height, reader.width), value, np.uint8)
    reader.close()
    picture = png(pixels)
    end = picture[-12:]
    spare = len(like) - len(picture) - 12
    return picture[:-12] + struct.pack(">I4s", spare, b"paDd") + bytes(spare) + b"\0\0\0\0" + end


def with_frames(data: bytes, frames: Sequence[bytes]) -> bytes:
    """A video of as many bytes in which the frames are others; sizes in the sample table follow."""
    old = samples(data)
    assert len(old) == len(frames)
    start = data.index(old[0])
    assert data[start : start + sum(map(len, old))] == b"".join(old)
    assert sum(map(len, frames)) == sum(map(len, old))
    _, sizes, _ = find(data, *STBL, b"stsz")
    table = struct.pack(f">{len(frames)}I", *map(len, frames))
    joined = b"".join(frames)
    changed = data[:start] + joined + data[start + len(joined) :]
    return changed[: sizes + 12] + table + changed[sizes + 12 + len(table) :]


def read_each(memory: MemvidRetriever, texts: Sequence[str] = TEXTS) -> dict[int, MemvidError]:
    """Read every chunk by itself; what cannot be read is returned, and what can must be right."""
    errors = {}
    for chunk_id, text in enumerate(texts):
        try:
            (chunk,) = memory.get_chunks_by_id([chunk_id])
        except MemvidError as error:  # noqa: PERF203
            errors[chunk_id] = error
        else:
            assert (chunk.text, chunk.metadata) == (text, METADATAS[chunk_id])
    return errors


class TestAnswersComeFromTheVideo:
    def test_nothing_but_video_and_index_is_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("workshop", "workshop/temporary", "shelf"):
            (tmp_path / name).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "workshop" / "temporary"))
        video = build(tmp_path / "workshop", TEXTS, metadatas=METADATAS)
        with open_memory(video) as memory:
            answers = memory.search_results("violin under the glacier", 80)
        for name in FILES:
            shutil.move(tmp_path / "workshop" / name, tmp_path / "shelf" / name)
        shutil.rmtree(tmp_path / "workshop")
        with open_memory(tmp_path / "shelf" / "memory.mp4") as memory:
            assert memory.search_results("violin under the glacier", 80) == answers
            assert memory.stats.frames_read > 0

    @pytest.mark.parametrize("options", [{}, {"keywords": False}, {"compression": "none", "chunks_per_frame": 1}])
    def test_no_index_file_holds_a_piece_of_a_text(self, tmp_path: Path, options: dict[str, Any]) -> None:
        texts = [
            *make_texts(200),
            "GRÜSSE aus Köln, NACHTS UM HALB DREI",
            "数据库里没有任何一段文字会被保存下来吗",
            "a b c d e f g h i j k l m",
        ]
        build(tmp_path, texts, embeddings=make_vectors(len(texts)), **options)
        spellings = (str, str.lower, str.upper, str.casefold)
        wanted: dict[int, set[bytes]] = {20: set(), 40: set()}
        for text in texts:
            for spelled in (spelling(text) for spelling in spellings):
                for encoding, width in (("utf-8", 20), ("utf-16-le", 40), ("utf-16-be", 40)):
                    data = spelled.encode(encoding)
                    wanted[width] |= {data[at : at + width] for at in range(len(data) - width + 1)}
        for name in FILES - {"memory.mp4"}:
            data = (tmp_path / name).read_bytes()
            for width, slices in wanted.items():
                assert slices.isdisjoint(data[at : at + width] for at in range(len(data) - width + 1)), name

    def test_an_index_does_not_answer_for_another_video(self, video: Path, tmp_path: Path) -> None:
        other = build(tmp_path, [text.replace("violin", "banjo") for text in TEXTS], symbol_version=12)
        with pytest.raises(IndexMismatchError, match="another video"):
            open_memory(other, video.with_name("memory_index.json"))
        with pytest.raises(IndexMismatchError, match="memvid reindex"):
            open_memory(video, tmp_path / "memory_index.json")

    def test_noise_in_place_of_the_video_answers_nothing(self, video: Path) -> None:
        noise = random.Random(1).randbytes(video.stat().st_size)
        for data in (noise, video.read_bytes()[:40] + noise[40:], bytes(len(noise)), b"", b"text"):
            video.write_bytes(data)
            with pytest.raises(VideoFormatError):
                open_memory(video)


class TestFrames:
    @pytest.mark.parametrize("value", [0, 255])
    def test_a_blackened_frame_is_named(self, original: Path, video: Path, value: int) -> None:
        data = video.read_bytes()
        frames = samples(data)
        frame_of = frames_of(original / "memory.mp4")
        first_data = min(frame_of)
        assert len(frames) > first_data + 8
        for frame in range(len(frames)):
            damaged = [*frames[:frame], black(frames[frame], original / "memory.mp4", value), *frames[frame + 1 :]]
            video.write_bytes(with_frames(data, damaged))
            with open_memory(video) as memory:
                errors = read_each(memory)
                for error in errors.values():
                    assert isinstance(error, FrameError)
                    assert error.frame_index == frame
                    assert f"frame {frame} " in str(error)
                    assert "restore" in str(error)
                if frame >= first_data:
                    assert set(errors) >= {chunk for chunk in range(80) if frame_of[chunk] == frame}
                    assert len(errors) < 80
                    with pytest.raises(FrameError):
                        memory.search(TEXTS[next(iter(errors))], 80)
                else:
                    assert len(errors) in (0, 80)  # the header is not needed to read chunks, the dictionary is
                    if not errors:
                        with pytest.raises(FrameError):
                            _ = memory.info

    @pytest.mark.parametrize("box", [True, False], ids=["page table", "no page table"])
    def test_swapped_frames_change_no_answer(self, video: Path, box: bool) -> None:
        data = video.read_bytes()
        frames = samples(data)
        for first, second in ((0, 1), (1, 9), (8, 9), (9, len(frames) - 1), (10, 11)):
            swapped = list(frames)
            swapped[first], swapped[second] = frames[second], frames[first]
            changed = with_frames(data, swapped)
            video.write_bytes(changed if box else without_page_table(changed))
            with open_memory(video) as memory:  # each page says which it is
                assert read_each(memory) == {}
                assert memory.info.chunks == 80
            report = verify(video, deep=True)
            assert {finding.frame for finding in report.errors if finding.code == "frame"} == {first, second}

    @pytest.mark.parametrize("box", [True, False], ids=["page table", "no page table"])
    def test_swapped_bare_frames_change_no_answer(self, tmp_path: Path, box: bool) -> None:
        video = build(tmp_path, TEXTS, symbol_version=12, compression="none", chunks_per_frame=1)
        data = video.read_bytes()
        frames = samples(data)
        frames[20], frames[30] = frames[30], frames[20]
        video.write_bytes(with_frames(data, frames) if box else without_page_table(with_frames(data, frames)))
        if not box:
            with pytest.raises(IndexMismatchError):
                open_memory(video)
            return
        with open_memory(video) as memory:
            assert [chunk.text for chunk in memory.get_chunks_by_id(range(80))] == TEXTS

    def test_frames_of_another_memory_are_noticed(self, video: Path, tmp_path: Path) -> None:
        """Each frame in turn becomes the frame of that number in another memory, which is sound in itself."""
        other = build(tmp_path, TEXTS[::-1], symbol_version=12, dictionary=1024)
        data = video.read_bytes()
        frames, foreign = samples(data), samples(other.read_bytes())
        replaced = 0
        for frame, (own, picture) in enumerate(zip(frames, foreign, strict=False)):
            if len(picture) > len(own) or own == picture:
                continue
            video.write_bytes(
                with_frames(data, [*frames[:frame], picture.ljust(len(own), b"\0"), *frames[frame + 1 :]])
            )
            with open_memory(video) as memory:
                errors = [*read_each(memory).values()]
            assert all(isinstance(error, FrameError) and error.frame_index == frame for error in errors)
            replaced += bool(errors)
        assert replaced > 3

    def test_a_page_table_that_agrees_with_swapped_frames_is_not_the_index_s(self, video: Path) -> None:
        reader = VideoReader(video)
        table = reader.table
        reader.close()
        data = video.read_bytes()
        frames = samples(data)
        last = len(frames) - 1
        frames[last - 1], frames[last] = frames[last], frames[last - 1]
        old = table.to_bytes()
        checksums = table.checksums.astype("<u4").tobytes()
        forged = table.checksums.astype("<u4").copy()
        forged[[last - 1, last]] = forged[[last, last - 1]]
        changed = with_frames(data, frames)
        assert changed.count(checksums) == 1
        assert len(old) > len(checksums)
        video.write_bytes(changed.replace(checksums, forged.tobytes()))
        with pytest.raises(IndexMismatchError):
            open_memory(video)

    def test_a_lost_page_table_is_rebuilt_from_the_frames(self, video: Path) -> None:
        video.write_bytes(without_page_table(video.read_bytes()))
        with open_memory(video) as memory:
            assert read_each(memory) == {}


class TestDamage:
    def test_a_truncated_video_is_refused(self, video: Path) -> None:
        data = video.read_bytes()
        moov, _, _ = find(data, b"moov")
        edges = {0, 1, 7, 8, 31, 32, 48, moov - 1, moov, moov + 1, moov + 8, len(data) - 1}
        for size in sorted({*edges, *range(0, len(data), 997), *range(moov, len(data), 61)}):
            video.write_bytes(data[:size])
            with pytest.raises(VideoFormatError) as caught:
                open_memory(video)
            assert str(video) in str(caught.value)

    def test_a_video_cut_off_while_it_is_open_raises(self, video: Path) -> None:
        with open_memory(video) as memory:
            os.truncate(video, 3000)
            errors = read_each(memory)
            assert len(errors) == 80
            assert all(isinstance(error, FrameError) for error in errors.values())

    @pytest.mark.parametrize("part", ["anywhere", "movie header", "frames"])
    def test_flipped_bits_never_change_a_text(self, video: Path, part: str) -> None:
        data = video.read_bytes()
        moov, _, end = find(data, b"moov")
        low, high = {"anywhere": (0, end), "movie header": (moov, end), "frames": (48, moov)}[part]
        chooser = random.Random(part)
        outcomes = set()
        for _ in range(120):
            damaged = bytearray(data)
            for _ in range(chooser.choice((1, 1, 2, 8))):
                damaged[chooser.randrange(low, high)] ^= 1 << chooser.randrange(8)
            video.write_bytes(damaged)
            try:
                with open_memory(video) as memory:
                    errors = read_each(memory)
            except (VideoError, IndexFileError) as error:
                outcomes.add(type(error).__name__)
            else:
                assert all(isinstance(error, VideoError) for error in errors.values())
                outcomes.add("read in part" if errors else "read")
        assert "read" in outcomes
        assert len(outcomes) > 1

    def test_overwritten_stretches_never_change_a_text(self, video: Path) -> None:
        data = video.read_bytes()
        chooser = random.Random(5)
        for _ in range(60):
            at, length = chooser.randrange(len(data)), chooser.choice((4, 64, 1024))
            source = chooser.randrange(len(data))
            damaged = data[:at] + data[source : source + length] + data[at + length :]
            video.write_bytes(damaged)
            try:
                with open_memory(video) as memory:
                    read_each(memory)
            except MemvidError:
                continue


class _Killer:
    """Ends the process at the n-th touch of a file of the memory, or at the n-th call of what a build is made of."""

    def __init__(self, left: int) -> None:
        self._left = left

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove") and "memory" in str(args):
            self.touch()

    def touch(self) -> None:
        self._left -= 1
        if self._left < 0:
            os._exit(9)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.touch()
            result = function(*args, **kwargs)
            self.touch()
            return result

        return call


def build_and_be_killed(folder: Path, texts: Sequence[str], touches: int) -> bool:
    """Build in a child that dies after ``touches``; whether it came to the end before."""
    child = os.fork()
    if child == 0:
        try:
            killer = _Killer(touches)
            os.fsync = killer.wrap(os.fsync)
            for owner, name in (
                (VideoWriter, "write"),
                (VideoWriter, "finish"),
                (IndexBuilder, "add"),
                (IndexBuilder, "stage"),
            ):
                setattr(owner, name, killer.wrap(getattr(owner, name)))
            sys.addaudithook(killer.hook)
            build(folder, texts, keywords=False, threads=1)
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("first", [False, True], ids=["over an old memory", "for the first time"])
def test_a_killed_build_leaves_the_old_memory_or_the_new(tmp_path: Path, first: bool) -> None:
    old, new = make_texts(5, seed=1), make_texts(9, seed=2)
    (tmp_path / "old").mkdir()
    build(tmp_path / "old", old, keywords=False)
    outcomes = []
    for touches in count():
        folder = tmp_path / str(touches)
        folder.mkdir()
        if not first:
            shutil.copytree(tmp_path / "old", folder, dirs_exist_ok=True)
        finished = build_and_be_killed(folder, new, touches)
        try:
            with open_memory(folder / "memory.mp4") as memory:
                found = [chunk.text for chunk in memory.get_chunks_by_id(range(len(memory)))]
                assert memory.search(found[-1], 1) == [found[-1]]
        except VideoNotFoundError:
            assert first
            found = []
        assert found in ([] if first else old, new)
        outcomes.append(found == new)
        if touches % 5 == 0:  # what the dead build left is no obstacle, and goes
            build(folder, new, keywords=False)
            assert set(all_files(folder)) == FILES
        shutil.rmtree(folder)
        if finished:
            break
    assert outcomes == sorted(outcomes)  # old up to the commit point, new behind it
    assert len(outcomes) > 20
    assert not outcomes[0]
    assert outcomes[-2]


class _FailsLater(HashingEmbedder):
    """Embeds some batches, then does something else."""

    def __init__(self, then: Callable[[int], Any]) -> None:
        super().__init__(dim=64)
        self._then = then
        self._calls = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self._calls += 1
        if self._calls < 3:
            return make_vectors(len(texts))
        made: np.ndarray[Any, np.dtype[np.float32]] = self._then(len(texts))
        return made


def _raise(error: BaseException) -> Any:
    raise error


class TestFailedBuilds:
    @pytest.fixture
    def encoder(self, tmp_path: Path) -> Iterator[Callable[[Any], MemvidEncoder]]:
        build(tmp_path, ["old"])
        made = []

        def make(embedder: Any) -> MemvidEncoder:
            encoder = MemvidEncoder(embedder=embedder)
            encoder.add_chunks(make_texts(1500, words=5))
            made.append(encoder)
            return encoder

        yield make
        for encoder in made:
            encoder.close()

    @pytest.mark.parametrize(
        ("then", "expected"),
        [
            (lambda count: _raise(RuntimeError("out of quota")), EmbeddingError),
            (lambda count: _raise(KeyboardInterrupt()), KeyboardInterrupt),
            (lambda count: np.full((count, 64), np.nan, np.float32), EmbeddingError),
            (lambda count: np.zeros((count, 64), np.float32), EmbeddingError),
            (lambda count: np.ones((count - 1, 64), np.float32), EmbeddingError),
            (lambda count: np.ones((count, 65), np.float32), EmbeddingError),
            (lambda count: np.ones((count, 64), np.int8), EmbeddingError),
            (lambda count: None, EmbeddingError),
        ],
    )
    def test_an_embedder_that_fails_half_way_changes_nothing(
        self, tmp_path: Path, encoder: Callable[[Any], MemvidEncoder], then: Any, expected: type[BaseException]
    ) -> None:
        before = all_files(tmp_path)
        failing = encoder(_FailsLater(then))
        with pytest.raises(expected):
            failing.build_video(tmp_path / "memory.mp4")
        assert all_files(tmp_path) == before
        assert failing.stats.chunks == 1500

    def test_a_disk_that_changes_what_was_written_is_caught_before_anything_counts(
        self, tmp_path: Path, encoder: Callable[[Any], MemvidEncoder], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = all_files(tmp_path)
        finish = VideoWriter.finish
        build_it = encoder(EMBEDDER)

        def damage(picture: bytes, data: bytes) -> bytes:
            return data.replace(picture, black(picture, tmp_path / "memory.mp4"))

        for frame in (0, 5):

            def finish_and_damage(writer: VideoWriter, frame: int = frame) -> Any:
                table = finish(writer)
                staged = tmp_path / "memory.mp4.new"
                data = staged.read_bytes()
                staged.write_bytes(damage(samples(data)[frame], data))
                return table

            monkeypatch.setattr(VideoWriter, "finish", finish_and_damage)
            with pytest.raises(FrameError) as caught:
                build_it.build_video(tmp_path / "memory.mp4")
            assert caught.value.frame_index == frame
            assert all_files(tmp_path) == before

    def test_a_writer_that_loses_a_page_is_caught(
        self, tmp_path: Path, encoder: Callable[[Any], MemvidEncoder], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = all_files(tmp_path)
        write = VideoWriter.write
        monkeypatch.setattr(VideoWriter, "write", lambda writer, payloads: write(writer, payloads[:-1] or payloads))
        with pytest.raises(MemvidError):
            encoder(EMBEDDER).build_video(tmp_path / "memory.mp4")
        assert all_files(tmp_path) == before


BUILD_AGAIN_AND_AGAIN = """
import sys
from pathlib import Path
from memvid.errors import OutputError
from tests.memory_support import build
done = 0
while done < 12:
    try:
        build(Path(sys.argv[1]), [sys.argv[2]] * int(sys.argv[2]), keywords=False, threads=1)
    except OutputError as error:
        assert "another process" in str(error), error
    done += 1
"""


def test_readers_meet_whole_memories_while_others_are_built(tmp_path: Path) -> None:
    build(tmp_path, ["0"], keywords=False)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    builders = [
        subprocess.Popen([sys.executable, "-c", BUILD_AGAIN_AND_AGAIN, str(tmp_path), number], env=environment)
        for number in ("3", "5")
    ]
    seen = set()
    while any(builder.poll() is None for builder in builders):
        with open_memory(tmp_path / "memory.mp4") as memory:
            texts = [chunk.text for chunk in memory.get_chunks_by_id(range(len(memory)))]
        assert texts in (["0"], ["3"] * 3, ["5"] * 5)
        seen.add(texts[0])
    assert [builder.returncode for builder in builders] == [0, 0]
    assert seen & {"3", "5"}
    build(tmp_path, ["0"], keywords=False)
    assert set(all_files(tmp_path)) == FILES
