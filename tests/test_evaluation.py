"""Questions whose answers are known: how they are read, and what is counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from memvid.errors import DocumentError, DocumentNotFoundError, EmptyMemoryError, QueryError
from memvid.evaluation import Expected, evaluate, read_questions
from memvid.types import SearchResult
from tests.memory_support import build, make_texts, open_memory


def write(path: Path, *lines: Any) -> Path:
    text = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["questions.jsonl", "questions.jsonl.gz"])
def test_what_a_line_may_say(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path / name,
        {"question": "a?", "id": 3},
        {"query": "b?", "gold_id": [3, 4]},
        "",
        {"question": "c?", "text": "Some Words", "source": "x.txt", "comment": "else"},
        {"question": "d?", "answer": ["one", "two"]},
    )
    assert list(read_questions(path)) == [
        Expected(question="a?", ids=frozenset({3})),
        Expected(question="b?", ids=frozenset({3, 4})),
        Expected(question="c?", texts=("Some Words",), source="x.txt"),
        Expected(question="d?", texts=("one", "two")),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not JSON", "line 2: not JSON"),
        ([1], "it is a list"),
        ({"id": 3}, 'no "question"'),
        ({"question": " ", "id": 3}, 'no "question"'),
        ({"question": "a?"}, "does not say what answers"),
        ({"question": "a?", "id": "7"}, '"id" is the number'),
        ({"question": "a?", "id": [True]}, '"id" is the number'),
        ({"question": "a?", "text": 7}, '"text" is words'),
        ({"question": "a?", "text": [" "]}, '"text" is words'),
        ({"question": "a?", "source": 7}, '"source" is a string'),
    ],
)
def test_lines_that_cannot_be(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        list(read_questions(write(tmp_path / "q.jsonl", {"question": "a?", "id": 1}, line)))


def test_no_file_and_no_questions(tmp_path: Path) -> None:
    with pytest.raises(DocumentNotFoundError):
        list(read_questions(tmp_path / "none.jsonl"))
    with open_memory(build(tmp_path, ["a"])) as memory, pytest.raises(EmptyMemoryError):
        evaluate(memory, [])


def test_what_is_expected() -> None:
    result = SearchResult(5, 0.5, "It failed on\n March 2.", {"source": "a.txt"}, 1, duplicates=(9,))
    met = {
        Expected(question="?", ids=frozenset({5})): True,
        Expected(question="?", ids=frozenset({9, 1})): True,
        Expected(question="?", ids=frozenset({6})): False,
        Expected(question="?", texts=("nothing", "on MARCH  2")): True,
        Expected(question="?", texts=("nothing",)): False,
        Expected(question="?", source="a.txt"): True,
        Expected(question="?", texts=("march",), source="b.txt"): False,
    }
    assert {expected: expected.is_met_by(result) for expected in met} == met


def test_what_is_counted(tmp_path: Path) -> None:
    texts = make_texts(80)
    with open_memory(build(tmp_path, texts)) as memory:
        ranked = [result.chunk_id for result in memory.search_results("violin glacier", 12)]
        questions = [Expected(question="violin glacier", ids=frozenset({ranked[place]})) for place in (0, 1, 4, 11)]
        seen: list[int] = []
        quality = evaluate(memory, questions * 10, progress=seen.append)
        assert quality.questions == 40
        assert quality.recall == {1: 0.25, 5: 0.75, 10: 0.75}
        assert quality.mrr == pytest.approx((1 + 1 / 2 + 1 / 5) / 4)
        assert quality.missed == ("violin glacier",) * 10
        assert seen == [32, 40]
        by_words = evaluate(memory, [Expected(question=texts[7], texts=(texts[7],))], mode="keyword")
        assert (by_words.recall[1], by_words.mrr, by_words.missed) == (1, 1, ())
        with pytest.raises(QueryError, match="mode"):
            evaluate(memory, questions, mode="none")
