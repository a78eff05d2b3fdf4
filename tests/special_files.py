"""What can lie where a file should, and make who opens it wait, or read without end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

__all__ = ["SPECIAL"]


def _socket(path: Path) -> None:
    # A name of at most about a hundred bytes can be bound, so from within the folder.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "socket": _socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
}
"""Makes one at a path. A device is led to by a link: only root makes devices."""
