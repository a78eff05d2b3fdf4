"""Where sentences, paragraphs, list items and headings end, and where characters belong together.

Rules, no model: a full stop ends a sentence unless what stands around it says otherwise (an abbreviation, an initial,
a number, a lower-case letter after it). A missed end costs little (two sentences travel together), a false one tears
a sentence, so doubt means no end.
"""

from __future__ import annotations

import re
import unicodedata
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Rank", "joined", "sentence_ends", "skip_space"]


class Rank(Enum):
    """What ends at a place."""

    HEADING = "heading"  # belongs to what follows: a poor place to cut
    SENTENCE = "sentence"
    PARAGRAPH = "paragraph"


# Every alternative starts with a literal, so that the regex engine skips to candidates at memory speed; none can
# backtrack over more than one run of white space, so time is linear whatever the text.
_CANDIDATE = re.compile(
    r"""
      # An empty line; its last newline is left to the alternatives below.
      (?P<blank>\n\s*(?=\n))
      # "## Title"
    | \n(?P<heading>\#{1,6}[^\S\n][^\n]*)
      # The line under a title, or between two parts.
    | \n(?P<rule>(?:={3,}|-{3,}|~{3,}|\*{3,}|\^{3,}|_{3,})[^\S\n]*(?=\n|\Z))
      # The end of the line before "- x", "1. x", "a) x".
    | (?P<item>\n)(?=[^\S\n]*(?:[-*+•‣◦▪–—]|\(?(?:\d{1,3}|[A-Za-z])[.)])[^\S\n])
      # A stop with the quotes, brackets and footnote marks behind it.
    | (?P<stop>[.!?…؟۔።։]+)[\"'”’)\]}»›*_`]*(?:\[\w{1,4}\])*
    | (?P<full>[。！？｡．।॥។။]+)[」』）】〉》”’\"')]*
    """,
    re.VERBOSE,
)
_FIRST_HEADING = re.compile(r"\s*#{1,6}[^\S\n][^\n]*")
_SPACES = re.compile(r"\s*")
_LAST_WORD = re.compile(r"[^\W_][\w.]*\Z")
_OPENING = "\"'“‘„«‹([{¿¡*_`"
_LONGEST_HEADING = 80  # characters
_DEEPEST_ITEM = 40  # characters a list number is indented at most

# Never the end of a sentence, whatever follows.
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "adm approx bros bzw ca capt cf cmdr col cpl dr dra e.g eg esp gen gov hon hr i.e ie lt maj messrs mlle mme mr "
        "mrs ms mt prof rep rev sen sgt sr sra srta st supt viz vs z.b",
    )
)
# Not the end of a sentence when a digit follows: "No. 5", "pp. 12-14", "Jan. 3".
_BEFORE_NUMBER = frozenset(
    re.findall(
        r"\S+",
        "abs apr art aug bd ch chap dec eq eqs feb fig figs jan jul jun mar nov no nos nr oct p para pp pt sec sect "
        "sep sept tab vol vols",
    )
)


def sentence_ends(text: str) -> Iterator[tuple[int, Rank]]:
    """Find where sentences end, in ascending order; the last one is the end of the text.

    A position is behind the sentence's last character and before the white space that follows. Cost: linear.
    """
    last = 0
    fresh = True  # `last` is the start of a paragraph
    first = _FIRST_HEADING.match(text)
    if first:
        last = first.end()
        yield last, Rank.HEADING
    for match in _CANDIDATE.finditer(text, last):
        kind, end = match.lastgroup, match.end()
        if kind in ("stop", "full"):
            rank = _stop_rank(text, match) if kind == "stop" else _full_stop_rank(text, match, last)
            if rank is None:
                continue
            yield end, rank
        elif kind == "blank":
            yield match.start(), _paragraph_rank(text, last, match.start(), fresh)
        elif kind == "item":
            yield match.start(), Rank.SENTENCE
        elif kind == "heading":
            yield match.start(), Rank.PARAGRAPH
            yield end, Rank.HEADING
        else:
            yield end, Rank.HEADING
        last = end
        fresh = kind == "blank"
    yield len(text), Rank.PARAGRAPH


def _paragraph_rank(text: str, start: int, end: int, fresh: bool) -> Rank:
    """A lone short line without a full stop, between empty lines, is a heading."""
    if not fresh or end - start > _LONGEST_HEADING:
        return Rank.PARAGRAPH
    line = text[start:end].strip()
    heading = line and "\n" not in line and line[-1] not in ".!?…。！？,;\"'”’)"
    return Rank.HEADING if heading else Rank.PARAGRAPH


