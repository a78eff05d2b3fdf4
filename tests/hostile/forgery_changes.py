"""Changes of the pages of a memory that Hypothesis chooses: what a page says of itself, what is in it, where it is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import zstandard
from hypothesis import assume
from hypothesis import strategies as st

from memvid import CommitInfo
from memvid.page import (
    ChunkIds,
    PageFlag,
    PageKind,
    Record,
    encode_changed_metadata,
    encode_commit,
    encode_tombstones,
)
from memvid.page.records import varint
from memvid.video import BARE
from tests.hostile.forgery import Forgery, Page
from tests.maintenance.test_unusable_metadata import POISON

__all__ = ["CHANGES", "Draw"]

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]
Change: TypeAlias = Callable[[Draw, Forgery], None]

texts = st.one_of(
    st.sampled_from(
        [b"", b" ", b"\0", b"a\0b", b"\xff", b"\xed\xa0\x80", "\ufeffx".encode(), b"\r\n\r\n", "é".encode(), b"\x89MV",
         b"7" * 700, b"word " * 60]
    ),
    st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=8),
)  # fmt: skip
metadatas = st.one_of(
    st.sampled_from(
        [b"", b"{}", b' {"n": 1 } ', b'{"n":1,"n":2}', b'{"n":1e308}', b'{"n":' + b"9" * 120 + b"}", b'{"":null}',
         b'{"n":"\\ud83d\\ude00"}', b'{"n":[[[[1]]]]}', *[poison for poison in POISON.values() if len(poison) < 99]]
    ),
    st.binary(max_size=12),
    st.text(max_size=6).map(lambda text: b'{"n":"' + text.encode("utf-8", "surrogatepass") + b'"}'),
)  # fmt: skip
edges = [
    255,
    256,
    65535,
    *(edge for bits in (31, 32, 62, 63, 64) for edge in ((1 << bits) - 1, (1 << bits) & (1 << 64) - 1)),
]
numbers = st.one_of(st.integers(0, 12), st.sampled_from(edges))
parameters: st.SearchStrategy[Any] = st.sampled_from(
    ["", "L", "M", "Q", "H", "X", "zstd", "none", "hashing", True, False, None, 0, 1, 2, 9, 10, 11, 22, 23, 40, 41, 0.5,
     1.0, 7.5, float("nan"), float("inf"), -1, 1 << 32, 1 << 62, 1 << 63, 10**400, "0" * 64, "f" * 64, [], {},
     "\ud800", "t" * 5000, "a\n\nb\x1b[2J\u202e", [[3, 5]], [[1 << 62, 1 << 62]], [[(1 << 62) - 1] * 2], [[9, 1 << 61]],
     [[0, 2]], [[3, 3], [9, 1 << 62]], [[2, 1]]]
)  # fmt: skip
NAMES = [
    "format_version", "memory_id", "chunks", "text_bytes", "symbol_version", "error_correction", "bare", "compression",
    "dictionary_pages", "dictionary_bytes", "model", "dim", "model_digest", "next_chunk", "compression_level",
    "chunks_per_frame", "parity", "writer", "cover", "title", "date", "message", "lost", "unknown",
]  # fmt: skip
COUNTS = ("number", "first_chunk", "added", "deleted", "changed", "chunks")


def change_chunk(draw: Draw, forgery: Forgery) -> None:
    """Another text or other metadata, a chunk more or less."""
    listed = [page for page in forgery.pages if page.kind == BARE or page.records() is not None]
    assume(listed)
    page = draw(st.sampled_from(listed))
    if page.kind == BARE:
        page.body = draw(texts)
        return
    records = page.records()
    what = draw(st.sampled_from(["text", "metadata", "insert", "remove", "both"]))
    if what == "insert":
        records.insert(draw(st.integers(0, len(records))), Record(draw(texts), draw(metadatas)))
    elif records:
        at = draw(st.integers(0, len(records) - 1))
        if what == "remove":
            del records[at]
        else:
            text = draw(texts) if what in ("text", "both") else records[at].text
            records[at] = Record(text, draw(metadatas) if what in ("metadata", "both") else records[at].metadata)
    page.put(records)


def change_field(draw: Draw, forgery: Forgery) -> None:
    """Another kind, flag, count, first chunk, tag, number."""
    page = draw(st.sampled_from(forgery.pages))
    name = draw(st.sampled_from(["kind", "flags", "count", "first_chunk", "tag", "number"]))
    if name == "kind":
        page.kind = draw(st.sampled_from([*range(10), 254, 255, BARE]))
    elif name == "flags":
        page.flags = draw(st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 32, 64, 128, 192]))
    elif name == "count":
        page.count = draw(st.one_of(st.integers(0, 9), st.just(65535)))
    elif name == "first_chunk":
        page.first_chunk = draw(numbers)
    else:
        setattr(page, name, draw(numbers) & 0xFFFFFFFF)


def change_body(draw: Draw, forgery: Forgery) -> None:
    """Some other bytes, a byte more or less."""
    page = draw(st.sampled_from(forgery.pages))
    at = draw(st.integers(0, len(page.body)))
    page.body = page.body[:at] + draw(st.binary(max_size=4)) + page.body[at + draw(st.integers(0, 4)) :]


def change_order(draw: Draw, forgery: Forgery) -> None:
    """A page more, a page less, two in each other's place."""
    pages = forgery.pages
    at, other = draw(st.integers(0, len(pages) - 1)), draw(st.integers(0, len(pages) - 1))
    what = draw(st.sampled_from(["drop", "swap", "copy"]))
    if what == "drop":
        assume(len(pages) > 1)
        del pages[at]
    elif what == "swap":
        pages[at], pages[other] = pages[other], pages[at]
    else:
        copied = pages[other]
        pages.insert(at, Page(copied.kind, copied.flags, copied.count, copied.first_chunk, copied.body))


