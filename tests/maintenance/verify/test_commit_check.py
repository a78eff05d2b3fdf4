"""What commit pages may say, given what is behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memvid import CommitInfo
from memvid.maintenance.verify.commit_check import commit_faults
from memvid.page import ChunkIds, PageKind
from memvid.video import PageTable, PageTableBuilder

FIRST, SECOND = 2, 5  # frames of the commits
SOUND = [
    (FIRST, CommitInfo(number=2, first_chunk=4, added=3, deleted=1, changed=1, chunks=6)),
    (SECOND, CommitInfo(number=3, first_chunk=7, added=0, deleted=2, changed=0, chunks=4)),
]
CHANGED = ChunkIds.of([2])
DELETED = {4: ChunkIds.of([0]), 6: ChunkIds.of([1, 5])}


def table() -> PageTable:
    """Header page, four chunks; a commit, three chunks, a deletion; a commit, two deletions."""
    builder = PageTableBuilder()
    rows = [
        *((PageKind.HEADER, 0, 0), (PageKind.DATA, 4, 0)),
        *((PageKind.COMMIT, 0, 0), (PageKind.DATA, 3, 4), (PageKind.TOMBSTONES, 0, 0)),
        *((PageKind.COMMIT, 0, 0), (PageKind.TOMBSTONES, 0, 0)),
    ]
    for kind, count, first in rows:
        builder.add(kind, count, first, 0)
    return builder.build(1)


def faults(commits: list[tuple[int, CommitInfo]]) -> list[tuple[int, bool]]:
    def deleted_in(start: int, stop: int) -> ChunkIds:
        return ChunkIds.union(ids for frame, ids in DELETED.items() if start <= frame < stop)

    def changed_in(start: int, stop: int) -> ChunkIds:
        return CHANGED if start <= FIRST < stop else ChunkIds.of([])

    return [(frame, impossible) for frame, impossible, _ in commit_faults(table(), commits, deleted_in, changed_in)]


def test_what_is_so_is_no_fault() -> None:
    assert faults(SOUND) == []
    assert faults([]) == []


@pytest.mark.parametrize(
    ("at", "changes", "expected"),
    [
        (0, {"number": 1}, [(FIRST, True), (SECOND, False)]),
        (1, {"number": 2}, [(SECOND, True)]),
        (1, {"number": 5}, [(SECOND, False)]),
        (0, {"added": 2}, [(FIRST, True)]),
        (0, {"added": 4}, [(FIRST, False)]),
        (0, {"first_chunk": 5}, [(FIRST, True)]),
        (1, {"deleted": 3}, [(SECOND, False)]),
        (0, {"changed": 0}, [(FIRST, False)]),
        (1, {"chunks": 5}, [(SECOND, False)]),
    ],
)
def test_what_is_not_so_is_one(at: int, changes: dict[str, Any], expected: list[tuple[int, bool]]) -> None:
    """What nobody ever wrote is told from what was lost."""
    commits = list(SOUND)
    commits[at] = (commits[at][0], replace(commits[at][1], **changes))
    assert faults(commits) == expected


def test_a_commit_that_is_lost_leaves_a_gap() -> None:
    assert faults(SOUND[1:]) == [(SECOND, False)]
