"""From text to vector: the shipped int8 model against the same model in fp32, on the same texts.

The fp32 graph is not shipped; these benchmarks skip what needs it unless it is named::

    python tools/export_minilm.py --output /tmp/minilm --fp32 /tmp/minilm/fp32.onnx
    MEMVID_FP32_MODEL=/tmp/minilm/fp32.onnx pytest benchmarks/test_embedding.py

Traps: ``one core`` rows run one text or batch after the other; ``all cores`` rows use what memvid uses for a build.
Every row goes through the same tokenizer and the same code, so only the graph and the batches differ. The corpus is
Python's own documentation in 500-character chunks; longer texts favour int8 less, since attention is fp32 in both.

``--questions`` names a folder with ``passages.jsonl.gz`` (``text``) and ``questions.jsonl.gz`` (``query``, and as
``gold_id`` the line of the passage, from 0) for what quantisation does to retrieval, by exact search.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pytest

import memvid
from benchmarks.corpus import load_corpus
from benchmarks.support import compare
from memvid.embedding import MiniLMEmbedder, OnnxEmbedder, encode_query
from memvid.embedding.model_folder import read_model_folder
from memvid.embedding.onnx_embedder import plan_batches
from memvid.embedding.onnx_runtime import LoadedModel

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

T = TypeVar("T")
SHIPPED = Path(memvid.__file__).parent / "models" / "all-MiniLM-L6-v2"
QUERIES = ["When did signing in break?", "How is a generator driven?", "what does the with statement do", "gil"]
CPU = ("CPUExecutionProvider",)
START = """
import time
start = time.perf_counter()
from memvid.embedding import encode_query, resolve_embedder
embedder = resolve_embedder(None)
imported = time.perf_counter()
vector = encode_query(embedder, "When did signing in break?")
first = time.perf_counter()
encode_query(embedder, "What else broke?")
second = time.perf_counter()
print((imported - start) * 1e3, (first - imported) * 1e3, (second - first) * 1e3, abs((vector**2).sum() - 1))
"""


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return load_corpus(limit_bytes=64_000).chunks[:96]


@pytest.fixture(scope="module")
def fp32_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = os.environ.get("MEMVID_FP32_MODEL")
    if model is None:
        pytest.skip("MEMVID_FP32_MODEL does not name the fp32 graph that tools/export_minilm.py --fp32 writes")
    folder = tmp_path_factory.mktemp("fp32")
    for name in ("tokenizer.json", "sentence_bert_config.json"):
        shutil.copy(SHIPPED / name, folder)
    (folder / "model.onnx").symlink_to(Path(model).resolve())
    return folder


def measure(benchmark: BenchmarkFixture, work: Callable[..., T], *arguments: Any, rounds: int) -> T:
    """The result of ``work``, timed ``rounds`` times after one round that does not count."""
    result: T = benchmark.pedantic(work, arguments, rounds=rounds, warmup_rounds=1 if rounds > 1 else 0)
    return result


def cosines(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(np.einsum("ij,ij->i", left, right))


def report(benchmark: BenchmarkFixture, texts: list[str]) -> None:
    benchmark.extra_info["texts"] = len(texts)
    if benchmark.stats is not None:  # None when benchmarks are only run for their assertions
        benchmark.extra_info["texts a second"] = len(texts) / benchmark.stats.stats.min


@pytest.mark.benchmark(group="embed 96 chunks")
@pytest.mark.parametrize("cores", ["one core", "all cores"])
def test_int8(benchmark: BenchmarkFixture, texts: list[str], cores: str) -> None:
    embedder = MiniLMEmbedder(threads=1 if cores == "one core" else None)
    vectors = measure(benchmark, embedder.encode, texts, rounds=5)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    report(benchmark, texts)


@pytest.mark.benchmark(group="embed 96 chunks")
@pytest.mark.parametrize("cores", ["one core", "all cores"])
def test_fp32(benchmark: BenchmarkFixture, texts: list[str], fp32_folder: Path, cores: str) -> None:
    """The batches OnnxEmbedder plans; of texts this long, one each: the same batches as the shipped model's."""
    embedder = OnnxEmbedder(fp32_folder, threads=1 if cores == "one core" else None)
    vectors = measure(benchmark, embedder.encode, texts, rounds=3)
    found = cosines(vectors, MiniLMEmbedder().encode(texts))
    assert found.min() > 0.98
    assert found.mean() > 0.99
    benchmark.extra_info["cosine int8 to fp32"] = {"min": float(found.min()), "mean": float(found.mean())}
    report(benchmark, texts)