def change_header(draw: Draw, forgery: Forgery) -> None:
    """Other parameters."""
    values = forgery.header
    if not isinstance(values, dict):  # something else was changed before
        return
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2)):
        value = draw(parameters)
        if name in values and draw(st.booleans()) and draw(st.booleans()):
            del values[name]
        else:
            values[name] = value
    forgery.set_header(values)


def add_page(draw: Draw, forgery: Forgery) -> None:
    """A page that says something of its own."""
    kind = draw(st.sampled_from([*PageKind]))
    page = Page(int(kind), 0, 0, 0, draw(st.binary(max_size=30)))
    if kind == PageKind.TOMBSTONES:
        runs = draw(st.lists(st.tuples(numbers, st.integers(1, 12)), min_size=1, max_size=3))
        ids = draw(st.sets(st.integers(0, 12), min_size=1))
        body = draw(st.sampled_from([varints(*sum(runs, ())), encode_tombstones(ChunkIds.of(ids))]))
        page.body, page.flags = draw(st.sampled_from([(body, 0), (zstandard.compress(body), int(PageFlag.ZSTD))]))
    elif kind == PageKind.METADATA:
        changes = draw(st.dictionaries(st.integers(0, 12), metadatas, min_size=1, max_size=3))
        body = encode_changed_metadata(sorted(changes.items()))
        page.body, page.flags = draw(st.sampled_from([(body, 0), (zstandard.compress(body), int(PageFlag.ZSTD))]))
    elif kind == PageKind.COMMIT:
        counts = {name: draw(st.one_of(st.integers(0, 4), numbers)) for name in COUNTS}
        page.body = encode_commit(CommitInfo(**counts))
    elif kind in (PageKind.DATA, PageKind.ATTRIBUTES):
        chunks = (page for page in forgery.pages if page.kind in (PageKind.DATA, BARE))
        last = max((page.first_chunk + page.count for page in chunks), default=0)
        page.first_chunk = draw(st.one_of(st.sampled_from([last, last + 3]), numbers))
        page.put([Record(draw(texts), draw(metadatas)) for _ in range(draw(st.integers(0, 3)))])
    elif kind == PageKind.PARITY:
        page.body = struct.pack("<IIHHHH", *(draw(numbers) & 0xFFFF for _ in range(6))) + page.body
    elif kind == PageKind.CONTINUATION:
        page.flags = draw(st.sampled_from([0, int(PageFlag.RUN)]))
        page.body = struct.pack("<II", *draw(st.sampled_from([(1, 2), (0, 2), (1, 1)]))) + page.body
    end = len(forgery.pages)
    forgery.pages.insert(draw(st.one_of(st.just(end), st.integers(0, end))), page)


def varints(*values: int) -> bytes:
    """Numbers as a list of deletions has them, each in as many bytes as it takes."""
    return b"".join(varint(value & 0xFFFFFFFF) for value in values)


CHANGES: list[Change] = [
    change_chunk, change_chunk, change_field, change_body, change_order, change_header, add_page,
]  # fmt: skip
