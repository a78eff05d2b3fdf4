"""zstd frames from a stranger, dictionaries that pay, and the header page."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pydoc_data.topics import topics

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from memvid.errors import ConfigError, FrameError, UnsupportedVideoError, VideoFormatError
from memvid.page import compression
from memvid.page.compression import PageCompressor, PageDecompressor
from memvid.page.dictionary import DICTIONARY_LEVEL, SAMPLE_BYTES, dictionary_size, sample_plan, train_dictionary
from memvid.page.header import PageFlag, PageKind, seal
from memvid.page.identity import HeaderInfo, decode_header_body, encode_header_body, memory_tag
from memvid.page.packing import pack, pack_blob
from memvid.page.reading import open_blob, open_body
from memvid.page.records import Record

ENGLISH = "".join(topics.values()).encode()
INFO = HeaderInfo(
    memory_id="0123456789abcdef" * 4,
    chunks=1000,
    text_bytes=500_000,
    symbol_version=40,
    error_correction="L",
    bare=False,
    compression="zstd",
    dictionary_pages=3,
    dictionary_bytes=20_000,
    model="all-MiniLM-L6-v2",
    dim=384,
    model_digest="ab" * 32,
    writer="memvid 0.2.0",
)


@given(st.binary(max_size=2000), st.sampled_from([1, 10, 12, 22]))
def test_bodies_come_back(body: bytes, level: int) -> None:
    compressor = PageCompressor(level)
    for stored in (compressor.compress(body), compressor.squeeze(body)):
        assert PageDecompressor().decompress(stored, use_dictionary=False) == body


def error_of(stored: bytes) -> FrameError | None:
    """What reading a zstd frame raises; any other exception fails the test."""
    try:
        PageDecompressor().decompress(stored, use_dictionary=False, frame_index=6)
    except FrameError as error:
        return error
    return None


@given(st.binary(max_size=200))
def test_frames_from_a_stranger(stored: bytes) -> None:
    for data in (stored, b"\x28\xb5\x2f\xfd" + stored):
        error = error_of(data)
        assert error is None or error.frame_index == 6


def test_huge_bodies_are_compressed_at_a_level_that_memory_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    """zstd's highest levels take 800 MB for what a header page may ask for."""
    monkeypatch.setattr(compression, "_HUGE_BODY", 1000)
    small, large = b"login " * 100, bytes(range(256)) * 9
    for level in (5, 22):
        plain = zstandard.ZstdCompressor(level=level, write_checksum=False, write_dict_id=False)
        assert PageCompressor(level).compress(small) == plain.compress(small)
    assert PageCompressor(22).compress(large) == PageCompressor(12).compress(large)


def test_every_changed_byte_of_a_frame_reads_or_raises_frame_error() -> None:
    stored = PageCompressor(12).compress(ENGLISH[:500])
    errors = [
        error_of(stored[:position] + bytes([stored[position] ^ 0x55]) + stored[position + 1 :])
        for position in range(len(stored))
    ]
    assert any(errors)
    assert all(str(error).startswith("frame 6: ") for error in errors if error)


def test_frames_that_are_not_ours() -> None:
    reader = PageDecompressor()
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"abc" * 100)
    with pytest.raises(FrameError, match="does not state its size"):
        reader.decompress(unsized, use_dictionary=False)
    good = PageCompressor(3).compress(b"abc" * 100)
    for bad in (good + b"x", good + good, good[:-1], b""):
        with pytest.raises(FrameError):
            reader.decompress(bad, use_dictionary=False)
    with pytest.raises(FrameError, match="frame 3: its zstd frame claims 300 bytes, the limit is 299"):
        reader.decompress(good, use_dictionary=False, frame_index=3, limit=299)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    huge = zstandard.FRAME_HEADER + bytes([0xE0]) + (1 << 50).to_bytes(8, "little") + b"\x01\x00\x00"
    with pytest.raises(FrameError, match="claims 1125899906842624 bytes"):
        PageDecompressor().decompress(huge, use_dictionary=False)


def test_flags_that_contradict_each_other() -> None:
    with pytest.raises(FrameError, match="dictionary without being compressed"):
        open_body(b"x", int(PageFlag.DICTIONARY), PageDecompressor(), frame_index=1)
    stored = PageCompressor(3).compress(b"x" * 100)
    with pytest.raises(FrameError, match="dictionary is missing"):
        open_body(stored, int(PageFlag.DICTIONARY | PageFlag.ZSTD), PageDecompressor(), frame_index=1)


def test_a_dictionary_that_is_none() -> None:
    with pytest.raises(VideoFormatError, match="not a zstd dictionary"):
        PageDecompressor(b"these are not the bytes of a dictionary")


@pytest.fixture(scope="module")
def texts() -> list[bytes]:
    return [ENGLISH[at : at + 500] for at in range(0, 300_000, 500)]


@pytest.fixture(scope="module")
def trained(texts: list[bytes]) -> bytes:
    dictionary = train_dictionary(texts, sum(map(len, texts)))
    assert dictionary is not None
    return dictionary


def test_a_dictionary_is_deterministic_and_of_the_planned_size(texts: list[bytes], trained: bytes) -> None:
    assert len(trained) <= dictionary_size(sum(map(len, texts)))
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(lambda _: train_dictionary(texts, sum(map(len, texts))), range(2)))
    assert again == [trained, trained]


