"""Builds the fuzz targets, runs each for a number of inputs, and keeps what it learned (docs/security.md).

Run it from the checkout, with memvid installed: ``python -m tools.fuzz [--runs N] [--keep] [TARGET ...]``. It needs
clang 16 or newer with its sanitizers. A finding is kept in ``build/fuzz/findings`` and ends it with 1; run the target
on that file to see it again. ``--keep`` merges the inputs that reach new code into ``cpp/fuzz/corpus``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from tools.fuzz_seeds import write_seeds

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "fuzz"
CORPUS = ROOT / "cpp" / "fuzz" / "corpus"
TARGETS = (
    *("append", "candidates", "codes", "fields", "hnsw", "mp4", "page", "picture", "png", "postings", "qr", "video"),
)
LONGEST = {"video": 6144, "mp4": 3072, "append": 4096, "candidates": 4096, "postings": 8192}  # bytes of an input
KEPT_BYTES = 120_000  # of a target's corpus, packed
SECONDS = 20  # a single input may take


def build(options: list[str]) -> None:
    """Configure and compile what is not."""
    found = (version for version in ("", *(f"-{number}" for number in range(25, 15, -1))) if _is_new(version))
    version = next(found, None)
    if version is None:
        sys.exit("no clang of version 16 or newer: install one, with its compiler-rt")
    compilers = [f"-DCMAKE_C_COMPILER=clang{version}", f"-DCMAKE_CXX_COMPILER=clang++{version}"]
    python = f"-DPython_EXECUTABLE={sys.executable}"
    subprocess.run(["cmake", "--preset", "fuzz", python, *compilers, *options], cwd=ROOT, check=True)
    subprocess.run(["cmake", "--build", "--preset", "fuzz"], cwd=ROOT, check=True)


def _is_new(version: str) -> bool:
    name = f"clang++{version}"
    if shutil.which(name) is None:
        return False
    told = subprocess.run([name, "-dumpversion"], capture_output=True, text=True, check=True).stdout
    return int(told.partition(".")[0]) >= 16


def unpack(target: str) -> Path:
    """The folder of a target's inputs: seeds, what is kept in the repository, what earlier runs found."""
    folder = BUILD / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    archive = CORPUS / f"{target}.zip"
    if archive.exists():
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
    return folder


def run(target: str, runs: int, seed: int) -> tuple[int, int]:
    """Fuzz a target; inputs that were executed, and whether there was a finding."""
    findings = BUILD / "findings"
    findings.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            BUILD / "cpp" / "fuzz" / f"fuzz_{target}", unpack(target), f"-runs={runs}",
            f"-seed={seed}", f"-max_len={LONGEST.get(target, 2048)}", f"-timeout={SECONDS}", "-rss_limit_mb=2048",
            "-print_final_stats=1", "-reload=0", f"-artifact_prefix={findings}/{target}-",
        ],
        stderr=subprocess.PIPE, text=True, errors="replace", check=False,
    )  # fmt: skip
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    if done.returncode:
        sys.stderr.write(done.stderr[-6000:])
    return int(executed[1]) if executed else 0, done.returncode


def keep(target: str) -> None:
    """Pack the smallest inputs that together reach all code that any reached, up to ``KEPT_BYTES``."""
    merged = BUILD / "merged" / target
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    program = BUILD / "cpp" / "fuzz" / f"fuzz_{target}"
    seeds = BUILD / "seeds" / target
    subprocess.run(
        [program, "-merge=1", f"-max_len={LONGEST.get(target, 2048)}", merged, seeds, unpack(target)],
        stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    CORPUS.mkdir(exist_ok=True)
    room = KEPT_BYTES
    with zipfile.ZipFile(CORPUS / f"{target}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(merged.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
            entry = zipfile.ZipInfo(path.name, (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())
            room -= packed.getinfo(path.name).compress_size + 2 * (46 + len(path.name))
            if room < 0:
                break


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="all, if none is named")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs for each target (default: 1,000,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's random numbers (default: 1)")
    parser.add_argument("--keep", action="store_true", help="merge what was learned into the corpus")
    parser.add_argument("-D", action="append", default=[], dest="options", metavar="NAME=VALUE", help="CMake options")
    given = parser.parse_args()
    build([f"-D{option}" for option in given.options])
    write_seeds(BUILD / "seeds")
    failed = False
    for target in given.targets or TARGETS:
        begin = time.monotonic()
        shutil.copytree(BUILD / "seeds" / target, BUILD / "corpus" / target, dirs_exist_ok=True)
        executed, status = run(target, given.runs, given.seed) if given.runs else (0, 0)
        failed = failed or status != 0
        rate = executed / (time.monotonic() - begin)
        print(f"{target}: {executed:,} inputs, {rate:,.0f} a second, {'a' if status else 'no'} finding", flush=True)
        if given.keep and not status:
            keep(target)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
