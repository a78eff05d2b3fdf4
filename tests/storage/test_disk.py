"""Disks that fail and machines that lose their power: the old memory or the new one, and whatever was told is true.

A sample; ``python -m tools.disk_faults`` makes all trials.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage.disk.bench import FAULTS
from tests.storage.disk.operations import OPERATIONS
from tests.storage.disk.power import Disk, crash_states
from tests.storage.disk.running import run_trials, worker_environment
from tests.storage.disk.trap import Call, Kind, TrapError, compile_trap

pytestmark = pytest.mark.tools

_EACH = 8  # trials of an operation


@pytest.fixture(autouse=True, scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where system calls cannot be stopped."""
    try:
        compile_trap(tmp_path_factory.mktemp("trap"))
    except TrapError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_disk_that_fails_leaves_the_old_memory_or_the_new_one(operation: str) -> None:
    number = list(OPERATIONS).index(operation)
    fault = list(FAULTS)[number % len(FAULTS)]  # each has its turn
    step = max(1, _CALLS.get(operation, 100) // _EACH)
    trials = run_trials(operation, fault, first=number % step, step=step)
    assert trials.rows
    assert trials.problems == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_power_cut_leaves_the_old_memory_or_the_new_one(operation: str) -> None:
    step = max(1, 4 * _CALLS.get(operation, 100) // _EACH)
    trials = run_trials(operation, "power", first=step // 2, step=step)
    assert trials.rows
    assert trials.problems == []


_CALLS = {
    "open a build cut off": 19,
    "open an append cut off": 23,
    "export to h264": 12,
    "export to mp4v": 25,
    "delete": 45,
}


def test_a_build_that_does_not_sync_is_found_out() -> None:
    assert run_trials("rebuild without syncing", "power", first=3, step=12).problems


def call(kind: Kind, name: str, inode: int = 0, offset: int = 0, data: bytes = b"", new_name: str = "") -> Call:
    names = [f"/m/{each}" if each else "" for each in (name, new_name)]
    return Call(1, kind, 0, len(data), inode, offset, names[0] or "/m", names[1], data)


def test_what_a_power_cut_may_leave() -> None:
    calls = [
        call(Kind.CREATE, "a.new", 7),
        call(Kind.WRITE, "a.new", 7, 0, b"new" * 400),
        call(Kind.SYNC, "a.new", 7),
        call(Kind.RENAME, "a.new", 7, new_name="a"),
        call(Kind.SYNC, ""),
    ]
    left: dict[int, set[tuple[tuple[str, bytes], ...]]] = {}
    for at, files in crash_states(Disk("/m", {"a": b"old"}, {"a": 5}), calls, tries=60):
        left.setdefault(at, set()).add(tuple(files.items()))
    old, new, staged = ("a", b"old"), ("a", b"new" * 400), ("a.new", b"new" * 400)
    assert left[0] == {(old,)}
    assert left[1] == {(old, ("a.new", b""))}
    assert {(old, staged), (old, ("a.new", bytes(1200)))} < left[2]
    assert len(left[2]) > 5
    assert 3 not in left or left[3] <= {(old,), (old, staged)}
    assert left[4] == {(new,)} or left[4] == {(new,), (old, staged)}
    assert left[5] == {(new,)}


def test_a_write_is_torn_at_sectors() -> None:
    disk = Disk("/m", {"a": bytes(2000)}, {"a": 5})
    disk.follow(call(Kind.WRITE, "a", 5, 100, b"x" * 1800))
    chooser = random.Random(0)
    for _ in range(50):
        content = disk.crash(chooser, "all", "some")["a"]
        assert len(content) == 2000
        pieces = [content[100:512], content[512:1024], content[1024:1536], content[1536:1900]]
        assert all(set(piece) in ({0}, {120}) for piece in pieces)


def test_no_call_escapes(program: Callable[[str], str], tmp_path: Path) -> None:
    """strace sees each change below the folder twice: stopped by the filter, and made again by the handler."""
    trace = tmp_path / "trace"
    changes = "write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink"
    changes += ",unlinkat,rmdir,ftruncate,truncate,openat,open,creat,openat2,fallocate,copy_file_range,sendfile,splice"
    changes += ",mkdir,mkdirat,link,linkat,symlink,symlinkat,mknod,mknodat,mmap,io_uring_setup,seccomp,clone,clone3"
    changes += ",chmod,fchmod,fchmodat"
    command = [
        program("strace"),
        "-f",
        "-i",
        "-y",
        "-qq",
        "-s",
        "0",
        "-e",
        "signal=none",
        "-o",
        str(trace),
        "-e",
        f"trace={changes}",
    ]
    command += [sys.executable, "-m", "tests.storage.disk.worker", "append", "record", "0", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=worker_environment(), check=True)
    said = json.loads(done.stdout)
    places: dict[str, Counter[str]] = {}
    armed: set[str] = set()  # the process, and its threads
    for line in trace.read_text().splitlines():
        thread, place, name = re.findall(r"\w+", line)[:3]
        if name == "seccomp":
            armed.add(thread)
        begun = re.search(r"(?:clone3?\(|clone3? resumed).* = (\d+)$", line)
        if begun and thread in armed:
            armed.add(begun[1])
        if thread not in armed or said["folder"] not in line or "resumed" in line:
            continue
        if name.startswith("open") and not re.search("O_CREAT|O_TRUNC|O_TMPFILE", line):
            continue
        if name == "mmap" and not ("PROT_WRITE" in line and "MAP_SHARED" in line):
            continue
        places.setdefault(place, Counter())[name] += 1
    handler, made = max(places.items(), key=lambda item: item[1].total())
    stopped = sum((counts for place, counts in places.items() if place != handler), Counter())
    assert made == stopped
    assert made.total() == said["calls"] > 80
