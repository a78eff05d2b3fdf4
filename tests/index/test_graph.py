"""The graph that the native core builds: the same bytes however, and as good as the one usearch builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid import _core
from memvid._onnxruntime import import_onnxruntime
from memvid.errors import ConfigError, OutputError
from memvid.index.hnsw_file import HnswFileError, check_links
from memvid.index.manifest import VectorInfo
from memvid.index.vectors import VectorWriter, quantise
from tests.index.index_support import SIDE_FILES, Vectors, build, exact, make_vectors, recall

DTYPES = ["i8", "f16", "f32"]


def usearch_index(dim: int, dtype: str) -> Any:
    """usearch's own index, empty; the oracle."""
    import_onnxruntime()  # first: some of usearch's wheels crash an onnxruntime that is loaded after them
    from usearch.index import Index

    return Index(ndim=dim, metric="cos", dtype=dtype, connectivity=16, expansion_add=128)


def write(path: Path, vectors: Vectors, dtype: str = "i8", *, first_id: int = 0, portion: int = 128) -> VectorInfo:
    """A file of vectors alone, and what is in it."""
    dim = vectors.shape[1]
    writer = VectorWriter(dim=dim, dtype=dtype, connectivity=16, expansion_add=128)
    for start in range(0, len(vectors), portion):
        writer.add(first_id + start, vectors[start : start + portion])
    writer.save(path)
    return VectorInfo(dtype, dim, len(vectors), 16, 128, 96, writer.copies)


def searched(path: Path, info: VectorInfo, queries: Vectors, k: int, expansion: int) -> Any:
    """Rows that the core finds."""
    graph = _core.HnswGraph(path.read_bytes(), count=info.count, dim=info.dim, dtype=info.dtype)
    return graph.nearest(queries, k, expansion=expansion, spare=16)[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_cores_and_portions_do_not_change_the_bytes(tmp_path: Path, dtype: str) -> None:
    vectors = make_vectors(3000, dim=64)
    vectors[1500:] = vectors[70] + 0.3 * make_vectors(1500, dim=64, seed=9)  # near-copies: links are added in the end
    contents = set()
    for threads, batch in ((1, 128), (2, 1), (4, 3000), (3, 999)):
        folder = tmp_path / f"{threads}"
        folder.mkdir()
        build(folder, 3000, vectors=vectors, vector_dtype=dtype, threads=threads, batch=batch, keywords=False)
        contents.add((folder / SIDE_FILES[0]).read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_usearch_reads_it_and_finds_the_same(tmp_path: Path, dtype: str) -> None:
    vectors, queries = make_vectors(6000, dim=50), make_vectors(300, seed=1, dim=50)
    vectors[4000:4100] = vectors[50]  # one node of many rows
    info = write(tmp_path / "file", vectors, dtype, first_id=7)
    assert info.copies == 100
    for how in ("load", "view"):
        theirs = usearch_index(50, dtype)
        getattr(theirs, how)(str(tmp_path / "file"))
        assert len(theirs) == 5900
        assert (theirs.connectivity, theirs.ndim) == (16, 50)
        theirs.expansion_search = 3000  # as good as all, so what is found does not depend on the way
        found = theirs.search(quantise(queries, dtype), 10, threads=1)
        ours = searched(tmp_path / "file", info, queries, 10, 3000) + 7
        # usearch compares with the rounded query, so that near ones change places.
        assert recall(ours, found.keys.astype(np.int64)) > 0.97


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), clusters=st.sampled_from([1, 30, 2000]), in_order=st.booleans())
def test_it_finds_no_less_than_usearch_does_in_its_own(
    tmp_path: Path, dtype: str, seed: int, clusters: int, in_order: bool
) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, 48))
    own = rng.integers(0, clusters, 4000)
    if in_order:  # chunks of one document come together
        own = np.sort(own)
    vectors = np.asarray(centres[own] + 0.4 * rng.standard_normal((4000, 48)), np.float32)
    queries = np.asarray(centres[rng.integers(0, clusters, 1000)] + 0.4 * rng.standard_normal((1000, 48)), np.float32)
    info = write(tmp_path / "ours", vectors, dtype)
    theirs = usearch_index(48, dtype)
    theirs.add(np.arange(4000), quantise(vectors, dtype), threads=1)
    theirs.save(str(tmp_path / "theirs"))
    stored = quantise(vectors, dtype).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    expected = exact(stored, queries, 10)
    for expansion in (16, 64):
        good = recall(searched(tmp_path / "ours", info, queries, 10, expansion), expected)
        usual = recall(searched(tmp_path / "theirs", info, queries, 10, expansion), expected)
        assert good >= usual - 0.01


def test_a_file_is_checked_in_full(tmp_path: Path) -> None:
    vectors = make_vectors(500)
    vectors[[100, 200, 300]] = vectors[[5, 5, 6]]
    info = write(tmp_path / "file", vectors)
    data = bytearray((tmp_path / "file").read_bytes())
    ids = np.arange(500)
    check_links(memoryview(data), info, ids)
    with pytest.raises(HnswFileError, match="key"):
        check_links(memoryview(data), info, ids + 1)
    rows, nodes = len(data) - 24, len(data) - 12
    for at, number, says in (
        (rows, 101, "key"),  # then row 100 would be a node
        (rows, 200, "copy of an earlier"),
        (rows + 8, 500, "copy of an earlier"),
        (nodes, 100, "copy of an earlier"),
        (rows - 8, 4, "copies"),
        (rows - 16, 0, "copies"),
    ):
        changed = bytearray(data)
        changed[at : at + 4] = int(number).to_bytes(4, "little")
        with pytest.raises(HnswFileError, match=says):
            check_links(memoryview(changed), info, ids)


def test_what_cannot_be_built_is_refused(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"dim": 0}, {"connectivity": 1}, {"dtype": "f64"}, {"instructions": "sse9"}]
    for options in wrong:
        with pytest.raises(ConfigError):
            _core.GraphBuilder(**{"dim": 8, "dtype": "i8", "connectivity": 16, "expansion": 64, **options})
    graph = _core.GraphBuilder(8, dtype="i8", connectivity=16, expansion=64)
    for vectors in (np.zeros((3, 7), np.int8), np.zeros((3, 8), np.float32), np.zeros(8, np.int8),
                    np.zeros((8, 16), np.int8)[:, ::2]):  # fmt: skip
        with pytest.raises(ConfigError, match="shape or dtype"):
            graph.add(0, vectors)
    graph.add(0, np.eye(8, dtype=np.int8))
    with pytest.raises(OutputError):
        graph.save(tmp_path / "no folder" / "file")
