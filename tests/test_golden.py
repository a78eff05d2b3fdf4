"""Memories of every release open for ever: all chunks come back, and they can be checked, grown and rewritten."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidEncoder
from memvid.index.location import find_index
from memvid.maintenance import compact, erase, reindex, repair, verify
from tests.memory_support import EMBEDDER, open_memory
from tests.repository import ROOT

MEMORIES = sorted((ROOT / "tests" / "golden").glob("*.zip"))


def unpack(archive: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    with zipfile.ZipFile(archive) as files:
        files.extractall(folder)
    expected = folder / "expected.json"
    content = json.loads(expected.read_bytes())
    expected.unlink()
    return folder / "memory.mp4", content


def chunks_of(video: Path) -> list[list[Any]]:
    with open_memory(video) as memory:
        return [[chunk.chunk_id, chunk.text, chunk.metadata] for chunk in memory.get_chunks_by_id(memory.chunk_ids())]


def test_they_are_there() -> None:
    assert {path.stem.partition("-")[2] for path in MEMORIES} == {
        *("plain", "grown", "bare", "h264", "one", "beside"),
        *("small", "tiny"),
    }


@pytest.mark.parametrize("archive", MEMORIES, ids=lambda path: str(path.stem))
def test_all_of_it_comes_back(archive: Path, tmp_path: Path) -> None:
    video, expected = unpack(archive, tmp_path)
    assert chunks_of(video) == expected["chunks"]
    with open_memory(video) as memory:
        assert [result.chunk_id for result in memory.search_results(expected["query"], 3, mode="semantic")] == expected[
            "found"
        ]
        if "log" in expected:
            assert [asdict(commit) for commit in memory.log()] == expected["log"]
            built = [[chunk.chunk_id, chunk.text, chunk.metadata] for chunk in memory.scan(as_of=1)]
            assert built == expected["built"]
    report = verify(video, deep=True)
    assert (report.ok, report.findings) == (True, ())


@pytest.mark.parametrize("archive", MEMORIES, ids=lambda path: str(path.stem))
def test_it_is_repaired_and_indexed_from_the_video_alone(archive: Path, tmp_path: Path) -> None:
    video, expected = unpack(archive, tmp_path)
    repaired = tmp_path / "repaired.mp4"
    repair(video, repaired, embedder=EMBEDDER)
    assert chunks_of(repaired) == expected["chunks"]
    if find_index(video) == video:
        video.write_bytes(video.read_bytes().replace(b"memvid-manifest1", bytes(16)))
    else:
        find_index(video).unlink()
    reindex(video, embedder=EMBEDDER)
    assert chunks_of(video) == expected["chunks"]


@pytest.mark.parametrize("archive", [path for path in MEMORIES if "h264" not in path.stem], ids=lambda path: path.stem)
def test_it_grows_and_is_rewritten(archive: Path, tmp_path: Path) -> None:
    video, expected = unpack(archive, tmp_path)
    left = expected["chunks"]
    with MemvidEncoder.open(video, embedder=EMBEDDER) as writer:
        writer.add_chunks(["one more, about a river"], metadatas=[{"n": -1}])
        writer.delete([left[0][0]])
        writer.append()
    left = [*left[1:], [None, "one more, about a river", {"n": -1}]]  # of which the id is not asked
    assert [chunk[1:] for chunk in chunks_of(video)] == [chunk[1:] for chunk in left]
    compact(video, embedder=EMBEDDER)
    erase(video, chunk_ids=[left[1][0]], embedder=EMBEDDER)
    del left[1]
    assert [chunk[1:] for chunk in chunks_of(video)] == [chunk[1:] for chunk in left]
    assert verify(video, deep=True).ok
