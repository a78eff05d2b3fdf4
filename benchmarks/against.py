"""Two checkouts of memvid on the same data, in turn: ``python -m benchmarks.against OTHER [--chunks 100000]``.

OTHER is another checkout whose native core is built in its ``src/memvid``; ``git worktree add`` makes one of an earlier
commit. Builds and serves the same chunks with each, alternating, so that a machine that changes its pace changes it for
both, and prints the medians and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.million.__main__ import prepare
from benchmarks.million.data import Data

_SHARED = ("vectors.f32", "queries.f32", "exact.i64")
_ROWS = (
    ("build, seconds", "build", lambda found: found["seconds"]),
    ("build, CPU seconds", "build", lambda found: found["cpu_seconds"]),
    ("build, peak MB", "build", lambda found: found["peak_bytes"] / 1e6),
    ("files, MB", "build", lambda found: sum(found["files"].values()) / 1e6),
    ("vector in, five texts out, p50 ms", "serve", lambda found: found["search_and_read_ms"]["p50"]),
    ("vector in, five texts out, p95 ms", "serve", lambda found: found["search_and_read_ms"]["p95"]),
    ("open, ms", "serve", lambda found: found["open_seconds"] * 1e3),
    ("resident, anonymous MB", "serve", lambda found: found["memory"]["anonymous"] / 1e6),
    ("resident, peak MB", "serve", lambda found: found["memory"]["peak"] / 1e6),
    ("recall@10", "serve", lambda found: found["recall@10"]),
)


def main(arguments: list[str]) -> int:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--builds", type=int, default=1, help="builds of each")
    parser.add_argument("--serves", type=int, default=5, help="fresh processes of each that answer")
    parser.add_argument("--work", type=Path, default=Path("build/million"), help="folder for everything that is made")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    data = Data(options.work.resolve(), options.chunks)
    data.folder.mkdir(exist_ok=True)
    prepare(data)
    sides = [(Path.cwd(), data.work), (options.other.resolve(), _beside(data))]
    found: dict[str, list[list[dict[str, Any]]]] = {"build": [[], []], "serve": [[], []]}
    for job, times in (("build", options.builds), ("serve", options.serves)):
        for turn in range(times):
            order = (0, 1) if turn % 2 == 0 else (1, 0)
            for side in order:
                found[job][side].append(_measure(job, *sides[side], options.chunks))
    print(f"| {options.chunks:,} chunks | here | other | here / other |\n|---|---|---|---|")
    for label, job, value in _ROWS:
        here, other = (statistics.median(value(one) for one in found[job][side]) for side in (0, 1))
        print(f"| {label} | {here:.4g} | {other:.4g} | {here / other:.3f} |")
    return 0


def _beside(data: Data) -> Path:
    """A work folder for the other checkout, with the same data."""
    other = data.work / "other"
    folder = other / str(data.chunks)
    folder.mkdir(parents=True, exist_ok=True)
    links = {other / "passages.json": data.work / "passages.json"}
    links |= {folder / name: data.folder / name for name in _SHARED}
    for link, target in links.items():
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return other


def _measure(job: str, checkout: Path, work: Path, chunks: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.million.measure", job, "memvid", str(work), str(chunks)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout / "src"), str(checkout)])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=checkout, env=environment)
    if done.returncode:
        raise SystemExit(f"{checkout}: {job} failed\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
