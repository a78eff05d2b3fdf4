"""Payloads back to chunks: single pages and runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memvid.allowance import CHUNK_BYTES
from memvid.checks import ID_LIMIT
from memvid.config import MAX_DICTIONARY_BYTES
from memvid.errors import FrameError
from memvid.page.compression import MAX_BODY_BYTES, PageDecompressor, stated_size
from memvid.page.header import HEADER_BYTES, PageFlag, PageHeader, PageKind, parse_header, read_page
from memvid.page.packing import RUN_HEAD
from memvid.page.records import RecordPage
from memvid.remedies import REMEDY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memvid.allowance import Allowance

__all__ = ["join_run", "open_blob", "open_body", "open_page", "open_run", "run_parts", "unpacked_size"]

_ZSTD = int(PageFlag.ZSTD)
_DICTIONARY = int(PageFlag.DICTIONARY)
_BODY_START = HEADER_BYTES + RUN_HEAD.size
_ZSTD_HEAD = 18  # bytes of a zstd frame that say how large it is, at most
_LARGEST = {
    PageKind.HEADER: 1 << 20,  # a real one has about 3 kB
    PageKind.DICTIONARY: MAX_DICTIONARY_BYTES,
    PageKind.COMMIT: 1 << 16,
}


def run_parts(header: PageHeader, payload: bytes, *, frame_index: int) -> tuple[int, int]:
    """Which part of how many a page is: ``(0, 1)`` if it is whole by itself.

    A page that is part ``i`` of ``n`` lies in frames ``frame_index - i`` to ``frame_index - i + n - 1`` with the rest.

    :raises FrameError: the numbers cannot be.
    """
    if not header.is_run:
        return 0, 1
    if len(payload) <= _BODY_START:
        raise _error("its part of a run is empty", frame_index)
    part, parts = RUN_HEAD.unpack_from(payload, HEADER_BYTES)
    if not part < parts or parts < 2 or (part == 0) == (header.kind == PageKind.CONTINUATION):
        raise _error(f"says it is part {part} of {parts}", frame_index)
    return part, parts


def open_page(header: PageHeader, payload: bytes, decompressor: PageDecompressor, *, frame_index: int) -> RecordPage:
    """The chunks of a verified DATA or ATTRIBUTES page that is whole by itself.

    :raises FrameError: the body is not what the header says.
    """
    if header.is_run:
        raise _error("is one part of a run: its other pages are needed too", frame_index)
    _expect_records(header, frame_index)
    body = open_body(payload[HEADER_BYTES:], header.flags, decompressor, frame_index=frame_index)
    return RecordPage(body, header.count, frame_index=frame_index)


def open_run(
    payloads: Sequence[bytes],
    decompressor: PageDecompressor,
    *,
    first_frame: int,
    tag: int | None = None,
    allowance: Allowance | None = None,
) -> tuple[PageHeader, RecordPage]:
    """Header and chunks of a DATA or ATTRIBUTES run (or of a single page), verified part by part.

    :param allowance: what it may unpack to, together with other pages, before which it is not unpacked.
    :raises FrameError: see :func:`join_run`; or the body is not what the header says.
    :raises ResourceLimitError: the allowance is spent.
    """
    header, stored = join_run(payloads, first_frame=first_frame, tag=tag)
    _expect_records(header, first_frame)
    if header.kind == PageKind.ATTRIBUTES and header.flags & _ZSTD:  # so there is no more metadata than bytes of frames
        raise _error("has metadata of bare texts and is compressed, which no writer does", first_frame)
    if allowance is not None:
        allowance.spend(CHUNK_BYTES * header.count)
    body = open_body(stored, header.flags, decompressor, frame_index=first_frame, allowance=allowance)
    return header, RecordPage(body, header.count, frame_index=first_frame)


def unpacked_size(payload: bytes, *, frame_index: int) -> int:
    """What the page, or run of pages, at least nearly unpacks to that begins with this one, from its first bytes.

    :raises FrameError: it is no page.
    """
    header = parse_header(payload, frame_index=frame_index)
    stored = payload[_BODY_START if header.is_run else HEADER_BYTES :]
    if not header.flags & _ZSTD:
        return len(stored)
    if header.is_run and len(stored) < _ZSTD_HEAD:  # which no writer makes, and which does not say it by itself
        return MAX_BODY_BYTES
    return stated_size(stored)


def open_blob(
    kind: PageKind, payloads: Sequence[bytes], *, first_frame: int, tag: int | None = None, limit: int | None = None
) -> bytes:
    """What :func:`~memvid.page.packing.pack_blob` was given: the body of the header page, the dictionary.

    :param limit: bytes it may unpack to; ``None`` takes what is enough for its kind.
    :raises FrameError: see :func:`join_run`; or the pages are of another kind, or larger.
    """
    header, stored = join_run(payloads, first_frame=first_frame, tag=tag)
    if header.kind != kind:
        raise _error(f"is a {header.kind.name} page where a {kind.name} page belongs", first_frame)
    most = _LARGEST.get(kind, MAX_BODY_BYTES) if limit is None else limit
    return open_body(stored, header.flags, PageDecompressor(), frame_index=first_frame, limit=most)


def join_run(payloads: Sequence[bytes], *, first_frame: int, tag: int | None = None) -> tuple[PageHeader, bytes]:
    """The first header and the joined stored body of a run's pages; of one page that is no run, its body.

    :param payloads: of all its frames, in order.
    :param first_frame: frame of the first one.
    :param tag: tag of the memory that is being read; ``None`` takes the first page's.
    :raises FrameError: a page is damaged or of another memory, or a part is missing, repeated, or out of place.
    """
    if not payloads:
        raise _error("no page of the run was given", first_frame)
    first = read_page(payloads[0], frame_index=first_frame, tag=tag)
    _, parts = run_parts(first, payloads[0], frame_index=first_frame)
    if first.kind == PageKind.CONTINUATION:
        raise _error("continues a run whose first page is missing", first_frame)
    if parts != len(payloads):
        raise _error(f"its run has {parts} pages, {len(payloads)} were found", first_frame)
    if parts == 1:
        return first, payloads[0][HEADER_BYTES:]
    for part, payload in enumerate(payloads[1:], start=1):
        frame = first_frame + part
        header = read_page(payload, frame_index=frame, tag=first.tag)
        expected = (PageKind.CONTINUATION, first.flags, 0, first.first_chunk)
        if (header.kind, header.flags, header.count, header.first_chunk) != expected:
            raise _error(f"does not continue the run that starts in frame {first_frame}", frame)
        if run_parts(header, payload, frame_index=frame) != (part, parts):
            raise _error(f"is not part {part} of {parts} of the run that starts in frame {first_frame}", frame)
    return first, b"".join(payload[_BODY_START:] for payload in payloads)


def open_body(
    stored: bytes,
    flags: int,
    decompressor: PageDecompressor,
    *,
    frame_index: int,
    limit: int = MAX_BODY_BYTES,
    allowance: Allowance | None = None,
) -> bytes:
    """A logical body from its stored form.

    :param limit: bytes it may have.
    :param allowance: bytes that it and others may have together.
    :raises FrameError: it has more, flags that contradict each other, or a zstd frame that cannot be read.
    :raises ResourceLimitError: the allowance is spent.
    """
    if flags & _ZSTD:
        keyed = bool(flags & _DICTIONARY)
        return decompressor.decompress(
            stored, use_dictionary=keyed, frame_index=frame_index, limit=limit, allowance=allowance
        )
    if flags & _DICTIONARY:
        raise _error("uses a dictionary without being compressed", frame_index)
    if len(stored) > limit:
        raise _error(f"has a body of {len(stored)} bytes, the limit is {limit}", frame_index)
    if allowance is not None:
        allowance.spend(len(stored))
    return stored


def _expect_records(header: PageHeader, frame_index: int) -> None:
    if header.kind not in (PageKind.DATA, PageKind.ATTRIBUTES):
        raise _error(f"is a {header.kind.name} page, which holds no chunks", frame_index)
    if header.first_chunk + header.count > ID_LIMIT:
        raise _error(f"holds chunks from {header.first_chunk} on, and ids end at {ID_LIMIT - 1}", frame_index)


def _error(what: str, frame_index: int) -> FrameError:
    return FrameError(f"frame {frame_index}: {what}; the video is damaged: {REMEDY}", frame_index=frame_index)
