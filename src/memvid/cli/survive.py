"""``memvid survive``: what of a memory comes back after others have encoded its video again."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import emit, emit_json, format_bytes, heading, table
from memvid.cli.progress import ProgressBars

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.exchange import RungResult, SurviveReport

__all__ = ["survive"]


@click.command()
@options.video_argument
@click.option(
    "--ladder",
    type=click.Choice(["default", "quick"]),
    default="default",
    show_default=True,
    help="What to try; quick is five rungs.",
)
@click.option("--frames", type=int, metavar="N", help="Send so many frames, from the start.  [default: all of them]")
@click.option("--crf", type=int, metavar="N", help="Quality of the export, lower is better.  [default: h264's own]")
@options.as_json
def survive(*, video: Path, ladder: str, frames: int | None, crf: int | None, as_json: bool) -> None:
    """Encode a memory again, in many ways, and count what comes back.

    A ladder of codecs, qualities, sizes, frame rates and containers, in a temporary folder; VIDEO itself is not
    touched. A video of PNG frames is exported to h264 first, any other is sent as it is. Needs PyAV: pip install
    "memvid[video]".

    \b
    memvid survive memory.mp4 --frames 50
    memvid survive shared.mp4 --ladder quick
    """
    from memvid import exchange

    with ProgressBars() as bars:
        report = exchange.survive(video, ladder=ladder, frames=frames, crf=crf, progress=bars)
    if as_json:
        emit_json(asdict(report))
    else:
        _print(report)


def _print(report: SurviveReport) -> None:
    emit(heading(str(report.video_file)))
    emit(
        f"  {report.frames:,} frames of {report.width} x {report.width} pixels, {report.codec}, "
        f"{format_bytes(report.video_bytes)}, {_of_text(report.video_bytes, report)} of the text\n"
    )
    lines = [("", "frames lost", "of the text", "")]
    lines += [(rung.name, _lost(rung), _of_text(rung.video_bytes, report), rung.error or "") for rung in report.rungs]
    emit(table(lines))
    whole = sum(rung.whole for rung in report.rungs)
    emit(f"\nEvery byte came back from {whole} of {len(report.rungs)}.")


def _lost(rung: RungResult) -> str:
    if not rung.lost:
        return "none"
    return f"{rung.lost:,}" + (f", {rung.rebuilt:,} rebuilt" if rung.rebuilt else "")


def _of_text(count: int, report: SurviveReport) -> str:
    return f"{count / report.text_bytes:.2f}" if report.text_bytes else "-"
