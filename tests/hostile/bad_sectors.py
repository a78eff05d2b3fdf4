"""Trials with bad sectors in processes of their own, which may die of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.index.index_support import environment
from tests.storage.disk.bad_sector import preloaded

__all__ = ["run_sectors"]


def run_sectors(library: Path, kind: str, folder: Path, name: str, numbers: range) -> list[dict[str, Any]]:
    """What came of each of these sectors of a file of the memory in ``folder``; a death is a problem.

    :param library: that of :func:`~tests.storage.disk.bad_sector.compile_bad_sector`.
    """
    rows: list[dict[str, Any]] = []
    while left := numbers[len(rows) :]:
        command = [sys.executable, "-m", "tests.hostile.bad_sector_support", kind, os.fspath(folder), name]
        command += [str(left.start), str(left.step)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**environment(), **preloaded(library)}
        )
        rows += map(json.loads, done.stdout.splitlines()[: len(left)])
        if done.returncode:
            assert "Traceback" not in done.stderr, done.stderr[-3000:]  # of the trial itself, not of a verb
            sector, problem = numbers[len(rows)], f"the process ended with {done.returncode}: {done.stderr[-300:]}"
            rows.append({"sector": sector, "read": 0, "repaired": 0, "problems": [problem]})
    return rows
