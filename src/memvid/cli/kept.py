"""What a command that was cut off keeps in its checkpoint, and how the user hears of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from memvid.cli.output import command_line, one_line, program_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["command_to_go_on", "kept_rows", "telling_what_is_kept"]

_RESUME = "--resume"


@contextmanager
def telling_what_is_kept(checkpoint: Path | None, arguments: tuple[str, ...]) -> Iterator[None]:
    """Say how to go on with a command that ended early, if it has made embeddings.

    :param arguments: what was typed, the verb first.
    """
    if checkpoint is None:
        yield
        return
    from memvid.building.checkpoint import checkpoint_rows

    before = checkpoint_rows(checkpoint)
    try:
        yield
    except BaseException as error:
        kept = checkpoint_rows(checkpoint)
        if kept > before or (kept and isinstance(error, KeyboardInterrupt)):
            place, command = one_line(str(checkpoint)), command_to_go_on(arguments)
            click.echo(f"memvid: {kept:,} embeddings are kept in {place}; to go on:\n  {command}", err=True)
        raise


def command_to_go_on(arguments: tuple[str, ...]) -> str:
    """The command that was typed, so that it goes on where it was cut off: only `build` has to be told."""
    again = [argument for argument in arguments if argument != _RESUME]
    flag = [_RESUME] if again[:1] == ["build"] else []
    return f"{program_name()} {command_line(*again[:1], *flag, *again[1:])}"


def kept_rows(checkpoint: Path | None) -> list[tuple[str, str]]:
    """A row about embeddings that another run has left, and that this one had no use for, if there are any."""
    from memvid.building.checkpoint import checkpoint_rows

    kept = 0 if checkpoint is None else checkpoint_rows(checkpoint)
    if not kept:
        return []
    return [("kept", f"{kept:,} embeddings of other texts, which a run that was cut off left in {checkpoint}")]
