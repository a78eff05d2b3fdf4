"""A memory in one file: its index is inside its video."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidChat, MemvidEncoder
from memvid.building import shrinking
from memvid.cli import main
from memvid.errors import (
    ChunkDeletedError,
    IndexFormatError,
    IndexMismatchError,
    IndexNotFoundError,
    OutputError,
    UnsupportedVideoError,
)
from memvid.index import digests, open_file, updating
from memvid.index.location import find_index
from memvid.index.manifest import read_manifest
from memvid.maintenance import compact, delete, erase, pack, reindex, repair, tag, unpack, verify
from memvid.maintenance.damaged.container import find_index_boxes, outside
from memvid.storage.commit import default_index_file
from memvid.storage.inner_index import Stretch, find_manifest, put_index
from memvid.storage.mp4_boxes import APPEND_MARK, PAGE_TABLE_UUID
from memvid.video import VideoReader
from memvid.video.video_bytes import VideoBytes
from tests.index.sqlite.old_index import age_memory
from tests.maintenance.test_holes import cut_out, frames_of
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import find, samples

TEXTS = make_texts(60, words=8)
METADATAS = [{"n": number, "even": number % 2 == 0} for number in range(60)]
QUERY = "the river and the mountain"


def build_one(folder: Path, name: str = "memory.mp4", texts: list[str] = TEXTS, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=14, **options) as encoder:
        encoder.add_chunks(texts, metadatas=METADATAS[: len(texts)])
        result = encoder.build_video(folder / name)
    assert result.video_file == result.index_file == folder / name
    assert result.video_bytes == (folder / name).stat().st_size
    assert 0 < result.index_bytes < result.video_bytes
    return folder / name


def grow(video: Path, number: int = 0) -> None:
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(make_texts(5, words=8, seed=40 + number), metadatas=[{"n": 100 + number}] * 5)
        memory.delete([number])
        memory.set_metadata(30 + number, {"n": -1})
        memory.append(message=f"change {number}")


def answers(video: Path, index: Path | None = None) -> list[Any]:
    """Everything that a memory says."""
    with open_memory(video, index) as memory:
        found = [memory.search_results(QUERY, 8, mode=mode) for mode in ("hybrid", "semantic", "keyword")]
        found += [memory.search_results(QUERY, 8, where=where) for where in ({"even": True}, {"n": {"$gte": 50}})]
        return [[(r.chunk_id, r.text, r.metadata, r.score) for r in each] for each in found] + [
            [(chunk.chunk_id, chunk.text, chunk.metadata) for chunk in memory.scan()]
        ]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return build_one(tmp_path)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """The same memory with its index beside it."""
    (tmp_path / "beside").mkdir()
    return build(tmp_path / "beside", TEXTS, metadatas=METADATAS, symbol_version=14)


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if entry.is_file()}


def test_it_is_one_file_that_answers_as_several_do(tmp_path: Path, video: Path, beside: Path) -> None:
    assert names(tmp_path) == {"memory.mp4"}
    assert answers(video) == answers(video, video) == answers(beside)
    assert verify(video, deep=True).findings == ()
    for change in range(3):
        grow(video, change)
        grow(beside, change)
        assert names(tmp_path) == {"memory.mp4"}
        assert answers(video) == answers(beside)
        assert verify(video, deep=True).findings == ()
    delete(video, chunk_ids=[20, 21])
    tag(video, values={"n": 7}, chunk_ids=[40])
    with open_memory(video) as memory:
        with pytest.raises(ChunkDeletedError):
            memory.get_chunk_by_id(20)
        (chunk,) = memory.get_chunks_by_id([40])
        assert chunk.metadata["n"] == 7
        assert memory.info.video_bytes == video.stat().st_size
    assert names(tmp_path) == {"memory.mp4"}


def test_the_same_build_makes_the_same_bytes(tmp_path: Path, video: Path) -> None:
    other = build_one(tmp_path / "other", "another name.mp4")
    assert other.read_bytes() == video.read_bytes()
    grow(video)
    grow(other)
    assert other.read_bytes() == video.read_bytes()


def test_moving_a_memory_is_moving_a_file(tmp_path: Path, video: Path) -> None:
    before = answers(video)
    (tmp_path / "elsewhere").mkdir()
    moved = video.rename(tmp_path / "elsewhere" / "b.mp4")
    assert answers(moved) == before
    grow(moved)
    copy = Path(shutil.copy(moved, tmp_path / "c.mp4"))
    assert answers(copy) == answers(moved) != before
    grow(copy, 1)
    assert answers(copy) != answers(moved)
    assert names(tmp_path) == {"c.mp4"}
    assert names(tmp_path / "elsewhere") == {"b.mp4"}


def test_only_the_file_is_needed(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever way, in another folder, under another name, where nothing else is and nobody has opened it before."""
    before = answers(video)
    other = tmp_path / "another folder" / "another name.m4v"
    other.parent.mkdir()
    shutil.copy(video, other)
    video.unlink()
    monkeypatch.setenv("MEMVID_CACHE_DIR", str(tmp_path / "another machine"))
    monkeypatch.chdir(other.parent)
    assert answers(Path(other.name)) == before
    with MemvidChat(other.name, embedder=EMBEDDER) as chat:
        chat.start_session()
        assert TEXTS[7] in chat.chat(TEXTS[7])
    (other.parent / "more.txt").write_text("A lighthouse keeper counts the ships.")
    (other.parent / "questions.jsonl").write_text(json.dumps({"question": TEXTS[3], "id": 3}) + "\n")
    for command in (
        "search NAME lantern", "search NAME lantern --mode keyword --where n>3", "info NAME", "append NAME more.txt",
        "delete NAME --id 1", "tag NAME --id 2 --set n=7", "log NAME", "scan NAME --where n=7", "verify NAME --deep",
        "compact NAME", "erase NAME --id 4", "reindex NAME", "unpack NAME", "search NAME lantern", "pack NAME",
        "eval questions.jsonl NAME", "repair NAME -o repaired.mp4", "export NAME -o shown.mp4 --codec png",
        "search shown.mp4 lantern --index NAME", "search repaired.mp4 lighthouse",
    ):  # fmt: skip
        assert main([other.name if word == "NAME" else word for word in command.split()]) == 0, command
    with open_memory(other) as memory:
        assert memory.search("lighthouse", 1) == ["A lighthouse keeper counts the ships."]
        assert len(memory) == 59
    assert names(other.parent) == {other.name, "more.txt", "questions.jsonl", "repaired.mp4", "shown.mp4"}
    assert names(tmp_path) == set()


