"""memvid and a peer in turn, on the same questions: ``python -m benchmarks.million.pairs --chunks 1000000``.

Takes what ``benchmarks.million --chunks N`` built. A vector goes in, five texts come out; memvid searches at its
default and the peer at the least parameter whose recall@10 is no more than 0.001 behind. Each pair is one round of
memvid on one thread, one on two, and one of the peer, in one process; the ratios of a pair are of its rounds' medians,
so that a machine that changes its pace changes it for all three. Prints medians over the pairs, and their spread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks.million.data import Data
from benchmarks.million.engines import Engine, MemvidEngine
from benchmarks.million.measure import percentiles
from benchmarks.million.peers import ENGINES
from benchmarks.million.vectors import recall

_TOLERANCE = 0.001  # of recall that a peer may be behind
_EXPANSION = 96  # memvid's default


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.million.pairs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--peer", default="faiss", choices=[name for name in ENGINES if name != "memvid"])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--questions", type=int, default=300, help="in a round")
    parser.add_argument("--work", type=Path, default=Path("build/million"), help="where benchmarks.million put its own")
    options = parser.parse_args()
    data = Data(options.work.resolve(), options.chunks)
    ours: dict[str, Engine] = {
        f"memvid, {threads} thread{'s'[: threads > 1]}": MemvidEngine(threads=threads) for threads in (1, 2)
    }
    for engine in ours.values():
        engine.open(data.folder / "memvid", _EXPANSION)
    found = {name: recall_of(engine, data) for name, engine in ours.items()}
    wanted = min(found.values()) - _TOLERANCE
    peer = ENGINES[options.peer]()
    for effort in peer.efforts:
        peer.open(data.folder / options.peer, effort)
        found[peer.name] = recall_of(peer, data)
        if found[peer.name] >= wanted:
            break
    engines: dict[str, Engine] = {**ours, peer.name: peer}
    print(f"{options.chunks:,} chunks, {options.pairs} pairs of rounds; the peer at {peer.effort_name} {effort}")
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    for pair in range(options.pairs):
        order = list(engines) if pair % 2 else list(reversed(engines))
        for name in order:
            rounds[name].append(percentiles(times_of(engines[name], data, pair * options.questions, options.questions)))
    print("| engine | recall@10 | p50 ms | p95 ms | times the peer's p50 |\n|---|---|---|---|---|")
    for name in engines:
        ratios = [own["p50"] / theirs["p50"] for own, theirs in zip(rounds[name], rounds[peer.name], strict=True)]
        p50, p95 = (statistics.median(each[key] for each in rounds[name]) for key in ("p50", "p95"))
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {found[name]:.3f} | {p50:.3f} | {p95:.3f} | {spread} |")
    for each in engines.values():
        each.close()


def recall_of(engine: Engine, data: Data) -> float:
    """Recall of ten answers over all questions."""
    answers = np.full((len(data.queries), 10), -1, np.int64)
    for row, query in enumerate(data.queries):
        ids = [chunk_id for chunk_id, _ in engine.search(query, 10)]
        answers[row, : len(ids)] = ids
    return recall(answers, data.exact)


def times_of(engine: Engine, data: Data, first: int, count: int) -> list[float]:
    """Seconds of each of ``count`` questions from ``first`` on, five texts each."""
    times = []
    for number in range(first, first + count):
        query = data.queries[number % len(data.queries)]
        begin = time.perf_counter()
        engine.search(query, 5)
        times.append(time.perf_counter() - begin)
    return times


if __name__ == "__main__":
    main()
