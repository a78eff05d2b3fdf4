"""Random losses of small memories in every codec: what comes back, and whether anybody says that all of it is there.

    python -m tools.random_losses                          # 200 losses of each codec
    python -m tools.random_losses --count 20 h264 png      # of these
    python -m tools.random_losses --kind bare --seed 7     # of one kind of memory

Each memory (plain; with a dictionary and long chunks; with header page and dictionary twice; with parity; bare texts;
grown by appends and deletions; bare texts with a cover, grown) is cut, its pictures are dropped, doubled, destroyed,
moved, its frame rate is changed, its file cut off or overwritten, its container replaced, by itself and together.
FFmpeg and the zxing-cpp wheel say which pages can still be read. `repair` must bring back all their chunks, each
under its own id, and name all others; `verify` must not call the damaged memory sound if any is missing, nor after
`reindex`; nothing may raise but errors of memvid. Bare texts that nothing says the ids of may come back under new
ones. Ends with 1 if anything was otherwise. The losses are made by ``tests/maintenance/losses``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from memvid.video.codecs import available_codecs
from tests.maintenance.losses.loss_memories import KINDS, Memory, make_memory
from tests.maintenance.losses.loss_trial import Trial, try_loss


def main() -> int:
    """Print a row for each codec; 1 if there was a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codecs", nargs="*", default=available_codecs(), metavar="CODEC")
    parser.add_argument("--count", type=int, default=200, help="losses of each codec")
    parser.add_argument("--seed", type=int, default=1, help="of the first loss; the next ones count up")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each loss")
    options = parser.parse_args()
    problems = 0
    print("| codec | losses | chunks | readable | repaired | problems |\n|---|---|---|---|---|---|", flush=True)
    started_anew = get_context("spawn")  # what an encoder's threads hold is held for ever in a forked process
    with (
        tempfile.TemporaryDirectory() as scratch,
        started_anew.Pool(options.jobs, maxtasksperchild=1) as makers,
        ProcessPoolExecutor(options.jobs, mp_context=started_anew) as pool,
    ):
        for codec in options.codecs:
            kinds = options.kind or list(KINDS)
            wanted = [(Path(scratch, codec, kind), kind, codec) for kind in kinds]
            memories = makers.starmap(make_memory, wanted, chunksize=1)
            seeds = range(options.seed, options.seed + options.count)
            work = [(memories[seed % len(memories)], Path(scratch, f"{codec}-{seed}"), seed) for seed in seeds]
            trials = list(pool.map(run, *zip(*work, strict=True)))
            for line in describe(zip(work, trials, strict=True), verbose=options.verbose):
                print(line)
            wrong = sum(bool(trial.problems) for trial in trials)
            problems += wrong
            counts = [sum(getattr(trial, name) for trial in trials) for name in ("chunks", "readable", "repaired")]
            print(f"| {codec} | {len(trials)} | {' | '.join(f'{count:,}' for count in counts)} | {wrong} |", flush=True)
    return 1 if problems else 0


def run(memory: Memory, folder: Path, seed: int) -> Trial:
    """Try one loss and take away what it left."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as own:
        return try_loss(memory, Path(own, "trial"), seed)


def describe(done: Iterator[tuple[tuple[Memory, Path, int], Trial]], *, verbose: bool) -> Iterator[str]:
    """A line for each loss with a problem, or for all."""
    for (memory, _, seed), trial in done:
        if trial.problems or verbose:
            readable = f"{trial.readable} of {trial.chunks} readable"
            yield f"  {memory.codec} {memory.kind} seed {seed}: {trial.what}: {readable}"
            yield from (f"    {problem[:400]}" for problem in trial.problems)


if __name__ == "__main__":
    sys.exit(main())
