"""Which chunk is which after `repair`: deleted ones, ids that were lost, and bare texts, which carry none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidEncoder
from memvid.cli import main
from memvid.embedding import HashingEmbedder
from memvid.maintenance import compact, delete, reindex, repair, verify
from memvid.page import PageKind
from memvid.video import VideoReader
from tests.maintenance.repair.repair_support import BARE, METADATAS, TEXTS, check_some, mend, spoil
from tests.memory_support import build, open_memory
from tests.video.video_support import TABLE_UUID, make_video, samples


def test_deleted_chunks_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS)
    delete(video, chunk_ids=[3, 4])
    result = repair(video, tmp_path / "listed.mp4")
    assert (result.chunks, result.deleted) == (len(TEXTS), 2)
    compact(video)  # empty chunks are in their place
    assert main(["repair", str(video), "-o", str(tmp_path / "empty.mp4")]) == 0
    assert f"{len(TEXTS)} chunks in " in (out := capsys.readouterr().out)
    assert ", 2 of them deleted" in out


class TestDeletions:
    """What a lost tombstones page does, where the index still knows."""

    @pytest.fixture
    def grown(self, tmp_path: Path) -> Path:
        (tmp_path / "copy").mkdir()
        video = build(tmp_path / "copy", TEXTS, metadatas=METADATAS, symbol_version=12)
        delete(video, chunk_ids=[3, 4, 50])
        return video

    @staticmethod
    def deleted(video: Path) -> list[int]:
        with open_memory(video) as memory:
            return sorted(set(range(80)) - set(memory.chunk_ids()))

    @staticmethod
    def lose_list(video: Path) -> None:
        data = video.read_bytes()
        (frame,) = VideoReader(video).table.frames_of_kind(PageKind.TOMBSTONES).tolist()
        video.write_bytes(spoil(data, samples(data)[frame]))

    def test_stay_with_their_page(self, grown: Path) -> None:
        result = mend(grown)
        assert result.findings == ()
        assert self.deleted(result.video_file) == [3, 4, 50]

    def test_stay_by_the_index_without_it(self, grown: Path) -> None:
        self.lose_list(grown)
        result = mend(grown)
        assert "deleted by the index are 3 chunks: 3-4, 50" in result.findings[-1].message
        assert self.deleted(result.video_file) == [3, 4, 50]
        report = verify(result.video_file, result.index_file, deep=True)
        assert report.ok
        again = repair(result.video_file, grown.with_name("again.mp4"))  # the new video says it by itself
        assert again.findings == ()

    def test_are_undone_where_an_old_copy_is_repaired(self, grown: Path, tmp_path: Path) -> None:
        build(tmp_path, TEXTS, metadatas=METADATAS, symbol_version=12)
        (tmp_path / "memory.mp4").rename(grown)
        assert self.deleted(mend(grown).video_file) == []

    def test_are_unknown_with_neither(self, grown: Path) -> None:
        self.lose_list(grown)
        for path in grown.parent.glob("memory_index*"):
            path.unlink()
        result = mend(grown)
        assert result.findings
        assert self.deleted(result.video_file) == []


class TestNumbers:
    """An id is given once, whatever became of the chunk that had it."""

    @pytest.mark.parametrize("options", [{"symbol_version": 12}, BARE])
    def test_those_of_lost_chunks_are_not_given_again(self, tmp_path: Path, options: dict[str, Any]) -> None:
        (tmp_path / "copy").mkdir()
        video = build(tmp_path / "copy", TEXTS[:10], **options)
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(TEXTS[10:13])
            memory.append()
        delete(video, chunk_ids=[12])
        data = video.read_bytes()
        for frame in set(VideoReader(video).table.frames_of(np.arange(10, 13)).tolist()):
            data = spoil(data, samples(data)[frame])
        video.write_bytes(data)
        mended = mend(video).video_file
        with MemvidEncoder.open(mended) as memory:
            memory.add_chunks(TEXTS[20:25])
            assert memory.append().first_chunk == 13
        with open_memory(mended) as reader:
            assert reader.chunk_ids() == [*range(10), *range(13, 18)]
            assert reader.get_chunk_by_id(13) == TEXTS[20]
        assert verify(mended, deep=True).lost_chunks == ((10, 11),)


@pytest.mark.parametrize("options", [{"symbol_version": 12}, BARE], ids=["packed", "bare"])
def test_ids_that_a_compaction_left_out_are_not_lost_with_the_header_page(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """The index knows which chunks there were; the new header page says that the ids have gaps, and what was built."""
    (tmp_path / "copy").mkdir()
    video = build(tmp_path / "copy", TEXTS[:80], metadatas=METADATAS, cover=False, **options)
    delete(video, chunk_ids=[0, *range(5, 75)])
    compact(video)
    with MemvidEncoder.open(video) as memory:
        memory.add_chunks(["one more", "and another"])
        memory.append()
    data = video.read_bytes()
    pictures, reader = samples(data), VideoReader(video)
    header = reader.table.run_of(0)
    make_video(video, pictures[header.stop :], reader.width, reader.height)
    result = mend(video)
    assert (result.lost, result.chunks) == ((), 11)
    assert verify(result.video_file, deep=True).findings == ()
    result.video_file.write_bytes(result.video_file.read_bytes().replace(TABLE_UUID, bytes(16)))
    result.index_file.unlink()
    assert reindex(result.video_file).whole
    with open_memory(result.video_file) as memory:
        assert memory.chunk_ids() == [*range(1, 5), *range(75, 82)]


class TestGapsInBareMemories:
    """Bare texts have no numbers, and a compaction leaves ids out: without the page table, metadata pages tell."""

    @pytest.fixture(params=[True, False], ids=["metadata", "none"])
    def compacted(self, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
        (tmp_path / "copy").mkdir()
        video = build(tmp_path / "copy", TEXTS[:10], metadatas=METADATAS[:10] if request.param else None, **BARE)
        delete(video, chunk_ids=[0, 2, 5, 9])
        compact(video)
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(TEXTS[10:13])
            memory.append()
            memory.add_chunks(TEXTS[13:15], metadatas=METADATAS[13:15])
            memory.append()
        return video

    @staticmethod
    def everything(video: Path) -> list[Any]:
        with open_memory(video) as memory:
            found = memory.get_chunks_by_id(memory.chunk_ids())
        return [(chunk.chunk_id, chunk.text, chunk.metadata) for chunk in found]

    def test_texts_keep_their_ids(self, compacted: Path) -> None:
        before = self.everything(compacted)
        assert [(number, text) for number, text, _ in before] == [
            (number, TEXTS[number]) for number in range(15) if number not in (0, 2, 5, 9)
        ]
        compacted.write_bytes(compacted.read_bytes().replace(TABLE_UUID, bytes(16)))
        assert self.everything(compacted) == before
        assert verify(compacted, deep=True).ok
        result = mend(compacted)
        assert result.lost == ()
        assert self.everything(result.video_file) == before
        reindex(compacted, embedder=HashingEmbedder(dim=64))
        assert self.everything(compacted) == before

    def test_no_text_comes_back_under_a_wrong_id(self, compacted: Path) -> None:
        original = compacted.read_bytes()
        for frame in range(len(samples(original))):
            data = spoil(original, samples(original)[frame])
            compacted.write_bytes(data.replace(TABLE_UUID, bytes(16)))
            result = mend(compacted)
            for number, text, _ in self.everything(result.video_file):
                assert text == TEXTS[number]


class TestBareParity:
    """Bare texts are members of parity groups like pages are, but carry no number and no checksum."""

    OPTIONS: dict[str, Any] = BARE | {"symbol_version": 12, "parity": 0.3}

    @pytest.fixture
    def grown(self, tmp_path: Path) -> Path:
        pytest.importorskip("zfec")
        (tmp_path / "copy").mkdir()
        video = build(tmp_path / "copy", TEXTS[:9], metadatas=METADATAS[:9], **self.OPTIONS)
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(TEXTS[9:12], metadatas=METADATAS[9:12])
            memory.append()
        return video

    def test_a_sound_memory_has_no_findings(self, grown: Path) -> None:
        result = mend(grown)
        assert result.findings == ()
        assert result.video_file.exists()
        check_some(result, 12)

    @pytest.mark.parametrize("chunk", [0, 8, 9, 11])
    def test_a_lost_text_comes_back(self, grown: Path, chunk: int) -> None:
        data = grown.read_bytes()
        (frame,) = VideoReader(grown).table.frames_of(np.array([chunk])).tolist()
        grown.write_bytes(spoil(data, samples(data)[frame]))
        assert verify(grown, deep=True).ok
        result = mend(grown)
        assert result.lost == ()
        assert "brought back" in result.findings[-1].message
        check_some(result, 12)

    def test_lost_pages_come_back(self, grown: Path) -> None:
        data = grown.read_bytes()
        table = VideoReader(grown).table
        for kind in (PageKind.HEADER, PageKind.ATTRIBUTES):
            frame = int(table.frames_of_kind(kind)[0])
            grown.write_bytes(spoil(data, samples(data)[frame]))
            check_some(mend(grown), 12)

    def test_parity_between_texts_is_no_text(self, grown: Path) -> None:
        grown.write_bytes(grown.read_bytes().replace(TABLE_UUID, bytes(16)))  # of both movie headers
        result = mend(grown)
        assert result.findings == ()
        check_some(result, 12)

    def test_without_page_table_a_lost_text_stays_lost(self, grown: Path) -> None:
        data = grown.read_bytes()
        (frame,) = VideoReader(grown).table.frames_of(np.array([4])).tolist()
        grown.write_bytes(spoil(data, samples(data)[frame]).replace(TABLE_UUID, bytes(16)))
        result = mend(grown)
        assert 4 in [chunk for first, last in result.lost for chunk in range(first, last + 1)]
        with open_memory(result.video_file) as memory:
            assert all(chunk.text == TEXTS[chunk.chunk_id] for chunk in memory.get_chunks_by_id(memory.chunk_ids()))
