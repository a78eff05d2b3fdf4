from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from memvid.interrupts import interruptible
from memvid.workers import Worker, WorkerPool


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


class TestWorker:
    def test_it_works_and_ends(self) -> None:
        done: list[str] = []
        worker = Worker(lambda: done.append(threading.current_thread().name), name="memvid-x")
        assert worker.wait(0)
        worker.finish()
        assert done == []
        worker.start()
        worker.finish()
        assert done == ["memvid-x"]
        assert worker.wait(0)

    def test_an_interruption_comes_when_it_has_ended(self) -> None:
        done: list[str] = []

        def work() -> None:
            for _ in range(100):
                os.kill(os.getpid(), signal.SIGINT)
            done.append("done")

        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                run(Worker(work, name="memvid-x"))
        finally:
            signal.signal(signal.SIGINT, before)
        assert done == ["done"]

    def test_where_there_are_no_more_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        worker = Worker(lambda: None, name="x")
        with pytest.raises(RuntimeError, match="new thread"):
            worker.start()
        worker.finish()


@interruptible
def run(worker: Worker) -> None:
    try:
        worker.start()
    finally:
        worker.finish()


def refuse(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


class TestPool:
    def test_results_in_their_order(self) -> None:
        with WorkerPool(3, name="x") as pool:
            assert list(pool.map(lambda item: item * 2, range(50))) == list(range(0, 100, 2))
            assert pool.submit(lambda: "one more").result() == "one more"

    def test_at_most_so_many_threads_and_no_more_than_are_needed(self) -> None:
        gate = threading.Barrier(3)
        with WorkerPool(3, name="memvid-x") as pool:
            assert pool.submit(lambda: threading.current_thread().name).result() == "memvid-x_0"
            names = {future.result() for future in [pool.submit(lambda: meet(gate)) for _ in range(6)]}
            assert names == {"memvid-x_0", "memvid-x_1", "memvid-x_2"}

    def test_an_error_is_its_callers(self) -> None:
        def fail() -> None:
            raise ValueError("no")

        with WorkerPool(2, name="x") as pool:
            future = pool.submit(fail)
            with pytest.raises(ValueError, match="no"):
                future.result()
            assert pool.submit(lambda: 1).result() == 1

    def test_leaving_it_drops_what_has_not_begun(self) -> None:
        begun, end = threading.Event(), threading.Event()

        def wait() -> str:
            begun.set()
            end.wait()
            return "done"

        with WorkerPool(1, name="x") as pool:
            first, second = pool.submit(wait), pool.submit(wait)
            begun.wait()
            second.add_done_callback(lambda _: end.set())
        assert first.result() == "done"
        assert second.cancelled()

    def test_fewer_threads_than_it_may_have_do_as_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gate = threading.Event()
        with WorkerPool(4, name="x") as pool:
            first = pool.submit(gate.wait)
            monkeypatch.setattr(threading.Thread, "start", refuse)
            second = pool.submit(lambda: 2)
            gate.set()
            assert (first.result(), second.result()) == (True, 2)
        with WorkerPool(4, name="x") as pool, pytest.raises(RuntimeError, match="new thread"):
            pool.submit(lambda: 1)


def meet(gate: threading.Barrier) -> str:
    gate.wait()
    return threading.current_thread().name
