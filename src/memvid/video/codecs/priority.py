"""How threads are scheduled, which is nothing that an encoder may change."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["same_priority"]


@contextmanager
def same_priority() -> Iterator[None]:
    """Give the calling thread, and threads that were started meanwhile, back the priority that it had.

    Where SVT-AV1 runs as root, as it does in containers, it gives its own threads and the one that opens it the highest
    realtime priority, for good: on Linux nothing else would have a core while it encodes, and no other thread of the
    caller afterwards.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _tasks()
    try:
        yield
    finally:
        for task in (_tasks() - before) | {threading.get_native_id()}:
            with suppress(OSError):  # it has ended
                if os.sched_getscheduler(task) != policy:
                    os.sched_setscheduler(task, policy, parameter)


def _tasks() -> set[int]:
    """The ids of this process's threads."""
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}
