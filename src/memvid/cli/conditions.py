"""``--where``: conditions on metadata as they are typed, turned into a filter."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["parse_value", "parse_where", "where"]

_CONDITION = re.compile(r"\s*(?P<key>.+?)\s*(?P<sign>!=|>=|<=|~=|\^=|=|>|<)\s*(?P<value>.*)", re.DOTALL)
_COMPARISONS = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_PYTHON = {"True": True, "False": False, "None": None}
_TEXT_SEARCHES = {"~=": "$contains", "^=": "$prefix"}


def parse_where(conditions: Iterable[str]) -> dict[str, Any] | None:
    """Turn conditions, all of which must hold, into a filter; of several ``key=value`` of one key any may.

    A value that reads as a JSON number, string, boolean or null, or as one of Python's, stands for that and for the
    text itself, so ``year=1999`` finds both ``1999`` and ``"1999"``. Blanks around the sign do not count.

    :raises click.BadParameter: one is neither ``key=value``, with another sign or not, nor a filter as JSON.
    """
    equal: dict[str, Any] = {}
    others: list[dict[str, Any]] = []
    for condition in conditions:
        if condition.startswith("{"):
            others.append(_read_filter(condition))
            continue
        parts = _CONDITION.fullmatch(condition)
        if parts is None:
            raise _refusal(f"{condition!r} is not key=value, key>=value or the like, and no filter as JSON")
        key, sign, value = parts.groups()
        if sign == "=":
            equal.setdefault(key, []).extend(_readings(value))
        else:
            others.append({key: _operation(sign, value)})
    if not others:
        return equal or None
    parts_of_all = [*([equal] if equal else []), *others]
    where: dict[str, Any] = parts_of_all[0] if len(parts_of_all) == 1 else {"$and": parts_of_all}
    _check(where)
    return where


def parse_value(text: str) -> Any:
    """What JSON makes of a text; the text itself where it is none, as ``NaN`` and ``Infinity`` are."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _operation(sign: str, value: str) -> dict[str, Any]:
    if sign in _TEXT_SEARCHES:
        return {_TEXT_SEARCHES[sign]: value}
    readings = _readings(value)
    if sign == "!=":
        return {"$nin": readings}
    compared = [{_COMPARISONS[sign]: reading} for reading in readings]
    return compared[0] if len(compared) == 1 else {"$or": compared}


def _readings(value: str) -> list[Any]:
    """The text, and what it is as JSON if that is a scalar."""
    if value in _PYTHON:
        return [value, _PYTHON[value]]
    scalar = parse_value(value)
    is_another = scalar is None or isinstance(scalar, int) or (isinstance(scalar, str) and scalar != value)
    is_another = is_another or (isinstance(scalar, float) and math.isfinite(scalar))
    return [value, scalar] if is_another else [value]


def _read_filter(text: str) -> dict[str, Any]:
    try:
        where = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(f"{text:.200} is not JSON: {error}") from error
    _check(where)
    return dict(where)


def _check(where: object) -> None:
    from memvid.errors import QueryError
    from memvid.query import parse_filter

    try:
        parse_filter(where)
    except QueryError as error:
        raise _refusal(str(error)) from error


def _refusal(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="--where")


def _convert(_context: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> dict[str, Any] | None:
    return parse_where(value)


where = click.option(
    "--where",
    multiple=True,
    callback=_convert,
    metavar="CONDITION",
    help="Only chunks with such metadata: KEY=VALUE, or with != > >= < <= ~= (has it in it) ^= (begins with it) in "
    "place of =, or a filter as JSON. Repeatable: all must hold, but of one KEY= given several times any may.",
)
