"""Search by words alone beside FTS5, on the same texts: ``python -m benchmarks.words --chunks 100000``.

The texts are those of ``benchmarks.million``: pieces of real English with made-up names by Zipf's law between them.
Questions are neighbouring words of such texts, common ones included, or a file's. FTS5 has the same contentless table
without positions and ranks by the same formula: its rare words propose until ten thousand postings are read, the others
re-rank. Each question is asked of one and then of the other, in a process that has read both indexes once. Every answer
of ours is checked: the best fifty have the scores that all chunks have by the formula, in NumPy.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import load_corpus
from benchmarks.million.corpus import BLOCK, SyntheticText
from benchmarks.run import environment
from memvid.index.keywords import indexed_text, length_code, query_terms
from memvid.index.postings import Postings, PostingsWriter

TOP = 50
ROUNDS = 3
_K1, _B = 1.2, 0.5
_WORDS = np.expm1(np.arange(256) / 16)
_PROPOSING_ROWS = 10_000

Answer = tuple[NDArray[np.int64], NDArray[np.float32]]


class Fts5:
    """What memvid had before postings of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def build(self, blocks: Sequence[list[str]]) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-32768"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(
            "CREATE VIRTUAL TABLE k USING fts5(t, content='', detail=none, columnsize=0, tokenize='ascii')"
        )
        connection.execute("BEGIN")
        row = 0
        for texts in blocks:
            connection.executemany("INSERT INTO k(rowid, t) VALUES (?, ?)", enumerate(map(indexed_text, texts), row))
            row += len(texts)
        connection.execute("INSERT INTO k(k) VALUES ('optimize')")
        connection.execute("COMMIT")
        connection.execute("VACUUM")
        connection.close()

    def open(self, codes: NDArray[np.uint8]) -> None:
        self._connection = sqlite3.connect(f"file:{self.path}?mode=ro&immutable=1", uri=True)
        self._connection.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, k, row)")
        words = _WORDS[codes]
        self._norms = 1 / (1 + _K1 * (1 - _B + _B * words / words.mean()))

    def search(self, terms: Sequence[str], k: int) -> Answer:
        known = sorted((df, term) for term in terms if (df := self._frequency(term)))
        driving: list[str] = []
        parts: list[tuple[NDArray[np.int64], float]] = []
        budget = _PROPOSING_ROWS
        for df, term in known:
            query = f'"{term}"'
            if driving and df > budget:
                query += " AND (" + " OR ".join(f'"{other}"' for other in driving) + ")"
            else:
                driving.append(term)
                budget -= df
            found = self._connection.execute("SELECT rowid FROM k WHERE k MATCH ?", (query,))
            parts.append((np.fromiter((row[0] for row in found), np.int64), self._weight(df)))
        if not parts:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        ids, where = np.unique(np.concatenate([found for found, _ in parts]), return_inverse=True)
        weights = np.repeat([weight for _, weight in parts], [len(found) for found, _ in parts])
        scores = (np.bincount(where, weights, len(ids)) * self._norms[ids]).astype(np.float32)
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]

    def score_all(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """Scores of all chunks."""
        sums = np.zeros(len(self._norms))
        for term in terms:
            found = self._connection.execute("SELECT rowid FROM k WHERE k MATCH ?", (f'"{term}"',))
            rows = np.fromiter((row[0] for row in found), np.int64)
            sums[rows] += self._weight(len(rows))
        scores: NDArray[np.float64] = sums * self._norms
        return scores

    def _frequency(self, term: str) -> int:
        row = self._connection.execute("SELECT doc FROM temp.terms WHERE term = ?", (term,)).fetchone()
        return int(row[0]) if row else 0

    def _weight(self, df: int) -> float:
        return float(np.log1p((len(self._norms) - df + 0.5) / (df + 0.5)) * (_K1 + 1))


def main(arguments: list[str]) -> int:
    """Measure, and print a table."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        result = measure(Path(folder), options)
    print(_table(result))
    if options.output:
        options.output.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.words", description=__doc__)
    parser.add_argument("--chunks", type=int, default=20_000, help="how many; 1_000_000 is the target")
    parser.add_argument("--count", type=int, default=300, help="of questions of each kind")
    parser.add_argument("--passages", type=Path, help='JSON lines with "text" to make the chunks of')
    parser.add_argument("--questions", type=Path, help='JSON lines with "query" to ask')
    parser.add_argument("--work", type=Path, help="folder for the indexes, which are removed afterwards")
    parser.add_argument("--output", type=Path, help="a file for the figures, as JSON")
    return parser.parse_args(arguments)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Build both, and ask both."""
    passages = _lines(options.passages, "text") or load_corpus().chunks
    text = SyntheticText(passages)
    blocks = list(text.blocks(options.chunks))
    codes = np.array([length_code(each.count(" ")) for texts in blocks for each in texts], np.uint8)
    asked = _questions(blocks, options)
    result: dict[str, Any] = {"environment": environment(sys.argv[1:]), "chunks": options.chunks, "built": {}}

    section = folder / "words"
    section.touch()
    begin = time.perf_counter()
    normal = [[indexed_text(each) for each in texts] for texts in blocks]
    normalised = time.perf_counter()
    writer = PostingsWriter()
    for texts in normal:
        writer.add(texts)
    writer.append_to(section, 0)
    built = time.perf_counter()
    postings = Postings([(section.read_bytes(), codes)], section)
    checking = time.perf_counter()
    postings.check()
    result["built"]["postings"] = {
        "seconds": built - normalised,
        "bytes_a_chunk": section.stat().st_size / options.chunks,
        "check_seconds": time.perf_counter() - checking,
        "normalise_seconds": normalised - begin,
    }
    fts5 = Fts5(folder / "fts5.sqlite")
    begin = time.perf_counter()
    fts5.build(normal)
    result["built"]["FTS5"] = {
        "seconds": time.perf_counter() - begin,
        "bytes_a_chunk": fts5.path.stat().st_size / options.chunks,
    }
    fts5.open(codes)
    result["asked"] = {name: _ask(postings, fts5, questions) for name, questions in asked.items()}
    rng = np.random.default_rng(1)
    rows = [np.sort(rng.choice(options.chunks, TOP, replace=False)) for _ in asked["questions"]]
    pairs = list(zip(asked["questions"], rows, strict=True))
    result["asked"]["scores of 50 chunks"] = {
        "postings": _spread([_time(postings.score, terms, each) for terms, each in pairs * ROUNDS])
    }
    for percent in (1, 10):
        chosen = rng.random(-(-options.chunks // 64) * 64) < percent / 100
        allowed = np.packbits(chosen, bitorder="little").view(np.uint64)
        times = [_time(postings.search, terms, TOP, allowed) for terms in asked["questions"] * ROUNDS]
        result["asked"][f"questions, {percent} % allowed"] = {"postings": _spread(times)}
    return result


def _questions(blocks: list[list[str]], options: argparse.Namespace) -> dict[str, list[list[str]]]:
    """Terms of each question, by kind."""
    rng = np.random.default_rng(0)

    def words(size: int) -> str:
        block = blocks[int(rng.integers(len(blocks)))]
        found = block[int(rng.integers(len(block)))].split()
        start = int(rng.integers(max(1, len(found) - size)))
        return " ".join(found[start : start + size])

    def pasted() -> str:
        return " ".join(words(10) for _ in range(5))

    own = _lines(options.questions, "query")
    kinds = {
        "questions": own[: options.count] or [words(int(rng.integers(4, 15))) for _ in range(options.count)],
        "rare words": [max(words(12).split(), key=len) for _ in range(options.count)],
        "pasted, 50 words": [pasted() for _ in range(options.count)],
    }
    return {name: [query_terms(question) for question in questions] for name, questions in kinds.items()}


def _ask(postings: Postings, fts5: Fts5, questions: list[list[str]]) -> dict[str, Any]:
    for terms in questions:
        _check(postings.search(terms, TOP), fts5.score_all(terms), exact=len(terms) <= 16)
    times: dict[str, list[float]] = {"postings": [], "FTS5": []}
    for _ in range(ROUNDS):
        for terms in questions:
            times["postings"].append(_time(postings.search, terms, TOP))
            times["FTS5"].append(_time(fts5.search, terms, TOP))
    return {name: _spread(each) for name, each in times.items()}


def _check(answer: Answer, scores: NDArray[np.float64], *, exact: bool) -> None:
    rows, found = answer
    expected = np.sort(scores)[::-1][:TOP]
    assert len(rows) == min(TOP, np.count_nonzero(scores))
    assert np.allclose(found, scores[rows], rtol=1e-3)
    assert not exact or np.allclose(found, expected[: len(found)], rtol=1e-3)


def _time(ask: Callable[..., object], *arguments: object) -> float:
    begin = time.perf_counter()
    ask(*arguments)
    return time.perf_counter() - begin


def _spread(seconds: list[float]) -> dict[str, float]:
    quantiles = statistics.quantiles(seconds, n=100)
    return {f"p{percent}_ms": quantiles[percent - 1] * 1e3 for percent in (50, 95, 99)}


def _lines(path: Path | None, name: str) -> list[str]:
    if path is None:
        return []
    return [json.loads(line)[name] for line in path.read_text("utf-8").splitlines()]


def _table(result: dict[str, Any]) -> str:
    rows = [f"{result['chunks']:,} chunks in blocks of {BLOCK}, top {TOP}"]
    for name, built in result["built"].items():
        rows.append(f"{name}: " + ", ".join(f"{key} {value:.2f}" for key, value in built.items()))
    for kind, engines in result["asked"].items():
        for name, spread in engines.items():
            times = " / ".join(f"{value:.3f}" for value in spread.values())
            rows.append(f"{kind:24} {name:9} p50 / p95 / p99 {times} ms")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
