"""Pages without frames: packing a chunk, opening a page. One core, nothing but bytes in memory.

Text is Python's language reference in 500-byte pieces, which is more repetitive than prose, so ratios are better
than on most corpora. ``extra_info`` has the sizes beside the times.
"""

from __future__ import annotations

import zlib
from pydoc_data.topics import topics
from typing import TYPE_CHECKING

import pytest

from memvid.page import (
    PageCompressor,
    PageDecompressor,
    Record,
    open_page,
    pack,
    parse_header,
    read_page,
    seal,
    train_dictionary,
)

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

CAPACITIES = {"version 40": 2950, "version 25": 1270}


@pytest.fixture(scope="module")
def records() -> list[Record]:
    text = "".join(topics.values()).encode()
    return [Record(text[at : at + 500]) for at in range(0, len(text), 500)]


@pytest.fixture(scope="module")
def dictionary(records: list[Record]) -> bytes:
    trained = train_dictionary([record.text for record in records], sum(len(record.text) for record in records))
    assert trained is not None
    return trained


@pytest.mark.parametrize("symbol", CAPACITIES)
@pytest.mark.parametrize("level", [3, 12, 19])
def test_pack(benchmark: BenchmarkFixture, records: list[Record], dictionary: bytes, level: int, symbol: str) -> None:
    capacity, compressor = CAPACITIES[symbol], PageCompressor(level, dictionary)
    pages = benchmark(pack, records, 0, capacity=capacity, compressor=compressor)
    assert sum(page.count for page in pages) == len(records)
    text = sum(len(record.text) for record in records)
    benchmark.extra_info["chunks"] = len(records)
    benchmark.extra_info["chunks a page"] = len(records) / len(pages)
    benchmark.extra_info["stored / text"] = len(pages) * capacity / text
    if benchmark.stats is not None:  # None when benchmarks are only run for their assertions
        benchmark.extra_info["ms a chunk"] = benchmark.stats.stats.min / len(records) * 1e3


def test_train(benchmark: BenchmarkFixture, records: list[Record]) -> None:
    samples = [record.text for record in records]
    size = sum(map(len, samples))
    trained = benchmark(train_dictionary, samples, size)
    assert trained is not None
    benchmark.extra_info["dictionary / text"] = len(trained) / size


def test_open_a_page(benchmark: BenchmarkFixture, records: list[Record], dictionary: bytes) -> None:
    body = pack(records[:64], 0, capacity=2950, compressor=PageCompressor(12, dictionary))[0]
    payload = seal(body, tag=1, page_number=0)
    decompressor = PageDecompressor(dictionary)

    def read() -> str:
        header = read_page(payload, frame_index=0, tag=1)
        return open_page(header, payload, decompressor, frame_index=0).text(body.count // 2)

    assert benchmark(read).encode() == records[body.count // 2].text


def test_parse_a_header(benchmark: BenchmarkFixture, records: list[Record]) -> None:
    body = pack(records[:4], 9, capacity=2950, compressor=None)[0]
    payload = seal(body, tag=1, page_number=0)
    assert benchmark(parse_header, payload, frame_index=0).first_chunk == 9


def test_baseline_zlib_inflates_the_same_page(benchmark: BenchmarkFixture, records: list[Record]) -> None:
    text = b"".join(record.text for record in records[:16])
    assert benchmark(zlib.decompress, zlib.compress(text, 9)) == text
