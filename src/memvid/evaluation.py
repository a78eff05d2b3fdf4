"""How well a memory answers questions whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memvid.checks import is_int
from memvid.config import Mode
from memvid.documents import read_values
from memvid.errors import DocumentError, EmptyMemoryError
from memvid.types import SearchResult, StrPath

if TYPE_CHECKING:
    from memvid.retriever import MemvidRetriever

__all__ = ["MODES", "Expected", "Quality", "evaluate", "read_questions"]

MODES: tuple[Mode, ...] = ("semantic", "keyword", "hybrid")

_TOP_K = 10
_BATCH = 32  # questions asked at once
_NAMES = {"query": "question", "gold_id": "id", "chunk_id": "id", "answer": "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A question, and what a passage that answers it is known by. All that is given must hold.

    :ivar question: what is asked.
    :ivar ids: it is one of these chunks, or a copy of one.
    :ivar texts: it has one of these texts in it, whatever the case and the blanks.
    :ivar source: this is its ``"source"`` in the metadata.
    """

    question: str
    ids: frozenset[int] = frozenset()
    texts: tuple[str, ...] = ()
    source: str | None = None

    def is_met_by(self, result: SearchResult) -> bool:
        """Whether a passage is one that was expected."""
        if self.ids and self.ids.isdisjoint((result.chunk_id, *result.duplicates)):
            return False
        if self.source is not None and result.metadata.get("source") != self.source:
            return False
        return not self.texts or any(_normal(text) in _normal(result.text) for text in self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good the answers to some questions were.

    :ivar questions: how many there were.
    :ivar recall: by k, the part of the questions with an expected passage among the best k.
    :ivar mrr: mean over the questions of one divided by the place of the first expected passage, 0 beyond the tenth.
    :ivar missed: the questions without one among the best ten.
    """

    questions: int
    recall: Mapping[int, float]
    mrr: float
    missed: tuple[str, ...] = ()


def evaluate(
    retriever: MemvidRetriever,
    questions: Iterable[Expected],
    *,
    progress: Callable[[int], object] | None = None,
    **options: Any,
) -> Quality:
    """Ask all questions, each for its ten best passages.

    :param progress: called with the number of questions asked so far.
    :param options: of the searches, as :meth:`MemvidRetriever.search` takes them.
    :raises EmptyMemoryError: there is no question.
    """
    asked = list(questions)
    if not asked:
        raise EmptyMemoryError("there are no questions to evaluate by: a line of the file is one")
    places: list[int | None] = []
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        answers = retriever.search_many([each.question for each in batch], _TOP_K, **options)
        places += [_place(each, results) for each, results in zip(batch, answers, strict=True)]
        if progress is not None:
            progress(len(places))
    found = [place for place in places if place is not None]
    return Quality(
        questions=len(asked),
        recall={k: sum(place <= k for place in found) / len(asked) for k in (1, 5, _TOP_K)},
        mrr=sum(1 / place for place in found) / len(asked),
        missed=tuple(each.question for each, place in zip(asked, places, strict=True) if place is None),
    )


def _place(expected: Expected, results: Sequence[SearchResult]) -> int | None:
    return next((place for place, result in enumerate(results, 1) if expected.is_met_by(result)), None)


def read_questions(path: StrPath) -> Iterator[Expected]:
    """Questions of a file of JSON lines, zipped (``.gz``) or not.

    A line is an object with ``"question"`` (or ``"query"``) and what its answer is known by: ``"id"`` (or
    ``"gold_id"``, ``"chunk_id"``), the number of a chunk or a list of them; ``"text"`` (or ``"answer"``), words that
    are in it, or a list of such; ``"source"``, as the metadata has it.

    :raises DocumentError: the file cannot be read, or a line says something else; names the line.
    """
    for where, value in read_values(path):
        yield _expected(value, where)


def _expected(line: Any, where: str) -> Expected:
    if not isinstance(line, dict):
        raise DocumentError(f"{where}: it is a {type(line).__name__}: expected an object")
    values = {_NAMES.get(name, name): value for name, value in line.items()}
    question, source = values.get("question"), values.get("source")
    if not isinstance(question, str) or not question.strip():
        raise DocumentError(f'{where}: it has no "question"')
    ids, texts = _listed(values.get("id")), _listed(values.get("text"))
    if not all(is_int(chunk_id, 0) for chunk_id in ids):
        raise DocumentError(f'{where}: "id" is the number of a chunk, or a list of them')
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise DocumentError(f'{where}: "text" is words of the answer, or a list of such')
    if source is not None and not isinstance(source, str):
        raise DocumentError(f'{where}: "source" is a string')
    if not ids and not texts and source is None:
        raise DocumentError(f'{where}: it does not say what answers the question: give "id", "text" or "source"')
    return Expected(question=question, ids=frozenset(ids), texts=tuple(texts), source=source)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