@pytest.mark.parametrize("mapped", [False, True])
def test_a_reader_keeps_what_it_opened(video: Path, mapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if mapped:
        monkeypatch.setattr(open_file, "_READ_BYTES", 1 << 16)  # what is on a border
    with open_memory(video) as memory:
        before = memory.search_results(QUERY, 8)
        grow(video)
        assert memory.search_results(QUERY, 8) == before
        grow(video, 1)
        assert memory.search_results(QUERY, 8) == before
        assert len(memory) == 60
        os.utime(video, ns=(1, 1))
        assert memory.search_results(QUERY, 8) == before


@pytest.mark.parametrize("what", ["another memory", "nothing", "noise"])
def test_what_is_written_into_is_an_error(tmp_path: Path, video: Path, what: str) -> None:
    other = build_one(tmp_path / "other", texts=TEXTS[:50]).read_bytes()
    data = {"another memory": other, "nothing": b"", "noise": os.urandom(video.stat().st_size)}[what]
    with open_memory(video) as memory:
        memory.search(QUERY)
        with video.open("r+b") as file:
            file.write(data)
            file.truncate()
        os.utime(video, ns=(1, 1))
        with pytest.raises(IndexFormatError, match="was overwritten while this memory was open"):
            memory.search(QUERY)


def test_an_append_has_nobody_hash_what_was_there(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "_SMALL_SEGMENT", 0)
    copy = Path(shutil.copy(video, video.with_name("copy.mp4")))
    hashed: list[int] = []
    real = digests.digest_of

    def counting(file: open_file.OpenFile) -> str:
        hashed.append(file.nbytes)
        return real(file)

    monkeypatch.setattr(digests, "digest_of", counting)
    open_memory(video).close()
    assert hashed == []  # the builder has remembered its own
    parts = [file.bytes for _, file in read_manifest(copy).side_files()]
    for _ in range(2):
        open_memory(copy).close()
        assert sorted(hashed) == sorted(parts)
    with monkeypatch.context() as other:
        other.setenv("MEMVID_CACHE_DIR", str(tmp_path / "another machine"))
        grow(copy)
    hashed.clear()
    open_memory(copy).close()
    assert hashed
    assert not set(hashed) & set(parts)


def test_what_is_not_an_append_has_all_of_it_hashed_again(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "_SMALL_SEGMENT", 0)
    (part,) = (file for role, file in read_manifest(video).side_files() if role == "vectors")
    assert part.at is not None
    for grown in (False, True):
        if grown:
            grow(video)
        open_memory(video).close()
        data = video.read_bytes()
        damaged = bytearray(data)
        damaged[part.at + 100] ^= 1
        video.write_bytes(damaged)
        os.utime(video, ns=(1, 1))
        with pytest.raises(IndexFormatError, match="is damaged: SHA-256 expected"):
            open_memory(video)
        video.write_bytes(data)
        open_memory(video).close()


def test_an_empty_memory_is_one_file_too(tmp_path: Path) -> None:
    video = build_one(tmp_path, texts=[])
    assert answers(video)[-1] == []
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(TEXTS)
        memory.append()
    with open_memory(video) as memory:
        assert memory.get_chunk_by_id(59) == TEXTS[59]
    delete(video, chunk_ids=range(60))
    assert answers(video)[-1] == []
    assert names(tmp_path) == {"memory.mp4"}


def test_of_two_indexes_the_one_of_the_frames_counts(tmp_path: Path, video: Path, beside: Path) -> None:
    index = default_index_file(video)
    assert find_index(video) == video
    for file in beside.parent.iterdir():
        if file != beside:
            shutil.copy(file, tmp_path / file.name)
    assert find_index(video) == video
    shutil.copy(beside, video)
    assert find_index(video) == index
    assert answers(video) == answers(beside)
    one = build_one(tmp_path / "one", texts=TEXTS[:30])
    data = one.read_bytes()
    table = data.index(b"MVPT") + 16
    (tmp_path / "x.mp4").write_bytes(data[:table] + b"\1" + data[table + 1 :])
    assert find_index(tmp_path / "x.mp4") == tmp_path / "x.mp4"  # there is no other
    default_index_file(tmp_path / "x.mp4").touch()
    assert find_index(tmp_path / "x.mp4") == default_index_file(tmp_path / "x.mp4")
    assert find_index(tmp_path / "missing.mp4") == tmp_path / "missing_index.json"
    assert find_index(tmp_path / "missing.mp4", "given") == Path("given")


def test_an_index_inside_another_video_is_one_of_these_frames(tmp_path: Path, video: Path, beside: Path) -> None:
    assert answers(beside, video) == answers(video)
    other = build_one(tmp_path / "other", texts=TEXTS[:30])
    with pytest.raises(IndexMismatchError):
        open_memory(beside, other)
    with pytest.raises(IndexFormatError, match="there is none in this one"):
        open_memory(video, beside)


def test_it_is_compacted_and_erased(tmp_path: Path, video: Path, beside: Path) -> None:
    for each in (video, beside):
        grow(each)
        grow(each, 1)
    before = video.stat().st_size
    result = compact(video)
    compact(beside)
    assert result.index_file == video
    assert video.stat().st_size < before
    assert answers(video) == answers(beside)
    erased = erase(video, chunk_ids=[10])
    assert erased.compacted.index_file == video
    with open_memory(video) as memory:
        assert TEXTS[10] not in [chunk.text for chunk in memory.scan()]
    assert verify(video, deep=True).findings == ()
    assert names(tmp_path) == {"memory.mp4"}


def test_it_is_reindexed_without_new_frames(tmp_path: Path, video: Path) -> None:
    grow(video)
    before, frames = answers(video), verify(video).frames
    result = reindex(video, embedder=EMBEDDER)
    assert (result.index_file, result.chunks) == (video, 64)
    assert verify(video, deep=True).findings == ()
    assert verify(video).frames == frames
    assert [row[:3] for row in answers(video)[-1]] == before[-1]
    assert names(tmp_path) == {"memory.mp4"}
    grow(video, 1)
    assert verify(video, deep=True).findings == ()


def test_a_video_without_its_boxes_opens_again_after_a_reindex(tmp_path: Path, video: Path) -> None:
    before = answers(video)
    data = video.read_bytes()
    video.write_bytes(data.replace(b"memvid-manifest1", b"memvid-manifest0"))
    with pytest.raises(IndexNotFoundError, match="memvid reindex"):
        open_memory(video)
    reindex(video, video, embedder=EMBEDDER)
    assert answers(video) == before
    assert names(tmp_path) == {"memory.mp4"}


def test_it_is_repaired_into_one_file(tmp_path: Path, video: Path) -> None:
    before = answers(video)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(video.read_bytes().replace(b"moov", b"MOOV"))
    new = tmp_path / "new" / "new.mp4"
    result = repair(damaged, new, output_index=new, embedder=EMBEDDER)
    assert (result.chunks, result.lost) == (60, ())
    assert answers(new) == before
    assert names(tmp_path / "new") == {"new.mp4"}


def test_cut_off_it_keeps_the_vectors_of_the_chunks_that_are_left(tmp_path: Path, video: Path) -> None:
    before = video.stat().st_size
    grow(video)
    data = video.read_bytes()
    movie = find(data, b"moov")[0]
    for number, size in enumerate((len(data) - 1, movie, before + 100)):  # the last one: in the frames of the append
        damaged = tmp_path / f"damaged{number}.mp4"
        damaged.write_bytes(data[:size])
        result = repair(damaged, tmp_path / str(number) / "new.mp4", embedder=EMBEDDER)
        assert (result.chunks, result.deleted) == ((65, 1) if size >= movie else (60, 0))
        assert (result.embeddings_kept, result.embeddings_made) == (result.chunks - result.deleted, 0)
        assert verify(result.video_file, deep=True).findings == ()


@pytest.mark.parametrize("cut", [True, False], ids=["without a movie header", "sound"])
def test_what_looks_like_a_video_in_an_index_is_none(tmp_path: Path, cut: bool) -> None:
    """Values of metadata are in it byte for byte."""
    bait = {
        "mark": (APPEND_MARK + (0).to_bytes(8, "big")).decode("latin-1"),
        "table": (PAGE_TABLE_UUID + b"MVPT").decode("latin-1"),
        "picture": "\0\0\0\rIHDR\0\0\0\x40",
    }
    one = tmp_path / "memory.mp4"
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=14) as encoder:
        encoder.add_chunks(TEXTS, metadatas=[bait] * 60)
        encoder.build_video(one)
    grow(one)
    data = one.read_bytes()
    with VideoBytes(one) as file:
        indexes = find_index_boxes(file)
        assert len(indexes) == 2
        for value in (APPEND_MARK, PAGE_TABLE_UUID, b"IHDR"):
            places = {*file.find_all(value)}
            assert len({*outside(indexes, places)}) < len(places)
            assert not any(place in box for place in outside(indexes, places) for box in indexes)
    if cut:
        one.write_bytes(data.replace(b"moov", b"MOOV"))
    result = repair(one, tmp_path / "new" / "new.mp4", embedder=EMBEDDER)
    assert (result.lost, result.chunks) == ((), 65)
    with open_memory(result.video_file) as memory:
        assert memory.get_chunks_by_id([1])[0].metadata == bait


