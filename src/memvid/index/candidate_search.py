"""The candidates of questions by meaning, by words or by both, out of all segments, in one native call.

The native core walks the graphs and ranks by words side by side, gives all that either finds both scores, and one order
by the rule of :mod:`memvid.ranking.fusion`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from memvid import _core
from memvid.errors import IndexFormatError, VideoFormatError
from memvid.index.arrays import FloatArray, IntArray
from memvid.index.manifest import MEND
from memvid.index.vectors import SPARE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from memvid.index.segment_vectors import Plans, Vectors
    from memvid.index.segments import Records
    from memvid.index.selection import Selection

__all__ = ["CandidateSearch", "Scored"]


class Scored(NamedTuple):
    """The best by meaning and the best by words.

    :ivar ids: int64[n], the most relevant first, ties by id.
    :ivar cosines: float32[n]; zeros in a search by words alone.
    :ivar keyword: float32[n], BM25; zeros in a search by meaning alone.
    :ivar relevance: float64[n].
    :ivar share: what the words weigh in it, 0 to 1.
    :ivar nearest: how many were found by meaning.
    :ivar farthest: the cosine of the last of those.
    """

    ids: IntArray
    cosines: FloatArray
    keyword: FloatArray
    relevance: npt.NDArray[np.float64]
    share: float
    nearest: int
    farthest: float


class CandidateSearch:
    """Searches the vectors and words of all segments together.

    :param path: the index, for errors.
    :param vectors: of all segments.
    :param records: likewise; old ones, of which the core does not know the words, are searched by meaning alone.
    :param threads: for questions, and for the halves of one; ``None`` uses the cores this process may run on.
    """

    def __init__(self, path: Path, vectors: Vectors, records: Records, threads: int | None) -> None:
        self._path = path
        self._vectors = vectors
        self._records = records
        self._threads = threads or 0

    @property
    def knows_words(self) -> bool:
        """Whether terms may be asked for."""
        words = self._records.row_words
        return words is not None and words.core is not None

    def search(
        self,
        vectors: FloatArray | None,
        terms: Sequence[Sequence[str]],
        k: int,
        *,
        expansion: int,
        selection: Selection | None,
    ) -> list[Scored]:
        """The k best of each kind, for each question.

        :param vectors: float32[q, dim]; ``None`` searches by words alone.
        :param terms: of each question, as :func:`~memvid.index.keywords.search_terms` gives them.
        :param k: at most as many as there are chunks.
        :param expansion: candidates of a walk.
        :param selection: the rows that may be found; ``None`` is all that were not deleted.
        """
        wanted = self._records.living_rows if selection is None else selection
        if not self._vectors.parts:  # of an empty memory
            vectors = None
        if vectors is None:
            plans: Plans = [None] * len(self._vectors.parts)
        else:
            plans = self._vectors.plans(k, expansion=expansion, wanted=wanted)
        core = self._with_words if any(terms) else self._without_words
        try:
            found = core.search(
                vectors, terms, k, plans=plans, spare=SPARE, allowed=None if wanted is None else wanted.bits
            )
        except VideoFormatError as error:
            raise IndexFormatError(f"{self._path}: {error}: {MEND}") from error
        ids = self._records.row_map.ids
        return [Scored(ids(one[0]), *one[1:]) for one in found]

    @cached_property
    def _with_words(self) -> _core.CandidateSearch:
        words = self._records.row_words
        return self._over(None if words is None else words.core)

    @cached_property
    def _without_words(self) -> _core.CandidateSearch:  # which cost a pass over all chunks' lengths
        return self._over(None)

    def _over(self, words: _core.WordIndex | None) -> _core.CandidateSearch:
        return _core.CandidateSearch([part.graph for part in self._vectors.parts], words, threads=self._threads)

    def close(self) -> None:
        """Let go of the mappings; searches under way finish on them."""
        self.__dict__.pop("_with_words", None)
        self.__dict__.pop("_without_words", None)
