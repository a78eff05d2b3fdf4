"""What one answer may take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memvid.network import meter as metering
from memvid.network.meter import Clock, Meter, MeteredTimeout, Pace, StoppedError


class FakeTime:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTime]:
    fake = FakeTime()
    monkeypatch.setattr(metering, "time", fake)
    return fake  # type: ignore[return-value]


class TestClock:
    def test_only_waiting_counts(self, time: FakeTime) -> None:
        clock = Clock(10)
        with clock.waiting() as left:
            assert left == 10
            time.now += 4
        time.now += 1000  # what the caller does meanwhile
        with clock.waiting() as left:
            assert left == 6
            time.now += 6
        with pytest.raises(StoppedError, match="not complete after 10 seconds") as caught, clock.waiting():
            pass
        assert caught.value.reason == "time"

    def test_what_fails_counts_too(self, time: FakeTime) -> None:
        clock = Clock(10)

        def fail() -> None:
            with clock.waiting():
                time.now += 9
                raise OSError("no")

        with pytest.raises(OSError, match="no"):
            fail()
        assert clock.left == 1


class TestPace:
    def drip(self, amount: int, seconds: float, count: int = 10_000) -> None:
        pace = Pace(3, 10)
        for _ in range(count):
            pace.arrived(amount, seconds)

    def test_a_letter_a_second_ends(self) -> None:
        self.drip(1, 1.0, 15)
        with pytest.raises(StoppedError) as caught:
            self.drip(1, 1.0, 16)
        assert caught.value.reason == "pace"

    @pytest.mark.parametrize("seconds", [0.01, 0.5, 1.0, 1.9, 4.9, 60.0])
    def test_a_word_at_a_time_goes_on_however_slow_the_model(self, seconds: float) -> None:
        self.drip(4, seconds)

    def test_fast_and_short_goes_on(self) -> None:
        self.drip(1, 0.02)

    def test_a_silence_is_not_a_drip(self) -> None:
        self.drip(0, 30.0)

    def test_what_was_fast_is_not_paid_for_ever(self) -> None:
        pace = Pace(3, 10)
        pace.arrived(1_000_000, 1.0)
        for _ in range(15):
            pace.arrived(1, 1.0)
        with pytest.raises(StoppedError):
            pace.arrived(1, 1.0)

    def test_none_is_asked_for(self) -> None:
        Pace(0, 0).arrived(0, 1.0)


class TestMeter:
    def test_bytes_as_they_arrive(self) -> None:
        meter = Meter(seconds=9, max_bytes=1000)
        meter.begin()
        meter.received(1000, 0)
        with pytest.raises(StoppedError, match="larger than 1,000 bytes") as caught:
            meter.received(1, 0)
        assert caught.value.reason == "bytes"

    def test_bytes_unpacked_and_what_costs_time_to_read(self) -> None:
        for data, lines, most in (
            (b"x" * 500, True, 2),
            (b"", False, 3),
            (b"\n" * 5, True, 1),
            (b"\n" * 5, False, 3),
        ):
            meter = Meter(seconds=9, max_bytes=1000)
            for _ in range(most):
                meter.unpacked(data, lines=lines)
            with pytest.raises(StoppedError):
                meter.unpacked(data, lines=lines)

    def test_a_head_is_small(self) -> None:
        meter = Meter(seconds=9, max_bytes=1 << 30)
        for _ in range(2):  # each request has its own
            meter.begin()
            meter.received(200_000, 0)
            meter.begun = True
            meter.received(200_000, 0)
        meter.begin()
        for _ in range(256):
            meter.received(1024, 0)
        with pytest.raises(StoppedError, match="headers"):
            meter.received(1, 0)

    def test_a_head_that_drips(self) -> None:
        meter = Meter(seconds=9, max_bytes=1 << 30)
        meter.begin()
        for _ in range(7):  # replies of 100
            meter.received(25, 1.0)
        with pytest.raises(StoppedError, match="less than 30 bytes a second"):
            meter.received(25, 1.0)

    def test_once_all_has_come_nothing_is_waited_for(self, time: FakeTime) -> None:
        meter = Meter(seconds=600, max_bytes=9)
        meter.hurry()
        for _ in range(5):  # however often something comes
            with meter.clock.waiting():
                time.now += 1
        with pytest.raises(StoppedError):
            meter.clock.check()

    def test_a_timeout_knows_its_meter(self) -> None:
        meter = Meter(seconds=9, max_bytes=9)
        timeout = MeteredTimeout.of(meter, 2.5)
        assert (timeout, timeout.meter) == (2.5, meter)
