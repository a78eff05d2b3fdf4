"""Has a disk fail at every call of everything that writes a memory, and cuts its power after each; counts what is left.

Run it from the checkout: ``python -m tools.disk_faults [--every N] [--faults NAMES] [OPERATION ...]``. On Linux on
x86-64, with a C compiler. Prints a row for each operation, and each trial after which something was wrong; ends with 1
if there was any.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.storage.disk.bench import FAULTS
from tests.storage.disk.operations import OPERATIONS
from tests.storage.disk.running import run_trials


def main() -> int:
    """Make the trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="make only every N-th trial")
    parser.add_argument("--faults", default=",".join([*FAULTS, "power"]), help="only these, with commas in between")
    parser.add_argument("operations", nargs="*", default=list(OPERATIONS))
    options = parser.parse_args()
    names = options.faults.split(",")
    total: Counter[str] = Counter()
    print("| operation | calls | " + " | ".join(names) + " |\n|---|---|" + "---|" * len(names), flush=True)
    for operation in options.operations:
        cells, calls = [], 0
        for name in names:
            trials = run_trials(operation, name, step=options.every)
            calls = max(calls, trials.calls)
            states = Counter(row["state"] for row in trials.rows)
            total.update(states)
            total["problems"] += len(trials.problems)
            cells.append(" + ".join(f"{states[state]} {state}" for state in ("old", "new", "wrong") if states[state]))
            for problem in trials.problems:
                print(f"{operation}: {problem}", file=sys.stderr, flush=True)
        print(f"| {operation} | {calls} | " + " | ".join(cells) + " |", flush=True)
    problems = total.pop("problems")
    print(f"\n{total.total():,} trials: " + ", ".join(f"{count:,} {state}" for state, count in total.items()))
    print(f"{problems:,} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
