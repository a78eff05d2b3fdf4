"""Compiles the preloaded library and runs the driver under it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["compile_shim", "run_trials"]

ROOT = Path(__file__).parents[2]


def compile_shim(folder: Path) -> Path:
    """The library, made by the system's C compiler."""
    shim = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl", "-lpthread"], check=True)
    return shim


def run_trials(shim: Path, folder: Path, operation: str, fault: str, *, first: int = 1, step: int = 1) -> Any:
    """Interrupt an operation at every ``step``-th call, from the one of number ``first`` on."""
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "MEMVID_CACHE_DIR": str(folder / "cache"),
    }
    names = map(str, (shim, folder, operation, fault, first, step))
    arguments = [sys.executable, "-m", "tests.faults.driver", *names]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
