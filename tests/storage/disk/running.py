"""Trials by several processes at a time, each of which forks for its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.index.index_support import environment
from tests.repository import ROOT

__all__ = ["Trials", "run_trials", "worker_environment"]


@dataclass(frozen=True, slots=True)
class Trials:
    """What came of some trials.

    :ivar calls: calls that the operation makes.
    :ivar planned: trials there are.
    :ivar rows: those that were made: fault, number and kind of the call, state, what was told, problems.
    """

    calls: int
    planned: int
    rows: list[dict[str, Any]]

    @property
    def problems(self) -> list[str]:
        """All that must not be."""
        return [f"{row['fault']} at call {row['call']}: {text}" for row in self.rows for text in row["problems"]]


def run_trials(operation: str, faults: str, *, step: int = 1, first: int = 0) -> Trials:
    """Make every ``step``-th trial of an operation.

    :param faults: names of faults with commas in between, or ``"power"``.
    """
    workers = min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(workers) as pool:
        parts = list(
            pool.map(lambda part: _run(operation, faults, first + part * step, workers * step), range(workers))
        )
    rows = [row for _, part in parts for row in part]
    return Trials(parts[0][0]["calls"], parts[0][0]["trials"], rows)


def worker_environment() -> dict[str, str]:
    """Of a worker, which forks: importing numpy must begin no threads."""
    return {**environment(), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "ERROR"}


def _run(operation: str, faults: str, first: int, step: int) -> tuple[dict[str, int], list[dict[str, Any]]]:
    command = [sys.executable, "-m", "tests.storage.disk.worker", operation, faults, str(first), str(step)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=worker_environment(), cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    head, *rows = map(json.loads, done.stdout.splitlines())
    return head, rows
