from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid._onnxruntime import import_onnxruntime
from memvid.errors import (
    ChunkNotFoundError,
    ClosedError,
    EmbeddingError,
    IndexMismatchError,
    IndexNotFoundError,
    MetadataError,
    ModelMismatchError,
    OutputError,
    QueryError,
)
from memvid.index import IndexManager
from memvid.index.vectors import quantise
from memvid.storage.commit import Commit
from tests.index.index_support import (
    DIM,
    MODEL,
    SIDE_FILES,
    VIDEO,
    build,
    environment,
    exact,
    make_metadata,
    make_text,
    make_vectors,
    recall,
)

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.types import JsonObject


# --- search


@pytest.mark.parametrize(("dtype", "least"), [("i8", 0.97), ("f16", 0.995), ("f32", 0.995)])
def test_recall_against_exact_search(tmp_path: Path, dtype: str, least: float) -> None:
    vectors, queries = make_vectors(4000, dim=64), make_vectors(100, seed=1, dim=64)
    expected = exact(vectors, queries, 10)
    with IndexManager.open(build(tmp_path, 4000, vectors=vectors, vector_dtype=dtype, keywords=False)) as index:
        ids, scores = index.search(queries, 10)
        assert ids.dtype == np.int64
        assert scores.dtype == np.float32
        assert recall(ids, expected) >= least
        assert recall(index.search(queries, 10, exact=True)[0], expected) >= least
        true = np.take_along_axis(queries @ vectors.T, ids, axis=1)
        assert np.abs(scores - true).max() < {"i8": 6e-3, "f16": 1e-3, "f32": 1e-6}[dtype]
        assert (np.diff(scores, axis=1) <= 0).all()


def test_the_length_of_vectors_does_not_matter(tmp_path: Path) -> None:
    vectors, queries = make_vectors(300), make_vectors(5, seed=1)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lengths = np.geomspace(1e-30, 1e30, 300, dtype=np.float32)[:, None]
    with IndexManager.open(build(tmp_path / "a", vectors=vectors)) as plain:
        ids, scores = plain.search(queries, 7)
    with IndexManager.open(build(tmp_path / "b", vectors=vectors * lengths)) as scaled:
        other_ids, other_scores = scaled.search(queries * np.float32(1e-20), 7)
    assert (ids == other_ids).all()
    assert np.allclose(scores, other_scores, atol=1e-5)


@pytest.mark.parametrize("count", [300, 5000])
def test_equal_vectors_come_in_the_order_of_their_ids(tmp_path: Path, count: int) -> None:
    vectors = make_vectors(count)
    vectors[[7, 50, 120, 121, 299]] = vectors[7]
    with IndexManager.open(build(tmp_path, count, vectors=vectors, keywords=False)) as index:
        for exactly in (True, False):
            ids, scores = index.search(vectors[7:8], 5, exact=exactly)
            assert ids.tolist() == [[7, 50, 120, 121, 299]]
            assert len(set(scores[0].tolist())) == 1


def test_k_larger_than_the_memory_returns_all(tmp_path: Path) -> None:
    with IndexManager.open(build(tmp_path, 40)) as index:
        ids, scores = index.search(make_vectors(2, seed=1), 10**9)
        assert ids.shape == scores.shape == (2, 40)
        assert sorted(ids[0].tolist()) == list(range(40))


def test_one_chunk_and_a_zero_vector(tmp_path: Path) -> None:
    with IndexManager.open(build(tmp_path, 1, vectors=np.zeros((1, DIM), np.float32))) as index:
        ids, scores = index.search(make_vectors(1), 3)
        assert ids.tolist() == [[0]]
        assert scores.tolist() == [[0.0]]
        assert index.search(np.zeros((0, DIM), np.float32), 3)[0].shape == (0, 1)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((2, DIM + 1), np.float32),
        np.zeros(DIM, np.float32),
        np.zeros((2, DIM), np.int64),
        np.full((2, DIM), np.nan, np.float32),
        np.full((2, DIM), np.inf, np.float32),
        [["a"]],
    ],
)
def test_bad_vectors_are_refused(tmp_path: Path, vectors: Any) -> None:
    with IndexManager.open(build(tmp_path, 20)) as index, pytest.raises(EmbeddingError):
        index.search(vectors, 3)
    builder = IndexManager.create(tmp_path / "memory_index.json", model=MODEL)
    with pytest.raises(EmbeddingError):
        builder.add(0, vectors)
    builder.abort()


