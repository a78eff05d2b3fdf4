"""Makes indexes for tests."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memvid.config import EncoderConfig
from memvid.index import IndexManager
from memvid.types import JsonObject, ModelInfo, VideoIdentity
from tests.repository import ROOT

DIM = 32
MODEL = ModelInfo("test", DIM, "abc")
VIDEO = VideoIdentity("d" * 64, 12, 3456)
SIDE_FILES = ("memory_index.usearch", "memory_index.records")

Vectors = npt.NDArray[np.float32]


def make_vectors(count: int, *, seed: int = 0, dim: int = DIM) -> Vectors:
    """Unit vectors around a few centres, with a spectrum that falls off like an embedding's."""
    rng = np.random.default_rng(seed)
    spectrum = 1 / np.sqrt(1 + np.arange(dim))
    centres = np.random.default_rng(99).standard_normal((20, dim)) * spectrum
    vectors = centres[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, dim)) * spectrum
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def make_text(i: int) -> str:
    return f"Chunk number{i} speaks of {('apples', 'pears', 'plums')[i % 3]} and of word{i % 50}, at some length."


def make_metadata(i: int) -> JsonObject | None:
    return {"source": f"doc{i // 100}", "page": i % 7, "even": i % 2 == 0} if i % 5 else None


def build(
    folder: Path,
    count: int = 300,
    *,
    vectors: Vectors | None = None,
    texts: list[str] | None = None,
    metadatas: list[JsonObject | None] | None = None,
    batch: int = 128,
    **options: Any,
) -> Path:
    index_file = folder / "memory_index.json"
    vectors = make_vectors(count) if vectors is None else vectors
    texts = [make_text(i) for i in range(count)] if texts is None else texts
    metadatas = [make_metadata(i) for i in range(count)] if metadatas is None else metadatas
    builder = IndexManager.create(
        index_file, model=replace(MODEL, dim=vectors.shape[1]), config=EncoderConfig(**options)
    )
    for start in range(0, count, batch):
        part = slice(start, start + batch)
        builder.add(start, vectors[part])
        builder.add_records(start, texts[part], metadatas[part])
    starts = np.arange(0, count, 10)
    builder.add_pages(2 + 2 * np.arange(len(starts)), starts, np.minimum(10, count - starts))
    builder.stage(VIDEO)
    builder.commit.commit()
    return index_file


def exact(vectors: Vectors, queries: Vectors, k: int) -> npt.NDArray[np.int64]:
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64]) -> float:
    pairs = zip(found.tolist(), expected.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


def environment() -> dict[str, str]:
    """Of a subprocess that imports what this process imports."""
    source = str(Path(sys.modules["memvid"].__file__ or "").parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([source, str(ROOT)])}
