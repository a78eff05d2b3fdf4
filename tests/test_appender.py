"""Appends, deletions, upserts, compaction: what a memory is afterwards, for new readers and for old ones."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from memvid import MemvidEncoder, MemvidRetriever, appender
from memvid.errors import (
    ChunkDeletedError,
    ChunkNotFoundError,
    ConfigError,
    EmptyMemoryError,
    IndexNotFoundError,
    MetadataError,
    ModelMismatchError,
    OutputError,
    QueryError,
    UnsupportedVideoError,
)
from memvid.exchange import export
from memvid.index import manager
from memvid.index.manifest import read_manifest
from memvid.maintenance import compact, delete, erase, reindex, repair, verify
from memvid.maintenance.verify import index_check, video_check
from memvid.types import JsonObject, Progress
from memvid.video import VideoReader
from tests.index.index_support import environment
from tests.memory_support import EMBEDDER, all_files, build, make_texts, make_vectors, open_memory
from tests.storage.lock_support import failing, holding, kill

SMALL: dict[str, Any] = {"symbol_version": 10}
BARE: dict[str, Any] = {"symbol_version": 10, "compression": "none", "chunks_per_frame": 1}

WRITER = """
import fcntl, os, sys
number = int(sys.argv[2])
def flock(descriptor, operation):
    raise OSError(number, os.strerror(number))
if number:
    fcntl.flock = flock
from memvid import MemvidEncoder
from memvid.errors import OutputError
from tests.memory_support import EMBEDDER
for chunk in range(4):
    with MemvidEncoder.open(sys.argv[1], embedder=EMBEDDER) as memory:
        memory.add_chunks([f"{chunk} by {number}"])
        while True:
            try:
                memory.append()
                break
            except OutputError as error:
                assert "another process is writing it" in str(error)
