"""How a segment is searched: by a walk of its graph, or by comparing with every vector that may be found."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memvid.index.vectors import SMALL, SPARE

__all__ = ["Walk", "plan_walk"]

# What is compared, in the time in which a walk compares a vector; as measured with 384 dimensions:
_SCANNED = 2  # vectors, one after the other
_THROUGH = 1 / 12  # candidates of a walk through all nodes that it keeps in the end
_BETWEEN = 1 / 20  # candidates of a walk between those that may be found, which also reads the links of others
_FILLED = 3  # times as many vectors as fill a beam if those that may be found lie everywhere: they do not
_SPARE = SPARE + 8  # candidates beyond k of a walk through all nodes
_WIDE = 448  # candidates of a walk between those that may be found, at least
_SPARSE = 1 / 40  # of all nodes: such a walk gets from one to the other down to this share


@dataclass(frozen=True, slots=True)
class Walk:
    """How to walk.

    :ivar width: candidates that are kept.
    :ivar through: vectors to compare, on a walk through all nodes, to find so many that may be found; if they lie
        everywhere, it finds them sooner. ``None`` goes on to the end.
    :ivar between: candidates of the walk that follows where it does not, between those that may be found; 0 if it is
        sooner compared with each.
    """

    width: int
    through: int | None = None
    between: int = 0


def plan_walk(total: int, count: int, k: int, *, expansion: int, filtered: bool) -> Walk | None:
    """How to find the k nearest of ``count`` that may be found, of ``total``; ``None``: by comparing with each.

    :param expansion: candidates of a walk without a filter.
    :param filtered: whether only some may be found.
    """
    if count <= SMALL or count <= 4 * k:
        return None  # a walk would compare most of them anyway
    expansion = min(expansion, total)
    if not filtered:
        return Walk(expansion)
    share = count / total
    width = max(math.ceil(expansion * share), k + _SPARE)  # reaches as far as a walk without a filter, or as k need
    between = max(_WIDE, expansion, k + _SPARE)
    through_cost, between_cost = width / share / _THROUGH, between / _BETWEEN
    if count <= _SCANNED * min(through_cost, between_cost):
        return None
    if through_cost <= between_cost:
        is_scanned = count <= _SCANNED * between_cost or share < _SPARSE
        return Walk(width, math.ceil(_FILLED * width / share), 0 if is_scanned else between)
    return Walk(width, 0, between) if share >= _SPARSE else None
