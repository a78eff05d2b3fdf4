"""``memvid export``: a memory's video in another codec."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, get_args

import click

from memvid.cli import options
from memvid.cli.output import command_line, emit, emit_json, format_bytes, format_seconds, heading, rows
from memvid.cli.progress import ProgressBars
from memvid.config import Codec
from memvid.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.exchange import ExportResult

__all__ = ["export"]


@click.command()
@options.video_argument
@click.option("-o", "--output", type=options.file_path, required=True, help="The video to write.")
@click.option(
    "--codec", type=click.Choice(get_args(Codec)), default="h264", show_default=True, help="What to encode frames with."
)
@click.option("--crf", type=int, metavar="N", help="Quality, lower is better.  [default: the codec's own]")
@click.option(
    "--pixels-per-module", type=int, metavar="N", help="Pixels a QR module takes.  [default: 4; 1 for ffv1 and png]"
)
@click.option("-f", "--force", is_flag=True, help="Replace a file that is there already.")
@options.threads
@options.as_json
def export(
    *,
    video: Path,
    output: Path,
    codec: Codec,
    crf: int | None,
    pixels_per_module: int | None,
    force: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Write a memory's video in another codec.

    The new video plays where VIDEO does not, and survives being encoded again. It is the same memory: the index of
    VIDEO opens it, too. Every frame is read back before the file takes its name. The file's name asks for the
    container.

    \b
    memvid export memory.mp4 -o shared.mp4
    memvid export memory.mp4 -o small.webm --codec av1
    memvid search shared.mp4 "a question" --index memory.mp4
    """
    from memvid import exchange
    from memvid.building.outputs import check_video_output

    check_video_output(output, codec=codec, inputs=[video])
    if output.exists() and not force:
        raise OutputError(f"{output} is there already: --force replaces it, -o names another file")
    with ProgressBars() as bars:
        result = exchange.export(
            video,
            output,
            codec=codec,
            crf=crf,
            pixels_per_module=pixels_per_module,
            threads=threads,
            progress=bars,
        )
    if as_json:
        emit_json(asdict(result))
    else:
        _print(result, video)


def _print(result: ExportResult, video: Path) -> None:
    from memvid.index.location import find_index

    ratio = f", {result.video_bytes / result.text_bytes:.2f} of the text" if result.text_bytes else ""
    emit(heading(str(result.video_file)))
    emit(
        rows(
            [
                ("frames", f"{result.frames:,} of {result.width} x {result.height} pixels, {result.codec}"),
                ("video", f"{format_bytes(result.video_bytes)}{ratio}"),
                ("before", format_bytes(result.source_bytes)),
                ("time", format_seconds(result.seconds)),
            ]
        )
    )
    search, index = command_line("memvid", "search", result.video_file), find_index(video)
    if index.exists():
        emit(f'\nAsk it:  {search} "your question" --index {command_line(index)}')
    else:
        emit(f"\n{index} is not there: ask it with the index of the memory (--index), or make one:")
        emit(f"  {command_line('memvid', 'reindex', result.video_file)}")