"""


def append(video: Path, chunks: list[str], **options: Any) -> Any:
    with MemvidEncoder.open(video) as memory:
        memory.add_chunks(chunks, **options)
        return memory.append()


def everything(video: Path) -> dict[int, tuple[str, JsonObject]]:
    with open_memory(video) as memory:
        return {chunk.chunk_id: (chunk.text, chunk.metadata) for chunk in memory.get_chunks_by_id(memory.chunk_ids())}


def assert_sound(video: Path) -> None:
    report = verify(video, deep=True)
    assert report.findings == ()


class TestAppend:
    def test_an_append_that_was_made_does_not_raise_for_want_of_room_for_the_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        video = build(tmp_path, make_texts(5), **SMALL)
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(["one more"])
            monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
            assert memory.append().chunks == 6
            assert memory.delete([5]) == 1  # ids are those after the append
            with pytest.raises(OutputError, match="gone"):
                memory.add_chunks(["no room for this one"])
        assert len(everything(video)) == 6

    @pytest.mark.parametrize("options", [{}, SMALL, BARE, {"dictionary": 4096, "symbol_version": 20}])
    def test_what_is_added_is_found_read_and_numbered_on(self, tmp_path: Path, options: dict[str, Any]) -> None:
        old = make_texts(60, words=8)
        new = make_texts(9, words=8, seed=2)
        video = build(tmp_path, old, metadatas=[{"part": "old"}] * 60, **options)
        result = append(video, new, metadatas=[{"part": "new", "n": n} for n in range(9)])
        assert (result.added, result.first_chunk, result.deleted, result.chunks) == (9, 60, 0, 69)
        assert result.video_bytes == video.stat().st_size
        assert_sound(video)
        with open_memory(video) as memory:
            assert len(memory) == 69
            for number, text in enumerate(new):
                assert memory.search_results(text, 1)[0].chunk_id == 60 + number
            assert memory.search(old[17], 1) == [old[17]]
            assert [hit.text for hit in memory.search_results(new[3], 5, where={"n": 3})] == [new[3]]
            assert [chunk.chunk_id for chunk in memory.neighbours(60, 1, 1)] == [59, 60, 61]
            assert memory.get_chunks_by_id([68])[0].metadata == {"part": "new", "n": 8}
            found, _ = memory._index.keyword_search(new[5].split()[-1], 3)
            assert 65 in found

    def test_the_same_appends_give_the_same_bytes(self, tmp_path: Path) -> None:
        files = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            video = build(folder, make_texts(200), **SMALL)
            append(video, make_texts(5, seed=2), metadatas=[{"n": 1}] * 5)
            delete(video, chunk_ids=[3, 201])
            append(video, make_texts(70, seed=3))
            files.append(all_files(folder))
        assert files[0] == files[1]

    def test_the_old_bytes_stay_but_for_four_letters(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(20), **SMALL)
        before = video.read_bytes()
        append(video, ["one more"])
        after = video.read_bytes()
        changed = [at for at in range(len(before)) if before[at] != after[at]]
        assert bytes(before[at] for at in changed) == b"moov"
        assert bytes(after[at] for at in changed) == b"free"

    def test_embeddings_are_made_for_what_is_new_alone(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(300), embeddings=make_vectors(300))
        result = append(video, ["one", "two"])
        assert result.embeddings_made == 2
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(["three"], embeddings=make_vectors(1))
            assert memory.append().embeddings_made == 0

    def test_many_appends_keep_few_segments(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("memvid.index.updating._SMALL_SEGMENT", 1)
        video = build(tmp_path, make_texts(40), **SMALL)
        texts = make_texts(23, seed=2)
        for number, text in enumerate(texts):
            append(video, [text])
            manifest = read_manifest(tmp_path / "memory_index.json")
            assert sum(segment.count for segment in manifest.segments) == 41 + number
            assert len(manifest.segments) <= 1 + (number + 1).bit_length()
        names = set(all_files(tmp_path))
        assert names == {"memory.mp4", "memory_index.json", *(file.name for _, file in manifest.side_files())}
        with open_memory(video) as memory:
            assert all(memory.search(text, 1) == [text] for text in texts)
            assert len(memory.search("anything at all", 100)) == 63

    def test_searches_of_segments_are_those_of_one_index(self, tmp_path: Path) -> None:
        texts = make_texts(3000, words=6)
        vectors = make_vectors(3000)
        video = build(tmp_path, texts[:2500], embeddings=vectors[:2500])
        whole = build(tmp_path, texts, embeddings=vectors, name="whole")
        append(video, texts[2500:], embeddings=vectors[2500:])
        with open_memory(video) as memory, open_memory(whole) as other:
            queries = make_vectors(30, seed=5)
            ids, scores = memory._index.search(queries, 10, exact=True)
            expected, expected_scores = other._index.search(queries, 10, exact=True)
            np.testing.assert_array_equal(ids, expected)
            np.testing.assert_array_equal(scores, expected_scores)
            walked, _ = memory._index.search(queries, 10)
            assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(walked, expected, strict=True)]) > 0.9
            words = texts[7]
            np.testing.assert_array_equal(
                memory._index.keyword_search(words, 5)[0], other._index.keyword_search(words, 5)[0]
            )

    def test_nothing_to_append(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one", "two"])
        before = all_files(tmp_path)
        with MemvidEncoder.open(video) as memory:
            with pytest.raises(EmptyMemoryError, match="nothing to append"):
                memory.append()
            assert memory.add_text("   ") == 0
        assert all_files(tmp_path) == before

    def test_a_long_text_and_a_stream_of_json_lines(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one"], **SMALL)
        with MemvidEncoder.open(video, chunk_size=100) as memory:
            pieces = memory.add_text("A sentence of some length stands here. " * 9, metadata={"source": "long"})
            memory.add_jsonl([b'{"text": "a line", "year": 2026}'])
            assert memory.append().added == pieces + 1 > 3
            memory.add_chunks(["x" * 5000])
            memory.append()
        assert everything(video)[pieces + 2][0] == "x" * 5000
        assert_sound(video)

    def test_what_a_memory_was_built_with_cannot_be_changed(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one"])
        with pytest.raises(ConfigError, match="symbol_version=10"):
            MemvidEncoder.open(video, symbol_version=10)
        with pytest.raises(ConfigError, match="did you mean"):
            MemvidEncoder.open(video, chunk_sise=10)

    def test_level_and_chunks_a_frame_are_those_of_the_build(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(12), chunks_per_frame=3, compression_level=5)
        append(video, make_texts(6, seed=2))
        counts = VideoReader(video).table.counts
        assert counts[counts > 0].tolist() == [3] * 6

    def test_another_model_is_refused(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one"])
        with pytest.raises(ModelMismatchError):
            MemvidEncoder.open(video, embedder=lambda texts: np.ones((len(texts), 3), np.float32))

    def test_a_model_that_is_not_at_hand_is_not_needed_to_delete(self, tmp_path: Path) -> None:
        video = tmp_path / "memory.mp4"

        def embed(texts: list[str]) -> Any:
            return np.ones((len(texts), 4), np.float32)

        with MemvidEncoder(embedder=embed) as encoder:
            encoder.add_chunks(["one", "two"])
            encoder.build_video(video)
        assert delete(video, chunk_ids=[0]).chunks == 1
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(["three"])
            with pytest.raises(ModelMismatchError, match="give it"):
                memory.append()
        assert compact(video).chunks == 1

    def test_other_codecs_and_missing_indexes_are_refused(self, tmp_path: Path) -> None:
        build(tmp_path, ["one"], name="other", codec="mp4v", **SMALL)
        with pytest.raises(UnsupportedVideoError, match="--codec png"):
            MemvidEncoder.open(tmp_path / "other.mp4", embedder=EMBEDDER)
        video = build(tmp_path, ["one"])
        (tmp_path / "memory_index.json").unlink()
        with pytest.raises(IndexNotFoundError, match="reindex"):
            MemvidEncoder.open(video)

    @pytest.mark.parametrize("way", ["flock works", "ENOLCK"])
    def test_a_second_writer_is_refused_and_the_memory_is_whole(self, tmp_path: Path, way: str) -> None:
        video = build(tmp_path, ["one", "two"], **SMALL)
        other = build(tmp_path, ["x"], name="other")
        new = tmp_path / "new.mp4"
        writers: list[Callable[[], object]] = [
            lambda: append(video, ["x"]),
            lambda: compact(video),
            lambda: delete(video, chunk_ids=[0]),
            lambda: erase(video, chunk_ids=[0]),
            lambda: reindex(video, embedder=EMBEDDER),
            lambda: build(tmp_path, ["x"]),
        ]
        locked: dict[Path, list[Callable[[], object]]] = {
            video: [*writers, lambda: export(other, video)],
            video.with_name("memory_index.json"): writers,
            new: [lambda: repair(video, new), lambda: export(video, new), lambda: build(tmp_path, ["x"], name="new")],
        }
        before = all_files(tmp_path)
        for file, verbs in locked.items():
            with holding(file, way) as holder:
                for write in verbs:
                    with pytest.raises(OutputError, match="another process is writing it"):
                        write()
                kill(holder)
        after = all_files(tmp_path)
        assert {name: after[name] for name in before} == before
        with failing(way):
            assert append(video, ["afterwards"]).first_chunk == 2  # the lock ended with its process
        assert_sound(video)

    def test_an_append_while_a_memory_is_indexed_again_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        video = build(tmp_path, ["one"], **SMALL)
        opened = 0

        def open_late(*arguments: Any) -> VideoReader:
            nonlocal opened
            opened += 1
            if opened == 2:  # what is read from here on is what the index will be of
                with pytest.raises(OutputError, match="another process is writing it"):
                    append(video, ["two"])
            return VideoReader(*arguments)

        monkeypatch.setattr(sys.modules["memvid.maintenance.rewrite.reindex"], "VideoReader", open_late)
        reindex(video, embedder=EMBEDDER)
        assert opened == 2
        assert_sound(video)

    def test_appends_of_processes_whose_locks_fail_are_all_there(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one"], **SMALL)
        processes = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(video), str(number)], env=environment())
            for number in (errno.ENOLCK, errno.EOPNOTSUPP, 0)
        ]
        assert [process.wait() for process in processes] == [0, 0, 0]
        expected = {"one"} | {f"{n} by {k}" for n in range(4) for k in (errno.ENOLCK, errno.EOPNOTSUPP, 0)}
        assert {text for text, _ in everything(video).values()} == expected
        assert_sound(video)

    def test_two_encoders_in_turn_number_on(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one"], **SMALL)
        with MemvidEncoder.open(video) as first, MemvidEncoder.open(video) as second:
            first.add_chunks(["by the first"])
            second.add_chunks(["by the second"])
            assert second.append().first_chunk == 1
            assert first.append().first_chunk == 2
        assert [text for text, _ in everything(video).values()] == ["one", "by the second", "by the first"]

    def test_it_goes_where_it_was_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("here", "there"):
            (tmp_path / name).mkdir()
            build(tmp_path / name, [name, "other"], metadatas=[{"k": 1}, None], **SMALL)
        monkeypatch.chdir(tmp_path / "here")
        with MemvidEncoder.open("memory.mp4") as memory:
            memory.add_chunks(["for here"])
            monkeypatch.chdir(tmp_path / "there")
            assert memory.delete_where({"k": 1}) == 1
            memory.append()
            memory.delete([1])
            memory.append()
        assert [text for text, _ in everything(tmp_path / "here" / "memory.mp4").values()] == ["for here"]
        assert [text for text, _ in everything(tmp_path / "there" / "memory.mp4").values()] == ["there", "other"]

    def test_links_are_not_replaced_by_files(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        video = build(tmp_path / "real", ["one", "two"], **SMALL)
        (tmp_path / "links").mkdir()
        for path in video.parent.iterdir():
            (tmp_path / "links" / path.name).symlink_to(path)
        link = tmp_path / "links" / "memory.mp4"
        before = all_files(video.parent)
        with pytest.raises(OutputError, match="symbolic link"):
            MemvidEncoder.open(link)
        index = video.with_name("memory_index.json")
        with pytest.raises(OutputError, match="symbolic link"):
            delete(link, chunk_ids=[0])
        with pytest.raises(OutputError, match="symbolic link"):
            compact(link, index)
        with pytest.raises(OutputError, match="symbolic link"):
            erase(link, index, chunk_ids=[0])  # the text would stay in what the link leads to
        assert all_files(video.parent) == before
        with open_memory(link) as memory:
            assert len(memory) == 2

    def test_what_another_has_added_can_be_deleted(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one", "two", "three"], **SMALL)
        with MemvidEncoder.open(video) as one:
            append(video, ["added meanwhile"])
            one.delete([3])
            assert one.append().deleted == 1


class TestReaders:
    def test_an_open_reader_keeps_its_snapshot(self, tmp_path: Path) -> None:
        texts = make_texts(300, words=8)
        video = build(tmp_path, texts, metadatas=[{"n": n} for n in range(300)], **SMALL)
        with open_memory(video) as old:
            append(video, ["something new"])
            delete(video, chunk_ids=[5])
            compact(video)
            build(tmp_path, ["another memory altogether"])
            assert len(old) == 300
            assert [chunk.text for chunk in old.get_chunks_by_id(range(300))] == texts
            assert old.search(texts[5], 1) == [texts[5]]
            assert old.search_results(texts[5], 1, where={"n": 5})[0].metadata == {"n": 5}
            assert len(old._index.keyword_search(texts[5], 3)[0]) == 3
        assert everything(video) == {0: ("another memory altogether", {})}

    def test_deleted_chunks_are_nowhere(self, tmp_path: Path) -> None:
        texts = make_texts(3000, words=6)
        vectors = make_vectors(3000)
        video = build(tmp_path, texts, embeddings=vectors, metadatas=[{"even": n % 2 == 0} for n in range(3000)])
        gone = list(range(0, 3000, 3))
        result = delete(video, chunk_ids=gone)
        assert (result.deleted, result.chunks, result.added, result.frames) == (1000, 2000, 0, 2)
        with open_memory(video) as memory:
            ids, scores = memory._index.search(vectors[:60], 8)
            assert not np.isin(ids, gone).any()
            assert np.isfinite(scores).all()
            assert ids[1, 0] == 1
            exact, _ = memory._index.search(vectors[:60], 8, exact=True)
            assert np.mean([len(set(a) & set(b)) / 8 for a, b in zip(ids, exact, strict=True)]) > 0.9
            filtered, _ = memory._index.search(vectors[:9], 8, where={"even": True})
            assert not np.isin(filtered, gone).any()
            assert (filtered % 2 == 0).all()
            assert not np.isin(memory._index.keyword_search(texts[3], 50)[0], gone).any()
            assert len(memory) == memory.info.chunks == len(memory.chunk_ids()) == 2000
            assert [chunk.chunk_id for chunk in memory.neighbours(4, 2, 2)] == [1, 2, 4, 5, 7]
            with pytest.raises(ChunkDeletedError, match="chunk 3 was deleted"):
                memory.get_chunk_by_id(3)
            with pytest.raises(ChunkDeletedError):
                memory.neighbours(3)
            assert len(memory._index.search(vectors[:1], 2500)[0][0]) == 2000

    def test_most_of_a_memory_may_be_deleted(self, tmp_path: Path) -> None:
        vectors = make_vectors(3000)
        video = build(tmp_path, make_texts(3000, words=3), embeddings=vectors)
        delete(video, chunk_ids=range(2990))
        with open_memory(video) as memory:
            ids, _ = memory._index.search(vectors[:5], 10)
            assert {tuple(sorted(row)) for row in ids.tolist()} == {tuple(range(2990, 3000))}


class TestOthers:
    """Another process changes the memory in the moment in which it is opened."""

    @staticmethod
    def interfere(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, change: Callable[[], object]) -> None:
        """Make a change behind the first call of a function of the module."""
        original = getattr(module, name)
        pending = [change]

        def first(*arguments: Any, **options: Any) -> Any:
            result = original(*arguments, **options)
            while pending:
                pending.pop()()
            return result

        monkeypatch.setattr(module, name, first)

    def test_opening_to_append(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        video = build(tmp_path, make_texts(20))
        self.interfere(monkeypatch, appender, "VideoReader", lambda: append(video, ["another's"]))
        with MemvidEncoder.open(video) as memory:
            memory.add_chunks(["mine"])
            assert memory.append().first_chunk == 21
        assert [everything(video)[chunk_id][0] for chunk_id in (20, 21)] == ["another's", "mine"]

    @pytest.mark.parametrize("by", ["id", "filter"])
    def test_deleting(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
        video = build(tmp_path, make_texts(20), metadatas=[{"number": number} for number in range(20)])
        append(video, ["one more"])
        with MemvidEncoder.open(video) as memory:
            self.interfere(monkeypatch, manager, "read_manifest", lambda: compact(video))
            memory._known = None
            assert (memory.delete([3]) if by == "id" else memory.delete_where({"number": 3})) == 1
            memory.append()
        assert sorted(everything(video)) == [number for number in range(21) if number != 3]

    @pytest.mark.parametrize(("module", "name"), [(index_check, "read_manifest"), (video_check, "read_container")])
    @pytest.mark.parametrize("change", ["append", "compact"])
    def test_verifying(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, module: ModuleType, name: str
    ) -> None:
        video = build(tmp_path, make_texts(20))
        delete(video, chunk_ids=[3])
        changes: dict[str, Callable[[], object]] = {
            "append": lambda: append(video, ["another's"]),
            "compact": lambda: compact(video),
        }
        self.interfere(monkeypatch, module, name, changes[change])
        assert verify(video, deep=True).findings == ()


class TestDelete:
    def test_what_there_is_not_cannot_be_deleted(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one", "two", "three"])
        before = all_files(tmp_path)
        for wrong in (3, -1, 1 << 70, "1", True):
            with pytest.raises(ChunkNotFoundError):
                delete(video, chunk_ids=[wrong])  # type: ignore[list-item]
        with pytest.raises(QueryError):
            delete(video, where={"nothing": {"$like": 1}})
        with pytest.raises(ChunkNotFoundError, match="no chunk has the metadata field 'nothing'"):
            delete(video, where={"nothing": 1})
        assert all_files(tmp_path) == before
        delete(video, chunk_ids=[1, 1])
        with pytest.raises(ChunkNotFoundError, match="deleted already"):
            delete(video, chunk_ids=[1])

    def test_by_metadata(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(6), metadatas=[{"source": f"s{n % 3}"} for n in range(6)])
        assert delete(video, where={"source": ["s0", "s2"]}).deleted == 4
        assert list(everything(video)) == [1, 4]

    def test_upsert_takes_the_place_of_what_has_the_key(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(6), metadatas=[{"source": f"s{n % 3}", "n": n} for n in range(6)])
        with MemvidEncoder.open(video) as memory:
            memory.upsert(["draft"], key="source", metadatas=[{"source": "s1"}])
            memory.upsert(["a", "b"], key="source", metadatas=[{"source": "s1"}, {"source": "new"}])
            memory.upsert(["first of its kind"], key="kind", metadatas=[{"kind": 1}])
            result = memory.append()
        assert (result.added, result.deleted) == (4, 3)
        assert {text for text, _ in everything(video).values()} >= {"a", "b", "first of its kind"}
        assert sorted(everything(video)) == [0, 2, 3, 5, 7, 8, 9]
        assert_sound(video)

    def test_upsert_needs_its_key(self, tmp_path: Path) -> None:
        with MemvidEncoder.open(build(tmp_path, ["one"])) as memory:
            with pytest.raises(MetadataError, match="has no 'id'"):
                memory.upsert(["x"], key="id", metadatas=[{"other": 1}])
            with pytest.raises(MetadataError, match="expected a string"):
                memory.upsert(["x"], key="id", metadatas=[{"id": [1]}])
            assert len(memory) == 0

    def test_replace_by_id(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one", "two", "three"])
        with MemvidEncoder.open(video) as memory:
            with pytest.raises(ChunkNotFoundError):
                memory.replace([7], ["x"])
            assert memory.replace([1], ["two and a half", "more"]) == 2
            memory.append()
        assert [text for text, _ in everything(video).values()] == ["one", "three", "two and a half", "more"]

    def test_a_rebuilt_index_remembers(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(200), **SMALL)
        append(video, make_texts(3, seed=2))
        delete(video, chunk_ids=[0, 50, 201])
        before = everything(video)
        for path in tmp_path.glob("memory_index*"):
            path.unlink()
        assert reindex(video).chunks == 200
        assert everything(video) == before
        assert_sound(video)


class TestCompact:
    def test_an_id_without_a_trace_is_said_to_be_gone(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(20), **BARE)
        delete(video, chunk_ids=[3, 4, 19])
        compact(video)
        with open_memory(video) as memory:
            with pytest.raises(ChunkNotFoundError, match="no chunk 3 any more: it was lost, or it was deleted and"):
                memory.get_chunk_by_id(3)
            with pytest.raises(ChunkNotFoundError, match="no chunk 19: this memory's ids go from 0 to 18"):
                memory.get_chunk_by_id(19)

    @pytest.mark.parametrize("options", [SMALL, BARE, {"chunks_per_frame": 2}])
    def test_the_rest_is_what_it_was(self, tmp_path: Path, options: dict[str, Any]) -> None:
        video = build(tmp_path, make_texts(300), metadatas=[{"n": n} for n in range(300)], **options)
        append(video, make_texts(5, seed=2))
        delete(video, chunk_ids=[*range(0, 300, 7), *range(100, 240), 304])
        before = everything(video)
        with open_memory(video) as memory:
            answers = [(hit.chunk_id, hit.score) for hit in memory.search_results(before[1][0], 20, mode="semantic")]
        size = video.stat().st_size
        result = compact(video)
        assert (result.chunks, result.video_bytes_before) == (len(before), size)
        assert result.video_bytes < size
        assert everything(video) == before
        assert_sound(video)
        with open_memory(video) as memory:
            assert [
                (hit.chunk_id, hit.score) for hit in memory.search_results(before[1][0], 20, mode="semantic")
            ] == answers
        assert set(all_files(tmp_path)) >= {"memory.mp4", "memory_index.json", "memory_index.usearch"}
        assert not [name for name in all_files(tmp_path) if name[-1].isdigit() and name != "memory.mp4"]
        assert append(video, ["after"]).first_chunk == 305  # no id is given again
        assert everything(video)[305] == ("after", {})

    def test_scattered_deletions_leave_full_pages(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(2000, words=10))
        frames = VideoReader(video).frame_count
        delete(video, chunk_ids=range(0, 2000, 10))
        assert compact(video).frames <= frames + 1  # the list of deletions

    def test_twice_is_the_same(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(50), **SMALL)
        delete(video, chunk_ids=[3, 4])
        compact(video)
        before = all_files(tmp_path)
        result = compact(video)
        assert result.removed == 0
        assert all_files(tmp_path) == before


class Memory(RuleBasedStateMachine):
    """Any sequence of changes against a dict."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[int, tuple[str, JsonObject]] = {}
        self.next = 0
        self.number = 0

    def new(self, count: int) -> list[str]:
        self.number += count
        return [f"{text} {self.number}" for text in make_texts(count, words=4, seed=self.number)]

    @initialize(count=st.integers(1, 40), options=st.sampled_from([SMALL, BARE, {"chunks_per_frame": 3}]))
    def built(self, count: int, options: dict[str, Any]) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        texts = self.new(count)
        self.video = build(self.folder, texts, metadatas=[{"k": n % 5} for n in range(count)], **options)
        self.model = {n: (text, {"k": n % 5}) for n, text in enumerate(texts)}
        self.next = count

    @rule(count=st.integers(1, 9), key=st.integers(0, 6))
    def added(self, count: int, key: int) -> None:
        texts = self.new(count)
        assert append(self.video, texts, metadatas=[{"k": key}] * count).first_chunk == self.next
        self.model |= {self.next + n: (text, {"k": key}) for n, text in enumerate(texts)}
        self.next += count

    @precondition(lambda self: len(self.model) > 1)
    @rule(data=st.data())
    def deleted(self, data: st.DataObject) -> None:
        ids = data.draw(st.sets(st.sampled_from(sorted(self.model)), min_size=1, max_size=len(self.model) - 1))
        assert delete(self.video, chunk_ids=ids).deleted == len(ids)
        for chunk_id in ids:
            del self.model[chunk_id]

    @rule(key=st.integers(0, 6))
    def upserted(self, key: int) -> None:
        (text,) = self.new(1)
        with MemvidEncoder.open(self.video) as memory:
            memory.upsert([text], key="k", metadatas=[{"k": key}])
            memory.append()
        self.model = {n: chunk for n, chunk in self.model.items() if chunk[1] != {"k": key}}
        self.model[self.next] = (text, {"k": key})
        self.next += 1

    @rule()
    def compacted(self) -> None:
        assert compact(self.video).chunks == len(self.model)

    @rule()
    def reindexed(self) -> None:
        assert reindex(self.video).chunks == len(self.model)

    @invariant()
    def it_is_what_it_should_be(self) -> None:
        if self.model:
            assert everything(self.video) == self.model
            assert verify(self.video, deep=True).findings == ()
            text, metadata = self.model[max(self.model)]
            with MemvidRetriever(self.video, embedder=EMBEDDER) as memory:
                assert text in memory.search(text, 2)
                found = {hit.chunk_id for hit in memory.search_results("any", 1000, where=metadata)}
            assert found == {n for n, chunk in self.model.items() if chunk[1] == metadata}


