"""The least an installed wheel must do, on every platform it is built for."""

from __future__ import annotations

from pathlib import Path

import memvid
from memvid import MemvidEncoder, MemvidRetriever, _core

CHUNKS = ["The login page failed on March 2.", "Backups run at night.", "naïve — 日本語 🎬\0"]


def test_the_core_and_the_package_are_of_one_version() -> None:
    assert _core.build_info()["version"] == memvid.__version__


def test_a_memory_is_built_and_answers(tmp_path: Path) -> None:
    video = tmp_path / "memory.mp4"
    with MemvidEncoder() as encoder:
        encoder.add_chunks(CHUNKS)
        encoder.build_video(video)
    with MemvidRetriever(video) as memory:
        assert memory.search("when did signing in break?", top_k=1) == CHUNKS[:1]
        assert [memory.get_chunk_by_id(chunk_id) for chunk_id in range(3)] == CHUNKS
        assert memory.stats.slow_reads == 0
