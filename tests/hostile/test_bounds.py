"""What a memory of less than 2 MB can make an operation cost: at most 512 MB, and no error but those of memvid.

``python -m tools.hostile_bounds`` tries every kind with every operation; here are those that were found to hurt.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.bombs import KINDS, MOST_BYTES
from tests.hostile.bounded import measure

HURT = {
    "table_counts": ["verify", "verify deep", "reindex", "repair", "append", "neighbours"],
    "small_chunks": ["verify deep", "reindex", "repair", "compact", "append"],
    "expanding_chunks": ["verify deep", "reindex", "compact"],
    "large_chunks": [
        "verify deep",
        "reindex",
        "repair",
        "compact",
        "erase",
        "append",
        "search",
        "search_many",
        "asearch at once",
        "get_chunk_by_id",
        "neighbours",
        "chat",
    ],
    "wide_chunks": ["search", "verify deep", "repair"],
    "metadata": ["search", "asearch at once", "get_chunk_by_id", "verify deep", "repair"],
    "deep_metadata": ["search_many", "chat"],
    "tombstones": ["verify", "verify deep", "reindex", "repair", "compact"],
}


@pytest.mark.parametrize(("kind", "operation"), [(kind, each) for kind, names in HURT.items() for each in names])
def test_a_small_file_costs_little(tmp_path: Path, kind: str, operation: str) -> None:
    video = KINDS[kind](tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < MOST_BYTES
    cost = measure(operation, video)
    assert cost.problem is None, cost
