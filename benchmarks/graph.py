"""The graph alone, beside the one usearch builds of the same rows: time, memory, recall, what cannot be reached.

``python -m benchmarks.graph VECTORS.f32 --rows 100000 --threads 1 2 --pairs 3`` takes plain float32 rows
(``benchmarks.million`` leaves some in ``build/million/SIZE/vectors.f32``) and holds the last 500 back as questions.
Builds take turns, each in a process of its own; what is made is the same each time, so it is looked at once. Writes
``results/graph.md``.

``--order clusters`` gives the rows in an order in which like follow like, as the chunks of documents do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.run import RESULTS, environment
from memvid import _core
from memvid.index.vectors import quantise

QUERIES = 500
CONNECTIVITY, EXPANSION = 16, 128
EXPANSIONS = (48, 96)
_PORTION = 4096
_USEARCH = "usearch, 1 thread"


def main(arguments: list[str]) -> int:
    """Measure, and write the results."""
    options = _parse(arguments)
    if options.job:
        print(json.dumps(_build(options.vectors, options.job, options.dim)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows, queries = _prepare(options, folder)
        found: dict[str, Any] = {}
        for _ in range(options.pairs):
            for name in [_USEARCH, *(f"memvid, {threads} thread{'s'[: threads > 1]}" for threads in options.threads)]:
                run = _job(folder, name, options.dim)
                known = found.setdefault(name, {"runs": []})
                known["runs"].append(run)
                print(f"{name}: {run['wall']:.1f} s, {run['cpu']:.1f} s of CPU, {run['peak'] / 1e6:.0f} MB", flush=True)
                if "quality" not in known:
                    known["quality"] = _quality(folder / "graph", rows, queries)
                    print(known["quality"], flush=True)
    result = {"environment": environment(arguments), "rows": len(rows), "order": options.order, "builds": found}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "graph.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    (RESULTS / "graph.md").write_text(_markdown(result), "utf-8")
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph", description=__doc__)
    parser.add_argument("vectors", type=Path, help="float32 rows")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rows", type=int, default=100_000, help="how many of them, at most")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pairs", type=int, default=3, help="builds of each")
    parser.add_argument("--order", choices=("as they are", "clusters"), default="as they are")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _prepare(options: argparse.Namespace, folder: Path) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The rows as they are stored, also in a file for the builds, and the questions."""
    total = options.vectors.stat().st_size // (4 * options.dim)
    count = min(options.rows, total - QUERIES)
    queries = np.fromfile(options.vectors, np.float32, offset=4 * options.dim * (total - QUERIES))
    rows = np.empty((count, options.dim), np.int8)
    for first in range(0, count, _PORTION):
        size = min(_PORTION, count - first)
        block = np.fromfile(options.vectors, np.float32, size * options.dim, offset=4 * options.dim * first)
        rows[first : first + size] = quantise(block.reshape(size, options.dim), "i8")
    if options.order == "clusters":
        rows = rows[_by_cluster(rows)]
    rows.tofile(folder / "rows")
    return rows, queries.reshape(QUERIES, options.dim)


