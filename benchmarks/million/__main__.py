"""memvid at any size beside its peers: ``python -m benchmarks.million --chunks 20000``.

Everything that is measured runs in a fresh process, one after the other. What is slow to make (embeddings of real text,
vectors, exact answers) stays in the work folder. Results are written after every step, so that a run that is stopped
leaves what it had found.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.million import report
from benchmarks.million.cold import measure_cold
from benchmarks.million.corpus import BLOCK, calibrate
from benchmarks.million.data import Data
from benchmarks.million.peers import ENGINES, PEERS
from benchmarks.million.real import load_passages, load_real_vectors
from benchmarks.million.vectors import SyntheticVectors, exact_neighbours, hardness, write_vectors

_CALIBRATED_CHUNKS = 20 * BLOCK
_TOLERANCE = 0.001  # of recall that a peer may be behind memvid


def main(arguments: list[str]) -> int:
    """Measure, and write the results."""
    options = _parse(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    data = Data(options.work.resolve(), options.chunks)
    data.folder.mkdir(exist_ok=True)
    result: dict[str, Any] = {
        "environment": report.environment(),
        "chunks": data.chunks,
        "data": _remembered(data.work / "calibration.json", lambda: _calibrate(data.work)),
        "engines": {},
    }
    prepare(data)
    result["corpus"] = result["data"].pop("corpus")

    def save() -> None:
        report.write(result, options.output)

    _measure_memvid(data, result, save, rebuild=not options.reuse, drop_all=options.drop_caches)
    target = result["engines"]["memvid"]["serve"]["recall@10"]
    for name in options.peers:
        if data.chunks > ENGINES[name]().limit:
            result["engines"][name] = {"label": ENGINES[name]().name, "skipped": "too slow at this size"}
            continue
        try:
            result["engines"][name] = _measure_peer(name, data, target, rebuild=not options.reuse)
        except subprocess.CalledProcessError as error:
            result["engines"][name] = {"label": ENGINES[name]().name, "skipped": _last_line(error.stderr)}
        save()
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--chunks", type=int, default=20_000, help="how many; 1_000_000 is the target")
    parser.add_argument("--peers", type=_peers, default="all", help=f"all, none, or some of {', '.join(PEERS)}")
    parser.add_argument("--work", type=Path, default=Path("build/million"), help="folder for everything that is made")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="folder for the results")
    parser.add_argument("--reuse", action="store_true", help="measure what an earlier run built, if it is there")
    parser.add_argument(
        "--no-drop-caches", dest="drop_caches", action="store_false", help="leave the page cache of everyone else alone"
    )
    return parser.parse_args(arguments)


def _peers(value: str) -> list[str]:
    if value in ("all", "none"):
        return list(PEERS) if value == "all" else []
    names = value.split(",")
    for name in names:
        if name not in PEERS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(PEERS)}")
    return names


def prepare(data: Data) -> None:
    """Vectors, queries and their exact answers."""
    _say(f"vectors, queries and exact answers for {data.chunks} chunks")
    exact = data.folder / "exact.i64"
    if exact.exists():
        return
    source = SyntheticVectors(load_real_vectors(data.work, load_passages(data.work)))
    write_vectors(data.vectors_file, source, data.chunks)
    queries = source.queries()
    (data.folder / "queries.f32").write_bytes(queries.tobytes())
    exact.write_bytes(exact_neighbours(data.vectors_file, data.chunks, queries).tobytes())


def _calibrate(work: Path) -> dict[str, Any]:
    """How near the corpus and the vectors are to real ones."""
    _say("real passages, their embeddings, and how near the made ones come to them")
    corpus = load_passages(work)
    real = load_real_vectors(work, corpus)
    count = min(_CALIBRATED_CHUNKS, len(corpus.chunks))
    made = [chunk for block in Data(work, count).text.blocks(count) for chunk in block]
    return {
        "corpus": f"{corpus.name} {corpus.digest}",
        "compression": {"real": calibrate(corpus.chunks[:count]), "synthetic": calibrate(made)},
        "hardness": hardness(work, real),
    }


def _measure_memvid(data: Data, result: dict[str, Any], save: Any, *, rebuild: bool, drop_all: bool) -> None:
    found: dict[str, Any] = {"label": ENGINES["memvid"]().name}
    result["engines"]["memvid"] = found
    found["build"] = _built("memvid", data, rebuild=rebuild)
    save()
    found["serve"] = _job("serve", "memvid", data)
    effort = str(found["serve"]["effort"])
    save()
    found["stages"] = _job("stages", "memvid", data, effort)
    save()
    found["threads"] = _job("threads", "memvid", data, effort)
    found["parts"] = _job("parts", "memvid", data, effort)
    found["cold"] = measure_cold(data.folder / "memvid", int(effort), drop_all=drop_all)
    save()


def _measure_peer(name: str, data: Data, target: float, *, rebuild: bool) -> dict[str, Any]:
    built = _built(name, data, rebuild=rebuild)
    return {"label": ENGINES[name]().name, "build": built, "serve": _job("serve", name, data, str(target - _TOLERANCE))}


def _built(name: str, data: Data, *, rebuild: bool) -> dict[str, Any]:
    remembered = data.folder / f"build-{name}.json"
    if rebuild:
        remembered.unlink(missing_ok=True)
    return _remembered(remembered, lambda: _job("build", name, data))


def _remembered(path: Path, make: Any) -> dict[str, Any]:
    if not path.exists():
        path.write_text(json.dumps(make()), "utf-8")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _job(job: str, name: str, data: Data, *rest: str) -> dict[str, Any]:
    """Run one job of :mod:`benchmarks.million.measure` in a process of its own."""
    _say(f"{name}: {job}")
    command = [sys.executable, "-m", "benchmarks.million.measure", job, name, str(data.work), str(data.chunks), *rest]
    load = os.getloadavg()[0]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        _say(error.stderr)
        raise
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "load_before": round(load, 2)}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it ended without a word"])[-1]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
