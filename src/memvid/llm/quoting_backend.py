"""Answers without a language model: the best passages, quoted and cited."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from memvid.llm.protocol import Completion, Message, Piece, Quote

__all__ = ["QuotingBackend"]

_LINE_END = re.compile(r"\r\n|[\r\n]")
_NOTHING = "Nothing in the memory comes near this question."


class QuotingBackend:
    """Quotes the passages it is given, each with its number.

    It reads no messages and makes nothing up; it needs no key and no network.

    :param reason: why there is no language model, said at the head of each answer; ``None`` if it was asked for.
    """

    name = "none"
    model: str | None = None
    quotes = True
    window = 1 << 20  # nothing is sent anywhere

    def __init__(self, *, reason: str | None = None) -> None:
        self.reason = reason

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:  # noqa: ARG002
        """All ``passages``, whole, as block quotes with ``[n]`` behind each."""
        passages: Sequence[Quote] = options.get("passages", ())
        parts = [_quote(passage) for passage in passages] or [_NOTHING]
        if self.reason:
            parts.insert(0, f"({self.reason}. These are the passages nearest to the question.)")
        return Completion("\n\n".join(parts))

    def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[Piece]:
        """The same in one piece."""
        yield Piece(self.complete(messages, **options).text, "stop")

    def __repr__(self) -> str:
        return "QuotingBackend()"


def _quote(passage: Quote) -> str:
    lines = _LINE_END.split(passage.text.strip("\r\n"))
    return "\n".join(f"> {line}".rstrip() for line in lines) + f" [{passage.number}]"
