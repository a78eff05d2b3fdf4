"""How memvid grows: lines through what was measured, drawn out to 100 million chunks.

``python -m benchmarks.million.growth`` reads ``million-*.json`` and writes ``million-growth.md`` beside them. Times of
a walk grow with the logarithm of the number of chunks, reading and embedding do not grow, bytes are in proportion. All
of it supposes that what is read often is in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.million.report import RESULTS

__all__ = ["main"]

_SIZES = (1_000, 20_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
_LEAST_GRAPH = 10_000  # smaller memories are compared with one by one


def main(folder: Path = RESULTS) -> None:
    """Write the table, and print it."""
    memvid = {
        found["chunks"]: found["engines"]["memvid"]
        for found in (json.loads(path.read_text("utf-8")) for path in folder.glob("million-*.json"))
        if "stages" in found["engines"].get("memvid", {})
    }
    graphs = {chunks: found for chunks, found in memvid.items() if chunks >= _LEAST_GRAPH}
    search = _line({chunks: _median(found, "search") for chunks, found in graphs.items()})
    add = _line({chunks: found["build"]["stages"]["index"] / chunks for chunks, found in graphs.items()})
    largest = memvid[max(memvid)]
    constant = {stage: _median(largest, stage) for stage in ("embed", "read")}
    # Up to version 3 of the index, records were a SQLite file.
    sizes = largest["build"]["files"].items()
    files = {Path(name).suffix.replace(".sqlite", ".records"): size / max(memvid) for name, size in sizes}
    smallest = memvid[min(memvid)]
    anonymous = [found["stages"]["nothing cached"]["memory"]["anonymous"] for found in (smallest, largest)]
    slope = (anonymous[1] - anonymous[0]) / (max(memvid) - min(memvid))
    lines = [
        "# From a thousand chunks to 100 million",
        "",
        "Written by `python -m benchmarks.million.growth` from the results beside it. Milliseconds of a fresh "
        f"question, nothing cached by memvid: embedding {constant['embed']:.2f} and reading five frames "
        f"{constant['read']:.2f} at any size (medians at {max(memvid):,}); searching and adding a vector on a line "
        "through the logarithm of the measured sizes.",
        "",
        "| chunks | search ms, measured | by the line | whole | build hours, one thread | anonymous MB | "
        "vectors GB | words, numbers GB | video GB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for chunks in _SIZES:
        measured = f"{_median(memvid[chunks], 'search'):.2f}" if chunks in memvid else ""
        modelled = search(chunks) if chunks >= _LEAST_GRAPH else None
        cells = [
            f"{chunks:,}",
            measured,
            "" if modelled is None else f"{modelled:.2f}",
            "" if modelled is None else f"{modelled + sum(constant.values()):.1f}",
            "" if modelled is None else f"{chunks * add(chunks) / 3600:.2f}",
            f"{(anonymous[0] + slope * chunks) / 1e6:.0f}",
            *(f"{files[suffix] * chunks / 1e9:.2f}" for suffix in (".usearch", ".records", ".mp4")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    (folder / "million-growth.md").write_text(text, "utf-8")
    print(text)


def _median(found: dict[str, Any], stage: str) -> float:
    return float(found["stages"]["nothing cached"][stage]["p50"])


def _line(values: dict[int, float]) -> Callable[[int], float]:
    """A line through values over the logarithm of the number of chunks."""
    slope, start = np.polyfit(np.log(list(values)), list(values.values()), 1)
    return lambda chunks: float(start + slope * np.log(chunks))


if __name__ == "__main__":
    main()
