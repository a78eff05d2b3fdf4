"""Memories that memvid 0.1.3 itself wrote (memories/README.md), and what is damaged or missing in them."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memvid import MemvidEncoder, _core
from memvid.allowance import Allowance
from memvid.cli import main
from memvid.errors import (
    ConfigError,
    EmptyMemoryError,
    IndexFormatError,
    IndexNotFoundError,
    OutputError,
    ResourceLimitError,
    VideoFormatError,
    VideoNotFoundError,
)
from memvid.maintenance import ImportResult, import_memory, verify
from memvid.maintenance.legacy.codes import MAX_NUMBER, OldCode, parse_code
from memvid.maintenance.legacy.frames import OldFrames
from memvid.maintenance.legacy.index import OldEntry
from memvid.maintenance.legacy.merging import Tally, merge
from memvid.video.codecs import open_pictures, sources
from memvid.video.codecs.sources import OpenCvSource
from tests.memory_support import EMBEDDER, all_files, build, open_memory
from tests.video.video_support import SECTOR, refuse_sectors

LEGACY = Path(__file__).parent / "memories"
TEXTS: dict[str, list[str]] = json.loads((LEGACY / "texts.json").read_text("utf-8"))
VIDEOS = {"mp4v": LEGACY / "mp4v.mp4", "h264": LEGACY / "h264.mkv", "h265": LEGACY / "h265.mkv"}
# What its index left out of the H.264 memory: two texts that a memory of ours cannot hold either, and one of 8,331
# characters, which it found too long.
BLANK, LONG, BROKEN = 1, 4, 6

Picture = NDArray[np.uint8]


def index_of(codec: str) -> Path:
    return LEGACY / f"{codec}_index.json"


def imported(folder: Path, video: Path | None, index: Path | None, **options: Any) -> ImportResult:
    return import_memory(video, index, folder / "memory.mp4", embedder=EMBEDDER, **options)


def texts_of(result: ImportResult) -> dict[int, str]:
    """Every text of the new memory by its id, read out of its frames."""
    with open_memory(result.video_file) as memory:
        ids = memory.search_results("anything", top_k=10_000)
        return {chunk.chunk_id: chunk.text for chunk in memory.get_chunks_by_id(sorted(hit.chunk_id for hit in ids))}


def indexed(codec: str) -> dict[int, str]:
    """What the old index has: ids count the texts that it took."""
    kept = [text for at, text in enumerate(TEXTS[codec]) if codec != "h264" or at not in (BLANK, LONG, BROKEN)]
    return dict(enumerate(kept))


def drawn_anew(folder: Path, pictures: Iterable[Picture], *, name: str = "old.mkv", codec: str = "FFV1") -> Path:
    """A video of these pictures; FFV1 loses nothing, MJPG frames do not need each other."""
    listed = list(pictures)
    height, width = listed[0].shape
    path = folder / name
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 30, (width, height), False)
    for picture in listed:
        writer.write(picture)
    writer.release()
    return path


def pictures_of(codec: str) -> list[Picture]:
    return [picture for picture in open_pictures(str(VIDEOS[codec])).pictures() if picture is not None]


def blackened(folder: Path, codec: str, *numbers: int) -> Path:
    pictures = pictures_of(codec)
    for number in numbers:
        pictures[number] = np.zeros_like(pictures[number])
    return drawn_anew(folder, pictures)


def changed_index(folder: Path, codec: str, change: Callable[[Any], object]) -> Path:
    data = json.loads(index_of(codec).read_text("utf-8"))
    change(data)
    path = folder / "old_index.json"
    path.write_text(json.dumps(data), "utf-8")
    return path


class TestRealMemories:
    @pytest.mark.parametrize("codec", VIDEOS)
    def test_every_text_comes_out_of_its_frame(self, codec: str, tmp_path: Path) -> None:
        result = imported(tmp_path, VIDEOS[codec], index_of(codec))
        assert result.from_frames == result.chunks
        assert result.old_frames == len(TEXTS[codec])
        assert (result.unreadable, result.from_index, result.disagreeing, result.lost) == (0, (), (), ())
        found = texts_of(result)
        assert {number: found[number] for number in indexed(codec)} == indexed(codec)
        assert verify(result.video_file, deep=True).ok

    def test_what_lies_on_a_bad_sector_comes_out_of_the_index(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("av")
        refuse_sectors(monkeypatch, VIDEOS["h264"], 14)
        result = imported(tmp_path, VIDEOS["h264"], index_of("h264"))
        monkeypatch.undo()
        assert result.missing_bytes == SECTOR
        assert result.from_index
        assert 0 < result.from_frames < result.chunks
        assert {number: texts_of(result)[number] for number in indexed("h264")} == indexed("h264")

    def test_chunks_that_the_old_index_skipped_are_brought_over_too(self, tmp_path: Path) -> None:
        result = imported(tmp_path, VIDEOS["h264"], index_of("h264"))
        assert texts_of(result) == {**indexed("h264"), 7: TEXTS["h264"][LONG]}
        assert result.unindexed == ((7, 7),)
        assert result.left_out == ((BLANK, BLANK), (BROKEN, BROKEN))

    def test_a_video_without_index_has_the_numbers_of_its_frames(self, tmp_path: Path) -> None:
        result = imported(tmp_path, VIDEOS["h264"], None)
        expected = dict(enumerate(TEXTS["h264"]))
        del expected[BLANK], expected[BROKEN]
        assert texts_of(result) == expected
        assert (result.from_frames, result.lost, result.unindexed) == (8, (), ())

    def test_an_index_without_video_gives_its_copies(self, tmp_path: Path) -> None:
        result = imported(tmp_path, None, index_of("h264"))
        assert texts_of(result) == indexed("h264")
        assert (result.from_frames, result.from_index, result.old_frames) == (0, ((0, 6),), 0)

    @pytest.mark.parametrize("codec", VIDEOS)
    def test_opencv_reads_the_same(self, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sources, "find_spec", lambda name: None)
        assert isinstance(open_pictures(str(VIDEOS[codec])), OpenCvSource)
        result = imported(tmp_path, VIDEOS[codec], index_of(codec))
        assert result.from_frames == result.chunks

    def test_a_frame_that_other_readers_cannot_read(self) -> None:
        read = [bool(zxingcpp.read_barcodes(picture)) for picture in pictures_of("h265")]
        assert read == [True, False]

    def test_the_same_import_has_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            imported(tmp_path / name, VIDEOS["h264"], index_of("h264"))
        assert all_files(tmp_path / "one") == all_files(tmp_path / "two")

    def test_the_old_files_stay_as_they_are(self, tmp_path: Path) -> None:
        before = all_files(LEGACY)
        imported(tmp_path, VIDEOS["mp4v"], index_of("mp4v"))
        assert all_files(LEGACY) == before


class TestDamage:
    def test_a_frame_that_is_lost_is_taken_from_the_index(self, tmp_path: Path) -> None:
        result = imported(tmp_path, blackened(tmp_path, "h264", 3), index_of("h264"))
        assert texts_of(result) == {**indexed("h264"), 7: TEXTS["h264"][LONG]}
        assert (result.from_frames, result.from_index) == (7, ((2, 2),))
        assert (result.unreadable, result.lost, result.lost_frames) == (1, (), ())
        assert repr(result).endswith("8 chunks: 7 from frames, 1 from the index; 0 lost)")

    def test_without_an_index_it_is_named(self, tmp_path: Path) -> None:
        result = imported(tmp_path, blackened(tmp_path, "h264", 3, 8, 9), None)
        assert result.lost == ((3, 3), (8, 9))
        assert sorted(texts_of(result)) == [0, 2, 4, 5, 7]

    def test_the_id_of_a_lost_chunk_is_not_given_again(self, tmp_path: Path) -> None:
        result = imported(tmp_path, blackened(tmp_path, "h264", 8, 9), None)
        with MemvidEncoder.open(result.video_file, embedder=EMBEDDER) as encoder:
            encoder.add_chunks(["what comes after"])
            assert encoder.append().first_chunk == 10

    def test_an_unreadable_frame_that_no_entry_knows_is_named(self, tmp_path: Path) -> None:
        result = imported(tmp_path, blackened(tmp_path, "h264", LONG), index_of("h264"))
        assert texts_of(result) == indexed("h264")
        assert result.lost_frames == ((LONG, LONG),)

    def test_where_frame_and_index_differ_the_frame_wins(self, tmp_path: Path) -> None:
        def forge(data: Any) -> None:
            data["metadata"][0]["text"] = "a forgery"

        result = imported(tmp_path, VIDEOS["mp4v"], changed_index(tmp_path, "mp4v", forge))
        assert texts_of(result) == indexed("mp4v")
        assert result.disagreeing == ((0, 0),)

    def test_an_entry_without_text_and_frame_is_lost(self, tmp_path: Path) -> None:
        def forget(data: Any) -> None:
            del data["metadata"][1]["text"]

        result = imported(tmp_path, blackened(tmp_path, "mp4v", 1), changed_index(tmp_path, "mp4v", forget))
        assert result.lost == ((1, 1),)
        assert texts_of(result) == {0: TEXTS["mp4v"][0]}

    def test_frames_shown_twice_count_once(self, tmp_path: Path) -> None:
        doubled = [picture for picture in pictures_of("h264") for _ in range(2)]
        result = imported(tmp_path, drawn_anew(tmp_path, doubled), index_of("h264"))
        assert (result.old_frames, result.from_frames, result.lost_frames) == (20, 8, ())

    def test_frames_in_another_order_keep_their_numbers(self, tmp_path: Path) -> None:
        result = imported(tmp_path, drawn_anew(tmp_path, pictures_of("h264")[::-1]), None)
        assert texts_of(result)[0] == TEXTS["h264"][0]

    def test_half_a_video_gives_what_is_in_it(self, tmp_path: Path) -> None:
        half = tmp_path / "half.mkv"
        half.write_bytes(VIDEOS["h264"].read_bytes()[:45_000])
        result = imported(tmp_path, half, index_of("h264"))
        assert 0 < result.from_frames < 7
        assert texts_of(result) == indexed("h264")
        assert result.from_index == ((result.from_frames, 6),)

    def test_frames_behind_damaged_ones_are_read(self, tmp_path: Path) -> None:
        video = drawn_anew(tmp_path, pictures_of("h264"), name="old.mp4", codec="MJPG")
        data = bytearray(video.read_bytes())
        with av.open(str(video)) as container:
            packets = [packet for packet in container.demux() if packet.size]
            begin, end = (packets[at].pos or 0 for at in (3, 5))
        data[begin:end] = bytes(end - begin)
        video.write_bytes(data)
        result = imported(tmp_path, video, None)
        expected = {number: text for number, text in enumerate(TEXTS["h264"]) if number not in {BLANK, BROKEN, 3, 4}}
        assert texts_of(result) == expected
        assert (result.lost, result.unreadable) == (((3, 4),), 2)

    def test_half_an_mp4_is_refused(self, tmp_path: Path) -> None:
        half = tmp_path / "half.mp4"
        half.write_bytes(VIDEOS["mp4v"].read_bytes()[:45_000])
        with pytest.raises(VideoFormatError, match="cannot be decoded"):
            imported(tmp_path, half, index_of("mp4v"))

    def test_other_pictures_have_nothing_to_import(self, tmp_path: Path) -> None:
        video = drawn_anew(tmp_path, [np.full((64, 64), 255, np.uint8)] * 3)
        with pytest.raises(EmptyMemoryError, match="3 pictures of which none gives a chunk"):
            imported(tmp_path, video, None)
        assert not (tmp_path / "memory.mp4").exists()

    def test_bare_memories_keep_the_ids(self, tmp_path: Path) -> None:
        video = blackened(tmp_path, "h264", LONG)
        result = imported(tmp_path, video, None, config={"compression": "none", "chunks_per_frame": 1})
        assert texts_of(result)[9] == TEXTS["h264"][9]
        assert verify(result.video_file, deep=True).ok

    def test_what_else_an_entry_has_becomes_metadata(self, tmp_path: Path) -> None:
        def tag(data: Any) -> None:
            data["metadata"][0]["source"] = "notes.txt"

        result = imported(tmp_path, VIDEOS["mp4v"], changed_index(tmp_path, "mp4v", tag))
        with open_memory(result.video_file) as memory:
            assert [chunk.metadata for chunk in memory.get_chunks_by_id([0, 1])] == [{"source": "notes.txt"}, {}]


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "is not JSON"),
            (b"\xff\xfe", "is not JSON"),
            (b"[" * 100_000, "is not JSON"),
            (b"[]", 'no list "metadata"'),
            (b'{"metadata": {}}', 'no list "metadata"'),
            (b'{"metadata": [7]}', "entry 0"),
            (b'{"metadata": [{"id": -1, "text": "a"}]}', "entry 0"),
            (b'{"metadata": [{"id": true, "text": "a"}]}', "entry 0"),
            (b'{"metadata": [{"id": 99999999999, "text": "a"}]}', "entry 0"),
            (b'{"metadata": [{"id": 4, "text": "a"}, {"id": 4, "text": "b"}]}', "entry 1"),
        ],
    )
    def test_what_is_no_index(self, data: bytes, message: str, tmp_path: Path) -> None:
        index = tmp_path / "old_index.json"
        index.write_bytes(data)
        with pytest.raises(IndexFormatError, match=message):
            imported(tmp_path, None, index)

    def test_a_huge_index_is_not_loaded(self, tmp_path: Path) -> None:
        index = tmp_path / "old_index.json"
        with index.open("wb") as file:
            file.truncate((1 << 30) + 1)
        with pytest.raises(IndexFormatError, match="limit"):
            imported(tmp_path, None, index)

    def test_missing_files(self, tmp_path: Path) -> None:
        with pytest.raises(VideoNotFoundError):
            imported(tmp_path, tmp_path / "none.mp4", None)
        with pytest.raises(IndexNotFoundError):
            imported(tmp_path, None, tmp_path / "none.json")
        with pytest.raises(ConfigError, match="nothing to import"):
            imported(tmp_path, None, None)

    def test_a_playlist_is_not_followed(self, tmp_path: Path) -> None:
        shutil.copy(VIDEOS["h264"], tmp_path / "other.mkv")
        playlist = tmp_path / "old.mp4"
        playlist.write_text("ffconcat version 1.0\nfile other.mkv\n")
        with pytest.raises(VideoFormatError, match="neither MP4"):
            imported(tmp_path, playlist, None)

    def test_a_memory_of_ours_is_refused(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["a text"], name="ours")
        with pytest.raises(VideoFormatError, match="own already"):
            imported(tmp_path, video, None)
        with pytest.raises(IndexFormatError, match="not an index of memvid 0"):
            imported(tmp_path, None, tmp_path / "ours_index.json")

    def test_the_old_files_are_not_replaced(self, tmp_path: Path) -> None:
        video, index = tmp_path / "old.mkv", tmp_path / "old_index.json"
        shutil.copy(VIDEOS["h264"], video)
        shutil.copy(index_of("h264"), index)
        before = all_files(tmp_path)
        for output, new_index in ((video, None), (tmp_path / "old.mp4", index)):
            with pytest.raises(OutputError, match="to be read: name another"):
                import_memory(video, index, output, output_index=new_index, embedder=EMBEDDER)
        assert all_files(tmp_path) == before


def test_codes_that_unpack_to_far_more_than_a_video_has(tmp_path: Path) -> None:
    codes = [packed(b'{"text": "' + b"a" * (1 << 20) + b'", "frame": %d}' % number) for number in range(9)]
    video = tmp_path / "old.mp4"
    writer = _core.FrameWriter(video, _core.SymbolOptions(version=40, level="L"))
    writer.write(codes)
    writer.finish(b"no page table")
    with pytest.raises(ResourceLimitError, match=r"old\.mp4 unpack to more than \d+ bytes: no memory of memvid 0.1.3"):
        imported(tmp_path, video, None)
    assert list(tmp_path.iterdir()) == [video]


def packed(data: bytes) -> bytes:
    return b"GZ:" + base64.b64encode(gzip.compress(data, mtime=0))


class TestCodes:
    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"https://example.org",
            b"GZ:",
            b"GZ:not base64!",
            packed(b'{"id": 0, "text": "cut off", "frame": 0}')[:-8],
            packed(b'{"id": 0, "text": "' + b"a" * (5 << 20) + b'", "frame": 0}'),
            b'{"id": 0, "text": 7, "frame": 0}',
            b'{"id": 0, "frame": 0}',
            b'{"text": "no number"}',
            b'{"text": "a", "frame": true}',
            b'{"text": "a", "frame": -1}',
            b'{"text": "a", "frame": 2147483648}',
            b'{"text": "a", "frame": 0, "weight": NaN}',
            b'["a"]',
            b"[" * 2900,
            '{"text": "raw \xe9", "frame": 0}'.encode("latin-1"),
        ],
    )
    def test_what_is_no_code_of_an_old_memory(self, payload: bytes) -> None:
        assert parse_code(payload) is None

    def test_a_flipped_bit_in_a_packed_code_is_found(self) -> None:
        data = bytearray(gzip.compress(b'{"id": 0, "text": "a text of some length", "frame": 0}'))
        data[-9] ^= 1
        assert parse_code(b"GZ:" + base64.b64encode(data)) is None

    @given(st.text(), st.integers(0, MAX_NUMBER - 1), st.booleans())
    def test_any_text_comes_back(self, text: str, number: int, pack: bool) -> None:
        data = json.dumps({"id": number, "text": text, "frame": number}).encode()
        assert parse_code(packed(data) if pack else data) == OldCode(number, text, {}, len(data))

    @given(st.binary())
    def test_anything_else_is_nothing(self, payload: bytes) -> None:
        assert parse_code(payload) is None
        assert parse_code(b"GZ:" + payload) is None
        assert parse_code(packed(payload)) is None


ENTRIES = st.lists(
    st.tuples(st.integers(1, 3), st.none() | st.integers(0, 12), st.none() | st.sampled_from(["a", "b", " "])),
    max_size=10,
)
CODES = st.dictionaries(st.integers(0, 12), st.sampled_from(["a", "b", " ", "\ud83d"]), max_size=10)


def frames_of(codes: dict[int, str], unreadable: int) -> OldFrames:
    frames = OldFrames()
    allowance = Allowance(1 << 20, "texts unpack to", "")
    for number, text in codes.items():
        frames.add(json.dumps({"id": number, "text": text, "frame": number}).encode(), allowance)
    for _ in range(unreadable):
        frames.add(None, allowance)
    return frames


def best(*texts: str | None) -> str | None:
    """The first text that can be stored."""
    return next((text for text in texts if text is not None and text.strip() and text != "\ud83d"), None)


class TestMerging:
    @settings(max_examples=300)
    @given(ENTRIES, CODES, st.integers(0, 5))
    def test_every_chunk_is_accounted_for(
        self, rows: list[tuple[int, int | None, str | None]], codes: dict[int, str], unreadable: int
    ) -> None:
        ids = np.cumsum([step for step, _, _ in rows]).tolist() if rows else []
        entries = [OldEntry(number, frame, text, {}) for number, (_, frame, text) in zip(ids, rows, strict=True)]
        tally = Tally()
        merged = {
            number: record.text.decode() for number, record in merge(entries, frames_of(codes, unreadable), tally)
        }

        sources = {
            entry.chunk_id: (codes.get(-1 if entry.frame is None else entry.frame), entry.text) for entry in entries
        }
        expected = {number: best(*texts) for number, texts in sources.items()}
        unknown = [codes[number] for number in sorted(codes) if all(entry.frame != number for entry in entries)]
        storable = [text for text in unknown if best(text)]
        expected.update(enumerate(storable, start=ids[-1] + 1 if ids else 0))
        assert list(merged.items()) == [(number, text) for number, text in expected.items() if text is not None]

        lost = [number for number, texts in sources.items() if texts == (None, None)]
        assert [number for first, last in tally.lost for number in range(first, last + 1)] == lost
        assert len(tally.left_out) == len(entries) + len(unknown) - len(merged) - len(lost)
        assert tally.from_frames + len(tally.from_index) == len(merged)
        assert list(tally.disagreeing) == [
            number for number, (code, copy) in sources.items() if None not in (code, copy) and code != copy
        ]

    @given(CODES, st.integers(0, 5))
    def test_without_an_index_every_frame_is(self, codes: dict[int, str], unreadable: int) -> None:
        tally = Tally()
        frames = frames_of(codes, unreadable)
        merged = {number: record.text.decode() for number, record in merge(None, frames, tally)}
        assert merged == {number: text for number, text in sorted(codes.items()) if best(text)}
        lost = [number for first, last in tally.lost for number in range(first, last + 1)]
        assert sorted([*codes, *lost]) == list(range(frames.expected))
        assert frames.expected >= len(codes) + unreadable


class TestCommand:
    def run(self, *arguments: object) -> int:
        return main(["import", *map(str, arguments), "--model", "hashing"])

    def test_says_what_came_from_where(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        video = blackened(tmp_path, "h264", 3)
        assert self.run(video, index_of("h264"), "-o", tmp_path / "new.mp4") == 0
        out = capsys.readouterr().out
        assert "from frames  7 of 8 chunks\n" in out
        assert "from index   chunk 2\n" in out
        assert "differ       no chunk\n" in out
        assert "not indexed  chunk 7; only frames had the text\n" in out
        assert "left out     frames 1, 6 of the old video: the text is blank, or not valid" in out
        assert "lost         no chunk\n" in out

    def test_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run(index_of("mp4v"), VIDEOS["mp4v"], "-o", tmp_path / "new.mp4", "--json") == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["chunks"], result["from_frames"], result["lost"]) == (2, 2, [])

    def test_without_an_index_lost_chunks_come_with_advice(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(blackened(tmp_path, "mp4v", 0), "-o", tmp_path / "new.mp4") == 0
        assert "lost         chunk 0; give the old index, too" in capsys.readouterr().out

    def test_replaces_nothing_unasked(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        output = tmp_path / "new.mp4"
        assert self.run(VIDEOS["mp4v"], "-o", output) == 0
        assert self.run(VIDEOS["mp4v"], "-o", output) == 1
        assert "--force replaces it" in capsys.readouterr().err
        assert self.run(VIDEOS["mp4v"], "-o", output, "--force") == 0

    def test_two_videos_are_wrong_usage(self, tmp_path: Path) -> None:
        assert self.run(VIDEOS["mp4v"], VIDEOS["h264"], "-o", tmp_path / "new.mp4") == 2