@pytest.mark.parametrize("k", [0, -1, True, 2.0, "5", None])
def test_bad_k_is_refused(tmp_path: Path, k: Any) -> None:
    with IndexManager.open(build(tmp_path, 20)) as index:
        with pytest.raises(QueryError, match="at least 1"):
            index.search(make_vectors(1), k)
        with pytest.raises(QueryError, match="at least 1"):
            index.keyword_search("pears", k)


def test_expansion_buys_recall(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((3100, 64), dtype=np.float32)  # without clusters, the hardest there is
    vectors, queries = noise[:3000], noise[3000:]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = exact(vectors, queries, 10)
    with IndexManager.open(build(tmp_path, 3000, vectors=vectors, keywords=False)) as index:
        low, high = (recall(index.search(queries, 10, expansion=e)[0], expected) for e in (1, 400))
    assert low < 0.9
    assert high > 0.95


def test_expansion_has_no_upper_limit(large: Path) -> None:
    queries = make_vectors(2, seed=1)
    with IndexManager.open(large) as index:
        all_seen = index.search(queries, 5, expansion=10**30)
        assert all_seen[0].tolist() == index.search(queries, 5, expansion=5000)[0].tolist()


def test_many_threads_get_the_answers_one_gets(large: Path) -> None:
    queries = make_vectors(40, seed=4)
    with IndexManager.open(large) as index:
        expected = [index.search(queries[i : i + 1], 5) for i in range(40)]
        words = [index.keyword_search(f"word{i} plums", 5)[0].tolist() for i in range(40)]
        wrong: list[int] = []

        def work() -> None:
            for i in range(40):
                ids, scores = index.search(queries[i : i + 1], 5)
                same = (ids == expected[i][0]).all() and (scores == expected[i][1]).all()
                if not same or index.keyword_search(f"word{i} plums", 5)[0].tolist() != words[i]:
                    wrong.append(i)

        threads = [threading.Thread(target=work) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_closing_while_others_search(large: Path) -> None:
    index = IndexManager.open(large)
    started, unexpected = threading.Event(), []

    def work() -> None:
        try:
            while True:
                index.search(make_vectors(1), 5)
                started.set()
        except ClosedError:
            pass
        except Exception as error:
            unexpected.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(30)
    index.close()
    for thread in threads:
        thread.join()
    assert unexpected == []


def test_after_close_everything_raises(tmp_path: Path) -> None:
    index = IndexManager.open(build(tmp_path, 20))
    index.close()
    index.close()
    for call in (
        lambda: index.search(make_vectors(1), 1),
        lambda: index.keyword_search("a", 1),
        lambda: index.ids_having("page", [1]),
        lambda: index.frames_of([0]),
        lambda: index.ids_where({"page": 1}),
        index.verify,
    ):
        with pytest.raises(ClosedError):
            call()


def test_searching_never_imports_usearch(large: Path) -> None:
    script = (
        "import sys, numpy as np; from memvid.index import IndexManager\n"
        f"with IndexManager.open({str(large)!r}) as index: index.search(np.ones((1, {DIM}), np.float32), 3)\n"
        "assert not {'usearch', 'onnxruntime', 'numkong', 'simsimd'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=environment())


@pytest.mark.parametrize("dtype", ["i8", "f16", "f32"])
def test_the_walk_finds_what_usearch_finds(tmp_path: Path, dtype: str) -> None:
    import_onnxruntime()
    from usearch.index import Index

    vectors, queries = make_vectors(6000, dim=50), make_vectors(200, seed=1, dim=50)
    index_file = build(tmp_path, 6000, vectors=vectors, vector_dtype=dtype, keywords=False)
    graph: Any = Index(ndim=50, metric="cos", dtype=dtype, connectivity=16)
    graph.view(str(index_file.with_name(SIDE_FILES[0])))
    expected = exact(vectors, queries, 10)
    for expansion in (16, 64):
        graph.expansion_search = expansion
        theirs = graph.search(quantise(queries, dtype), 10, threads=1).keys.astype(np.int64)
        with IndexManager.open(index_file) as index:
            ours, _ = index.search(queries, 10, expansion=expansion)
        assert recall(ours, expected) >= recall(theirs, expected) - 0.005
    assert recall(ours, theirs) > 0.9


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 20), k=st.integers(1, 30), expansion=st.integers(1, 300), seed=st.integers(0, 99))
def test_a_batch_is_its_queries_one_by_one(large: Path, count: int, k: int, expansion: int, seed: int) -> None:
    queries = make_vectors(count, seed=seed)
    with IndexManager.open(large) as index:
        ids, scores = index.search(queries, k, expansion=expansion)
        for i in range(count):
            one_ids, one_scores = index.search(queries[i : i + 1], k, expansion=expansion)
            assert ids[i].tolist() == one_ids[0].tolist()
            assert scores[i].tolist() == one_scores[0].tolist()


# --- filters, metadata, frames


def passes(metadata: JsonObject | None, where: JsonObject) -> bool:
    def same(a: Any, b: Any) -> bool:
        return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)

    return metadata is not None and all(
        name in metadata and any(same(metadata[name], v) for v in (want if isinstance(want, list) else [want]))
        for name, want in where.items()
    )


