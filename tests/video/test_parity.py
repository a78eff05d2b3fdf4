"""Parity across frames: a loss it can bear comes back byte for byte, a larger one is named, and nothing else does."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid import MemvidEncoder
from memvid.errors import ConfigError, FrameError
from memvid.exchange import export
from memvid.exchange.ladder import LADDERS
from memvid.exchange.transcode import transcode
from memvid.maintenance import compact, repair, verify
from memvid.page import PageKind, parse_header, parse_parity_head, seal
from memvid.video import VideoReader
from memvid.video.codecs import open_pictures
from memvid.video.parity import ParityBlock, ParityEncoder
from memvid.video.parity_reader import ParityReader
from tests.memory_support import all_files, build, make_texts, open_memory
from tests.repository import ROOT
from tests.video.video_support import samples, without_page_table

TEXTS = make_texts(400, words=12)
OPTIONS: dict[str, Any] = {"symbol_version": 14, "parity": 0.25}


def multiply(a: int, b: int) -> int:
    """In the field of 256 elements of the polynomial x^8 + x^4 + x^3 + x^2 + 1, bit by bit."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


def power(base: int, exponent: int) -> int:
    result = 1
    for _ in range(exponent):
        result = multiply(result, base)
    return result


def inverse(a: int) -> int:
    return power(a, 254)


def generator(members: int, parity: int) -> list[list[int]]:
    """The rows of the parity pages, as docs/format.md says: V times the inverse of its upper square."""
    rows = [[1] + [0] * (members - 1)]
    rows += [[power(2, row * column % 255) for column in range(members)] for row in range(members + parity - 1)]
    square = [rows[number] + [int(at == number) for at in range(members)] for number in range(members)]
    for column in range(members):  # Gauss and Jordan
        pivot = next(row for row in range(column, members) if square[row][column])
        square[column], square[pivot] = square[pivot], square[column]
        scale = inverse(square[column][column])
        square[column] = [multiply(value, scale) for value in square[column]]
        for row in range(members):
            if row != column and square[row][column]:
                factor = square[row][column]
                square[row] = [a ^ multiply(factor, b) for a, b in zip(square[row], square[column], strict=True)]
    inverted = [row[members:] for row in square]
    made = []
    for last in rows[members:]:
        sums = [0] * members
        for value, line in zip(last, inverted, strict=True):
            sums = [total ^ multiply(value, entry) for total, entry in zip(sums, line, strict=True)]
        made.append(sums)
    return made


def parity_by_hand(payloads: list[bytes], parity: int) -> list[bytes]:
    length = 2 + max(map(len, payloads))
    shares = [(len(payload).to_bytes(2, "little") + payload).ljust(length, b"\0") for payload in payloads]
    made = []
    for row in generator(len(payloads), parity):
        total = bytearray(length)
        for factor, share in zip(row, shares, strict=True):
            for at, value in enumerate(share):
                total[at] ^= multiply(factor, value)
        made.append(bytes(total))
    return made


@pytest.mark.parametrize(("members", "parity"), [(1, 1), (2, 1), (5, 3), (9, 9)])
def test_the_arithmetic_is_that_of_the_format(members: int, parity: int) -> None:
    rng = random.Random(members)
    payloads = [rng.randbytes(rng.randrange(1, 40)) for _ in range(members)]
    encoder = ParityEncoder(parity / members, 0)
    encoder.add(payloads)
    assert [page.body[16:] for page in encoder.finish()] == parity_by_hand(payloads, parity)


def test_the_worked_example_of_the_format() -> None:
    text = (ROOT / "docs" / "format.md").read_text("utf-8")
    example = text.split("<!-- tests/video/test_parity.py checks these bytes -->")[1].split("```")[1].split("\n", 1)[1]
    share_a, share_b, share_c, parity = (bytes.fromhex(line.split(":")[1]) for line in example.strip().splitlines())
    payloads = [share[2 : 2 + share[0]] for share in (share_a, share_b, share_c)]
    assert parity_by_hand(payloads, 1) == [parity]
    encoder = ParityEncoder(0.3, 7)
    encoder.add(payloads)
    (page,) = encoder.finish()
    assert page.body == bytes.fromhex("07000000 03000000 0100 0100 0000 0000") + parity


