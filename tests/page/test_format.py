"""docs/format.md is normative: its worked example and its numbers are what the code does."""

from __future__ import annotations

import json
import re

import pytest

from memvid.page import compression, decode_changed_metadata, decode_commit, encode_commit, metadata_bodies, packing
from memvid.page.compression import PageDecompressor
from memvid.page.header import PageFlag, PageKind, read_page, seal
from memvid.page.metadata import encode_metadata
from memvid.page.packing import pack
from memvid.page.reading import open_page
from memvid.page.records import Record, encode_text
from tests.repository import ROOT

DOCUMENT = ROOT / "docs" / "format.md"
CHUNKS = [("Ünïcode", {"page": 3}), ("Backups run at night.", {})]


@pytest.fixture(scope="module")
def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example(text: str) -> bytes:
    dump = re.search(r"<!-- tests/page/test_format.py checks these bytes -->\n```hexdump\n(.*?)```", text, re.DOTALL)
    assert dump is not None
    lines = [line.split("  ", 1) for line in dump[1].splitlines()]
    assert [int(offset, 16) for offset, _ in lines] == [16 * number for number in range(len(lines))]
    return bytes.fromhex("".join(data for _, data in lines))


def test_the_worked_example_is_what_is_written(example: bytes) -> None:
    records = [Record(encode_text(chunk), encode_metadata(metadata)) for chunk, metadata in CHUNKS]
    (body,) = pack(records, 7, capacity=2950, compressor=None)
    assert seal(body, tag=0xC0FFEE42, page_number=5) == example


def test_the_worked_example_is_read(example: bytes) -> None:
    header = read_page(example, frame_index=5, tag=0xC0FFEE42)
    page = open_page(header, example, PageDecompressor(), frame_index=5)
    assert (header.kind, header.first_chunk, header.count) == (PageKind.DATA, 7, 2)
    assert [(page.text(index), page.metadata(index)) for index in range(2)] == CHUNKS


def test_the_table_of_the_example_covers_its_header(text: str, example: bytes) -> None:
    rows = text.split("## Worked example")[1].split("## The video container", maxsplit=1)[0]
    named = [
        cell for row in re.findall(r"^\| (`[^|]*) \|", rows, re.MULTILINE) for cell in re.findall("`([^`]+)`", row)
    ]
    assert bytes.fromhex("".join(named[: named.index("c3 9c")])) == example[:32]


@pytest.mark.parametrize("kind", PageKind)
def test_every_kind_is_described(text: str, kind: PageKind) -> None:
    assert f"| {kind.value} | {kind.name} |" in text


@pytest.mark.parametrize("flag", PageFlag)
def test_every_flag_is_described(text: str, flag: PageFlag) -> None:
    assert f"| {flag.bit_length() - 1} | {flag.value} | {flag.name}:" in text


def test_the_example_of_changed_metadata_is_what_is_written(text: str) -> None:
    found = re.search(r"chunk 2 the metadata `(.*?)` and chunk 9 none makes the body `([0-9a-f ]+)`", text)
    assert found is not None
    changes = {2: encode_metadata(json.loads(found[1])), 9: b""}
    assert list(metadata_bodies(changes)) == [bytes.fromhex(found[2])]
    assert dict(decode_changed_metadata(bytes.fromhex(found[2])).items()) == changes


def test_the_example_of_a_commit_is_read(text: str) -> None:
    found = re.search(r"## Commits.*?```json\n(.*?)```", text, re.DOTALL)
    assert found is not None
    info = decode_commit(found[1].encode())
    assert (info.number, info.first_chunk, info.added, info.deleted, info.changed, info.chunks) == (
        2,
        516,
        12,
        3,
        1,
        525,
    )
    assert json.loads(encode_commit(info)) == json.loads(found[1])
    assert list(json.loads(encode_commit(info))) == list(json.loads(found[1]))


def test_the_limits_are_the_ones_in_the_code(text: str) -> None:
    assert f"64 MiB ({compression.MAX_BODY_BYTES:,} bytes)" in text
    assert f"at most {packing.MAX_CHUNK_BYTES:,} bytes" in text
    assert f"at least {packing.MIN_CAPACITY} bytes" in text
    assert f"at {packing.PAGE_BODY_TARGET >> 10} KiB of logical body" in text
