"""Flips every bit of every file of a small memory, cuts every file at every byte, and counts what comes of it.

Run it from the checkout: ``python -m tools.flip_bits [--every N] [FILE ...]``. Takes about an hour on two cores for all
of it. ``one.mp4`` is the same memory with its index inside. The mode ``fresh`` is for side files and for that: only of
these a machine remembers that it has checked them. Each letter is explained in ``tests/hostile/damage_support.py``.
Ends with 1 if anything came back wrong or crashed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.hostile.damage_support import CHECKED_ALWAYS, FILES, ONE_FILE, build_small, build_small_one

MODES = ("flip", "fresh", "cut")


def run(folder: Path, name: str, mode: str, start: int, step: int) -> tuple[str, list[str]]:
    """Letters of every ``step``-th damage, and what crashed or was wrong."""
    size = (folder / name).stat().st_size * (1 if mode == "cut" else 8)
    letters, faults = "", []
    while start < size:
        command = [sys.executable, "-m", "tests.hostile.damage_support", str(folder), name, mode, str(start), str(step)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        letters += done.stdout
        faults += [f"{mode} {start + step * at}" for at, letter in enumerate(done.stdout) if letter == "W"]
        start += step * len(done.stdout)
        if start < size:
            faults.append(f"{mode} {start}: the process ended with {done.returncode}")
            letters += "C"
            start += step
    return letters, faults


def main() -> int:
    """Print a row for each file and mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only every N-th damage")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("files", nargs="*", default=[*FILES, ONE_FILE])
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    failed = False
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(cores) as pool:
        folder = Path(scratch)
        build_small(folder)
        build_small_one(folder)
        for name in options.files:
            for mode in options.modes:
                if mode == "fresh" and name in CHECKED_ALWAYS:
                    continue
                step = cores * options.every
                jobs = [pool.submit(run, folder, name, mode, core * options.every, step) for core in range(cores)]
                counts: Counter[str] = Counter()
                for job in jobs:
                    letters, faults = job.result()
                    counts.update(letters)
                    for fault in faults:
                        print(f"  {name}: {fault}")
                    failed = failed or bool(faults)
                row = ", ".join(f"{letter} {count:,}" for letter, count in sorted(counts.items()))
                print(f"{name} {mode}: {row}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
