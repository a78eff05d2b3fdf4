"""Which of the first pages are written twice."""

from __future__ import annotations

import pytest

from memvid.page import count_spare

KIB = 1 << 10


@pytest.mark.parametrize(
    ("header", "dictionary", "written", "copied"),
    [
        ([3 * KIB], [3 * KIB] * 2, 90 * KIB, 3),  # a tenth
        ([3 * KIB], [3 * KIB] * 2, 89 * KIB, 1),
        ([3 * KIB], [], 30 * KIB, 1),
        ([3 * KIB], [], 29 * KIB, 0),
        ([KIB, KIB, KIB], [], 30 * KIB, 3),
        ([3 * KIB], [25 * KIB] * 5, 1280 * KIB, 6),  # 128 KiB
        ([4 * KIB], [25 * KIB] * 5, 1290 * KIB, 1),
        ([4 * KIB], [64 * KIB] * 16, 102_800 * KIB, 17),  # a hundredth
        ([4 * KIB], [64 * KIB] * 16, 102_700 * KIB, 1),
    ],
)
def test_copies_are_made_where_they_are_cheap(
    header: list[int], dictionary: list[int], written: int, copied: int
) -> None:
    assert count_spare(header, dictionary, written=written) == copied
