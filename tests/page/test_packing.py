"""Plans of pages: everything is covered, in order, within the code, and the same each time; runs; bare memories."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pydoc_data.topics import topics
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvid.errors import ChunkTooLargeError, ConfigError, FrameError
from memvid.page import packing
from memvid.page.compression import PageCompressor, PageDecompressor
from memvid.page.dictionary import train_dictionary
from memvid.page.header import HEADER_BYTES, PageBody, PageFlag, PageKind, parse_header, seal
from memvid.page.packing import (
    MAX_CHUNK_BYTES,
    MIN_CAPACITY,
    PAGE_BODY_TARGET,
    check_record,
    pack,
    pack_attributes,
    pack_bare,
    pack_blob,
)
from memvid.page.reading import join_run, open_blob, open_page, open_run, run_parts
from memvid.page.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

TAG = 0xABCD


def seal_all(bodies: Sequence[PageBody], start: int = 0) -> list[bytes]:
    return [seal(body, tag=TAG, page_number=start + index) for index, body in enumerate(bodies)]


def read_all(payloads: Sequence[bytes], decompressor: PageDecompressor) -> list[tuple[int, Record]]:
    """Ids and records of all pages, the way a reader goes through a video."""
    found, frame = [], 0
    while frame < len(payloads):
        header = parse_header(payloads[frame], frame_index=frame)
        _, parts = run_parts(header, payloads[frame], frame_index=frame)
        first, page = open_run(payloads[frame : frame + parts], decompressor, first_frame=frame, tag=TAG)
        if parts == 1:
            again = open_page(header, payloads[frame], decompressor, frame_index=frame)
            assert [again.text_bytes(i) for i in range(len(again))] == [page.text_bytes(i) for i in range(len(page))]
        found += [(first.first_chunk + i, Record(page.text_bytes(i), page.metadata_bytes(i))) for i in range(len(page))]
        frame += parts
    return found


records = st.builds(
    Record,
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(str.encode),
        st.integers(0, 5000).map(lambda size: b"word " * size),
        st.integers(0, 3000).map(lambda size: random.Random(size).randbytes(size)),
    ),
    st.sampled_from([b"", b'{"a":1}', b'{"source":"file.txt","page":12}']),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(records, max_size=30),
    st.integers(MIN_CAPACITY, 2950),
    st.sampled_from([None, 1, 12, 19]),
    st.none() | st.integers(1, 20),
    st.integers(0, 2**40),
)
def test_every_plan_covers_everything_in_order(
    chunks: list[Record], capacity: int, level: int | None, per_frame: int | None, first_chunk: int
) -> None:
    compressor = PageCompressor(level) if level else None
    bodies = pack(chunks, first_chunk, capacity=capacity, compressor=compressor, chunks_per_frame=per_frame)
    payloads = seal_all(bodies)
    assert all(len(payload) <= capacity for payload in payloads)
    assert read_all(payloads, PageDecompressor()) == list(enumerate(chunks, start=first_chunk))
    assert all(body.count <= (per_frame or len(chunks)) for body in bodies)
    assert bodies == pack(chunks, first_chunk, capacity=capacity, compressor=compressor, chunks_per_frame=per_frame)


@pytest.fixture(scope="module")
def corpus() -> list[Record]:
    text = "".join(topics.values()).encode()
    return [Record(text[at : at + 500]) for at in range(0, 200_000, 500)]


@pytest.fixture(scope="module")
def dictionary(corpus: list[Record]) -> bytes:
    trained = train_dictionary([record.text for record in corpus], 200_000, size=8192)
    assert trained is not None
    return trained


@pytest.mark.parametrize("level", [3, 12, 19])
@pytest.mark.parametrize("capacity", [1270, 2950])
def test_pages_are_well_filled(corpus: list[Record], dictionary: bytes, level: int, capacity: int) -> None:
    bodies = pack(corpus, 0, capacity=capacity, compressor=PageCompressor(level, dictionary))
    payloads = seal_all(bodies)
    assert read_all(payloads, PageDecompressor(dictionary)) == list(enumerate(corpus))
    assert all(body.flags == PageFlag.ZSTD | PageFlag.DICTIONARY for body in bodies)
    full = payloads[:-1]
    assert sum(map(len, full)) / len(full) > 0.88 * capacity


def test_without_compression_no_page_could_hold_one_more(corpus: list[Record]) -> None:
    bodies = pack(corpus, 0, capacity=1270, compressor=None)
    for body, following in pairwise(bodies):
        grown = pack(corpus[body.first_chunk : following.first_chunk + 1], 0, capacity=1270, compressor=None)
        assert len(grown) == 2


def test_threads_make_the_same_pages(corpus: list[Record], dictionary: bytes) -> None:
    shared = PageCompressor(12, dictionary)

    def plan(start: int) -> list[PageBody]:
        return pack(corpus[start : start + 100], start, capacity=2950, compressor=shared)

    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(plan, [0, 100, 200, 300] * 2))
    fresh = [
        pack(corpus[start : start + 100], start, capacity=2950, compressor=PageCompressor(12, dictionary))
        for start in (0, 100, 200, 300)
    ]
    assert threaded == fresh * 2


def test_the_stronger_level_fills_pages(corpus: list[Record], dictionary: bytes) -> None:
    plain, squeezed = PageCompressor(12, dictionary), PageCompressor(12, dictionary)
    plain.can_squeeze = False
    assert squeezed.can_squeeze
    assert len(pack(corpus, 0, capacity=2950, compressor=squeezed)) <= len(
        pack(corpus, 0, capacity=2950, compressor=plain)
    )


def test_few_compressions_make_a_page(corpus: list[Record], dictionary: bytes) -> None:
    compressor = PageCompressor(12, dictionary)
    calls = []
    normal, strong = compressor.compress, compressor.squeeze
    compressor.compress = lambda body: calls.append("normal") or normal(body)  # type: ignore[func-returns-value, method-assign]
    compressor.squeeze = lambda body: calls.append("strong") or strong(body)  # type: ignore[func-returns-value, method-assign]
    bodies = pack(corpus, 0, capacity=2950, compressor=compressor)
    assert len(calls) <= 3.5 * len(bodies)


def test_bytes_that_do_not_compress_are_stored_raw() -> None:
    noise = [Record(random.Random(seed).randbytes(600)) for seed in range(8)]
    bodies = pack(noise, 0, capacity=1270, compressor=PageCompressor(12))
    assert [body.flags for body in bodies] == [0] * 4


def test_repetitive_text_does_not_make_bottomless_pages() -> None:
    chunks = [Record(b"same " * 2000)] * 100
    decompressor = PageDecompressor()
    for number, payload in enumerate(seal_all(pack(chunks, 0, capacity=2950, compressor=PageCompressor(12)))):
        header = parse_header(payload, frame_index=number)
        page = open_page(header, payload, decompressor, frame_index=number)
        assert sum(len(page.text_bytes(slot)) for slot in range(len(page))) < PAGE_BODY_TARGET + 2000


@pytest.mark.parametrize("compressor", [None, PageCompressor(12)], ids=["raw", "zstd"])
def test_a_megabyte_becomes_a_run(compressor: PageCompressor | None) -> None:
    chunks = [Record(b"before"), Record(random.Random(1).randbytes(1_000_000), b'{"big":true}'), Record(b"after")]
    bodies = pack(chunks, 10, capacity=2950, compressor=compressor)
    assert [body.kind for body in bodies[:3]] == [PageKind.DATA, PageKind.DATA, PageKind.CONTINUATION]
    assert [body.count for body in bodies[:3]] == [1, 1, 0]
    assert {body.first_chunk for body in bodies[1:-1]} == {11}
    assert read_all(seal_all(bodies), PageDecompressor()) == list(enumerate(chunks, start=10))


def run_of_four() -> list[bytes]:
    payloads = seal_all(pack([Record(random.Random(2).randbytes(400))], 5, capacity=150, compressor=None), start=8)
    assert len(payloads) == 4
    return payloads


def test_a_run_with_a_missing_repeated_or_moved_part() -> None:
    run = run_of_four()
    assert open_run(run, PageDecompressor(), first_frame=8)[1].text_bytes(0) == random.Random(2).randbytes(400)
    for broken in (run[:3], run[:0], run[1:], [run[0], run[2], run[1], run[3]], [run[0], run[1], run[1], run[3]]):
        with pytest.raises(FrameError, match="frame "):
            join_run(broken, first_frame=8)
    with pytest.raises(FrameError, match="run has 4 pages, 5 were found"):
        join_run([*run, run[3]], first_frame=8)


@pytest.mark.parametrize(
    "change",
    [
        {"flags": 0},
        {"flags": int(PageFlag.RUN | PageFlag.ZSTD)},
        {"first_chunk": 6},
        {"count": 1},
        {"kind": PageKind.DATA},
        {"body": (2).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"x"},
        {"body": (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"x"},
        {"body": b"\x01\x00\x00\x00\x04\x00\x00\x00"},
        {"body": b""},
    ],
)
def test_a_sealed_part_of_another_run(change: dict[str, object]) -> None:
    run = run_of_four()
    values: dict[str, object] = {
        "kind": PageKind.CONTINUATION,
        "flags": int(PageFlag.RUN),
        "count": 0,
        "first_chunk": 5,
        "body": run[1][HEADER_BYTES:],
    }
    run[1] = seal(PageBody(**(values | change)), tag=TAG, page_number=9)  # type: ignore[arg-type]
    with pytest.raises(FrameError, match="frame 9: "):
        join_run(run, first_frame=8)


def test_a_part_of_another_memory() -> None:
    run = run_of_four()
    other = seal_all(pack([Record(random.Random(2).randbytes(400))], 5, capacity=150, compressor=None), start=8)
    run[2] = seal(PageBody(PageKind.CONTINUATION, 4, 0, 5, other[2][HEADER_BYTES:]), tag=TAG + 1, page_number=10)
    with pytest.raises(FrameError, match="frame 10: belongs to memory"):
        join_run(run, first_frame=8, tag=TAG)


def test_one_part_alone_cannot_be_opened() -> None:
    payload = run_of_four()[0]
    with pytest.raises(FrameError, match="one part of a run"):
        open_page(parse_header(payload, frame_index=8), payload, PageDecompressor(), frame_index=8)


def test_pages_without_chunks_are_not_opened_as_chunks() -> None:
    payload = seal_all(pack_blob(PageKind.HEADER, b"words", capacity=2950))[0]
    with pytest.raises(FrameError, match="is a HEADER page"):
        open_page(parse_header(payload, frame_index=0), payload, PageDecompressor(), frame_index=0)
    with pytest.raises(FrameError, match="is a HEADER page"):
        open_run([payload], PageDecompressor(), first_frame=0)


@pytest.mark.parametrize("size", [0, 1, 200, 36, 36 + 1, 5000])
@pytest.mark.parametrize("compressor", [None, PageCompressor(19)], ids=["raw", "zstd"])
def test_blobs_come_back(size: int, compressor: PageCompressor | None) -> None:
    data = (b"a dictionary, say " * 300)[:size]
    payloads = seal_all(pack_blob(PageKind.DICTIONARY, data, capacity=MIN_CAPACITY, compressor=compressor), start=1)
    assert all(len(payload) <= MIN_CAPACITY for payload in payloads)
    assert open_blob(PageKind.DICTIONARY, payloads, first_frame=1, tag=TAG) == data
    with pytest.raises(FrameError, match="DICTIONARY page where a HEADER page belongs"):
        open_blob(PageKind.HEADER, payloads, first_frame=1)


def test_bare_texts_are_the_payloads() -> None:
    assert pack_bare([Record("hé".encode()), Record(b"x" * 50)], 0, capacity=50) == ["hé".encode(), b"x" * 50]
    with pytest.raises(ChunkTooLargeError, match=r"chunk 8 has 51 bytes of UTF-8, a code holds 50.*symbol_version"):
        pack_bare([Record(b"x"), Record(b"x" * 51)], 7, capacity=50)


def test_attributes_of_bare_texts() -> None:
    assert pack_attributes([b"", b""], 0, capacity=100) == []
    metadatas = [b'{"n":%d}' % number for number in range(50)] + [b"", b'{"long":"%s"}' % (b"x" * 500)]
    bodies = pack_attributes(metadatas, 3, capacity=150)
    payloads = seal_all(bodies)
    assert {body.kind for body in bodies} == {PageKind.ATTRIBUTES, PageKind.CONTINUATION}
    expected = [(number, Record(b"", metadata)) for number, metadata in enumerate(metadatas, start=3)]
    assert read_all(payloads, PageDecompressor()) == expected


def test_a_chunk_beyond_the_limit_of_a_body(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_CHUNK_BYTES == (64 << 20) - 16
    monkeypatch.setattr(packing, "MAX_CHUNK_BYTES", 100)
    check_record(Record(b"x" * 60, b"y" * 40), 0)
    with pytest.raises(ChunkTooLargeError, match="chunk 4 has 101 bytes of text and metadata, the limit is 100"):
        pack([Record(b"x"), Record(b"x" * 60, b"y" * 41)], 3, capacity=2950, compressor=None)


def test_a_code_too_small_for_pages() -> None:
    too_small = pytest.raises(ConfigError, match="63 bytes is too small for pages")
    with too_small:
        pack([], 0, capacity=MIN_CAPACITY - 1, compressor=None)
    with too_small:
        pack_attributes([], 0, capacity=MIN_CAPACITY - 1)
    with too_small:
        pack_blob(PageKind.HEADER, b"", capacity=MIN_CAPACITY - 1)
