"""Vectors of several segments: what one of them finds too few of does not go missing."""

from __future__ import annotations

import numpy as np
import pytest

from memvid.index.open_file import OpenFile
from memvid.index.segment_vectors import Vectors
from memvid.index.selection import Selection
from memvid.index.vectors import VectorReader
from tests.index.index_support import make_vectors
from tests.index.test_graph import write

COUNT = 2500  # more than are compared with in full


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    parts = []
    for seed in range(2):
        path = tmp_path_factory.mktemp("segment") / "vectors"
        info = write(path, make_vectors(COUNT, seed=seed))
        with path.open("rb") as file:
            parts.append(VectorReader(OpenFile(path, file), path.read_bytes(), info, threads=1))
    return Vectors(parts)


@pytest.mark.parametrize("few", [0, 3, 30])
def test_few_rows_of_a_large_segment_are_found(vectors: Vectors, few: int) -> None:
    queries = make_vectors(5, seed=7)
    rows = np.concatenate([np.arange(few) * 80, np.arange(COUNT, 2 * COUNT)])
    wanted = Selection.of_rows(rows, 2 * COUNT)
    found, scores = vectors.nearest(queries, 40, expansion=400, exact=False, wanted=wanted, distinct=False)
    for i in range(len(queries)):
        expected, best = vectors.exact(queries[i : i + 1], 40, rows)
        assert set(expected[expected < COUNT].tolist()) <= set(found[i].tolist())
        assert len(set(expected.tolist()) & set(found[i].tolist())) >= 39
        assert np.allclose(scores[i], best, atol=0.01)


def test_without_a_filter_all_segments_answer(vectors: Vectors) -> None:
    queries = make_vectors(5, seed=7)
    found, _ = vectors.nearest(queries, 10, expansion=200, exact=False, wanted=None, distinct=False)
    for i in range(len(queries)):
        assert len(set(vectors.exact(queries[i : i + 1], 10)[0].tolist()) & set(found[i].tolist())) >= 9
