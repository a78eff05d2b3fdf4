"""``memvid import``: a memory of memvid 0.1.3 into one of ours."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.kept import kept_rows, telling_what_is_kept
from memvid.cli.output import (
    command_line,
    counted,
    emit,
    emit_json,
    format_bytes,
    format_seconds,
    heading,
    one_line,
    rows,
)
from memvid.cli.progress import ProgressBars
from memvid.cli.results import size_rows
from memvid.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memvid.maintenance import ImportResult
    from memvid.page import ChunkRanges

__all__ = ["import_old"]


@click.command("import")
@click.argument("old", nargs=-1, required=True, type=options.file_path, metavar="OLD_VIDEO OLD_INDEX")
@click.option(
    "-o",
    "--output",
    type=options.file_path,
    default=Path("memory.mp4"),
    show_default=True,
    help="The video to make, with its index inside.",
)
@click.option("-f", "--force", is_flag=True, help="Replace a memory that is there already.")
@options.model
@options.threads
@options.as_json
@click.pass_obj
def import_old(
    arguments: tuple[str, ...],
    /,
    *,
    old: tuple[Path, ...],
    output: Path,
    force: bool,
    model: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Bring a memory of memvid 0.1.3 over.

    OLD_VIDEO is its video, OLD_INDEX its .json file; either may be left out. Texts are read out of the frames; where a
    frame cannot be read, the copy in the old index is taken. Says how many came from where, how many differ, and which
    are lost. The old files stay as they are. A run that was cut off goes on when it is started again.

    \b
    memvid import old.mp4 old_index.json -o memory.mp4
    """
    from memvid import maintenance
    from memvid.building.checkpoint import checkpoint_file
    from memvid.building.outputs import check_outputs
    from memvid.config import EncoderConfig

    video, index = _sort_out(old)
    for path in check_outputs(output, None, codec="png", inputs=old):
        if path.exists() and not force:
            raise OutputError(f"{path} is there already: --force replaces it, -o names another file")
    # Embeddings of the hashing embedder are made in less time than it takes to keep them.
    checkpoint = None if model == "hashing" else checkpoint_file(output)
    with telling_what_is_kept(checkpoint, arguments), ProgressBars() as bars:
        result = maintenance.import_memory(
            video,
            index,
            output,
            embedder=options.load_embedder(model),
            config=EncoderConfig(threads=threads),
            progress=bars,
            checkpoint=checkpoint,
        )
    if as_json:
        emit_json(asdict(result))
    else:
        _print(result, video, index, checkpoint)
        emit(f'\nAsk it:  {command_line("memvid", "search", *options.model_arguments(model), output)} "your question"')


def _sort_out(old: tuple[Path, ...]) -> tuple[Path | None, Path | None]:
    """The video and the index among the arguments.

    :raises click.UsageError: there are two of a kind.
    """
    indexes = [path for path in old if path.suffix.lower() == ".json"]
    videos = [path for path in old if path not in indexes]
    if len(indexes) > 1 or len(videos) > 1:
        raise click.UsageError("give one video, or one index that ends in .json, or one of each")
    return next(iter(videos), None), next(iter(indexes), None)


def _print(result: ImportResult, video: Path | None, index: Path | None, checkpoint: Path | None) -> None:
    frames = f", {counted(result.old_frames, 'frame')}" if video is not None else ""
    listed = [
        ("old", format_bytes(result.old_bytes) + frames),
        *_sources(result, video, index),
    ]
    listed += [
        *size_rows(result),
        ("embeddings", f"{result.chunks:,} of {result.model.name}"),
        *kept_rows(checkpoint),
        ("time", format_seconds(result.seconds)),
    ]
    emit(heading(str(result.video_file)))
    emit(rows((name, one_line(text)) for name, text in listed))


def _sources(result: ImportResult, video: Path | None, index: Path | None) -> Iterator[tuple[str, str]]:
    """Where the chunks came from, and what did not come."""
    from memvid.page import describe_chunks

    if video is not None:
        yield "from frames", f"{result.from_frames:,} of {counted(result.chunks, 'chunk')}"
    if index is not None:
        yield "from index", describe_chunks(result.from_index)
    if video is not None and index is not None:
        taken = "; the frame's text was taken" if result.disagreeing else ""
        yield "differ", f"{describe_chunks(result.disagreeing)}{taken}"
    if result.unindexed:
        yield "not indexed", f"{describe_chunks(result.unindexed)}; only frames had the text"
    if result.left_out:
        yield "left out", f"{_old_frames(result.left_out)}: the text is blank, or not valid Unicode"
    hint = "; give the old index, too: it may have a copy" if index is None and result.lost else ""
    yield "lost", f"{describe_chunks(result.lost)}{hint}"
    if result.missing_bytes:
        yield (
            "missing",
            f"{result.missing_bytes:,} bytes of the video, which the disk does not give: so may be frames",
        )
    if result.lost_frames:
        yield "", f"{_old_frames(result.lost_frames)}: not readable, and the index knows nothing of it"


def _old_frames(ranges: ChunkRanges) -> str:
    from memvid.page import count_chunks, describe_chunks

    numbers = describe_chunks(ranges).rpartition(": ")[2].removeprefix("chunk ")
    return f"frame{'s' if count_chunks(ranges) > 1 else ''} {numbers} of the old video"
