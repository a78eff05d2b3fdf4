"""What one answer may take of time and bytes, counted as it arrives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

__all__ = ["Clock", "Meter", "MeteredTimeout", "Pace", "StoppedError"]

_HEAD = 256 * 1024  # bytes until a reply's head is complete, replies of 1xx included
_PIECE, _LINE = 256, 64  # bytes that a piece counts at least, and a line of a stream more: each costs time to read
_LEAST_ARRIVING = 30.0  # bytes a second from a server that sends them one by one
_PATIENCE = 6.0
_HEAD_PACE = 4  # times as much of a head, which arrives at once where all is well
_SILENCE = 5.0  # seconds without anything are no longer an arrival that is slow
_MOMENT = 5.0
_TICK = 0.01  # seconds that are none: waits end a little early


Reason = Literal["origin", "time", "bytes", "tokens", "pace", "head", "encoding"]


class StoppedError(Exception):
    """memvid itself ended a request.

    :ivar reason: ``"origin"``: it was on its way elsewhere; ``"time"``, ``"bytes"``, ``"tokens"``, ``"pace"``: the
        answer takes more than it may; ``"head"``: so do the headers in front of it; ``"encoding"``: it is packed in a
        way that nobody asked for.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Clock:
    """Seconds that an answer may be waited for. What the caller does between its parts does not count.

    :param seconds: how many there are.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = self.left = seconds

    def check(self) -> None:
        """Whether there is time left.

        :raises StoppedError: there is none.
        """
        if self.left < _TICK:
            raise self.overdue()

    def overdue(self) -> StoppedError:
        """What is raised when the time is over."""
        return StoppedError("time", f"is not complete after {round(self._seconds, 1):g} seconds")

    @contextmanager
    def waiting(self) -> Iterator[float]:
        """Counts the time within; gives the seconds that are left."""
        self.check()
        begin = time.monotonic()
        try:
            yield self.left
        finally:
            self.left -= time.monotonic() - begin


class Pace:
    """Finds a server that keeps sending and says next to nothing.

    Each arrival costs the seconds it took, one at most, and what arrived pays for some: a slow server that says
    something with each arrival goes on for ever. A longer silence costs nothing: it is bounded elsewhere.

    :param least: what must arrive for each of these seconds; 0 is nothing.
    :param patience: seconds that need no pay; no more are paid in advance.
    """

    def __init__(self, least: float, patience: float) -> None:
        self._least = least
        self._patience = self._most = patience

    def arrived(self, amount: int, seconds: float) -> None:
        """``amount`` has arrived after ``seconds``.

        :raises StoppedError: that is too slow.
        """
        if self._least == 0:
            return
        cost = min(seconds, 1.0) if seconds <= _SILENCE else 0.0
        self._patience = min(self._most, self._patience - cost + amount / self._least)
        if self._patience < 0:
            raise StoppedError("pace", f"arrives at less than {self._least:g} bytes a second")


class Meter:
    """Bounds one answer: its time, with all that is tried for it, and its bytes, as they arrive and unpacked.

    :param seconds: how long it may be waited for.
    :param max_bytes: how much of it there may be.
    :ivar clock: the time.
    :ivar begun: whether the head of a reply has arrived.
    :ivar ended: whether a stream has said that it is complete.
    """

    def __init__(self, *, seconds: float, max_bytes: int) -> None:
        self.clock = Clock(seconds)
        self.begun = False
        self.ended = False
        self._most = max_bytes
        self._pace = Pace(_LEAST_ARRIVING, _PATIENCE)
        self._head = self._raw = self._unpacked = 0

    def begin(self) -> None:
        """A request begins: what arrives next is a head."""
        self.begun, self._head = False, 0

    def hurry(self) -> None:
        """What matters has arrived: wait no longer than a moment for all the rest."""
        self.clock.left = min(self.clock.left, _MOMENT)

    def received(self, count: int, seconds: float) -> None:
        """So many bytes have arrived, after so many seconds.

        :raises StoppedError: that is too much, or too slow.
        """
        if not self.begun:
            self._head += count
            if self._head > _HEAD:
                raise StoppedError("head", f"begins with more than {_HEAD:,} bytes of headers")
        self._raw += count
        self._check(self._raw)
        self._pace.arrived(count if self.begun else count // _HEAD_PACE, seconds)

    def unpacked(self, data: bytes, *, lines: bool) -> None:
        """These bytes of the answer are ready.

        :param lines: whether each of their lines has to be looked at.
        :raises StoppedError: that is too much.
        """
        self._unpacked += max(len(data), _PIECE) + (_LINE * data.count(b"\n") if lines else 0)
        self._check(self._unpacked)

    def _check(self, count: int) -> None:
        if count > self._most:
            raise StoppedError("bytes", f"is larger than {self._most:,} bytes")


class MeteredTimeout(float):
    """Seconds that something may take at most, and the meter of the answer it is for.

    The HTTP library hands its timeouts through to the connection as they are: this is how a read knows whose it is.
    """

    meter: Meter

    @classmethod
    def of(cls, meter: Meter, seconds: float) -> MeteredTimeout:
        """So many seconds, at most, on this meter."""
        made = cls(seconds)
        made.meter = meter
        return made
