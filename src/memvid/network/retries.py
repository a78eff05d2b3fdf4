"""Whether and when a request that failed is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

__all__ = ["Retries", "retry_after"]

_FIRST, _LONGEST = 0.5, 8.0  # seconds until the next try, if the server asks for none: doubled each time
_PASSING = (408, 409, 429)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, or ``None``; headers by their names in lower case."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            seconds = float(value) / unit
        except ValueError:
            from email.utils import mktime_tz, parsedate_tz

            date = parsedate_tz(value)
            try:
                seconds = mktime_tz(date) - time.time() if date is not None else -1.0
            except (ValueError, OverflowError):
                continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


class Retries:
    """The tries that one answer has.

    :param most: how often a request is tried again.
    :param patience: seconds to wait between, in all; who asks for more is not asked again.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._left, self._most = most, most
        self._patience = patience

    def wait(self, headers: Mapping[str, str], *, status: int | None, left: float) -> float | None:
        """Seconds until the next try; ``None`` if what came is the answer.

        :param headers: of the reply, by their names in lower case.
        :param status: of the reply; ``None`` if there was none.
        :param left: seconds that the answer has left.
        """
        if self._left == 0 or not (status is None or _is_passing(status, headers)):
            return None
        seconds = retry_after(headers)
        if seconds is None:
            seconds = min(_FIRST * 2 ** (self._most - self._left), _LONGEST) * random.uniform(0.75, 1)  # noqa: S311
        if seconds >= min(self._patience, left):
            return None
        self._left -= 1
        self._patience -= seconds
        return seconds


def _is_passing(status: int, headers: Mapping[str, str]) -> bool:
    said = headers.get("x-should-retry")
    return status >= 400 and (said == "true" or (said != "false" and (status in _PASSING or status >= 500)))
