"""Takes memories of mode 0600 and 0640 through everything, under umask 022, and watches who could read what meanwhile.

Run it from the checkout: ``python -m tools.private_files [--modes 600,640] [VERB ...]``. On Linux on x86-64, with a C
compiler. Prints a row for each verb and mode, and each file that others could have read; ends with 1 if there was any.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from tests.storage.disk.privacy import VERBS, watch
from tests.storage.disk.trap import compile_trap
from tests.storage.disk.worker import IMPORTED, scratch_folder


def main() -> int:
    """Watch all verbs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modes", default="600,640", help="of the memories, with commas in between")
    parser.add_argument("verbs", nargs="*", default=list(VERBS))
    options = parser.parse_args()
    for module in IMPORTED:
        import_module(module)
    count = 0
    print("| verb | mode | files made | opened up | looks | events | widest left |\n|---|---|---|---|---|---|---|")
    for verb in options.verbs:
        for mode in options.modes.split(","):
            with scratch_folder() as scratch:
                seen = watch(verb, int(mode, 8), Path(scratch), compile_trap(Path(scratch)))
            row = (verb, mode, seen.made, seen.opened, f"{seen.looks:,}", f"{seen.events:,}", f"{seen.left:o}")
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
            for problem in seen.problems:
                print(f"{verb}, {mode}: {problem}", file=sys.stderr, flush=True)
            count += len(seen.problems)
    print(f"\n{count} files that others could have read")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
