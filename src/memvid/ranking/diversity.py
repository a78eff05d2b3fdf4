"""Answers that do not repeat each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["diverse_order"]


def diverse_order(
    relevance: Sequence[float], vectors: NDArray[np.float32], *, diversity: float, limit: int
) -> list[int]:
    """The places of at most ``limit`` candidates, by maximal marginal relevance (Carbonell and Goldstein 1998).

    The best candidate comes first; then always the one with the most of ``(1 - diversity) * relevance - diversity *
    likeness``, where relevance is stretched so that the best has 1 and the worst 0, and likeness is the largest cosine
    to one that was taken.

    :param relevance: of the candidates, the best first.
    :param vectors: float32[n, dim] of the candidates, of any length.
    """
    if not relevance:
        return []
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    worth = np.asarray(relevance, np.float64) / 2  # a reranker may give numbers whose difference would be none
    worth = (worth - worth.min()) / max(float(np.ptp(worth)), 1e-12)
    nearest = np.zeros(len(worth))
    left = np.ones(len(worth), bool)
    order: list[int] = []
    while len(order) < min(limit, len(worth)):
        value = np.where(left, (1 - diversity) * worth - diversity * nearest, -np.inf)
        best = int(np.argmax(value)) if order else int(np.argmax(worth))
        order.append(best)
        left[best] = False
        nearest = np.maximum(nearest, unit @ unit[best])
    return order
