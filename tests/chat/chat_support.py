"""Memories and models for tests of conversations: small ones, that remember what they were asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from memvid.llm import Completion, Message, Piece
from memvid.types import Chunk, SearchResult

Answer = Callable[[Sequence[Message]], str]


class ListMemory:
    """A memory in a list: every chunk is found, the first one best. Neighbours are those beside it in the list."""

    def __init__(self, texts: Sequence[str], metadatas: Sequence[dict[str, Any]] | None = None) -> None:
        self.texts = list(texts)
        self.metadatas = metadatas or [{} for _ in texts]
        self.queries: list[str] = []

    def search(self, query: str, top_k: int = 5) -> list[str]:
        return [result.text for result in self.search_results(query, top_k)]

    def search_results(self, query: str, top_k: int = 5) -> list[SearchResult]:
        self.queries.append(query)
        return [
            SearchResult(i, 0.9 - 0.5 * i / len(self.texts), text, self.metadatas[i], i)
            for i, text in enumerate(self.texts[:top_k])
        ]

    def neighbours(self, chunk_id: int, before: int = 1, after: int = 1) -> list[Chunk]:
        ids = range(max(0, chunk_id - before), min(len(self.texts), chunk_id + after + 1))
        return [Chunk(i, self.texts[i], self.metadatas[i], i) for i in ids]


class RecordingBackend:
    """Answers by a function, and keeps all requests with their options."""

    name = "recording"
    model = "none"

    def __init__(self, answer: Answer | str = "Yes [1].", *, window: int = 4096) -> None:
        self.answer: Answer = answer if callable(answer) else lambda _: answer
        self.window = window
        self.requests: list[tuple[list[Message], dict[str, Any]]] = []

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        self.requests.append((list(messages), options))
        return Completion(self.answer(messages))

    def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[Piece]:
        text = self.complete(messages, **options).text
        for start in range(0, len(text), 7):
            yield Piece(text[start : start + 7])
        yield Piece("", "stop")

    @property
    def answers(self) -> list[list[Message]]:
        """Of the requests, those for answers."""
        return [messages for messages, _ in self.requests if "Answer the question" in messages[0]["content"]]
