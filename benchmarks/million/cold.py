"""From the start of a process to memvid's first answer, with the files in the page cache and without."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["measure_cold"]

_FIRST_ANSWER = """
import sys, time
begin = time.perf_counter()
from memvid import MemvidRetriever
retriever = MemvidRetriever(sys.argv[1], expansion_search=int(sys.argv[2]))
opened = time.perf_counter()
answers = retriever.search("How is a file closed when an exception was raised?")
answered = time.perf_counter()
again = retriever.search("What does a function return that has no return statement?")
last = time.perf_counter()
import json
print(json.dumps({"answers": len(answers + again), "answered": answered, "import and open": opened - begin,
                  "first answer": answered - opened, "second answer": last - answered}))
"""
_DROP = Path("/proc/sys/vm/drop_caches")


def measure_cold(folder: Path, effort: int, *, rounds: int = 5, drop_all: bool = True) -> dict[str, Any]:
    """Medians in seconds; ``process`` is the whole way from the start of the interpreter."""
    video = folder / "memory.mp4"
    _first_answer(video, effort)
    result: dict[str, Any] = {"page cache warm": _median([_first_answer(video, effort) for _ in range(rounds)])}
    cold = []
    how = ""
    for _ in range(rounds):
        how = _forget(folder, drop_all=drop_all)
        cold.append(_first_answer(video, effort))
    result["page cache dropped"] = {**_median(cold), "how": how}
    return result


def _first_answer(video: Path, effort: int) -> dict[str, float]:
    begin = time.perf_counter()  # on Linux the same clock in all processes
    command = [sys.executable, "-c", _FIRST_ANSWER, str(video), str(effort)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    assert found.pop("answers") == 10
    return {"process": found.pop("answered") - begin, **found}


def _forget(folder: Path, *, drop_all: bool) -> str:
    """Have the memory's files dropped from the page cache, with everything else if the machine lets us."""
    os.sync()
    if drop_all and os.access(_DROP, os.W_OK):
        _DROP.write_text("3", "ascii")
        return "drop_caches: the memory, Python, libraries and the model all come from disk"
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    return "posix_fadvise: only the memory's files come from disk"


def _median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
