"""Objects that one thread at a time may use, lent out to many threads."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from memvid.errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ExhaustedError", "Pool"]

T = TypeVar("T")


class ExhaustedError(Exception):
    """No further object can be made, for the reason given; those there are can go on being lent."""


class _Shelf(Generic[T]):
    """What one process has of a pool."""

    def __init__(self, limit: int) -> None:
        self.changed = threading.Condition()
        self.idle: list[T] = []
        self.made = 0
        self.limit = limit


class Pool(Generic[T]):
    """Lends an idle object, makes one if all are lent, and waits once ``limit`` exist.

    The most recently returned object goes out first, so a single-threaded program makes exactly one. A forked child
    makes objects of its own: what was lent in the parent would never come back, and a lock held there would stay held.

    :param make: makes an object; called without the pool's lock, at most ``limit`` times. When it raises an
        :class:`ExhaustedError`, the pool does with those it has; the error is raised only if it has none.
    :param dispose: frees one; called when the pool closes, for a lent object when it comes back.
    """

    def __init__(self, make: Callable[[], T], dispose: Callable[[T], None], *, limit: int) -> None:
        self._make = make
        self._dispose = dispose
        self._limit = limit
        self._closed = False
        self._shelves: dict[int, _Shelf[T]] = {}  # by process

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
        shelf = self._shelf()
        with shelf.changed:
            self._closed = True
            idle, shelf.idle = shelf.idle, []
            shelf.changed.notify_all()
        for item in idle:
            self._dispose(item)

    def _shelf(self) -> _Shelf[T]:
        pid = os.getpid()
        return self._shelves.get(pid) or self._shelves.setdefault(pid, _Shelf(self._limit))

    def _take(self) -> T:
        shelf = self._shelf()
        while True:
            with shelf.changed:
                while not self._closed and not shelf.idle and shelf.made >= shelf.limit:
                    shelf.changed.wait()
                if self._closed:
                    raise ClosedError("this index is closed: open it again")
                if shelf.idle:
                    return shelf.idle.pop()
                shelf.made += 1
            try:
                return self._make()
            except BaseException as error:
                with shelf.changed:
                    shelf.made -= 1
                    shelf.changed.notify()
                    if not isinstance(error, ExhaustedError) or shelf.made == 0:
                        raise
                    shelf.limit = shelf.made

    def _give_back(self, item: T) -> None:
        shelf = self._shelf()
        with shelf.changed:
            if not self._closed:
                shelf.idle.append(item)
                shelf.changed.notify()
                return
        self._dispose(item)
