"""A hundred questions at once in an event loop: memvid's own threads against what one would write without them.

Each question is fresh and no page is cached. The baselines do the same work: ``asyncio.to_thread`` puts every search on
a thread of the loop's executor; ``search_many`` is the best that is possible when all the questions are known.

Traps: both sides embed, and with MiniLM that is nearly all of the time, the same for both. The hashing embedder shows
the rest. Ratios are of pairs, taken in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.corpus import Corpus
from benchmarks.support import compare
from memvid import MemvidEncoder, MemvidRetriever, MiniLMEmbedder
from memvid.embedding import Embedder, HashingEmbedder

EMBEDDERS: dict[str, Callable[[], Embedder]] = {"hashing": lambda: HashingEmbedder(384), "minilm": MiniLMEmbedder}


@pytest.fixture(scope="module", params=EMBEDDERS)
def retriever(
    request: pytest.FixtureRequest, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MemvidRetriever]:
    embedder = EMBEDDERS[request.param]()
    video: Path = tmp_path_factory.mktemp("async") / "memory.mp4"
    with MemvidEncoder(embedder=embedder) as encoder:
        encoder.add_chunks(corpus.chunks[:600])
        encoder.build_video(video)
    with MemvidRetriever(video, embedder=embedder, query_cache_size=0, page_cache_bytes=0) as retriever:
        yield retriever


def test_a_hundred_at_once(retriever: MemvidRetriever, corpus: Corpus, benchmark: BenchmarkFixture) -> None:
    questions = [chunk[:60] for chunk in corpus.chunks[:100]]
    expected = [retriever.search(question) for question in questions]

    def ask() -> list[list[str]]:
        async def gather() -> list[list[str]]:
            return await asyncio.gather(*(retriever.asearch(question) for question in questions))

        return asyncio.run(gather())

    def in_threads() -> list[list[str]]:
        async def gather() -> list[list[str]]:
            return await asyncio.gather(*(asyncio.to_thread(retriever.search, question) for question in questions))

        return asyncio.run(gather())

    def known() -> list[list[str]]:
        return [[result.text for result in results] for results in retriever.search_many(questions)]

    assert in_threads() == known() == expected
    benchmark.extra_info.update(
        to_thread=compare(ask, in_threads).info(len(questions)), search_many=compare(ask, known).info(len(questions))
    )
    assert benchmark.pedantic(ask, rounds=7, warmup_rounds=1) == expected
