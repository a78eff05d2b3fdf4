"""Results as JSON, Markdown and, with matplotlib, plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import run as common

__all__ = ["RESULTS", "environment", "write"]

RESULTS = common.RESULTS

_PEER_PACKAGES = ("faiss-cpu", "lancedb", "chromadb", "sqlite-vec")


def environment() -> dict[str, Any]:
    """The machine, the versions, the commit."""
    found = common.environment([])
    found["packages"].update({name: common.version_of(name) for name in _PEER_PACKAGES})
    found["memory_gb"] = round(_total_memory() / 1e9, 1)
    return found


def write(result: dict[str, Any], folder: Path) -> None:
    """Write ``million-<chunks>.json`` and ``.md``, and plots of all sizes that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"million-{result['chunks']}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    stem.with_suffix(".md").write_text("\n".join(_markdown(result)) + "\n", "utf-8")
    try:
        from benchmarks.million import plots
    except ImportError:  # matplotlib is optional
        return
    plots.draw(folder)


def _markdown(result: dict[str, Any]) -> list[str]:
    machine = result["environment"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items() if number)
    lines = [
        f"# {result['chunks']:,} chunks",
        "",
        f"Written by `python -m benchmarks.million --chunks {result['chunks']}`; what is measured and how is in "
        "`benchmarks/million/`.",
        "",
        f"{machine['when']}, commit {machine['commit']}, {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}, {packages}. "
        f"Text: {result['corpus']}.",
        "",
    ]
    engines = result["engines"]
    lines += _engine_table(engines)
    if "memvid" in engines:
        lines += _memvid(engines["memvid"])
    return lines + _data(result["data"])


