"""``memvid search``: a question to a memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, emit_json
from memvid.cli.results import result_json, result_text, stages_text
from memvid.config import QUESTION_BYTES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["search"]


@click.command()
@options.memory_argument
@click.argument("question")
@click.option("-k", "--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Passages to find.")
@click.option(
    "--where",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only chunks with this metadata. Several keys must all hold; of one key given several times, any value.",
)
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
    where: tuple[str, ...],
    lines: int | None,
    question_bytes: int,
    index_file: Path | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Find the passages that answer a question.

    Best first. Every passage is read out of its frame and verified.

    \b
    memvid search memory.mp4 "when did signing in break?"
    memvid search memory.mp4 "budget" -k 3 --where source=report.pdf
    """
    conditions = options.parse_where(where)
    from memvid.retriever import MemvidRetriever

    begin = time.perf_counter()
    embedder = options.index_embedder(model, memory, index_file)
    with MemvidRetriever(memory, index_file, embedder=embedder, question_bytes=question_bytes) as retriever:
        opened = time.perf_counter()
        results = retriever.search_results(question, top_k=top_k, where=conditions)
        stats, chunks = retriever.stats, len(retriever)
    seconds = {
        "open": opened - begin,
        "embed": stats.embed_seconds,
        "search": stats.search_seconds,
        "read": stats.read_seconds,
    }
    if as_json:
        emit_json({"question": question, "results": list(map(result_json, results)), "seconds": seconds})
        return
    for rank, result in enumerate(results, 1):
        emit(result_text(rank, result, lines=lines) + "\n")
    emit(f"{len(results):,} of {counted(chunks, 'chunk')}: {stages_text(seconds)}")
