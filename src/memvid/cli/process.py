"""A command as a process: from its first import to its exit code, which Ctrl-C does not keep it from."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from memvid.interrupts import end_when_repeated, interruptible, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["INTERRUPTED", "run"]

INTERRUPTED = 130


@uninterrupted
def run(argv: Sequence[str] | None) -> int:
    """What :func:`memvid.cli.main` does."""
    if argv is None:
        # Whatever keeps the first Ctrl-C waiting: a commit is atomic, and what is staged goes with the next one.
        end_when_repeated(lambda: os._exit(INTERRUPTED))
    try:
        code = _run(argv)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if argv is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if code == INTERRUPTED:
            _end()
    return code


def _end() -> NoReturn:
    """End this process now: Python would tear down what was interrupted, and may end by the signal all the same.

    It does so if the interruption came in an ``exec``, of which there are many where modules are loaded.
    """
    gc.collect()  # what has files to remove when it is dropped
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # nobody reads it any more
            stream.flush()
    os._exit(INTERRUPTED)


@interruptible
def _run(argv: Sequence[str] | None) -> int:
    from memvid.cli.app import run_verb

    return run_verb(argv)