def test_other_codecs_have_no_index_inside(tmp_path: Path) -> None:
    with MemvidEncoder(embedder=EMBEDDER, codec="mp4v") as encoder:
        encoder.add_chunks(TEXTS)
        with pytest.raises(OutputError, match="only videos of codec png"):
            encoder.build_video(tmp_path / "m.mp4", tmp_path / "m.mp4")
        result = encoder.build_video(tmp_path / "m.mp4")
    assert result.index_file == tmp_path / "m_index.json"
    assert names(tmp_path) == {"m.mp4", "m_index.json", "m_index.records", "m_index.usearch"}
    with open_memory(tmp_path / "m.mp4") as memory:
        assert memory.get_chunk_by_id(0) == TEXTS[0]
        assert not memory.info.index_inside


@pytest.mark.parametrize("index", ["memory_index.json", "memory", "other.json"])
def test_a_name_puts_the_index_beside(tmp_path: Path, video: Path, index: str) -> None:
    folder = tmp_path / "apart"
    folder.mkdir()
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=14) as encoder:
        encoder.add_chunks(TEXTS, metadatas=METADATAS)
        result = encoder.build_video(folder / "memory.mp4", folder / index)
    stem = index.removesuffix(".json")
    assert result.index_file == folder / index
    assert names(folder) == {"memory.mp4", index, f"{stem}.records", f"{stem}.usearch"}
    assert answers(folder / "memory.mp4", folder / index) == answers(video)
    if index == "memory_index.json":
        assert answers(folder / "memory.mp4") == answers(video)


