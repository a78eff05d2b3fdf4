"""Who holds a lock: what its lock file says of that, and whether that process still runs.

A process is told from another that got its number later by the time it started, and from one of another machine or
container by host name, boot and process namespace. Only what is certain counts as ended; of a process that cannot be
seen from here that is never so, unless the kernel itself says it: a lock of ``flock`` ends with its process.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Holder", "HolderState", "is_begun", "lock_open_file", "probe_open_file"]

_HELD_ELSEWHERE = (errno.EWOULDBLOCK, errno.EACCES)
_INTERRUPTIONS = 1000  # in a row: whoever interrupts for ever leaves no lock to wait for
_ID = re.compile("[0-9a-f]{32}")

_BEGINNING = b'{"boot": '  # of every record

_STATE, _THREADS, _STARTED = 0, 17, 19  # fields of /proc/PID/stat behind the name of the program


class HolderState(Enum):
    """What is known of the process that made a lock file."""

    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"  # of another host, or of a container that cannot be seen into


class _Place(NamedTuple):
    """What process numbers count in.

    :ivar machine: a digest of what tells this installation, or network card, from others of the same host name.
    :ivar boot: of the kernel; a new one each time a machine starts.
    :ivar namespace: of process numbers: each container has its own.
    """

    host: str
    machine: str | None
    boot: str | None
    namespace: str | None


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that made a lock file.

    :ivar id: of this lock file; no other has the same.
    :ivar started: when the process started, in clock ticks since the boot; ``None`` where the system does not say.
    :ivar building: whether it holds the lock for a build.
    :ivar flocked: whether it has also locked the file itself, by ``flock``.
    """

    id: str
    host: str
    machine: str | None
    boot: str | None
    namespace: str | None
    pid: int
    started: int | None
    building: bool
    flocked: bool

    @classmethod
    def new(cls, *, building: bool, flocked: bool) -> Holder:
        """This process."""
        return cls(
            os.urandom(16).hex(),
            *_here(),
            pid=os.getpid(),
            started=_own_start(),
            building=building,
            flocked=flocked,
        )

    @classmethod
    def parse(cls, data: bytes) -> Holder | None:
        """What a lock file says; ``None`` if it is not a whole record."""
        try:
            content = json.loads(data.rstrip(b"\0"))
        except (ValueError, RecursionError):
            return None
        if not isinstance(content, dict) or not set(content) >= set(cls.__slots__):
            return None
        holder = cls(**{name: content[name] for name in cls.__slots__})  # a later release may say more
        return holder if holder._is_valid() else None

    def to_bytes(self) -> bytes:
        """The content of the lock file: a line of JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode() + b"\n"

    def state(self, descriptor: int, held: set[str]) -> HolderState:
        """Whether the process still runs, and holds the lock.

        :param descriptor: its lock file.
        :param held: ids of the lock files that this process holds.
        """
        if self.pid == os.getpid() and self.id in held:
            return HolderState.RUNNING
        here = _here()
        near = self._place == here and (here.boot or here.machine) is not None
        runs = None
        if near:
            runs = self._runs() if self.pid != os.getpid() else False  # this process holds it no more
        elif self._place[:2] == here[:2] and here.machine and self.boot and here.boot and self.boot != here.boot:
            runs = False  # before this machine was started
        if runs is None and self.flocked:
            free = probe_open_file(descriptor)
            if free is False or (free and (near or (self.boot is not None and self.boot == here.boot))):
                runs = not free  # one kernel knows all locks of a file
        if runs is None:
            return HolderState.RUNNING if near else HolderState.UNKNOWN  # near: some process has its number
        return HolderState.RUNNING if runs else HolderState.ENDED

    def __str__(self) -> str:
        return f"process {self.pid} of host {self.host!r}"

    @property
    def _place(self) -> _Place:
        return _Place(self.host, self.machine, self.boot, self.namespace)

    def _is_valid(self) -> bool:
        texts = (self.host, self.machine, self.boot, self.namespace)
        return (
            isinstance(self.id, str)
            and _ID.fullmatch(self.id) is not None
            and isinstance(self.host, str)
            and all(text is None or isinstance(text, str) for text in texts)
            and type(self.pid) is int
            and 0 < self.pid < 1 << 31
            and (self.started is None or type(self.started) is int)
            and type(self.building) is bool
            and type(self.flocked) is bool
        )

    def _runs(self) -> bool | None:
        """Whether the process, one of this place, runs; ``None`` if another one may have its number by now."""
        found = _parse_stat(self.pid)
        if found is not None and self.started is not None:
            return found.runs and found.ticks == self.started
        if os.name == "nt":
            return None  # where nobody can be asked without a signal
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return None


def is_begun(data: bytes) -> bool:
    """Whether a lock file that has no whole record in it was to have one: nothing was written, or the beginning; zeros
    are what a power cut leaves of the rest."""
    begun = data.rstrip(b"\0")
    if not _BEGINNING.startswith(begun[: len(_BEGINNING)]) or b"\n" in begun:
        return False
    try:
        json.loads(begun)
    except (ValueError, RecursionError):
        return True
    return False  # it is whole, and not what memvid writes


def lock_open_file(descriptor: int) -> bool:
    """Lock a file that this process has just made, by ``flock``; whether that is possible here."""
    return _flock(descriptor, exclusive=True) is True


def probe_open_file(descriptor: int) -> bool | None:
    """Whether nobody has locked a file by ``flock``; ``None`` where that cannot be found out."""
    free = _flock(descriptor, exclusive=False)  # shared: of two that probe, neither takes the other for the holder
    if free:
        _flock(descriptor, exclusive=None)
    return free


def _flock(descriptor: int, *, exclusive: bool | None) -> bool | None:
    """Lock, or with ``None`` unlock: ``True`` done, ``False`` someone else has locked it, ``None`` it does not work."""
    if fcntl is None:
        return None
    kind = fcntl.LOCK_UN if exclusive is None else fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    for _ in range(_INTERRUPTIONS):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except InterruptedError:
            continue
        except OSError as error:
            return False if error.errno in _HELD_ELSEWHERE else None
        return True
    return None


def _here() -> _Place:
    """Where this process runs; it may be elsewhere after a fork."""
    import socket

    boot = _read(Path("/proc/sys/kernel/random/boot_id"))
    try:
        namespace: str | None = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        namespace = None
    return _Place(socket.gethostname(), _machine(), boot, namespace)


@cache
def _machine() -> str | None:
    if sys.platform == "linux":
        name = _read(Path("/etc/machine-id"))
    else:
        import uuid

        name = f"{uuid.getnode():x}"
    return None if not name else hashlib.sha256(f"memvid {name}".encode()).hexdigest()[:16]


@cache
def _read(path: Path) -> str | None:
    """Text of a file that stays the same until the machine is started again."""
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


class _Stat(NamedTuple):
    ticks: int
    runs: bool


def _own_start() -> int | None:
    found = _parse_stat(os.getpid())
    return None if found is None else found.ticks


def _parse_stat(pid: int) -> _Stat | None:
    """Start of a process, and whether any of it still runs: one that nobody has waited for is over all the same."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        runs = fields[_STATE] not in (b"Z", b"X") or int(fields[_THREADS]) > 1
        return _Stat(int(fields[_STARTED]), runs)
    except (OSError, ValueError, IndexError):
        return None
