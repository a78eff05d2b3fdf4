"""The native reader of chunks beside the readable one in Python, on the same videos: sound, odd and forged ones."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvid import _core
from memvid.errors import ChunkNotFoundError, ClosedError, ConfigError, FrameError, MemvidError, VideoFormatError
from memvid.page import (
    HEADER_BYTES,
    PageBody,
    PageCompressor,
    PageKind,
    Record,
    encode_body,
    encode_metadata,
    pack,
    pack_blob,
    page_checksum,
    seal,
    train_dictionary,
)
from memvid.video import BARE, PageStore, PageTableBuilder, VideoReader
from memvid.video.codecs import native_source
from memvid.video.question import Question

TAG = 0x1234ABCD
VERSION = 20
CAPACITY = 850
Payload = tuple[bytes, int, int, int]
"""Payload, and what the page table says: kind, chunks that start, first of them."""


def write(path: Path, frames: Sequence[Payload], *, tag: int = TAG) -> VideoReader:
    writer = _core.FrameWriter(path, _core.SymbolOptions(version=VERSION), threads=1)
    table = PageTableBuilder()
    for payload, kind, count, first in frames:
        writer.write([payload])
        table.add(kind, count, first, page_checksum(payload))
    writer.finish(table.build(tag).to_bytes())
    return VideoReader(path, threads=2)


def sealed(pages: Sequence[PageBody], *, first_frame: int = 0) -> list[Payload]:
    return [
        (seal(page, tag=TAG, page_number=first_frame + i), page.kind, page.count, page.first_chunk)
        for i, page in enumerate(pages)
    ]


def outcome(read: Callable[[], object]) -> object:
    """What it gave, or the class of what it raised."""
    try:
        return read()
    except MemvidError as error:
        return type(error)


def anything() -> Question:
    return Question(1 << 40, 1 << 40, "")


def compare(video: VideoReader, ids: Sequence[int]) -> list[object]:
    """Asserts that both readers agree on every chunk; what they said."""
    store = PageStore(video, cache_bytes=0)
    found = []
    for chunk_id in ids:
        expected = outcome(lambda chunk_id=chunk_id: store._read_again(chunk_id, anything()))  # type: ignore[misc]
        texts, _, frames = store._reader().read(np.array([chunk_id], np.int64))
        if isinstance(expected, type):
            with pytest.raises(expected):
                store.read([chunk_id])
        else:
            assert store.read([chunk_id]) == [expected]
            assert texts[0] is not None
            assert frames == [expected.frame_index]  # type: ignore[attr-defined]
        found.append(expected)
    store.close()
    video.close()
    return found


printable = st.characters(exclude_categories=("C", "Z"), include_characters=" ")  # as str.isprintable has it
texts = st.text(printable, min_size=1, max_size=300)
metadata = st.one_of(st.none(), st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3))
chunks = st.lists(st.tuples(texts, metadata), min_size=1, max_size=12)


def records_of(given: Sequence[tuple[str, object]]) -> list[Record]:
    return [Record(text.encode(), encode_metadata(extra)) for text, extra in given]


@settings(max_examples=60, deadline=None)
@given(chunks=chunks, large=st.integers(0, 6000), compressed=st.booleans(), gap=st.integers(0, 3))
def test_both_readers_agree_on_sound_videos(
    tmp_path_factory: pytest.TempPathFactory,
    chunks: list[tuple[str, object]],
    large: int,
    compressed: bool,
    gap: int,
) -> None:
    noise = np.random.default_rng(large).integers(33, 127, large + 1).astype(np.uint8).tobytes()
    records = [*records_of(chunks), Record(noise, b'{"large":true}'), *records_of(chunks)]
    pages = pack(records, gap, capacity=CAPACITY, compressor=PageCompressor(3) if compressed else None)
    video = write(tmp_path_factory.mktemp("sound") / "m.mp4", sealed(pages))
    found = compare(video, range(gap, gap + len(records)))
    assert [chunk.text.encode() for chunk in found] == [record.text for record in records]  # type: ignore[attr-defined]


def test_pages_with_a_dictionary(tmp_path: Path) -> None:
    texts = [
        f"chunk {i} of the same kind of text as chunk {i * 7 % 50}, on rivers and stars".encode() for i in range(900)
    ]
    dictionary = train_dictionary(texts, sum(map(len, texts)), size=4096)
    assert dictionary is not None
    blob = pack_blob(PageKind.DICTIONARY, dictionary, capacity=CAPACITY, compressor=PageCompressor(19))
    pages = pack([Record(text) for text in texts], 0, capacity=CAPACITY, compressor=PageCompressor(12, dictionary))
    frames = [*sealed(blob), *sealed(pages, first_frame=len(blob))]
    with_dictionary = compare(write(tmp_path / "m.mp4", frames), range(0, len(texts), 7))
    assert [chunk.text.encode() for chunk in with_dictionary] == texts[::7]  # type: ignore[attr-defined]
    lost = compare(write(tmp_path / "lost.mp4", sealed(pages)), [0, 400])
    assert lost == [FrameError, FrameError]


def test_a_dictionary_that_is_none_is_refused(tmp_path: Path) -> None:
    video = write(tmp_path / "m.mp4", sealed(pack([Record(b"text")], 0, capacity=CAPACITY, compressor=None)))
    for damaged in (b"", b"x" * 100, bytes.fromhex("37a430ec") + b"\xff" * 200):
        with pytest.raises(VideoFormatError, match="is not a zstd dictionary"):
            video.chunk_reader(damaged, cache_bytes=0)


# Each changes a sound page of two chunks, 5 and 6, in frame 1; the checksum is made right again afterwards.
FORGERIES: dict[str, Callable[[bytearray], None]] = {
    "nothing": lambda page: None,
    "version": lambda page: page.__setitem__(3, 3),
    "kind": lambda page: page.__setitem__(4, PageKind.ATTRIBUTES),
    "unknown kind": lambda page: page.__setitem__(4, 9),
    "unknown flag": lambda page: page.__setitem__(5, page[5] | 0x20),
    "flag that may be ignored": lambda page: page.__setitem__(5, page[5] | 0x80),
    "run of one": lambda page: page.__setitem__(5, page[5] | 4),
    "dictionary without zstd": lambda page: page.__setitem__(5, 2),
    "zstd that is none": lambda page: page.__setitem__(5, 1),
    "count": lambda page: page.__setitem__(6, 3),
    "no chunks": lambda page: page.__setitem__(6, 0),
    "tag": lambda page: page.__setitem__(8, page[8] ^ 1),
    "page number": lambda page: page.__setitem__(12, 7),
    "first chunk": lambda page: page.__setitem__(16, 4),
    "large first chunk": lambda page: page.__setitem__(23, 1),
    "a text longer than the page": lambda page: page.__setitem__(HEADER_BYTES, 100),
    "a text shorter than it was": lambda page: page.__setitem__(HEADER_BYTES, 1),
    "an endless length": lambda page: page.__setitem__(slice(HEADER_BYTES, HEADER_BYTES + 4), b"\xff" * 4),
    "a length in two bytes where one is enough": lambda page: page.__setitem__(
        slice(HEADER_BYTES, HEADER_BYTES + 1), bytes([page[HEADER_BYTES] | 0x80, 0])
    ),
    "a byte too many": lambda page: page.append(0),
    "a byte too few": lambda page: page.__delitem__(-1),
    "no body": lambda page: page.__delitem__(slice(HEADER_BYTES, None)),
    "not UTF-8": lambda page: page.__setitem__(HEADER_BYTES + 4, 0xFF),
    "metadata that is no JSON": lambda page: page.__setitem__(len(page) - 1, ord("]")),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_both_readers_refuse_the_same_forgeries(tmp_path: Path, forgery: str) -> None:
    records = [Record(b"first text"), Record(b"second text", b'{"a":1}')]
    body = PageBody(PageKind.DATA, 0, 2, 5, encode_body(records))
    page = bytearray(seal(body, tag=TAG, page_number=1))
    FORGERIES[forgery](page)
    page[HEADER_BYTES - 4 : HEADER_BYTES] = zlib.crc32(
        page[HEADER_BYTES:], zlib.crc32(page[: HEADER_BYTES - 4])
    ).to_bytes(4, "little")
    head = seal(PageBody(PageKind.HEADER, 0, 0, 0, b"{}"), tag=TAG, page_number=0)
    frames = [(head, PageKind.HEADER, 0, 0), (bytes(page), PageKind.DATA, 2, 5)]
    found = compare(write(tmp_path / "m.mp4", frames), [5, 6])
    sound = {"nothing": 2, "flag that may be ignored": 2, "not UTF-8": 1, "metadata that is no JSON": 2}
    assert sum(not isinstance(chunk, type) for chunk in found) == sound.get(forgery, 0)


@pytest.mark.parametrize("forgery", ["repeated", "swapped", "dropped", "other flags", "other first chunk", "parts"])
def test_both_readers_refuse_the_same_runs(tmp_path: Path, forgery: str) -> None:
    noise = np.random.default_rng(0).integers(33, 127, 3000).astype(np.uint8).tobytes()
    frames = sealed(pack([Record(noise)], 0, capacity=CAPACITY, compressor=None))
    assert len(frames) > 3
    third, kind, count, first = frames[2]
    body = PageBody(PageKind.CONTINUATION, third[5], 0, 0, third[HEADER_BYTES:])
    if forgery == "repeated":
        body = PageBody(PageKind.CONTINUATION, third[5], 0, 0, frames[1][0][HEADER_BYTES:])
    if forgery == "other flags":
        body = PageBody(PageKind.CONTINUATION, third[5] | 0x40, 0, 0, third[HEADER_BYTES:])
    if forgery == "other first chunk":
        body = PageBody(PageKind.CONTINUATION, third[5], 0, 1, third[HEADER_BYTES:])
    if forgery == "parts":
        body = PageBody(
            PageKind.CONTINUATION,
            third[5],
            0,
            0,
            third[HEADER_BYTES : HEADER_BYTES + 4] + b"\x09" + third[HEADER_BYTES + 5 :],
        )
    frames[2] = (seal(body, tag=TAG, page_number=2), kind, count, first)
    if forgery == "swapped":
        frames[1], frames[2] = frames[2], frames[1]
    if forgery == "dropped":
        del frames[-1]
    assert compare(write(tmp_path / "m.mp4", frames), [0]) == [FrameError]


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60), count=st.integers(0, 4), flags=st.sampled_from([0, 0, 0, 1]))
def test_both_readers_agree_on_any_body(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, count: int, flags: int
) -> None:
    stored = PageCompressor(3).compress(body) if flags else body
    page = seal(PageBody(PageKind.DATA, flags, count, 0, stored), tag=TAG, page_number=0)
    video = write(tmp_path_factory.mktemp("any") / "m.mp4", [(page, PageKind.DATA, max(count, 1), 0)])
    compare(video, range(max(count, 1)))


@pytest.mark.parametrize("size", [63 << 20, 65 << 20])
def test_a_frame_that_claims_to_be_huge_is_refused(tmp_path: Path, size: int) -> None:
    stored = PageCompressor(3).compress(b"a" * size)
    assert len(stored) > CAPACITY  # so it takes a run of pages
    room = CAPACITY - HEADER_BYTES - 8
    parts = [stored[at : at + room] for at in range(0, len(stored), room)]
    bodies = [
        PageBody(
            PageKind.CONTINUATION if i else PageKind.DATA,
            1 | 4,
            0 if i else 1,
            0,
            i.to_bytes(4, "little") + len(parts).to_bytes(4, "little") + part,
        )
        for i, part in enumerate(parts)
    ]
    assert compare(write(tmp_path / "m.mp4", sealed(bodies)), [0]) == [FrameError]


def test_bare_frames_have_metadata_elsewhere(tmp_path: Path) -> None:
    frames: list[Payload] = [(b"bare text", BARE, 1, 0), ("zweiter Text, äöü".encode(), BARE, 1, 1)]
    video = write(tmp_path / "m.mp4", frames)
    assert [chunk.text for chunk in compare(video, [0, 1])] == ["bare text", "zweiter Text, äöü"]  # type: ignore[attr-defined]


def test_ids_in_any_order_and_twice_read_each_frame_once(tmp_path: Path) -> None:
    records = [Record(f"text {i} ".encode() * 20) for i in range(60)]
    video = write(tmp_path / "m.mp4", sealed(pack(records, 10, capacity=CAPACITY, compressor=None)))
    store = PageStore(video, cache_bytes=1 << 20)
    ids = [40, 10, 69, 40, 11, 12]
    expected = [records[chunk_id - 10].text.decode() for chunk_id in ids]
    assert [chunk.text for chunk in store.read(ids)] == expected
    distinct = len({chunk.frame_index for chunk in store.read(ids)})
    assert video.counters()["frames"] == distinct
    stats = store.cache_stats()
    assert (stats.hits, stats.misses, stats.pages) == (distinct, distinct, distinct)
    store.clear_cache()
    assert store.cache_stats().nbytes == 0
    for missing in (9, 70, -1, 1 << 62):
        with pytest.raises(ChunkNotFoundError, match=f"there is no chunk {missing}"):
            store.read([40, missing])


def test_after_close_it_says_so(tmp_path: Path) -> None:
    video = write(tmp_path / "m.mp4", sealed(pack([Record(b"text")], 0, capacity=CAPACITY, compressor=None)))
    opened, unread = PageStore(video, cache_bytes=0), PageStore(video, cache_bytes=0)
    assert opened.read([0])[0].text == "text"
    for store in (opened, unread):
        store.close()
        with pytest.raises(ClosedError, match="open it again"):
            store.read([0])
    assert opened.cache_stats().pages == 0


def test_columns_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    video = write(tmp_path / "m.mp4", sealed(pack([Record(b"text")], 0, capacity=CAPACITY, compressor=None)))

    def make(frame: int, runs: Sequence[int]) -> object:
        return _core.ChunkReader(
            native_source(video._open_reader()),
            frames=np.array([frame]),
            first_chunks=np.array([0]),
            counts=np.array([1], np.uint16),
            runs=np.array(runs),
            bare=np.array([0], np.uint8),
            tag=TAG,
            dictionary=None,
            cache_bytes=0,
        )

    make(0, [1])
    with pytest.raises(ConfigError, match="not of one length"):
        make(0, [1, 1])
    for frame, run in ((0, 2), (1, 1), (-1, 1), (0, 0), (0, 1 << 62)):
        with pytest.raises(ConfigError, match="outside of the video"):
            make(frame, [run])


def test_threads_share_a_reader_and_its_cache(tmp_path: Path) -> None:
    records = [Record(f"text {i} ".encode() * 20) for i in range(200)]
    video = write(tmp_path / "m.mp4", sealed(pack(records, 0, capacity=CAPACITY, compressor=None)))
    store = PageStore(video, cache_bytes=6_000)  # some pages, so that they come and go
    wrong: list[object] = []

    def work(seed: int) -> None:
        for ids in np.random.default_rng(seed).integers(0, 200, (150, 6)).tolist():
            found = [chunk.text.encode() for chunk in store.read(ids)]
            wrong.extend(i for i, text in zip(ids, found, strict=True) if text != records[i].text)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert 0 < store.cache_stats().nbytes <= 6_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_reader_has_a_cache_of_its_own(tmp_path: Path) -> None:
    records = [Record(f"text {i} ".encode() * 20) for i in range(60)]
    video = write(tmp_path / "m.mp4", sealed(pack(records, 0, capacity=CAPACITY, compressor=None)))
    store = PageStore(video, cache_bytes=1 << 20)
    store.read(range(60))
    child = os.fork()
    if not child:
        right = store.cache_stats().pages == 0 and store.read([7, 40])[1].text.encode() == records[40].text
        os._exit(0 if right and store.cache_stats().pages == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.cache_stats().pages > 2