def never(texts: Any) -> Any:
    raise AssertionError(f"{len(texts)} texts are embedded")


def test_a_video_alone_opens_after_a_reindex(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "bare" / "bare.mp4"
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=14) as encoder:
        encoder.add_chunks(TEXTS, metadatas=METADATAS)
        with monkeypatch.context() as patched:
            patched.setattr(type(EMBEDDER), "encode", never)
            result = encoder.build_video(bare, False)
    assert (result.video_file, result.index_file, result.index_bytes) == (bare, None, 0)
    assert (result.chunks, result.embeddings_made, result.video_bytes) == (60, 0, bare.stat().st_size)
    assert names(bare.parent) == {"bare.mp4"}
    with pytest.raises(IndexNotFoundError, match="memvid reindex"):
        open_memory(bare)
    assert reindex(bare, embedder=EMBEDDER).index_file == bare
    assert names(bare.parent) == {"bare.mp4"}
    assert answers(bare) == answers(video)
    grow(bare)
    grow(video)
    assert answers(bare) == answers(video)


def test_the_frames_are_the_same_with_and_without_an_index(tmp_path: Path, video: Path, beside: Path) -> None:
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=14) as encoder:
        encoder.add_chunks(TEXTS, metadatas=METADATAS)
        encoder.build_video(tmp_path / "bare.mp4", index_file=False)
    assert (tmp_path / "bare.mp4").read_bytes() == beside.read_bytes()
    unpack(video)
    assert video.read_bytes() == beside.read_bytes()


