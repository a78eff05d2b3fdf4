"""Indexes whose vectors are codes: what they find, what they keep, and what becomes of files that are damaged."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import _core
from memvid.errors import IndexFormatError, MemvidError
from memvid.index import IndexManager
from memvid.index.vectors import VectorWriter, quantise
from tests.index.index_support import VIDEO, build, exact, make_vectors, recall
from tests.index.test_damaged_files import damaged, rewrite_manifest

DTYPES = {"small": "code4", "tiny": "code1"}
PROFILES = list(DTYPES)


@pytest.mark.parametrize(("profile", "least"), [("small", 0.85), ("tiny", 0.35)])
def test_what_a_search_finds(tmp_path: Path, profile: str, least: float) -> None:
    vectors, queries = make_vectors(5000, dim=128), make_vectors(60, seed=5, dim=128)
    index_file = build(tmp_path, 5000, vectors=vectors, keywords=False, profile=profile)
    with IndexManager.open(index_file) as index:
        found, scores = index.search(queries, 10)
        assert recall(found, exact(vectors, queries, 10)) > least
        compared, _ = index.search(queries, 10, exact=True)
        assert recall(found, compared) > 0.97
        cosines = np.einsum("qkd,qd->qk", vectors[found], queries)
        assert np.abs(scores - cosines).mean() < {"small": 0.01, "tiny": 0.1}[profile]
        assert (np.diff(scores, axis=1) <= 0).all()
        some = found[0]
        assert index.scores_of(queries[0], some) == pytest.approx(scores[0], abs=1e-6)
        own, _ = index.search(vectors[:200], 1)
        assert (own[:, 0] == np.arange(200)).mean() > {"small": 0.99, "tiny": 0.95}[profile]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("modulus", [2, 7, 400])
def test_filters_go_before_the_search(tmp_path: Path, profile: str, modulus: int) -> None:
    vectors, queries = make_vectors(3000, dim=64), make_vectors(20, seed=5, dim=64)
    metadatas: list[Any] = [{"n": number % modulus} for number in range(3000)]
    index_file = build(tmp_path, 3000, vectors=vectors, metadatas=metadatas, keywords=False, profile=profile)
    with IndexManager.open(index_file) as index:
        found, _ = index.search(queries, 5, where={"n": 1})
        assert (found % modulus == 1).all()
        compared, _ = index.search(queries, 5, where={"n": 1}, exact=True)
        assert recall(found, compared) > 0.97


@pytest.mark.parametrize("profile", PROFILES)
def test_copies_share_a_code(tmp_path: Path, profile: str) -> None:
    vectors = make_vectors(400, dim=64)
    vectors[100:150] = vectors[7]
    with IndexManager.open(build(tmp_path, 400, vectors=vectors, profile=profile)) as index:
        assert index.copies_of([120])[0].tolist() == [7, *range(100, 150)]
        assert set(index.search(vectors[7:8], 51)[0][0].tolist()) == {7, *range(100, 150)}
        distinct = index.search(vectors[7:8], 60, distinct=True)[0][0]
        assert distinct[0] == 7
        assert not set(distinct.tolist()) & set(range(100, 150))


@pytest.mark.parametrize(("profile", "dtype"), DTYPES.items())
def test_what_is_kept_is_what_was_put_in(tmp_path: Path, profile: str, dtype: str) -> None:
    vectors = make_vectors(300, dim=100)
    index_file = build(tmp_path, 300, vectors=vectors, profile=profile)
    alone = []
    for number in range(0, 300, 50):
        writer = _core.GraphBuilder(100, dtype=dtype, connectivity=4, expansion=16)
        writer.add(0, quantise(vectors[number : number + 1], dtype))
        writer.save(tmp_path / "one")
        graph = _core.HnswGraph((tmp_path / "one").read_bytes(), count=1, dim=100, dtype=dtype)
        alone.append(graph.stored(np.array([0])).tobytes())
    with IndexManager.open(index_file) as index:
        for number, code in zip(range(0, 300, 50), alone, strict=True):
            kept = index.kept_codes(number, 1)
            assert kept is not None
            assert kept[1].tobytes() == code
        there, rows = index.kept_codes(298, 4) or (None, None)
        assert there is not None
        assert rows is not None
        assert there.tolist() == [True, True, False, False]
        assert index.kept_codes(300, 5) is None
        decoded = index.vectors_of(np.arange(300))
        cosines = np.einsum("nd,nd->n", decoded, vectors) / np.linalg.norm(decoded, axis=1)
        assert cosines.min() > {"small": 0.985, "tiny": 0.7}[profile]
        again = VectorWriter(dim=100, dtype=dtype, connectivity=16, expansion_add=128, threads=1)
        again.add(0, np.zeros((300, 100), np.float32), index.kept_codes(0, 300))
        again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == index_file.with_name("memory_index.codes").read_bytes()


def test_links_are_those_of_the_codes(tmp_path: Path) -> None:
    """The links that are packed are those that usearch's file of the same vectors has."""
    vectors = quantise(make_vectors(700, dim=64), "code4")
    codes = _core.GraphBuilder(64, dtype="code4", connectivity=6, expansion=40)
    codes.add(0, vectors)
    codes.save(tmp_path / "codes")
    packed = _core.HnswGraph((tmp_path / "codes").read_bytes(), count=700, dim=64, dtype="code4")
    components = np.empty((700, 64), np.int8)
    halves = packed.stored(np.arange(700))[:, 4:]
    components[:, :32], components[:, 32:] = (
        2 * (halves & 15).astype(np.int8) - 15,
        2 * (halves >> 4).astype(np.int8) - 15,
    )
    plain = _core.GraphBuilder(64, dtype="i8", connectivity=6, expansion=40)
    plain.add(0, components)
    plain.save(tmp_path / "plain")
    other = _core.HnswGraph((tmp_path / "plain").read_bytes(), count=700, dim=64, dtype="i8")
    for node in range(700):
        pairs = zip(packed.links_of(node), other.links_of(node), strict=True)
        assert all(np.array_equal(own, theirs) for own, theirs in pairs)


