"""Searches for event loops: a few threads of the retriever's own, which answer together the queries that wait."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from memvid.config import SearchOptions
from memvid.errors import ClosedError
from memvid.interrupts import uninterrupted
from memvid.types import SearchResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from memvid.config import SearchKeywords

__all__ = ["AsyncSearches", "SearchPool"]

Results: TypeAlias = list[list[SearchResult]]
Search: TypeAlias = Callable[["list[str]", int, SearchOptions], Results]

_THREADS = 4  # so that some calls wait for a remote embedder while others search
_BATCH = 32  # queries answered by one call: more would save little, and make the first one wait for the last


@dataclass(slots=True)
class _Request:
    """Queries that one caller waits for."""

    queries: list[str]
    top_k: int
    options: SearchOptions
    future: Future[Results] = field(default_factory=Future)

    def answer(self, outcome: Results | BaseException) -> None:
        """Give the caller its results or error."""
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)

    def joins(self, other: _Request) -> bool:
        """Whether one call may answer both."""
        return self.top_k == other.top_k and self.options == other.options


class SearchPool:
    """Runs searches on threads of its own. A thread that becomes free takes what waits by then into one call.

    Nothing waits for company: a lone request is searched at once. Threads start with the first request and end with
    :meth:`close` or with the pool. It keeps no reference to whoever searches, so a retriever that is dropped is freed.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="memvid-search")
        self._waiting: deque[_Request] = deque()  # appended to without the lock, so that an event loop never waits
        self._lock = threading.Lock()
        self._running = 0
        self._closed = False

    def submit(self, search: Search, queries: list[str], top_k: int, options: SearchOptions) -> Future[Results]:
        """A future of ``search(queries, top_k, options)``; cancelling it before it runs takes it out.

        :raises ClosedError: the pool was closed.
        """
        request = _Request(queries, top_k, options)
        self._waiting.append(request)
        try:
            self._executor.submit(self._serve, search)
        except RuntimeError as error:
            request.future.cancel()
            if self._closed:
                raise _closed_error() from error
            raise  # no thread could be started, or the interpreter is shutting down
        return request.future

    @uninterrupted
    def close(self) -> None:
        """Fail what waits with :class:`ClosedError` and end the threads; one that searches ends when it has answered.

        Returns without waiting for a search.
        """
        self._closed = True
        # In this order: whatever was accepted before the shutdown is in the queue by now, or with a thread.
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            abandoned = list(self._waiting)
            self._waiting.clear()
            idle = self._running == 0
        for request in abandoned:
            if request.future.set_running_or_notify_cancel():
                request.future.set_exception(_closed_error())
        if idle:
            self._executor.shutdown()

    def _serve(self, search: Search) -> None:
        requests = self._take()
        if not requests:  # another thread took them all, or they were cancelled
            return
        try:
            for outcome in _outcomes(search, requests):
                request = requests.popleft()
                if not requests:
                    self._end()
                request.answer(outcome)
                del request, outcome  # it is the caller's from now on, and may be large
        finally:
            if requests:
                self._end()

    def _end(self) -> None:
        """Count this thread as running no more. Whoever has the last of its answers and closes waits for its end."""
        with self._lock:
            self._running -= 1

    def _take(self) -> deque[_Request]:
        """Requests for one call, in their order. Not empty: the thread now counts as running."""
        taken: deque[_Request] = deque()
        room = _BATCH
        with self._lock:
            while self._waiting:
                request = self._waiting[0]
                if taken and (len(request.queries) > room or not request.joins(taken[0])):
                    break
                self._waiting.popleft()
                if request.future.set_running_or_notify_cancel():
                    taken.append(request)
                    room -= len(request.queries)
            self._running += bool(taken)
        return taken


def _outcomes(search: Search, requests: Iterable[_Request]) -> Iterator[Results | BaseException]:
    """Results or the error of each request, in order. When a call for several fails, each is asked alone, when its turn
    comes, for what is its own."""
    waiting = deque(requests)
    together = _ask(search, waiting)
    if isinstance(together, BaseException) and len(waiting) > 1:
        del together
        while waiting:
            yield _ask(search, [waiting.popleft()])
    elif isinstance(together, BaseException):
        yield together
    else:
        rows = iter(together)
        for request in waiting:
            yield list(islice(rows, len(request.queries)))


def _ask(search: Search, requests: Sequence[_Request]) -> Results | BaseException:
    first = requests[0]
    try:
        return search([query for request in requests for query in request.queries], first.top_k, first.options)
    except BaseException as error:
        return error


def _closed_error() -> ClosedError:
    return ClosedError("the retriever was closed before this search began: open the memory again")


class AsyncSearches(ABC):
    """Twins of the searches of a retriever for asyncio.

    They never block the event loop: the work runs on up to 4 threads, ``memvid-search_0`` to ``_3``, that start with
    the first call and end with ``close()``. Calls that wait at the same time with equal ``top_k`` and options are
    answered by one search. Cancelling the task that awaits returns at once; a search that had not begun
    is dropped, one that had ends unheard.
    """

    def __init__(self) -> None:
        self._pools: dict[int, SearchPool] = {}  # by process: a fork leaves the threads behind, and their locks as is

    @abstractmethod
    def _checked(self, queries: Iterable[str], top_k: int, options: SearchKeywords) -> tuple[list[str], SearchOptions]:
        """The queries and how to search, if they can be answered now."""

    @abstractmethod
    def _search_checked(self, queries: list[str], top_k: int, options: SearchOptions) -> Results:
        """Answers to several queries at once."""

    async def asearch(self, query: str, top_k: int = 5, **options: Unpack[SearchKeywords]) -> list[str]:
        """:meth:`search` for an event loop: same answer, same errors."""
        return [result.text for result in await self.asearch_results(query, top_k, **options)]

    async def asearch_results(
        self, query: str, top_k: int = 5, **options: Unpack[SearchKeywords]
    ) -> list[SearchResult]:
        """:meth:`search_results` for an event loop: same answer, same errors."""
        return (await self.asearch_many([query], top_k, **options))[0]

    async def asearch_many(self, queries: Iterable[str], top_k: int = 5, **options: Unpack[SearchKeywords]) -> Results:
        """:meth:`search_many` for an event loop: same answers, same errors. Reads ``queries`` before it first waits."""
        import asyncio  # whoever runs a loop has it; others need not pay 20 ms for it

        wanted, chosen = self._checked(queries, top_k, options)
        if not wanted:
            return []
        pool = self._pools.get(os.getpid()) or self._pools.setdefault(os.getpid(), SearchPool())
        return await asyncio.wrap_future(pool.submit(self._search_checked, wanted, top_k, chosen))

    def _close_pool(self) -> None:
        pool = self._pools.get(os.getpid())
        if pool is not None:
            pool.close()