def test_a_new_index_goes_where_the_old_one_was(tmp_path: Path, video: Path, beside: Path) -> None:
    for gone in (["memory_index.json"], ["memory_index.records", "memory_index.usearch"]):
        for name in gone:
            (beside.parent / name).unlink()
        assert reindex(beside, embedder=EMBEDDER).index_file == default_index_file(beside)
        assert answers(beside) == answers(video)
    for path in beside.parent.glob("memory_index*"):
        path.unlink()
    assert reindex(beside, default_index_file(beside), embedder=EMBEDDER).index_file == default_index_file(beside)
    for path in beside.parent.glob("memory_index*"):
        path.unlink()
    assert reindex(beside, embedder=EMBEDDER).index_file == beside
    assert names(beside.parent) == {"memory.mp4"}


def test_one_file_takes_the_place_of_several(tmp_path: Path, beside: Path) -> None:
    folder = beside.parent
    for name in ("memory_index.txt", "other_index.json"):
        (folder / name).write_text("{}")
    build_one(folder, texts=TEXTS[:30])
    assert names(folder) == {"memory.mp4", "memory_index.txt", "other_index.json"}
    assert len(answers(beside)[-1]) == 30
    build(folder, TEXTS, metadatas=METADATAS, symbol_version=14)
    assert len(names(folder)) == 6
    assert len(answers(beside)[-1]) == 60
    with MemvidEncoder(embedder=EMBEDDER) as encoder:
        encoder.add_chunks(TEXTS)
        encoder.build_video(beside, index_file=False)
    assert names(folder) == {"memory.mp4", "memory_index.txt", "other_index.json"}


@pytest.mark.parametrize("content", [b"{}", b"", b"a text of somebody else's", None])
def test_an_index_of_other_frames_stays_where_it_is(tmp_path: Path, beside: Path, content: bytes | None) -> None:
    index = default_index_file(beside)
    if content is None:
        shutil.copy(build_one(tmp_path / "other", texts=TEXTS[:20]), beside)  # another video of that name
    else:
        index.write_bytes(content)
    before = {path: path.read_bytes() for path in beside.parent.glob("memory_index*")}
    assert len(before) == 3
    build_one(beside.parent, texts=TEXTS[:50])
    grow(beside)
    assert {path: path.read_bytes() for path in beside.parent.glob("memory_index*")} == before


