"""Old indexes: they answer as new ones do, and whatever changes the memory makes them new ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidEncoder
from memvid.index import IndexManager
from memvid.index.manifest import read_manifest
from memvid.index.sqlite import SqliteRecords
from memvid.maintenance import compact, delete, reindex, verify
from tests.index.sqlite.old_index import age_memory
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory

TEXTS = [
    *make_texts(150, words=9),
    "stra\u00dfe NA\u00cfVE 3 \u65e5\u672c x y",  # of compounds, old indexes have the parts alone
    "\u03f2\u03f2 b",
    "\u03c3\u03c3 c",
]
METADATAS: list[Any] = [
    {"n": n, "even": n % 2 == 0, "of": ["a", {"b": n % 5}], "long": "x" * (n * 3)} if n % 4 else None
    for n in range(len(TEXTS))
]


def make(folder: Path, **options: Any) -> Path:
    """A memory in two segments, with a chunk that was deleted and one with other metadata."""
    video = build(folder, TEXTS[:-1], metadatas=METADATAS[:-1], **options)
    with MemvidEncoder.open(video) as memory:
        memory.add_chunks(TEXTS[-1:], metadatas=METADATAS[-1:])
        memory.delete([3])
        memory.set_metadata(5, {"n": 500})
        memory.append()
    return video


def answers(video: Path) -> list[Any]:
    """What a memory says."""
    wheres: list[Any] = [None, {"n": {"$lt": 40}}, {"of": "a"}, {"of.b": [1, 2]}, {"long": {"$prefix": "x" * 90}}]
    with open_memory(video) as memory:
        return [
            [(each.chunk_id, each.metadata) for each in found]
            for where in wheres
            for found in memory.search_many([TEXTS[7], TEXTS[99], "naive 14", TEXTS[-1]], 8, where=where)
        ]


@pytest.mark.parametrize("keywords", [True, False])
def test_the_next_change_converts_it(tmp_path: Path, keywords: bool) -> None:
    video = make(tmp_path, keywords=keywords)
    index_file = video.with_name("memory_index.json")
    new, files = answers(video), all_files(tmp_path)
    age_memory(video)
    assert read_manifest(index_file).segments[0].is_old
    assert sorted(set(all_files(tmp_path)) - set(files)) == ["memory_index.sqlite", "memory_index.sqlite.1"]
    assert answers(video) == new
    assert verify(video, deep=True).findings == ()
    delete(video, chunk_ids=[4])
    assert not any(segment.is_old for segment in read_manifest(index_file).segments)
    now = all_files(tmp_path)
    for name in ("memory_index.records", "memory_index.records.1"):
        assert now[name] == files[name]
    assert not [name for name in now if "sqlite" in name]
    assert verify(video, deep=True).findings == ()
    assert 4 not in [each[0] for found in answers(video) for each in found]


def test_chunks_can_be_added_to_it_without_embedding_others(tmp_path: Path) -> None:
    video = age_memory(make(tmp_path))
    with MemvidEncoder.open(video) as memory:
        memory.upsert(["another text"], key="n", metadatas=[{"n": 7}])
        result = memory.append()
    assert (result.embeddings_made, result.deleted) == (1, 1)
    with open_memory(video) as memory:
        (found,) = memory.search_results("another text", 1)
        assert found.metadata == {"n": 7}
    assert verify(video, deep=True).findings == ()


def test_a_reader_that_is_open_keeps_what_was_there(tmp_path: Path) -> None:
    video = age_memory(build(tmp_path, TEXTS, metadatas=[{"n": n} for n in range(len(TEXTS))]))
    with open_memory(video) as old:
        delete(video, chunk_ids=[5])
        assert not (tmp_path / "memory_index.sqlite").exists()
        assert old.search_results(TEXTS[5], 1, where={"n": 5})[0].chunk_id == 5
        (part,) = old._index._records.parts
        assert isinstance(part, SqliteRecords)
        with part._pool.lend():  # so that another connection would be needed
            assert part._pool._shelf().made == 1
        assert len(old._index.keyword_search(TEXTS[5], 3)[0]) == 3


@pytest.mark.parametrize("rewrite", [compact, reindex])
def test_it_can_be_written_anew(tmp_path: Path, rewrite: Any) -> None:
    video = age_memory(make(tmp_path))
    rewrite(video, embedder=EMBEDDER)
    assert not [name for name in all_files(tmp_path) if "sqlite" in name]
    assert "memory_index.records" in all_files(tmp_path)
    assert verify(video, deep=True).findings == ()


def test_a_copy_under_another_name_converts_what_is_its_own(tmp_path: Path) -> None:
    age_memory(make(tmp_path))
    for name in ("memory.mp4", "memory_index.json"):
        shutil.copy(tmp_path / name, tmp_path / name.replace("memory", "b"))
    before = all_files(tmp_path)
    delete(tmp_path / "b.mp4", chunk_ids=[9])
    assert verify(tmp_path / "b.mp4", deep=True).findings == ()
    now = all_files(tmp_path)
    assert {name: now[name] for name in before if not name.startswith("b")} == {
        name: data for name, data in before.items() if not name.startswith("b")
    }
    assert [name for name in now if name.startswith("b_index.rec")] == ["b_index.records", "b_index.records.1"]


def test_a_word_that_is_written_another_way_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to version 4 a lunate sigma became a final one, which no question has."""
    video = build(tmp_path, ["\u03f2\u03f2 b", "\u03c3\u03c3 c", "d"])
    monkeypatch.setattr(
        "tests.index.sqlite.old_index.normalise",
        lambda text: text.replace("\u03f2", "\u03c2"),  # as it was
    )
    age_memory(video)
    with IndexManager.open(video.with_name("memory_index.json")) as index:
        assert index.ids_with_words("\u03f2\u03f2").tolist() == [1]
    delete(video, chunk_ids=[2])
    with IndexManager.open(video.with_name("memory_index.json")) as index:
        for word in ("\u03f2\u03f2", "\u03c3\u03c3", "\u03c2\u03c2"):
            assert index.ids_with_words(word).tolist() == [0, 1]
