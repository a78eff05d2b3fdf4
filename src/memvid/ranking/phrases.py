"""Phrases in quotes: words that a passage has to have exactly so."""

from __future__ import annotations

import re
import unicodedata

from memvid.unspaced_scripts import UNSPACED, is_unspaced

__all__ = ["Phrases"]

_QUOTED = re.compile(r'(?<!\d)"([^"]*)"|\u201c([^\u201c\u201d]*)\u201d')
_TRAILING = ".,;:!?"  # that a sentence puts inside the quotes
_ONE_BY_ONE = 64  # places that are looked at before a pattern is made, which takes 2 ms


class Phrases:
    """What a query quotes, with straight quotes or curly ones; one that is not closed, or is an inch, quotes nothing.

    A text has a phrase if its words stand there one after the other, whatever their case and the blanks between them
    are, and as whole words: "cat" is not in "concatenate". Punctuation inside counts, but for a stop at the end.

    :ivar quoted: the phrases, as they are in the query.
    """

    def __init__(self, query: str) -> None:
        found = [straight or curly for straight, curly in _QUOTED.findall(query)]
        normal = {phrase: _normal(phrase).rstrip(_TRAILING) or _normal(phrase) for phrase in found}
        self.quoted = tuple(phrase for phrase, wanted in normal.items() if wanted)
        self._wanted = tuple(dict.fromkeys(wanted for wanted in normal.values() if wanted))

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def are_in(self, text: str) -> bool:
        """Whether a text has all of them."""
        if not self._wanted:
            return True
        normal = _normal(text)
        return all(_has(normal, phrase) for phrase in self._wanted)


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text.casefold()).split())


def _has(text: str, phrase: str) -> bool:
    start = text.find(phrase)
    for _ in range(_ONE_BY_ONE):
        if start < 0 or (_is_apart(text, start) and _is_apart(text, start + len(phrase))):
            return start >= 0
        start = text.find(phrase, start + 1)
    return _whole(phrase, text).search(text, max(start, 0)) is not None


def _whole(phrase: str, text: str) -> re.Pattern[str]:
    """Finds a phrase as :func:`_has` does, without a step of Python for each time that it is within other words."""
    beyond = () if text.isascii() else sorted(set(text))
    marks = "".join(character for character in beyond if unicodedata.category(character)[0] == "M")
    in_word = rf"(?:(?!{UNSPACED})\w|[{marks}])" if marks else rf"(?!{UNSPACED})\w"
    before = f"(?<!{in_word})" if _is_in_word(phrase[0]) else ""
    behind = f"(?!{in_word})" if _is_in_word(phrase[-1]) else ""
    return re.compile(before + re.escape(phrase) + behind)


def _is_apart(text: str, position: int) -> bool:
    """Whether no word goes on across a position."""
    if not 0 < position < len(text):
        return True
    return not (_is_in_word(text[position - 1]) and _is_in_word(text[position]))


def _is_in_word(character: str) -> bool:
    if unicodedata.category(character)[0] == "M":
        return True
    if is_unspaced(ord(character)):  # its words stand next to each other
        return False
    return character.isalnum() or character == "_"
