"""A memory without a chunk: built so, or emptied, and everything that can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidChat, MemvidEncoder
from memvid.cli import main
from memvid.errors import ChunkDeletedError, ChunkNotFoundError, QueryError
from memvid.exchange import export
from memvid.maintenance import compact, delete, erase, reindex, repair, verify
from memvid.video.codecs import available_codecs
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

OPTIONS: dict[str, dict[str, Any]] = {
    "packed": {},
    "small": {"symbol_version": 5, "keywords": False},
    "bare": {"compression": "none", "chunks_per_frame": 1},
    "parity": {"parity": 0.5},
}


def built(folder: Path, options: dict[str, Any]) -> Path:
    return build(folder, [], **options)


def emptied(folder: Path, options: dict[str, Any]) -> Path:
    video = build(folder, make_texts(3, words=4), metadatas=[{"n": number} for number in range(3)], **options)
    assert delete(video, chunk_ids=[0, 1, 2]).chunks == 0
    return video


def compacted(folder: Path, options: dict[str, Any]) -> Path:
    video = emptied(folder, options)
    assert compact(video).chunks == 0
    return video


MAKERS = (built, emptied, compacted)


@pytest.fixture(params=[(make, name) for make in MAKERS for name in OPTIONS], ids=lambda p: f"{p[0].__name__}-{p[1]}")
def video(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make, name = request.param
    result: Path = make(tmp_path, OPTIONS[name])
    return result


def check_empty(video: Path) -> None:
    assert verify(video, deep=True).findings == ()
    with open_memory(video) as memory:
        assert (len(memory), memory.chunk_ids(), memory.info.chunks) == (0, [], 0)
        memory.warm()
        assert memory.search("a river") == []
        assert memory.search_many(["a river", "a mountain"], 3, where={"n": 1}) == [[], []]
        with pytest.raises(QueryError):
            memory.search_results("a river", where={"n": {}})
        with pytest.raises(ChunkNotFoundError):
            memory.get_chunk_by_id(7)


def test_it_is_searched_and_found_sound(video: Path) -> None:
    check_empty(video)


def test_it_grows(video: Path) -> None:
    with open_memory(video) as before, MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.upsert(["the first of all", "the second"], key="n", metadatas=[{"n": 1}, {"n": 2}])
        result = memory.append()
        assert (result.added, result.deleted, result.chunks, len(before)) == (2, 0, 2, 0)
    assert verify(video, deep=True).findings == ()
    with open_memory(video) as after:
        assert [chunk.text for chunk in after.get_chunks_by_id(after.chunk_ids())] == ["the first of all", "the second"]
        assert after.chunk_ids()[0] == result.first_chunk
        assert after.search("the second", 1) == ["the second"]
        assert after.search("first", 1) != []
    delete(video, chunk_ids=after_ids(video))
    check_empty(video)


def after_ids(video: Path) -> list[int]:
    with open_memory(video) as memory:
        return memory.chunk_ids()


CHANGES: dict[str, Callable[[Path], object]] = {
    "compact": compact,
    "reindex": lambda video: reindex(video, embedder=EMBEDDER),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_written_anew(video: Path, change: str) -> None:
    CHANGES[change](video)
    check_empty(video)


def test_it_is_repaired(video: Path, tmp_path: Path) -> None:
    result = repair(video, tmp_path / "repaired.mp4", embedder=EMBEDDER)
    assert result.lost == ()
    check_empty(tmp_path / "repaired.mp4")


def test_it_is_exported(tmp_path: Path) -> None:
    video = built(tmp_path, {})
    export(video, tmp_path / "out.mp4", codec="ffv1")
    with open_memory(tmp_path / "out.mp4", tmp_path / "memory_index.json") as memory:
        assert memory.search("a river") == []


@pytest.mark.parametrize("codec", ["mp4v", "h264", "vp9"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_an_export_of_it_gives_it_back(
    tmp_path: Path, codec: Any, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cover that is shown for a second is half of it: it has the same frame rate all the same."""
    if codec not in available_codecs():
        pytest.skip(f"this machine cannot write {codec}")
    video = built(tmp_path, {"symbol_version": 20})
    shown, back = tmp_path / f"out{suffix}", tmp_path / "back.mp4"
    assert main(["export", str(video), "-o", str(shown), "--codec", codec]) == 0
    assert "of the text" not in capsys.readouterr().out
    export(shown, back, codec="png")
    assert back.read_bytes() == video.read_bytes()


def test_no_id_is_given_twice(tmp_path: Path) -> None:
    """What was deleted leaves its ids behind, also when nothing else is left."""
    video = compacted(tmp_path, {})
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(["new"])
        assert memory.append().first_chunk == 3
    with open_memory(video) as reader, pytest.raises(ChunkNotFoundError):
        reader.get_chunk_by_id(0)


def test_all_of_it_is_erased(tmp_path: Path) -> None:
    video = build(tmp_path, ["a secret that nobody is to find again", "another of the kind"])
    erase(video, chunk_ids=[0, 1])
    check_empty(video)
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.iterdir())


def test_what_was_deleted_is_said_to_be(tmp_path: Path) -> None:
    with open_memory(emptied(tmp_path, {})) as memory, pytest.raises(ChunkDeletedError):
        memory.get_chunk_by_id(1)


def test_chunks_that_are_replaced_before_they_are_stored_leave_it_empty(tmp_path: Path) -> None:
    video = built(tmp_path, {})
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.upsert(["draft"], key="n", metadatas=[{"n": 1}])
        memory.upsert(["final"], key="n", metadatas=[{"n": 1}])
        memory.append()
    with open_memory(video) as reader:
        assert reader.search("anything") == ["final"]


def test_a_chat_says_that_there_is_nothing(tmp_path: Path) -> None:
    video = built(tmp_path, {})
    with MemvidChat(video, embedder=EMBEDDER) as chat:
        assert "nothing" in chat.chat("what is there?").lower()
