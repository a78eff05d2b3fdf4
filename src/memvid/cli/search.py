"""``memvid search``: a question to a memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, emit_json
from memvid.cli.results import result_json, result_text, stages_text
from memvid.config import QUESTION_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.config import Mode
    from memvid.retriever import MemvidRetriever

__all__ = ["search"]


@click.command()
@options.memory_argument
@click.argument("question")
@click.option("-k", "--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Passages to find.")
@options.mode
@options.where
@click.option("--min-score", type=float, metavar="N", help="Leave out passages whose cosine is below, -1 to 1.")
@click.option(
    "--diversity",
    type=float,
    default=0,
    metavar="N",
    help="From 0, the most relevant, to 1, the least alike.  [default: 0]",
)
@options.rerank
@click.option(
    "--no-distinct", "distinct", flag_value=False, default=True, help="Show copies of one text each by itself."
)
@click.option("--explain", is_flag=True, help="Say of each passage why it is where it is.")
@click.option("--lines", type=click.IntRange(min=1), metavar="N", help="Lines shown of a passage.  [default: all]")
@click.option(
    "--question-bytes",
    type=click.IntRange(min=1),
    default=QUESTION_BYTES,
    metavar="N",
    help="Memory that the passages may take; more is refused.  [default: 128 MiB]",
)
@options.index_file
@options.index_model
@options.as_json
def search(
    *,
    memory: Path,
    question: str,
    top_k: int,
    mode: Mode,
    where: dict[str, Any] | None,
    min_score: float | None,
    diversity: float,
    rerank: str | None,
    distinct: bool,
    explain: bool,
    lines: int | None,
    question_bytes: int,
    index_file: Path | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Find the passages that answer a question.

    Best first, by meaning and by words. Every passage is read out of its frame and verified. Words in double quotes
    have to stand in it as they are.

    \b
    memvid search memory.mp4 "when did signing in break?"
    memvid search memory.mp4 "budget" --where source=report.pdf --where 'page>=3'
    memvid search memory.mp4 'who wrote "disk is full"?' --explain
    """
    begin = time.perf_counter()
    with _open(memory, index_file, model, mode=mode, question_bytes=question_bytes) as retriever:
        opened = time.perf_counter()
        results = retriever.search_results(
            question, top_k, mode=mode, where=where, min_score=min_score, diversity=diversity, rerank=rerank,
            distinct=distinct, explain=explain,
        )  # fmt: skip
        misses = {} if where is None or results else retriever.near_misses(where)
        reason = "" if results else retriever.why_nothing(question, mode=mode, where=where, min_score=min_score)
        stats, chunks = retriever.stats, len(retriever)
    seconds = {
        "open": opened - begin,
        "embed": stats.embed_seconds,
        "search": stats.search_seconds,
        "read": stats.read_seconds,
    }
    if rerank is not None or diversity:
        seconds["rank"] = stats.rank_seconds
    if as_json:
        emit_json(
            {
                "question": question,
                "results": list(map(result_json, results)),
                "near_misses": misses,
                "why_nothing": reason,
                "seconds": seconds,
            }
        )
        return
    for rank, result in enumerate(results, 1):
        emit(result_text(rank, result, lines=lines) + "\n")
    if reason:
        emit(reason)
    emit(f"{len(results):,} of {counted(chunks, 'chunk')}: {stages_text(seconds)}")


def _open(
    memory: Path, index_file: Path | None, model: str | None, *, mode: Mode, question_bytes: int
) -> MemvidRetriever:
    """The memory; where words alone are searched for, without a model."""
    if mode == "keyword":
        return options.open_unasked(memory, index_file, model, question_bytes=question_bytes)
    from memvid.retriever import MemvidRetriever

    embedder = options.index_embedder(model, memory, index_file)
    return MemvidRetriever(memory, index_file, embedder=embedder, question_bytes=question_bytes)