@pytest.mark.parametrize("left", [["usearch", "records", "json"], ["records", "json"], ["json"]])
@pytest.mark.parametrize(
    "change",
    [
        grow,
        compact,
        lambda video: delete(video, chunk_ids=[1]),
        lambda video: reindex(video, embedder=EMBEDDER),
        lambda video: build_one(video.parent),
    ],
)
def test_what_pack_could_not_remove_goes_with_the_next_change(
    tmp_path: Path, beside: Path, left: list[str], change: Any
) -> None:
    files = [beside.with_name(f"memory_index.{suffix}") for suffix in left]
    before = {path: path.read_bytes() for path in files}
    pack(beside)
    for path, data in before.items():
        path.write_bytes(data)
    assert find_index(beside) == beside
    assert len(answers(beside)[-1]) == 60
    assert len(names(beside.parent)) == 1 + len(left)
    change(beside)
    assert names(beside.parent) == {"memory.mp4"}
    assert verify(beside, deep=True).findings == ()


def test_a_video_with_holes_takes_no_index_inside(tmp_path: Path, video: Path) -> None:
    data = video.read_bytes()
    video.write_bytes(data.replace(b"memvid-manifest1", b"memvid-manifest0").replace(b"memvid-page-tab1", bytes(16)))
    before = video.read_bytes()
    with pytest.raises(UnsupportedVideoError, match="cannot take an index inside"):
        reindex(video, video, embedder=EMBEDDER)
    assert video.read_bytes() == before
    reindex(video, embedder=EMBEDDER)
    assert answers(video)[-1]


def test_a_part_that_is_damaged_is_named(tmp_path: Path, video: Path) -> None:
    for _, part in read_manifest(video).side_files():
        path = tmp_path / "damaged.mp4"
        data = bytearray(video.read_bytes())
        assert part.at is not None
        data[part.at + part.bytes // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(IndexFormatError, match=r"damaged\.mp4 is damaged: SHA-256 expected"):
            open_memory(path)
        assert not verify(path).ok


def test_an_append_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = video.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("memvid.index.inside.put_index", fail)
    with pytest.raises(OutputError, match="No space left"):
        grow(video)
    assert video.read_bytes() == before
    with pytest.raises(OutputError, match="No space left"):
        build_one(tmp_path / "other")
    assert names(tmp_path / "other") == set()
    assert names(tmp_path) == {"memory.mp4"}
    monkeypatch.undo()
    monkeypatch.setattr("memvid.storage.commit.roll_forward", fail)
    with pytest.raises(OutputError, match="No space left"):
        grow(video)
    assert video.read_bytes() == before


def test_a_snapshot_by_links_stays_what_it_was(tmp_path: Path, video: Path) -> None:
    snapshot = tmp_path / "snapshot.mp4"
    os.link(video, snapshot)
    before, data = answers(video), snapshot.read_bytes()
    grow(video)
    assert snapshot.read_bytes() == data
    assert answers(snapshot) == before != answers(video)


def test_it_is_packed_and_unpacked(tmp_path: Path, video: Path, beside: Path) -> None:
    bare = beside.stat().st_size
    for each in (video, beside):
        grow(each)
    before = answers(video)
    result = pack(beside)
    assert (result.video_file, result.index_file, result.video_bytes) == (beside, beside, beside.stat().st_size)
    assert names(beside.parent) == {"memory.mp4"}
    assert answers(beside) == before
    assert verify(beside, deep=True).findings == ()
    with pytest.raises(OutputError, match="is one file already"):
        pack(beside)
    grow(beside, 1)
    grow(video, 1)
    before = answers(video)
    result = unpack(beside)
    assert result.index_file == default_index_file(beside)
    assert answers(beside) == before
    assert verify(beside, deep=True).findings == ()
    assert find_index(beside) == default_index_file(beside)
    assert beside.stat().st_size < 2 * bare
    with pytest.raises(IndexFormatError, match="there is none in this one"):
        unpack(beside)
    grow(beside, 2)
    pack(beside)
    pack_again = tmp_path / "elsewhere_index.json"
    unpack(beside, pack_again)
    assert answers(beside, pack_again)[-1]


def test_what_is_dead_is_left_behind(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "_LITTLE", 0)
    other = Path(shutil.copy(video, tmp_path / "other.mp4"))
    inode, shrunk = video.stat().st_ino, 0
    with open_memory(video) as memory:
        before = memory.search_results(QUERY, 8)
        for change in range(8):
            grow(video, change)
            shrunk += video.stat().st_ino != inode
            inode = video.stat().st_ino
            assert memory.search_results(QUERY, 8) == before
            assert verify(video, deep=True).findings == ()
        assert 0 < shrunk < 8
    monkeypatch.undo()
    for change in range(8):
        grow(other, change)
    assert answers(video) == answers(other)
    assert video.stat().st_size < other.stat().st_size
    assert names(tmp_path) == {"memory.mp4", "other.mp4"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"at": 1 << 40}, "is cut off or changed"),
        ({"at": 0}, "is damaged: SHA-256 expected"),
        ({"at": -64}, "is incomplete or wrong"),
        ({"at": "64"}, "is incomplete or wrong"),
        ({"bytes": 1 << 40}, "is incomplete or wrong"),
        ({"bytes": 1 << 40, "at": 1 << 16}, "is cut off or changed"),
        ({"bytes": 0}, "is incomplete or wrong"),
        ({"root": "0" * 64}, "is damaged: SHA-256 expected 0000"),
        ({"root": None}, "is incomplete or wrong"),
        ({"at": None, "name": "memory.mp4", "sha256": "0" * 64}, "is incomplete or wrong"),
    ],
)
@pytest.mark.parametrize("role", ["records", "vectors"])
def test_a_crafted_manifest_is_refused(
    tmp_path: Path, video: Path, role: str, change: dict[str, Any], why: str
) -> None:
    with video.open("rb") as file:
        found = find_manifest(file, limit=1 << 20)
    assert found is not None
    content = json.loads(found.data)
    entry = content["files"][role]
    entry.update({name: value for name, value in change.items() if value is not None})
    for name, value in change.items():
        if value is None:
            del entry[name]
    del content["sha256"]
    compact_json = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    content["sha256"] = hashlib.sha256(compact_json).hexdigest()
    crafted = tmp_path / "crafted.mp4"
    crafted.touch(mode=0o600)
    shrinking.copy_frames(video, crafted)
    parts = [file for _, file in read_manifest(video).side_files()]
    put_index(
        crafted, [Stretch(video, part.at or 0, part.bytes) for part in parts], lambda _: json.dumps(content).encode()
    )
    with pytest.raises(IndexFormatError, match=why):
        open_memory(crafted)
    assert not verify(crafted, deep=True).ok
    repair(crafted, tmp_path / "new.mp4", embedder=EMBEDDER)


