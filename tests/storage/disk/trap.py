"""The trap of ``trap.c`` from Python: compiled, armed in the calling process, and its log read.

A process that is armed stays so; fork one for each trial. Nothing of it is for processes that have threads already.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from struct import Struct

__all__ = ["Action", "Call", "Kind", "TrapError", "arm", "compile_trap", "read_log"]

_SOURCE = Path(__file__).with_name("trap.c")
_RECORD = Struct("<IIIIqQQIHH")


class TrapError(Exception):
    """The trap cannot work here: another system, or no compiler."""


class Action(IntEnum):
    """What becomes of the call of a number."""

    PASS = 0  # nothing
    KILL = 1  # SIGKILL before it
    TORN = 2  # SIGKILL after half of a write, or right after another call
    FAIL = 3  # an error, this once
    FULL = 4  # an error from here on, for all that takes room
    DEAD = 5  # an error from here on, for everything
    SHORT = 6  # half of the write is made, and then the disk is full


class Kind(IntEnum):
    """What a call does to a file."""

    WRITE = 1
    TRUNCATE = 2
    SYNC = 3
    CREATE = 4
    RENAME = 5
    UNLINK = 6
    MKDIR = 7
    OPEN = 8  # with leave to create a file, which was there already
    LINK = 9  # a file gets one more name
    OTHER = 10
    MODE = 11


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was stopped, as it went on.

    :ivar number: from 1.
    :ivar system_call: its number.
    :ivar result: of the system call; below 0 an error.
    :ivar inode: of the file or folder.
    :ivar offset: where a write begins; the new length of a file that is cut; the mode of one that is created, or that
        gets another.
    :ivar name: the file's path.
    :ivar new_name: where a rename or a link goes.
    :ivar data: what was written, if that was asked for.
    """

    number: int
    kind: Kind
    system_call: int
    result: int
    inode: int
    offset: int
    name: str
    new_name: str
    data: bytes


def compile_trap(folder: Path) -> ctypes.CDLL:
    """Compile the library into a folder, and load it.

    :raises TrapError: it cannot work here.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise TrapError(f"system calls are only stopped on Linux on x86-64, not on {sysconfig.get_platform()}")
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise TrapError("there is no C compiler: install one (apt-get install gcc)")
    library = folder / "trap.so"
    options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    done = subprocess.run([compiler, *options, "-o", library, _SOURCE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrapError(f"{compiler} cannot compile {_SOURCE}: {done.stderr}")
    return ctypes.CDLL(os.fspath(library))


def arm(
    trap: ctypes.CDLL,
    folder: Path,
    action: Action = Action.PASS,
    at: int = 0,
    error: int = 0,
    *,
    log: int = -1,
    data: bool = False,
) -> None:
    """From now on, stop each call that may change a file below ``folder``.

    :param at: number of the call that ``action`` is for, from 1.
    :param error: the errno of calls that fail.
    :param log: descriptor that gets a record of each call; ``data``: with what is written.
    :raises TrapError: the system does not allow it.
    """
    failed = trap.fault_arm(os.fsencode(os.path.realpath(folder)), log, data, int(action), at, error)
    if failed:
        raise TrapError(f"this system does not let system calls be stopped: {os.strerror(failed)}")


def read_log(path: Path) -> Iterator[Call]:
    """The calls of a log in their order."""
    content = path.read_bytes()
    at = 0
    while at + _RECORD.size <= len(content):
        size, number, kind, system_call, result, inode, offset, data, name, new_name = _RECORD.unpack_from(content, at)
        start = at + _RECORD.size
        names = content[start : start + name + new_name]
        yield Call(
            number=number,
            kind=Kind(kind),
            system_call=system_call,
            result=result,
            inode=inode,
            offset=offset,
            name=os.fsdecode(names[:name]),
            new_name=os.fsdecode(names[name:]),
            data=content[start + name + new_name : at + size],
        )
        at += size
        assert size == _RECORD.size + name + new_name + data
