"""``memvid scan``: all chunks of a memory, as they are or as they were."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from memvid.cli import options
from memvid.cli.output import emit

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["scan"]


@click.command()
@options.memory_argument
@click.option("--as-of", type=int, metavar="N", help="As it was at a commit, see `memvid log`.  [default: as it is]")
@options.where
@options.index_file
def scan(*, memory: Path, as_of: int | None, where: dict[str, Any] | None, index_file: Path | None) -> None:
    """Print all chunks of MEMORY, a line of JSON each.

    Each line is {"text": ..., "metadata": {...}, "chunk_id": N}, in the order of the ids: what `memvid build` reads as
    a .jsonl file.

    \b
    memvid scan memory.mp4 > chunks.jsonl
    memvid scan memory.mp4 --as-of 2 | jq -r .text
    memvid scan memory.mp4 --where source^=notes/
    """
    with options.open_unasked(memory, index_file) as retriever:
        for chunk in retriever.scan(as_of, where=where):
            content = {"text": chunk.text, "metadata": chunk.metadata, "chunk_id": chunk.chunk_id}
            if chunk.metadata_fault is not None:
                content["metadata_fault"] = chunk.metadata_fault
            emit(json.dumps(content))
