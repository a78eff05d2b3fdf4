"""Run all benchmarks and write what they found to ``benchmarks/results``: ``python -m benchmarks.run [OPTIONS]``.

The results name the machine, the versions, the commit and the corpus. pytest-benchmark's own report is reduced to what
says something: medians, spread, and what each benchmark noted beside its time.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from memvid import _core

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "onnxruntime", "tokenizers", "usearch", "zstandard", "opencv-python-headless", "zxing-cpp")


def main(arguments: list[str]) -> int:
    """Run pytest, then write ``results.json`` and ``results.md``; pytest's exit status is returned."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", str(Path(__file__).parent), f"--benchmark-json={report}", *arguments]
        status = subprocess.run(command, check=False).returncode
        if not report.exists() or not report.stat().st_size:
            print("no benchmark was run: nothing written", file=sys.stderr)
            return status or 1
        benchmarks = [_row(benchmark) for benchmark in json.loads(report.read_text("utf-8"))["benchmarks"]]
    result = {"environment": environment(arguments), "benchmarks": benchmarks}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "results.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    (RESULTS / "results.md").write_text(_markdown(result), "utf-8")
    return status


def _row(benchmark: dict[str, Any]) -> dict[str, Any]:
    stats = benchmark["stats"]
    return {
        "file": Path(benchmark["fullname"].split("::")[0]).name,
        "name": benchmark["name"],
        "rounds": stats["rounds"],
        "median_ms": stats["median"] * 1e3,
        "min_ms": stats["min"] * 1e3,
        "max_ms": stats["max"] * 1e3,
        "noted": benchmark["extra_info"],
    }


def environment(arguments: list[str]) -> dict[str, Any]:
    """The machine, the versions, the commit."""
    return {
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "options": [argument for argument in arguments if "/" not in argument],
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+changes" if _git("status", "--porcelain") else ""),
        "cpu": _cpu_name(),
        "cores": _core.available_cores(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "core": _core.build_info(),
        "packages": {name: version_of(name) for name in PACKAGES},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def version_of(package: str) -> str | None:
    """The version of a package that is installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _markdown(result: dict[str, Any]) -> str:
    environment = result["environment"]
    packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items() if number)
    lines = [
        "# Benchmark results",
        "",
        "Written by `python -m benchmarks.run`; what each one does, and its traps, are in the files. Times are medians "
        "of whole rounds, in milliseconds, with minimum and maximum.",
        "",
        f"{environment['when']}, commit {environment['commit']}, {environment['cpu']}, {environment['cores']} cores, "
        f"{environment['system']}, Python {environment['python']}, {packages}.",
    ]
    for file in sorted({row["file"] for row in result["benchmarks"]}):
        lines += ["", f"## {file}", "", "| benchmark | median ms | min | max | noted |", "|---|---|---|---|---|"]
        for row in result["benchmarks"]:
            if row["file"] == file:
                times = " | ".join(f"{row[name]:.3f}" for name in ("median_ms", "min_ms", "max_ms"))
                lines.append(f"| {row['name']} | {times} | {_note(row['noted'])} |")
    return "\n".join(lines) + "\n"


def _note(noted: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in noted.items())


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "(" + _note(value) + ")"
    return str(value)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
