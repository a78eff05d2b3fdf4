"""How a segment is searched: by a walk of its graph, or by comparing with every vector that may be found."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memvid.index.vectors import SMALL, SPARE

__all__ = ["Walk", "plan_walk"]

# What is compared, in the time in which a walk compares a vector; as measured with 384 dimensions:
_SCANNED = 2  # vectors, one after the other
_SKIMMED = 10  # vectors of which the signs are looked at
_THROUGH = 1 / 12  # candidates of a walk through all nodes that it keeps in the end
_FILLED = 3  # times as many vectors as fill a beam if those that may be found lie everywhere: they do not
_SPARE = SPARE + 8  # candidates beyond k of a walk through all nodes
_LEAST = 1 / 2  # of a walk's candidates, also where fewer reach as far: what passes may lie around the query
_COMPARED = 512  # of those that were skimmed, at least
_COMPARED_FOR_EACH = 16  # answer
_SIGNS = 512 * 384  # are looked at of those, at least: fewer dimensions tell less
_FEW = 16_384  # are compared sooner than a walk gives up, and are no reason to make the signs of all


@dataclass(frozen=True, slots=True)
class Walk:
    """How to walk.

    :ivar width: candidates that are kept.
    :ivar through: vectors to compare, on a walk through all nodes, to find so many that may be found; if they lie
        everywhere, it finds them sooner. 0 does not begin one, ``None`` goes on to the end.
    :ivar skimmed: where there was none, or it gave up, all that may be found are skimmed, and so many compared.
    """

    width: int
    through: int | None = None
    skimmed: int = 0


def plan_walk(total: int, count: int, k: int, *, dim: int, expansion: int, filtered: bool) -> Walk | None:
    """How to find the k nearest of ``count`` that may be found, of ``total``; ``None``: by comparing with each.

    :param dim: length of the vectors.
    :param expansion: candidates of a walk without a filter.
    :param filtered: whether only some may be found.
    """
    if count <= SMALL or count <= 4 * k:
        return None  # a walk would compare most of them anyway
    expansion = min(expansion, total)
    if not filtered:
        return Walk(expansion)
    share = count / total
    width = max(math.ceil(expansion * max(share, _LEAST)), k + _SPARE)  # reaches as far as a walk without a filter
    skimmed = max(_COMPARED, _SIGNS // dim, _COMPARED_FOR_EACH * k)
    through_cost, skim_cost = width / share / _THROUGH, skimmed + count / _SKIMMED
    if count <= max(_FEW, _SCANNED * skim_cost) and count <= _SCANNED * through_cost:
        return None
    return Walk(width, math.ceil(_FILLED * width / share) if through_cost <= skim_cost else 0, skimmed)
