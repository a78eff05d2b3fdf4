"""``memvid demo``: the first thing to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import (
    command_line,
    counted,
    emit,
    emit_json,
    format_bytes,
    format_seconds,
    heading,
    one_line,
    program_name,
    rows,
    table,
)
from memvid.cli.progress import ProgressBars
from memvid.cli.results import result_json, result_text, stages_text

if TYPE_CHECKING:
    from memvid.demo import DemoAnswer, DemoReport
    from memvid.types import JsonObject

__all__ = ["demo"]

_LINES = 3  # of each passage
_PARTS = {"vectors": "vectors and the graph over them", "records": "words and fields"}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("memvid-demo"))
@options.model
@options.as_json
def demo(*, folder: Path, model: str | None, as_json: bool) -> None:
    """See it work: build a memory, ask questions.

    It is the Python language reference, as a video of QR codes, and five questions to it. The memory is built in
    FOLDER (./memvid-demo if none is named; an earlier demo in it is replaced) and stays there to play with. Nothing
    is downloaded. Every number is measured while you wait.

    \b
    memvid demo
    memvid demo /tmp/my-demo --json
    """
    from memvid.demo import run_demo

    if not as_json:
        emit(f"Building a memory of the Python language reference in {one_line(str(folder))}{_slash(folder)} ...\n")
    with ProgressBars() as bars:
        report = run_demo(folder, embedder=options.load_embedder(model), progress=bars)
    if as_json:
        emit_json(_report(report))
        return
    emit(_sizes(report) + "\n")
    emit(_times(report) + "\n")
    for number, answer in enumerate(report.answers, 1):
        emit(_answer(number, answer) + "\n")
    emit(_next_steps(report, model))


def _slash(folder: Path) -> str:
    return "" if str(folder).endswith(("/", ".")) else "/"


def _sizes(report: DemoReport) -> str:
    built = report.build
    sizes = [
        ("text", built.text_bytes, f"{report.topics} topics in {counted(built.chunks, 'chunk')}"),
        ("gzip -9 of the text", report.gzip_bytes, "to compare; it cannot be searched"),
        (built.video_file.name, built.video_bytes, "the memory, one file; in it:"),
        ("  frames", built.video_bytes - built.index_bytes, f"{built.frames} QR codes: all of the text"),
        *((f"  {name}", size, f"index: {_PARTS.get(name, name)}") for name, size in report.index_parts.items()),
    ]
    lines = [(name, format_bytes(size), f"{size / built.text_bytes:.2f} x", note) for name, size, note in sizes]
    return "\n".join([heading("Sizes, and how many times the text"), table(lines)])


def _times(report: DemoReport) -> str:
    built = report.build
    total = built.seconds.get("total", 0.0)
    rate = f", {built.chunks / total:,.0f} chunks a second, embeddings included" if total else ""
    opened = f"{format_seconds(report.open_seconds)}, then {format_seconds(report.warm_seconds)} to warm up"
    return "\n".join([heading("Time"), rows([("build", format_seconds(total) + rate), ("open", opened)])])


def _answer(number: int, answer: DemoAnswer) -> str:
    return "\n".join(
        [
            heading(f"Question {number}: {answer.question}"),
            f"   {stages_text(answer.seconds)}",
            *(result_text(rank, result, lines=_LINES) for rank, result in enumerate(answer.results, 1)),
        ]
    )


def _next_steps(report: DemoReport, model: str | None) -> str:
    video = command_line(report.build.video_file, *options.model_arguments(model))
    memvid = program_name()
    return "\n".join(
        [
            heading("Next"),
            f'  {memvid} search {video} "how do decorators work?"',
            f"  {memvid} chat {video}",
            f"  {memvid} info {video}",
            f"  {memvid} build YOUR_FILES -o memory.mp4",
            f"  ffplay -x 740 -y 740 -vf setpts=10*PTS {command_line(report.build.video_file)}",
            "  (or mpv --speed=0.1: it really is a video of QR codes)",
        ]
    )


def _report(report: DemoReport) -> JsonObject:
    built = report.build
    return {
        "folder": built.video_file.parent,
        "video_file": built.video_file,
        "index_file": built.index_file,
        "topics": report.topics,
        "repeated_chunks_left_out": report.repeated,
        "chunks": built.chunks,
        "frames": built.frames,
        "bytes": {
            "text": built.text_bytes,
            "gzip_9": report.gzip_bytes,
            "video": built.video_bytes,
            "index": built.index_bytes,
            "index_parts": dict(report.index_parts),
        },
        "seconds": {"build": dict(built.seconds), "open": report.open_seconds, "warm": report.warm_seconds},
        "questions": [
            {
                "question": answer.question,
                "seconds": dict(answer.seconds),
                "results": [result_json(result) for result in answer.results],
            }
            for answer in report.answers
        ],
    }
