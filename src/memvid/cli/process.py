"""A command as a process: from its first import to its exit code, which Ctrl-C does not keep it from.

SIGTERM and SIGHUP (``docker stop``, a service manager, a terminal that is closed) end it as Ctrl-C does, at the same
moments, with the exit code that a shell gives to such an end.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from memvid.cli.streams import open_streams
from memvid.interrupts import end_when_repeated, interruptible, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["INTERRUPTED", "is_stopped", "run"]

INTERRUPTED = 130


_stops: list[int] = []  # signals that are to end this process


def is_stopped() -> bool:
    """Whether an interruption is not Ctrl-C, which ends less than the process where somebody types, but its end."""
    return bool(_stops)


@uninterrupted
def run(argv: Sequence[str] | None) -> int:
    """What :func:`memvid.cli.main` does."""
    if argv is None:
        # Whatever keeps the first Ctrl-C waiting: a commit is atomic, and what is staged goes with the next one.
        end_when_repeated(lambda: os._exit(INTERRUPTED))
    with open_streams(), _stop_signals():
        try:
            code = _run(argv)
        except KeyboardInterrupt:
            code = INTERRUPTED
        interrupted = code == INTERRUPTED
        if interrupted and _stops:
            code = 128 + _stops[0]
        if argv is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if interrupted:
                _end(code)
    return code


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Have the signals that end a process do so as Ctrl-C does. Those that are ignored (``nohup``) stay so."""
    previous: dict[int, Any] = {}

    def stop(number: int, _frame: object) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_IGN)  # they come in pairs
        _stops.append(number)
        if callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)
        else:  # a shell has a program in its background ignore Ctrl-C
            raise KeyboardInterrupt

    _stops.clear()
    try:
        with suppress(ValueError):  # in another thread than the main one
            for name in ("SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                    previous[number] = signal.signal(number, stop)
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _end(code: int) -> NoReturn:
    """End this process now: Python would tear down what was interrupted, and may end by the signal all the same.

    It does so if the interruption came in an ``exec``, of which there are many where modules are loaded.
    """
    gc.collect()  # what has files to remove when it is dropped
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # nobody reads it any more
            stream.flush()
    os._exit(code)


@interruptible
def _run(argv: Sequence[str] | None) -> int:
    from memvid.cli.app import run_verb

    return run_verb(argv)
