"""Another look at the best candidates, by their texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvid.errors import MemvidError, RerankError
from memvid.types import Rerank

__all__ = ["PIECES_OF", "best_pieces", "rerank_scores"]

PIECES_OF = 10
"""How many of the best candidates ``rerank="pieces"`` looks at."""

_PIECE = 300  # characters
_MOST_PIECES = 40  # of a text

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def rerank_scores(rerank: Rerank, query: str, texts: list[str]) -> list[float]:
    """What a function or a cross-encoder says of texts.

    :raises RerankError: it fails, or does not give a finite number for each.
    :raises ConfigError: the folder holds no cross-encoder.
    """
    score: Callable[[str, list[str]], Any]
    if callable(rerank):
        score = rerank
    else:
        from memvid.embedding.cross_encoder import shared_cross_encoder

        score = shared_cross_encoder(rerank)
    if not texts:
        return []
    name = getattr(rerank, "__qualname__", type(rerank).__qualname__) if callable(rerank) else os.fspath(rerank)
    try:
        given: Any = score(query, list(texts))
        scores = np.asarray(given, np.float64).reshape(-1)
    except (MemvidError, MemoryError):
        raise
    except Exception as error:
        raise RerankError(f"rerank {name} failed on {len(texts)} texts: {type(error).__name__}: {error}") from error
    if len(scores) != len(texts) or not np.isfinite(scores).all():
        raise RerankError(f"rerank {name} gave {len(scores)} scores for {len(texts)} texts: expected a finite one each")
    return scores.tolist()


def best_pieces(vector: NDArray[np.float32], texts: Sequence[str], embed: Embed) -> list[float]:
    """The cosine of the best piece of each text to a query; pieces are of 300 characters, 40 of a text at most.

    :param vector: float32[dim] of the query.
    :param embed: makes the vectors of passages.
    """
    pieces = [_pieces(text) for text in texts]
    vectors = embed([piece for some in pieces for piece in some])
    cosines = vectors @ vector / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector), 1e-12)
    ends = np.cumsum([len(some) for some in pieces]).tolist()
    return [float(cosines[end - len(some) : end].max()) for some, end in zip(pieces, ends, strict=True)]


def _pieces(text: str) -> list[str]:
    from memvid.chunking import split_text

    beginning = text[: _PIECE * _MOST_PIECES]
    return list(split_text(beginning, chunk_size=_PIECE)) or [beginning]
