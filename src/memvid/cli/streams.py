"""The standard streams of a process, all three of them open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["open_streams"]


@contextmanager
def open_streams() -> Iterator[None]:
    """Open the null device where whoever started this process closed a standard stream.

    The next file to be opened would get its number, and whatever a library then writes to standard error would go into
    that file: the video that grows, for example.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # noqa: PERF203
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one, and keeps it
    with ExitStack() as opened:
        for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
            if getattr(sys, name) is None:
                setattr(sys, name, opened.enter_context(Path(os.devnull).open(mode, encoding="utf-8")))
                opened.callback(setattr, sys, name, None)
        yield
