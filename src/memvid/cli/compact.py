"""``memvid compact``: a memory without what was deleted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, emit_json, format_bytes, format_seconds, heading, rows
from memvid.cli.progress import ProgressBars
from memvid.cli.results import unusable_rows

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.config import Profile
    from memvid.maintenance import CompactResult

__all__ = ["compact", "compact_rows"]


@click.command()
@options.memory_argument
@options.index_file
@options.index_model
@options.profile
@options.threads
@options.unpacked_bytes
@options.as_json
def compact(
    *,
    memory: Path,
    index_file: Path | None,
    model: str | None,
    profile: Profile | None,
    threads: int | None,
    unpacked_bytes: int | None,
    as_json: bool,
) -> None:
    """Write MEMORY anew, without the chunks that were deleted.

    The index becomes one piece again. Chunks keep their ids, embeddings are taken from the index. Video and index are
    replaced at the end, in one step.

    \b
    memvid compact memory.mp4
    """
    from memvid import maintenance

    embedder = options.load_embedder(model)
    with ProgressBars() as bars:
        result = maintenance.compact(
            memory, index_file, embedder=embedder, profile=profile, threads=threads, progress=bars,
            unpacked_bytes=unpacked_bytes,
        )  # fmt: skip
    if as_json:
        emit_json(asdict(result))
        return
    emit(heading(str(result.video_file)))
    emit(rows(compact_rows(result)))


def compact_rows(result: CompactResult) -> list[tuple[str, str]]:
    """What became of a memory, for reading."""
    return [
        ("memory", f"{counted(result.chunks, 'chunk')}; the text of {result.removed:,} was taken out"),
        ("frames", f"{result.frames:,}, before {result.frames_before:,}"),
        ("video", f"{format_bytes(result.video_bytes)}, before {format_bytes(result.video_bytes_before)}"),
        ("index", format_bytes(result.index_bytes)),
        *unusable_rows(result.unusable_metadata),
        ("time", format_seconds(result.seconds)),
    ]
