"""``memvid pack`` and ``memvid unpack``: the index inside the video, or beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import emit, emit_json, format_bytes, heading, rows
from memvid.cli.results import index_text

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.maintenance import PackResult

__all__ = ["pack", "unpack"]


@click.command()
@options.memory_argument
@options.index_file
@options.as_json
def pack(*, memory: Path, index_file: Path | None, as_json: bool) -> None:
    """Put the index of MEMORY inside its video.

    The memory is one file then. Nothing is embedded. The files of the index go when the video has it.

    \b
    memvid pack memory.mp4
    """
    from memvid import maintenance

    _print(maintenance.pack(memory, index_file), as_json=as_json)


@click.command()
@options.memory_argument
@options.index_file
@options.as_json
def unpack(*, memory: Path, index_file: Path | None, as_json: bool) -> None:
    """Put the index of MEMORY beside its video again.

    \b
    memvid unpack memory.mp4
    """
    from memvid import maintenance

    _print(maintenance.unpack(memory, index_file), as_json=as_json)


def _print(result: PackResult, *, as_json: bool) -> None:
    if as_json:
        emit_json(asdict(result))
        return
    index = index_text(result.index_bytes, result.index_file, result.video_file)
    emit(heading(str(result.video_file)))
    emit(rows([("video", format_bytes(result.video_bytes)), ("index", index)]))
