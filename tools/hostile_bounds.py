"""What small files that mean harm cost each verb: seconds and peak memory, each in a process of its own.

    python -m tools.hostile_bounds                        # the table of docs/security.md
    python -m tools.hostile_bounds tombstones one_frame   # these kinds
    python -m tools.hostile_bounds --verb repair --all    # one verb, and a row for each kind with it

No file has 2 MB, none may cost more than 512 MB and 10 seconds, and every error must be one of memvid's. The files
are made by ``bombs.py`` and ``hostile_files.py`` in ``tests/hostile``; what the verbs do is in ``bounded.py`` there.
Ends with 1 if a bound was broken.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.hostile.bombs import KINDS, MOST_BYTES
from tests.hostile.bounded import (
    CONVERSATION_OPERATIONS,
    DOCUMENT_OPERATIONS,
    MOST_SECONDS,
    OPERATIONS,
    Cost,
    measure,
)
from tests.hostile.hostile_files import CONVERSATIONS, DOCUMENTS, FILMS

MAKERS = {**KINDS, **FILMS, **DOCUMENTS, **CONVERSATIONS}
VERBS = {
    **dict.fromkeys([*KINDS, *FILMS], OPERATIONS),
    **dict.fromkeys(DOCUMENTS, DOCUMENT_OPERATIONS),
    **dict.fromkeys(CONVERSATIONS, CONVERSATION_OPERATIONS),
}


def main() -> int:
    """Print the table; 1 if something was beyond the bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(MAKERS), help=", ".join(MAKERS))
    parser.add_argument(
        "--verb",
        action="append",
        choices=[*OPERATIONS, *DOCUMENT_OPERATIONS, *CONVERSATION_OPERATIONS],
        help="only this one; may be repeated",
    )
    parser.add_argument("--all", action="store_true", help="a row for each kind and verb, not only for the worst")
    options = parser.parse_args()
    beyond = []
    print("| file | what it is | kB | most memory | most time |\n|---|---|---|---|---|")
    for kind in options.kinds:
        size, costs = try_verbs(kind, [verb for verb in VERBS[kind] if verb in (options.verb or VERBS[kind])])
        beyond += [f"{kind}: {verb}: {broken}" for verb, cost in costs.items() if (broken := beyond_bounds(cost))]
        for largest, longest in [(verb, verb) for verb in costs] if options.all else [worst(costs)]:
            columns = f"`{kind}`", describe(kind), size // 1000, memory(largest, costs), time(longest, costs)
            print("| {} | {} | {} | {} | {} |".format(*columns), flush=True)
    sys.stderr.write("".join(f"{line}\n" for line in beyond))
    return bool(beyond)


def try_verbs(kind: str, verbs: list[str]) -> tuple[int, dict[str, Cost]]:
    """The bytes of a memory, and what each verb costs with a copy of it."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, "made")
        made.mkdir()
        name = MAKERS[kind](made).name
        size = sum(path.stat().st_size for path in made.iterdir())
        assert size < MOST_BYTES, f"{kind} has {size} bytes"
        costs = {}
        for verb in verbs:
            tried = Path(scratch, "tried")
            shutil.copytree(made, tried)
            costs[verb] = measure(verb, tried / name)
            shutil.rmtree(tried)
    return size, costs


def beyond_bounds(cost: Cost) -> str | None:
    """Which bound was broken, if any."""
    return cost.problem or (f"took {cost.seconds:.1f} s" if cost.seconds > MOST_SECONDS else None)


def describe(kind: str) -> str:
    """What its maker says of it; where that goes on from the one before, from there."""
    return (MAKERS[kind].__doc__ or "").split(".\n")[0].strip().rstrip(".").replace("|", "\\|")


def worst(costs: dict[str, Cost]) -> tuple[str, str]:
    """The verbs that took the most memory and the most time."""
    return max(costs, key=lambda verb: costs[verb].megabytes), max(costs, key=lambda verb: costs[verb].seconds)


def memory(verb: str, costs: dict[str, Cost]) -> str:
    """The column of the table."""
    return f"{costs[verb].megabytes} MB, `{verb}`"


def time(verb: str, costs: dict[str, Cost]) -> str:
    """The column of the table."""
    return f"{costs[verb].seconds:.1f} s, `{verb}`"


if __name__ == "__main__":
    sys.exit(main())
