"""The plan of a memory's pages: which chunks go into which page, in what form. No files, no frames.

Greedy: each page takes as many of the next chunks as fit. The plan depends on its arguments alone, so segments of a
corpus may be packed by several threads; only a segment's last page is partly filled.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from struct import Struct
from typing import TYPE_CHECKING

from memvid.errors import ChunkTooLargeError, ConfigError
from memvid.page.compression import MAX_BODY_BYTES, PageCompressor
from memvid.page.header import HEADER_BYTES, MAX_COUNT, PageBody, PageFlag, PageKind
from memvid.page.records import Record, encode_body, varint

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_CHUNK_BYTES",
    "MIN_CAPACITY",
    "PAGE_BODY_TARGET",
    "RUN_HEAD",
    "check_record",
    "pack",
    "pack_attributes",
    "pack_bare",
    "pack_blob",
]

RUN_HEAD = Struct("<II")

MAX_CHUNK_BYTES = MAX_BODY_BYTES - 16
"""Most bytes of one chunk's text and metadata together; the rest of a body is their lengths."""

PAGE_BODY_TARGET = 256 << 10
"""Chunks are added to a page only up to so many bytes, however well they compress: one hit opens one whole page."""

MIN_CAPACITY = 64
"""Least bytes a code must hold for pages: below, headers would take most of it."""

# Stored bytes per byte of text before anything was measured, and how much smaller the stronger level gets.
_FIRST_RATIO = 0.4
_FIRST_GAIN = 0.965
_LEAST_RATIO = 1e-4
# A prediction may miss: one more chunk is tried when it should overflow by no more than this.
_HOPE = 1.005
# Tries at the stronger level for one page.
_SQUEEZES = 2


def check_record(record: Record, chunk_id: int) -> None:
    """Refuse a chunk no page or run can hold.

    :raises ChunkTooLargeError: text and metadata exceed :data:`MAX_CHUNK_BYTES`.
    """
    size = len(record.text) + len(record.metadata)
    if size > MAX_CHUNK_BYTES:
        raise ChunkTooLargeError(
            f"chunk {chunk_id} has {size} bytes of text and metadata, the limit is {MAX_CHUNK_BYTES}: split it"
        )


def pack(
    records: Sequence[Record],
    first_chunk: int,
    *,
    capacity: int,
    compressor: PageCompressor | None,
    chunks_per_frame: int | None = None,
) -> list[PageBody]:
    """Lay ``records``, whose ids start at ``first_chunk``, out in pages of at most ``capacity`` bytes.

    A chunk that does not fit a page of its own becomes a run of pages.

    :param capacity: bytes the QR code holds, the page's header among them.
    :param compressor: ``None`` stores bodies as they are.
    :param chunks_per_frame: at most so many chunks a page; ``None`` packs as many as fit.
    :raises ConfigError: ``capacity`` is below :data:`MIN_CAPACITY`.
    :raises ChunkTooLargeError: see :func:`check_record`.
    """
    _check_capacity(capacity)
    for offset, record in enumerate(records):
        check_record(record, first_chunk + offset)
    packer = _Packer(records, capacity - HEADER_BYTES, compressor, chunks_per_frame or MAX_COUNT)
    pages: list[PageBody] = []
    start = 0
    while start < len(records):
        count, stored = packer.next_page(start)
        pages += _pages(PageKind.DATA, stored, count, first_chunk + start, capacity)
        start += count
    return pages


def pack_bare(records: Sequence[Record], first_chunk: int, *, capacity: int) -> list[bytes]:
    """Payloads of a bare memory: each chunk's UTF-8 text and nothing else. Metadata goes to :func:`pack_attributes`.

    :raises ChunkTooLargeError: a text does not fit its code.
    """
    for offset, record in enumerate(records):
        if len(record.text) > capacity:
            raise ChunkTooLargeError(
                f"chunk {first_chunk + offset} has {len(record.text)} bytes of UTF-8, a code holds {capacity}: make "
                "chunks smaller, take a higher symbol_version or a lower error_correction, or leave out "
                'compression="none" or chunks_per_frame=1, which together put one bare text in each code'
            )
    return [record.text for record in records]


def pack_attributes(
    metadatas: Sequence[bytes], first_chunk: int, *, capacity: int, always: bool = False
) -> list[PageBody]:
    """Pages with the metadata of a bare memory's chunks, none if no chunk has any.

    :param metadatas: what :func:`~memvid.page.metadata.encode_metadata` made of each chunk's, in order.
    :param always: even if no chunk has any: the pages also say which ids the texts before them have.
    :raises ConfigError: ``capacity`` is below :data:`MIN_CAPACITY`.
    """
    _check_capacity(capacity)
    if not always and not any(metadatas):
        return []
    records = [Record(b"", metadata) for metadata in metadatas]
    packer = _Packer(records, capacity - HEADER_BYTES, None, MAX_COUNT)
    pages: list[PageBody] = []
    start = 0
    while start < len(records):
        count, stored = packer.next_page(start)
        pages += _pages(PageKind.ATTRIBUTES, stored, count, first_chunk + start, capacity)
        start += count
    return pages


