"""Bare texts whose page table is lost: which chunk each is, by the pages around them, and nothing by guessing."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidEncoder, _core
from memvid.maintenance import compact, delete, reindex, repair, verify
from memvid.page import PageKind, page_checksum
from memvid.video import VideoReader
from memvid.video.codecs import available_codecs
from memvid.video.codecs.writing import PictureWriter
from tests.maintenance.repair.repair_support import BARE, spoil
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import TABLE_UUID, make_video, samples

TEXTS = make_texts(12, words=6)


def grown(folder: Path, *, metadatas: bool, cover: bool = False, built: int = 7) -> Path:
    """A build, an append of three, one deletion, an append of the rest."""
    about: list[Any] = [{"number": number} if metadatas else None for number in range(len(TEXTS))]
    video = build(folder, TEXTS[:built], metadatas=about[:built], **(BARE | {"symbol_version": 20, "cover": cover}))
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(TEXTS[built:10], metadatas=about[built:10])
        memory.append()
    delete(video, chunk_ids=[4])
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(TEXTS[10:], metadatas=about[10:])
        memory.append()
    return video


def lose_table(video: Path) -> None:
    video.write_bytes(video.read_bytes().replace(TABLE_UUID, bytes(16)))


def lose_index(video: Path) -> None:
    for path in video.parent.glob(f"{video.stem}_index*"):
        path.unlink()


def lose_chunks(video: Path, *chunks: int) -> None:
    data = video.read_bytes()
    frames = VideoReader(video).table.frames_of(np.array(chunks)).tolist()
    for frame in frames:
        data = spoil(data, samples(data)[frame])
    video.write_bytes(data)


def texts_of(video: Path, as_of: int | None = None) -> dict[int, str]:
    with open_memory(video) as memory:
        return {chunk.chunk_id: chunk.text for chunk in memory.scan(as_of)}


@pytest.mark.parametrize("built", [0, 7], ids=["built empty", "built"])
@pytest.mark.parametrize("index", [True, False], ids=["index", "no index"])
@pytest.mark.parametrize("metadatas", [True, False], ids=["metadata", "no metadata"])
def test_texts_are_numbered_by_commits(tmp_path: Path, *, metadatas: bool, index: bool, built: int) -> None:
    video = grown(tmp_path, metadatas=metadatas, built=built)
    whole = video.read_bytes()
    states = [texts_of(video, as_of) for as_of in (None, 1, 2, 3, 4)]
    lose_table(video)
    if not index:
        lose_index(video)
    result = repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    assert (result.lost, result.deleted, result.findings) == ((), 1, ())
    assert len(result.video_file.read_bytes()) < len(whole)  # without what appends leave behind
    assert [texts_of(result.video_file, as_of) for as_of in (None, 1, 2, 3, 4)] == states
    assert verify(result.video_file, deep=True).findings == ()


@pytest.mark.parametrize("moved", [True, False], ids=["moved", "in order"])
@pytest.mark.parametrize("index", [True, False], ids=["index", "no index"])
def test_a_text_that_the_table_does_not_know_comes_back(tmp_path: Path, *, index: bool, moved: bool) -> None:
    video = build(tmp_path, TEXTS, **BARE)
    table, codes = VideoReader(video).table, dict(VideoReader(video).read_all())
    frame = int(table.frames_of(np.array([5]))[0])
    rows = table.to_bytes()
    checksum = page_checksum(codes[frame]).to_bytes(4, "little")
    frames = samples(video.read_bytes())
    if moved:  # two other texts, of which the table says where they were
        frames[frame + 1 : frame + 3] = frames[frame + 2], frames[frame + 1]
    width, height = struct.unpack_from(">II", frames[0], 16)
    make_video(video, frames, width, height, table=rows.replace(checksum, bytes([checksum[0] ^ 1]) + checksum[1:]))
    if not index:
        lose_index(video)
    result = repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    known = dict(enumerate(TEXTS))
    if moved and not index:  # whether its frame was moved, too, nothing says
        known[len(TEXTS)] = known.pop(5)
    assert texts_of(result.video_file) == known
    assert f"frame {frame} holds a text that the page table does not know" in [one.message for one in result.findings]


@pytest.mark.parametrize("metadatas", [True, False], ids=["metadata", "no metadata"])
def test_a_repaired_memory_says_which_texts_it_has(tmp_path: Path, *, metadatas: bool) -> None:
    video = grown(tmp_path, metadatas=metadatas)
    lose_chunks(video, 2, 8)
    result = repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    assert result.lost == ((2, 2), (8, 8))
    left = {number: text for number, text in enumerate(TEXTS) if number not in {2, 4, 8}}
    assert texts_of(result.video_file) == left
    lose_table(result.video_file)
    assert texts_of(result.video_file) == left  # it is numbered as the index has it: their identity is the same
    lose_index(result.video_file)
    again = reindex(result.video_file, embedder=EMBEDDER)
    assert (again.missing, again.unnamed) == (((2, 2), (8, 8)), 0)
    assert texts_of(result.video_file) == left
    with open_memory(result.video_file) as memory:
        assert memory.get_chunks_by_id([9])[0].metadata == ({"number": 9} if metadatas else {})
    lose_index(result.video_file)
    third = repair(
        result.video_file, tmp_path / "third.mp4", output_index=tmp_path / "third_index.json", embedder=EMBEDDER
    )
    assert (third.lost, third.findings) == (((2, 2), (8, 8)), ())
    assert texts_of(third.video_file) == left


def test_the_last_chunks_of_a_compacted_memory_are_told_by_pages(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, **BARE)
    delete(video, chunk_ids=[11])
    compact(video)
    whole = video.read_bytes()
    lose_table(video)
    lose_index(video)
    result = repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    assert (result.lost, result.findings) == ((), ())
    assert result.video_file.read_bytes() == whole


@pytest.mark.parametrize("options", [BARE | {"symbol_version": 20}, {"symbol_version": 20}], ids=["bare", "packed"])
def test_a_sound_memory_with_a_cover_has_nothing_wrong_without_its_index(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    video = build(tmp_path, TEXTS, **options)
    lose_index(video)
    result = repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    assert (result.lost, result.findings) == ((), ())
    assert result.video_file.read_bytes() == video.read_bytes()


@pytest.mark.parametrize("index", [True, False], ids=["index", "no index"])
@pytest.mark.parametrize("options", [BARE | {"symbol_version": 20}, {"symbol_version": 20}], ids=["bare", "packed"])
def test_parity_brings_the_cover_back(tmp_path: Path, options: dict[str, Any], *, index: bool) -> None:
    video = build(tmp_path, TEXTS, **options, parity=0.5, title="A memory")
    whole = video.read_bytes()
    video.write_bytes(spoil(whole, samples(whole)[0]))
    if not index:
        lose_index(video)
    result = repair(video, tmp_path / "new.mp4", output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    assert result.video_file.read_bytes() == whole
    assert [finding.code for finding in result.findings] == ["frame", "parity"]


def film(video: Path, order: list[int]) -> Path:
    """The frames of a video in some order, as pictures in another container, without a page table."""
    if "ffv1" not in available_codecs():
        pytest.skip("this machine cannot write ffv1")
    path = video.with_name("film.mkv")
    payloads = [payload for _, payload in VideoReader(video).read_all()]
    pages, texts = (_core.SymbolOptions(version=20, utf8=utf8) for utf8 in (False, True))
    writer = PictureWriter(path, codec="ffv1", version=20, pages=pages, texts=texts, fps=30)
    writer.write([payloads[frame] for frame in order])
    writer.finish(b"")
    return path


@pytest.mark.parametrize("index", [True, False], ids=["index", "no index"])
@pytest.mark.parametrize("metadatas", [True, False], ids=["metadata", "no metadata"])
def test_one_text_in_place_of_the_next_gets_no_wrong_id(tmp_path: Path, *, metadatas: bool, index: bool) -> None:
    """As many pictures as before, of which one is missing and another is there twice: what keeps up a frame rate."""
    video = grown(tmp_path, metadatas=metadatas)
    order = [*range(len(VideoReader(video).table))]
    frame = int(VideoReader(video).table.frames_of(np.array([2]))[0])
    order[frame : frame + 3] = [frame + 1, frame + 2, frame + 2]
    shown = film(video, order)
    old = video.with_name("memory_index.json") if index else tmp_path / "none.json"
    result = repair(shown, tmp_path / "new.mp4", index=old, output_index=tmp_path / "new_index.json", embedder=EMBEDDER)
    back = texts_of(result.video_file)
    assert [chunk for chunk in (2, 4) if chunk in back] == []
    assert {*back.values()} == {*TEXTS} - {TEXTS[2]}  # of the deleted one, too, nothing says any more that it is
    known = {chunk: text for chunk, text in back.items() if chunk < len(TEXTS)}
    assert known == {chunk: TEXTS[chunk] for chunk in known}
    assert set(range(7, 12)) <= set(known)
    assert (2, 2) in result.lost if index else result.lost == ((0, 3), (5, 6))
    assert not verify(result.video_file).ok


def test_a_lost_header_page_leaves_room_for_pages_and_the_cover(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, **(BARE | {"symbol_version": 20}))
    order = [*range(len(VideoReader(video).table))]
    order.remove(2)  # of the three frames of the header page
    result = repair(film(video, order), tmp_path / "new.mp4", index=tmp_path / "none.json", embedder=EMBEDDER)
    assert result.lost == ((0, 11),)  # as the cover says
    assert [*texts_of(result.video_file).values()] == TEXTS
    assert VideoReader(result.video_file).table.has_cover


@pytest.mark.parametrize("gone", [1, 5])
def test_the_words_of_an_index_tell_texts_apart_however_many_were_deleted(tmp_path: Path, gone: int) -> None:
    """The index has no words of deleted chunks: what it does not know of the video is no sign that it is another's."""
    video = build(tmp_path, TEXTS, **BARE)
    deleted = [*range(5, 5 + gone)]
    delete(video, chunk_ids=deleted)
    reader = VideoReader(video)
    pictures = samples(video.read_bytes())
    one, other = reader.table.frames_of(np.array([1, 3])).tolist()
    pictures[one], pictures[other] = pictures[other], pictures[one]
    make_video(video, pictures, reader.width, reader.height)
    result = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert result.lost == ()
    left = {chunk: text for chunk, text in enumerate(TEXTS) if chunk not in deleted}
    assert texts_of(result.video_file) == left


def test_texts_whose_metadata_is_lost_are_named(tmp_path: Path) -> None:
    """The frame is gone, and nothing but the number of the next one says that there was one."""
    video = grown(tmp_path, metadatas=True)
    reader = VideoReader(video)
    lost = next(frame for frame in reader.table.frames_of_kind(PageKind.ATTRIBUTES).tolist() if frame > 12)
    pictures = samples(video.read_bytes())
    make_video(video, pictures[:lost] + pictures[lost + 1 :], reader.width, reader.height)
    result = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert (result.lost, result.unusable_metadata) == ((), ((7, 9),))
    assert texts_of(result.video_file) == {number: text for number, text in enumerate(TEXTS) if number != 4}


@pytest.mark.parametrize("metadatas", [True, False], ids=["metadata", "no metadata"])
def test_a_sound_memory_without_a_page_table_lacks_no_metadata(tmp_path: Path, *, metadatas: bool) -> None:
    video = grown(tmp_path, metadatas=metadatas)
    lose_table(video)
    assert repair(video, tmp_path / "new.mp4", embedder=EMBEDDER).unusable_metadata == ()
