"""What a crash, a full disk or a failing one leaves behind: the old memory or the new one, never a third thing.

A sample of all calls by which a memory's files are changed; ``python -m tools.fault_everywhere`` takes all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.driver import FAULTS
from tests.faults.operations import OPERATIONS
from tests.faults.shim import ROOT, compile_shim, run_trials

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs LD_PRELOAD and /proc")

_TRIALS = 6  # of each operation, in one run of the suite


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_old_or_new_and_never_a_third_thing(shim: Path, tmp_path: Path, operation: str) -> None:
    # Another fault for each operation, so that a run of the suite has all of them.
    fault = list(FAULTS)[list(OPERATIONS).index(operation) % len(FAULTS)]
    known = {"export": 12, "delete": 37}.get(operation, 85)  # calls, about; how many there are is found out again
    result = run_trials(shim, tmp_path, operation, fault, first=2, step=max(known // _TRIALS, 1))
    assert result["tried"] >= 2, result
    assert result["wrong"] == {}


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.tools
def test_no_call_escapes_the_library(shim: Path, tmp_path: Path) -> None:
    """The operating system sees no more changes of files below the folder than the library counts."""
    script = (
        "import ctypes, os, sys; from pathlib import Path; from tests.faults.operations import OPERATIONS\n"
        "shim = ctypes.CDLL(sys.argv[1]); folder = Path(sys.argv[2]); folder.mkdir()\n"
        "shim.fault_arm(os.fsencode(folder), 0, 0, 0)\n"
        "OPERATIONS['build'].run(folder); OPERATIONS['append'].run(folder)\n"
        "print(shim.fault_calls())"
    )
    watched = tmp_path / "watched"
    changes = (
        "write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,"
        "truncate,openat,open,creat,fallocate,copy_file_range,sendfile,mkdir,mkdirat,link,linkat,symlink,msync"
    )
    trace = tmp_path / "trace"
    run = subprocess.run(
        ["strace", "-f", "-y", "-qq", "-o", trace, "-e", f"trace={changes}", "-E", f"LD_PRELOAD={shim}",
         sys.executable, "-c", script, shim, watched],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    seen = 0
    existing: set[str] = set()
    for line in trace.read_text().splitlines():
        if str(watched) not in line or "resumed>" in line:
            continue
        call = line.split(maxsplit=1)[1].split("(")[0]
        if call in ("openat", "open"):
            if " = -1 " in line:
                continue
            name = line.split('"')[1]
            creates = "O_CREAT" in line and name not in existing
            if not creates and "O_TRUNC" not in line:
                continue
            existing.add(name)
        elif call == "rename" and " = -1 " not in line:
            source, target = line.split('"')[1], line.split('"')[3]
            existing.discard(source)
            existing.add(target)
        elif call == "unlink":
            existing.discard(line.split('"')[1])
        elif call == "mkdir":
            continue  # of the folder itself, before it was watched
        seen += 1
    assert seen == int(run.stdout)