@pytest.mark.parametrize(
    "where",
    [
        {"source": "doc1"},
        {"page": 3},
        {"page": 3.0},
        {"page": [1, 2, 3, 4, 5, 6]},
        {"even": True},
        {"even": 1},
        {"source": ["doc1", "doc40"], "page": [1, 5], "even": False},
        {"source": "nothing"},
    ],
)
def test_filters_against_a_plain_loop(large: Path, where: JsonObject) -> None:
    expected = [i for i in range(5000) if passes(make_metadata(i), where)]
    queries = make_vectors(10, seed=5)
    with IndexManager.open(large) as index:
        assert index.ids_where(where).tolist() == expected
        ids, scores = index.search(queries, 10, where=where)
        if not expected:
            assert (ids == -1).all()
            assert np.isneginf(scores).all()
            return
        found = min(10, len(expected))
        oracle = np.array(expected)[exact(make_vectors(5000)[expected], queries, found)]
        assert recall(ids[:, :found], oracle) > 0.9
        assert set(ids[ids >= 0].tolist()) <= set(expected)
        assert (ids[:, found:] == -1).all()


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, 1.0, 1e300]),
    st.text(max_size=3),
    st.text(min_size=80, max_size=90),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(SCALARS, min_size=1, max_size=12), where=st.lists(SCALARS, min_size=1, max_size=3))
def test_any_scalar_can_be_filtered_by(tmp_path: Path, values: list[Any], where: list[Any]) -> None:
    metadatas: list[JsonObject | None] = [{"key": value, "nested": {"a": 1}} for value in values]
    index_file = build(tmp_path, len(values), metadatas=metadatas)
    with IndexManager.open(index_file) as index:
        for wanted in (where, values[:1]):
            expected = [i for i, m in enumerate(metadatas) if passes(m, {"key": wanted})]
            assert index.ids_where({"key": wanted}).tolist() == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "expected a dict"),
        ("page", "expected a dict"),
        ({"page": {"$gte": [1]}}, "expected a string"),
        ({"page": {"$gtt": 1}}, "did you mean '\\$gt"),
        ({"page": []}, "expected a string"),
        ({"page": [[1]]}, "expected a string"),
        ({"page": float("nan")}, "expected a string"),
        ({1: 1}, "expected a string"),
    ],
)
def test_bad_filters_are_refused(tmp_path: Path, where: Any, message: str) -> None:
    with IndexManager.open(build(tmp_path, 20)) as index:
        for call in (lambda: index.ids_where(where), lambda: index.search(make_vectors(1), 1, where=where)):
            with pytest.raises(QueryError, match=message):
                call()


def test_metadata_that_is_not_json_is_refused(tmp_path: Path) -> None:
    builder = IndexManager.create(tmp_path / "memory_index.json", model=MODEL)
    bad: list[Any] = [{"a": float("nan")}, {"a": object()}, {"a": "\ud800"}]
    for first_id, metadata in enumerate(bad):
        with pytest.raises(MetadataError, match=f"chunk {first_id}"):
            builder.add_records(first_id, ["text"], [metadata])
    builder.abort()
    assert list(tmp_path.iterdir()) == []


