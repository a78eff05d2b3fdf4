"""Postings of our own against FTS5 and against the formula."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memvid import _core
from memvid.errors import ConfigError, IndexFormatError
from memvid.index.keywords import indexed_text, length_code, query_terms
from memvid.index.postings import Postings, PostingsWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = np.expm1(np.arange(256) / 16)


def lengths_of(texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.array([length_code(text.count(" ")) for text in texts], np.uint8)


def write(path: Path, texts: Sequence[str], *, batch: int = 100) -> bytes:
    writer = PostingsWriter()
    for start in range(0, len(texts), batch):
        writer.add(texts[start : start + batch])
    assert len(writer) == len(texts)
    path.write_bytes(b"in front of it")
    assert writer.append_to(path, 14) == path.stat().st_size - 14
    return path.read_bytes()[14:]


def read(folder: Path, texts: Sequence[str], *, parts: int = 1) -> Postings:
    ends = [len(texts) * part // parts for part in range(parts + 1)]
    pieces = [texts[start:end] for start, end in itertools.pairwise(ends)]
    postings = Postings([(write(folder / "words", piece), lengths_of(piece)) for piece in pieces], folder / "words")
    postings.check()
    return postings


def fts5(texts: Sequence[str]) -> dict[str, list[int]]:
    """Rows of each word, as FTS5 has them."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE k USING fts5(t, content='', detail=none, columnsize=0, tokenize='ascii')"
        )
        connection.executemany("INSERT INTO k(rowid, t) VALUES (?, ?)", enumerate(map(indexed_text, texts)))
        connection.execute("CREATE VIRTUAL TABLE temp.v USING fts5vocab(main, k, instance)")
        found: dict[str, list[int]] = {}
        for term, row in connection.execute("SELECT term, doc FROM temp.v"):
            found.setdefault(term, []).append(row)
    return found


def make_texts(count: int, *, seed: int = 0) -> list[str]:
    """Words by Zipf's law, a fifth of the texts long."""
    rng = np.random.default_rng(seed)
    sizes = np.where(np.arange(count) % 5 == 0, 60, 12)
    return [" ".join(f"w{n}" for n in np.exp(rng.random(size) * np.log(800)).astype(int)) for size in sizes.tolist()]


def scores_of(texts: Sequence[str], terms: Sequence[str]) -> npt.NDArray[np.float64]:
    """By the formula, of all texts."""
    having = [set(query_terms(text)) for text in texts]
    words = WORDS[lengths_of(texts)]
    sums = np.zeros(len(texts))
    for term in terms:
        rows = [row for row, each in enumerate(having) if term in each]
        sums[rows] += np.log1p((len(texts) - len(rows) + 0.5) / (len(rows) + 0.5)) * 2.2
    scores: npt.NDArray[np.float64] = sums / (1 + 1.2 * (0.5 + 0.5 * words / words.mean()))
    return scores


