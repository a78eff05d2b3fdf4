"""The index alone: building vectors and records, opening, searching, against usearch's own int8 cast and exact search.

State: files are in the page cache; the verified-digest cache is warm unless the name says cold. Traps: vectors are
added on one thread, as a build does, because its bytes must not depend on timing; and the cost of adding grows with the
graph, so microseconds a vector at 20,000 are not those at a million.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.support import VECTOR_DIM, make_vectors
from memvid.config import EncoderConfig
from memvid.index import IndexManager
from memvid.types import ModelInfo, VideoIdentity

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from pytest_benchmark.fixture import BenchmarkFixture

    from benchmarks.corpus import Corpus
    from memvid.index import IndexBuilder

COUNT = 20_000
MODEL = ModelInfo("benchmark", VECTOR_DIM)
VIDEO = VideoIdentity("0" * 64, COUNT // 10, 1)
QUERIES = 200


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMVID_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def vectors() -> npt.NDArray[np.float32]:
    return make_vectors(COUNT + QUERIES)


@pytest.fixture(scope="module")
def index_file(tmp_path_factory: pytest.TempPathFactory, vectors: npt.NDArray[np.float32], corpus: Corpus) -> Path:
    path = tmp_path_factory.mktemp("index") / "memory_index.json"
    builder = IndexManager.create(path, model=MODEL)
    builder.add(0, vectors[:COUNT])
    _add_records(builder, corpus)
    builder.add_pages(np.arange(COUNT // 10), np.arange(0, COUNT, 10), np.full(COUNT // 10, 10))
    builder.stage(VIDEO)
    builder.commit.commit()
    return path


def _add_records(builder: IndexBuilder, corpus: Corpus) -> None:
    texts = [corpus.chunks[i % len(corpus.chunks)] for i in range(COUNT)]
    for start in range(0, COUNT, 1000):
        builder.add_records(start, texts[start : start + 1000], [{"source": f"doc{start}"}] * 1000)


def _recall(found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64]) -> float:
    hits = [len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), expected.tolist(), strict=True)]
    return float(np.mean(hits))


def _fastest(benchmark: BenchmarkFixture) -> float:
    """Seconds of the fastest round."""
    assert benchmark.stats is not None
    return float(benchmark.stats.stats.min)


def _exact(vectors: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    scores = vectors[COUNT:] @ vectors[:COUNT].T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("expansion_add", [64, 96, 128])
def test_add_vectors(
    benchmark: BenchmarkFixture, vectors: npt.NDArray[np.float32], tmp_path: Path, expansion_add: int
) -> None:
    def add() -> int:
        config = EncoderConfig(expansion_add=expansion_add, keywords=False)
        builder = IndexManager.create(tmp_path / "memory_index.json", model=MODEL, config=config)
        builder.add(0, vectors[:COUNT])
        builder.abort()
        return COUNT

    count = benchmark.pedantic(add, rounds=1)
    benchmark.extra_info["vectors_a_second"] = count / _fastest(benchmark)


@pytest.mark.parametrize("keywords", [True, False])
def test_add_records(benchmark: BenchmarkFixture, corpus: Corpus, tmp_path: Path, keywords: bool) -> None:
    def add() -> None:
        builder = IndexManager.create(
            tmp_path / "memory_index.json", model=MODEL, config=EncoderConfig(keywords=keywords)
        )
        _add_records(builder, corpus)
        builder.abort()

    benchmark.pedantic(add, rounds=2)
    benchmark.extra_info["microseconds_a_chunk"] = _fastest(benchmark) / COUNT * 1e6


@pytest.mark.parametrize("cold", [False, True])
def test_open(
    benchmark: BenchmarkFixture, index_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cold: bool
) -> None:
    def forget() -> None:
        if cold:
            monkeypatch.setenv("MEMVID_CACHE_DIR", str(tmp_path / str(np.random.default_rng().integers(1 << 60))))

    def open_and_close() -> int:
        with IndexManager.open(index_file) as index:
            return len(index)

    open_and_close()
    assert benchmark.pedantic(open_and_close, setup=forget, rounds=20) == COUNT
    benchmark.extra_info["bytes_a_chunk"] = {
        path.suffix: path.stat().st_size / COUNT for path in sorted(index_file.parent.iterdir())
    }


@pytest.mark.parametrize("how", ["hnsw", "exact", "selective filter", "keywords"])
def test_search(
    benchmark: BenchmarkFixture, index_file: Path, vectors: npt.NDArray[np.float32], corpus: Corpus, how: str
) -> None:
    queries = [vectors[COUNT + i : COUNT + i + 1] for i in range(QUERIES)]
    texts = [" ".join(corpus.chunks[i].split()[:8]) for i in range(QUERIES)]
    with IndexManager.open(index_file) as index:

        def search() -> list[npt.NDArray[np.int64]]:
            if how == "keywords":
                return [index.keyword_search(text, 10)[0] for text in texts]
            where = {"source": ["doc1000", "doc7000"]} if how == "selective filter" else None
            return [index.search(query, 10, exact=how == "exact", where=where)[0][0] for query in queries]

        search()
        found = benchmark.pedantic(search, rounds=2 if how == "exact" else 5)
    benchmark.extra_info["milliseconds_a_query"] = _fastest(benchmark) / QUERIES * 1e3
    if how == "keywords":
        assert all(len(ids) == 10 for ids in found)
    elif how == "selective filter":
        assert all(1000 <= i < 2000 or 7000 <= i < 8000 for ids in found for i in ids.tolist())
    else:
        recall = _recall(np.array(found), _exact(vectors, 10))
        benchmark.extra_info["recall@10"] = recall
        assert recall > 0.9


def test_quantisation(benchmark: BenchmarkFixture, vectors: npt.NDArray[np.float32]) -> None:
    """Exact search over int8: each vector scaled to its own peak (ours), or unit vectors times 127 (usearch's cast)."""
    from memvid.index.vectors import quantise

    expected = _exact(vectors, 10)

    def recall_of(stored: npt.NDArray[np.int8]) -> float:
        rows = stored.astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return _recall(np.argsort(-(vectors[COUNT:] @ rows.T), axis=1, kind="stable")[:, :10], expected)

    ours = benchmark(lambda: quantise(vectors[:COUNT], "i8"))
    cast = np.rint(vectors[:COUNT] * 127).astype(np.int8)
    benchmark.extra_info["recall@10"] = {"ours": recall_of(ours), "cast": recall_of(cast)}
    assert recall_of(ours) > recall_of(cast)
