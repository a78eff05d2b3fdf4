"""Vectors of any number with the structure of real ones, queries made the same way, and exact answers to them.

A vector is a point between a real MiniLM embedding and one of its 32 nearest neighbours, plus half the difference of
two others (over the root of two), which is noise of the real spectrum, renormalised. ``hardness`` compares them with
held-out real vectors at equal size and settings; noisy copies would be far too hard, random directions meaningless.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid import ModelInfo
from memvid.index import IndexManager
from memvid.types import VideoIdentity

__all__ = ["DIM", "SyntheticVectors", "exact_neighbours", "hardness", "read_rows", "recall", "write_vectors"]

DIM = 384
QUERIES = 500

_ROWS = 10_000
_NEIGHBOURS = 32
_NOISE = 0.5

Matrix = NDArray[np.float32]
Ids = NDArray[np.int64]


class SyntheticVectors:
    """Rows made from ``base``, unit vectors float32[n, 384]; the same base and seed give the same rows."""

    def __init__(self, base: Matrix, *, seed: int = 0) -> None:
        self._base = base
        self._seed = seed
        self._near = _near(base)

    def rows(self, count: int, block: int, *, kind: int = 1) -> Matrix:
        """``count`` unit vectors; ``kind`` 1 are to be stored, 2 are queries."""
        rng = np.random.default_rng([self._seed, kind, block])
        first = rng.integers(0, len(self._base), count)
        second = self._near[first, rng.integers(0, self._near.shape[1], count)]
        weight = rng.uniform(0.3, 0.7, (count, 1)).astype(np.float32)
        mixed = weight * self._base[first] + (1 - weight) * self._base[second]
        plus, minus = rng.integers(0, len(self._base), (2, count))
        mixed += np.float32(_NOISE / np.sqrt(2)) * (self._base[plus] - self._base[minus])
        return _unit(mixed)

    def queries(self, count: int = QUERIES) -> Matrix:
        """Queries, none of them stored."""
        return self.rows(count, 0, kind=2)


def write_vectors(path: Path, source: SyntheticVectors, count: int) -> None:
    """Write ``count`` rows to ``path`` unless it has them: plain float32, 1.5 GB for a million."""
    if path.exists() and path.stat().st_size == count * DIM * 4:
        return
    with path.open("wb") as file:
        for block, start in enumerate(range(0, count, _ROWS)):
            file.write(source.rows(_ROWS, block)[: count - start].tobytes())


def read_rows(path: Path, start: int, count: int) -> Matrix:
    """Some rows, read rather than mapped, so that they do not count as resident."""
    rows: Matrix = np.fromfile(path, np.float32, count * DIM, offset=start * DIM * 4).reshape(-1, DIM)
    return rows


def exact_neighbours(path: Path, count: int, queries: Matrix, k: int = 10) -> Ids:
    """Ids int64[q, k] of the nearest rows by exact comparison in float32, best first."""
    best = np.full((len(queries), 0), 0, np.float32)
    ids = np.zeros((len(queries), 0), np.int64)
    for start in range(0, count, _ROWS):
        scores = queries @ read_rows(path, start, min(_ROWS, count - start)).T
        best = np.concatenate([best, scores], axis=1)
        ids = np.concatenate([ids, np.broadcast_to(np.arange(start, start + scores.shape[1]), scores.shape)], axis=1)
        keep = np.argpartition(-best, min(k, best.shape[1]) - 1, axis=1)[:, :k]
        best, ids = np.take_along_axis(best, keep, 1), np.take_along_axis(ids, keep, 1)
    return np.take_along_axis(ids, np.argsort(-best, axis=1, kind="stable"), 1)


def recall(found: Ids, exact: Ids) -> float:
    """Share of the exact neighbours that were found, rows of equal length."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]))


def hardness(
    work: Path, real: Matrix, expansions: tuple[int, ...] = (16, 32, 64, 96, 128)
) -> dict[str, dict[str, float]]:
    """Recall@10 of held-out real vectors and of as many synthetic ones made from the others, in memvid's own index."""
    held, base = real[: len(real) // 2], real[len(real) // 2 :]
    source = SyntheticVectors(base)
    pairs = {
        "real": (held[QUERIES:], held[:QUERIES]),
        "synthetic": (source.rows(len(held) - QUERIES, 0), source.queries()),
    }
    result = {}
    for name, (stored, queries) in pairs.items():
        similarity = queries @ stored.T
        exact = np.argsort(-similarity, axis=1, kind="stable")[:, :10]
        top = np.take_along_axis(similarity, exact, 1)
        measured = {
            "vectors": float(len(stored)),
            "cosine_1st": float(top[:, 0].mean()),
            "cosine_10th": float(top[:, 9].mean()),
        }
        with _index(work / f"hardness-{name}.json", stored) as index:
            for expansion in expansions:
                found, _ = index.search(queries, 10, expansion=expansion)
                measured[f"recall@10 at {expansion}"] = recall(found, exact)
        result[name] = measured
    return result


def _index(path: Path, vectors: Matrix) -> IndexManager:
    """An index of memvid's over vectors alone, with default options."""
    builder = IndexManager.create(path, model=ModelInfo("made up", DIM))
    builder.add(0, vectors)
    builder.add_records(0, [""] * len(vectors), [None] * len(vectors))
    builder.add_pages([1], [0], [len(vectors)])
    builder.stage(VideoIdentity("0" * 64, 2, 0))
    builder.commit.commit()
    return IndexManager.open(path)


def _near(base: Matrix) -> Ids:
    near = np.empty((len(base), _NEIGHBOURS), np.int64)
    for start in range(0, len(base), 2000):
        scores = base[start : start + 2000] @ base.T
        near[start : start + 2000] = np.argpartition(-scores, _NEIGHBOURS + 1, axis=1)[:, 1 : _NEIGHBOURS + 1]
    return near


def _unit(vectors: Matrix) -> Matrix:
    result: Matrix = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result