@settings(max_examples=60, deadline=None)
@example(["\u13a0\u13c2 \uab70"])  # Cherokee, which folds to capitals
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=8))
def test_words_are_those_of_fts5(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        postings = read(Path(name), texts)
    expected = fts5(texts)
    for term, rows in expected.items():
        assert postings.rows_with_all([term]).tolist() == rows
        assert postings.frequency(term) == len(rows)
    for text in texts:
        assert all(term in expected for term in query_terms(text))


def test_words_of_many_texts_are_those_of_fts5(tmp_path: Path) -> None:
    texts = [
        *make_texts(3000),
        "naïve CAFÉ “quoted” — dashes",
        "東京は日本の首都です",
        "नमस्ते दुनिया",
        "nul\0byte",
        "É" * 150,
    ]
    postings = read(tmp_path, texts)
    for term, rows in fts5(texts).items():
        found = postings.rows_with_all([term]).tolist()
        assert found == (rows if len(term.encode()) <= 200 else [])


def test_a_ranking_is_that_of_the_formula(tmp_path: Path) -> None:
    texts = make_texts(3000)
    postings = read(tmp_path, texts)
    for query in ("w799", "w1 w2 w300", "w700 w650 w5 nothing", " ".join(f"w{n}" for n in range(1, 15))):
        expected = scores_of(texts, query.split())
        rows, scores = postings.search(query.split(), 40)
        assert rows.dtype == np.int64
        assert scores.dtype == np.float32
        assert len(rows) == min(40, np.count_nonzero(expected))
        assert np.allclose(scores, np.sort(expected)[::-1][: len(rows)], rtol=1e-4)
        assert np.allclose(scores, expected[rows], rtol=1e-4)
        assert rows.tolist() == rows[np.lexsort((rows, -scores))].tolist()
        some = np.random.default_rng(1).permutation(3000)[:50]
        assert np.allclose(postings.score(query.split(), some), expected[some], rtol=1e-4)
    everything, _ = postings.search(["w1", "w799"], 3000)
    assert len(everything) == np.count_nonzero(scores_of(texts, ["w1", "w799"]))


@pytest.mark.parametrize("parts", [2, 8])
def test_segments_are_one_index(tmp_path: Path, parts: int) -> None:
    texts = make_texts(2000)
    one, several = read(tmp_path, texts), read(tmp_path, texts, parts=parts)
    allowed = np.packbits(np.random.default_rng(2).random(2048) < 0.3, bitorder="little").view(np.uint64)
    allowed[-1] &= np.uint64((1 << 2000 % 64) - 1)
    for terms in (["w1", "w20", "w500"], [f"w{n}" for n in range(0, 120, 3)]):
        for within in (None, allowed):
            rows, scores = one.search(terms, 50, within)
            same_rows, same_scores = several.search(terms, 50, within)
            assert rows.tolist() == same_rows.tolist()
            assert scores.tolist() == same_scores.tolist()
            if within is not None:
                assert (np.unpackbits(within.view(np.uint8), bitorder="little")[rows] == 1).all()
        assert one.score(terms, rows).tolist() == several.score(terms, rows).tolist() == scores.tolist()
        assert one.rows_with_all(terms[:2]).tolist() == several.rows_with_all(terms[:2]).tolist()


def test_the_bytes_do_not_depend_on_batches_or_memory(tmp_path: Path) -> None:
    texts = make_texts(500)
    expected = write(tmp_path / "words", texts)
    assert write(tmp_path / "words", texts, batch=7) == expected
    writer = _core.PostingsWriter(most_postings=100)
    with tempfile.TemporaryFile() as scratch:
        for text in texts:
            writer.add([text])
            if writer.is_full:
                writer.spill(scratch.fileno())
    (tmp_path / "words").write_bytes(b"")
    writer.finish(tmp_path / "words", 0)
    assert (tmp_path / "words").read_bytes() == expected


def test_an_index_of_nothing(tmp_path: Path) -> None:
    for postings in (Postings([], tmp_path), read(tmp_path, [])):
        assert postings.frequency("a") == 0
        assert postings.search(["a"], 5)[0].tolist() == []
        assert postings.rows_with_all(["a"]).tolist() == []
        assert postings.score(["a"], np.empty(0, np.int64)).tolist() == []


def test_many_threads_ask_at_a_time(tmp_path: Path) -> None:
    texts = make_texts(2000)
    postings = read(tmp_path, texts, parts=3)
    questions = [[f"w{n}", f"w{3 * n}", "w1"] for n in range(1, 40)]
    expected = [postings.search(terms, 20)[0].tolist() for terms in questions]
    wrong: list[object] = []

    def ask() -> None:
        for terms, rows in zip(questions, expected, strict=True):
            if postings.search(terms, 20)[0].tolist() != rows:
                wrong.append(terms)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_questions_that_make_no_sense_are_errors(tmp_path: Path) -> None:
    postings = read(tmp_path, make_texts(100))
    with pytest.raises(ConfigError, match="no row 100"):
        postings.score(["w1"], np.array([5, 100]))
    with pytest.raises(ConfigError, match="other rows"):
        postings.search(["w1"], 5, np.zeros(1, np.uint64))


def test_sections_that_lie_are_errors(tmp_path: Path) -> None:
    texts = make_texts(400)
    sound = write(tmp_path / "words", texts)
    lengths = lengths_of(texts)
    with pytest.raises(IndexFormatError, match=r"words: .*lengths"):
        Postings([(sound, lengths[1:])], tmp_path / "words")
    with pytest.raises(IndexFormatError, match=r"reindex"):
        Postings([(sound[:-1], lengths)], tmp_path / "words")
    rng = np.random.default_rng(3)
    refused = 0
    for at, value in zip(rng.integers(0, len(sound), 400).tolist(), rng.integers(0, 256, 400).tolist(), strict=True):
        lie = sound[:at] + bytes([value]) + sound[at + 1 :]
        try:
            postings = Postings([(lie, lengths)], tmp_path / "words")
            rows, _ = postings.search(["w1", "w7", "w300"], 10)
            assert all(0 <= row < 400 for row in rows.tolist())
            postings.check()
        except IndexFormatError:
            refused += 1
    assert refused > 200
