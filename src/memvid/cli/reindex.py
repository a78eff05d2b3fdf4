"""``memvid reindex``: the index anew, from the video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.kept import kept_rows, telling_what_is_kept
from memvid.cli.output import counted, emit, emit_json, format_bytes, format_seconds, heading, rows
from memvid.cli.progress import ProgressBars
from memvid.cli.results import unusable_rows
from memvid.remedies import other_memory

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.config import Profile
    from memvid.maintenance import ReindexResult

__all__ = ["reindex"]


@click.command()
@options.video_argument
@options.index_file
@click.option(
    "--model",
    metavar="MODEL",
    help="What makes embeddings: the folder of a sentence-transformers model exported to ONNX, or 'hashing' (shared "
    "words only, no model).  [default: the model that the video names]",
)
@options.profile
@options.unpacked_bytes
@options.as_json
@click.pass_obj
def reindex(
    arguments: tuple[str, ...],
    /,
    *,
    video: Path,
    index_file: Path | None,
    model: str | None,
    profile: Profile | None,
    unpacked_bytes: int | None,
    as_json: bool,
) -> int:
    """Make the index anew, from the video alone.

    For an index that was lost or damaged, or for another model. Every frame of VIDEO that holds chunks is read and
    verified, every chunk embedded again. The old index is replaced at the end, in one step; where there is none, the
    new one goes inside the video. A run that was cut off goes on when it is started again. The exit code is 1 if the
    video has lost something: the new index is of the rest, with the vectors that the old one has, and remembers which
    chunks are missing.

    \b
    memvid reindex memory.mp4
    """
    from memvid import maintenance
    from memvid.building.checkpoint import checkpoint_file
    from memvid.maintenance.rewrite.reindex import choose_place

    place = choose_place(video, index_file)
    # Embeddings of the hashing embedder are made in less time than it takes to keep them.
    checkpoint = None if model == "hashing" else checkpoint_file(place)
    with telling_what_is_kept(checkpoint, arguments), ProgressBars() as bars:
        result = maintenance.reindex(
            video,
            index_file,
            embedder=options.load_embedder(model),
            profile=profile,
            progress=bars,
            checkpoint=checkpoint,
            unpacked_bytes=unpacked_bytes,
        )
    lost = 0 if result.whole else 1
    if as_json:
        emit_json(
            {
                "video_file": result.video_file,
                "index_file": result.index_file,
                "chunks": result.chunks,
                "index_bytes": result.index_bytes,
                "model": result.model.name,
                "embeddings": {"made": result.embeddings_made, "resumed": result.embeddings_resumed},
                "embeddings_kept": result.embeddings_kept,
                "missing": result.missing,
                "unnamed": result.unnamed,
                "undeleted": result.undeleted,
                "lost_frames": result.lost_frames,
                "other_memories": result.other_memories,
                "lost_metadata": result.lost_metadata,
                "unusable_metadata": result.unusable_metadata,
                "seconds": result.seconds,
            }
        )
        return lost
    resumed = f", {result.embeddings_resumed:,} resumed" if result.embeddings_resumed else ""
    kept = f", {result.embeddings_kept:,} kept" if result.embeddings_kept else ""
    chunks = counted(result.chunks, "chunk")
    emit(heading(str(result.index_file)))
    emit(
        rows(
            [
                ("index", f"{format_bytes(result.index_bytes)} for {chunks} of {result.video_file}"),
                ("embeddings", f"{result.embeddings_made:,} made by {result.model.name}{resumed}{kept}"),
                *_lost_rows(result),
                *(("left out", other_memory(*other)) for other in result.other_memories.items()),
                *unusable_rows(result.unusable_metadata),
                *kept_rows(checkpoint),
                ("time", format_seconds(result.seconds)),
            ]
        )
    )
    return lost


def _lost_rows(result: ReindexResult) -> list[tuple[str, str]]:
    """What the video has lost."""
    from memvid.maintenance.verify.missing_chunks import MissingChunks
    from memvid.page import ChunkIds, describe_chunks

    missing = MissingChunks(ChunkIds.of_ranges(result.missing), result.unnamed)
    found = [("missing", f"{missing}: the video has lost them")] if missing else []
    if result.undeleted:
        found.append(("deletions", f"{result.undeleted:,} are lost: those chunks are there again"))
    if result.lost_metadata:
        which = describe_chunks(result.lost_metadata)
        found.append(("metadata", f"that of {which} is lost: they are there without, or with what they had before"))
    if not result.whole:
        frames = f"{counted(result.lost_frames, 'frame')} of the video are lost; " if result.lost_frames else ""
        found.append(("video", f"{frames}`memvid repair` writes a memory of what is left"))
    return found
