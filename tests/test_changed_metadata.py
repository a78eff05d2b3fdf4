"""Metadata that is changed: what every reader gives of it, and what is left of it by whatever rewrites a memory."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidEncoder
from memvid.errors import ChunkNotFoundError, EmptyMemoryError, FrameError, MetadataError, QueryError
from memvid.exchange import export
from memvid.index import IndexManager
from memvid.index.location import find_index
from memvid.maintenance import compact, delete, erase, reindex, repair, tag, verify
from memvid.maintenance.damaged.container import read_container
from memvid.page import PageKind
from memvid.video import VideoReader
from memvid.video.video_bytes import VideoBytes
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory
from tests.test_golden import MEMORIES, unpack

OPTIONS: dict[str, dict[str, Any]] = {
    "packed": {"symbol_version": 12},
    "small": {"symbol_version": 5},
    "bare": {"compression": "none", "chunks_per_frame": 1, "symbol_version": 12},
    "parity": {"parity": 0.5, "symbol_version": 12},
}
TEXTS = make_texts(6, words=4)
NOW = {
    0: {"n": 0, "of": "a"},
    1: {"of": "moved", "new": True},
    2: {},
    3: {"n": 3, "of": "b"},
    4: {"n": 40},
    5: {"n": 5},
}


@pytest.fixture(params=OPTIONS)
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return grown(tmp_path, OPTIONS[request.param])


def grown(folder: Path, options: dict[str, Any]) -> Path:
    """Six chunks, four of which got other metadata by three appends: one twice, one that had none, one that lost it."""
    metadatas: list[Any] = [{"n": n, "of": "ab"[n // 3]} for n in range(4)]
    made = build(folder, TEXTS, metadatas=[*metadatas, None, None], **options)
    change(made, {1: {"of": "nowhere"}, 2: None})
    change(made, {4: {"n": 40}, 1: {"of": "moved", "new": True}})
    change(made, {5: {"n": 5}}, add=["a chunk more"], gone=[6])
    return made


def change(
    video: Path, changes: dict[int, Any], *, add: list[str] | None = None, gone: list[int] | None = None
) -> None:
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        for chunk_id, metadata in changes.items():
            memory.set_metadata(chunk_id, metadata)
        if add is not None:
            memory.add_chunks(add, metadatas=[{"n": 6}] * len(add))
        result = memory.append()
        assert (result.changed, result.embeddings_made) == (len(changes), len(add or []))
    if gone:
        delete(video, chunk_ids=gone)


def metadata_of(video: Path, index: Path | None = None) -> dict[int, Any]:
    """By each way that leads to it; they agree."""
    with open_memory(video, index) as memory:
        ids = memory.chunk_ids()
        found = {chunk.chunk_id: chunk.metadata for chunk in memory.get_chunks_by_id(ids)}
        assert {chunk.chunk_id: chunk.metadata for chunk in memory.scan()} == found
        assert {result.chunk_id: result.metadata for result in memory.search_results("a", len(ids))} == found
        assert {chunk.chunk_id: chunk.metadata for chunk in memory.neighbours(ids[0], 0, 99)} == found
        fields = {name for metadata in found.values() for name in metadata}
        for name in fields:
            for value in {metadata[name] for metadata in found.values() if name in metadata}:
                having = {chunk_id for chunk_id, metadata in found.items() if metadata.get(name) == value}
                results = memory.search_results("a", 99, where={name: value})
                assert {result.chunk_id for result in results} == having
        if "of" in fields:
            assert memory.search_results("a", 99, where={"of": "nowhere"}) == []
    with IndexManager.open(find_index(video, index)) as opened:
        assert opened.ids.tolist() == ids
    return found


def test_each_reader_gives_the_latest(video: Path) -> None:
    assert metadata_of(video) == NOW
    assert verify(video, deep=True).findings == ()
    with open_memory(video) as memory:
        assert [chunk.text for chunk in memory.scan()] == TEXTS
        assert [info.changed for info in memory.log()] == [0, 2, 2, 1, 0]


def test_each_state_can_be_scanned(video: Path) -> None:
    with open_memory(video) as memory:
        states = [{chunk.chunk_id: chunk.metadata for chunk in memory.scan(number)} for number in range(1, 6)]
        first = {n: {"n": n, "of": "ab"[n // 3]} for n in range(4)} | {4: {}, 5: {}}
        second = first | {1: {"of": "nowhere"}, 2: {}}
        third = second | {1: NOW[1], 4: NOW[4]}
        fourth = third | {5: NOW[5], 6: {"n": 6}}
        assert states == [first, second, third, fourth, NOW]
        assert [chunk.text for chunk in memory.scan(4)] == [*TEXTS, "a chunk more"]
        for wrong in (0, 6, -1, True, "1"):
            with pytest.raises(QueryError):
                memory.scan(wrong)  # type: ignore[arg-type]
    compact(video)
    with open_memory(video) as memory:
        assert {chunk.chunk_id: chunk.metadata for chunk in memory.scan(1)} == NOW
        with pytest.raises(QueryError, match="there is no such commit"):
            memory.scan(2)


def test_it_is_the_same_after_whatever_rewrites_it(video: Path, tmp_path: Path) -> None:
    repair(video, tmp_path / "repaired.mp4", embedder=EMBEDDER)
    assert metadata_of(tmp_path / "repaired.mp4") == NOW
    assert verify(tmp_path / "repaired.mp4", deep=True).findings == ()
    for rewrite in (reindex, compact, reindex):
        rewrite(video, embedder=EMBEDDER)
        assert metadata_of(video) == NOW
        assert verify(video, deep=True).findings == ()
        assert not list(tmp_path.glob("memory_index.metadata*"))
    change(video, {0: {"n": "zero"}})
    assert metadata_of(video) == NOW | {0: {"n": "zero"}}


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_it_is_the_same_in_another_codec(video: Path, tmp_path: Path, codec: Any) -> None:
    out = tmp_path / ("out.mkv" if codec == "ffv1" else "out.mp4")
    export(video, out, codec=codec)
    assert metadata_of(out, tmp_path / "memory_index.json") == NOW


def test_a_copy_of_the_memory_has_files_of_its_own(video: Path, tmp_path: Path) -> None:
    before = all_files(tmp_path)
    for name, data in before.items():
        (tmp_path / name.replace("memory", "copy")).write_bytes(data)
    change(tmp_path / "copy.mp4", {}, add=["only here"])
    change(tmp_path / "copy.mp4", {3: {"n": 33}})
    assert metadata_of(video) == NOW
    assert {name: data for name, data in all_files(tmp_path).items() if name in before} == before
    for path in tmp_path.glob("memory*"):
        path.unlink()
    assert metadata_of(tmp_path / "copy.mp4") == NOW | {3: {"n": 33}, 7: {"n": 6}}


def test_an_open_reader_keeps_what_it_had(video: Path) -> None:
    with open_memory(video) as memory:
        change(video, {3: {"n": 33}})
        assert memory.get_chunks_by_id([3])[0].metadata == NOW[3]
        assert memory.search_results("a", 9, where={"n": 3})[0].chunk_id == 3
    assert metadata_of(video)[3] == {"n": 33}


def test_upserts_and_deletions_go_by_the_latest(video: Path) -> None:
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.upsert(["in its place"], key="of", metadatas=[{"of": "moved"}])
        assert memory.delete_where({"n": 40}) == 1
        result = memory.append()
    assert result.deleted == 2
    assert sorted(metadata_of(video)) == [0, 2, 3, 5, 7]


def test_what_metadata_was_is_erased(tmp_path: Path) -> None:
    secrets = ["a secret address, nobody is to find", "another address that was wrong, too"]
    video = build(
        tmp_path, ["one", "two", "three"], metadatas=[{"address": secrets[0]}, None, None], compression="none"
    )
    change(video, {0: {"address": secrets[1]}})
    change(video, {0: {"address": "a right one"}})
    result = erase(video, chunk_ids=[2])
    assert result.blocks > 0
    assert metadata_of(video) == {0: {"address": "a right one"}, 1: {}}
    for path in tmp_path.iterdir():
        assert not any(secret.encode() in path.read_bytes() for secret in secrets)


def test_what_cannot_be_changed_is_refused(video: Path) -> None:
    before = video.read_bytes()
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        for wrong in (6, 99, -1, "1", True):
            with pytest.raises(ChunkNotFoundError):
                memory.set_metadata(wrong, {})  # type: ignore[arg-type]
        with pytest.raises(MetadataError):
            memory.set_metadata(0, [1])  # type: ignore[arg-type]
        with pytest.raises(EmptyMemoryError):
            memory.append()
        memory.set_metadata(0, {"n": 1})
        delete(video, chunk_ids=[0])
        grown = video.read_bytes()
        with pytest.raises(ChunkNotFoundError, match="any more"):
            memory.append()
    assert video.read_bytes() == grown != before


def test_what_is_deleted_at_the_same_time_is_not_changed(video: Path) -> None:
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.set_metadata(0, {"n": 1})
        memory.delete([0])
        result = memory.append()
    assert (result.deleted, result.changed) == (1, 0)
    assert verify(video, deep=True).findings == ()


@pytest.mark.parametrize("archive", [path for path in MEMORIES if "h264" not in path.stem], ids=lambda path: path.stem)
def test_a_memory_of_version_1(archive: Path, tmp_path: Path) -> None:
    video, expected = unpack(archive, tmp_path)
    first = expected["chunks"][0][0]
    change(video, {first: {"n": "changed"}})
    now = {chunk_id: metadata for chunk_id, _, metadata in expected["chunks"]} | {first: {"n": "changed"}}
    with open_memory(video) as memory:
        assert {chunk.chunk_id: chunk.metadata for chunk in memory.scan()} == now
        assert {chunk.chunk_id: chunk.metadata for chunk in memory.scan(1)} != now
    assert verify(video, deep=True).findings == ()


# --- a page of it that is lost


def spoil(video: Path, kind: PageKind, number: int) -> int:
    """Blacken the frame of a page of a kind; says which it is."""
    reader = VideoReader(video)
    frame = int(reader.table.frames_of_kind(kind)[number])
    reader.close()
    with VideoBytes(video) as file:
        container = read_container(file)
    data = bytearray(video.read_bytes())
    start = container.offset_of(frame)
    assert start is not None
    data[start + 60 : start + 90] = bytes(30)
    video.write_bytes(data)
    return frame


@pytest.mark.parametrize("number", [0, 1, 2])
def test_what_a_lost_page_may_have_changed_is_not_told(tmp_path: Path, number: int) -> None:
    """Chunks that a later page changed are certain; of all others the text is there, and why their metadata is not."""
    video = grown(tmp_path, OPTIONS["packed"])
    frame = spoil(video, PageKind.METADATA, number)
    certain = [{1, 4, 5}, {5}, set()][number]
    with open_memory(video) as memory:
        for chunks in (memory.get_chunks_by_id(range(6)), list(memory.scan())):
            assert [chunk.text for chunk in chunks] == TEXTS
            assert {chunk.chunk_id for chunk in chunks if chunk.metadata_fault is None} == certain
            assert all(chunk.metadata == NOW[chunk.chunk_id] for chunk in chunks if chunk.chunk_id in certain)
            assert all(f"frame {frame}" in str(c.metadata_fault) for c in chunks if c.chunk_id not in certain)
        assert all(chunk.metadata_fault is None for chunk in memory.scan(1))
    report = verify(video, deep=True)
    assert not report.ok
    assert frame in {finding.frame for finding in report.findings}
    indexed = reindex(video, embedder=EMBEDDER)
    assert (indexed.chunks, indexed.whole) == (6, False)
    lost = {chunk for first, last in indexed.lost_metadata for chunk in range(first, last + 1)}
    assert lost == set(range(6)) - certain
    with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
        encoder.set_metadata(0, {})
        with pytest.raises(FrameError):
            encoder.append()
    result = repair(video, tmp_path / "repaired.mp4", embedder=EMBEDDER)
    assert (result.lost, result.findings != ()) == ((), True)
    with open_memory(tmp_path / "repaired.mp4") as memory:
        chunks = memory.get_chunks_by_id(range(6))
        assert [chunk.text for chunk in chunks] == TEXTS
        assert all(chunk.metadata == NOW[chunk.chunk_id] for chunk in chunks if chunk.chunk_id in certain)


@pytest.mark.parametrize("kind", [PageKind.METADATA, PageKind.COMMIT])
def test_parity_brings_a_lost_page_back(tmp_path: Path, kind: PageKind) -> None:
    video = grown(tmp_path, OPTIONS["parity"])
    spoil(video, kind, 1)
    assert metadata_of(video) == NOW
    with open_memory(video) as memory:
        assert len(memory.log()) == 5
    assert verify(video, deep=True).ok
    repair(video, tmp_path / "repaired.mp4", embedder=EMBEDDER)
    assert metadata_of(tmp_path / "repaired.mp4") == NOW


def test_a_commit_whose_page_is_lost_is_counted(tmp_path: Path) -> None:
    video = grown(tmp_path, OPTIONS["packed"])
    frame = spoil(video, PageKind.COMMIT, -1)
    with open_memory(video) as memory:
        with pytest.raises(FrameError, match=f"frame {frame}"):
            memory.log()
        assert len(list(memory.scan())) == 6
    report = verify(video)
    assert [(finding.code, finding.frame) for finding in report.errors] == [("log", frame)]
    assert delete(video, chunk_ids=[0]).commit == 6


def test_a_reader_goes_to_other_processes(tmp_path: Path) -> None:
    with open_memory(grown(tmp_path, OPTIONS["packed"])) as memory, pickle.loads(pickle.dumps(memory)) as other:
        assert [chunk.metadata for chunk in other.scan()] == list(NOW.values())
        assert pickle.loads(pickle.dumps(other.log())) == memory.log()


def test_event_loops_get_the_latest(tmp_path: Path) -> None:
    async def ask() -> Any:
        with open_memory(grown(tmp_path, OPTIONS["packed"])) as memory:
            return await memory.asearch_results(TEXTS[4], 1, where={"n": 40})

    (result,) = asyncio.run(ask())
    assert (result.chunk_id, result.metadata) == (4, NOW[4])


# --- single fields


def test_fields_that_several_change_at_once_are_all_there(video: Path) -> None:
    with MemvidEncoder.open(video) as one, MemvidEncoder.open(video) as other:
        one.change_fields({"one": 1}, chunk_ids=[0, 1])
        other.change_fields({"other": 2}, remove=["of"], chunk_ids=[0], where={"n": 3})
        assert one.append().changed == 2
        assert other.append().changed == 2
    changed = {0: {"n": 0, "one": 1, "other": 2}, 1: {"of": "moved", "new": True, "one": 1}, 3: {"n": 3, "other": 2}}
    assert metadata_of(video) == NOW | changed
    assert verify(video, deep=True).findings == ()


def test_which_chunks_a_filter_means_is_decided_by_the_append(video: Path) -> None:
    with MemvidEncoder.open(video) as memory:
        memory.change_fields({"seen": True}, where={"of": "moved"})
        change(video, {4: {"of": "moved"}, 1: None})
        assert memory.append().changed == 1
    assert metadata_of(video) == NOW | {1: {}, 4: {"of": "moved", "seen": True}}


def test_a_number_is_no_truth(video: Path) -> None:
    change(video, {0: {"n": 1}})
    tag(video, values={"n": True}, chunk_ids=[0])
    with open_memory(video) as memory:
        assert memory.get_chunks_by_id([0])[0].metadata["n"] is True
    with pytest.raises(EmptyMemoryError, match="already"):
        tag(video, values={"n": True}, chunk_ids=[0])


def test_fields_of_what_is_gone_meanwhile_change_nothing(video: Path) -> None:
    before = metadata_of(video)
    with MemvidEncoder.open(video) as memory:
        memory.change_fields({"a": 1}, chunk_ids=[0, 2])
        delete(video, chunk_ids=[2])
        with pytest.raises(ChunkNotFoundError, match="chunk 2 any more"):
            memory.append()
    with pytest.raises(ChunkNotFoundError, match="no chunk has this metadata"):
        tag(video, values={"a": 1}, where={"n": 99})
    del before[2]
    assert metadata_of(video) == before
