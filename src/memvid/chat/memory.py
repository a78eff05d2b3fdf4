"""What a conversation asks of a memory, and how it gets it from anything with ``search``."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from memvid.allowance import Allowance
from memvid.config import QUESTION_BYTES
from memvid.errors import ConfigError
from memvid.types import Chunk, SearchResult

__all__ = ["Memory"]


class Memory:
    """A retriever, or anything with ``search(query, top_k)`` that gives texts, best first.

    ``search_results``, ``asearch_results``, ``neighbours`` and ``info`` are used where they exist. Without
    ``search_results``, results have no ids and fall in score from 1 by their rank.

    :param turn_bytes: characters of text that one search may bring.
    :raises ConfigError: it has no ``search``, or later, that gives something else.
    """

    def __init__(self, retriever: Any, *, turn_bytes: int = QUESTION_BYTES) -> None:
        if isinstance(retriever, type) or not callable(getattr(retriever, "search", None)):
            kind = retriever.__name__ if isinstance(retriever, type) else type(retriever).__name__
            raise ConfigError(f"retriever is a {kind}: expected something with search(query, top_k)")
        self.retriever = retriever
        self._turn_bytes = turn_bytes
        self._fps: float | None = None
        self._asked_fps = False

    def search(self, query: str, top_k: int, **options: Any) -> list[SearchResult]:
        """The chunks that answer ``query`` best, best first.

        :param options: of the search, as :meth:`MemvidRetriever.search` takes them.
        :raises ConfigError: the retriever does not take one of them.
        """
        results = getattr(self.retriever, "search_results", None)
        search = results if callable(results) else self.retriever.search
        _check_takes(search, options)
        found = search(query, top_k, **options)
        return self._bounded(_checked(found) if search is results else _ranked(found))

    async def asearch(self, query: str, top_k: int, **options: Any) -> list[SearchResult]:
        """:meth:`search` for an event loop."""
        import asyncio

        search = getattr(self.retriever, "asearch_results", None)
        if callable(search):
            _check_takes(search, options)
            return self._bounded(_checked(await search(query, top_k, **options)))
        return await asyncio.to_thread(self.search, query, top_k, **options)

    def around(self, chunk_ids: Sequence[int], *, longest: int) -> dict[int, list[Chunk]]:
        """By chunk id, the chunk before it and the one after it; nothing where the memory cannot say.

        :param longest: characters of a chunk that is of any use.
        """
        neighbours = getattr(self.retriever, "neighbours", None)
        if not callable(neighbours):
            return {}
        return {
            chunk_id: [
                chunk
                for chunk in neighbours(chunk_id, 1, 1)
                if chunk.chunk_id != chunk_id and len(chunk.text) <= longest
            ]
            for chunk_id in chunk_ids
            if chunk_id >= 0
        }

    def _bounded(self, results: list[SearchResult]) -> list[SearchResult]:
        """The results, if they are not too much; a retriever of memvid's own does not read more in the first place."""
        remedy = f"lower top_k, or raise turn_bytes={self._turn_bytes}"
        allowance = Allowance(self._turn_bytes, "what was found takes", remedy)
        for result in results:
            allowance.spend(len(result.text))
        return results

    def seconds(self, frame_index: int) -> float | None:
        """When a frame is shown in the video, in seconds from its start; ``None`` where the memory does not say."""
        if not self._asked_fps:
            fps = getattr(getattr(self.retriever, "info", None), "fps", None)
            self._fps = float(fps) if isinstance(fps, (int, float)) and fps > 0 else None
            self._asked_fps = True
        return frame_index / self._fps if self._fps is not None and frame_index >= 0 else None


def _check_takes(search: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise unless a search takes the options: one of another's making may know none."""
    try:
        known = inspect.signature(search).parameters.values()
    except (TypeError, ValueError):  # a function of C's may not say
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known):
        return
    if missing := sorted(set(options) - {parameter.name for parameter in known}):
        raise ConfigError(
            f"the retriever's {search.__name__} takes no {missing[0]}=: leave it out, or search by memvid"
        )


def _checked(results: Iterable[Any]) -> list[SearchResult]:
    """Results with numbers of Python's own: a memory of another's making may give NumPy's, which no file can hold."""
    try:
        return [_result(result) for result in results]
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"retriever.search_results is expected to give results as memvid's does: {error}") from error


def _result(given: Any) -> SearchResult:
    score = _finite(given.score)
    result = SearchResult(int(given.chunk_id), score, given.text, dict(given.metadata), int(given.frame_index))
    relevance = _finite(getattr(given, "relevance", score))
    if not isinstance(given, SearchResult):
        return replace(result, relevance=relevance)
    return replace(
        given, chunk_id=result.chunk_id, score=score, metadata=result.metadata, frame_index=result.frame_index,
        relevance=relevance,
    )  # fmt: skip


def _finite(score: Any) -> float:
    value = float(score)
    if not math.isfinite(value):
        raise ValueError(f"a score is {value}")
    return value


def _ranked(texts: Any) -> list[SearchResult]:
    if not isinstance(texts, Iterable) or isinstance(texts, (str, bytes)):
        raise ConfigError(f"retriever.search gave a {type(texts).__name__}: expected a list of strings, best first")
    texts = list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise ConfigError(f"retriever.search gave a {type(text).__name__} in its list: expected strings")
    return [SearchResult(-1, 1 - rank / (len(texts) + 1), text, {}, -1) for rank, text in enumerate(texts)]