@pytest.mark.benchmark(group="embed 96 chunks")
@pytest.mark.parametrize("order", ["sorted", "as they come"])
def test_fp32_padded(benchmark: BenchmarkFixture, texts: list[str], fp32_folder: Path, order: str) -> None:
    """Batches of 32 padded to their longest, on one core: what sorting by length saves."""
    model = LoadedModel(read_model_folder(fp32_folder), CPU)
    given = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]

    def embed() -> npt.NDArray[np.float32]:
        ids = [model.tokenize(text) for text in given]
        every = range(len(ids))
        batches = [list(every[at : at + 32]) for at in every[::32]]
        if order == "sorted":
            batches = plan_batches([len(row) for row in ids], 32)
        vectors = np.empty((len(ids), 384), np.float32)
        for batch in batches:
            vectors[batch] = model.run([ids[i] for i in batch])
        return vectors

    vectors = measure(benchmark, embed, rounds=3)
    assert np.allclose(vectors, OnnxEmbedder(fp32_folder).encode(given), atol=1e-4)
    report(benchmark, texts)


@pytest.mark.benchmark(group="one query")
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_query(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, precision: str) -> None:
    shipped = MiniLMEmbedder()
    embedder = shipped if precision == "int8" else OnnxEmbedder(request.getfixturevalue("fp32_folder"))

    def ask() -> list[npt.NDArray[np.float32]]:
        return [encode_query(embedder, query) for query in QUERIES]

    vectors = np.stack(measure(benchmark, ask, rounds=50))
    assert cosines(vectors, shipped.encode(QUERIES)).min() > 0.98
    if benchmark.stats is not None:
        benchmark.extra_info["ms a query"] = benchmark.stats.stats.median / len(QUERIES) * 1e3


@pytest.mark.benchmark(group="int8 against fp32, in turn")
@pytest.mark.parametrize(("what", "least"), [("one core", 1.8), ("all cores", 1.8), ("one query", 2.0)])
def test_ratio(benchmark: BenchmarkFixture, texts: list[str], fp32_folder: Path, what: str, least: float) -> None:
    """The same batches through both, alternating, so that a busy machine slows both."""
    threads = None if what == "all cores" else 1
    given = QUERIES[:1] if what == "one query" else texts
    int8, fp32 = MiniLMEmbedder(threads=threads), OnnxEmbedder(fp32_folder, threads=threads)
    pairs = 50 if what == "one query" else 5
    comparison = measure(
        benchmark, lambda: compare(lambda: int8.encode(given), lambda: fp32.encode(given), pairs=pairs), rounds=1
    )
    assert cosines(int8.encode(given), fp32.encode(given)).min() > 0.98
    benchmark.extra_info.update(comparison.info(len(given)))
    assert comparison.ratio >= least


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("what", ["first query", "import numpy only"])
def test_fresh_process(benchmark: BenchmarkFixture, what: str) -> None:
    """A new interpreter to its first vector; the other row is what Python and numpy take by themselves."""
    code = START if what == "first query" else "import numpy; print(0, 0, 0, 0)"

    def start() -> list[float]:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return [float(number) for number in done.stdout.split()]

    imported, first, second, error = measure(benchmark, start, rounds=7)
    assert error < 1e-4
    benchmark.extra_info["ms"] = {"import": imported, "load and first query": first, "second query": second}


@pytest.mark.benchmark(group="retrieval")
def test_retrieval(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, fp32_folder: Path) -> None:
    folder = request.config.getoption("questions")
    if folder is None:
        pytest.skip("--questions does not name a folder with passages.jsonl.gz and questions.jsonl.gz")

    def lines(name: str) -> list[dict[str, str]]:
        with gzip.open(Path(folder) / name, "rt", encoding="utf-8") as stream:
            return [json.loads(line) for line in stream]

    passages = [line["text"] for line in lines("passages.jsonl.gz")]
    questions = lines("questions.jsonl.gz")
    queries, gold = [line["query"] for line in questions], np.array([int(line["gold_id"]) for line in questions])

    def vectors(embed: Callable[[list[str]], npt.NDArray[np.float32]]) -> dict[str, float]:
        scores = embed(queries) @ embed(passages).T
        rank = (scores > scores[np.arange(len(gold)), gold][:, None]).sum(axis=1)
        recalls = {f"recall@{k}": float((rank < k).mean()) for k in (1, 5, 10)}
        return {**recalls, "MRR": float((1 / (rank + 1)).mean())}

    int8 = measure(benchmark, vectors, MiniLMEmbedder().encode, rounds=1)
    fp32 = vectors(OnnxEmbedder(fp32_folder).encode)
    benchmark.extra_info.update({"int8": int8, "fp32": fp32})
    assert int8["recall@5"] > fp32["recall@5"] - 0.01
