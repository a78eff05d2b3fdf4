from __future__ import annotations

import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from memvid import interrupts
from memvid.interrupts import called_by_c, end_when_repeated, interruptible, uninterrupted

Handler = Callable[[int, Any], Any]


@pytest.fixture(autouse=True)
def handler() -> Iterator[Handler]:
    """Python's own handler of SIGINT, which is there again after each test."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert interrupts._State.depth == 0
    assert interrupts._State.waiting is None
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


class Steps(list[str]):
    """What was done."""

    @interruptible
    def operation(self, *calls: Callable[[], object]) -> None:
        for number, call in enumerate(calls):
            call()
            self.append(f"step {number}")

    @uninterrupted
    def cleanup(self, *calls: Callable[[], object]) -> None:
        for call in calls:
            call()
        self.append("cleaned")


def test_an_operation_is_interrupted_at_once() -> None:
    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.operation(lambda: None, press)
    assert steps == ["step 0"]


def test_cleaning_up_is_interrupted_at_its_end() -> None:
    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.operation(lambda: steps.cleanup(press, press, press))
    assert steps == ["cleaned"]


def test_cleaning_up_without_an_operation_around_it() -> None:
    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.cleanup(press)
    assert steps == ["cleaned"]


def test_the_innermost_mark_counts() -> None:
    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.cleanup(lambda: steps.operation(lambda: None, press))
    assert steps == ["step 0"]
    steps.clear()

    def swallow() -> None:
        with suppress(KeyboardInterrupt):
            steps.operation(press)
        press()

    with pytest.raises(KeyboardInterrupt):
        steps.cleanup(swallow)
    assert steps == ["cleaned"]


def test_cleaning_up_inside_of_cleaning_up_waits_for_the_outer_end() -> None:
    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.cleanup(lambda: steps.cleanup(press))
    assert steps == ["cleaned", "cleaned"]


def test_not_even_its_first_instruction_is_interrupted() -> None:
    """Python may raise before the first line of a function: then nothing in it would be done."""
    steps = Steps()

    def press_at_every_call(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename == interrupts.__file__ and frame.f_code.co_name != "_handle":
            press()

    def clean() -> None:
        try:
            sys.setprofile(press_at_every_call)
            steps.cleanup()
        finally:
            sys.setprofile(None)

    with pytest.raises(KeyboardInterrupt):
        steps.operation(clean)
    assert steps == ["cleaned"]


def test_what_was_returned_is_returned() -> None:
    @uninterrupted
    def cleanup(value: int, *, more: int) -> int:
        """Documented."""
        return value + more

    assert cleanup(1, more=2) == 3
    assert (cleanup.__name__, cleanup.__doc__) == ("cleanup", "Documented.")


def test_in_a_del_it_is_not_lost() -> None:
    """What is raised in one is printed and forgotten."""

    class Dropped:
        def __del__(self) -> None:
            press()

    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.operation(lambda: Dropped() and None, wait_for_ever)
    assert steps == ["step 0"]


def test_in_what_c_calls_it_is_not_lost() -> None:
    """SQLite would end the statement with an error of its own, FFmpeg go on as if nothing had been pressed."""
    pressed: list[None] = []

    @called_by_c
    def progress() -> bool:
        if not pressed:
            pressed.append(None)
            press()
        return False

    connection = sqlite3.connect(":memory:")
    connection.set_progress_handler(progress, 1)
    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.operation(lambda: connection.execute("SELECT 1").fetchall() and None, wait_for_ever)
    assert steps == ["step 0"]


def test_a_module_is_loaded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pressing.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nloaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    steps = Steps()
    with pytest.raises(KeyboardInterrupt):
        steps.operation(lambda: import_module("pressing"), wait_for_ever)
    assert steps == ["step 0"]
    assert sys.modules.pop("pressing").loaded


def wait_for_ever() -> None:
    threading.Event().wait()


def test_an_interruption_that_somebody_swallows_is_not_the_last_one() -> None:
    steps = Steps()

    def swallow() -> None:
        with suppress(KeyboardInterrupt):
            press()

    with pytest.raises(KeyboardInterrupt):
        steps.operation(swallow, swallow, press)
    assert steps == ["step 0", "step 1"]


def test_a_handler_that_does_not_raise_is_asked_too() -> None:
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    steps = Steps()
    steps.operation(press, lambda: steps.cleanup(press))
    assert asked == [signal.SIGINT] * 2
    assert steps == ["step 0", "cleaned", "step 1"]
    signal.signal(signal.SIGINT, before)


def test_a_handler_that_the_operation_puts_there_stays() -> None:
    asked: list[int] = []

    def mine(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    Steps().operation(lambda: signal.signal(signal.SIGINT, mine), press)
    assert signal.getsignal(signal.SIGINT) is mine
    assert asked == [signal.SIGINT]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_where_it_is_ignored_it_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    steps = Steps()
    steps.operation(press, lambda: steps.cleanup(press))
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert len(steps) == 3
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_another_thread_changes_nothing() -> None:
    seen: list[object] = []
    steps = Steps()

    def work() -> None:
        steps.operation(lambda: steps.cleanup(lambda: seen.append(signal.getsignal(signal.SIGINT))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_whoever_is_impatient_ends_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 9.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    ended: list[str] = []
    monkeypatch.setattr(interrupts._State, "last_resort", None)
    end_when_repeated(lambda: ended.append("ended"))
    with pytest.raises(KeyboardInterrupt):
        Steps().cleanup(press, press, lambda: ended.append("still here"), press)
    assert ended == ["still here", "ended"]
