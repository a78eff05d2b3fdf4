"""What a filter may have meant that names fields there are none of."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from memvid.query.filters import AllOf, AnyOf, Filter, OneOf, Prefix
from memvid.query.values import Kind, Value, value_of

__all__ = ["missing_values_text", "near_misses", "near_misses_text"]

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


def missing_values_text(where: Filter, has: Callable[[Filter], bool], strings: Callable[[str], set[str]]) -> str:
    """Which values a filter asks for that no chunk has, and what may have been meant; ``""`` where there are none.

    :param has: whether some chunk passes a filter.
    :param strings: the strings at a path.
    """
    notes = []
    for asked in _wanted(where):
        if not has(asked):
            others = _other_kinds(asked)
            is_other = bool(others) and has(OneOf(asked.path, frozenset(others)))
            similar = list(others.values()) if is_other else _similar(_texts(asked), strings(asked.path))
            meant = f": did you mean {' or '.join(map(repr, similar))}?" if similar else ""
            notes.append(f"no chunk has {_described(asked)} in {asked.path!r}{meant}")
    return "; ".join(dict.fromkeys(notes))


def _wanted(where: Filter) -> Iterator[OneOf | Prefix]:
    """The conditions that some value has to be there for."""
    if isinstance(where, (AllOf, AnyOf)):
        for part in where.parts:
            yield from _wanted(part)
    elif isinstance(where, Prefix) or (isinstance(where, OneOf) and where.values):
        yield where


def _texts(asked: OneOf | Prefix) -> list[str]:
    if isinstance(asked, Prefix):
        return [asked.text]
    return sorted(value.value for value in asked.values if value.kind == Kind.STRING)


def _described(asked: OneOf | Prefix) -> str:
    if isinstance(asked, Prefix):
        return f"a value that begins with {asked.text!r}"
    texts = _texts(asked)  # on the command line, a number stands for its text as well
    others = [value.value for value in asked.values if value.kind != Kind.STRING and str(value.value) not in texts]
    return " or ".join(sorted(map(repr, [*texts, *others])))


def _other_kinds(asked: OneOf | Prefix) -> dict[Value, Any]:
    """Numbers in place of strings that read as such, and strings in place of numbers."""
    others: dict[Value, Any] = {}
    if isinstance(asked, Prefix):
        return others
    for kind, plain in asked.values:
        try:
            other = str(plain) if kind == Kind.NUMBER else int(plain) if kind == Kind.STRING else None
        except ValueError:
            continue
        value = None if other is None else value_of(other)
        if value is not None and value not in asked.values:
            others[value] = other
    return others


def _similar(wanted: Iterable[str], known: Collection[str]) -> list[str]:
    """Up to three strings that are like one of some: with other case, longer by folders in front, or nearly so."""
    found: list[str] = []
    for text in filter(None, wanted):
        end = f"/{text}".casefold()
        found += [each for each in sorted(known) if f"/{each}".casefold().endswith(end)]
        if not text.isnumeric():  # another number is not meant
            found += difflib.get_close_matches(text, sorted(known), n=_MOST)
    return list(dict.fromkeys(found))[:_MOST]
