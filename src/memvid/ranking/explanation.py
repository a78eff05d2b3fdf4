"""Why an answer is where it is, in words."""

from __future__ import annotations

from memvid.index.keywords import indexed_terms
from memvid.ranking.pool import Hit, Pool

__all__ = ["explain", "ordinal"]


def explain(hit: Hit, pool: Pool) -> str:
    """What a hit's relevance is made of, how it compares with the other candidates, and what became of it."""
    asked = pool.asked
    parts = [_relevance(hit, pool)]
    if asked.vector is not None:
        parts.append(f"{ordinal(1 + int((pool.candidates.cosines > hit.cosine).sum()))} by meaning")
    if asked.words is None:
        if asked.wants_words:
            parts.append("the index has no words")
    elif hit.keyword > 0:
        rank = ordinal(1 + int((pool.candidates.keyword > hit.keyword).sum()))
        has = set(indexed_terms(hit.text))
        parts.append(f"{rank} by words ({', '.join(term for term in asked.frequencies if term in has)})")
    elif any(asked.frequencies.values()):
        parts.append("none of the words")
    else:
        parts.append("no chunk has any of the words")
    parts += [f'has "{phrase}"' for phrase in asked.phrases.quoted]
    if asked.unknown_fields:
        parts.append(asked.unknown_fields)
    if hit.copies:
        parts.append(f"{len(hit.copies)} more with this text")
    return "; ".join(parts + hit.notes)


def _relevance(hit: Hit, pool: Pool) -> str:
    share = pool.candidates.share
    best = float(pool.candidates.keyword.max(initial=0))
    if pool.asked.vector is None:
        return f"relevance {hit.keyword:.2f}, of the words (BM25)"
    if share == 0 or best <= 0:
        return f"relevance {hit.cosine:.3f}, the cosine"
    relevance = (1 - share) * hit.cosine + share * hit.keyword / best
    return (
        f"relevance {relevance:.3f} = {1 - share:.2g} * cosine {hit.cosine:.3f} "
        f"+ {share:.2g} * words {hit.keyword:.2f} / {best:.2f}"
    )


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ..."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
