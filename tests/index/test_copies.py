"""Chunks with the same vector: one node of the graph, and each of them found, filtered and deleted by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memvid.errors import ChunkDeletedError, ChunkNotFoundError, IndexFormatError
from memvid.index import IndexManager
from memvid.index.vectors import quantise
from memvid.maintenance import compact, verify
from tests.index.index_support import DIM, SIDE_FILES, Vectors, build, make_vectors
from tests.memory_support import EMBEDDER, all_files, make_texts, open_memory
from tests.memory_support import build as build_memory


def with_copies(count: int, *, of: int, share: float, seed: int = 3) -> tuple[Vectors, np.ndarray]:
    """Vectors of which a share are those of ``of`` earlier ones, and for each row the first with its vector."""
    rng = np.random.default_rng(seed)
    vectors = make_vectors(count)
    first = np.arange(count)
    copies = of + np.flatnonzero(rng.random(count - of) < share)
    first[copies] = rng.integers(0, of, len(copies))
    return vectors[first], first


def same_as_one_by_one(index: IndexManager, vectors: Vectors, queries: Vectors, k: int, wanted: np.ndarray) -> None:
    """Check exact answers against all rows compared one by one."""
    stored = quantise(vectors, "i8").astype(np.float64)
    scores = quantise(queries, "i8").astype(np.float64) @ stored.T / np.linalg.norm(stored, axis=1)
    for i in range(len(queries)):
        ids, found = index.search(queries[i : i + 1], k, exact=True)
        assert set(ids[0].tolist()) <= set(wanted.tolist())
        assert len(set(ids[0].tolist())) == min(k, len(wanted))
        best = np.sort(scores[i][wanted])[::-1][:k]
        assert np.allclose(scores[i][ids[0]] / best, 1, atol=0.02)
        assert all(a < b for a, b, x, y in zip(ids[0], ids[0][1:], found[0], found[0][1:], strict=False) if x == y)


def test_copies_take_eight_bytes_each(tmp_path: Path) -> None:
    vectors, first = with_copies(600, of=40, share=0.5)
    index_file = build(tmp_path, 600, vectors=vectors, keywords=False)
    copies = int((first != np.arange(600)).sum())
    (tmp_path / "without").mkdir()
    alone = build(tmp_path / "without", 600 - copies, vectors=vectors[first == np.arange(600)], keywords=False)
    sizes = [file.with_name(SIDE_FILES[0]).stat().st_size for file in (index_file, alone)]
    assert sizes[0] == sizes[1] + 16 + 8 * copies
    content = json.loads(index_file.read_bytes())
    assert (content["version"], content["copies"], content["vectors"]["count"]) == (5, copies, 600)
    assert "copies" not in json.loads(alone.read_bytes())
    with IndexManager.open(index_file) as index:
        assert (index.count, index.manifest.vectors.copies) == (600, copies)
        index.verify()


def test_a_manifest_that_counts_copies_wrongly_is_refused(tmp_path: Path) -> None:
    from tests.index.test_damaged_files import rewrite_manifest

    vectors, first = with_copies(300, of=40, share=0.5)
    index_file = build(tmp_path, 300, vectors=vectors)
    copies = int((first != np.arange(300)).sum())
    for wrong in (copies - 1, copies + 1, 300, 0, -1, "3"):
        rewrite_manifest(index_file, {"copies": wrong})
        with pytest.raises(IndexFormatError, match="memvid reindex"):
            IndexManager.open(index_file)
    rewrite_manifest(index_file, {"copies": copies})
    IndexManager.open(index_file).close()


@pytest.mark.parametrize("count", [500, 6000])
def test_each_copy_is_found(tmp_path: Path, count: int) -> None:
    vectors, first = with_copies(count, of=count // 10, share=0.4)
    with IndexManager.open(build(tmp_path, count, vectors=vectors, keywords=False)) as index:
        same_as_one_by_one(index, vectors, make_vectors(5, seed=1), 30, np.arange(count))
        for row in range(0, count, count // 20):
            own = np.flatnonzero(first == first[row])
            ids, scores = index.search(vectors[row : row + 1], len(own) + 1)
            assert ids[0][:-1].tolist() == own.tolist()
            assert len(set(scores[0][:-1].tolist())) == 1
            assert [each.tolist() for each in index.copies_of([row])] == [own.tolist()]
            ids, scores = index.search(vectors[row : row + 1], 5, distinct=True)
            assert ids[0][0] == own[0]
            assert (first[ids[0]] == ids[0]).all()
            assert (np.diff(scores[0]) <= 0).all()
            stored, original = index.stored_vectors(row, 1), index.stored_vectors(int(first[row]), 1)
            assert stored is not None
            assert original is not None
            assert (stored == original).all()
        with pytest.raises(ChunkNotFoundError):
            index.copies_of([count])


@pytest.mark.parametrize("count", [500, 6000])
def test_filters_leave_some_copies(tmp_path: Path, count: int) -> None:
    vectors, first = with_copies(count, of=count // 10, share=0.4)
    with IndexManager.open(build(tmp_path, count, vectors=vectors, keywords=False)) as index:
        wanted = index.ids_where({"even": True})
        for row in range(0, count, count // 20):
            own = wanted[first[wanted] == first[row]]
            if len(own):
                ids, _ = index.search(vectors[row : row + 1], len(own), where={"even": True})
                assert ids[0].tolist() == own.tolist()
                ids, _ = index.search(vectors[row : row + 1], 3, where={"even": True}, distinct=True)
                assert ids[0][0] == own[0]
                assert len(set(first[ids[0]].tolist())) == 3


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_copies_of_any_rows(tmp_path: Path, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    first = [0]
    for row in range(1, count):
        first.append(first[data.draw(st.integers(0, row - 1))] if data.draw(st.booleans()) else row)
    vectors = make_vectors(count)[first]
    index_file = build(tmp_path, count, vectors=vectors, batch=data.draw(st.integers(1, 70)), keywords=False)
    with IndexManager.open(index_file) as index:
        index.verify()
        assert index.manifest.vectors.nodes == len(set(first))
        ids, _ = index.search(vectors[:1], count)
        assert sorted(ids[0].tolist()) == list(range(count))
        for row, copies in enumerate(index.copies_of(range(count))):
            assert copies.tolist() == [i for i in range(count) if first[i] == first[row]]
        distinct, _ = index.search(vectors[:1], count, distinct=True)
        assert sorted(distinct[0][distinct[0] >= 0].tolist()) == sorted(set(first))


def test_many_copies_hide_no_others(tmp_path: Path) -> None:
    """Of 3,000 passages and as many copies of one of them each is found by its own vector."""
    vectors = make_vectors(3000, dim=48)
    mixed = np.concatenate([vectors[:1500], np.repeat(vectors[70:71], 3000, axis=0), vectors[1500:]])
    rows = np.concatenate([np.arange(1500), np.arange(4500, 6000)])
    with IndexManager.open(build(tmp_path, 6000, vectors=mixed, keywords=False)) as index:
        found = [index.search(mixed[row : row + 1], 5)[0][0].tolist() for row in rows[::6].tolist()]
        missed = [row for row, ids in zip(rows[::6].tolist(), found, strict=True) if row not in ids]
        assert len(missed) <= 1


@pytest.mark.parametrize("scattered", [True, False])
def test_near_copies_hide_no_others(tmp_path: Path, scattered: bool) -> None:
    """Of 3,000 passages and as many that differ from one of them by little each is found by its own vector."""
    vectors = make_vectors(3000, dim=96)
    near = vectors[70] + 0.3 * make_vectors(3000, dim=96, seed=9)
    mixed = np.asarray(np.concatenate([vectors, near]), np.float32)
    if scattered:
        mixed = mixed[np.random.default_rng(1).permutation(6000)]
    with IndexManager.open(build(tmp_path, 6000, vectors=mixed, keywords=False)) as index:
        ids, _ = index.search(mixed[::6], 5)
        assert (ids == np.arange(0, 6000, 6)[:, None]).any(axis=1).mean() >= 0.999


SAME = "the same words in each"
TEXTS = [SAME, *make_texts(6), SAME, SAME]


class TestMemories:
    def test_deleting_one_keeps_the_others(self, tmp_path: Path) -> None:
        from memvid.maintenance import delete

        video = build_memory(tmp_path, TEXTS)
        delete(video, chunk_ids=[0])
        with open_memory(video) as memory:
            assert [hit.chunk_id for hit in memory.search_results(SAME, 2, distinct=False)] == [7, 8]
            index = memory._index
            assert [each.tolist() for each in index.copies_of([7])] == [[7, 8]]
            with pytest.raises(ChunkDeletedError):
                index.copies_of([0])
        delete(video, chunk_ids=[8])
        with open_memory(video) as memory:
            assert memory.search_results(SAME, 1)[0].chunk_id == 7
        assert verify(video).ok
        compact(video)
        with open_memory(video) as memory:
            assert memory.search_results(SAME, 1)[0].text == TEXTS[0]
        assert verify(video).ok

    def test_an_append_of_the_same_text_is_found_beside_it(self, tmp_path: Path) -> None:
        from memvid import MemvidEncoder

        video = build_memory(tmp_path, TEXTS)
        for _ in range(2):
            with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
                encoder.add_chunks([SAME] * 3)
                encoder.append()
        with open_memory(video) as memory:
            ids = [hit.chunk_id for hit in memory.search_results(SAME, 9, distinct=False)]
            assert ids == [0, 7, 8, *range(9, 15)]
        assert verify(video).ok

    def test_the_same_build_gives_the_same_bytes(self, tmp_path: Path) -> None:
        contents = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            build_memory(tmp_path / name, TEXTS * 20)
            contents.append(all_files(tmp_path / name))
        assert contents[0] == contents[1]


def test_old_indexes_have_no_copies_in_them(tmp_path: Path) -> None:
    """A file in which each row is a node, whatever their vectors are, is one without copies."""
    import_vectors = np.repeat(make_vectors(3), [3, 1, 1], axis=0)
    from tests.index.test_graph import usearch_index

    theirs = usearch_index(DIM, "i8")
    theirs.add(np.arange(5), quantise(import_vectors, "i8"), threads=1)
    index_file = build(tmp_path, 5, vectors=make_vectors(5))
    theirs.save(str(index_file.with_name(SIDE_FILES[0])))
    from tests.index.test_damaged_files import rewrite_manifest

    rewrite_manifest(index_file, {})
    with IndexManager.open(index_file) as index:
        assert index.search(import_vectors[:1], 4)[0].tolist()[0][:3] == [0, 1, 2]
        assert [each.tolist() for each in index.copies_of([1])] == [[1]]
