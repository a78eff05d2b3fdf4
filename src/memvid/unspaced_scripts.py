"""Scripts that put no blanks between words: which they are, and what stands for words in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

__all__ = ["UNSPACED", "is_unspaced", "with_pairs"]

# CJK radicals, kana and ideographs, Thai, Lao, Burmese, Khmer. The tokens of every index depend on it.
_RANGES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x31FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
UNSPACED = f"[{''.join(f'{chr(first)}-{chr(last)}' for first, last in _RANGES)}]"
"""A pattern of one such character."""


@cache
def _unspaced() -> re.Pattern[str]:  # takes milliseconds to compile, which most texts never need
    return re.compile(UNSPACED)


def is_unspaced(code: int) -> bool:
    """Whether a character is of such a script."""
    return any(first <= code <= last for first, last in _RANGES)


def with_pairs(words: Iterable[str]) -> Iterator[str]:
    """``words``; of each that is a run of letters without blanks, the pairs of neighbouring letters."""
    for word in words:
        if len(word) > 2 and not word.isascii() and _unspaced().search(word):
            yield from (word[start : start + 2] for start in range(len(word) - 1))
        else:
            yield word
