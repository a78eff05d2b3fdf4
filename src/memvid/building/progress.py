"""How far a build or an append is, told a few times a second; the place where the index thread's failure is noticed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memvid.types import Progress

if TYPE_CHECKING:
    from memvid.building.index_feed import IndexFeed
    from memvid.types import ProgressCallback

__all__ = ["Reporter", "timed"]

_REPORT_SECONDS = 0.1


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add what the block takes to the seconds of a stage."""
    begin = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - begin


class Reporter:
    """Passes progress on to a callback, from the thread that does the work.

    :param total: chunks there are.
    :ivar feed: the thread that fills the index, once there is one.
    :ivar indexed: chunks that go into the index: not those that are deleted, and those of segments that are merged.
    """

    def __init__(self, progress: ProgressCallback | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._last = 0.0
        self.feed: IndexFeed | None = None
        self.indexed = total

    def stage(self, name: str) -> Callable[[int], None]:
        """A function that reports how many chunks are through with a stage, and raises what ended the index thread."""

        def report(done: int) -> None:
            if self.feed is not None:
                self.feed.check()
            if self._progress is not None and (done == self._total or self._is_time()):
                self._progress(Progress(name, done, self._total))
                self._report_index()

        return report

    def wait_for_index(self) -> None:
        """Wait until the index has all chunks.

        :raises: whatever ended its thread.
        """
        while self.feed is not None and not self.feed.finished():
            if self._is_time():
                self._report_index()
        self._report_index()

    def _report_index(self) -> None:
        if self._progress is not None and self.feed is not None:
            done = self.feed.indexed
            self._progress(Progress("index", done.chunks, self.indexed, resumed=done.resumed))

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._last < _REPORT_SECONDS:
            return False
        self._last = now
        return True
