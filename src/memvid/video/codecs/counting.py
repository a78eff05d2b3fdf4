"""Pictures by counting, for videos in which seeking does not lead to where it should."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Counting", "Picture"]

Picture: TypeAlias = "NDArray[np.uint8]"


class Counting:
    """Pictures by counting from the start, or on from where the last ones were."""

    def __init__(self, pictures: Callable[[], Iterator[Picture | None]]) -> None:
        self._pictures = pictures
        self._left: Iterator[Picture | None] | None = None
        self._next = 0

    def fetch(self, positions: Sequence[int]) -> list[Picture | None]:
        """The pictures at these positions; ascending ones, call by call, are one pass over the video."""
        wanted = set(positions)
        found: dict[int, Picture | None] = {}
        if min(wanted, default=0) < self._next:
            self.stop()
        if self._left is None:
            self._left, self._next = self._pictures(), 0
        for picture in islice(self._left, max(wanted, default=-1) + 1 - self._next):
            if self._next in wanted:
                found[self._next] = picture
            self._next += 1
        return [found.get(position) for position in positions]

    def stop(self) -> None:
        """Let go of the file."""
        if isinstance(self._left, Generator):
            self._left.close()
        self._left, self._next = None, 0
