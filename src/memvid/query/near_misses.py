"""What a filter may have meant that names fields there are none of."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping

__all__ = ["near_misses", "near_misses_text"]

_MOST = 3


def near_misses(unknown: Iterable[str], known: Collection[str]) -> dict[str, list[str]]:
    """For each path that no chunk has, up to three similar ones that chunks have, the most similar first."""
    return {path: difflib.get_close_matches(path, sorted(known), n=_MOST) for path in sorted(unknown)}


def near_misses_text(misses: Mapping[str, Collection[str]]) -> str:
    """The same in words, ``""`` where there are none."""
    return "; ".join(
        f"no chunk has the metadata field {path!r}"
        + (f": did you mean {' or '.join(map(repr, similar))}?" if similar else "")
        for path, similar in misses.items()
    )
