"""The nearest of some rows: found whatever these are, wherever they lie, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.index import IndexManager, walk_plan
from memvid.index.segment_vectors import Vectors
from memvid.index.selection import Selection
from memvid.index.vectors import SMALL
from memvid.index.walk_plan import Walk, plan_walk
from tests.index.index_support import build, make_vectors, recall

Mask = npt.NDArray[np.bool_]

FIRST, SECOND = 5000, 3000
ROWS = np.concatenate([make_vectors(FIRST), make_vectors(SECOND, seed=1)])
QUERIES = make_vectors(20, seed=2)
RNG = np.random.default_rng(3)


def around(vector: npt.NDArray[np.float32], share: float) -> Mask:
    """The rows nearest to a vector."""
    scores = ROWS @ vector
    return np.asarray(scores >= np.quantile(scores, 1 - share))


MASKS = {
    "nine of ten": RNG.random(len(ROWS)) < 0.9,
    "every third": np.arange(len(ROWS)) % 3 == 0,
    "one of twenty": RNG.random(len(ROWS)) < 0.05,
    "around the query": around(QUERIES[0], 0.2),
    "far from the query": around(-QUERIES[0], 0.2),
    "all but those around the query": ~around(QUERIES[0], 0.2),
    "two places": around(QUERIES[1], 0.05) | around(-QUERIES[1], 0.05),
    "of one segment": np.arange(len(ROWS)) >= FIRST,
    "few of the other": (np.arange(len(ROWS)) >= FIRST) | (np.arange(len(ROWS)) % 100 == 0),
    "seven": np.isin(np.arange(len(ROWS)), [3, 77, 4000, 4001, 5000, 7000, 7999]),
    "none": np.zeros(len(ROWS), bool),
}


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vectors]:
    """Two segments."""
    folders = [tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")]
    parts = (ROWS[:FIRST], ROWS[FIRST:])
    files = [
        build(folder, len(part), vectors=part, metadatas=[None] * len(part), keywords=False, vector_dtype="f32")
        for folder, part in zip(folders, parts, strict=True)
    ]
    with IndexManager.open(files[0]) as first, IndexManager.open(files[1]) as second:
        yield Vectors([first._vectors.parts[0], second._vectors.parts[0]])


def found_and_best(vectors: Vectors, mask: Mask, k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    wanted = Selection(mask)
    found, scores = vectors.nearest(QUERIES, k, expansion=96, exact=False, wanted=wanted, distinct=False)
    best, best_scores = vectors.nearest(QUERIES, k, expansion=96, exact=True, wanted=wanted, distinct=False)
    left = min(k, wanted.count)
    for rows, its_scores in ((found, scores), (best, best_scores)):
        assert rows.shape == (len(QUERIES), k)
        assert mask[rows[:, :left]].all()
        assert (rows[:, left:] == -1).all()
        assert (np.diff(its_scores[:, :left], axis=1) <= 0).all()
        assert all(len(set(row)) == left for row in rows[:, :left].tolist())
    expected = np.where(mask, QUERIES @ ROWS[: len(mask)].T, -np.inf)
    if left:  # single precision may put two in another order
        assert recall(best[:, :left], np.argsort(-expected, axis=1, kind="stable")[:, :left]) > 0.98
    return found[:, :left], best[:, :left]


@pytest.mark.parametrize("k", [1, 10, 50])
@pytest.mark.parametrize("name", MASKS)
def test_the_nearest_of_some_are_found(vectors: Vectors, monkeypatch: pytest.MonkeyPatch, name: str, k: int) -> None:
    monkeypatch.setattr(walk_plan, "SMALL", 40)
    monkeypatch.setattr(walk_plan, "_SCANNED", 0)  # so that graphs are walked wherever they can be
    found, best = found_and_best(vectors, MASKS[name], k)
    assert best.size == 0 or recall(found, best) >= 0.97
    found, best = found_and_best(Vectors(vectors.parts[:1]), MASKS[name][:FIRST], k)
    assert best.size == 0 or recall(found, best) >= 0.97


@pytest.mark.parametrize("walk", [Walk(40, 10**9, 0), Walk(40, 0, 3072), Walk(40, 100, 3072), Walk(40, 100, 0)])
def test_each_way_finds_what_lies_everywhere_and_what_lies_far(
    vectors: Vectors, monkeypatch: pytest.MonkeyPatch, walk: Walk
) -> None:
    monkeypatch.setattr("memvid.index.segment_vectors.plan_walk", lambda *_, **__: walk)
    for name in ("nine of ten", "every third", "around the query", "all but those around the query"):
        found, best = found_and_best(vectors, MASKS[name], 10)
        assert recall(found, best) >= 0.97, name


def test_ways() -> None:
    million = 1_000_000
    plan = partial(plan_walk, dim=384, expansion=96, filtered=True)
    assert plan_walk(million, million, 10, dim=384, expansion=96, filtered=False) == Walk(96)
    assert plan(million, 900_000, 10) == Walk(87, 290, 512)
    assert plan(million, 100_000, 10) == Walk(48, 1440, 512)
    assert plan(million, 100_000, 50) == Walk(74, 2220, 800)
    assert plan(million, 30_000, 10) == Walk(48, 0, 512)
    for few in (10_000, 6_000, SMALL, 1, 0):
        assert plan(million, few, 10) is None
    assert plan(100_000, 20_000, 10) == Walk(48, 0, 512)
    assert plan(2_200, 2_100, 10) is None
    assert plan_walk(million, 30_000, 10, dim=64, expansion=96, filtered=True) == Walk(48, 0, 3072)
    assert plan_walk(million, million, 300_000, dim=384, expansion=96, filtered=False) is None
    assert plan_walk(3_000, 3_000, 10, dim=384, expansion=10**30, filtered=False) == Walk(3_000)
    assert plan_walk(3_000, 2_999, 10, dim=384, expansion=10**30, filtered=True) is None


@given(total=st.integers(1, 10_000_000), share=st.floats(0, 1), k=st.integers(1, 2000), expansion=st.integers(96, 2000))
def test_what_passes_costs_little_more_than_a_skim_of_it_wherever_it_lies(
    total: int, share: float, k: int, expansion: int
) -> None:
    """Up to 100,000 vectors that is at most ten times a search without a filter."""
    count = int(total * share)
    walk = plan_walk(total, count, k, dim=384, expansion=expansion, filtered=True)
    unfiltered = 12 * max(expansion, k + 24)
    if walk is not None:
        assert walk.through is not None
        assert walk.width >= k + 24
        skim = walk.skimmed + count / 10
        assert walk.through + skim <= 1.25 * skim + 1
        assert total > 100_000 or walk.through + skim <= 10 * unfiltered + 1
    else:  # compared with each
        assert count <= max(16_384, 4 * k, 2 * (max(512, 16 * k) + count / 10))