def pack_blob(
    kind: PageKind, data: bytes, *, capacity: int, compressor: PageCompressor | None = None
) -> list[PageBody]:
    """Pages with ``data`` as one logical body: a header, a dictionary. One page or one run.

    :raises ConfigError: ``capacity`` is below :data:`MIN_CAPACITY`.
    """
    _check_capacity(capacity)
    return _pages(kind, _smaller(data, compressor.compress(data) if compressor else None, compressor), 0, 0, capacity)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A logical body as it will lie in pages."""

    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Estimate:
    """Stored bytes of the first ``count`` chunks of a page."""

    count: int
    size: float


class _Packer:
    """Finds where pages end, learning on the way how well this text compresses."""

    def __init__(self, records: Sequence[Record], room: int, compressor: PageCompressor | None, most: int) -> None:
        self._records = records
        self._room = room
        self._compressor = compressor
        self._most = most
        sizes = (
            len(varint(len(r.text))) + len(varint(len(r.metadata))) + len(r.text) + len(r.metadata) for r in records
        )
        self._ends = list(accumulate(sizes, initial=0))
        self._ratio = _FIRST_RATIO if compressor else 1.0
        self._gain = _FIRST_GAIN

    def next_page(self, start: int) -> tuple[int, _Stored]:
        """How many chunks from ``start`` on make the next page, and their body; too large only if it is one chunk."""
        limit = min(len(self._records) - start, self._most, max(1, self._until(start, PAGE_BODY_TARGET)))
        if self._compressor is None:
            count = max(1, min(limit, self._until(start, self._room)))
            return count, _Stored(0, self._encode(start, count))
        fits, fails = 0, limit + 1
        best: _Stored | None = None
        count = self._clamp(self._until(start, self._room / self._ratio), fits, fails)
        while True:
            stored = self._store(start, count)
            size = len(stored.body)
            self._ratio = max(size / self._raw(start, count), _LEAST_RATIO)
            if size <= self._room:
                fits, best = count, stored
            else:
                fails = count
            estimate = _Estimate(count, size)
            if fits < limit and (squeezed := self._squeeze(start, fits, limit, estimate)) is not None:
                return squeezed
            expected = self._longest(start, estimate, self._ratio)
            if fails - fits <= 1 or (fits and expected <= fits):
                return (fits, best) if best is not None else (1, stored)
            count = self._clamp(expected, fits, fails)

    def _squeeze(self, start: int, fits: int, limit: int, normal: _Estimate) -> tuple[int, _Stored] | None:
        """More chunks than fit at the normal level, if the stronger one is likely to make room for them and does."""
        compressor = self._compressor
        if compressor is None or not compressor.can_squeeze:
            return None
        ratio = self._ratio * self._gain
        estimate = _Estimate(normal.count, normal.size * self._gain)
        for _ in range(_SQUEEZES):
            count = min(self._longest(start, estimate, ratio), limit)
            if count <= fits or count == estimate.count != normal.count:
                return None
            body = self._encode(start, count)
            stored = _smaller(body, compressor.squeeze(body), compressor)
            expected = estimate.size + (self._raw(start, count) - self._raw(start, estimate.count)) * ratio
            self._gain = min(1.0, self._gain * (1 + (len(stored.body) / expected - 1) / 8))
            if len(stored.body) <= self._room:
                return count, stored
            estimate = _Estimate(count, len(stored.body))
        return None

    def _longest(self, start: int, estimate: _Estimate, ratio: float) -> int:
        """How many chunks should fit, when ``estimate`` was measured and every further byte costs ``ratio``."""
        return self._until(start, self._raw(start, estimate.count) + (self._room * _HOPE - estimate.size) / ratio)

    @staticmethod
    def _clamp(count: int, fits: int, fails: int) -> int:
        return min(max(count, fits + 1), fails - 1)

    def _until(self, start: int, raw: float) -> int:
        """How many chunks from ``start`` on have at most ``raw`` bytes together."""
        return bisect_right(self._ends, self._ends[start] + raw) - 1 - start

    def _raw(self, start: int, count: int) -> int:
        return self._ends[start + count] - self._ends[start]

    def _encode(self, start: int, count: int) -> bytes:
        return encode_body(self._records[start : start + count])

    def _store(self, start: int, count: int) -> _Stored:
        body = self._encode(start, count)
        return _smaller(body, self._compressor.compress(body) if self._compressor else None, self._compressor)


def _smaller(body: bytes, compressed: bytes | None, compressor: PageCompressor | None) -> _Stored:
    if compressor is None or compressed is None or len(compressed) >= len(body):
        return _Stored(0, body)
    flags = PageFlag.ZSTD | PageFlag.DICTIONARY if compressor.has_dictionary else PageFlag.ZSTD
    return _Stored(int(flags), compressed)


def _pages(kind: PageKind, stored: _Stored, count: int, first_chunk: int, capacity: int) -> list[PageBody]:
    """One page with a logical body, or the run of pages it is cut into."""
    body = stored.body
    if len(body) <= capacity - HEADER_BYTES:
        return [PageBody(kind, stored.flags, count, first_chunk, body)]
    room = capacity - HEADER_BYTES - RUN_HEAD.size
    slices = [body[at : at + room] for at in range(0, len(body), room)]
    flags = stored.flags | int(PageFlag.RUN)
    return [
        PageBody(
            PageKind.CONTINUATION if part else kind,
            flags,
            0 if part else count,
            first_chunk,
            RUN_HEAD.pack(part, len(slices)) + piece,
        )
        for part, piece in enumerate(slices)
    ]


def _check_capacity(capacity: int) -> None:
    if capacity < MIN_CAPACITY:
        raise ConfigError(
            f"a code of {capacity} bytes is too small for pages, which need {MIN_CAPACITY}: "
            "take a higher symbol_version or a lower error_correction"
        )