def test_an_index_beside_names_no_parts(tmp_path: Path, video: Path) -> None:
    with video.open("rb") as file:
        found = find_manifest(file, limit=1 << 20)
    assert found is not None
    index = tmp_path / "x.json"
    index.write_bytes(found.data)
    with pytest.raises(IndexFormatError, match="it names files of its own inside a video, or parts"):
        open_memory(video, index)


def test_an_old_index_is_packed_without_embedding(tmp_path: Path, beside: Path) -> None:
    before = answers(beside)
    age_memory(beside)
    assert any(segment.is_old for segment in read_manifest(default_index_file(beside)).segments)
    pack(beside)
    assert names(beside.parent) == {"memory.mp4"}
    assert answers(beside) == before


def test_a_frame_that_cannot_be_read_leaves_the_index_inside(tmp_path: Path, video: Path) -> None:
    data = video.read_bytes()
    frame = samples(data)[int(VideoReader(video).table.frames_of(np.array([10]))[0])]
    video.write_bytes(data.replace(frame, bytes(len(frame))))
    result = reindex(video)
    assert result.index_file == video
    assert result.missing
    assert (result.embeddings_kept, result.embeddings_made) == (result.chunks, 0)
    with open_memory(video) as memory:
        assert len(memory) == result.chunks
        assert memory.search(TEXTS[59], 1) == [TEXTS[59]]
    repaired = repair(video, tmp_path / "new" / "new.mp4")
    assert repaired.index_file == tmp_path / "new" / "new.mp4"
    assert repaired.embeddings_made == 0
    assert len(answers(repaired.video_file)[-1]) == result.chunks


def test_a_video_with_holes_is_indexed_beside_it(video: Path) -> None:
    """Also where the movie header still has the manifest that was inside, as some editors leave it."""
    manifest = read_manifest(video).to_bytes()
    cut_out(video, frames_of(video, [10]), table=True)
    put_index(video, [], lambda _: manifest)
    with pytest.raises(IndexFormatError, match="memvid reindex"):
        open_memory(video)
    for _ in range(2):
        result = reindex(video, embedder=EMBEDDER)
        assert result.index_file == default_index_file(video) == find_index(video)
        assert result.missing
        with open_memory(video) as memory:
            assert len(memory) == result.chunks
            assert memory.search(TEXTS[59], 1) == [TEXTS[59]]
