"""Options and fixtures of the benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.corpus import Corpus, load_corpus
from benchmarks.support import VECTOR_DIM, Memory, make_vectors
from memvid import MemvidEncoder
from memvid.embedding import HashingEmbedder

SCALES = {"small": 1_500_000, "full": 6_000_000}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("memvid")
    group.addoption("--scale", choices=sorted(SCALES), default="small", help="bytes of text: 1.5 MB or 6 MB")
    group.addoption("--corpus", type=Path, help="a UTF-8 text file to use instead of this Python's documentation")
    group.addoption("--questions", type=Path, help="a folder with passages.jsonl.gz and questions.jsonl.gz")


@pytest.fixture(scope="session")
def corpus(request: pytest.FixtureRequest) -> Corpus:
    """Real text in chunks of about 500 characters."""
    return load_corpus(request.config.getoption("corpus"), limit_bytes=SCALES[request.config.getoption("scale")])


@pytest.fixture(scope="session")
def memory(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Memory:
    """The corpus at default options, with made-up vectors: reading does not care what they are."""
    video = tmp_path_factory.mktemp("memory") / "memory.mp4"
    embedder = HashingEmbedder(dim=VECTOR_DIM)
    with MemvidEncoder(embedder=embedder) as encoder:
        encoder.add_chunks(corpus.chunks, embeddings=make_vectors(len(corpus.chunks)))
        return Memory(video, corpus, encoder.build_video(video), embedder)
