"""Searches that find nothing say why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidEncoder, MemvidRetriever
from memvid.errors import ChunkNotFoundError, VideoNotFoundError
from memvid.maintenance import delete, pack, unpack
from tests.index.sqlite.old_index import age_memory
from tests.memory_support import EMBEDDER, build, open_memory

TEXTS = ["The violin is out of tune.", "A red bicycle.", "Notes on the harbour."]
METADATAS: list[Any] = [
    {"source": "wiki/notes.md", "year": 2022, "tags": ["music", "todo"]},
    {"source": "wiki/Shop.md", "year": "2023", "author": {"name": "Ada"}},
    {"source": "harbour.txt", "long": "x" * 300},
]
NOTHING: list[tuple[str, dict[str, Any], str]] = [
    ("x", {"where": {"source": "notes.md"}}, "no chunk has 'notes.md' in 'source': did you mean 'wiki/notes.md'?"),
    ("x", {"where": {"source": "wiki/shop.md"}}, "no chunk has 'wiki/shop.md' in 'source': did you mean 'wiki/Shop"),
    ("x", {"where": {"source": "nowhere"}}, "no chunk has 'nowhere' in 'source'"),
    ("x", {"where": {"year": "2022"}}, "no chunk has '2022' in 'year': did you mean 2022?"),
    ("x", {"where": {"year": 2023}}, "no chunk has 2023 in 'year': did you mean '2023'?"),
    ("x", {"where": {"year": ["2030", 2030]}}, "no chunk has '2030' in 'year'"),
    ("x", {"where": {"tags": "musik"}}, "no chunk has 'musik' in 'tags': did you mean 'music'?"),
    (
        "x",
        {"where": {"author.name": {"$prefix": "Zu"}}},
        "no chunk has a value that begins with 'Zu' in 'author.name'",
    ),
    ("x", {"where": {"$and": [{"year": 2022}, {"tags": "tod"}]}}, "no chunk has 'tod' in 'tags': did you mean 'todo'?"),
    ("x", {"where": {"yaer": 2022}}, "no chunk has the metadata field 'yaer': did you mean 'year'?"),
    ("x", {"where": {"year": {"$in": []}}}, "no chunk passes the filter"),
    ("x", {"where": {"year": {"$gt": 2050}}}, "no chunk passes the filter"),
    ("x", {"where": {"year": 2022, "source": "harbour.txt"}}, "no chunk passes the filter"),
    ('the "red violin"', {}, 'no chunk has "red violin"'),
    ('"bicycle"', {"where": {"year": 2022}}, 'no chunk that passes the filter has "bicycle"'),
    ("zzz-1", {"mode": "keyword"}, "no chunk has any of the words zzz, 1, zzz1"),
    ("?!", {"mode": "keyword"}, "there is no word in the query"),
    ("zzz", {"min_score": 0.99}, "no chunk has a score of 0.99 or more"),
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    video = build(tmp_path_factory.mktemp("nothing"), TEXTS[:2], metadatas=METADATAS[:2])
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(TEXTS[2:], metadatas=METADATAS[2:])
        memory.append()
    return video


@pytest.fixture(scope="module")
def memory(video: Path) -> Iterator[MemvidRetriever]:
    with open_memory(video) as memory:
        yield memory


@pytest.mark.parametrize(("query", "options", "reason"), NOTHING)
def test_the_condition_that_no_chunk_meets_is_named(
    memory: MemvidRetriever, query: str, options: dict[str, Any], reason: str
) -> None:
    assert memory.search(query, **options) == []
    found = memory.why_nothing(query, **options)
    assert found.startswith(reason)
    assert "did you mean" in reason or "did you mean" not in found


def test_a_filter_is_asked_about_alone(memory: MemvidRetriever) -> None:
    assert memory.why_nothing("", where={"source": "notes.md"}).endswith("did you mean 'wiki/notes.md'?")
    assert memory.why_nothing("", where={"source": "harbour.txt"}) == ""


def test_changed_metadata_and_old_indexes_have_similar_values_too(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS)
    age_memory(video)
    with open_memory(video) as memory:
        assert memory.why_nothing("x", where={"tags": "musik"}).endswith("did you mean 'music'?")
    with MemvidEncoder.open(video, embedder=EMBEDDER) as writer:
        writer.set_metadata(1, {"source": "shop/new.md"})
        writer.append()
    with open_memory(video) as memory:
        assert memory.why_nothing("x", where={"source": "new.md"}).endswith("did you mean 'shop/new.md'?")
    with pytest.raises(ChunkNotFoundError, match=r"'new.md' in 'source': did you mean 'shop/new.md'\?"):
        delete(video, where={"source": "new.md"})


def test_an_empty_memory_says_so(tmp_path: Path) -> None:
    with open_memory(build(tmp_path, [])) as memory:
        assert memory.why_nothing("x") == "the memory has no chunks"


@pytest.mark.parametrize("change", [pack, unpack])
def test_a_video_that_is_not_there_is_named(tmp_path: Path, change: Any) -> None:
    with pytest.raises(VideoNotFoundError, match="no video"):
        change(tmp_path / "gone.mp4")