@pytest.mark.parametrize("profile", PROFILES)
def test_any_damage_is_a_typed_error(tmp_path: Path, profile: str) -> None:
    index_file = build(tmp_path, 120, profile=profile)
    file = index_file.with_name("memory_index.codes")
    for data in damaged(file.read_bytes(), 60):
        file.write_bytes(data)
        with pytest.raises(IndexFormatError, match=r"memory_index\.codes.*memvid reindex"):
            IndexManager.open(index_file, video=VIDEO)


@pytest.mark.parametrize("profile", PROFILES)
def test_crafted_files_are_refused_or_searched(tmp_path: Path, profile: str) -> None:
    index_file = build(tmp_path, 150, keywords=False, profile=profile)
    file = index_file.with_name("memory_index.codes")
    sound = file.read_bytes()
    chooser = random.Random(3)
    queries = make_vectors(2, seed=8)
    refused = 0
    for _ in range(150):
        data = bytearray(sound)
        for _ in range(chooser.randrange(1, 4)):
            start = chooser.choice((0, 24, 128, len(data) // 2))
            data[chooser.randrange(start, len(data))] = chooser.randrange(256)
        file.write_bytes(data)
        rewrite_manifest(index_file, {})
        try:
            with IndexManager.open(index_file) as index:
                ids, scores = index.search(queries, 5)
                assert ((ids >= 0) & (ids < 150)).all()
                assert np.isfinite(scores).all()
                index.verify()
        except MemvidError as error:
            assert isinstance(error, IndexFormatError)  # noqa: PT017  # it may be either
            refused += 1
    assert refused


def test_a_manifest_that_names_another_kind_is_refused(tmp_path: Path) -> None:
    index_file = build(tmp_path, 150, profile="small")
    vectors = {
        "connectivity": 16,
        "count": 150,
        "dim": 32,
        "expansion_add": 128,
        "expansion_search": 96,
        "metric": "cos",
    }
    rewrite_manifest(index_file, {"vectors": {**vectors, "dtype": "code1"}})
    with pytest.raises(IndexFormatError, match=r"memory_index\.codes is damaged: .*codes of this kind"):
        IndexManager.open(index_file)
    rewrite_manifest(index_file, {"vectors": {**vectors, "dtype": "i8"}, "version": 5})
    with pytest.raises(IndexFormatError, match=r"memory_index\.codes is damaged"):
        IndexManager.open(index_file)
    rewrite_manifest(index_file, {"vectors": {**vectors, "dtype": "code2"}, "version": 5})
    with pytest.raises(IndexFormatError, match="dtype 'code2' is not one of"):
        IndexManager.open(index_file)
