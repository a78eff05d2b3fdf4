"""Words of old indexes are ranked as those of new ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memvid.index import IndexManager
from memvid.index.selection import Selection
from tests.index.index_support import build
from tests.index.sqlite.old_index import build_old


def test_old_and_new_indexes_rank_alike(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    rng = np.random.default_rng(5)
    texts = [" ".join(f"w{n}" for n in rng.geometric(0.02, rng.integers(1, 40))) for _ in range(900)]
    within = Selection(np.arange(900) % 3 > 0)
    with (
        IndexManager.open(build_old(tmp_path / "old", 900, texts=texts)) as old,
        IndexManager.open(build(tmp_path / "new", 900, texts=texts)) as new,
    ):
        a, b = old.need_words(), new.need_words()
        for terms in (["w1"], ["w1", "w2", "w150", "none"], [f"w{n}" for n in range(1, 15)], ["none"], []):
            assert [a.frequency(term) for term in terms] == [b.frequency(term) for term in terms]
            assert a.ids_with_all(terms).tolist() == b.ids_with_all(terms).tolist()
            ids = np.arange(7, 900, 5)
            assert np.allclose(a.score(terms, ids), b.score(terms, ids), rtol=1e-4)
            for allowed in (None, within):
                found, same = a.search(terms, 900, allowed), b.search(terms, 900, allowed)
                assert sorted(found[0].tolist()) == sorted(same[0].tolist())
                assert np.allclose(found[1], same[1], rtol=1e-4)


def test_common_words_only_rank_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"common {'rare' if i % 50 == 3 else 'other'} n{i}" for i in range(300)]
    index_file = build_old(tmp_path, 300, texts=texts)
    with IndexManager.open(index_file) as index:
        full = index.keyword_search("common rare other", 300)
    monkeypatch.setattr("memvid.index.sqlite.words._PROPOSING_ROWS", 10)
    monkeypatch.setattr("memvid.index.sqlite.words._FEW_ROWS", 0)
    with IndexManager.open(index_file) as index:
        ids, scores = index.keyword_search("common rare other", 6)
        assert ids.tolist() == full[0][:6].tolist() == [3, 53, 103, 153, 203, 253]
        assert np.allclose(scores, full[1][:6])
        for k in (7, 100, 300):  # more than the rare word finds
            assert index.keyword_search("common rare other", k)[0].tolist() == full[0][:k].tolist()
