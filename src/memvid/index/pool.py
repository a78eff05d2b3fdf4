"""Objects that one thread at a time may use, lent out to many threads."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from memvid.errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Pool"]

T = TypeVar("T")


class Pool(Generic[T]):
    """Lends an idle object, makes one if all are lent, and waits once ``limit`` exist.

    The most recently returned object goes out first, so a single-threaded program makes exactly one.

    :param make: makes an object; called without the pool's lock, at most ``limit`` times.
    :param dispose: frees one; called when the pool closes, for a lent object when it comes back.
    """

    def __init__(self, make: Callable[[], T], dispose: Callable[[T], None], *, limit: int) -> None:
        self._make = make
        self._dispose = dispose
        self._limit = limit
        self._idle: list[T] = []
        self._made = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def lend(self) -> Iterator[T]:
        """Borrow an object for the ``with`` block.

        :raises ClosedError: after :meth:`close`.
        """
        item = self._take()
        try:
            yield item
        finally:
            self._give_back(item)

    def close(self) -> None:
        """Dispose of all that is idle now, and of the rest as it comes back. Calling it twice is allowed."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for item in idle:
            self._dispose(item)

    def _take(self) -> T:
        with self._changed:
            while not self._closed and not self._idle and self._made >= self._limit:
                self._changed.wait()
            if self._closed:
                raise ClosedError("this index is closed: open it again")
            if self._idle:
                return self._idle.pop()
            self._made += 1
        try:
            return self._make()
        except BaseException:
            with self._changed:
                self._made -= 1
                self._changed.notify()
            raise

    def _give_back(self, item: T) -> None:
        with self._changed:
            if not self._closed:
                self._idle.append(item)
                self._changed.notify()
                return
        self._dispose(item)
