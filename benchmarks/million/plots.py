"""Plots of all results in a folder: latency by size, memvid's stages, bytes on disk. Needs matplotlib."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

__all__ = ["draw"]

Results = list[dict[str, Any]]


def draw(folder: Path) -> None:
    """Write ``million-latency.png``, ``-stages.png`` and ``-size.png`` from all ``million-*.json``."""
    files = folder.glob("million-*.json")
    results = sorted((json.loads(path.read_text("utf-8")) for path in files), key=lambda found: int(found["chunks"]))
    _latency(results, folder / "million-latency.png")
    _stages(results, folder / "million-stages.png")
    _sizes(results, folder / "million-size.png")


def _measured(result: dict[str, Any]) -> dict[str, Any]:
    return {engine["label"]: engine for engine in result["engines"].values() if "serve" in engine}


def _latency(results: Results, path: Path) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for result in results:
        for label, engine in _measured(result).items():
            point = (result["chunks"], engine["serve"]["search_and_read_ms"]["p50"])
            lines.setdefault(label, []).append(point)
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for label, points in lines.items():
        sizes, times = zip(*points, strict=True)
        axes.loglog(sizes, times, marker="o", label=label, linewidth=2.5 if label == "memvid" else 1.2)
    axes.set(xlabel="chunks", ylabel="ms, median", title="Vector in, five texts out, at the same recall@10")
    axes.grid(visible=True, which="both", alpha=0.25)
    if lines:
        figure.legend(loc="outside right upper")
    _save(figure, path)


def _stages(results: Results, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    staged = [result for result in results if "stages" in result["engines"].get("memvid", {})]
    labels = [f"{result['chunks']:,}" for result in staged]
    base = [0.0] * len(staged)
    for stage in ("embed", "search", "read"):
        values = [result["engines"]["memvid"]["stages"]["nothing cached"][stage]["p50"] for result in staged]
        axes.barh(labels, values, left=base, label=stage)
        base = [a + b for a, b in zip(base, values, strict=True)]
    axes.set(xlabel="ms, median of each stage", ylabel="chunks", title="memvid: fresh question, top 5, no cache")
    if staged:
        axes.legend()
    _save(figure, path)


def _sizes(results: Results, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    if results:
        largest = results[-1]
        sizes = {label: sum(e["build"]["files"].values()) / 1e6 for label, e in _measured(largest).items()}
        axes.barh(list(sizes), list(sizes.values()))
        axes.set(xlabel="MB on disk, texts and vectors", title=f"{largest['chunks']:,} chunks")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
