"""From a question to verified passages, stage by stage, and how good the answers are.

Questions and passages are this Python's own documentation unless ``--questions`` names a folder with
``passages.jsonl.gz`` (``text``) and ``questions.jsonl.gz`` (``query``, ``gold_id``: line of the passage). Each query is
fresh: neither its embedding nor, unless said, its pages are in memvid's caches. The oracle for recall is an exact
search in numpy over vectors of the fp32 model if ``MEMVID_FP32_MODEL`` names its file, else of the shipped one.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

import memvid
from benchmarks.corpus import Corpus
from memvid import MemvidEncoder, MemvidRetriever, OnnxEmbedder
from memvid.embedding import Embedder, resolve_embedder

SHIPPED = Path(memvid.__file__).parent / "models" / "all-MiniLM-L6-v2"
QUESTIONS = [
    "How do I open a file and make sure it is closed?",
    "What is the difference between a list and a tuple?",
    "How are exceptions handled?",
    "What does the yield statement do?",
    "How can I format numbers in a string?",
    "When is a local variable unbound?",
    "how does the import system find a module",
    "operator precedence",
]


@pytest.fixture(scope="module")
def retriever(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> MemvidRetriever:
    video = tmp_path_factory.mktemp("search") / "memory.mp4"
    with MemvidEncoder() as encoder:
        encoder.add_chunks(corpus.chunks[:1500])
        encoder.build_video(video)
    return MemvidRetriever(video, query_cache_size=0, page_cache_bytes=0)


def test_whole_path(retriever: MemvidRetriever, benchmark: BenchmarkFixture) -> None:
    retriever.warm()
    before = retriever.stats

    def ask() -> list[list[str]]:
        return [retriever.search(question) for question in QUESTIONS]

    answers = benchmark(ask)
    assert all(len(texts) == 5 for texts in answers)
    after = retriever.stats
    queries = after.queries - before.queries
    benchmark.extra_info.update(
        queries_per_round=len(QUESTIONS),
        embed_ms=(after.embed_seconds - before.embed_seconds) / queries * 1e3,
        search_ms=(after.search_seconds - before.search_seconds) / queries * 1e3,
        read_ms=(after.read_seconds - before.read_seconds) / queries * 1e3,
        frames_per_query=(after.frames_read - before.frames_read) / queries,
    )


def load_questions(folder: Path) -> tuple[list[str], list[str], NDArray[np.int64]]:
    def lines(name: str) -> list[dict[str, object]]:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    questions = lines("questions")
    gold = np.array([question["gold_id"] for question in questions], np.int64)
    return [str(p["text"]) for p in lines("passages")], [str(q["query"]) for q in questions], gold


def reference_embedder(folder: Path) -> Embedder:
    model = os.environ.get("MEMVID_FP32_MODEL")
    if model is None:
        return resolve_embedder(None)
    for name in ("tokenizer.json", "sentence_bert_config.json"):
        shutil.copy(SHIPPED / name, folder)
    shutil.copy(model, folder / "model.onnx")
    return OnnxEmbedder(folder)


def measures(ids: NDArray[np.int64], gold: NDArray[np.int64]) -> dict[str, float]:
    hits = ids[:, :10] == gold[:, None]
    found = {f"recall@{k}": float(hits[:, :k].any(axis=1).mean()) for k in (1, 5, 10)}
    return found | {"mrr@10": float((hits / np.arange(1, 11)).sum(axis=1).mean())}


def test_recall_of_real_questions(request: pytest.FixtureRequest, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    folder = request.config.getoption("questions")
    if folder is None:
        pytest.skip("--questions does not name a folder with passages and questions")
    passages, questions, gold = load_questions(folder)
    video = tmp_path / "memory.mp4"
    with MemvidEncoder() as encoder:
        encoder.add_chunks(passages)
        built = encoder.build_video(video)
    with MemvidRetriever(video) as retriever:
        assert [chunk.text for chunk in retriever.get_chunks_by_id(range(len(passages)))] == passages
        results = benchmark.pedantic(retriever.search_many, args=(questions, 10), kwargs={"mode": "semantic"}, rounds=1)
        ids = np.array([[result.chunk_id for result in row] for row in results], np.int64)
        assert all(result.text == passages[result.chunk_id] for row in results for result in row)
    reference = reference_embedder(tmp_path)
    similarity = reference.encode(questions) @ reference.encode(passages).T
    exact = np.argsort(-similarity, axis=1, kind="stable")[:, :10]
    ours, oracle = measures(ids, gold), measures(exact, gold)
    benchmark.extra_info.update(
        passages=len(passages),
        questions=len(questions),
        mp4_to_text=built.video_bytes / built.text_bytes,
        reference="fp32" if "MEMVID_FP32_MODEL" in os.environ else "int8",
        memvid=ours,
        exact=oracle,
    )
    assert ours["recall@5"] >= oracle["recall@5"] - 0.01