def test_frames_of_chunks(tmp_path: Path) -> None:
    with IndexManager.open(build(tmp_path, 45)) as index:
        assert index.frames_of([0, 9, 10, 44, 10]).tolist() == [2, 2, 4, 10, 4]
        for bad in (45, -1):
            with pytest.raises(ChunkNotFoundError, match=str(bad)):
                index.frames_of([0, bad])


@pytest.mark.parametrize("count", [300, 2600])
def test_ids_may_have_gaps(tmp_path: Path, count: int) -> None:
    vectors = make_vectors(count)
    ids = np.arange(count) * 2 + 5
    ids[count // 2 :] += 1000
    builder = IndexManager.create(tmp_path / "memory_index.json", model=MODEL)
    for i, chunk_id in enumerate(ids.tolist()):
        builder.add(chunk_id, vectors[i : i + 1])
        builder.add_records(chunk_id, [f"text word{i}"], [{"n": i // 2}])
    builder.add_pages([1, 3], ids[[0, count // 2]], [count // 2, count - count // 2])
    builder.stage(VIDEO)
    builder.commit.commit()
    with IndexManager.open(tmp_path / "memory_index.json") as index:
        found = index.search(vectors[:50], 1)[0]
        assert found[:, 0].tolist() == ids[:50].tolist()
        assert index.keyword_search(f"word{count - 1}", 5)[0].tolist() == [ids[-1]]
        assert index.ids_where({"n": 1}).tolist() == ids[2:4].tolist()
        assert index.frames_of(ids[[0, -1]]).tolist() == [1, 3]
        assert index.ids_having("n", [(count - 1) // 2])[-1] == ids[-1]
        for gap in (4, 6, int(ids[-1]) + 1):
            with pytest.raises(ChunkNotFoundError):
                index.frames_of([gap])
        index.verify()


# --- building


def test_batches_do_not_change_the_bytes(tmp_path: Path) -> None:
    contents = []
    for batch in (1, 7, 1000):
        folder = tmp_path / str(batch)
        folder.mkdir()
        index_file = build(folder, 150, batch=batch)
        contents.append([(p.name, p.read_bytes()) for p in sorted(index_file.parent.iterdir())])
    assert [name for name, _ in contents[0]] == sorted(["memory_index.json", *SIDE_FILES])
    assert contents[0] == contents[1] == contents[2]


def test_processes_with_other_heaps_write_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for noise in ("1", "170"):
        folder = tmp_path / noise
        folder.mkdir()
        script = (
            f"from pathlib import Path; from tests.index.index_support import build; build(Path({str(folder)!r}), 2500)"
        )
        variables = {**environment(), "MALLOC_PERTURB_": noise, "PYTHONHASHSEED": noise}
        subprocess.run([sys.executable, "-c", script], check=True, env=variables)
        contents.append([p.read_bytes() for p in sorted(folder.iterdir())])
    assert contents[0] == contents[1]


def test_no_index_file_holds_a_chunk_text(tmp_path: Path) -> None:
    index_file = build(tmp_path, 200)
    for file in index_file.parent.iterdir():
        data = file.read_bytes().lower()
        for i in range(200):
            text = make_text(i).lower().encode()
            assert text not in data
            assert all(text[at : at + 16] not in data for at in range(0, len(text) - 16, 4))


def test_the_manifest_is_readable(tmp_path: Path) -> None:
    index_file = build(tmp_path, 30)
    content = json.loads(index_file.read_bytes())
    assert content["video"] == {"digest": VIDEO.digest, "frames": 12, "bytes": 3456}
    assert content["model"] == {"name": "test", "dim": DIM, "digest": "abc"}
    assert {entry["name"] for entry in content["files"].values()} == set(SIDE_FILES)
    with IndexManager.open(index_file, video=VIDEO, model=MODEL) as index:
        assert (index.count, len(index), index.dim, index.model) == (30, 30, DIM, MODEL)
        assert index.manifest.video == VIDEO
        assert index.nbytes == sum(p.stat().st_size for p in tmp_path.iterdir())
        assert "30 chunks" in repr(index)


def test_an_index_of_nothing_is_a_manifest_alone(tmp_path: Path) -> None:
    index_file = tmp_path / "memory_index.json"
    builder = IndexManager.create(index_file, model=MODEL)
    assert [path.name for path in builder.stage(VIDEO)] == ["memory_index.json.new"]
    builder.commit.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["memory_index.json"]
    content = json.loads(index_file.read_bytes())
    assert (content["version"], content["vectors"]["count"], "files" in content) == (5, 0, False)
    with IndexManager.open(index_file, video=VIDEO, model=MODEL) as index:
        assert (index.count, index.ids.tolist(), index.search(make_vectors(2), 3)[0].shape) == (0, [], (2, 0))
        assert index.keyword_search("any words", 3)[0].tolist() == []
        assert index.ids_where({"any": 1}).tolist() == []
        index.verify()


def test_an_uneven_build_is_refused_and_the_old_index_stays(tmp_path: Path) -> None:
    index_file = build(tmp_path, 30)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    builder = IndexManager.create(index_file, model=MODEL)
    builder.add(0, make_vectors(2))
    with pytest.raises(EmbeddingError, match="must rise"):
        builder.add(1, make_vectors(2))
    with pytest.raises(EmbeddingError, match="1 metadatas for 2 texts"):
        builder.add_records(0, ["a", "b"], [None])
    builder.add_records(0, ["a"], [None])
    with pytest.raises(EmbeddingError, match="2 vectors for 1 texts"):
        builder.stage(VIDEO)
    builder.abort()
    builder.abort()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_nothing_counts_before_the_commit(tmp_path: Path) -> None:
    index_file = build(tmp_path, 30)
    commit = Commit(index_file)
    builder = IndexManager.create(index_file, model=MODEL, commit=commit)
    assert builder.commit is commit
    builder.add(0, make_vectors(1))
    builder.add_records(0, ["new"], [None])
    builder.add_pages([1], [0], [1])
    staged = builder.stage(VIDEO)
    assert sorted(p.name for p in staged) == sorted(f"{n}.new" for n in ("memory_index.json", *SIDE_FILES))
    with IndexManager.open(index_file) as index:
        assert len(index) == 30
    commit.commit()
    with IndexManager.open(index_file) as index:
        assert len(index) == 1


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create the folder"):
        IndexManager.create(tmp_path / "nowhere" / "memory_index.json", model=MODEL)


# --- the wrong files


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match=r"nothing\.json.*memvid reindex"):
        IndexManager.open(tmp_path / "nothing.json")


def test_another_video_or_model_is_refused(tmp_path: Path) -> None:
    index_file = build(tmp_path, 30)
    with pytest.raises(IndexMismatchError, match="memvid reindex"):
        IndexManager.open(index_file, video=replace(VIDEO, digest="e" * 64))
    IndexManager.open(index_file, video=replace(VIDEO, bytes=1)).close()  # the same frames in another file
    for other in (replace(MODEL, name="x"), replace(MODEL, dim=1), replace(MODEL, digest="x")):
        with pytest.raises(ModelMismatchError, match="memvid reindex"):
            IndexManager.open(index_file, model=other)
    IndexManager.open(index_file, model=replace(MODEL, digest=None)).close()


def test_giving_up_waits_for_what_another_thread_is_adding(tmp_path: Path) -> None:
    builder = IndexManager.create(tmp_path / "memory_index.json", model=MODEL)
    adding, ended = threading.Event(), threading.Event()

    def texts() -> list[str]:
        adding.set()
        return ["a text of some words"] * 20_000

    def add() -> None:
        builder.add_records(0, texts(), [None] * 20_000)
        ended.set()

    thread = threading.Thread(target=add)
    thread.start()
    adding.wait()
    lock = builder._records._lock
    while not ended.is_set() and lock.acquire(blocking=False):
        lock.release()  # until the thread has it
    builder.abort()
    thread.join()
    assert ended.is_set()
    with pytest.raises(EmbeddingError, match="staged or aborted"):
        builder.add_records(20_000, ["late"], [None])
