"""What several benchmarks need: seeded vectors, a built memory, and a way to compare two things in one run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import Corpus
from memvid import BuildResult
from memvid.embedding import HashingEmbedder

__all__ = ["VECTOR_DIM", "Comparison", "Memory", "compare", "make_vectors"]

VECTOR_DIM = 384


def make_vectors(count: int, dim: int = VECTOR_DIM) -> NDArray[np.float32]:
    """Seeded unit vectors with structure: mixtures of a few hundred directions, with noise."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((512, dim), dtype=np.float32)
    mixed = centres[rng.integers(0, 512, count)] + centres[rng.integers(0, 512, count)]
    vectors: NDArray[np.float32] = mixed + rng.standard_normal((count, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@dataclass(frozen=True)
class Memory:
    """A built memory and what it was built from."""

    video: Path
    corpus: Corpus
    result: BuildResult
    embedder: HashingEmbedder


@dataclass(frozen=True)
class Comparison:
    """Times of two ways to do the same, taken in turn, in seconds.

    :ivar ours: of memvid.
    :ivar theirs: of what it is compared with.
    """

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """How many times faster memvid is: the median over the pairs, which a machine's drift cancels from."""
        return statistics.median(b / a for a, b in zip(self.ours, self.theirs, strict=True))

    def info(self, unit: int = 1) -> dict[str, float]:
        """Medians in milliseconds a unit, and the ratio with its spread."""
        ratios = [b / a for a, b in zip(self.ours, self.theirs, strict=True)]
        return {
            "ours_ms": statistics.median(self.ours) / unit * 1e3,
            "theirs_ms": statistics.median(self.theirs) / unit * 1e3,
            "ratio": self.ratio,
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }


def compare(ours: Callable[[], object], theirs: Callable[[], object], *, pairs: int = 7) -> Comparison:
    """Run both in turn, once unmeasured and then ``pairs`` times."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(pairs + 1):
        for which, function in enumerate((ours, theirs)):
            gc.collect()
            begin = time.perf_counter()
            function()
            if turn:
                times[which].append(time.perf_counter() - begin)
    return Comparison(*times)
