"""``memvid erase``: chunks out of the bytes of a memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from memvid.cli import options
from memvid.cli.compact import compact_rows
from memvid.cli.output import emit, emit_json, format_bytes, heading, rows
from memvid.cli.progress import ProgressBars

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.maintenance import EraseResult

__all__ = ["erase"]


@click.command()
@options.memory_argument
@options.index_file
@options.chunk_ids
@options.where
@options.index_model
@options.threads
@options.unpacked_bytes
@options.as_json
def erase(
    *,
    memory: Path,
    index_file: Path | None,
    chunk_ids: tuple[int, ...],
    where: dict[str, Any] | None,
    model: str | None,
    threads: int | None,
    unpacked_bytes: int | None,
    as_json: bool,
) -> None:
    """Take chunks out of MEMORY, and prove them gone.

    The memory is written anew without them, and without what was deleted before. Then all new files are scanned, as
    they are and decompressed, for every piece of the removed texts. A checkpoint that an interrupted build has left is
    removed. Copies of the old files are not memvid's to erase.

    \b
    memvid erase memory.mp4 --id 17
    memvid erase memory.mp4 --where customer=4711
    """
    from memvid import maintenance
    from memvid.page import describe_chunks

    if not chunk_ids and where is None:
        raise click.UsageError("nothing to erase: give --id or --where")
    embedder = options.load_embedder(model)
    with ProgressBars() as bars:
        result = maintenance.erase(
            memory,
            index_file,
            chunk_ids=chunk_ids,
            where=where,
            embedder=embedder,
            threads=threads,
            progress=bars,
            unpacked_bytes=unpacked_bytes,
        )
    if as_json:
        emit_json(asdict(result))
        return
    emit(heading(str(result.compacted.video_file)))
    emit(
        rows(
            [
                ("erased", describe_chunks(result.erased)),
                ("proof", f"none of {result.blocks:,} pieces is in {format_bytes(result.scanned_bytes)} of new files"),
                *([("title", "erased, too: it had a piece of what is erased")] if result.title_erased else []),
                *_repeated(result),
                *([("index", f"{result.index_removed.name}, left beside, is removed")] if result.index_removed else []),
                *(("checkpoint", f"{path.name} is removed") for path in result.checkpoints_removed),
                *(("still there", f"{path.name}, which may hold more of them") for path in result.checkpoints_left),
                *(("still there", f"the old {path.name} by its other names") for path in result.linked_files),
                *(
                    ("still there", f"{path.name}, another memory's, which has words of it")
                    for path in result.foreign_files
                ),
                *compact_rows(result.compacted),
            ]
        )
    )


def _repeated(result: EraseResult) -> list[tuple[str, str]]:
    from memvid.page import count_chunks, describe_chunks

    if not result.repeated:
        return []
    verb = "has" if count_chunks(result.repeated) == 1 else "have"
    return [("still there", f"an erased text: {describe_chunks(result.repeated)} {verb} it, too; --id erases them")]
