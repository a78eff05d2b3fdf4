"""Measures one engine in a process of its own: ``python -m benchmarks.million.measure JOB ENGINE WORK CHUNKS``.

Jobs print JSON as their last line. ``build`` builds; ``serve`` finds the search parameter for a recall, then takes
times; ``stages``, ``modes``, ``threads`` and ``parts`` look closer at memvid.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.million.data import Data, question_strings
from benchmarks.million.engines import Engine, GivenVectors, MemvidEngine
from benchmarks.million.parts import measure_parts
from benchmarks.million.peers import ENGINES
from benchmarks.million.vectors import recall
from memvid import MemvidRetriever
from memvid.config import Mode
from memvid.index.location import find_index
from memvid.index.manifest import read_manifest, side_file_name

__all__ = ["percentiles"]

LEAST_RECALL = 0.95
_WARMUP = 100
_STOPPED_SECONDS = 5.0  # a thread that sleeps half a second and wakes later than this was not merely waiting its turn
_SECONDS_A_THREAD_COUNT = 3.0


def build(name: str, data: Data) -> dict[str, Any]:
    """Build from nothing: seconds, peak memory, bytes of every file."""
    folder = data.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _ = data.text  # what makes the chunks is the benchmark's, not the engine's
    before = memory()["peak"]
    begin = time.perf_counter()
    cpu = time.process_time()
    with _Stopped() as stopped:
        stages = ENGINES[name]().build(data, folder)
    seconds = time.perf_counter() - begin - stopped.seconds
    return {
        "seconds": seconds,
        "stopped_seconds": round(stopped.seconds, 1),
        "cpu_seconds": time.process_time() - cpu,
        "stages": stages,
        "peak_bytes": memory()["peak"],
        "peak_bytes_before": before,
        "files": dict(_sizes(folder)),
    }


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Names and sizes of all files; a video without the parts of its index, which are told by their own names."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, size = str(path.relative_to(folder)), path.stat().st_size
        if path.suffix == ".mp4" and find_index(path) == path:
            parts = {role: part.bytes for role, part in read_manifest(path).side_files()}
            size -= sum(parts.values())
            yield from ((side_file_name(path, role), nbytes) for role, nbytes in parts.items())
        yield name, size


def serve(name: str, data: Data, target: float | None) -> dict[str, Any]:
    """Open, find the least search parameter for ``target`` (memvid: its default, if that is enough), time it."""
    engine = ENGINES[name]()
    folder = data.folder / name
    queries = data.queries
    _read_all(folder)
    before = memory()
    begin = time.perf_counter()
    engine.open(folder, engine.efforts[0])
    opened = time.perf_counter()
    engine.search(queries[0], 5)
    answered = time.perf_counter()
    wanted = LEAST_RECALL if target is None else target
    ladder = _climb(engine, folder, data, wanted, everything=target is None)
    reached = [step for step in ladder if step["recall@10"] >= wanted]
    chosen = next((step for step in reached if target is None and step["effort"] == 96), None)
    chosen = chosen or (reached[0] if reached else max(ladder, key=lambda step: step["recall@10"]))
    engine.open(folder, chosen["effort"])
    times = _times(lambda i: engine.search(queries[i % len(queries)], 5), len(queries), at_most=60.0)
    hits = engine.search(queries[0], 5)
    assert [text for _, text in hits] == data.text.texts([chunk_id for chunk_id, _ in hits])
    after = memory()
    return {
        "open_seconds": opened - begin,
        "first_search_seconds": answered - opened,
        "effort_name": engine.effort_name,
        "effort": chosen["effort"],
        "recall@10": chosen["recall@10"],
        "reached": chosen["recall@10"] >= wanted,
        "ladder": ladder,
        "search_and_read_ms": percentiles(times),
        "memory": after,
        "memory_before": before,
    }


def _climb(engine: Engine, folder: Path, data: Data, wanted: float, *, everything: bool) -> list[dict[str, Any]]:
    """Recall and milliseconds of each search parameter, up to the first that reaches ``wanted``."""
    ladder: list[dict[str, Any]] = []
    for effort in engine.efforts:
        engine.open(folder, effort)
        engine.search(data.queries[0], 10)
        count = len(data.queries) if len(engine.efforts) > 1 else 50
        found = np.full((count, 10), -1, np.int64)
        begin = time.perf_counter()
        for i in range(count):
            ids = [chunk_id for chunk_id, _ in engine.search(data.queries[i], 10)]
            found[i, : len(ids)] = ids
        spent = (time.perf_counter() - begin) / count * 1e3
        ladder.append({"effort": effort, "recall@10": recall(found, data.exact[:count]), "mean_ms_top10": spent})
        if ladder[-1]["recall@10"] >= wanted and not everything:
            break
    return ladder


def stages(data: Data, effort: int) -> dict[str, Any]:
    """memvid's whole path with fresh question strings, embedded by MiniLM, stage by stage; nothing cached by memvid."""
    questions = question_strings(data.work, 1000 + _WARMUP)
    _read_all(data.folder / "memvid")
    result: dict[str, Any] = {}
    nothing: dict[str, Any] = {"query_cache_size": 0, "page_cache_bytes": 0}
    for name, options in (("nothing cached", nothing), ("default caches", {})):
        with MemvidRetriever(data.folder / "memvid" / "memory.mp4", expansion_search=effort, **options) as retriever:
            retriever.warm()
            rows = np.array([_ask(retriever, question) for question in questions])[_WARMUP:]
            columns = ("whole", "embed", "search", "read", "frames")
            result[name] = {column: percentiles(rows[:, i]) for i, column in enumerate(columns[:4])}
            result[name]["frames read"] = float(rows[:, 4].mean())
            result[name]["memory"] = memory()
    return result


