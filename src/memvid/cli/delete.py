"""``memvid delete``: chunks out of a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memvid.cli import options
from memvid.cli.results import emit_change

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["delete"]


@click.command()
@options.memory_argument
@options.index_file
@options.chunk_ids
@options.where
@options.message
@options.date
@options.as_json
def delete(
    *,
    memory: Path,
    index_file: Path | None,
    chunk_ids: tuple[int, ...],
    where: dict[str, Any] | None,
    message: str | None,
    date: str | None,
    as_json: bool,
) -> None:
    """Delete chunks of MEMORY, by id or by metadata.

    Searches skip them from now on. Their text stays in the file until `memvid compact` or `memvid erase` takes it out.

    \b
    memvid delete memory.mp4 --id 17 --id 18
    memvid delete memory.mp4 --where source=notes/old.md
    """
    from memvid import maintenance

    if not chunk_ids and where is None:
        raise click.UsageError("nothing to delete: give --id or --where")
    result = maintenance.delete(memory, index_file, chunk_ids=chunk_ids, where=where, date=date, message=message)
    emit_change(result, "deleted", result.deleted, as_json=as_json)