@given(st.data(), st.integers(1, 260), st.floats(0.01, 1))
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_loss_it_can_bear_comes_back_and_one_more_does_not(data: st.DataObject, count: int, rate: float) -> None:
    rng = random.Random(count)
    payloads = [rng.randbytes(rng.randrange(28, 90)) for _ in range(count)]
    encoder = ParityEncoder(rate, 0)
    encoder.add(payloads[:17])
    encoder.add(payloads[17:])
    pages = list(encoder.finish())
    frames = dict(enumerate(payloads)) | {
        count + at: seal(page, tag=1, page_number=count + at) for at, page in enumerate(pages)
    }
    head = parse_parity_head(frames[count], frame_index=count)
    block = ParityBlock.of(head, count)
    assert (block.first, block.frames, block.stop) == (0, count, len(frames))
    assert len(pages) >= rate * count - 1e-6
    for group in map(block.group, range(block.groups)):
        everything = [*group.members, *group.parity]
        lost = data.draw(st.sets(st.sampled_from(everything), max_size=len(group.parity)))
        left = {frame: frames[frame] for frame in everything if frame not in lost}
        assert group.rebuild(left) == {frame: payloads[frame] for frame in sorted(lost) if frame < count}
        if lost & set(group.members) and len(lost) == len(group.parity):
            extra = data.draw(st.sampled_from([frame for frame in everything if frame not in lost]))
            del left[extra]
            with pytest.raises(FrameError, match="of its parity group are lost"):
                group.rebuild(left)


def blacken(video: Path, frames: list[int]) -> None:
    data = bytearray(video.read_bytes())
    pictures = samples(bytes(data))
    for frame in frames:
        at = bytes(data).index(pictures[frame])
        data[at : at + len(pictures[frame])] = bytes(len(pictures[frame]))
    video.write_bytes(data)