def _engine_table(engines: dict[str, Any]) -> list[str]:
    lines = [
        "## Vector in, five texts out",
        "",
        "Embedding apart, page cache warm, one query after the other; each engine at the least search parameter that "
        "reaches memvid's recall@10 (less 0.001). FAISS and usearch search on one thread; memvid reads its frames on "
        "all cores, LanceDB and Chroma do as they come. Open includes imports.",
        "",
        "| engine | at | recall@10 | p50 ms | p95 | p99 | open + first s | anonymous MB | mapped MB | disk MB "
        "| build s | build peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for engine in engines.values():
        if "skipped" in engine:
            lines.append(f"| {engine['label']} | not measured: {engine['skipped']} |" + " |" * 10)
        elif "serve" in engine:
            lines.append(_engine_row(engine))
    built = {engine["label"]: engine["build"]["load_before"] for engine in engines.values() if "build" in engine}
    told = ", ".join(f"{label} {load:.1f}" for label, load in built.items())
    notes = [
        f"{engine['label']}: {engine['build']['note']}"
        for engine in engines.values()
        if "note" in engine.get("build", {})
    ]
    return [*lines, "", " ".join([f"Load average before each build: {told}.", *notes]), *_comparison(engines)]


def _engine_row(engine: dict[str, Any]) -> str:
    serve, build = engine["serve"], engine["build"]
    times, memory = serve["search_and_read_ms"], serve["memory"]
    disk = sum(build["files"].values())
    cells = [
        engine["label"],
        f"{serve['effort_name']} {serve['effort']}",
        f"{serve['recall@10']:.3f}" + ("" if serve["reached"] else " (its best)"),
        *(f"{times[name]:.2f}" for name in ("p50", "p95", "p99")),
        f"{serve['open_seconds'] + serve['first_search_seconds']:.2f}",
        *(f"{memory[name] / 1e6:.0f}" for name in ("anonymous", "mapped")),
        f"{disk / 1e6:.0f}",
        *("?" if value is None else f"{value:.0f}" for value in (build["seconds"], _megabytes(build["peak_bytes"]))),
    ]
    return "| " + " | ".join(cells) + " |"


def _megabytes(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _comparison(engines: dict[str, Any]) -> list[str]:
    """Who is faster and smaller, both ways round."""
    measured = {name: engine for name, engine in engines.items() if "serve" in engine}
    if len(measured) < 2:
        return []
    ours = measured.pop("memvid")
    lines = [""]
    for engine in measured.values():
        ratio = engine["serve"]["search_and_read_ms"]["p50"] / ours["serve"]["search_and_read_ms"]["p50"]
        size = sum(engine["build"]["files"].values()) / sum(ours["build"]["files"].values())
        speed = f"memvid is {ratio:.1f} times faster" if ratio >= 1 else f"**memvid is {1 / ratio:.1f} times slower**"
        space = f"takes {size:.1f} times memvid's disk" if size >= 1 else f"**takes only {size:.2f} of memvid's disk**"
        lines.append(f"- {engine['label']}: {speed} at the median; it {space}.")
    return lines


def _memvid(found: dict[str, Any]) -> list[str]:
    lines = ["", "## memvid", "", "Build:", "", "| stage | seconds |", "|---|---|"]
    build = found["build"]
    lines += [f"| {name} | {seconds:.1f} |" for name, seconds in build["stages"].items()]
    lines += ["", "Stages overlap." + _circumstances(found), "", "| file | bytes |", "|---|---|"]
    lines += [f"| {name} | {size:,} |" for name, size in build["files"].items()]
    if "serve" in found:
        lines += [
            "",
            "Recall (ten answers, texts read):",
            "",
            "| expansion_search | recall@10 | mean ms |",
            "|---|---|---|",
        ]
        lines += [
            f"| {step['effort']} | {step['recall@10']:.3f} | {step['mean_ms_top10']:.2f} |"
            for step in found["serve"]["ladder"]
        ]
    if "stages" in found:
        lines += ["", "Whole path: a fresh question string embedded by MiniLM, searched, top 5 read and verified.", ""]
        lines += ["| caches | stage | p50 ms | p95 | p99 |", "|---|---|---|---|---|"]
        for caches, stages in found["stages"].items():
            if isinstance(stages, dict):
                lines += [
                    f"| {caches} | {stage} | "
                    + " | ".join(f"{stages[stage][p]:.2f}" for p in ("p50", "p95", "p99"))
                    + " |"
                    for stage in ("whole", "embed", "search", "read")
                ]
        memory = found["stages"]["nothing cached"]["memory"]
        lines += [
            "",
            f"Resident while serving it with the model loaded: {memory['anonymous'] / 1e6:.0f} MB anonymous, "
            f"{memory['mapped'] / 1e6:.0f} MB of mapped files.",
        ]
    if "parts" in found:
        lines += ["", "| part, alone | median us | p95 |", "|---|---|---|"]
        lines += [
            f"| {part} | {times['median']:.0f} | {times['p95']:.0f} |"
            for part, times in found["parts"].items()
            if isinstance(times, dict) and "median" in times
        ]
        compared = found["parts"]["vectors compared"]["mean"]
        lines += ["", f"A search compares {compared:.0f} vectors, by usearch's count on the same graph."]
    if "threads" in found:
        lines += ["", "| threads | queries a second, vectors given | with embedding |", "|---|---|---|"]
        given, embedded = found["threads"]["vectors given"], found["threads"]["embedded"]
        lines += [f"| {count} | {given[count]:.0f} | {embedded[count]:.0f} |" for count in given]
    if "cold" in found:
        lines += [
            "",
            "| fresh process | start to first answer s | import and open | first answer | second |",
            "|---|---|---|---|---|",
        ]
        names = ("process", "import and open", "first answer", "second answer")
        lines += [
            f"| {how} | " + " | ".join(f"{row[n]:.3f}" for n in names) + " |" for how, row in found["cold"].items()
        ]
        lines += ["", f"Dropped by {found['cold']['page cache dropped']['how']}."]
    return lines


def _circumstances(found: dict[str, Any]) -> str:
    """What else the machine was doing: the load before each step, and time for which the build was stopped."""
    steps = {
        name: step["load_before"] for name, step in found.items() if isinstance(step, dict) and "load_before" in step
    }
    told = " Load average before each step: " + ", ".join(f"{name} {load:.1f}" for name, load in steps.items()) + "."
    stopped = found["build"].get("stopped_seconds", 0.0)
    if stopped:
        told += f" The build was stopped for {stopped:.0f} s to let others measure; they are not counted."
    return told


def _data(found: dict[str, Any]) -> list[str]:
    lines = ["", "## How real the data is", ""]
    for title, rows in (("Compressed size / text", found["compression"]), ("Vectors", found["hardness"])):
        columns = list(next(iter(rows.values())))
        lines += [f"| {title} | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
        lines += [f"| {name} | " + " | ".join(_number(row[c]) for c in columns) + " |" for name, row in rows.items()]
        lines.append("")
    return lines[:-1]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3f}"


def _total_memory() -> int:
    line = Path("/proc/meminfo").read_text("ascii").splitlines()[0]
    return int(line.split()[1]) * 1024
