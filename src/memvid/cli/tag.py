"""``memvid tag``: other metadata for chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memvid.cli import options
from memvid.cli.conditions import parse_value
from memvid.cli.results import emit_change

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["tag"]


@click.command()
@options.memory_argument
@options.index_file
@options.chunk_ids
@options.where
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="What a field gets: a JSON number, boolean, null, list or object, any other text as it is; repeatable.",
)
@click.option("--unset", "removed", multiple=True, metavar="KEY", help="A field that goes; repeatable.")
@options.message
@options.date
@options.as_json
def tag(
    *,
    memory: Path,
    index_file: Path | None,
    chunk_ids: tuple[int, ...],
    where: dict[str, Any] | None,
    assignments: tuple[str, ...],
    removed: tuple[str, ...],
    message: str | None,
    date: str | None,
    as_json: bool,
) -> None:
    """Change metadata of chunks of MEMORY.

    Other fields of the chunks stay, and their texts are neither stored nor embedded again.

    \b
    memvid tag memory.mp4 --where source=a.txt --set source=b.txt
    memvid tag memory.mp4 --id 17 --set reviewed=true --unset draft
    """
    from memvid import maintenance

    if not chunk_ids and where is None:
        raise click.UsageError("no chunk to change: give --id or --where")
    if not assignments and not removed:
        raise click.UsageError("nothing to change: give --set or --unset")
    result = maintenance.tag(
        memory,
        index_file,
        values=_parse(assignments),
        remove=removed,
        chunk_ids=chunk_ids,
        where=where,
        date=date,
        message=message,
    )
    emit_change(result, "changed", result.changed, as_json=as_json)


def _parse(assignments: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{assignment!r} is not key=value", param_hint="--set")
        values[key] = parse_value(value)
    return values
