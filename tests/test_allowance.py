"""Allowances that run out, and one that several share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from memvid.allowance import Allowance, SharedAllowance
from memvid.errors import ResourceLimitError


def test_an_allowance_runs_out() -> None:
    allowance = Allowance(10, "it takes", "take less")
    allowance.spend(10)
    with pytest.raises(ResourceLimitError, match="it takes more than 10 bytes: take less"):
        allowance.spend(1)


def take(shared: SharedAllowance, parts: int, taken: Callable[[], object]) -> threading.Thread:
    """A thread that takes so many parts for a moment; returned when it has them or waits for them."""
    queue = shared._queues.get(os.getpid())
    before = 0 if queue is None else len(queue._waiting)

    def run() -> None:
        with shared.share(parts):
            taken()

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and (queue is None or len(queue._waiting) == before):
        thread.join(0.001)
    return thread


class TestSharing:
    def test_what_runs_together_never_takes_more(self) -> None:
        shared, lock, running, most = SharedAllowance(8), threading.Lock(), [0], [0]

        def work(number: int) -> int:
            parts = (1, 2, 3, 8)[number % 4]
            with shared.share(parts):
                with lock:
                    running[0] += parts
                    most[0] = max(most[0], running[0])
                with lock:
                    running[0] -= parts
            return parts

        with ThreadPoolExecutor(12) as pool:
            assert sum(pool.map(work, range(2000))) == 500 * 14
        assert most[0] <= 8
        with shared.share(8):  # everything was given back
            pass

    def test_first_come_first_served(self) -> None:
        """Small ones that come later do not pass a large one: it would wait for ever."""
        shared, order = SharedAllowance(4), list[str]()
        with shared.share(1):
            threads = [take(shared, 1, lambda: order.append("at once"))]
            threads += [take(shared, 4, lambda: order.append("all"))]
            threads += [take(shared, 1, lambda: order.append("later"))]
            assert order == ["at once"]
        for thread in threads:
            thread.join()
        assert order == ["at once", "all", "later"]

    def test_an_error_gives_it_back(self) -> None:
        shared = SharedAllowance(4)
        with pytest.raises(ValueError, match="within"), shared.share(4):
            raise ValueError("within")
        with shared.share(4):
            pass

    def test_a_share_that_is_dropped_gives_it_back(self) -> None:
        """As where Ctrl-C comes between two lines: nobody calls ``__exit__``."""
        shared, order = SharedAllowance(4), list[str]()
        share = shared.share(4)
        share.__enter__()
        waits = take(shared, 4, lambda: order.append("taken"))
        assert order == []
        del share
        waits.join()
        assert order == ["taken"]

    def test_one_that_waits_no_longer_lets_others_pass(self) -> None:
        shared, order = SharedAllowance(4), list[str]()
        with shared.share(1):
            impatient = shared.share(4)
            queue = impatient._queue
            waits = threading.Thread(target=impatient.__enter__)
            waits.start()
            while not queue._waiting:
                waits.join(0.001)
            later = take(shared, 1, lambda: order.append("later"))
            assert order == []
            gate = queue._waiting[id(impatient)][1]
            queue.leave(id(impatient))
            later.join()
            assert order == ["later"]
            gate.release()  # its thread, which an exception would have ended
            waits.join()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_what_runs_when_a_process_forks_does_not_bar_the_child(self) -> None:
        shared = SharedAllowance(4)
        with shared.share(4):
            child = os.fork()
            if child == 0:
                try:
                    with shared.share(4):
                        os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
