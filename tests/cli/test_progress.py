from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.cli.progress import Pace, ProgressBars
from memvid.types import Progress


def follow(*reports: tuple[float, int, int], total: int = 1000) -> Pace:
    """A pace after reports at (seconds, done, resumed)."""
    pace = Pace()
    for now, done, resumed in reports:
        pace.update(Progress("index", done, total, resumed), now)
    return pace


class TestPace:
    def test_nothing_is_known_before_a_batch_has_ended(self) -> None:
        for reports in ([(0.0, 0, 0)], [(0.0, 0, 0), (9.0, 0, 0)], [(0.0, 500, 500), (1.0, 600, 600)]):
            pace = follow(*reports)
            assert pace.rate is None
            assert pace.seconds_left is None

    def test_rate_and_time_left(self) -> None:
        pace = follow((0.0, 0, 0), (2.0, 100, 0), (4.0, 200, 0))
        assert pace.rate == 50
        assert pace.seconds_left == 16
        assert follow((0.0, 0, 0), (2.0, 1000, 0)).seconds_left is None

    def test_looking_in_the_middle_of_a_batch_changes_nothing(self) -> None:
        ends = [(0.0, 0, 0), (2.0, 100, 0), (4.0, 200, 0)]
        assert follow(*ends, (5.9, 200, 0)).rate == follow(*ends).rate

    def test_a_stage_that_stands_still_gets_slower(self) -> None:
        ends = [(0.0, 0, 0), (2.0, 100, 0), (4.0, 200, 0)]
        rates = [follow(*ends, (now, 200, 0)).rate or 0 for now in (6.0, 10.0, 100.0)]
        assert rates[0] == 50
        assert rates == sorted(rates, reverse=True)
        assert rates[2] < 2.1

    def test_only_what_happened_lately_counts(self) -> None:
        slow = [(float(second), second, 0) for second in range(200)]
        fast = [(200.0 + second, 200 + 10 * second, 0) for second in range(40)]
        assert follow(*slow, *fast).rate == pytest.approx(10)

    def test_what_was_resumed_is_no_work(self) -> None:
        resuming = [(second / 10, second * 8, second * 8) for second in range(100)]
        pace = follow(*resuming, (12.0, 792 + 20, 792), (14.0, 792 + 40, 792))
        assert pace.rate == pytest.approx(10, rel=0.1)
        assert pace.seconds_left == pytest.approx(16.8, rel=0.1)

    @given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 9), st.booleans()), max_size=60))
    def test_any_course_has_a_sensible_rate(self, steps: list[tuple[float, int, bool]]) -> None:
        pace, now, made, resumed = Pace(), 0.0, 0, 0
        for seconds, units, kept in steps:
            now += seconds
            made, resumed = made + units * (not kept), resumed + units * kept
            pace.update(Progress("index", made + resumed, 1000, resumed), now)
            assert pace.rate is None or pace.rate >= 0
            assert pace.seconds_left is None or pace.seconds_left >= 0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestBars:
    def test_silent_without_a_terminal_unless_it_takes_long(
        self, capsys: pytest.CaptureFixture[str], clock: Clock
    ) -> None:
        with ProgressBars(clock) as bars:
            for second in range(0, 130, 2):
                clock.now = float(second)
                bars(Progress("index", 10 * second, 2000, resumed=0))
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines() == [
            "memvid: embed, index: 600 of 2,000, 10/s, 3 min left",
            "memvid: embed, index: 1,200 of 2,000, 10/s, 80 s left",
        ]

    def test_a_line_for_each_stage_on_a_terminal(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        with ProgressBars(clock) as bars:
            bars(Progress("read", 12_345, 0))
            for second in range(5):
                clock.now = float(second)
                bars(Progress("write", 50 * second, 200))
                bars(Progress("index", 100 + 20 * second, 1_000_000, resumed=100))
        out, err = capsys.readouterr()
        assert out == ""
        shown = [line.strip() for line in re.split(r"[\r\n]|\x1b\[A", err) if line.strip()]
        assert shown[0] == "read         12,345 documents"
        assert "write        100% |██████████| 200 of 200" in shown
        assert "embed, index   0% |          | 180 of 1,000,000, 20/s, 13 h 54 min left, 100 resumed" in shown
        assert shown[-1] == "embed, index   0% |          | 180 of 1,000,000, 20/s, 13 h 54 min left, 100 resumed"
        assert err.endswith("\r")  # and all lines are cleared

    @pytest.mark.parametrize(("columns", "bar"), [(42, "|█████████▍| "), (41, "")])
    def test_numbers_have_room_before_the_bar(
        self,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        clock: Clock,
        columns: int,
        bar: str,
    ) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        with ProgressBars(clock) as bars:
            bars(Progress("index", 150, 159))
        shown = re.split(r"[\r\n]", capsys.readouterr().err)
        assert f"embed, index  94% {bar}150 of 159" in [line.rstrip() for line in shown]

    def test_lines_are_not_drawn_more_often_than_one_can_read(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        with ProgressBars(clock) as bars:
            for number in range(1000):
                clock.now = number / 1000
                bars(Progress("write", number, 5000))
        assert 8 <= len(re.findall(r"\d+ of 5,000", capsys.readouterr().err)) <= 12
