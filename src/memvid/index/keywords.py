"""What a word is, in texts and in questions."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from functools import lru_cache

from memvid.index.compounds import compound_terms
from memvid.long_texts import pieces
from memvid.unspaced_scripts import is_unspaced

__all__ = [
    "LONGEST_TERM",
    "STOP_WORDS",
    "indexed_terms",
    "indexed_text",
    "length_code",
    "normalise",
    "query_terms",
    "search_terms",
]


_PIECE = 1 << 20  # characters normalised at a time
_MOST_NORMAL = 24 << 20  # characters that come of a text
MAX_TERMS = 64  # of a query; the rest, in its order, is ignored
LONGEST_TERM = 200  # bytes; of longer words there is nothing
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about an and any are as at be been but by can could did do does for from had has have how i if in into is "
        "it its me my no not of on or our so some than that the their them then there these they this to was we were "
        "what when where which who whom whose why will with would you your",
    )
)
# What the core takes as one word, too: small letters, digits, all beyond ASCII; by what is not, it compiles at once.
_TERM = re.compile(r"[^\0-/:-`{-\x7f]+")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_BEYOND_ASCII = re.compile("[^\0-\x7f]+")
_SHORT_RUN = 8  # characters
_HYPHEN = 0x2010  # which one without a break becomes, too


class _CharacterMap(dict[int, str]):
    """How :func:`normalise` writes each character; worked out once for each that is met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category[0] == "M":
            mapped = ""
        elif code == _HYPHEN:
            mapped = "-"
        elif code < 128:
            mapped = char
        elif category[0] in "LN":
            mapped = f" {char} " if is_unspaced(code) else char  # a token for each character
        else:
            mapped = " "
        self[code] = mapped
        return mapped


_CHARACTERS = _CharacterMap()


def normalise(text: str) -> str:
    """Text as it is handed to the core, which folds ASCII case, and splits at what is ASCII but no letter or digit.

    Beyond ASCII: case folded, accents removed, punctuation made spaces; one character may become eighteen, and what is
    beyond 32 million of them is left out.
    """
    if text.isascii():
        return text.replace("\0", " ")
    parts, room = [], _MOST_NORMAL
    for piece in pieces(text, _PIECE):
        parts.append(_normalise(piece)[:room])
        room -= len(parts[-1])
        if not room:
            break
    return "".join(parts)


def indexed_text(text: str) -> str:
    """The same, with :func:`~memvid.index.compounds.compound_terms` behind it, as far as there is room."""
    normal = normalise(text)
    more = dict.fromkeys(compound_terms(normal))
    return f"{normal} {' '.join(more)}"[:_MOST_NORMAL] if more else normal


def _normalise(text: str) -> str:
    # Only what is beyond ASCII is looked at: decompositions and the order of accents do not depend on what is before.
    return _BEYOND_ASCII.sub(_normal_match, text.casefold()).replace("\0", " ")


def _normal_match(match: re.Match[str]) -> str:
    run = match.group()
    return _normal_short_run(run) if len(run) <= _SHORT_RUN else _normal_run(run)


def _normal_run(run: str) -> str:
    folded = unicodedata.normalize("NFKD", run).casefold()  # again: of 149 characters there is case only now
    return unicodedata.normalize("NFKD", folded).translate(_CHARACTERS)


_normal_short_run = lru_cache(1 << 12)(_normal_run)  # the same dashes, quotes and accents everywhere


def query_terms(text: str, *, limit: int | None = MAX_TERMS) -> list[str]:
    """The distinct words of a text in its order, each as an index has it.

    :param limit: how many, from the first on; ``None`` for all.
    """
    return _distinct_terms(normalise(text))[:limit]


def search_terms(text: str) -> list[str]:
    """What a search goes by: the words of a query, and its compounds.

    English stop words are left out, unless there are no others.
    """
    terms = indexed_terms(text)
    return ([term for term in terms if term not in STOP_WORDS] or terms)[:MAX_TERMS]


def indexed_terms(text: str) -> list[str]:
    """All that a text is found by, its words first."""
    return _distinct_terms(indexed_text(text))


def _distinct_terms(normal: str) -> list[str]:
    # Of ASCII alone, as the core does: beyond it, lower case is not what case is folded to (of Cherokee letters).
    words = dict.fromkeys(_TERM.findall(normal.translate(_LOWER)))
    return [word for word in words if len(word.encode()) <= LONGEST_TERM]


def length_code(blanks: int) -> int:
    """A chunk's length in words, as one byte, from the number of its blanks."""
    return min(255, round(math.log1p(blanks + 1) * 16))
