"""``memvid log``: what was done to a memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, emit_json, heading, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.types import CommitInfo

__all__ = ["log"]


@click.command()
@options.memory_argument
@options.index_file
@options.as_json
def log(*, memory: Path, index_file: Path | None, as_json: bool) -> None:
    """List the commits of MEMORY, the last first.

    That is what was done to it since it was built or compacted.

    \b
    memvid log memory.mp4
    """
    with options.open_unasked(memory, index_file) as retriever:
        commits = retriever.log()
    if as_json:
        emit_json({"video_file": memory, "commits": [asdict(commit) for commit in commits]})
        return
    for commit in reversed(commits):
        emit(heading(f"commit {commit.number}{f'  {commit.date}' if commit.date else ''}"))
        emit(f"  {_changes(commit)}")
        if commit.message:
            emit(f"  {one_line(commit.message)}")


def _changes(commit: CommitInfo) -> str:
    """``12 chunks added, 3 deleted: 525 chunks``."""
    counts = {"added": commit.added, "deleted": commit.deleted, "with other metadata": commit.changed}
    done = [f"{count:,} {what}" for what, count in counts.items() if count]
    return f"{', '.join(done) or 'nothing added'}: {counted(commit.chunks, 'chunk')}"
