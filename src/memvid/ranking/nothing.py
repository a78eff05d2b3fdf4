"""Why a search found nothing, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memvid.index.keywords import search_terms
from memvid.ranking.phrases import Phrases

if TYPE_CHECKING:
    from memvid.config import SearchOptions
    from memvid.index import IndexManager

__all__ = ["why_nothing"]


def why_nothing(index: IndexManager, query: str, options: SearchOptions) -> str:
    """The first of its conditions that no chunk meets; of a search that has found nothing."""
    if not index.count:
        return "the memory has no chunks"
    where = options.where
    if where is not None and not len(index.ids_where(where)):
        return index.why_none(where) or "no chunk passes the filter"
    chunk = "no chunk" if where is None else "no chunk that passes the filter"
    if quoted := Phrases(query).quoted:
        return f"{chunk} has " + " and ".join(f'"{phrase}"' for phrase in quoted)
    if options.mode == "keyword":
        words = search_terms(query)
        return f"{chunk} has any of the words {', '.join(words)}" if words else "there is no word in the query"
    if options.min_score is not None:
        return f"{chunk} has a score of {options.min_score:g} or more"
    return ""
