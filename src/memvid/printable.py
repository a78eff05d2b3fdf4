"""Text of unknown origin, fit to be shown: in a terminal, in a file that a terminal or an editor may show."""

from __future__ import annotations

import shlex
import unicodedata
from pathlib import Path

from memvid.checks import JOINERS

__all__ = ["printable", "shell_word"]

_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
_LINE_ENDS = "\r\x0b\x0c\x85\u2028\u2029"


def printable(text: str) -> str:
    """Without what could steer a terminal: escape sequences, bidirectional overrides, line and page separators."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp")
        else _swap(character)
        for character in text.replace("\r\n", "\n")
    ).expandtabs(4)


def shell_word(text: str | Path) -> str:
    """``text`` as a word of a command that can be shown, copied and run, whatever is in it.

    What cannot be shown as it is, or would not stay as it is, is written as its bytes, in the quotes that bash, zsh and
    ksh have for that.
    """
    text = str(text)
    if all(_is_plain(character) for character in text):
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _is_plain(character: str) -> bool:
    return character == " " or (character.isprintable() and printable(character) == character)


def _escaped(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if _is_plain(character):
        return character
    return "".join(f"\\{byte:03o}" for byte in _bytes_of(character))


def _bytes_of(character: str) -> bytes:
    """As they are in a file's name, where Python has half a surrogate for a byte that is not UTF-8."""
    return character.encode("utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass")


def _swap(character: str) -> str:
    if character in JOINERS:
        return character
    return "\n" if character in _LINE_ENDS else _UNPRINTABLE
