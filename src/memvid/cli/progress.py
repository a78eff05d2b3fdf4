"""How far a long operation is, on standard error: a bar for each stage on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import click

from memvid.cli.output import format_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from memvid.types import Progress

__all__ = ["Pace", "ProgressBars"]

_LABELS = {"index": "embed, index"}  # what the stage is mostly about
_UNITS = {
    "read": "documents",
    **dict.fromkeys(("semantic", "keyword", "hybrid"), "questions"),
}  # of other stages: chunks
_WINDOW_SECONDS = 30.0
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 60.0


class Pace:
    """How fast a stage is now: over the last half minute, and without what was resumed, which takes no time.

    Work comes in batches, so what counts is from the end of one to the end of another.
    """

    def __init__(self) -> None:
        self._ends: deque[tuple[float, int]] = deque()  # when a batch was seen to have ended, units made until then
        self._resumed = 0
        self._left = 0
        self._now = 0.0

    def update(self, progress: Progress, now: float) -> None:
        """Take note of a report.

        :param now: seconds on a clock that never goes back.
        """
        made = progress.done - progress.resumed
        resumed, self._resumed = progress.resumed - self._resumed, progress.resumed
        self._left, self._now = progress.total - progress.done, now
        if self._ends and self._ends[-1][1] == made:
            if resumed:
                self._ends.clear()  # whatever was made before, the time since then was not spent on making
            else:
                return
        self._ends.append((now, made))
        while len(self._ends) > 3 and self._ends[0][0] < now - _WINDOW_SECONDS:
            self._ends.popleft()

    @property
    def rate(self) -> float | None:
        """Units a second; ``None`` before the end of a first batch."""
        if len(self._ends) < 2:
            return None
        (begin, before), (end, made) = self._ends[0], self._ends[-1]
        batch = (end - begin) / (len(self._ends) - 1)
        seconds = max(end - begin, self._now - begin - batch)  # a batch that takes longer than the others counts
        return (made - before) / seconds if seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """What is left at this rate."""
        rate = self.rate
        return self._left / rate if rate and self._left > 0 else None


class _Stage:
    """One stage: its pace, and when it was last shown."""

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.pace = Pace()
        self.drawn = -1.0
        self.said = now
        self.bar: Any = None

    def text(self, progress: Progress) -> str:
        unit = _UNITS.get(self.name, "")
        done = f"{progress.done:,} of {progress.total:,}" if progress.total else f"{progress.done:,}"
        parts = [f"{done} {unit}".rstrip()]
        rate, left = self.pace.rate, self.pace.seconds_left
        if rate and (left or not progress.total):
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if left:
            parts.append(f"{format_left(left)} left")
        if progress.resumed:
            parts.append(f"{progress.resumed:,} resumed")
        return ", ".join(parts)


class ProgressBars:
    """A bar for each stage of a long operation, with its rate and the time left; give the object as ``progress=``.

    Where standard error is no terminal, a stage that takes long says a line a minute.

    :param clock: seconds; never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._stages: dict[str, _Stage] = {}
        self._clock = clock
        self._terminal = sys.stderr.isatty()

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        stage = self._stages.get(progress.stage)
        if stage is None:
            stage = self._stages[progress.stage] = _Stage(progress.stage, now)
        stage.pace.update(progress, now)
        if not self._terminal:
            if now - stage.said >= _LINE_SECONDS:
                stage.said = now
                click.echo(f"memvid: {_LABELS.get(stage.name, stage.name)}: {stage.text(progress)}", err=True)
        elif now - stage.drawn >= _REDRAW_SECONDS or progress.done == progress.total:
            stage.drawn = now
            self._draw(stage, progress)

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for stage in reversed(self._stages.values()):
            if stage.bar is not None:
                stage.bar.close()

    def _draw(self, stage: _Stage, progress: Progress) -> None:
        if stage.bar is None:
            stage.bar = self._make_bar(stage, progress)
            return
        stage.bar.n = progress.done
        stage.bar.total = progress.total or None
        text = stage.text(progress)
        stage.bar.bar_format = _bar_format(stage.name, text, progress, stage.bar.format_dict["ncols"])
        stage.bar.set_description_str(text, refresh=True)

    def _make_bar(self, stage: _Stage, progress: Progress) -> Any:
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # its thread is for bars that are seldom updated, and Ctrl-C may hit it on exit
        return tqdm(
            desc=stage.text(progress),
            initial=progress.done,
            total=progress.total or None,
            bar_format=_bar_format(stage.name, stage.text(progress), progress, shutil.get_terminal_size().columns - 1),
            file=sys.stderr,
            position=sum(stage.bar is not None for stage in self._stages.values()),
            leave=False,
            dynamic_ncols=True,
        )


def _bar_format(name: str, text: str, progress: Progress, columns: int | None) -> str:
    """What tqdm draws: no bar where the numbers would be cut off for it, so that 150 of 159 is not 150 of 1."""
    label = f"{_LABELS.get(name, name):<12}"
    if not progress.total:
        return f"{label} {{desc}}"
    if columns and len(label) + len(" 100% |          | ") + len(text) > columns:
        return f"{label} {{percentage:3.0f}}% {{desc}}"
    return f"{label} {{percentage:3.0f}}% |{{bar:10}}| {{desc}}"
