"""What stands for words where a script puts no blanks between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

__all__ = ["with_pairs"]

# Thai and Lao, Burmese, Khmer, kana, ideographs.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def with_pairs(words: Iterable[str]) -> Iterator[str]:
    """``words``; of each that is a run of letters without blanks, the pairs of neighbouring letters."""
    for word in words:
        if len(word) > 2 and _UNSPACED.search(word):
            yield from (word[start : start + 2] for start in range(len(word) - 1))
        else:
            yield word
