from __future__ import annotations

from typing import Any

import pytest

from memvid.cli.conditions import parse_where
from memvid.query import parse_filter


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("year > 1999", {"$or": [{"year": {"$gt": "1999"}}, {"year": {"$gt": 1999}}]}),
        ("year >= 1999", {"$or": [{"year": {"$gte": "1999"}}, {"year": {"$gte": 1999}}]}),
        (" name = Ada Byron", {"name": ["Ada Byron"]}),
        ("the name ^= A", {"the name": {"$prefix": "A"}}),
        ("draft=True", {"draft": ["True", True]}),
        ("draft!=False", {"draft": {"$nin": ["False", False]}}),
        ("draft=true", {"draft": ["true", True]}),
        ("editor=None", {"editor": ["None", None]}),
        ("x=", {"x": [""]}),
    ],
)
def test_blanks_do_not_count_and_words_of_python_are_known(condition: str, expected: dict[str, Any]) -> None:
    assert parse_filter(parse_where([condition])) == parse_filter(expected)
