"""``memvid repair``: a sound memory out of a damaged one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, emit_json, format_seconds, heading, one_line, rows
from memvid.cli.progress import ProgressBars

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.maintenance import RepairResult

__all__ = ["repair"]

_SHOWN = 20  # findings printed for reading


@click.command()
@options.memories_argument
@click.option(
    "-o", "--output", type=options.file_path, required=True, help="The video to make; must not be there already."
)
@options.index_file
@click.option(
    "--memory",
    metavar="ID",
    help="Which one to bring back of several that have frames in the video: the first digits of its id.  [default: the "
    "one that the index is of, else the first]",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="What makes embeddings that the old index has not: the folder of a sentence-transformers model exported to "
    "ONNX, or 'hashing'.  [default: the model that the video names]",
)
@options.unpacked_bytes
@options.as_json
def repair(
    *,
    memories: tuple[Path, ...],
    output: Path,
    index_file: Path | None,
    memory: str | None,
    model: str | None,
    unpacked_bytes: int | None,
    as_json: bool,
) -> None:
    """Make a sound memory out of a damaged one.

    Every frame of MEMORY that can still be read goes into a new video, with a new index inside; the old files stay
    as they are. Also for files that were cut off, or written anew by another program. Chunks that are lost are named,
    the others keep their ids. Of several copies of one memory it takes every frame that any of them still has.

    \b
    memvid repair damaged.mp4 -o memory.mp4
    memvid repair copy.mp4 other.mp4 -o memory.mp4
    """
    from memvid import maintenance

    with ProgressBars() as bars:
        result = maintenance.repair(
            memories,
            output,
            index=index_file,
            memory=memory,
            embedder=options.load_embedder(model),
            progress=bars,
            unpacked_bytes=unpacked_bytes,
        )
    if as_json:
        emit_json(asdict(result))
    else:
        _print(result, several=len(memories) > 1)


def _print(result: RepairResult, *, several: bool) -> None:
    from memvid.page import describe_chunks

    emit(heading(str(result.video_file)))
    listed = [
        ("found", one_line(f"{finding.file}: {finding.message}" if several else finding.message))
        for finding in result.findings[:_SHOWN]
    ]
    if len(result.findings) > _SHOWN:
        listed.append(("", f"and {len(result.findings) - _SHOWN:,} more, which --json lists"))
    deleted = f", {result.deleted:,} of them deleted" * bool(result.deleted)
    listed += [
        ("video", f"{counted(result.chunks, 'chunk')} in {counted(result.frames, 'frame')}{deleted}"),
        ("lost", describe_chunks(result.lost)),
        *_left_out(result),
        ("index", "inside" if result.index_file == result.video_file else str(result.index_file)),
        ("embeddings", f"{result.embeddings_kept:,} kept, {result.embeddings_made:,} made"),
        ("time", format_seconds(result.seconds)),
    ]
    emit(rows(listed))


def _left_out(result: RepairResult) -> list[tuple[str, str]]:
    from memvid.page import describe_chunks

    if not result.unusable_metadata:
        return []
    return [("metadata", f"that of {describe_chunks(result.unusable_metadata)} cannot be used, and is left out")]
