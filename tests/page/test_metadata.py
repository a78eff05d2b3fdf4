"""Metadata: any JSON object comes back, nothing else is stored, and of any bytes it is clear what can be used."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.errors import FrameError, MetadataError
from memvid.page.metadata import (
    decode_metadata,
    decoded_bytes,
    encode_metadata,
    is_json_of,
    metadata_json,
    read_metadata,
)
from tests.page.test_records import json_objects

_T = TypeVar("_T")


@pytest.mark.parametrize("data", [b"[1]", b"{", b"\xff", b'{"a":NaN}', b"[" * 100_000, b"3"])
def test_stored_metadata_that_is_not_a_json_object(data: bytes) -> None:
    with pytest.raises(FrameError, match="frame 2: metadata"):
        decode_metadata(data, frame_index=2)


def test_no_metadata_is_no_bytes() -> None:
    assert encode_metadata(None) == encode_metadata({}) == b""
    assert decode_metadata(b"") == {}


def test_metadata_is_compact_and_keeps_its_order() -> None:
    assert encode_metadata({"z": "é", "a": [1, None]}) == '{"z":"é","a":[1,null]}'.encode()


circle: dict[str, Any] = {}
circle["self"] = circle
deep: list[Any] = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    "metadata",
    [
        [1],
        "text",
        7,
        [],
        "",
        0,
        {1: "a"},
        {None: 1},
        {"a": {2: 1}},
        {"a": (1, 2)},
        {"a": {1, 2}},
        {"a": b"bytes"},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": object()},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"a": 10**5000},
        circle,
        {"a": deep},
    ],
    ids=lambda metadata: type(metadata).__name__,
)
def test_metadata_that_is_not_json(metadata: object) -> None:
    with pytest.raises(MetadataError):
        encode_metadata(metadata)


def test_metadata_error_says_what_to_do() -> None:
    with pytest.raises(MetadataError, match="use strings as keys and lists for tuples"):
        encode_metadata({1: "a"})


def test_stored_metadata_is_plain_json() -> None:
    metadata = {"source": "a.txt", "page": 3, "tags": ["x", "ü"], "nested": {"ok": True}}
    assert json.loads(encode_metadata(metadata)) == metadata


UNUSABLE = {
    b'{"a":1e999}': "beyond all floating-point numbers",
    b'{"a":[{"b":-1E400}]}': "beyond all floating-point numbers",
    b'{"a":' + b"9" * 400 + b".0}": "beyond all floating-point numbers",
    b'{"a":' + b"9" * 5000 + b"}": "digits",
    b'{"a":"\\ud800"}': r"lone surrogate U\+D800",
    b'{"\\uDFFF":1}': r"lone surrogate U\+DFFF",
    b'{"a":"\\udc00\\ud800"}': r"lone surrogate U\+DC00",
    b'{"a":NaN}': "NaN",
    b'{"a":-Infinity}': "-Infinity",
    b"[1]": "list",
    b'"text"': "str",
    b"null": "NoneType",
    b"1e999": "beyond",
    b"{": "not JSON",
    b" ": "not JSON",
    b'{"a":1}{}': "not JSON",
    b'{"a":1}\0': "not JSON",
    b'\xef\xbb\xbf{"a":1}': "not JSON",
    b'{"a":"\xff"}': "not UTF-8",
    b'{"a":"\xed\xa0\x80"}': "not UTF-8",
    b'{"a":"' + b"\n" + b'"}': "not JSON",
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}": "nested too deeply",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000: "nested too deeply",
    b"[" * 100_000: "nested too deeply",
}  # fmt: skip


@pytest.mark.parametrize(("data", "fault"), UNUSABLE.items(), ids=[repr(data[:20]) for data in UNUSABLE])
def test_what_cannot_be_used_has_a_reason(data: bytes, fault: str) -> None:
    value, reason = read_metadata(data)
    assert value == {}
    assert reason is not None
    with pytest.raises(FrameError, match=rf"frame 3: metadata cannot be used: .*{fault}"):
        decode_metadata(data, frame_index=3)


USABLE: dict[bytes, dict[str, Any]] = {
    b"": {},
    b"{}": {},
    b' { "a" : 1 } ': {"a": 1},
    b'{"a":1,"a":2}': {"a": 2},
    b'{"a":1e308,"b":-0.0,"c":1e-999}': {"a": 1e308, "b": -0.0, "c": 0.0},
    b'{"a":' + b"9" * 4000 + b"}": {"a": int("9" * 4000)},
    b'{"a":"\\ud83d\\ude00\\u0000"}': {"a": "\U0001f600\0"},
    b'{"a":"\\\\ud800"}': {"a": "\\ud800"},
    b'{"":null}': {"": None},
    b'{"a":' + b"[" * 800 + b"]" * 800 + b"}": json.loads('{"a":' + "[" * 800 + "]" * 800 + "}"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "value"), USABLE.items(), ids=[repr(data[:20]) for data in USABLE])
def test_what_can_be_used_whoever_wrote_it(data: bytes, value: dict[str, Any]) -> None:
    assert read_metadata(data) == (value, None)
    assert is_json_of(metadata_json(value), data)
    assert json.loads(metadata_json(value) or "{}") == value


@given(st.one_of(st.binary(max_size=40), json_objects.map(lambda value: json.dumps(value).encode())))
def test_what_can_be_used_can_be_written_again(data: bytes) -> None:
    value, fault = read_metadata(data)
    if fault is None:
        text = metadata_json(value)
        assert read_metadata(text.encode()) == (value, None)
        assert is_json_of(text, data)
    else:
        assert value == {}


@given(json_objects)
def test_what_is_stored_is_what_an_index_keeps(metadata: dict[str, Any]) -> None:
    stored = encode_metadata(metadata)
    assert metadata_json(metadata) == stored.decode()
    assert is_json_of(stored.decode(), stored)
    assert not is_json_of(stored.decode() + " ", stored)


def test_the_answer_does_not_depend_on_the_callers_stack() -> None:
    """What one call can use and the next cannot would be sound for the one and damage for the other."""
    verdicts = set()
    for depth in (200, 600, 900, 950, *range(970, 1005), 1500, 20_000):
        data = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        shallow, deep = read_metadata(data), deeper(300, lambda data=data: read_metadata(data))  # type: ignore[misc]
        assert (shallow.fault is None) == (deep.fault is None), depth
        if shallow.fault is None:
            assert deeper(300, lambda value=shallow.value: metadata_json(value)).encode() == data  # type: ignore[misc]
        verdicts.add(shallow.fault)
    assert verdicts == {None, "it is nested too deeply"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"source": "a.txt", "page": 3},
        {str(number): number for number in range(3000)},
        {"a": [[]] * 20_000},
        {"a": [{}] * 20_000},
        {"a": [{"b": {}} for _ in range(5000)]},
        {"a": [1.5 * number for number in range(20_000)]},
        {"a": [str(number) for number in range(20_000)]},
        {"a": [""] * 20_000},
        {"a": "x" * 100_000 + "\N{SPOUTING WHALE}"},
        {"a": ["\u00e9" * 50 for _ in range(2000)]},
    ],
)
def test_what_an_object_takes_is_known_before_it_is_read(metadata: dict[str, Any]) -> None:
    for data in (json.dumps(metadata).encode(), encode_metadata(metadata)):
        tracemalloc.start()
        try:
            value = json.loads(data)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert value == metadata
        assert taken - 1000 <= decoded_bytes(data) <= 130 * len(data)


def test_what_cannot_be_used_is_not_stored() -> None:
    nested: list[Any] = []
    for depth in range(1, 1000):
        nested = [nested]
        try:
            data = encode_metadata({"a": nested})
        except MetadataError:
            assert depth > 500
            break
        assert read_metadata(data).fault is None


def deeper(frames: int, function: Callable[[], _T]) -> _T:
    return function() if frames == 0 else deeper(frames - 1, function)


@pytest.mark.parametrize("metadata", [{"a": float("inf")}, {"a": "\ud800"}, {"a": object()}])
def test_an_index_keeps_no_more(metadata: dict[str, Any]) -> None:
    with pytest.raises(MetadataError, match="not JSON"):
        metadata_json(metadata)
