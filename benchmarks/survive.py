"""What of a memory comes back from re-encoding: ``python -m benchmarks.survive [BYTES]`` writes ``results/survive.md``.

The same text at error correction levels L, the default, and M, and at M with parity, sent down the default ladder of
:func:`memvid.exchange.survive`. A rung that is promised at level M and loses a frame fails the run, and so does one
of other frame rates that parity does not bring back.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.corpus import load_corpus
from benchmarks.run import RESULTS, environment, version_of
from memvid import MemvidEncoder
from memvid.embedding import HashingEmbedder
from memvid.exchange import RungResult, SurviveReport, survive

PROFILES: dict[str, dict[str, Any]] = {
    "L": {"error_correction": "L"},
    "M": {"error_correction": "M"},
    "M, parity 0.5": {"error_correction": "M", "parity": 0.5},
}
TEXT_BYTES = 250_000


def main(arguments: list[str]) -> int:
    """Measure, write the results; 1 if a promise was broken."""
    corpus = load_corpus(limit_bytes=int(arguments[0]) if arguments else TEXT_BYTES)
    reports = {name: _measure(corpus.chunks, options) for name, options in PROFILES.items()}
    result = {
        "environment": {**environment(arguments), "av": version_of("av")},
        "corpus": {"name": corpus.name, "digest": corpus.digest, "chunks": len(corpus.chunks), "bytes": corpus.nbytes},
        "levels": {level: {**asdict(report), "video_file": ""} for level, report in reports.items()},
    }
    (RESULTS / "survive.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    text = _markdown(reports, corpus.nbytes, f"av {version_of('av')}, commit {result['environment']['commit']}")
    (RESULTS / "survive.md").write_text(text, "utf-8")
    broken = [rung.name for rung in reports["M"].rungs if rung.promised and rung.lost]
    broken += [
        rung.name for rung in reports["M, parity 0.5"].rungs if "frames a second" in rung.name and not rung.whole
    ]
    print(text if not broken else f"{text}\nbroken promises: {', '.join(broken)}")
    return 1 if broken else 0


def _measure(chunks: list[str], options: dict[str, Any]) -> SurviveReport:
    with (
        tempfile.TemporaryDirectory() as folder,
        MemvidEncoder(embedder=HashingEmbedder(), keywords=False, **options) as encoder,
    ):
        encoder.add_chunks(chunks)
        video = Path(folder) / "memory.mp4"
        encoder.build_video(video)
        return survive(video)


def _markdown(reports: dict[str, SurviveReport], text_bytes: int, versions: str) -> str:
    lines = [
        "# What survives",
        "",
        f"`python -m benchmarks.survive`: {text_bytes:,} bytes of text, exported to H.264 at CRF 23, then passed "
        "on. Frames that did not come back byte for byte, and the size of the file that came out, as a multiple of "
        f"the text. {versions}.",
        "",
        "| passed on as | " + " | ".join(f"lost at {name} | size" for name in reports) + " |",
        "|---" * (1 + 2 * len(reports)) + "|",
        "| the export itself | " + " | ".join(f"| {r.video_bytes / r.text_bytes:.2f}" for r in reports.values()) + " |",
    ]
    for rungs in zip(*(report.rungs for report in reports.values()), strict=True):
        cells = [_cell(rung, report) for rung, report in zip(rungs, reports.values(), strict=True)]
        lines.append(f"| {rungs[0].name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(rung: RungResult, report: SurviveReport) -> str:
    lost = "none"
    if rung.lost:
        lost = f"{rung.lost} of {rung.frames}"
        lost = (
            f"{lost}, all rebuilt" if rung.whole else f"**{lost}**" + (f", {rung.rebuilt} rebuilt" * bool(rung.rebuilt))
        )
    return f"{lost} | {rung.video_bytes / report.text_bytes:.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
