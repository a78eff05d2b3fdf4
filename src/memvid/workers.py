"""Threads that end when whoever started them says so, also where an exception comes in between.

Not by ``Thread.join``: on CPython 3.10 to 3.12, one that Ctrl-C interrupts marks the thread as ended while it runs, and
whatever waits for it afterwards, the end of the process among them, does so in vain. The same goes for
``ThreadPoolExecutor``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from memvid.interrupts import uninterrupted

__all__ = ["Worker", "WorkerPool"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Self = TypeVar("_Self", bound="WorkerPool")


class Worker:
    """A thread for one piece of work, which handles its own errors.

    :param name: of the thread.
    """

    def __init__(self, work: Callable[[], object], *, name: str) -> None:
        self._work = work
        self._ended = True
        # Held while it works, and only to be woken up by: an exception may come between taking and releasing it, and an
        # Event has such moments inside, after which it is broken.
        self._working = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name)

    @uninterrupted
    def start(self) -> None:
        """Start it.

        :raises RuntimeError: the system gives no more threads.
        """
        self._working.acquire()
        self._ended = False
        try:
            self._thread.start()
        except RuntimeError:
            self._ended = True
            raise

    def wait(self, seconds: float = threading.TIMEOUT_MAX) -> bool:
        """Wait for so long at most; whether the work is done."""
        if not self._ended and self._working.acquire(timeout=seconds):
            self._working.release()
        return self._ended

    @uninterrupted
    def finish(self) -> None:
        """Wait until the work is done and the thread is gone; what comes in between is raised only then."""
        interruption: BaseException | None = None
        while not self._ended:
            try:
                self.wait()
            except BaseException as error:  # noqa: PERF203  # raised again below
                interruption = error
        if self._thread.ident is not None:
            self._thread.join()  # for the moment that it takes to go
        if interruption is not None:
            raise interruption

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended = True
            self._working.release()


class WorkerPool:
    """A few threads for many pieces of work. A context manager: leaving it drops what has not begun, and waits.

    :param threads: at most so many; they start as they are needed.
    :param name: of the threads, with a number behind it.
    """

    def __init__(self, threads: int, *, name: str) -> None:
        self._threads = threads
        self._name = name
        self._workers: list[Worker] = []
        self._waiting: deque[tuple[Future[Any], Callable[[], object]]] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._closed = False

    @uninterrupted
    def submit(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Have a piece of work done, after those submitted before.

        :raises RuntimeError: the system gives not a single thread.
        """
        future: Future[_Result] = Future()
        with self._changed:
            self._waiting.append((future, work))
            self._changed.notify()
            wanted = len(self._waiting) > self._idle and len(self._workers) < self._threads
        if wanted:
            worker = Worker(self._serve, name=f"{self._name}_{len(self._workers)}")
            try:
                worker.start()
            except RuntimeError:
                if not self._workers:
                    raise
            else:
                self._workers.append(worker)
        return future

    def map(self, work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """What comes of each of the items, in their order; all are submitted at once."""
        futures = [self.submit(partial(work, item)) for item in items]
        for future in futures:
            yield future.result()

    @uninterrupted
    def close(self) -> None:
        """Drop what has not begun, and wait for the rest, and for the threads to be gone."""
        with self._changed:
            self._closed = True
            dropped = [future for future, _ in self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        for future in dropped:
            future.cancel()
        for worker in self._workers:
            worker.finish()

    def __enter__(self: _Self) -> _Self:
        return self

    @uninterrupted
    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _serve(self) -> None:
        while (next_piece := self._take()) is not None:
            future, work = next_piece
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # for whoever asks the future
                future.set_exception(error)
            del future, work, next_piece  # not kept while it waits for the next one

    def _take(self) -> tuple[Future[Any], Callable[[], object]] | None:
        with self._changed:
            self._idle += 1
            while not self._waiting and not self._closed:
                self._changed.wait()
            self._idle -= 1
            return self._waiting.popleft() if self._waiting else None
