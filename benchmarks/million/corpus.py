"""A seeded corpus of any size that looks to a compressor like the real text it is made from.

Pieces of two to six words of real passages are put together anew. A document of a few dozen chunks takes most of its
pieces from a small neighbourhood of the source, because real text repeats itself within a page, and the rest from
everywhere. Made-up names and numbers stand between them, each document's own, its commonest by Zipf's law: a corpus a
hundred times the source would otherwise say nothing new. The shares are set so that pages compress no better than real
ones: ``calibrate`` measures both. The words of a chunk have nothing to do with its vector; no figure depends on that.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence

import numpy as np
import zstandard
from numpy.typing import NDArray

from memvid.page import sample_plan, train_dictionary

__all__ = ["BLOCK", "SyntheticText", "calibrate"]

BLOCK = 1000
"""Chunks made at a time; each block can be made by itself."""

_DOCUMENT = 25  # chunks that share a neighbourhood
_NEIGHBOURHOOD = 600  # pieces: some twenty-five passages of the source
_TOPICAL = 0.60  # share of pieces from the neighbourhood
_MADE_UP = 0.15  # share of names and numbers
_SLOTS = (16, 25)  # pieces a chunk
_VOCABULARY = 200_000
_NAMES = 150  # of them, those that one document uses
_SYLLABLES = ("b,br,c,d,dr,f,g,h,k,l,m,n,p,r,s,st,t,th,v,w", "a,e,i,o,u,ai,ea", ",l,n,r,s,t")
_PAGE = 16  # chunks a page holds, about
_LEVEL = 19


class SyntheticText:
    """Chunks of about 500 bytes: ``block(i)`` gives chunks ``i * BLOCK`` to ``(i + 1) * BLOCK - 1``.

    The same passages and seed give the same chunks. Makes more than 50,000 a second.
    """

    def __init__(self, passages: Sequence[str], *, seed: int = 0) -> None:
        self._seed = seed
        rng = np.random.default_rng([seed, 1])
        pieces = _pieces(passages, rng)
        self._real = len(pieces)
        self._pieces = pieces + _vocabulary(rng)

    def block(self, number: int) -> list[str]:
        """The chunks of one block."""
        rng = np.random.default_rng([self._seed, 2, number])
        slots = rng.integers(*_SLOTS, BLOCK)
        ends = np.cumsum(slots)
        numbers = self._draw(rng, np.repeat(np.arange(BLOCK) // _DOCUMENT, slots)).tolist()
        get = self._pieces.__getitem__
        return [
            " ".join(map(get, numbers[end - size : end]))
            for end, size in zip(ends.tolist(), slots.tolist(), strict=True)
        ]

    def blocks(self, chunks: int) -> Iterator[list[str]]:
        """The first ``chunks`` chunks, a block at a time."""
        for number in range(-(-chunks // BLOCK)):
            yield self.block(number)[: chunks - number * BLOCK]

    def texts(self, chunk_ids: Sequence[int]) -> list[str]:
        """Some chunks; costs a block for each distinct one."""
        blocks = {number: self.block(number) for number in {chunk_id // BLOCK for chunk_id in chunk_ids}}
        return [blocks[chunk_id // BLOCK][chunk_id % BLOCK] for chunk_id in chunk_ids]

    def _draw(self, rng: np.random.Generator, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which piece stands in each slot."""
        count, total = len(documents), BLOCK // _DOCUMENT
        starts = rng.integers(0, self._real, total)[documents]
        near = (starts + rng.integers(0, _NEIGHBOURHOOD, count)) % self._real
        names = self._real + rng.integers(0, _VOCABULARY, (total, _NAMES))
        own = names[documents, np.exp(rng.random(count) * np.log(_NAMES)).astype(np.int64) - 1]  # Zipf's law
        which = rng.random(count)
        drawn = np.where(which < _TOPICAL, near, rng.integers(0, self._real, count))
        return np.where(which >= 1 - _MADE_UP, own, drawn)


def _pieces(passages: Sequence[str], rng: np.random.Generator) -> list[str]:
    pieces = []
    for passage in passages:
        words = passage.split()
        start = 0
        for size in rng.integers(2, 7, len(words)).tolist():
            if start >= len(words):
                break
            pieces.append(" ".join(words[start : start + size]))
            start += size
    return list(dict.fromkeys(pieces))


def _vocabulary(rng: np.random.Generator) -> list[str]:
    """Names out of syllables, every fifth a number instead, commonest first."""
    onsets, vowels, codas = (part.split(",") for part in _SYLLABLES)
    syllables = [onset + vowel + coda for onset in onsets for vowel in vowels for coda in codas]
    picks = rng.integers(0, len(syllables), (_VOCABULARY, 3)).tolist()
    lengths = rng.integers(2, 4, _VOCABULARY).tolist()
    numbers = rng.integers(2, 100_000, _VOCABULARY).tolist()
    return [
        f"{numbers[i]:,}" if i % 5 == 4 else "".join(syllables[k] for k in picks[i][: lengths[i]]).capitalize()
        for i in range(_VOCABULARY)
    ]


def calibrate(chunks: Sequence[str], *, pages: int = 300) -> dict[str, float]:
    """Compressed bytes to text bytes of ``chunks``: zstd 19 a page of 16, without and with a dictionary trained as the
    encoder does, and gzip -9 of everything."""
    records = [chunk.encode() for chunk in chunks]
    nbytes = sum(map(len, records))
    plan = sample_plan(len(records), nbytes)
    trained = train_dictionary([records[i] for i in plan], nbytes)
    starts = np.linspace(0, len(records) - _PAGE, min(pages, len(records) // _PAGE)).astype(int).tolist()
    bodies = [b"".join(records[start : start + _PAGE]) for start in starts]
    plain = zstandard.ZstdCompressor(level=_LEVEL)
    size = sum(map(len, bodies))
    result = {
        "mean_chunk_bytes": nbytes / len(records),
        "zstd19_page": sum(len(plain.compress(body)) for body in bodies) / size,
        "gzip9": len(gzip.compress(b"\n".join(records), 9)) / nbytes,
    }
    if trained is not None:
        fitted = zstandard.ZstdCompressor(level=_LEVEL, dict_data=zstandard.ZstdCompressionDict(trained))
        result["zstd19_page_dictionary"] = sum(len(fitted.compress(body)) for body in bodies) / size
    return result
