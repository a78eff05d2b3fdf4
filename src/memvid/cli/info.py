"""``memvid info``: what a memory is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, emit_json, format_bytes, heading, rows

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.retriever import MemoryInfo

__all__ = ["info"]


@click.command()
@options.memory_argument
@options.index_file
@options.index_model
@options.as_json
def info(*, memory: Path, index_file: Path | None, model: str | None, as_json: bool) -> None:
    """Say what is in a memory.

    Chunks, frames, sizes, QR geometry and embedding model of MEMORY.

    \b
    memvid info memory.mp4
    """
    with options.open_unasked(memory, index_file, model) as retriever:
        found = retriever.info
    if as_json:
        emit_json({"video_file": memory, **asdict(found)})
    else:
        emit(heading(str(memory)))
        emit(rows(_describe(found)))


def _describe(found: MemoryInfo) -> list[tuple[str, str]]:
    from memvid.page import describe_chunks

    changed = bool(found.deleted) or found.chunks != found.built_chunks
    then = f" in {counted(found.built_chunks, 'chunk')} when it was built or compacted" if changed else ""
    deleted = f", and {found.deleted:,} that {'was' if found.deleted == 1 else 'were'} deleted" if found.deleted else ""
    frames_bytes = found.video_bytes - found.index_bytes * found.index_inside
    ratio = f"{frames_bytes / found.text_bytes:.2f} of the text" if found.text_bytes and not changed else ""
    without = f"{format_bytes(frames_bytes)} without the index" if found.index_inside else ""
    modules = 4 * found.symbol_version + 17
    profile = "" if found.profile == "fast" else f"profile {found.profile}, "
    dictionary = f", dictionary of {format_bytes(found.dictionary_bytes)}" if found.dictionary_bytes else ""
    return [
        *([("title", found.title)] if found.title else []),
        *([("date", found.date)] if found.date else []),
        ("chunks", f"{found.chunks:,}{deleted}"),
        *([("missing", f"{describe_chunks(found.missing)}: the video has lost them")] if found.missing else []),
        ("text", f"{format_bytes(found.text_bytes)}{then}, compression {found.compression}{dictionary}"),
        ("video", ", ".join(filter(None, (format_bytes(found.video_bytes), without, ratio)))),
        (
            "frames",
            f"{found.frames:,} of {found.width} x {found.height} pixels, {found.codec}, {found.fps:g} a second",
        ),
        (
            "QR codes",
            f"version {found.symbol_version}, {modules} x {modules} modules, error correction {found.error_correction}",
        ),
        *([("parity", f"{found.parity:g} frames for each frame")] if found.parity else []),
        (
            "index",
            f"{format_bytes(found.index_bytes)}{', inside' * found.index_inside}, "
            f"{profile}vectors of {found.model.dim} x {found.vector_dtype}",
        ),
        ("model", found.model.name),
        ("memory id", found.memory_id),
    ]
