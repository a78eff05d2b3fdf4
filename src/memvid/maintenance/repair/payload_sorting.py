"""Salvaged payloads put in order: which memory they are of, which runs are whole, which chunks are there, which not."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np

from memvid.allowance import Allowance
from memvid.checks import ID_LIMIT
from memvid.errors import VideoError
from memvid.maintenance.repair.bare_metadata import texts_without_metadata
from memvid.maintenance.repair.bare_text_ids import Texts, add_texts, texts_by_checksum, texts_by_order
from memvid.maintenance.repair.copies import choose_pages, choose_table, choose_tag
from memvid.maintenance.repair.front_pages import find_front
from memvid.maintenance.repair.lost_cover import find_cover
from memvid.maintenance.repair.page_runs import ChunkRun, Group, Sorted
from memvid.maintenance.repair.parity_recovery import restore_pages
from memvid.maintenance.repair.salvage import Salvage, Slot
from memvid.maintenance.repair.usable_chunks import usable_changes, usable_chunks
from memvid.maintenance.rewrite.kept_vectors import IndexVectors
from memvid.maintenance.verify.findings import Findings
from memvid.page import (
    ChunkIds,
    MetadataReader,
    PageFlag,
    PageHeader,
    PageKind,
    TombstoneReader,
    decode_commit,
    describe_chunks,
    describe_numbers,
    is_page,
    open_blob,
    open_run,
    parse_header,
)
from memvid.page.reading import run_parts
from memvid.types import VideoIdentity
from memvid.video import BARE, PageTable, expected_chunks
from memvid.video.bare_texts import find_zones
from memvid.video.cover import chunks_on_cover

__all__ = ["sort_pages"]

_ANY = ID_LIMIT  # above every id: which chunks are before a page, nobody knows yet


def sort_pages(
    copies: Sequence[Salvage],
    findings: Findings,
    allowance: Allowance,
    *,
    wanted: int | None = None,
    video: VideoIdentity | None = None,
    index: IndexVectors | None = None,
) -> Sorted:
    """Put together what belongs together; what does not fit goes to ``findings``.

    :param copies: what was salvaged of each copy of the memory.
    :param allowance: what all pages together may unpack to.
    :param wanted: the tag of the memory that is asked for.
    :param video: the video that an index names, whatever became of its files.
    :param index: an index whose files are sound, of this memory or another one.
    :raises VideoError: there is no page of any memory, or copies are none of one memory.
    :raises ResourceLimitError: they unpack to more than allowed.
    """
    digest = None if video is None else video.digest
    tag = choose_tag(copies, None if video is None else video.tag, wanted)
    table = choose_table(copies, tag, digest)
    for copy in copies:
        _note_unreadable(copy, table, findings)
    path = copies[0].path
    numbered = choose_pages(copies, tag, table, findings)
    result = Sorted(tag=tag)
    by_number = {number: slot.payload or b"" for number, slot in numbered.items()}
    cover = find_cover((slot for copy in copies for slot in _texts_of(copy)), by_number, table)
    if table is None:
        texts = _texts_by_order(copies, numbered, result)
    else:
        slots = [slot for copy in copies for slot in _texts_of(copy)]
        texts = texts_by_checksum(slots, table, path, findings, proven=table.digest == digest)
    if cover is not None:
        texts.placed[0] = cover  # parity knows it as a text, and may bring it back as one
        texts.loose.pop(cover, None)
    restore_pages(by_number, texts.placed, table, tag, path, findings)
    if table is not None and table.has_cover:
        cover = texts.placed.pop(0, None)
    result.cover = cover
    size = sum(copy.file_bytes for copy in copies)
    _gather(by_number, table, result, TombstoneReader(size), MetadataReader(size), allowance, path, findings)
    if table is not None and table.digest != digest and not _is_plausible(table, result, bare=bool(texts)):
        findings.error("page table", "the page table does not fit the pages that are there: it is not used", path)
        table = None
    if table is None:
        texts = _texts_by_order(copies, numbered, result)
    _expect(table, result, sum(len(copy.slots) for copy in copies))
    if texts and (result.header is None or result.header.bare):
        add_texts(texts, by_number, table, index, result, path, findings)
    result.groups.sort(key=lambda group: group.frame)
    if table is not None:
        there = {group.frame for group in result.groups}
        listed = zip(table.kinds.tolist(), range(len(table)), strict=True)
        result.lost_kinds = {kind for kind, frame in listed if frame not in there}
        _note_lost_metadata(*_metadata_not_there(table, result), path, findings)
    elif texts:
        zones = find_zones(result.header, result.front, result.added, sorted(by_number))
        _note_lost_metadata(texts_without_metadata(result.groups, by_number, zones), None, path, findings)
    return result


def _texts_of(copy: Salvage) -> Iterator[Slot]:
    return (slot for slot in copy.slots if slot.payload is not None and not is_page(slot.payload))


def _texts_by_order(copies: Sequence[Salvage], numbered: dict[int, Slot], result: Sorted) -> Texts:
    """Of several copies, what the first that tells the place of a text says of it."""
    texts = Texts()
    for copy in copies:
        own = {id(slot): number for number, slot in numbered.items()}
        for slot in copy.slots:  # the same page may have been taken from another copy
            if slot.payload is not None and is_page(slot.payload):
                header = parse_header(slot.payload, frame_index=slot.frame or 0)
                if header.tag == result.tag:
                    own.setdefault(id(slot), header.page_number)
        found = texts_by_order(copy.slots, own, result)
        texts.placed = found.placed | texts.placed
        texts.loose |= found.loose
    for text in texts.placed.values():
        texts.loose.pop(text, None)
    return texts


def _note_unreadable(copy: Salvage, table: PageTable | None, findings: Findings) -> None:
    """Name what nothing can be read from; which chunks that costs is known when all others are in order."""
    unread = [slot for slot in copy.slots if slot.payload is None]
    if table is None:
        shown = [slot.frame for slot in unread if slot.frame is not None and slot.offset < 0]
        if len(shown) > 1:  # a film has an opening, a fade, ...
            which = describe_numbers(ChunkIds.of(shown).ranges)
            findings.error("frame", f"{len(shown)} pictures cannot be read: {which}: they are left out", copy.path)
            unread = [slot for slot in unread if slot.offset >= 0]
    for slot in unread:
        what = f"{'a frame' if slot.frame is None else f'frame {slot.frame}'} cannot be read: it is left out"
        findings.error("frame", what, copy.path, frame=slot.frame, offset=slot.offset if slot.offset >= 0 else None)


def _metadata_not_there(table: PageTable, result: Sorted) -> tuple[ChunkIds, int | None]:
    """The bare texts that a page of metadata may have told of which is lost, and its frame."""
    there = {group.frame: group for group in result.groups if group.kind == PageKind.ATTRIBUTES}
    lost = [frame for frame in table.frames_of_kind(PageKind.ATTRIBUTES).tolist() if frame not in there]
    heads = [parse_header(group.payloads[0], frame_index=frame) for frame, group in there.items()]
    described = ChunkIds.of_ranges((head.first_chunk, head.first_chunk + head.count - 1) for head in heads)
    chunks = (table.texts_before(np.array(lost, np.int64)) & result.chunks) - described
    return chunks, next(iter(lost), None)


def _note_lost_metadata(chunks: ChunkIds, frame: int | None, path: object, findings: Findings) -> None:
    """Name the bare texts that come without their metadata."""
    if chunks:
        findings.error(
            "metadata",
            f"the metadata of {describe_chunks(chunks.ranges)} cannot be read: they come without it",
            path,
            frame=frame,
            chunks=chunks.ranges,
        )


def _is_plausible(table: PageTable, result: Sorted, *, bare: bool) -> bool:
    """Whether a page table that nothing else vouches for agrees with every page."""
    if bare and not np.array_equal(table.counts, (table.kinds == BARE).astype(np.uint16)):
        return False
    return all(
        group.frame < len(table)
        and (group.kind, group.count) == (int(table.kinds[group.frame]), int(table.counts[group.frame]))
        and (not group.count or group.first_chunk == int(table.first_chunks[group.frame]))
        for group in result.groups
    )


def _gather(
    pages: dict[int, bytes],
    table: PageTable | None,
    result: Sorted,
    tombstones: TombstoneReader,
    changes: MetadataReader,
    allowance: Allowance,
    path: object,
    findings: Findings,
) -> None:
    """Whole runs, from the front on; header page and dictionary first, which the rest is read with."""
    decompressor, used = find_front(pages, table, result, path, findings)
    numbers = sorted(pages)
    for number in numbers:
        if number in used:
            continue
        header = parse_header(pages[number], frame_index=number)
        part, parts = 0, 1
        try:
            if header.first_chunk > ID_LIMIT:
                raise VideoError(f"its chunks begin at {header.first_chunk}, and ids end at {ID_LIMIT}")
            part, parts = run_parts(header, pages[number], frame_index=number)
            frames = range(number - part, number - part + parts)
            # Of the pages that are there, not of those that are said to be: a page can claim four billion.
            there = numbers[bisect_left(numbers, frames.start) : bisect_left(numbers, frames.stop)]
            used.update(there)
            payloads = [pages[frame] for frame in there]
            if len(payloads) < parts:
                _lose_run(header, frames, there, result, path, findings)
                continue
            if header.kind in (PageKind.DATA, PageKind.ATTRIBUTES):
                _, page = open_run(payloads, decompressor, first_frame=number, tag=result.tag, allowance=allowance)
                changed = usable_chunks(page, header.first_chunk, number, path, findings)
                count = header.count if header.kind == PageKind.DATA else 0
                result.groups.append(Group(number, header.kind, header.first_chunk, count, payloads, changed))
                if changed is not None or header.kind == PageKind.ATTRIBUTES:
                    result.claimed.append(_claimed_by(header))
            elif header.kind != PageKind.PARITY:  # which is made anew
                if header.kind == PageKind.TOMBSTONES:
                    tombstones.add(payloads, first_frame=number, tag=result.tag)
                elif header.kind == PageKind.COMMIT:
                    body = open_blob(header.kind, payloads, first_frame=number, tag=result.tag)
                    result.added[frames.stop] = decode_commit(body, frame_index=number).chunk_ids
                usable = _usable_changes(header, payloads, number, changes, result, path, findings)
                result.groups.append(Group(number, header.kind, 0, 0, payloads, usable))
        except VideoError as error:
            ids = _chunks_of(header)
            result.claimed.append(_claimed_by(header))
            why = (
                "the dictionary that it is compressed with is lost"
                if header.flags & PageFlag.DICTIONARY and result.dictionary is None
                else str(error)
            )
            findings.error("page", f"page {number} cannot be opened: {why}", path, frame=number, chunks=ids.ranges)
    result.deleted = tombstones.deleted


def _usable_changes(
    header: PageHeader,
    payloads: list[bytes],
    number: int,
    changes: MetadataReader,
    result: Sorted,
    path: object,
    findings: Findings,
) -> tuple[ChunkRun, ...] | None:
    """What can be used of a page of changed metadata; ``None`` if all of it can, or it is of another kind."""
    if header.kind != PageKind.METADATA:
        return None
    given = changes.add(payloads, first_frame=number, below=_ANY, tag=result.tag)
    return usable_changes(given, number, path, findings)


def _lose_run(
    header: PageHeader, frames: range, there: list[int], result: Sorted, path: object, findings: Findings
) -> None:
    first_lost = next(frame for frame, found in zip(frames, [*there, None], strict=False) if frame != found)
    ids = _chunks_of(header)
    result.claimed.append(_claimed_by(header))
    findings.error(
        "page",
        f"{header.kind.name} pages {frames.start} to {frames.stop - 1} belong together, and "
        f"{len(frames) - len(there)} of them are lost (page {first_lost} first)",
        path,
        frame=frames.start,
        chunks=ids.ranges,
    )


def _chunks_of(header: PageHeader) -> ChunkIds:
    """Chunks that a page says it has; of a continuation, the one that it continues."""
    count = {PageKind.DATA: header.count, PageKind.CONTINUATION: 1}.get(header.kind, 0)
    return _ids(header.first_chunk, count)


def _claimed_by(header: PageHeader) -> ChunkIds:
    """The same, and those that a page has the metadata of: their texts were there."""
    return _ids(header.first_chunk, header.count) if header.kind == PageKind.ATTRIBUTES else _chunks_of(header)


def _ids(first: int, count: int) -> ChunkIds:
    return ChunkIds.of(range(first, first + count) if count and first <= ID_LIMIT else ())


def _expect(table: PageTable | None, result: Sorted, frames: int) -> None:
    """Which chunks there were, as far as page table, header page and commits say."""
    if table is not None:
        result.claimed.append(table.chunk_ids())
    elif result.header is None:
        result.guessed = ChunkIds.of(range(max([0, *result.chunks.ends.tolist()[-1:]])))
    if result.header is None and result.cover is not None:
        result.guessed |= ChunkIds.of(range(chunks_on_cover(result.cover)))
    result.claimed.append(expected_chunks(result.header, result.added.values(), there=result.chunks, frames=frames))