def _full_stop_rank(text: str, match: re.Match[str], start: int) -> Rank | None:
    """A CJK or Indic full stop needs no space behind it; between digits it is a decimal point."""
    end = match.end()
    if joined(text, end, start) or text[end : end + 1].isdigit():
        return None
    return _rank_before(text, end, skip_space(text, end))


def _stop_rank(text: str, match: re.Match[str]) -> Rank | None:
    end = match.end()
    if end < len(text) and not text[end].isspace():
        return None
    follows = skip_space(text, end)
    rank = _rank_before(text, end, follows)
    if rank is Rank.PARAGRAPH:
        return rank
    if text[follows] in _OPENING:
        follows = min(follows + 1, len(text) - 1)
    if text[follows].islower():
        return None
    stop = match.start()
    if match.group("stop") == "." and end == stop + 1 and _is_abbreviation(text, stop, text[follows]):
        return None
    return rank


def _rank_before(text: str, end: int, follows: int) -> Rank:
    """A paragraph ends where an empty line or nothing follows."""
    return Rank.PARAGRAPH if follows == len(text) or text.count("\n", end, follows) > 1 else Rank.SENTENCE


def _is_abbreviation(text: str, stop: int, following: str) -> bool:
    """Whether the full stop at ``stop`` belongs to the word before it: "Dr.", "J.", "U.S.", "No. 5", "1. item"."""
    found = _LAST_WORD.search(text[max(0, stop - 12) : stop])
    if not found:
        return False
    word = found.group().lower()
    tail = word.rpartition(".")[2]
    if len(tail) == 1 and tail.isalpha():
        return True
    if word in _ABBREVIATIONS or (word in _BEFORE_NUMBER and following.isdigit()):
        return True
    start = stop - len(word)
    line = text[max(0, start - _DEEPEST_ITEM) : start].rpartition("\n")[2]
    return word.isdigit() and len(word) <= 3 and not line.strip(" \t(>*-")


def skip_space(text: str, position: int) -> int:
    """The first place from ``position`` on that is not white space; a space that carries a combining mark is not."""
    match = _SPACES.match(text, position)
    end = match.end() if match else position
    return end - 1 if end > position and joined(text, end, position) else end


_ZWJ = "\u200d"
_PREPENDED = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd")


def joined(text: str, position: int, start: int) -> bool:
    """Whether the characters on both sides of ``position`` are one grapheme, and must not be separated.

    A cautious reading of Unicode's extended grapheme clusters (UAX #29) with the tables of :mod:`unicodedata`: it may
    join more (both sides of every zero-width joiner), not less.

    :param start: a place at or before ``position`` that is known to separate graphemes.
    """
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    if before < "\u0300" and after < "\u0300":
        return before == "\r" and after == "\n"
    if unicodedata.category(before) in ("Cc", "Zl", "Zp"):
        return False
    return (
        _extends(after)
        or _joins_next(before, after)
        or _is_hangul_inside(before, after)
        or (_is_flag_half(before) and _is_flag_half(after) and _flag_halves(text, position, start) % 2 == 1)
    )


def _extends(character: str) -> bool:
    """Combining marks, variation selectors, joiners, emoji skin tones and tags, low surrogates."""
    return (
        unicodedata.category(character) in ("Mn", "Mc", "Me")
        or character in "\u200c\u200d\u0e33\u0eb3\uff9e\uff9f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
        or "\udc00" <= character <= "\udfff"
    )


def _joins_next(before: str, after: str) -> bool:
    if before == _ZWJ or unicodedata.combining(before) == 9:  # 9: a virama, which binds the next consonant
        return not after.isspace()
    return before in _PREPENDED


def _is_hangul_inside(before: str, after: str) -> bool:
    if "\u1160" <= after <= "\u11ff" or "\ud7b0" <= after <= "\ud7fb":
        return True
    leading = "\u1100" <= before <= "\u115f" or "\ua960" <= before <= "\ua97c"
    return leading and ("\uac00" <= after <= "\ud7a3" or "\u1100" <= after <= "\u115f" or "\ua960" <= after <= "\ua97c")


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_halves(text: str, position: int, start: int) -> int:
    count = 0
    while position - count > start and _is_flag_half(text[position - count - 1]):
        count += 1
    return count
