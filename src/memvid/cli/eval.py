"""``memvid eval``: how well a memory answers questions whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from memvid.cli import options
from memvid.cli.output import counted, emit, emit_json, heading, one_line
from memvid.cli.progress import ProgressBars
from memvid.config import Mode

if TYPE_CHECKING:
    from memvid.evaluation import Quality
    from memvid.types import JsonObject

__all__ = ["evaluate"]


@click.command("eval")
@click.argument("questions", type=options.file_path)
@options.memory_argument
@click.option(
    "--mode",
    "modes",
    type=click.Choice(get_args(Mode)),
    multiple=True,
    help="Ask in this mode only; repeatable.  [default: all three]",
)
@options.rerank
@click.option("--misses", is_flag=True, help="List the questions without an expected passage among the best ten.")
@options.index_file
@options.index_model
@options.as_json
def evaluate(
    *,
    questions: Path,
    memory: Path,
    modes: tuple[Mode, ...],
    rerank: str | None,
    misses: bool,
    index_file: Path | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Measure how well MEMORY answers QUESTIONS.

    A line of QUESTIONS is a JSON object: "question", and what a passage that answers it is known by: "id" (of its
    chunk), "text" (words that are in it), "source" (in its metadata).

    \b
    memvid eval questions.jsonl memory.mp4
    memvid eval questions.jsonl memory.mp4 --mode hybrid --misses
    """
    from memvid.evaluation import MODES, read_questions
    from memvid.evaluation import evaluate as ask_all
    from memvid.retriever import MemvidRetriever
    from memvid.types import Progress

    asked = list(read_questions(questions))
    found: dict[str, Quality] = {}
    embedder = options.index_embedder(model, memory, index_file)
    with MemvidRetriever(memory, index_file, embedder=embedder) as retriever, ProgressBars() as bars:
        for mode in modes or MODES:
            more: dict[str, Any] = {} if rerank is None or mode == "keyword" else {"rerank": rerank}

            def show(done: int, mode: str = mode) -> None:
                bars(Progress(mode, done, len(asked)))

            found[mode] = ask_all(retriever, asked, progress=show, mode=mode, **more)
    if as_json:
        emit_json({"video_file": memory, "modes": {mode: _json(quality) for mode, quality in found.items()}})
        return
    emit(heading(f"{counted(len(asked), 'question')} to {memory}"))
    emit(f"  {'':<10}" + "".join(f"{column:>11}" for column in ("recall@1", "recall@5", "recall@10", "MRR@10")))
    for name, quality in found.items():
        numbers = (*quality.recall.values(), quality.mrr)
        emit(f"  {name:<10}" + "".join(f"{number:>11.3f}" for number in numbers))
    if misses:
        for name, quality in found.items():
            emit("\n" + heading(f"{name}: {counted(len(quality.missed), 'question')} missed"))
            for question in quality.missed:
                emit(f"  {one_line(question)}")


def _json(quality: Quality) -> JsonObject:
    return {
        "questions": quality.questions,
        **{f"recall@{k}": value for k, value in quality.recall.items()},
        "mrr@10": quality.mrr,
        "missed": list(quality.missed),
    }
