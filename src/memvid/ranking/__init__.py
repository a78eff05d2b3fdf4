"""What a search finds, and in which order: by meaning, by words, by both; without copies; with phrases as they stand.

:mod:`~memvid.ranking.search` is the way from queries to answers. It takes candidates from the index
(:mod:`~memvid.ranking.candidates`), gives them one order (:mod:`~memvid.ranking.fusion`) and reads them out of the
frames until there are enough (:mod:`~memvid.ranking.pool`).
"""

from __future__ import annotations

from memvid.ranking.nothing import why_nothing
from memvid.ranking.search import RankedSearch

__all__ = ["RankedSearch", "why_nothing"]
