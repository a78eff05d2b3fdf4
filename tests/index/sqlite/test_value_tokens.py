"""Values of metadata as old indexes keep them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.index.sqlite.value_tokens import token_value, value_token
from memvid.query import value_of
from tests.query.query_support import SCALARS


@given(value=SCALARS | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text())
def test_a_token_tells_its_value(value: Any) -> None:
    token = value_token(value)
    assert token is not None
    told = token_value(token)
    assert told == value_of(value) or (told is None and len(token) == 33)


@pytest.mark.parametrize("token", [b"", b"x", b"nan", b"n", b"n.", b"truE", b"s\xff\xff"])
def test_no_token_is_no_value(token: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        token_value(token)
