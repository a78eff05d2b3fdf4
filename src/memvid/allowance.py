"""How much something may take, whatever a file claims."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from types import TracebackType

from memvid.errors import ResourceLimitError

__all__ = ["CHUNK_BYTES", "Allowance", "Share", "SharedAllowance", "unpack_allowance"]

CHUNK_BYTES = 256
"""What a chunk counts beside its text: the least that its objects take, and that it is work."""

# A page of version 40 has at most 256 KiB of chunks, unless it is a single one, in 2 kB of file; text of any kind has
# ten times its bytes of file at most, and a chunk of a word or two takes eight bytes.
_FREE_BYTES = 64 << 20  # the largest chunk there can be
_TIMES = 32


@dataclass(slots=True)
class Allowance:
    """Bytes that something may take. They are spent before they are taken.

    :ivar limit: how many.
    :ivar what: what takes them, and the verb.
    :ivar remedy: what to do where they are not enough.
    :ivar spent: how many were taken.
    """

    limit: int
    what: str
    remedy: str
    spent: int = field(default=0, init=False)

    def spend(self, nbytes: int) -> None:
        """Take some.

        :raises ResourceLimitError: there are not so many left.
        """
        self.spent += nbytes
        if self.spent > self.limit:
            raise ResourceLimitError(f"{self.what} more than {self.limit} bytes: {self.remedy}")


def unpack_allowance(video: object, video_bytes: int, unpacked_bytes: int | None) -> Allowance:
    """What all pages of a video may unpack to, for what reads all of them; each chunk counts 256 bytes more.

    :param video: its name.
    :param video_bytes: its size.
    :param unpacked_bytes: what the caller allows; ``None`` is 64 MiB and 32 times the video's size.
    """
    limit = _FREE_BYTES + _TIMES * video_bytes if unpacked_bytes is None else unpacked_bytes
    remedy = "if you trust it, allow more by unpacked_bytes= or --unpacked-bytes"
    return Allowance(limit, f"{video} has {video_bytes} bytes, and its pages unpack to", remedy)


class SharedAllowance:
    """An allowance in equal parts, for all that runs at once. Whoever finds too few parts free waits, first come first
    served, and holds none meanwhile: so nobody waits for ever.

    A forked child has all parts of its own: those that run in its parent do not run in it.

    :param parts: how many there are.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self._queues: dict[int, _Queue] = {}  # by process

    def share(self, parts: int) -> Share:
        """So many parts, for a ``with`` statement, which waits for them and gives them back."""
        queue = self._queues.get(os.getpid()) or self._queues.setdefault(os.getpid(), _Queue(self.parts))
        return Share(queue, parts)


class Share:
    """Some parts of a :class:`SharedAllowance`. They are also given back where Ctrl-C comes between two lines."""

    __slots__ = ("_parts", "_queue")

    def __init__(self, queue: _Queue, parts: int) -> None:
        self._queue = queue
        self._parts = parts

    def __enter__(self) -> None:
        self._queue.enter(id(self), self._parts)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._queue.leave(id(self))

    def __del__(self) -> None:
        self._queue.leave(id(self))


class _Queue:
    """Who has parts, and who waits for some, in order; each known by a number."""

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._running: dict[int, int] = {}
        self._waiting: dict[int, tuple[int, threading.Lock]] = {}
        self._lock = threading.RLock()  # a share may be dropped at any moment, also while this thread is in here

    def enter(self, share: int, parts: int) -> None:
        """Wait until so many parts are free, and take them."""
        with self._lock:
            if not self._waiting and sum(self._running.values()) + parts <= self._parts:
                self._running[share] = parts
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting[share] = (parts, gate)
            self._admit()
        with gate:
            pass

    def leave(self, share: int) -> None:
        """Give back what it has, or wait no longer. Calling it twice is fine."""
        if share in self._running or share in self._waiting:
            with self._lock:
                self._running.pop(share, None)
                self._waiting.pop(share, None)
                self._admit()

    def _admit(self) -> None:
        while self._waiting:
            share, (parts, gate) = next(iter(self._waiting.items()))
            if sum(self._running.values()) + parts > self._parts:
                return
            self._running[share] = parts
            del self._waiting[share]
            gate.release()
