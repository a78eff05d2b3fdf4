"""What a memory of less than 2 MB can make an operation cost: at most 512 MB, and no error but those of memvid.

``python -m tools.hostile_bounds`` tries every kind with every operation; here are those that were found to hurt.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.bombs import KINDS, MOST_BYTES
from tests.hostile.bounded import measure
from tests.hostile.hostile_files import DOCUMENTS, FILMS

HURT = {
    "table_counts": ["verify", "verify deep", "reindex", "repair", "append", "neighbours"],
    "small_chunks": ["verify deep", "reindex", "repair", "compact", "append"],
    "expanding_chunks": ["verify deep", "reindex", "compact"],
    "alike_chunks": ["erase", "compact"],
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
    "changed_metadata": ["verify", "search", "reindex", "repair"],
    "many_changes": ["search", "verify deep", "compact", "append"],
    "changed_brackets": ["search", "verify deep", "repair"],
    "many_commits": ["verify", "append", "repair"],
    "changed_ids": ["verify deep", "search", "append", "erase"],
    "page_tables": ["repair"],
    "one_frame": ["verify deep", "repair"],
    "film_of_one_picture": ["open", "repair", "import"],
    "film_of_patterns": ["verify", "repair"],
    "old_codes_of_brackets": ["import"],
    "lines_of_gzip": ["read documents"],
    "book": ["read documents"],
}


@pytest.mark.parametrize(("kind", "operation"), [(kind, each) for kind, names in HURT.items() for each in names])
def test_a_small_file_costs_little(tmp_path: Path, kind: str, operation: str) -> None:
    video = {**KINDS, **FILMS, **DOCUMENTS}[kind](tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < MOST_BYTES
    cost = measure(operation, video)
    assert cost.problem is None, cost
