"""A key is never shown, however somebody repeats it."""

from __future__ import annotations

import base64
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.errors import ConfigError
from memvid.network.secret import EchoMask, Secret, causes

KEY = "sk-canary-0123456789abcdefXYZ"
SECRET = Secret(KEY, name="key")


@pytest.mark.parametrize(
    "said",
    [
        KEY,
        KEY[::-1],
        KEY.upper(),
        KEY[:12],
        KEY[9:20],
        KEY[5:][::-1],
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"Bearer {KEY}".encode()).decode(),
        base64.b64encode(f"u:{KEY}".encode()).decode()[::-1],
        KEY.encode().hex(),
    ],
)
def test_a_key_is_known_in_other_clothes(said: str) -> None:
    for value in (f"bad key {said}!", f"bad key {said}!".encode()):
        hidden = SECRET.hide_in(value)
        text = hidden if isinstance(hidden, str) else hidden.decode()
        assert text.startswith("bad key ")
        assert not any(said[start : start + 12] in text for start in range(len(said) - 11))


def test_what_is_not_the_key_stays() -> None:
    for said in ("sk-...YZ", "canary", "0123456", "Bearer", "\ud800 half", ""):
        assert SECRET.hide_in(said) == said
    assert Secret("key", name="key").hide_in("a key: yek") == "a ***: yek"
    assert Secret("12345678", name="key").hide_in("87654321") == "***"


@given(st.text(), st.text())
def test_nothing_around_it_is_lost(before: str, after: str) -> None:
    assert SECRET.hide_in(f"{before}\n{KEY}\n{after}").startswith(f"{before}\n"[:1])
    assert SECRET.hide_in(before) == before


@given(st.lists(st.integers(1, len(KEY) * 4)))
def test_bytes_in_parts_have_no_key_and_keep_their_length(cuts: list[int]) -> None:
    data = f"x{KEY} {KEY[::-1]}{KEY}sk-canary-0123".encode()
    mask = EchoMask(SECRET)
    ends = sorted({*(cut for cut in cuts if cut < len(data)), len(data)})
    parts = [mask(data[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    assert [len(part) for part in parts] == [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert KEY.encode() not in b"".join(parts)
    assert KEY[::-1].encode() not in b"".join(parts)
    assert EchoMask(None)(data) == data
    assert EchoMask(Secret("short", name="key"))(b"short") == b"short"


def test_errors_that_came_of_each_other_in_two_ways() -> None:
    first, second, third = OSError("1"), ValueError("2"), KeyError("3")
    third.__cause__, third.__context__ = second, first
    assert set(causes(third)) == {first, second, third}


@pytest.mark.parametrize("key", ["with blank-0123456789", "line\nend-0123456789", "caf\u00e9-0123456789", 5, "", " "])
def test_a_key_that_is_none_is_in_no_traceback(key: object) -> None:
    with pytest.raises(ConfigError, match=r"api_key (has|is)") as caught:
        Secret(key, name="api_key")  # type: ignore[arg-type]
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    inside = [line for frame in shown.stack[1:] for line in (frame.locals or {}).values()]
    assert not any("0123456789" in line for line in inside)
