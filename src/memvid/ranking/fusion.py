"""One order out of two scores: by meaning and by words. Pure functions on arrays.

A share of the relevance is the words', the rest the meaning's. Words say much where a few passages stand out by them,
and little where ten have nearly as much of the query as the best. So the share is half of how far the best stands out.
Where a rare word makes up a quarter of the query or more, it is what was asked for, a number or a name, and the share
is half as large again. A number with letters or signs, such as KD-4703, was asked for however many passages have it:
where it is known, words have a share at least. docs/search.md has what that was measured on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from memvid.index.words import word_weight

__all__ = ["NAMED", "fuse", "names", "words_share"]

_HALF = 0.5  # of the relevance: what words have that stand out
_MORE = 0.25  # and what they have on top where one is rare
_TENTH = 9  # the passage that the best stands out from
_DOMINANT = 0.25  # of the weight of all words: what one has that was asked for
_COMMON = 0.5  # of the weight that a word of a single chunk has: what a word has that is not rare at all
_STEEP = 4  # a word that is half as rare, or makes up half as much, was hardly what was asked for

_NAME = re.compile("(?=.*[0-9])(?=.*[^0-9])(?![0-9]+(?:st|nd|rd|th|s)$).")

NAMED = 0.3
"""The least share of the words of a query that names something which there is."""


def names(terms: Iterable[str]) -> list[str]:
    """The terms that are a number with letters or signs; years, ordinals and decades are none."""
    return [term for term in terms if _NAME.match(term)]


def words_share(frequencies: Sequence[int], count: int, scores: NDArray[np.float32]) -> float:
    """What the words of a query weigh against its meaning, 0 to three quarters.

    :param frequencies: in how many chunks each word is.
    :param count: how many chunks there are.
    :param scores: BM25 scores of the best passages by words, best first.
    """
    weights = [word_weight(frequency, count) for frequency in frequencies if frequency]
    if not weights or not len(scores) or scores[0] <= 0:
        return 0.0
    standing_out = 1 - float(scores[_TENTH]) / float(scores[0]) if len(scores) > _TENTH else 1.0
    rarest = max(weights)
    rarity = max(0.0, (rarest / word_weight(1, count) - _COMMON) / (1 - _COMMON))
    asked_for = min(1.0, rarest / math.fsum(weights) / _DOMINANT) * rarity
    return standing_out * (_HALF + _MORE * min(1.0, asked_for) ** _STEEP)


def fuse(cosines: NDArray[np.float32], keyword: NDArray[np.float32], share: float) -> NDArray[np.float64]:
    """Relevance float64[n]: the cosine, and the BM25 score as a part of the best one there is.

    :param share: of the words, see :func:`words_share`.
    """
    best = float(keyword.max(initial=0))
    if best <= 0 or share == 0:
        return cosines.astype(np.float64)
    return (1 - share) * cosines.astype(np.float64) + share * (keyword.astype(np.float64) / best)
