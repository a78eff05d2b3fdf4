"""What a number given by a caller can be. ``True`` is none, although Python takes it for one."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable
from numbers import Integral
from typing import TypeGuard

from memvid.errors import ChunkNotFoundError, ConfigError

__all__ = [
    "ID_LIMIT",
    "JOINERS",
    "check_chunk_id",
    "check_chunk_ids",
    "check_date",
    "check_words",
    "is_int",
    "is_line",
    "is_number",
    "is_text",
    "is_whole",
]

_DATE = re.compile("[0-9W-]{8,10}([T ][0-9:.,+-]+Z?)?", re.ASCII)
_MOST_WORDS = 4096  # bytes of a message: it stands in frames of its own

ID_LIMIT = 1 << 62
"""Above every id and every count that a memory may claim: sums of a few of them do not overflow."""


JOINERS = "\u200c\u200d\u00ad"
"""Characters that show nothing and belong to scripts and emoji all the same."""


def is_int(value: object, low: int, high: int | None = None) -> TypeGuard[int]:
    """Whether ``value`` is an ``int`` from ``low`` to ``high``."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)


def is_number(value: object, low: float, high: float) -> TypeGuard[float]:
    """Whether ``value`` is an ``int`` or ``float`` from ``low`` to ``high``, which NaN is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def is_text(value: object) -> TypeGuard[str]:
    """Whether ``value`` is a string that UTF-8 can hold: JSON, and so Python, knows halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def is_line(text: str) -> bool:
    """Whether a text is shown as one line, and steers nothing: no control characters, no bidirectional overrides."""
    return all(
        character in JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in text
    )


def is_whole(value: object, low: int) -> bool:
    """Whether ``value`` is a whole number of whatever type, also one of numpy's, of at least ``low``."""
    if type(value) is int:  # nearly always, and asking for an abstract class takes its time
        return value >= low
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= low


def check_words(name: str, value: object) -> str | None:
    """A title or a message, if one was given.

    :raises ConfigError: it is no text, none of Unicode, or has more than 4096 bytes.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f"{name} is a {type(value).__name__}: expected a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{name} has the lone surrogate U+{ord(value[error.start]):04X}: give whole characters"
        ) from error
    if size > _MOST_WORDS:
        raise ConfigError(f"{name} has {size} bytes: at most {_MOST_WORDS} are possible")
    return value


def check_date(value: object) -> str | None:
    """A date, or a date and a time, in ISO 8601, if one was given.

    :raises ConfigError: it is neither, nor a string of one.
    """
    if value is None:
        return None
    date = value.isoformat() if isinstance(value, datetime.date) else value  # a time is one, too
    if isinstance(date, str) and _DATE.fullmatch(date):  # Python takes any character between date and time
        for parse in (datetime.date.fromisoformat, datetime.datetime.fromisoformat):
            try:
                parse(date.replace("Z", "+00:00"))  # which Python 3.10 does not take
            except ValueError:
                continue
            return date
    raise ConfigError(f"date={value!r:.80} is not possible: expected a date, or a string like 2026-11-27")


def check_chunk_ids(chunk_ids: Iterable[object]) -> list[int]:
    """The ids of chunks, each as :func:`check_chunk_id`.

    :raises ChunkNotFoundError: one is none; or a single id was given, not a list of them.
    """
    if isinstance(chunk_ids, (str, bytes)) or not isinstance(chunk_ids, Iterable):
        raise ChunkNotFoundError(f"chunk_ids is {chunk_ids!r}: expected a list of ids")
    return [check_chunk_id(chunk_id) for chunk_id in chunk_ids]


def check_chunk_id(chunk_id: object) -> int:
    """The id of a chunk, if it can be one: no other chunk is taken by rounding.

    :raises ChunkNotFoundError: it is no whole number, or is out of range.
    """
    if not isinstance(chunk_id, Integral) or isinstance(chunk_id, bool):
        raise ChunkNotFoundError(f"a chunk id is a whole number of at least 0, not {chunk_id!r}")
    number = int(chunk_id)
    if not 0 <= number < ID_LIMIT:
        raise ChunkNotFoundError(f"there is no chunk {number}: ids start at 0")
    return number
