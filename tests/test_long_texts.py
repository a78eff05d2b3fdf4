"""Texts of many megabytes, a piece at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memvid.long_texts import pieces


@given(st.text(st.sampled_from("ab  \n"), max_size=60), st.integers(1, 9))
def test_pieces_are_the_text(text: str, size: int) -> None:
    found = list(pieces(text, size))
    assert "".join(found) == text
    assert all(0 < len(piece) <= size for piece in found)
    assert all(piece.endswith(" ") or " " not in piece for piece in found[:-1])
