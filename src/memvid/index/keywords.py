"""Keyword search: what a word is, and how chunks that contain the words are ranked.

The FTS5 table keeps only which chunks contain a word (``detail=none``): no positions, no counts, no text. Ranking is
BM25 with every count taken as one; on short chunks that costs about a point of MRR and saves more than half the size.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memvid.index.arrays import IntArray
from memvid.long_texts import pieces
from memvid.unspaced_scripts import is_unspaced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["length_code", "normalise", "query_terms", "rank"]


_K1 = 1.2
_B = 0.5
_PIECE = 1 << 20  # characters normalised at a time
_MOST_NORMAL = 24 << 20  # characters that come of a text
_MAX_TERMS = 64  # of a query; the rest, in its order, is ignored
_MAX_TERM_BYTES = 200
_DRIVING_ROWS = 10_000  # postings read for the rare words of a query; commoner words only re-rank what those found
_TERM = re.compile("[a-z0-9\x80-\U0010ffff]+")  # exactly what FTS5's `ascii` tokenizer takes as one token
_LENGTHS = np.expm1(np.arange(256) / 16)  # words for each length code: within 3 % up to 8 million


class _CharacterMap(dict[int, str]):
    """How :func:`normalise` writes each character; worked out once for each that is met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if category[0] == "M":
            mapped = ""
        elif code < 128 or category[0] == "N":
            mapped = char
        elif category == "Lo" and is_unspaced(code):
            mapped = f" {char} "  # a token for each character
        else:
            mapped = char if category[0] == "L" else " "
        self[code] = mapped
        return mapped


_CHARACTERS = _CharacterMap()


def normalise(text: str) -> str:
    """Text as it is handed to FTS5's ``ascii`` tokenizer, which folds ASCII case and splits at the rest.

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


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKD", text.casefold()).translate(_CHARACTERS).replace("\0", " ")


def query_terms(text: str) -> list[str]:
    """The distinct words of a query in its order, each exactly one token of the index and none of it FTS5 syntax."""
    words = dict.fromkeys(_TERM.findall(normalise(text).lower()))
    return [word for word in words if len(word.encode()) <= _MAX_TERM_BYTES][:_MAX_TERMS]


def length_code(blanks: int) -> int:
    """A chunk's length in words, as one byte, from the number of its blanks."""
    return min(255, round(math.log1p(blanks + 1) * 16))


def rank(
    terms: Sequence[str],
    k: int,
    *,
    frequency: Callable[[str], int],
    matches: Callable[[str, Sequence[str]], IntArray],
    rows: Callable[[IntArray], IntArray],
    lengths: npt.NDArray[np.uint8],
) -> tuple[IntArray, npt.NDArray[np.float32]]:
    """Rank the chunks that contain any of ``terms``.

    :param frequency: in how many chunks a term is.
    :param matches: ``matches(term, among)``: ids of the chunks with ``term`` and, if there are any, one of ``among``.
    :param rows: rows of chunk ids.
    :param lengths: uint8[rows], length codes.
    :returns: ids int64[m] and BM25 scores float32[m], m <= k, best first, ties by id.
    """
    count = len(lengths)
    known = sorted((df, position, term) for position, term in enumerate(terms) if (df := frequency(term)))
    driving: list[str] = []
    parts: list[tuple[IntArray, float]] = []
    budget = _DRIVING_ROWS
    for df, _, term in known:
        weight = math.log1p((count - df + 0.5) / (df + 0.5)) * (_K1 + 1)
        if not driving or df <= budget:
            driving.append(term)
            budget -= df
            parts.append((matches(term, ()), weight))
        else:
            parts.append((matches(term, driving), weight))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    ids, where = np.unique(np.concatenate([found for found, _ in parts]), return_inverse=True)
    weights = np.repeat([weight for _, weight in parts], [len(found) for found, _ in parts])
    words = _LENGTHS[lengths]
    relative = words[rows(ids)] / words.mean()
    scores = (np.bincount(where, weights, len(ids)) / (1 + _K1 * (1 - _B + _B * relative))).astype(np.float32)
    order = np.lexsort((ids, -scores))[:k]
    return ids[order], scores[order]
