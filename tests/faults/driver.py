"""Runs under the preloaded library: interrupts an operation at its calls, and looks at what is left each time.

``python -m tests.faults.driver SHIM FOLDER OPERATION FAULT FIRST STEP`` prints a JSON object: how many calls the
operation makes, how many interruptions were tried, and those after which something was wrong. Each trial is a child
process: imports are paid once.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvid.errors import MemvidError
from tests.faults.operations import OPERATIONS, Operation, contents, follow, names

__all__ = ["FAULTS"]

FAULTS = {
    "kill": (1, 0),
    "kill behind": (2, 0),
    "ENOSPC once": (3, errno.ENOSPC),
    "ENOSPC": (4, errno.ENOSPC),
    "ENOSPC in the middle": (5, errno.ENOSPC),
    "EIO once": (3, errno.EIO),
    "EIO": (4, errno.EIO),
}

SUCCEEDED, FAILED, BROKEN = 0, 10, 11
_SECONDS = 60  # after which a process is taken for one that hangs


def child(work: Callable[[], None], log: Path) -> int:
    """Do something in a process of its own; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = BROKEN
        signal.alarm(_SECONDS)
        try:
            work()
            code = SUCCEEDED
        except MemvidError:
            code = FAILED
            log.write_text(traceback.format_exc())
        except BaseException:
            log.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@dataclass(frozen=True)
class Trials:
    """The interruptions of one operation.

    :ivar folder: for working in; what the library watches is ``folder / "work"``.
    """

    shim: Any
    folder: Path
    operation: Operation

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def reset(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.folder / "before", self.work)

    def prepare(self) -> int:
        """Make the states before and after; the number of calls from one to the other."""
        for name in ("before", "after"):
            (self.folder / name).mkdir(parents=True)
        self.must(lambda: self.operation.prepare(self.folder / "before"))
        self.reset()
        self.must(lambda: self.run(0, 0, 0, count=True))
        shutil.rmtree(self.folder / "after")
        shutil.copytree(self.work, self.folder / "after")
        return int((self.folder / "calls").read_text())

    def must(self, work: Callable[[], None]) -> None:
        log = self.folder / "log"
        code = child(work, log)
        assert code == SUCCEEDED, (code, log.read_text() if log.exists() else "")

    def run(self, number: int, mode: int, error: int, *, count: bool = False) -> None:
        """The operation, to be met by a fault at a call."""
        self.shim.fault_arm(os.fsencode(self.work), number, mode, error)
        try:
            self.operation.run(self.work)
        finally:
            calls = self.shim.fault_calls()
            self.shim.fault_arm(b"", 0, 0, 0)
            if count:
                (self.folder / "calls").write_text(str(calls))

    def expected(self, name: str) -> Any:
        """What is in the memory before or after, read from a copy, since reading may finish what was cut off.

        In a process of its own: this one must have no threads when it forks.
        """
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        shutil.copytree(self.folder / name, self.folder / "copy")
        result = self.folder / "contents"

        def read() -> None:
            result.write_bytes(pickle.dumps(contents(self.folder / "copy", self.operation)))

        self.must(read)
        return pickle.loads(result.read_bytes())

    def check(self, outcome: int, old: Any, new: Any) -> None:
        """The memory must be the old or the new one, and the next to write it must get along."""
        found = contents(self.work, self.operation)
        assert found in (old, new), "a third thing"
        assert outcome != SUCCEEDED or found == new, "it said that it had succeeded"
        if found == old and found != new:
            self.operation.run(self.work)
            assert contents(self.work, self.operation) == new, "once more does not give the new memory"
        if self.operation.grows:
            follow(self.work, self.operation)
            after = contents(self.work, self.operation)
            assert after is not None
            assert new is not None
            assert len(after) == len(new) + 1, "what came afterwards"
        # A checkpoint is there for the next build, and its lock for the next that takes the checkpoint.
        mine = {name for name in names(self.work) if not name.startswith("memory.checkpoint")}
        litter = {name for name in mine if name.endswith((".new", ".lock", ".commit"))}
        assert not litter, f"left behind: {litter}"

    def trial(self, number: int, mode: int, error: int, old: Any, new: Any) -> str | None:
        """One interruption; what is wrong afterwards."""
        self.reset()
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        outcome = child(lambda: self.run(number, mode, error), log)
        if outcome == BROKEN or (outcome < 0 and outcome != -9):
            return f"ended with {outcome}: {log.read_text() if log.exists() else ''}"
        said = log.read_text() if log.exists() else ""
        code = child(lambda: self.check(outcome, old, new), log)
        return None if code == SUCCEEDED else f"after {outcome} ({said[-300:]}): check {code}: {log.read_text()}"


def main(shim_file: str, folder: str, name: str, fault: str, first: str, step: str) -> None:
    """Print what came of the trials."""
    shim = ctypes.CDLL(shim_file)
    shim.fault_calls.restype = ctypes.c_long
    trials = Trials(shim, Path(folder), OPERATIONS[name])
    calls = trials.prepare()
    old, new = trials.expected("before"), trials.expected("after")
    mode, error = FAULTS[fault]
    wrong = {}
    tried = range(int(first), calls + 1, int(step))
    for number in tried:
        what = trials.trial(number, mode, error, old, new)
        if what is not None:
            wrong[number] = what
    sys.stdout.write(json.dumps({"calls": calls, "tried": len(tried), "wrong": wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