def modes(data: Data, effort: int) -> dict[str, Any]:
    """memvid with vectors given, in each mode, and by words with pasted passages; nothing cached by memvid.

    Questions are 6 to 14 neighbouring words of real passages, pasted passages five such pieces. By words alone and by
    both, the words of a question have nothing to do with its vector: what both find together is as much as it can be.
    """
    _read_all(data.folder / "memvid")
    questions = question_strings(data.work, 500 + _WARMUP)
    pasted = [" ".join(questions[i : i + 5]) for i in range(len(questions))]
    kinds: list[tuple[str, Mode, list[str]]] = [
        ("semantic", "semantic", questions), ("keyword", "keyword", questions), ("hybrid", "hybrid", questions),
        ("keyword, pasted passages", "keyword", pasted), ("hybrid, pasted passages", "hybrid", pasted),
    ]  # fmt: skip
    embedder = GivenVectors()

    def ask(retriever: MemvidRetriever, asked: list[str], mode: Mode, i: int) -> None:
        embedder.hand(data.queries[i % len(data.queries)])
        retriever.search(asked[i % len(asked)], 5, mode=mode)

    nothing: dict[str, Any] = {"query_cache_size": 0, "page_cache_bytes": 0}
    video = data.folder / "memvid" / "memory.mp4"
    result: dict[str, Any] = {}
    for threads in (1, 2):
        with MemvidRetriever(
            video, embedder=embedder, expansion_search=effort, threads=threads, **nothing
        ) as retriever:
            for name, mode, asked in kinds:
                times = _times(partial(ask, retriever, asked, mode), 500, at_most=60.0)
                result[f"{name}, {threads} threads"] = percentiles(times)
    return result


def _ask(retriever: MemvidRetriever, question: str) -> tuple[float, ...]:
    before = retriever.stats
    begin = time.perf_counter()
    answers = retriever.search(question, top_k=5)
    whole = time.perf_counter() - begin
    assert len(answers) == 5
    after = retriever.stats
    return (
        whole,
        after.embed_seconds - before.embed_seconds,
        after.search_seconds - before.search_seconds,
        after.read_seconds - before.read_seconds,
        after.frames_read - before.frames_read,
    )


