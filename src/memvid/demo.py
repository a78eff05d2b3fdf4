"""The demonstration: the Python language reference as a memory, and five questions to it, all of it measured.

The text is the one real text every CPython carries, :mod:`pydoc_data.topics` (what ``help("with")`` shows). Nothing is
downloaded; every number in the report was measured in this run.
"""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memvid.chunking import split_text
from memvid.dependencies import import_dependency
from memvid.errors import OutputError
from memvid.types import StrPath

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memvid.config import EncoderConfig
    from memvid.embedding import EmbedderLike
    from memvid.retriever import MemvidRetriever, RetrieverStats
    from memvid.types import BuildResult, ProgressCallback, SearchResult

__all__ = ["QUESTIONS", "VIDEO_NAME", "DemoAnswer", "DemoReport", "load_topics", "run_demo"]

VIDEO_NAME = "python.mp4"
QUESTIONS = (
    "How do I run cleanup code whether or not an error happens?",
    "When are default values of function parameters evaluated?",
    "How do I use a comma as a thousands separator?",
    "What is the difference between 'is' and '=='?",
    "Which method is called when an attribute cannot be found?",
)


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """One question and what it found.

    :ivar question: the question.
    :ivar results: the best passages, best first.
    :ivar seconds: ``"embed"``, ``"search"``, ``"read"`` (frames read, decoded, verified) and ``"total"``.
    """

    question: str
    results: tuple[SearchResult, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demonstration did and measured.

    :ivar topics: entries of the language reference.
    :ivar repeated: chunks left out because an earlier topic has the same: the reference repeats some sections, and
        storing them twice would only flatter the sizes.
    :ivar build: what the encoder reports: files, chunks, frames, sizes, seconds.
    :ivar gzip_bytes: the same chunks, a line break between them, as one ``gzip -9`` stream.
    :ivar index_parts: size of each part of the index, by what it is: ``"vectors"``, ``"records"``.
    :ivar open_seconds: opening the memory.
    :ivar warm_seconds: loading what the first question needs: model, index, dictionary.
    :ivar answers: an answer for each of :data:`QUESTIONS`.
    """

    topics: int
    repeated: int
    build: BuildResult
    gzip_bytes: int
    index_parts: Mapping[str, int]
    open_seconds: float
    warm_seconds: float
    answers: tuple[DemoAnswer, ...]


def load_topics() -> dict[str, str]:
    """The language reference by topic.

    :raises DependencyError: this Python came without it.
    """
    missing = (
        "this Python has no pydoc_data.topics, the text of the demonstration: install a complete Python, "
        "or build a memory of your own files with: memvid build FILES -o memory.mp4"
    )
    return dict(import_dependency("pydoc_data.topics", missing).topics)


def run_demo(
    folder: StrPath,
    *,
    embedder: EmbedderLike | None = None,
    top_k: int = 2,
    progress: ProgressCallback | None = None,
) -> DemoReport:
    """Build the memory in ``folder`` (made if it is missing; an earlier demonstration in it is replaced) and ask it.

    Costs some seconds: nearly all of them are the embeddings of about a thousand chunks.

    :param embedder: as for :class:`MemvidEncoder`.
    :param top_k: passages a question.
    :raises OutputError: the folder cannot be made or written.
    """
    from memvid.encoder import MemvidEncoder
    from memvid.index.manifest import read_manifest
    from memvid.retriever import MemvidRetriever

    topics = load_topics()
    video_file = Path(folder) / VIDEO_NAME
    try:
        video_file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be made: {error.strerror}; name another one") from error
    with MemvidEncoder(embedder=embedder) as encoder:
        chunks, repeated = _distinct_chunks(topics, encoder.config)
        encoder.add_chunks(chunks, metadatas=({"topic": topic} for topic in chunks.values()))
        result = encoder.build_video(video_file, progress=progress)
    begin = time.perf_counter()
    with MemvidRetriever(result.video_file, embedder=embedder) as retriever:
        opened = time.perf_counter()
        retriever.warm()
        warmed = time.perf_counter()
        answers = tuple(_ask(retriever, question, top_k) for question in QUESTIONS)
        texts = [chunk.text for chunk in retriever.get_chunks_by_id(range(len(retriever)))]
    return DemoReport(
        topics=len(topics),
        repeated=repeated,
        build=result,
        gzip_bytes=_gzip_size(texts),
        index_parts={role: file.bytes for role, file in read_manifest(result.video_file).side_files()},
        open_seconds=opened - begin,
        warm_seconds=warmed - opened,
        answers=answers,
    )


def _distinct_chunks(topics: Mapping[str, str], config: EncoderConfig) -> tuple[dict[str, str], int]:
    """Each chunk with the first topic that has it, in order, and how many came again."""
    chunks: dict[str, str] = {}
    count = 0
    for topic, text in topics.items():
        for chunk in split_text(text, chunk_size=config.chunk_size, overlap=config.overlap):
            chunks.setdefault(chunk, topic)
            count += 1
    return chunks, count - len(chunks)


def _ask(retriever: MemvidRetriever, question: str, top_k: int) -> DemoAnswer:
    before = retriever.stats
    begin = time.perf_counter()
    results = retriever.search_results(question, top_k)
    total = time.perf_counter() - begin
    return DemoAnswer(question, tuple(results), {**_stages(before, retriever.stats), "total": total})


def _stages(before: RetrieverStats, after: RetrieverStats) -> dict[str, float]:
    return {
        "embed": after.embed_seconds - before.embed_seconds,
        "search": after.search_seconds - before.search_seconds,
        "read": after.read_seconds - before.read_seconds,
    }


def _gzip_size(texts: Iterable[str]) -> int:
    return len(gzip.compress("\n".join(texts).encode(), 9))
