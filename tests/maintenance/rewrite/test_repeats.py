"""Which chunks that stay repeat an erased text."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.maintenance.rewrite import repeats
from memvid.maintenance.rewrite.repeats import Repeats
from memvid.maintenance.rewrite.text_traces import BLOCK


def found(erased: list[bytes], kept: list[bytes]) -> list[int]:
    search = Repeats()
    for text in erased:
        search.erase(text)
    for number, text in enumerate(kept):
        search.keep(number, text)
    numbers: list[int] = search.chunks().numbers().tolist()
    return numbers


@given(
    st.integers(0, 1 << 30), st.sampled_from([b"ab", b"abcdefgh", bytes(range(256))]), st.sampled_from([40, 1 << 22])
)
def test_as_comparing_every_text_with_every_chunk(seed: int, letters: bytes, stretch: int) -> None:
    rng = random.Random(seed)
    texts = [bytes(rng.choices(letters, k=rng.randrange(4, 60))) for _ in range(20)]
    kept = [b"".join(rng.sample(texts, rng.randrange(3))) + bytes(rng.choices(letters, k=9)) for _ in range(30)] + texts
    erased = texts[:10]
    expected = [
        number
        for number, chunk in enumerate(kept)
        if any(text in chunk if len(text) >= BLOCK else text == chunk for text in erased)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "_STRETCH", stretch)
        patch.setattr(repeats, "_COMPARED", 10_000)
        assert found(erased, kept) == expected


def test_texts_made_to_look_alike_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = [b"A" * BLOCK + b"%05d" % number + b"Z" * BLOCK for number in range(1000)]
    chunk = b"A" * BLOCK + b"something else" + b"Z" * BLOCK
    assert found(alike[:10], [chunk]) == []
    assert found(alike, [chunk]) == [0]  # it may be
    monkeypatch.setattr(repeats, "_COMPARED", 1000)
    assert found(alike, [chunk]) == []
