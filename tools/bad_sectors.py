"""Has each sector of each file of some small memories be bad, and tries every verb on it; prints what is left of them.

Run it from the checkout: ``python -m tools.bad_sectors [--every N] [KIND ...]``. On Linux, with a C compiler; a sector
takes about a second. What is tried, and what counts as a problem, is in ``tests/hostile/bad_sector_support.py``. Ends
with 1 if there was any.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.hostile.bad_sector_support import KINDS, build_kind, files_of, sectors_of
from tests.hostile.bad_sectors import run_sectors
from tests.storage.disk.bad_sector import compile_bad_sector


def main() -> int:
    """Print a row for each file of each memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only every N-th sector")
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=", ".join(KINDS))
    options = parser.parse_args()
    problems = 0
    print("| memory | file | sectors | chunks read | chunks after a repair |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        os.environ["MEMVID_CACHE_DIR"] = str(Path(scratch, "cache"))
        library = compile_bad_sector(Path(scratch))
        for kind in options.kinds:
            folder = Path(scratch, kind)
            folder.mkdir()
            build_kind(kind, folder)
            for name in files_of(folder):
                numbers = range(0, sectors_of(folder / name), options.every)
                parts = [numbers[core :: os.cpu_count()] for core in range(os.cpu_count() or 1)]
                jobs = [pool.submit(run_sectors, library, kind, folder, name, part) for part in parts if part]
                rows = [row for job in jobs for row in job.result()]
                for row in rows:
                    for problem in row["problems"]:
                        print(f"{kind} {name}, sector {row['sector']}: {problem}", file=sys.stderr, flush=True)
                        problems += 1
                read, repaired = ([row[column] for row in rows] for column in ("read", "repaired"))
                spans = [f"{min(counts)} to {max(counts)}" for counts in (read, repaired)]
                print(f"| {kind} | {name} | {len(rows)} | {spans[0]} | {spans[1]} |", flush=True)
    print(f"\n{problems:,} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
