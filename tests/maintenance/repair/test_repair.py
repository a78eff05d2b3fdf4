"""What `repair` brings back: everything whose frame is whole, under its own id, and nothing else."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid import MemvidEncoder, MemvidRetriever, _core
from memvid.cli import main
from memvid.embedding import CallableEmbedder, HashingEmbedder
from memvid.errors import (
    EmptyMemoryError,
    MemvidError,
    ModelMismatchError,
    OutputError,
    VideoError,
    VideoNotFoundError,
)
from memvid.maintenance import repair, verify
from memvid.maintenance.damaged.loose_pictures import picture_pixels, read_payloads, symbol_style
from memvid.types import Progress
from memvid.video import VideoReader
from tests.maintenance.repair.repair_support import BARE, METADATAS, TEXTS, check, mend, spoil
from tests.memory_support import EMBEDDER, all_files, build, make_vectors, open_memory
from tests.video.video_support import find, overwrite_packets, png, samples, without_page_table

SHAPES: dict[str, dict[str, Any]] = {
    "default": {},
    "small": {"symbol_version": 8},
    "dictionary": {"symbol_version": 12, "dictionary": 1024},
    "plain": {"symbol_version": 15, "compression": "none", "error_correction": "Q", "data_mask": None, "fps": 7},
    "bare": BARE,
    "mask": {"symbol_version": 9, "data_mask": 5, "error_correction": "H", "vector_dtype": "f16"},
}
NAMES = ("memory.mp4", "memory_index.json", "memory_index.records", "memory_index.usearch")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> dict[str, Path]:
    """Sound memories of all shapes."""
    folders = {}
    for name, options in SHAPES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        build(folders[name], TEXTS, metadatas=METADATAS, **options)
    return folders


@pytest.fixture(params=list(SHAPES))
def original(originals: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return originals[request.param]


@pytest.fixture
def video(original: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy" / "memory.mp4"


def frame_of_chunk(folder: Path) -> list[int]:
    with open_memory(folder / "memory.mp4") as memory:
        return [chunk.frame_index for chunk in memory.get_chunks_by_id(range(80))]


def test_a_sound_memory_comes_out_as_it_was(original: Path, video: Path) -> None:
    result = mend(video)
    assert result.findings == ()
    assert all_files(result.video_file.parent) == all_files(original)
    assert (result.embeddings_kept, result.embeddings_made) == (80, 0)
    check(result)


class TestLostMovieHeader:
    def test_all_of_it_is_found_by_its_frames(self, original: Path, video: Path) -> None:
        data = video.read_bytes()
        start = find(data, b"moov")[0]
        for cut in (start, start + 5, len(data) - 1):
            video.write_bytes(data[:cut])
            result = mend(video)
            assert result.findings[0].code == "container"
            assert (result.embeddings_kept, result.embeddings_made) == (80, 0)
            check(result)
            if "plain" not in original.name:  # whose frame rate is lost with the movie header
                assert all_files(result.video_file.parent) == all_files(original)

    def test_without_an_index_too(self, video: Path) -> None:
        data = video.read_bytes()
        for name in NAMES[1:]:
            video.with_name(name).unlink()
        video.write_bytes(data[: find(data, b"moov")[0]])
        result = mend(video)
        assert (result.embeddings_kept, result.embeddings_made) == (0, 80)
        check(result)

    def test_of_a_file_that_ends_in_the_middle_the_front_is_left(self, original: Path, video: Path) -> None:
        data = video.read_bytes()
        frames = samples(data)
        frame_of = frame_of_chunk(original)
        middle = frame_of[40]
        if middle == frame_of[0]:
            pytest.skip("all chunks are in one frame")
        video.write_bytes(data[: data.index(frames[middle]) + 200])
        if original.name.startswith("bare"):  # the metadata are behind the texts
            result = mend(video)
            assert result.lost == ((40, 79),)
            with open_memory(result.video_file) as memory:
                assert [chunk.text for chunk in memory.get_chunks_by_id(range(40))] == TEXTS[:40]
            return
        check(mend(video), [n for n in range(80) if _ends_behind(original, n, middle)])


def _ends_behind(folder: Path, chunk: int, frame: int) -> bool:
    """Whether a chunk needs a frame from ``frame`` on."""
    table = VideoReader(folder / "memory.mp4").table
    start = int(table.frames_of(np.array([chunk]))[0])
    return table.run_of(start).stop > frame


class TestDamagedFrames:
    def test_each_costs_its_own_chunks(self, original: Path, video: Path) -> None:
        data = video.read_bytes()
        frames = samples(data)
        table = VideoReader(video).table
        front = min(frame_of_chunk(original))
        for number in (0, front - 1, front, (front + len(frames)) // 2, len(frames) - 1):
            video.write_bytes(spoil(data, frames[number]))
            kinds = table.kinds[number]
            if front <= number and kinds == 6:  # metadata of bare texts, which are left
                result = mend(video)
                assert result.lost == ()
                assert result.findings
                continue
            lost = [chunk for chunk in range(80) if _needs(original, chunk, number)]
            if len(lost) == 80:
                with pytest.raises(EmptyMemoryError):
                    mend(video)
                continue
            result = mend(video)
            check(result, lost)
            assert result.embeddings_made == 0

    def test_a_header_page_that_is_lost_is_written_anew(self, original: Path, video: Path) -> None:
        with open_memory(original / "memory.mp4") as memory:
            before = memory.info
        data = video.read_bytes()
        video.write_bytes(spoil(data, samples(data)[0]))
        result = mend(video)
        with open_memory(result.video_file) as memory:
            after = memory.info
        assert after.memory_id[:8] == before.memory_id[:8]
        for name in ("chunks", "text_bytes", "symbol_version", "error_correction", "compression", "dictionary_bytes"):
            assert getattr(after, name) == getattr(before, name), name

    def test_a_flipped_bit_anywhere_in_the_frames(self, original: Path, video: Path) -> None:
        data = video.read_bytes()
        start, end = find(data, b"mdat")[1:]
        for at in np.random.default_rng(3).integers(start, end, 12).tolist():
            video.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
            try:
                result = mend(video)
            except EmptyMemoryError:
                continue
            assert verify(result.video_file, deep=True).lost_chunks == result.lost
            with open_memory(result.video_file) as memory:
                for chunk in memory.get_chunks_by_id(sorted(set(range(80)) - _ids(result.lost))):
                    assert chunk.text == TEXTS[chunk.chunk_id]

    def test_a_damaged_picture_with_a_sound_code_is_read(self, original: Path, video: Path) -> None:
        data = bytearray(video.read_bytes())
        frame = samples(bytes(data))[-1]
        at = bytes(data).index(frame)
        data[at] ^= 1  # the signature
        video.write_bytes(data)
        result = mend(video)
        assert result.lost == ()
        assert (result.video_file.read_bytes() == (original / "memory.mp4").read_bytes()) or original.name.startswith(
            "bare"
        )


def _ids(ranges: Any) -> set[int]:
    return {chunk for first, last in ranges for chunk in range(first, last + 1)}


def _needs(folder: Path, chunk: int, frame: int) -> bool:
    """Whether a chunk cannot be read without a frame."""
    table = VideoReader(folder / "memory.mp4").table
    run = table.run_of(int(table.frames_of(np.array([chunk]))[0]))
    dictionary = table.frames_of_kind(1).tolist()
    return frame in run or (bool(dictionary) and frame in table.run_of(dictionary[0]))


class TestOrder:
    @pytest.mark.parametrize("box", [True, False], ids=["page table", "no page table"])
    def test_frames_in_any_order_are_sorted(self, originals: dict[str, Path], tmp_path: Path, box: bool) -> None:
        shutil.copytree(originals["small"], tmp_path / "copy")
        video = tmp_path / "copy" / "memory.mp4"
        data = video.read_bytes()
        frames = samples(data)
        start = data.index(frames[0])
        shuffled = [frames[number] for number in np.random.default_rng(1).permutation(len(frames))]
        changed = data[:start] + b"".join(shuffled) + data[start + sum(map(len, frames)) :]
        _, sizes, _ = find(data, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz")
        table = struct.pack(f">{len(frames)}I", *map(len, shuffled))
        changed = changed[: sizes + 12] + table + changed[sizes + 12 + len(table) :]
        video.write_bytes(changed if box else without_page_table(changed))
        result = mend(video)
        assert result.video_file.read_bytes() == data
        check(result)

    def test_repeated_frames_count_once_and_foreign_ones_not_at_all(
        self, originals: dict[str, Path], tmp_path: Path
    ) -> None:
        other = build(tmp_path, TEXTS[::-1], symbol_version=8)
        shutil.copytree(originals["small"], tmp_path / "copy")
        video = tmp_path / "copy" / "memory.mp4"
        data = video.read_bytes()
        frames = samples(data)
        foreign = samples(other.read_bytes())[-6:]
        start = find(data, b"mdat")[0]
        video.write_bytes(data[:start] + bytes(16) + b"".join([*frames[:30], *foreign, *frames[20:], frames[7]]))
        result = mend(video)
        assert result.video_file.read_bytes() == data
        check(result)
        assert any("6 frames are of another memory" in finding.message for finding in result.findings)


def test_a_damaged_sample_entry_hides_no_picture(originals: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(originals["small"], tmp_path / "copy")
    video = tmp_path / "copy" / "memory.mp4"
    data = video.read_bytes()
    entry = data.index(b"mp4v")
    for damaged in (data.replace(b"mp4v", b"mq4v"), data[: entry + 28] + b"\xff\xff" + data[entry + 30 :]):
        video.write_bytes(damaged)
        result = mend(video)
        assert result.video_file.read_bytes() == data


class TestPageTable:
    def test_a_missing_one_is_put_back(self, original: Path, video: Path) -> None:
        video.write_bytes(without_page_table(video.read_bytes()))
        result = mend(video)
        assert all_files(result.video_file.parent) == all_files(original)

    def test_a_damaged_one_is_made_anew(self, original: Path, video: Path) -> None:
        data = video.read_bytes()
        _, body, end = find(data, b"moov", b"uuid")
        for at in range(body + 16, end, 61):
            video.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
            result = mend(video)
            if original.name.startswith("bare"):  # there a checksum of the table may be all that vouches for a text
                with open_memory(result.video_file) as memory:
                    left = sorted(set(range(80)) - _ids(result.lost))
                    assert len(left) >= 79
                    assert [chunk.text for chunk in memory.get_chunks_by_id(left)] == [TEXTS[n] for n in left]
            else:
                assert result.video_file.read_bytes() == data


class TestIndex:
    def test_one_of_another_memory_gives_no_embeddings(self, originals: dict[str, Path], tmp_path: Path) -> None:
        build(tmp_path, TEXTS[::-1], embeddings=make_vectors(80), symbol_version=8)
        result = repair(originals["small"] / "memory.mp4", tmp_path / "new.mp4", index=tmp_path / "memory_index.json")
        assert (result.embeddings_kept, result.embeddings_made) == (0, 80)

    @pytest.mark.parametrize("name", NAMES[1:])
    def test_a_damaged_one_is_made_anew(self, originals: dict[str, Path], tmp_path: Path, name: str) -> None:
        shutil.copytree(originals["small"], tmp_path / "copy")
        path = tmp_path / "copy" / name
        path.write_bytes(path.read_bytes()[:-7])
        result = mend(tmp_path / "copy" / "memory.mp4")
        assert (result.embeddings_kept, result.embeddings_made) == (0, 80)
        assert all_files(result.video_file.parent) == all_files(originals["small"])

    def test_embeddings_of_a_model_that_is_gone_are_kept_or_the_model_asked_for(self, tmp_path: Path) -> None:
        def encode(texts: list[str]) -> Any:
            return np.array([[len(text), 1, index] for index, text in enumerate(texts)], np.float32)

        (tmp_path / "old").mkdir()
        house = CallableEmbedder(encode, name="house model", dim=3)
        with MemvidEncoder(embedder=house, symbol_version=9) as encoder:
            encoder.add_chunks(TEXTS)
            encoder.build_video(tmp_path / "old" / "memory.mp4", tmp_path / "old" / "memory_index.json")
        video = tmp_path / "old" / "memory.mp4"
        sound = all_files(tmp_path / "old")
        video.write_bytes(video.read_bytes()[: find(video.read_bytes(), b"moov")[0]])
        result = mend(video)
        assert result.embeddings_made == 0
        assert all_files(result.video_file.parent) == sound
        video.with_name("memory_index.json").unlink()
        with pytest.raises(ModelMismatchError, match="house model"):
            mend(video)
        assert all_files(tmp_path / "mended") == {}
        assert mend(video, embedder=house).embeddings_made == 80
        other = HashingEmbedder(dim=16)
        result = mend(video, embedder=other)
        with MemvidRetriever(result.video_file, embedder=other) as memory:
            assert memory.search(TEXTS[4], 1) == [TEXTS[4]]


class TestRefusals:
    def test_nothing_is_replaced(self, originals: dict[str, Path], tmp_path: Path) -> None:
        video = originals["small"] / "memory.mp4"
        with pytest.raises(OutputError, match="replaces nothing"):
            repair(video, video)
        (tmp_path / "x_index.json").write_text("")
        with pytest.raises(OutputError, match="replaces nothing"):
            repair(video, tmp_path / "x.mp4", output_index=tmp_path / "x_index.json")

    def test_what_has_nothing_to_bring_back(self, tmp_path: Path) -> None:
        with pytest.raises(VideoNotFoundError):
            repair(tmp_path / "none.mp4", tmp_path / "new.mp4")
        for content in (b"", b"text", bytes(3000), png(np.full((45, 46), 255, np.uint8)) * 3):
            (tmp_path / "old.mp4").write_bytes(content)
            with pytest.raises(VideoError, match="no frame of a memvid memory"):
                repair(tmp_path / "old.mp4", tmp_path / "new.mp4")
        assert list(all_files(tmp_path)) == ["old.mp4"]


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_overwritten_no_chunk_comes_back_changed(
    originals: dict[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    shape = data.draw(st.sampled_from(sorted(SHAPES)))
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(originals[shape], folder)
    video = folder / "memory.mp4"
    content = bytearray(video.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(1, 3000))
        kind = data.draw(st.sampled_from(["zeros", "noise", "copy"]))
        piece = bytes(length) if kind == "zeros" else np.random.default_rng(at).bytes(length)
        if kind == "copy":
            source = data.draw(st.integers(0, len(content) - 1))
            piece = bytes(content[source : source + length])
        content[at : at + len(piece)] = piece
    del content[data.draw(st.integers(len(content) // 2, len(content))) :]
    video.write_bytes(content)
    try:
        result = mend(video)
    except MemvidError:  # nothing is left
        return
    left = sorted(set(range(80)) - _ids(result.lost))
    assert verify(result.video_file, deep=True).lost_chunks == result.lost
    with open_memory(result.video_file) as memory:
        assert len(memory) == len(left)
        for chunk in memory.get_chunks_by_id(left):
            assert chunk.text == TEXTS[chunk.chunk_id]
            assert chunk.metadata in ({}, METADATAS[chunk.chunk_id])
            assert chunk.metadata or shape == "bare"


class TestPictures:
    def test_a_filtered_picture_is_read(self, originals: dict[str, Path]) -> None:
        cv2 = pytest.importorskip("cv2")
        video = originals["small"] / "memory.mp4"
        reader = VideoReader(video)
        (payload,) = reader.read([4])
        pixels = reader.read_pixels(4)
        for strategy in (0, 3):
            parameters = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_STRATEGY, strategy]
            done, picture = cv2.imencode(".png", pixels, parameters)
            assert done
            size = (reader.width, reader.height)
            found = picture_pixels(picture.tobytes(), size)
            assert found is not None
            assert np.array_equal(found, pixels)
            assert next(read_payloads(picture.tobytes(), size, _core.DetectionBudget(0))) == payload

    def test_the_style_of_a_symbol_is_told(self, originals: dict[str, Path]) -> None:
        for name, expected in (("mask", ("H", 5)), ("small", ("L", 0)), ("bare", ("L", 0))):
            reader = VideoReader(originals[name] / "memory.mp4")
            assert symbol_style(reader.read_pixels(1)) == expected


def test_progress_names_its_stages(originals: dict[str, Path], tmp_path: Path) -> None:
    seen: list[Progress] = []
    repair(originals["small"] / "memory.mp4", tmp_path / "new.mp4", progress=seen.append)
    assert [*dict.fromkeys(progress.stage for progress in seen)] == ["frames", "write", "index"]
    assert all(progress.done <= progress.total for progress in seen)


def test_command(originals: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(originals["small"], tmp_path / "copy")
    video = tmp_path / "copy" / "memory.mp4"
    data = video.read_bytes()
    video.write_bytes(spoil(data[: find(data, b"moov")[0]], samples(data)[-1]))
    assert main(["repair", str(video), "-o", str(tmp_path / "new.mp4")]) == 0
    out = capsys.readouterr().out
    assert "cut off" in out
    assert "lost" in out
    assert main(["repair", str(video), "-o", str(tmp_path / "new.mp4")]) == 1
    assert "replaces nothing" in capsys.readouterr().err
    assert main(["repair", str(video), "-o", str(tmp_path / "b.mp4"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["chunks"] + sum(last - first + 1 for first, last in report["lost"]) == 80
    assert main(["repair", str(video)]) == 2
    assert main(["verify", str(tmp_path / "new.mp4"), "--deep"]) == 1
    assert "missing" in capsys.readouterr().out


def test_an_append_whose_commit_was_cut_off_counts_as_at_each_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy").mkdir()
    video = build(tmp_path / "copy", TEXTS[:70], metadatas=METADATAS[:70])

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
        patch.setattr("memvid.storage.commit.roll_forward", cut_off)
        encoder.add_chunks(TEXTS[70:], metadatas=METADATAS[70:])
        with pytest.raises(KeyboardInterrupt):
            encoder.append()
    result = repair(video, tmp_path / "mended.mp4", embedder=EMBEDDER)
    check(result)
    assert result.embeddings_made == 0


class TestOtherCodecs:
    """Without a page table and with frames lost: each page that is left says which it is."""

    @pytest.mark.parametrize("which", ["the first", "one in the middle", "the last"])
    def test_what_is_left_comes_back(self, tmp_path: Path, which: str) -> None:
        pytest.importorskip("av")
        (tmp_path / "copy").mkdir()
        video = build(tmp_path / "copy", TEXTS, metadatas=METADATAS, codec="h264", symbol_version=12)
        reader = VideoReader(video)
        table, last = reader.table, reader.frame_count - 1
        reader.close()
        frame = {"the first": 0, "one in the middle": last // 2, "the last": last}[which]
        overwrite_packets(video, [frame])
        data = video.read_bytes()
        video.write_bytes(data[: data.rindex(b"uuid") - 4])
        lost = VideoReader(video).lost_frames.tolist()
        assert lost == ([*table.run_of(0)] if frame == 0 else [frame])  # of the header page, all parts go with one
        starts, count = int(table.first_chunks[frame]), int(table.counts[frame])
        check(mend(video, embedder=EMBEDDER), range(starts, starts + count))


def test_a_bare_text_that_is_there_twice_is_one_chunk(originals: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(originals["bare"], folder)
    video = folder / "memory.mp4"
    content = bytearray(video.read_bytes())
    text = content.find(b"\x89PNG", content.find(b"\x89PNG", content.find(b"\x89PNG") + 1) + 1)
    end = content.find(b"\x89PNG", text + 1)
    content[: end - text] = content[text:end]  # over the head and the cover
    del content[len(content) // 2 :]
    video.write_bytes(content)
    result = mend(video)
    with open_memory(result.video_file) as memory:
        texts = [chunk.text for chunk in memory.get_chunks_by_id(memory.chunk_ids())]
    assert len(texts) == len(set(texts))
    assert set(texts) <= set(TEXTS)


def test_pictures_that_hold_nothing_are_told_together(originals: dict[str, Path], tmp_path: Path) -> None:
    """As of a film with an opening of its own: what is lost is not hidden behind a line for each of them."""
    av = pytest.importorskip("av")
    with av.open(str(originals["small"] / "memory.mp4")) as video:
        pictures = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]
    blank = np.full_like(pictures[0], 255)
    (tmp_path / "film").mkdir()
    with av.open(str(tmp_path / "film" / "film.mkv"), "w") as film:
        stream = film.add_stream("ffv1", rate=30)
        stream.height, stream.width = blank.shape
        stream.pix_fmt = "gray"
        for picture in [blank, blank, blank, *pictures, blank]:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        film.mux(stream.encode())
    result = mend(tmp_path / "film" / "film.mkv", embedder=EMBEDDER)
    told = [finding.message for finding in result.findings]
    assert told == [f"4 pictures cannot be read: 0-2, {len(pictures) + 3}: they are left out"]
    assert result.lost == ()