@pytest.mark.parametrize("count", [100, 150, 300, 600])
def test_a_dictionary_is_never_a_loss(texts: list[bytes], count: int) -> None:
    records = [Record(text) for text in texts[:count]]
    dictionary = train_dictionary(texts[:count], sum(map(len, texts[:count])))
    plain = pack(records, 0, capacity=2950, compressor=PageCompressor(12))
    if dictionary is not None:
        keyed = pack(records, 0, capacity=2950, compressor=PageCompressor(12, dictionary))
        stored = pack_blob(PageKind.DICTIONARY, dictionary, capacity=2950, compressor=PageCompressor(DICTIONARY_LEVEL))
        assert len(keyed) + len(stored) <= len(plain)


def test_noise_gets_no_dictionary() -> None:
    rng_texts = [bytes((i * 7919 + j * j * 31 + i * j) % 251 for j in range(500)) for i in range(200)]
    incompressible = [zstandard.compress(text * 2)[:400] + text[:100] for text in rng_texts]
    assert train_dictionary([bytes(text) for text in incompressible][:50], 25_000) is None
    assert train_dictionary([b"x" * 500] * 10, 1 << 20) is None


def test_the_size_of_a_dictionary_can_be_said(texts: list[bytes]) -> None:
    corpus = sum(map(len, texts))
    assert train_dictionary(texts, corpus, size=0) is None
    dictionary = train_dictionary(texts, corpus, size=4096)
    assert dictionary is not None
    assert len(dictionary) <= 4096
    with pytest.raises(ConfigError, match="dictionary=100 is not possible: expected 0 or at least 1024"):
        train_dictionary(texts, corpus, size=100)


@given(st.integers(1, 3_000_000), st.integers(1, 5000))
def test_samples_are_bounded_and_spread(count: int, mean: int) -> None:
    corpus = count * mean
    plan = sample_plan(count, corpus)
    if dictionary_size(corpus) == 0:
        assert len(plan) == 0
        return
    assert all(a < b for a, b in itertools.pairwise(plan))
    assert plan[0] == 0
    assert plan[-1] < count
    assert len(plan) == count or len(plan) * min(mean, SAMPLE_BYTES) <= 24 * dictionary_size(corpus) + 16 * SAMPLE_BYTES


def test_small_corpora_are_sampled_whole() -> None:
    assert list(sample_plan(500, 250_000)) == list(range(500))
    assert len(sample_plan(0, 0)) == 0
    assert len(sample_plan(100, 20_000)) == 0


def test_the_header_page_comes_back() -> None:
    body = encode_header_body(INFO)
    assert decode_header_body(body) == INFO
    assert len(body) <= 2700  # so it is in one code, also with parity
    text = body.decode()
    assert text.startswith("This is a memvid memory")
    assert json.loads(text.splitlines()[-1])["chunks"] == 1000
    assert INFO.tag == memory_tag(INFO.memory_id) == 0x67452301


@pytest.mark.parametrize("capacity", [64, 300, 2950])
def test_the_header_page_fits_any_symbol(capacity: int) -> None:
    bodies = pack_blob(PageKind.HEADER, encode_header_body(INFO), capacity=capacity)
    payloads = [seal(body, tag=INFO.tag, page_number=number) for number, body in enumerate(bodies)]
    assert decode_header_body(open_blob(PageKind.HEADER, payloads, first_frame=0, tag=INFO.tag)) == INFO


def test_a_header_without_a_model() -> None:
    plain = replace(INFO, model=None, dim=None, model_digest=None, writer=None, bare=True, compression="none")
    assert decode_header_body(encode_header_body(plain)) == plain


def changed(**changes: object) -> bytes:
    values = json.loads(encode_header_body(INFO).splitlines()[-1]) | changes
    return b"some words\n" + json.dumps({k: v for k, v in values.items() if v != "gone"}).encode() + b"\n"


def test_unknown_parameters_are_skipped() -> None:
    assert decode_header_body(changed(colour="red", later={"a": 1})) == INFO


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_id": "gone"},
        {"memory_id": "xyz"},
        {"memory_id": "A" * 64},
        {"chunks": "gone"},
        {"chunks": -1},
        {"chunks": True},
        {"chunks": 1.5},
        {"bare": 0},
        {"compression": "gone"},
        {"dim": "many"},
        {"text_bytes": None},
        {"title": "half a character: \ud800"},
        {"date": "\udfff"},
        {"message": "\ud800"},
    ],
)
def test_parameters_that_are_missing_or_wrong(changes: dict[str, object]) -> None:
    with pytest.raises(VideoFormatError, match=next(iter(changes))):
        decode_header_body(changed(**changes))


def test_a_header_of_another_version() -> None:
    with pytest.raises(UnsupportedVideoError, match="format version 3"):
        decode_header_body(changed(format_version=3))


@pytest.mark.parametrize("body", [b"", b"no json", b"\xff\xff", b"[1]", b"[" * 100_000])
def test_a_header_that_is_none(body: bytes) -> None:
    with pytest.raises(VideoFormatError, match="the header page"):
        decode_header_body(body)