def threads(data: Data, effort: int) -> dict[str, Any]:
    """Queries a second that memvid answers from several threads, vectors given and questions embedded."""
    folder = data.folder / "memvid"
    engine = MemvidEngine()
    engine.open(folder, effort)
    queries = data.queries
    questions = question_strings(data.work, 5000)
    result: dict[str, Any] = {"vectors given": {}, "embedded": {}}
    with MemvidRetriever(
        folder / "memory.mp4", expansion_search=effort, query_cache_size=0, page_cache_bytes=0
    ) as asked:
        asked.warm()
        for count in (1, 2, 4, 8):
            result["vectors given"][str(count)] = _rate(lambda i: engine.search(queries[i % len(queries)], 5), count)
            result["embedded"][str(count)] = _rate(lambda i: asked.search(questions[i % len(questions)]), count)
    engine.close()
    return result


def _read_all(folder: Path) -> None:
    """Bring an engine's files into the page cache: what others were measured with may have driven them out."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass


def _rate(ask: Callable[[int], object], workers: int) -> float:
    def run(worker: int) -> int:
        done = 0
        while time.perf_counter() < end:
            ask(worker * 617 + done)
            done += 1
        return done

    run_until = _SECONDS_A_THREAD_COUNT
    begin = time.perf_counter()
    end = begin + run_until
    with ThreadPoolExecutor(workers) as pool:
        done = sum(pool.map(run, range(workers)))
    return done / (time.perf_counter() - begin)


def _times(ask: Callable[[int], object], count: int, *, at_most: float) -> list[float]:
    for i in range(min(_WARMUP, count)):
        ask(i)
        if i == 4:
            gc.collect()
    found: list[float] = []
    end = time.perf_counter() + at_most
    for i in range(count):
        begin = time.perf_counter()
        ask(i)
        found.append(time.perf_counter() - begin)
        if begin > end:
            break
    return found


class _Stopped:
    """Notices that somebody stopped the process for a while (SIGSTOP), which on a shared machine happens."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._end.wait(0.5):
            now = time.monotonic()
            if now - last > _STOPPED_SECONDS:
                self.seconds += now - last
            last = now

    def __enter__(self) -> _Stopped:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        self._thread.join()


def percentiles(seconds: Sequence[float] | np.ndarray[Any, Any]) -> dict[str, float]:
    """Median, 95th and 99th percentile, and mean, in milliseconds."""
    values = np.asarray(seconds) * 1e3
    found = {f"p{p}": float(np.percentile(values, p)) for p in (50, 95, 99)}
    return {**found, "mean": float(values.mean()), "count": float(len(values))}


def memory() -> dict[str, int]:
    """Bytes resident now, of them anonymous and of mapped files, and the peak; Linux."""
    rollup = _fields(Path("/proc/self/smaps_rollup"))
    anonymous = rollup["Anonymous"]
    return {
        "resident": rollup["Rss"],
        "anonymous": anonymous,
        "mapped": rollup["Rss"] - anonymous,
        "peak": _fields(Path("/proc/self/status"))["VmHWM"],
    }


def _fields(path: Path) -> dict[str, int]:
    rows = (line.split() for line in path.read_text("utf-8").splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3 and row[2] == "kB"}


def main(arguments: list[str]) -> int:
    """Do one job and print what it found."""
    job, name, work, chunks, *rest = arguments
    data = Data(Path(work), int(chunks))
    if job == "build":
        result = build(name, data)
    elif job == "serve":
        result = serve(name, data, float(rest[0]) if rest else None)
    elif job == "stages":
        result = stages(data, int(rest[0]))
    elif job == "modes":
        result = modes(data, int(rest[0]) if rest else 96)
    elif job == "parts":
        result = measure_parts(data, int(rest[0]))
    else:
        result = threads(data, int(rest[0]))
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
