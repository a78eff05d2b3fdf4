"""What the verbs print: readable text fit for a terminal, one JSON document."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memvid.errors import OutputError
from memvid.printable import printable, shell_word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memvid.types import JsonObject, StrPath

__all__ = [
    "ReaderGoneError",
    "command_line",
    "counted",
    "describe_metadata",
    "emit",
    "emit_json",
    "format_bytes",
    "format_left",
    "format_seconds",
    "heading",
    "one_line",
    "passage",
    "program_name",
    "rows",
    "table",
    "width",
]

_WIDEST = 100  # columns: longer lines are hard to read


class ReaderGoneError(Exception):
    """Whoever read standard output has closed it."""


def emit(text: str = "", *, end: str = "\n") -> None:
    """Print a line, or several, to standard output at once.

    :param end: what follows; nothing, in the middle of a line.
    :raises ReaderGoneError: nobody reads it any more.
    :raises OutputError: it leads to a file that cannot be written, on a full disk for example.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        click.echo((text + end).encode(encoding, "replace").decode(encoding), nl=False)
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        raise OutputError(
            error.errno, f"{error.strerror}: what was to be printed is lost", "standard output"
        ) from error


def emit_json(value: Any) -> None:
    """Print one JSON document: ASCII, so that no terminal or pipe can change it."""
    emit(json.dumps(value, indent=2, default=os.fspath))


def width() -> int:
    """Columns to write: the terminal's, 80 when there is none, never more than is good to read."""
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, _WIDEST))


def heading(text: str) -> str:
    """A line that stands out where the terminal can show it, without control characters: it may be a file's name."""
    text = printable(text).replace("\n", " ")
    return text if os.environ.get("NO_COLOR") else click.style(text, bold=True)


def one_line(text: str) -> str:
    """``text`` on one line, without control characters. Its spaces stay: it may have a command in it, to be copied."""
    return " ".join(line.strip() for line in printable(text).split("\n")).strip()


def command_line(*words: StrPath) -> str:
    """A command to copy into a shell, whatever its files are called; without what could steer the terminal."""
    return " ".join(shell_word(os.fspath(word)) for word in words)


def passage(text: str, *, indent: str = "   ", lines: int | None = None) -> str:
    """A chunk's text folded to the terminal, its control characters shown as such.

    :param lines: a preview of at most so many lines, as one paragraph; ``None`` keeps the text's own lines.
    """
    room = width() - len(indent)
    text = printable(text)
    if lines is not None:
        folded = textwrap.wrap(" ".join(text.split()), room, max_lines=lines, placeholder=" ...")
    else:
        folded = []
        for line in text.splitlines():
            own = line[: len(line) - len(line.lstrip())][: room // 2]
            folded += textwrap.wrap(line.strip(), room, initial_indent=own, subsequent_indent=own) or [""]
    return "\n".join(f"{indent}{line}".rstrip() for line in folded)


def describe_metadata(metadata: JsonObject) -> str:
    """``key: value`` pairs on one line, as many as fit."""
    pairs = (f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in metadata.items())
    return textwrap.shorten(one_line(", ".join(pairs)), width() - 8, placeholder=" ...")


def rows(pairs: Iterable[tuple[str, str]], *, indent: str = "  ") -> str:
    """A two-column table: names, then values that continue below themselves."""
    listed = list(pairs)
    left = max((len(name) for name, _ in listed), default=0) + 2
    lines = []
    for name, value in listed:
        first, *more = textwrap.wrap(one_line(value), max(20, width() - len(indent) - left)) or [""]
        lines.append(f"{indent}{name:<{left}}{first}".rstrip())
        lines += [" " * (len(indent) + left) + line for line in more]
    return "\n".join(lines)


def table(lines: Iterable[tuple[str, str, str, str]], *, indent: str = "  ") -> str:
    """Four columns: a name, two numbers to the right, a note."""
    listed = list(lines)
    name, first, second = (max((len(line[column]) for line in listed), default=0) for column in range(3))
    return "\n".join(
        f"{indent}{line[0]:<{name}}  {line[1]:>{first}}  {line[2]:>{second}}  {line[3]}".rstrip() for line in listed
    )


def format_bytes(count: int) -> str:
    """``1.23 MB``: powers of ten, as disks and downloads are sold."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{count} bytes" if unit == "bytes" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def counted(count: int, noun: str) -> str:
    """``1 chunk``, ``1,204 chunks``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def format_seconds(seconds: float) -> str:
    """``2.4 ms``, ``1.3 s``, ``2 min 5 s``, ``7 h 12 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def format_left(seconds: float) -> str:
    """An estimate, no finer than it is good: ``40 s``, ``12 min``, ``7 h 12 min``."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def program_name() -> str:
    """How the user can call this program: in an environment that is not active its name alone is not found."""
    if shutil.which("memvid") is not None:
        return "memvid"
    python = Path(sys.executable)
    here = Path.cwd()
    return f"{python.relative_to(here) if python.is_relative_to(here) else python} -m memvid"
