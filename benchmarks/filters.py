"""What filters cost a search by meaning, in time and in recall: ``python -m benchmarks.filters --chunks 100000``.

Vectors are those of ``benchmarks.million``, in its work folder. A filter keeps chunks at random, which lie everywhere,
or those of the topics (100 of the vectors) that are farthest from the question or nearest to it; the farthest lead a
walk of the graph astray. Each filtered search is timed beside one without a filter, alternated, and compared with an
exact one. What a filter keeps is known before, as it is from the second question on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.million.__main__ import prepare
from benchmarks.million.data import Data
from benchmarks.million.vectors import DIM, read_rows, recall
from benchmarks.run import RESULTS, environment
from memvid import ModelInfo, Selection
from memvid.index import IndexManager
from memvid.types import VideoIdentity

SHARES = (0.001, 0.006, 0.01, 0.02, 0.1, 0.5, 0.9)
FAR = (0.02, 0.1, 0.3, 0.7)
_TOPICS = 100
_BATCH = 10_000


@dataclass
class Measured:
    """Figures of one kind of filter: for each question how many chunks it keeps, seconds, and recall."""

    rows: list[int]
    filtered: list[float]
    unfiltered: list[float]
    recalls: list[float]

    def row(self, name: str) -> str:
        """A line of the table."""
        ratio = statistics.median(a / b for a, b in zip(self.filtered, self.unfiltered, strict=True))
        p50, p95 = np.percentile(self.filtered, [50, 95]) * 1e3
        return (
            f"| {name} | {statistics.median(self.rows):,.0f} | {np.mean(self.recalls):.4f} | {p50:.2f} | {p95:.2f} | "
            f"{ratio:.2f} |"
        )


def build(data: Data, folder: Path) -> Path:
    """The index, unless it is there: vectors alone."""
    index_file = folder / "memory_index.json"
    if index_file.exists():
        return index_file
    folder.mkdir(parents=True, exist_ok=True)
    builder = IndexManager.create(index_file, model=ModelInfo("made up", DIM))
    for start in range(0, data.chunks, _BATCH):
        vectors = read_rows(data.vectors_file, start, min(_BATCH, data.chunks - start))
        builder.add(start, vectors)
        builder.add_records(start, [""] * len(vectors), [None] * len(vectors))
    builder.add_pages([1], [0], [data.chunks])
    builder.stage(VideoIdentity("0" * 64, 2, 0))
    builder.commit.commit()
    return index_file


def measure(index: IndexManager, queries: NDArray[np.float32], kept: Iterator[Selection], top_k: int) -> Measured:
    """Ask each question with its filter, and without one."""
    found = Measured([], [], [], [])
    for number, within in enumerate(kept):
        query = queries[number : number + 1]
        found.rows.append(len(within.rows))
        best, _ = index.search(query, top_k, within=within, exact=True)
        for which in (("filtered", "unfiltered"), ("unfiltered", "filtered"))[number % 2]:
            begin = time.perf_counter()
            ids, _ = index.search(query, top_k, within=within if which == "filtered" else None)
            getattr(found, which).append(time.perf_counter() - begin)
            if which == "filtered":
                found.recalls.append(recall(ids, best))
    return found


def filters(data: Data, queries: NDArray[np.float32]) -> Iterator[tuple[str, Iterator[Selection]]]:
    """Filters by what they keep, one for each question."""
    numbers = np.random.default_rng(5).random(data.chunks)
    for share in SHARES:
        within = Selection(numbers < share)
        yield f"{share:.1%}, at random", (within for _ in queries)
    blocks = [
        read_rows(data.vectors_file, start, min(_BATCH, data.chunks - start)) for start in range(0, data.chunks, _BATCH)
    ]
    topics = blocks[0][np.random.default_rng(6).permutation(len(blocks[0]))[:_TOPICS]]
    topic = np.concatenate([np.argmax(block @ topics.T, axis=1) for block in blocks])
    sizes = np.bincount(topic, minlength=len(topics))

    def keep(order: NDArray[np.int64], share: float) -> Selection:
        enough = int(np.searchsorted(np.cumsum(sizes[order]), share * data.chunks)) + 1
        return Selection(np.isin(topic, order[:enough]))

    for share in FAR:
        yield f"{share:.1%}, far topics", (keep(np.argsort(topics @ query), share) for query in queries)
    yield "10.0%, near topics", (keep(np.argsort(-(topics @ query)), 0.1) for query in queries)


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the results."""
    options = _parse(arguments)
    data = Data(options.work.resolve(), options.chunks)
    data.folder.mkdir(parents=True, exist_ok=True)
    prepare(data)
    index_file = build(data, data.folder / "filters")
    queries = data.queries[: options.queries]
    rows, figures = [], {}
    with IndexManager.open(index_file, threads=options.threads) as index:
        index.search(queries, options.top_k)
        for name, kept in filters(data, queries):
            measured = measure(index, queries, kept, options.top_k)
            figures[name] = vars(measured)
            rows.append(measured.row(name))
            print(rows[-1], flush=True)
    place: dict[str, Any] = environment(arguments or [])
    text = (
        f"# Filters\n\nMade by `python -m benchmarks.filters --chunks {options.chunks}`, commit {place['commit']}: "
        f"{len(queries)} queries, the best {options.top_k}, {options.threads or 'all'} threads. The machine and its "
        "load are in the JSON beside this.\n\n| keeps | chunks | recall | p50 ms | p95 ms | of unfiltered |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )
    options.output.mkdir(parents=True, exist_ok=True)
    result = {"environment": place, "chunks": options.chunks, "filters": figures}
    (options.output / f"filters-{options.chunks}.json").write_text(json.dumps(result, sort_keys=True) + "\n", "utf-8")
    (options.output / f"filters-{options.chunks}.md").write_text(text, "utf-8")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filters", description=__doc__)
    parser.add_argument("--chunks", type=int, default=20_000, help="how many")
    parser.add_argument("--queries", type=int, default=200, help="how many, at most 500")
    parser.add_argument("--top-k", type=int, default=10, help="passages to find")
    parser.add_argument("--threads", type=int, help="worker threads; all cores if not given")
    parser.add_argument("--work", type=Path, default=Path("build/million"), help="folder for everything that is made")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