class TestMemories:
    def test_without_it_nothing_changes(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        build(tmp_path / "a", TEXTS, symbol_version=14)
        build(tmp_path / "b", TEXTS, symbol_version=14, parity=0)
        assert all_files(tmp_path / "a") == all_files(tmp_path / "b")
        for wrong in (-0.1, 1.1, "0.5", True, float("nan")):
            with pytest.raises(ConfigError, match="parity"):
                MemvidEncoder(parity=wrong)

    def test_it_costs_its_rate(self, tmp_path: Path) -> None:
        plain = build(tmp_path, make_texts(3000), name="plain", symbol_version=30)
        parity = build(tmp_path, make_texts(3000), name="parity", symbol_version=30, parity=0.25)
        assert 1.25 < parity.stat().st_size / plain.stat().st_size < 1.34

    @pytest.mark.parametrize("options", [{}, {"compression": "none", "chunks_per_frame": 1}])
    def test_a_burst_is_read_as_if_nothing_was(self, tmp_path: Path, options: dict[str, Any]) -> None:
        video = build(tmp_path, TEXTS, metadatas=[{"n": n} for n in range(400)], **OPTIONS, **options)
        frames = VideoReader(video).table.frames_of_kind(PageKind.PARITY)[0]
        blacken(video, list(range(2, 2 + frames // 5)))
        with open_memory(video) as memory:
            chunks = memory.get_chunks_by_id(range(400))
            assert [(chunk.text, chunk.metadata) for chunk in chunks] == [(TEXTS[n], {"n": n}) for n in range(400)]
            assert memory.stats.rebuilt_frames >= frames // 5 - 5  # all but the header page's
            assert memory.search(TEXTS[1], 1) == [TEXTS[1]]
        report = verify(video, deep=True)
        assert report.ok
        assert report.lost_chunks == ()
        assert {finding.code for finding in report.findings} == {"parity"}
        assert report.parity_margin is not None
        assert 0 <= report.parity_margin < 100

    def test_header_and_dictionary_come_back_too(self, tmp_path: Path) -> None:
        video = build(tmp_path, TEXTS, dictionary=4096, **OPTIONS)
        table = VideoReader(video).table
        blacken(video, [0, int(table.frames_of_kind(PageKind.DICTIONARY)[0])])
        with open_memory(video) as memory:
            assert memory.info.chunks == 400
            assert memory.get_chunk_by_id(399) == TEXTS[399]
        assert verify(video, deep=True).ok

    def test_too_much_is_an_error_that_says_how_much(self, tmp_path: Path) -> None:
        video = build(tmp_path, TEXTS, **OPTIONS)
        parity = VideoReader(video).table.frames_of_kind(PageKind.PARITY)
        blacken(video, list(range(3, 4 + len(parity))))
        with open_memory(video) as memory:
            with pytest.raises(FrameError, match=r"frames of its parity group are lost, and \d+ of"):
                memory.get_chunks_by_id(range(400))
            assert memory.get_chunk_by_id(399) == TEXTS[399]
        report = verify(video, deep=True)
        assert not report.ok
        assert report.lost_chunks
        assert report.parity_margin is not None
        assert report.parity_margin < 0

    def test_appends_have_groups_of_their_own(self, tmp_path: Path) -> None:
        video = build(tmp_path, TEXTS[:300], **OPTIONS)
        with MemvidEncoder.open(video) as writer:
            writer.add_chunks(TEXTS[300:])
            writer.delete([5])
            writer.append()
        reader = VideoReader(video)

        def read(frames: Any) -> Any:
            return reader.read(frames), np.zeros(len(frames), np.uint8)

        first, second = ParityReader(reader.table, read).blocks
        assert second.first == first.stop
        blacken(video, [3, second.first, second.first + second.frames - 1])
        with open_memory(video) as memory:
            rest = [n for n in range(400) if n != 5]
            assert [chunk.text for chunk in memory.get_chunks_by_id(rest)] == [TEXTS[n] for n in rest]
        assert verify(video, deep=True).ok
        result = compact(repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json").video_file)
        assert result.chunks == 399
        assert VideoReader(result.video_file).table.frames_of_kind(PageKind.PARITY).size

    def test_repair_gives_the_bytes_of_the_build(self, tmp_path: Path) -> None:
        video = build(tmp_path, TEXTS, **OPTIONS)
        before = video.read_bytes()
        blacken(video, [0, 4, 5, VideoReader(video).frame_count - 1])
        result = repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json")
        assert result.lost == ()
        assert result.video_file.read_bytes() == before

    def test_a_lost_page_table_and_lost_frames(self, tmp_path: Path) -> None:
        video = build(tmp_path, TEXTS, **OPTIONS)
        digest = VideoReader(video).identity.digest
        blacken(video, [2, 6])
        video.write_bytes(without_page_table(video.read_bytes()))
        assert VideoReader(video).identity.digest == digest
        with open_memory(video) as memory:
            assert [chunk.text for chunk in memory.get_chunks_by_id(range(400))] == TEXTS

    def test_false_parity_brings_back_nothing(self, tmp_path: Path) -> None:
        video = build(tmp_path, TEXTS, **OPTIONS)
        other = build(tmp_path, make_texts(400, words=12, seed=8), name="other", **OPTIONS)
        ours, theirs = VideoReader(video), VideoReader(other)
        frame = int(ours.table.frames_of_kind(PageKind.PARITY)[0])
        block = ParityBlock.of(parse_parity_head(ours.read([frame])[0], frame_index=frame), frame)
        group = block.group(0)
        stolen = int(theirs.table.frames_of_kind(PageKind.PARITY)[0])

        def read(frames: Any) -> Any:
            payloads: list[bytes | None] = []
            for at in frames.tolist():
                if at == 3:
                    payloads.append(None)
                elif at in group.parity:
                    payload = theirs.read([stolen + at - group.parity.start])[0]
                    payloads.append(payload[:28] + ours.read([at])[0][28:44] + payload[44:])
                else:
                    payloads.append(ours.read([at])[0])
            return payloads, np.zeros(len(payloads), np.uint8)

        with pytest.raises(FrameError, match="parity gives"):
            ParityReader(ours.table, read).rebuild(3)

    def test_every_byte_after_frames_were_dropped(self, tmp_path: Path) -> None:
        video = build(tmp_path, TEXTS, error_correction="M", symbol_version=14, parity=0.5)
        shared = export(video, tmp_path / "shared.mp4", codec="h264").video_file
        rung = next(rung for rung in LADDERS["default"] if "frames a second" in rung.name)
        side = open_pictures(str(shared)).width
        current = shared
        for number, step in enumerate(rung.steps):
            target = tmp_path / f"{number}{step.suffix}"
            transcode(current, target, step, side=side)
            current = target
        with open_memory(current, tmp_path / "memory_index.json") as memory:
            assert [chunk.text for chunk in memory.get_chunks_by_id(range(400))] == TEXTS
            assert memory.stats.rebuilt_frames > 0


def test_parity_pages_name_what_they_protect(tmp_path: Path) -> None:
    reader = VideoReader(build(tmp_path, TEXTS, **OPTIONS))
    frames = reader.table.frames_of_kind(PageKind.PARITY)
    for frame in frames.tolist():
        (payload,) = reader.read([frame])
        header = parse_header(payload, frame_index=frame)
        assert (header.kind, header.count, header.flags) == (PageKind.PARITY, 0, 0)
        head = parse_parity_head(payload, frame_index=frame)
        assert head.first == 0
        assert head.frames == frames[0]
