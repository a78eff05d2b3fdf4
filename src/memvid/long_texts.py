"""Texts of many megabytes, a piece at a time: what is made of a text may take many times its memory."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["pieces"]


def pieces(text: str, size: int) -> Iterator[str]:
    """``text`` in pieces of up to ``size`` characters; they end behind spaces, where there are any."""
    start = 0
    while start < len(text):
        end = start + size
        if end < len(text):
            end = text.rfind(" ", start, end) + 1 or end
        yield text[start:end]
        start = end
