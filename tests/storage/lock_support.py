"""Processes that hold locks, and ways in which a system fails to lock files."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.index.index_support import environment

__all__ = ["WAYS", "failing", "holding", "kill", "leave_behind"]

WAYS = {
    "flock works": None,
    **{name: getattr(errno, name) for name in ("ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EIO", "EINTR")},
}
"""What ``flock`` says, by name."""

_HOLDER = """
import fcntl, os, sys
from pathlib import Path
number = int(sys.argv[1])
def flock(descriptor, operation):
    raise OSError(number, os.strerror(number))
if number:
    fcntl.flock = flock
from memvid.storage.locks import FileLocks
locks = FileLocks([Path(sys.argv[2])], building=sys.argv[3] == "building")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def failing(way: str) -> Iterator[None]:
    """Have this process's ``flock`` fail in one of :data:`WAYS`."""
    number = WAYS[way]
    if number is None:
        yield
        return

    def flock(descriptor: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    with patch.object(fcntl, "flock", flock):
        yield


@contextmanager
def holding(path: Path, way: str = "flock works", *, building: bool = True) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock on a file; ended at the end of the block, which lets go of it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(WAYS[way] or 0), str(path), "building" if building else "mending"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.communicate()  # its standard input ends, and with it the process


def kill(holder: subprocess.Popen[str]) -> None:
    """Kill it, and wait until it is gone."""
    holder.kill()
    holder.wait()


def leave_behind(path: Path, way: str = "flock works") -> None:
    """Leave the lock of a process that was killed."""
    with holding(path, way) as holder:
        kill(holder)
