"""The bad sectors of ``bad_sector.c`` from Python: compiled, loaded in front of libc, and moved about at run time."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.storage.disk.trap import TrapError

__all__ = ["SECTOR", "bad_sector", "compile_bad_sector", "preloaded"]

SECTOR = 4096
"""Bytes that a disk gives or refuses together; also a page of memory, of which a mapping gives all or nothing."""

_SOURCE = Path(__file__).with_name("bad_sector.c")
_LIBRARY = "MEMVID_BAD_SECTOR_LIBRARY"


def compile_bad_sector(folder: Path) -> Path:
    """Compile the library into a folder.

    :raises TrapError: it cannot work here.
    """
    if sys.platform != "linux":
        raise TrapError(f"reads are only refused on Linux, not on {sysconfig.get_platform()}")
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise TrapError("there is no C compiler: install one (apt-get install gcc)")
    library = folder / "bad_sector.so"
    options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command = [compiler, *options, "-o", os.fspath(library), os.fspath(_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrapError(f"{compiler} cannot compile {_SOURCE}: {done.stderr}")
    return library


def preloaded(library: Path) -> dict[str, str]:
    """What the environment of a process needs that is to have bad sectors."""
    return {"LD_PRELOAD": os.fspath(library), _LIBRARY: os.fspath(library)}


@contextmanager
def bad_sector(path: Path, number: int) -> Iterator[None]:
    """Have a sector of a file be bad meanwhile, in a process whose environment is :func:`preloaded`."""
    library = ctypes.CDLL(os.environ[_LIBRARY])
    place = (ctypes.c_long(number * SECTOR), ctypes.c_long((number + 1) * SECTOR - 1))
    library.bad_sector_set(os.fsencode(path), *place)
    try:
        yield
    finally:
        library.bad_sector_set(None, *place)
