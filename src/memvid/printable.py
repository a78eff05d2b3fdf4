"""Text of unknown origin, fit to be shown: in a terminal, in a file that a terminal or an editor may show."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\u200c\u200d\u00ad"  # which belong to scripts and emoji
_LINE_ENDS = "\r\x0b\x0c\x85\u2028\u2029"


def printable(text: str) -> str:
    """Without what could steer a terminal: escape sequences, bidirectional overrides, line and page separators."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp")
        else _swap(character)
        for character in text.replace("\r\n", "\n")
    ).expandtabs(4)


def _swap(character: str) -> str:
    if character in _JOINERS:
        return character
    return "\n" if character in _LINE_ENDS else _UNPRINTABLE