def test_any_sequence_of_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memvid.index.updating._SMALL_SEGMENT", 2)
    Memory.folder = tmp_path
    run = settings(max_examples=12, stateful_step_count=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    Memory.TestCase.settings = run
    Memory.TestCase("runTest").runTest()


class TestForgotten:
    """Chunks that nobody asked to be stored are not dropped without a word."""

    def test_chunks_that_are_never_stored_are_a_warning(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["a"])
        writer = MemvidEncoder.open(video, embedder=EMBEDDER)
        writer.add_chunks(["b", "c"])
        writer.append()
        writer.add_chunks(["d"])
        with pytest.warns(UserWarning, match=r"^1 chunk was added and not stored: call append\(\)"), writer:
            pass
        encoder = MemvidEncoder(embedder=EMBEDDER)
        encoder.add_chunks(["a", "b"])
        with pytest.warns(UserWarning, match=r"^2 chunks were added and not stored: call build_video\(\)"), encoder:
            pass

    def test_nothing_is_said_where_something_else_went_wrong_or_it_was_meant(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["a"])
        writer = MemvidEncoder.open(video, embedder=EMBEDDER)
        writer.add_chunks(["b"])
        with pytest.raises(ZeroDivisionError), writer:
            1 / 0  # noqa: B018
        with MemvidEncoder.open(video, embedder=EMBEDDER) as writer:
            writer.add_chunks(["b"])
            writer.clear()


def test_progress_never_goes_over_also_where_segments_are_merged(tmp_path: Path) -> None:
    video = build(tmp_path, make_texts(300, words=4))
    for seed in range(2, 9):
        seen: list[Progress] = []
        with MemvidEncoder.open(video, embedder=EMBEDDER) as writer:
            writer.add_chunks(make_texts(150, words=4, seed=seed))
            writer.delete([seed])
            writer.append(progress=seen.append)
        for stage in {progress.stage for progress in seen}:
            done = [progress.done for progress in seen if progress.stage == stage]
            (total,) = {progress.total for progress in seen if progress.stage == stage}
            assert done == sorted(done)
            assert done[-1] == total


@pytest.mark.parametrize("ids", [3, "3", None])
def test_ids_that_are_no_list(ids: Any, tmp_path: Path) -> None:
    video = build(tmp_path, ["a", "b"])
    with MemvidEncoder.open(video, embedder=EMBEDDER) as writer, pytest.raises(ChunkNotFoundError, match="a list of"):
        writer.delete(ids)
    with open_memory(video) as memory, pytest.raises(ChunkNotFoundError, match="a list of"):
        memory.get_chunks_by_id(ids)
