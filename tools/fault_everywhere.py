"""Interrupts everything that writes a memory at every call by which it changes a file, in every way there is.

``python -m tools.fault_everywhere [OPERATION ...]`` prints a table of how many interruptions were tried, and each one
after which the memory was neither the old nor the new one, or the next to write it did not get along. On Linux; needs a
C compiler.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults.driver import FAULTS
from tests.faults.operations import OPERATIONS
from tests.faults.shim import compile_shim, run_trials


def main(operations: list[str]) -> int:
    """Try all faults on some operations; the exit code is 1 if anything was wrong."""
    total = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        shim = compile_shim(Path(folder))
        print("| operation | calls | " + " | ".join(FAULTS) + " |\n|---|---|" + "---|" * len(FAULTS), flush=True)
        for operation in operations or list(OPERATIONS):
            cells = []
            calls = 0
            for number, fault in enumerate(FAULTS):
                work = Path(folder) / f"{operation} {number}"
                work.mkdir()
                result = run_trials(shim, work, operation, fault)
                calls = max(calls, result["calls"])
                total += result["tried"]
                wrong += len(result["wrong"])
                cells.append(f"{result['tried'] - len(result['wrong'])} of {result['tried']}")
                for call, what in result["wrong"].items():
                    print(f"{operation}, {fault}, call {call}: {what}", file=sys.stderr, flush=True)
            print(f"| {operation} | {calls} | " + " | ".join(cells) + " |", flush=True)
    print(f"\n{total:,} interruptions, {wrong:,} of them left something wrong behind")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
