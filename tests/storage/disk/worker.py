"""Tries faults in one operation: ``python -m tests.storage.disk.worker OPERATION FAULT[,FAULT] FIRST STEP``.

Prints a line of JSON for each trial: fault, number of the call, state, what was told, problems; first, one with the
number of calls. Every ``STEP``-th trial from ``FIRST`` on is made, counted through all faults.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.storage.disk.bench import FAULTS, Bench, Outcome
from tests.storage.disk.operations import NEGLIGENT, OPERATIONS
from tests.storage.disk.power import crash_states
from tests.storage.disk.trap import Kind, compile_trap

# Once, and not by each fork.
IMPORTED = ("av", "cv2", "memvid.appender", "memvid.encoder", "memvid.retriever")
_TRIES = 6  # states drawn by lot after each call
_MEMORY = Path("/dev/shm")  # no test needs the disk itself, and syncing one takes most of the time


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for trials, in memory where that is possible."""
    usable = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return tempfile.TemporaryDirectory(prefix="memvid-faults-", dir=_MEMORY if usable else None)


def main(name: str, faults: str, first: int, step: int) -> None:
    """Make the trials."""
    for module in IMPORTED:
        import_module(module)
    with scratch_folder() as scratch:
        folder = Path(scratch)
        bench = Bench({**OPERATIONS, **NEGLIGENT}[name], folder, compile_trap(folder)).rehearse()
        if faults == "power":
            cut_power(bench, first, step)
        elif faults == "record":  # what test_no_call_escapes watches
            say({"folder": f"{os.path.realpath(folder)}/trial/", "calls": len(bench.calls)})
        else:
            fail(bench, faults.split(","), first, step)


def fail(bench: Bench, faults: list[str], first: int, step: int) -> None:
    """Have each call fail."""
    kinds = {call.number: call.kind for call in bench.calls}
    plan = [
        (FAULTS[fault], number)
        for fault in faults
        for number, kind in sorted(kinds.items())
        if kind is Kind.WRITE or fault not in ("torn", "half then full")
    ]
    say({"calls": len(kinds), "trials": len(plan)})
    for fault, number in plan[first::step]:
        tell(bench.trial(fault, number), fault.name, number, kinds[number])


def cut_power(bench: Bench, first: int, step: int) -> None:
    """Cut the power after each call, in several ways."""
    disk, calls = bench.recorded()
    states = list(crash_states(disk, calls, tries=_TRIES))
    say({"calls": len(calls), "trials": len(states)})
    for at, files in states[first::step]:
        tell(bench.power_cut(files, finished=at == len(calls)), "power", at, calls[at - 1].kind if at else Kind.OTHER)


def tell(outcome: Outcome, fault: str, number: int, kind: Kind) -> None:
    row = {"fault": fault, "call": number, "kind": kind.name, "state": outcome.state}
    say({**row, "told": outcome.told, "problems": outcome.problems})


def say(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
