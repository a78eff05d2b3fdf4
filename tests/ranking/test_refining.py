"""Candidates whose texts are embedded again, as far as that decides which are the answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from memvid.errors import FrameError, ResourceLimitError
from memvid.ranking.pool import Stored
from memvid.ranking.refining import REFINED, Refiner, slack

DIM = 64
QUERY = np.eye(1, DIM, dtype=np.float32)[0] * 3  # of any length

Vectors = NDArray[np.float32]


class Memory:
    """Chunks whose texts are their cosines with the query; some cannot be read, or not with others."""

    def __init__(self, cosines: dict[int, float], *, broken: Sequence[int] = (), at_once: int = 1000) -> None:
        self.texts = {chunk: f"{cosine:.4f}" for chunk, cosine in cosines.items()}
        self.broken = set(broken)
        self.at_once = at_once
        self.read_ids: list[int] = []
        self.embedded: list[str] = []

    def read(self, ids: Sequence[int]) -> list[Stored]:
        if not self.broken.isdisjoint(ids):
            raise FrameError("frame 7 cannot be read")
        if len(ids) > self.at_once:
            raise ResourceLimitError("too much")
        self.read_ids += ids
        return [(self.texts[chunk], {}, 0, None) for chunk in ids]

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        cosines = np.array([float(text) for text in texts])
        vectors = np.zeros((len(texts), DIM), np.float32)
        vectors[:, 0], vectors[:, 1] = 2 * cosines, 2 * np.sqrt(1 - cosines**2)
        return vectors


def same(cosines: NDArray[np.float32]) -> NDArray[np.float64]:
    return cosines.astype(np.float64)


def arrays(estimates: dict[int, float]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.array(list(estimates), np.int64), np.array(list(estimates.values()), np.float32)


def test_the_best_are_exact_and_no_more_than_decide() -> None:
    exact = {chunk: 0.9 - chunk / 100 for chunk in range(80)}
    ids, estimates = arrays({chunk: cosine + 0.02 * (-1) ** chunk for chunk, cosine in exact.items()})
    memory = Memory(exact)
    refined = Refiner(memory.read, memory.embed).refine(QUERY, ids, estimates, same, 5)
    assert len(memory.embedded) == 30  # ten at a time, until the next is out of reach of the fifth
    assert refined[:20] == pytest.approx([exact[chunk] for chunk in range(20)], abs=1e-4)
    assert np.array_equal(refined[40:], estimates[40:])
    assert estimates[30] + slack(DIM) < exact[4] < estimates[20] + slack(DIM)


def test_never_more_than_so_many() -> None:
    memory = Memory(dict.fromkeys(range(200), 0.5) | {chunk: 0.5 + chunk / 1e4 for chunk in range(200)})
    ids, estimates = arrays(dict.fromkeys(range(200), 0.5))
    Refiner(memory.read, memory.embed).refine(QUERY, ids, estimates, same, 5)
    assert memory.read_ids == list(range(REFINED))


def test_copies_are_embedded_once_and_are_one_answer() -> None:
    memory = Memory({**dict.fromkeys(range(30), 0.9), **{30 + chunk: 0.4 for chunk in range(2)}, 40: 0.2})
    ids, estimates = arrays({**dict.fromkeys(range(30), 0.9), 30: 0.4, 31: 0.4, 40: 0.2})
    refined = Refiner(memory.read, memory.embed).refine(QUERY, ids, estimates, same, 2)
    assert memory.embedded[:2] == ["0.9000", "0.4000"]
    assert refined[30] == pytest.approx(0.4, abs=1e-4)


def test_what_cannot_be_read_keeps_its_estimate() -> None:
    memory = Memory(dict.fromkeys(range(8), 0.5) | {3: 0.7}, broken=[2, 5], at_once=4)
    ids, estimates = arrays(dict.fromkeys(range(8), 0.55))
    refined = Refiner(memory.read, memory.embed).refine(QUERY, ids, estimates, same, 8)
    assert refined == pytest.approx([0.5, 0.5, 0.55, 0.7, 0.5, 0.55, 0.5, 0.5], abs=1e-4)
    assert sorted(memory.read_ids) == [0, 1, 3, 4, 6, 7]


def test_another_query_makes_use_of_what_was_made() -> None:
    memory = Memory(dict.fromkeys(range(5), 0.5) | {3: 0.6})
    refiner = Refiner(memory.read, memory.embed)
    ids, estimates = arrays(dict.fromkeys(range(5), 0.55))
    refiner.refine(QUERY, ids, estimates, same, 5)
    count = len(memory.embedded)
    refined = refiner.refine(-QUERY, ids, estimates, same, 5)
    assert len(memory.embedded) == count
    assert refined == pytest.approx([-0.5, -0.5, -0.5, -0.6, -0.5], abs=1e-4)
    vectors = refiner.vectors_of([3, 9], np.ones((2, DIM), np.float32))
    assert vectors[0, 0] == pytest.approx(1.2, abs=1e-4)
    assert (vectors[1] == 1).all()
