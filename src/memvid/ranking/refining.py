"""Cosines of chunks of which the index knows little: their texts are read and embedded again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memvid.ranking.reranking import Embed

if TYPE_CHECKING:
    from memvid.ranking.pool import Stored

__all__ = ["REFINED", "Refiner"]

REFINED = 50
"""How many of the best candidates are embedded again."""

_AT_ONCE = 10  # texts in memory


class Refiner:
    """Makes vectors of chunks out of the texts in their frames, once for all queries of a call.

    :param read: gives chunks as they are in their frames, in the order of their ids.
    :param embed: makes the vectors of passages.
    """

    def __init__(self, read: Callable[[Sequence[int]], Sequence[Stored]], embed: Embed) -> None:
        self._read = read
        self._embed = embed
        self._vectors: dict[int, NDArray[np.float32]] = {}

    def refine(
        self, query: NDArray[np.float32], ids: NDArray[np.int64], cosines: NDArray[np.float32], best: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The cosines, with those in place of estimates whose chunks were embedded again in this call.

        :param query: float32[dim].
        :param cosines: estimates, one for each of ``ids``.
        :param best: places in ``ids``, the most relevant first: so many of them are embedded.
        """
        wanted = [chunk for chunk in ids[best[:REFINED]].tolist() if chunk not in self._vectors]
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            vectors = self._embed([stored[0] for stored in self._read(some)])
            self._vectors.update(zip(some, vectors, strict=True))
        refined = cosines.copy()
        length = max(float(np.linalg.norm(query)), 1e-30)
        for place, chunk in enumerate(ids.tolist()):
            vector = self._vectors.get(chunk)
            if vector is not None:
                refined[place] = float(vector @ query) / (length * float(np.linalg.norm(vector)))
        return refined

    def vectors_of(self, ids: Sequence[int], stored: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors of chunks, of those that were not embedded again as they are ``stored``."""
        return np.stack([self._vectors.get(chunk, stored[place]) for place, chunk in enumerate(ids)])
