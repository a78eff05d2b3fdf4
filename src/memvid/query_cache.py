"""What a retriever keeps from one question to the next: embeddings of queries, counters."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

__all__ = ["QueryCache", "Tally"]


class QueryCache:
    """Embeddings of recent queries, least recently used dropped first. Safe to share between threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def get(self, query: str) -> NDArray[np.float32] | None:
        """``float32[dim]`` of a query, if it is known."""
        with self._lock:
            vector = self._vectors.get(query)
            if vector is not None:
                self._vectors.move_to_end(query)
            return vector

    def put(self, query: str, vector: NDArray[np.float32]) -> None:
        """Keep ``float32[dim]`` of a query: a copy, not a view that keeps a whole batch in memory."""
        if self._size == 0:
            return
        with self._lock:
            self._vectors[query] = vector.copy()
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)


class Tally:
    """Counters and clocks of a retriever. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.queries = 0
        self.cached = 0
        self.seconds = {"embed": 0.0, "search": 0.0, "read": 0.0, "rank": 0.0}

    def add(self, queries: int, cached: int, **seconds: float) -> None:
        """Count queries, those of them whose embedding was known, and the seconds of each stage."""
        with self._lock:
            self.queries += queries
            self.cached += cached
            for stage, spent in seconds.items():
                self.seconds[stage] += spent
