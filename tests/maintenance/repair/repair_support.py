"""What tests of `repair` have in common: chunks, and what must be right of what comes back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memvid.errors import (
    ChunkNotFoundError,
)
from memvid.maintenance import RepairResult, repair, verify
from memvid.storage.commit import default_index_file
from tests.memory_support import all_files, make_texts, open_memory

__all__ = ["BARE", "METADATAS", "TEXTS", "check", "check_some", "mend", "spoil"]

TEXTS = make_texts(80)
METADATAS = [{"number": number, "half": number / 2} for number in range(80)]
BARE: dict[str, Any] = {"compression": "none", "chunks_per_frame": 1, "symbol_version": 10}


def mend(video: Path, **options: Any) -> RepairResult:
    """Repair into a folder beside, under the same name, so that files can be compared."""
    folder = video.parent.parent / "mended"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    before = all_files(video.parent)
    output = folder / "memory.mp4"
    result = repair(video, output, output_index=default_index_file(output), **options)
    assert all_files(video.parent) == before
    return result


def check(result: RepairResult, lost: Sequence[int] = (), *, texts: Sequence[str] = TEXTS) -> None:
    """The new memory is sound but for the chunks that it lost, and has all others as they were."""
    report = verify(result.video_file, result.index_file, deep=True)
    assert report.ok == (not lost)
    assert [chunk for first, last in report.lost_chunks for chunk in range(first, last + 1)] == list(lost)
    assert [finding.code for finding in report.findings] == ["chunks"] * bool(lost)
    assert [chunk for first, last in result.lost for chunk in range(first, last + 1)] == list(lost)
    left = [number for number in range(len(texts)) if number not in set(lost)]
    with open_memory(result.video_file) as memory:
        assert len(memory) == len(left) == result.chunks
        chunks = memory.get_chunks_by_id(left)
        assert [chunk.text for chunk in chunks] == [texts[number] for number in left]
        assert [chunk.metadata for chunk in chunks] == [METADATAS[number] for number in left]
        for number in lost:
            with pytest.raises(ChunkNotFoundError):
                memory.get_chunk_by_id(number)
        found = memory.search_results(texts[left[0]], 1)[0]
        assert (found.chunk_id, found.text) == (left[0], texts[left[0]])


def check_some(result: RepairResult, count: int) -> None:
    """All of the first chunks are there, each as it was."""
    with open_memory(result.video_file) as memory:
        assert memory.chunk_ids() == list(range(count))
        chunks = memory.get_chunks_by_id(range(count))
    assert [(chunk.text, chunk.metadata) for chunk in chunks] == list(
        zip(TEXTS[:count], METADATAS[:count], strict=True)
    )
    assert verify(result.video_file, result.index_file, deep=True).findings == ()


def spoil(data: bytes, frame: bytes) -> bytes:
    """The file with most of one frame's data overwritten."""
    at = data.index(frame)
    return data[: at + 45] + bytes(len(frame) - 60) + data[at + len(frame) - 15 :]