def _by_cluster(rows: NDArray[np.int8]) -> NDArray[np.int64]:
    """An order by the nearest of some hundred rows, and by the nearest of others among those."""
    rng = np.random.default_rng(0)
    keys = []
    for _ in range(2):
        some = rows[rng.choice(len(rows), min(300, len(rows)), replace=False)].astype(np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
        keys.append(
            np.concatenate([(rows[i : i + _PORTION] @ some.T).argmax(1) for i in range(0, len(rows), _PORTION)])
        )
    return np.lexsort(keys)


def _job(folder: Path, name: str, dim: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.graph", str(folder), "--dim", str(dim), "--job", name]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    run: dict[str, float] = json.loads(done.stdout)
    return run


def _build(folder: Path, name: str, dim: int) -> dict[str, float]:
    """One build, in this process."""
    count = (folder / "rows").stat().st_size // dim
    threads = int(re.findall(r"\d+", name)[0])
    graph: Any = None
    if name == _USEARCH:
        from usearch.index import Index

        graph = Index(
            ndim=dim, metric="cos", dtype="i8", connectivity=CONNECTIVITY, expansion_add=EXPANSION,
            enable_key_lookups=False,
        )  # fmt: skip
    begin, cpu = time.perf_counter(), time.process_time()
    if graph is None:
        graph = _core.GraphBuilder(dim, dtype="i8", connectivity=CONNECTIVITY, expansion=EXPANSION, threads=threads)
    for first in range(0, count, _PORTION):
        size = min(_PORTION, count - first)
        portion = np.fromfile(folder / "rows", np.int8, size * dim, offset=first * dim).reshape(size, dim)
        if name == _USEARCH:
            graph.add(np.arange(first, first + size, dtype=np.uint64), portion, threads=1)
        else:
            graph.add(first, portion)
    graph.save(str(folder / "graph"))
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    return {"wall": wall, "cpu": cpu, "peak": int(peak[1]) * 1024 if peak else 0}


def _quality(path: Path, rows: NDArray[np.int8], queries: NDArray[np.float32]) -> dict[str, Any]:
    """How good the file is: recall against the stored vectors, one by one, and nodes that no walk can reach."""
    data = path.read_bytes()
    norms = np.concatenate([np.linalg.norm(rows[i : i + _PORTION].astype(np.float32), axis=1)
                            for i in range(0, len(rows), _PORTION)])  # fmt: skip
    best = np.full((len(queries), 0), 0, np.float32)
    exact = np.zeros((len(queries), 0), np.int64)
    for first in range(0, len(rows), _PORTION):
        scores = queries @ rows[first : first + _PORTION].astype(np.float32).T / norms[first : first + _PORTION]
        ids = np.broadcast_to(np.arange(first, first + scores.shape[1]), scores.shape)
        best, exact = np.concatenate([best, scores], axis=1), np.concatenate([exact, ids], axis=1)
        keep = np.argpartition(-best, 9, axis=1)[:, :10]
        best, exact = np.take_along_axis(best, keep, 1), np.take_along_axis(exact, keep, 1)
    graph = _core.HnswGraph(data, count=len(rows), dim=rows.shape[1], dtype="i8", threads=1)
    recalls = {}
    for expansion in EXPANSIONS:
        found, _ = graph.nearest(queries, 10, expansion=expansion, spare=16)
        pairs = zip(found.tolist(), exact.tolist(), strict=True)
        recalls[str(expansion)] = float(np.mean([len(set(a) & set(b)) / 10 for a, b in pairs]))
    return {"recall@10": recalls, "unreachable": _unreachable(data), "sha256": hashlib.sha256(data).hexdigest()}


def _unreachable(data: bytes) -> int:
    """Nodes that cannot be reached from the entry on level 0."""
    count, row_bytes = struct.unpack_from("<2I", data)
    graph_at = 8 + count * row_bytes + 64
    _, upper, base, _, entry = struct.unpack_from("<5Q", data, graph_at)
    levels = np.frombuffer(data, "<i2", count, graph_at + 40).astype(np.int64)
    sizes = 10 + 4 * (1 + base) + levels * 4 * (1 + upper)
    lists = graph_at + 40 + 2 * count + 10 + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), 4 * (1 + base))
    reached = np.zeros(count, bool)
    ahead = np.array([entry])
    reached[entry] = True
    while len(ahead):
        links = np.ascontiguousarray(windows[lists[ahead]]).view("<u4")
        near = np.unique(links[:, 1:][np.arange(base) < links[:, :1]])
        ahead = near[~reached[near]]
        reached[ahead] = True
    return int(count - reached.sum())


def _markdown(result: dict[str, Any]) -> str:
    usual = result["builds"][_USEARCH]["runs"]
    about = result["environment"]
    lines = [
        "# The graph alone", "",
        f"{about['when']}, commit {about['commit']}, {about['cpu']}, {about['cores']} cores. {result['rows']:,} rows "
        f"of i8, order: {result['order']}. Medians of {len(usual)} builds in turn, ratios pair by pair.", "",
        "| | wall s | of usearch | CPU s | memory MB | recall@10 at ef 48 / 96 | unreachable | the same bytes |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, build in result["builds"].items():
        ratio = statistics.median(own["wall"] / other["wall"] for own, other in zip(build["runs"], usual, strict=True))
        wall, cpu, peak = (statistics.median(run[key] for run in build["runs"]) for key in ("wall", "cpu", "peak"))
        quality = build["quality"]
        recalls = " / ".join(f"{quality['recall@10'][str(expansion)]:.4f}" for expansion in EXPANSIONS)
        lines.append(
            f"| {name} | {wall:.1f} | {ratio:.2f} | {cpu:.1f} | {peak / 1e6:.0f} | {recalls} "
            f"| {quality['unreachable']} | {quality['sha256'][:8]} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
