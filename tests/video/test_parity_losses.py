"""Real videos with parity from which frames are gone: what opens, what is rebuilt, and what a check says of it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid import MemvidEncoder, MemvidRetriever
from memvid.cli import main
from memvid.errors import DependencyError, FrameError, IndexFileError, IndexMismatchError, UnsupportedVideoError
from memvid.exchange import export, survive
from memvid.exchange.ladder import LADDERS
from memvid.maintenance import compact, reindex, repair, verify
from memvid.page import PageBody, PageKind, parse_header, seal
from memvid.video import PageTableBuilder, VideoReader, parity
from memvid.video.codecs import available_codecs
from memvid.video.parity import ParityBlock, ParityEncoder
from memvid.video.parity_reader import ParityReader
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.test_parity import OPTIONS, TEXTS, blacken
from tests.video.video_support import (
    make_pages,
    make_video,
    overwrite_packets,
    png,
    samples,
    symbol_picture,
    without_page_table,
)

BARE: dict[str, Any] = {"compression": "none", "chunks_per_frame": 1}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return build(tmp_path, TEXTS, **OPTIONS)


def parity_frames(video: Path) -> list[int]:
    return [int(frame) for frame in VideoReader(video).table.frames_of_kind(PageKind.PARITY)]


def texts_of(video: Path, index: Path | None = None) -> list[str]:
    with open_memory(video, index) as memory:
        return [chunk.text for chunk in memory.get_chunks_by_id(range(len(TEXTS)))]


def rewrite(video: Path, target: Path, frames: Sequence[bytes], *, table: bool = False) -> Path:
    """A video of other frames, as another program would write them."""
    reader = VideoReader(video)
    make_video(target, frames, reader.width, reader.height, table=reader.table.to_bytes() if table else None)
    return target


def index_of(video: Path) -> Path:
    return video.with_name("memory_index.json")


class TestLostParity:
    def test_nothing_needs_it_until_something_is_lost(self, video: Path, tmp_path: Path) -> None:
        before = video.read_bytes()
        lost = parity_frames(video)[1:4]
        blacken(video, lost)
        assert texts_of(video) == TEXTS
        assert export(video, tmp_path / "again.mp4", codec="png").video_file.read_bytes() == before
        assert reindex(video, embedder=EMBEDDER).chunks == len(TEXTS)
        report = verify(video, deep=True)
        assert report.ok
        assert report.parity_group is not None
        assert report.parity_group.lost == len(lost)
        assert (
            repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json").video_file.read_bytes()
            == before
        )

    def test_all_of_it_is_lost(self, video: Path, tmp_path: Path) -> None:
        before = video.read_bytes()
        lost = parity_frames(video)
        blacken(video, lost)
        assert texts_of(video) == TEXTS
        assert reindex(video, embedder=EMBEDDER).chunks == len(TEXTS)
        assert compact(
            repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json").video_file
        ).chunks == len(TEXTS)
        with pytest.raises(FrameError, match=f"frame {lost[0]} of") as caught:
            export(video, tmp_path / "again.mp4", codec="png")
        assert caught.value.frame_index == lost[0]
        report = verify(video, deep=True)
        assert (report.ok, report.parity_margin) == (True, 0)
        assert report.parity_group is not None
        assert (report.parity_group.first_frame, report.parity_group.frames) == (0, lost[0])
        blacken(video, [3])
        assert verify(video, deep=True).parity_margin == -1
        with pytest.raises(FrameError, match="frame 3 of"):
            VideoReader(video).read([3])
        assert (tmp_path / "new.mp4").read_bytes() == before  # also after compact, which had nothing to leave out

    def test_rebuilding_reads_each_group_once(self) -> None:
        count, rng = 1920, np.random.default_rng(1)
        payloads = make_pages(count, size=60)
        encoder = ParityEncoder(1.0, 0)
        encoder.add(payloads)
        frames = payloads + [seal(page, tag=1, page_number=count + at) for at, page in enumerate(encoder.finish())]
        table = PageTableBuilder()
        for frame in frames:
            header = parse_header(frame, frame_index=0)
            table.add(header.kind, header.count, header.first_chunk, header.checksum)
        lost = sorted(rng.choice(count, 768, replace=False).tolist())
        read = 0

        def read_frames(wanted: Any) -> Any:
            nonlocal read
            read += len(wanted)
            left = [None if frame in lost_set else frames[frame] for frame in wanted.tolist()]
            return left, np.zeros(len(wanted), np.uint8)

        lost_set = set(lost)
        reader = ParityReader(table.build(0x1234ABCD), read_frames)
        assert [reader.rebuild(frame) for frame in lost] == [payloads[frame] for frame in lost]
        assert read == 1 + len(frames)  # one page says where the others are


class TestLostTable:
    def test_verify_says_of_lost_frames_what_an_opening_makes_of_them(self, video: Path) -> None:
        blacken(video, [2, 6])
        video.write_bytes(without_page_table(video.read_bytes()))
        report = verify(video, deep=True)
        assert (report.ok, report.lost_chunks, report.chunks_read) == (True, (), len(TEXTS))
        assert {finding.frame for finding in report.findings if finding.code == "parity"} == {2, 6}

    @pytest.mark.parametrize(
        "order", ["front", "middle", "end", "repeated", "swapped"]
    )  # of frames, by a program that copies them
    def test_frames_that_were_cut_out_or_moved(self, video: Path, tmp_path: Path, order: str) -> None:
        before, frames = video.read_bytes(), samples(video.read_bytes())
        kept = {
            "front": frames[7:],
            "middle": frames[:4] + frames[12:],
            "end": frames[:-5],
            "repeated": frames[:4] + frames[3:],
            "swapped": [*frames[:3], frames[5], frames[4], frames[3], *frames[6:]],
        }[order]
        cut = rewrite(video, tmp_path / "cut.mp4", kept)
        assert texts_of(cut, index_of(video)) == TEXTS
        assert VideoReader(cut).identity.digest == VideoReader(video).identity.digest
        assert not VideoReader(cut).in_place
        report = verify(cut, index_of(video), deep=True)
        assert (report.ok, report.lost_chunks, report.chunks_read) == (True, (), len(TEXTS))
        assert any("dropped, repeated or moved" in finding.message for finding in report.findings)
        assert (
            repair(cut, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json").video_file.read_bytes()
            == before
        )
        assert export(cut, tmp_path / "again.mp4", codec="png").video_file.read_bytes() == before
        with pytest.raises(UnsupportedVideoError, match="memvid repair"):
            MemvidEncoder.open(cut, index_of(video), embedder=EMBEDDER)

    def test_more_than_parity_brings_back_is_counted(self, video: Path, tmp_path: Path) -> None:
        frames = samples(video.read_bytes())
        cut = rewrite(video, tmp_path / "cut.mp4", frames[:4] + frames[6 + len(parity_frames(video)) :])
        header = VideoReader(video).table.run_of(0)  # of which some are lost, and so all are
        lost = sorted({*header, *range(4, 6 + len(parity_frames(video)))})
        assert VideoReader(cut).lost_frames.tolist() == lost
        with pytest.raises(IndexMismatchError, match="missing are"):
            open_memory(cut, index_of(video))
        report = verify(cut, index_of(video), deep=True)
        assert not report.ok
        assert any(f"lost are {len(lost)} of {len(frames)} frames: 0-" in error.message for error in report.errors)

    def test_bare_texts_that_were_moved_are_refused(self, tmp_path: Path) -> None:
        video = build(tmp_path, TEXTS, **OPTIONS, **BARE)
        frames = samples(video.read_bytes())
        for kept in (frames[:40] + frames[43:], [*frames[:40], frames[41], *frames[40:]]):
            with pytest.raises((FrameError, IndexFileError)):
                open_memory(rewrite(video, tmp_path / "cut.mp4", kept), index_of(video))


class TestWrongFrames:
    def test_swapped_frames_are_found_out_and_the_right_ones_rebuilt(self, video: Path, tmp_path: Path) -> None:
        frames = samples(video.read_bytes())
        first = len(VideoReader(video).table.run_of(0))
        frames[first], frames[first + 1] = frames[first + 1], frames[first]
        swapped = rewrite(video, tmp_path / "swapped.mp4", frames, table=True)
        assert texts_of(swapped, index_of(video)) == TEXTS
        report = verify(swapped, index_of(video), deep=True)
        assert report.ok
        assert {finding.frame for finding in report.findings if finding.code == "parity"} == {first, first + 1}

    @pytest.mark.parametrize("options", [{}, BARE])
    def test_a_forged_text_is_not_answered_with(self, tmp_path: Path, options: dict[str, Any]) -> None:
        video = build(tmp_path, TEXTS, **OPTIONS, **options)
        reader = VideoReader(video)
        at = int(np.flatnonzero(reader.table.counts)[2])
        old = reader.read([at])[0]
        payload = b"a forged text"
        if not options:
            header = parse_header(old, frame_index=at)
            body = PageBody(header.kind, header.flags, header.count, header.first_chunk, old[:27:-1])
            payload = seal(body, tag=header.tag, page_number=at)
        frames = samples(video.read_bytes())
        picture = symbol_picture(payload, 14, utf8=bool(options))
        canvas = np.full((reader.height, reader.width), 255, np.uint8)
        side = picture.shape[0] - 9
        canvas[4 : 4 + side, 7 : 7 + side] = picture[4 : 4 + side, 4 : 4 + side]
        frames[at] = png(canvas)
        forged = rewrite(video, tmp_path / "forged.mp4", frames, table=True)
        assert VideoReader(forged).read([at]) == [old]
        assert texts_of(forged, index_of(video)) == TEXTS

    def test_parity_that_is_not_that_of_the_frames_is_a_finding(self, video: Path, tmp_path: Path) -> None:
        reader = VideoReader(video)
        payloads = [payload for _, payload in reader.read_all()]
        at = parity_frames(video)[2]
        wrong = bytearray(payloads[at][28:])
        wrong[-1] ^= 1
        payloads[at] = seal(PageBody(PageKind.PARITY, 0, 0, 0, bytes(wrong)), tag=reader.table.tag, page_number=at)
        side = 4 * 14 + 17
        frames, table = [], PageTableBuilder()
        for frame, payload in enumerate(payloads):
            header = parse_header(payload, frame_index=frame)
            table.add(header.kind, header.count, header.first_chunk, header.checksum)
            canvas = np.full((reader.height, reader.width), 255, np.uint8)
            canvas[4 : 4 + side, 7 : 7 + side] = symbol_picture(payload, 14)[4 : 4 + side, 4 : 4 + side]
            frames.append(png(canvas))
        wrong_one = tmp_path / "wrong.mp4"
        blob = table.build(reader.table.tag).to_bytes()
        make_video(wrong_one, frames, reader.width, reader.height, table=blob)
        messages = [finding.message for finding in verify(wrong_one, deep=True).findings if finding.code == "parity"]
        assert len(messages) == 1
        assert "is not theirs" in messages[0]
        result = repair(
            wrong_one,
            tmp_path / "new.mp4",
            output_index=tmp_path / "new_index.json",
            index=index_of(video),
            embedder=EMBEDDER,
        )
        assert result.video_file.read_bytes() == video.read_bytes()


@given(st.data())
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_any_frames_up_to_the_parity_of_a_group(video: Path, data: st.DataObject) -> None:
    before = video.read_bytes()
    try:
        count, spare = VideoReader(video).frame_count, len(parity_frames(video))
        lost = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=spare, unique=True))
        blacken(video, lost)
        assert texts_of(video) == TEXTS
        report = verify(video, deep=True)
        assert (report.ok, report.parity_margin) == (True, spare - len(lost))
        more = [frame for frame in range(count - spare) if frame not in lost][: spare - len(lost) + 1]
        blacken(video, more)
        worst = min(frame for frame in [*lost, *more] if frame < count - spare)
        with pytest.raises(FrameError, match=rf"frame {worst} of .* of its parity group are lost"):
            VideoReader(video).read(range(count))
    finally:
        video.write_bytes(before)


def test_without_zfec_a_memory_that_is_whole_is_read(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zfec", None)
    assert texts_of(video) == TEXTS
    assert verify(video).ok
    messages = [finding.message for finding in verify(video, deep=True).findings]
    assert len(messages) == 1
    assert 'pip install "memvid[parity]"' in messages[0]
    with pytest.raises(DependencyError, match=r"memvid\[parity\]"):
        build(tmp_path, TEXTS, name="other", **OPTIONS)
    blacken(video, [parity_frames(video)[0] - 1])
    with MemvidRetriever(video, embedder=EMBEDDER) as memory, pytest.raises(FrameError, match=r"memvid\[parity\]"):
        memory.get_chunk_by_id(len(TEXTS) - 1)


def test_parity_that_waits_in_a_file_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = make_pages(3000)

    def made() -> list[PageBody]:
        encoder = ParityEncoder(0.3, 5)
        for start in range(0, len(payloads), 100):
            encoder.add(payloads[start : start + 100])
        return list(encoder.finish())

    in_memory = made()
    monkeypatch.setattr(parity, "_POOLED", 100)
    assert made() == in_memory
    heads = {tuple(page.body[:8]) for page in in_memory}
    assert len(heads) == 2  # of 1,920 frames and of the rest


def test_a_burst_meets_every_group_alike() -> None:
    block = ParityBlock(10, 1920, 16, 12, 1930)
    burst = range(500, 500 + 16 * 12)
    for group in map(block.group, range(16)):
        assert len(set(group.members) & set(burst)) == len(group.parity)
        for frame in (*group.members, *group.parity):
            assert block.group_of(frame) == group
    assert block.group_of(9) is block.group_of(block.stop) is None


def test_a_memory_without_parity_has_the_pages_it_always_had(tmp_path: Path) -> None:
    metadatas = [{"n": n} for n in range(len(TEXTS))]
    video = build(tmp_path, TEXTS, metadatas=metadatas, symbol_version=14, compression="none", parity=0)
    reader = VideoReader(video)
    digest = hashlib.sha256()
    for frame, payload in reader.read_all(start=len(reader.table.run_of(reader.table.header_frame))):
        assert reader.table.kinds[frame] != PageKind.PARITY
        digest.update(payload)
    # Pages of a build of the first release of format version 2; their tag is part of its memory id.
    assert digest.hexdigest() == "b571fe40d7e1055fa95fab88cc3cb8374c5acb75965183018410febe66833e97"


@pytest.mark.parametrize("codec", ["ffv1", "mp4v", "h264"])
def test_other_codecs_keep_their_parity(tmp_path: Path, codec: str) -> None:
    if codec not in available_codecs():
        pytest.skip(f"this machine cannot write {codec}")
    ours = build(tmp_path, TEXTS, **OPTIONS)
    theirs = build(tmp_path, TEXTS, name="theirs", codec=codec, **OPTIONS)
    assert VideoReader(theirs).identity.digest == VideoReader(ours).identity.digest
    assert verify(theirs, deep=True).parity_margin == len(parity_frames(ours))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_that_no_codec_decodes_are_rebuilt(video: Path, tmp_path: Path, suffix: str) -> None:
    if "h264" not in available_codecs():
        pytest.skip("this machine cannot write h264")
    shared = tmp_path / f"shared{suffix}"
    export(video, shared)
    margin = verify(shared, index_of(video), deep=True).parity_margin
    overwrite_packets(shared, [0, 1, 9])
    assert texts_of(shared, index_of(video)) == TEXTS
    report = verify(shared, index_of(video), deep=True)
    assert report.ok
    assert (report.parity_margin or 0) == (margin or 0) - 3
    export(shared, tmp_path / "back.mp4", codec="png")
    assert (tmp_path / "back.mp4").read_bytes() == video.read_bytes()


@pytest.mark.tools
def test_what_an_edit_list_cuts_off_is_rebuilt(video: Path, tmp_path: Path, program: Callable[[str], str]) -> None:
    pytest.importorskip("av")
    if "h264" not in available_codecs():
        pytest.skip("this machine cannot write h264")
    export(video, tmp_path / "a.mp4")
    cut = ["-ss", "0.18", "-i", str(tmp_path / "a.mp4"), "-c", "copy", str(tmp_path / "b.mp4")]
    subprocess.run([program("ffmpeg"), "-v", "error", *cut], check=True)
    assert texts_of(tmp_path / "b.mp4", index_of(video)) == TEXTS


def test_survive_counts_what_is_lost_and_what_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    if "h264" not in available_codecs():
        pytest.skip("this machine cannot write h264")
    video = build(tmp_path, TEXTS, error_correction="M", symbol_version=14, parity=0.5)
    rung = next(rung for rung in LADDERS["default"] if "frames a second" in rung.name)
    monkeypatch.setattr(sys.modules["memvid.exchange.survive"], "LADDERS", {"mine": (rung,)})
    (result,) = survive(video, ladder="mine").rungs
    assert result.frames // 6 <= result.lost == result.rebuilt
    assert result.whole


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text(" ".join(make_texts(300)), encoding="utf-8")
    video = tmp_path / "memory.mp4"
    assert main(["build", str(notes), "-o", str(video), "--parity", "0.5", "--model", "hashing"]) == 0
    assert main(["info", str(video), "--model", "hashing"]) == 0
    assert "0.5 frames for each frame" in capsys.readouterr().out
    assert main(["verify", str(video), "--deep"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "more frames may be lost in the worst group, that of frame 0 on: of" in out
    blacken(video, [0])
    assert main(["verify", str(video), "--deep"]) == 0
    assert "parity brings it back" in " ".join(capsys.readouterr().out.split())
    assert main(["build", str(notes), "-o", str(tmp_path / "b.mp4"), "--parity", "1.5", "--model", "hashing"]) != 0
