"""Embeddings without a model: words and character n-grams, hashed into a vector."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

import numpy as np

from memvid.checks import is_int
from memvid.embedding.protocol import Vectors, check_texts
from memvid.errors import ConfigError
from memvid.long_texts import pieces

__all__ = ["HashingEmbedder"]

_WORD = re.compile(r"\w+")
_WORD_WEIGHT = 3.0  # a shared word says more than the handful of trigrams it is made of
_TRIGRAM_WEIGHT = 1.0
_PIECE = 1 << 20  # characters of a text that are looked at at a time
_LONG_WORD = 1000  # characters


def _features(text: str) -> Iterator[tuple[str, float]]:
    """Features and their weights, each word taken once: of a long text most are repeated."""
    words: Counter[str] = Counter()
    for piece in pieces(text, _PIECE):
        words.update(_WORD.findall(piece.casefold()))
    for word, count in words.items():
        yield "w" + word, _WORD_WEIGHT * count
        for trigram, times in _trigrams(f"<{word}>"):
            yield "t" + trigram, _TRIGRAM_WEIGHT * times * count


def _trigrams(word: str) -> Iterable[tuple[str, int]]:
    """Runs of three characters, and how often each is there."""
    if len(word) < _LONG_WORD:
        return Counter(word[i : i + 3] for i in range(len(word) - 2)).items()
    codes = np.frombuffer(word.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
    runs, times = np.unique(codes[:-2] << 42 | codes[1:-1] << 21 | codes[2:], return_counts=True)
    texts = ("".join(chr(run >> shift & 0x1FFFFF) for shift in (42, 21, 0)) for run in runs.tolist())
    return zip(texts, times.tolist(), strict=True)


class HashingEmbedder:
    """Finds texts that share words or parts of words; knows nothing of meaning.

    Every word, and every run of three characters in it, is hashed (CRC-32) to a place and a sign. Counts are damped by
    a square root, the vector is brought to length 1. The same text gives the same vector on every machine. Costs some
    tens of microseconds a sentence, no model, no dependency but numpy.

    :param dim: length of the vectors, 8 to 65536.
    :raises ConfigError: for another ``dim``.
    """

    def __init__(self, dim: int = 512) -> None:
        if not is_int(dim, 8, 65536):
            raise ConfigError(f"dim={dim!r} is not possible: expected a whole number from 8 to 65536")
        self.dim = dim
        self.name = f"hashing-{dim}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed ``texts``: float32[n, dim], each of length 1.

        :raises EmbeddingError: if a text is not a string.
        """
        check_texts(texts)
        result = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(result, texts, strict=True):
            self._add(row, text)
        return result

    def _add(self, row: Vectors, text: str) -> None:
        for feature, weight in _features(text):
            code = crc32(feature.encode("utf-8", "surrogatepass"))
            row[code % self.dim] += weight if code >> 31 else -weight
        if not row.any():  # no word, or words that cancel out: the text as a whole is the one feature left
            row[crc32(text.encode("utf-8", "surrogatepass")) % self.dim] = 1
        np.copysign(np.sqrt(np.abs(row)), row, out=row)
        row /= np.linalg.norm(row)

    def __repr__(self) -> str:
        return f"HashingEmbedder(dim={self.dim})"
