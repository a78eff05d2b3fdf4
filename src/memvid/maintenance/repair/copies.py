"""Salvaged copies of one memory, taken together: whether they are that, and which of their pages count."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Mapping, Sequence

import numpy as np

from memvid.errors import VideoError, VideoFormatError
from memvid.maintenance.legacy.codes import parse_code
from memvid.maintenance.repair.salvage import Salvage, Slot
from memvid.maintenance.verify.findings import Findings
from memvid.page import HEADER_BYTES, PageHeader, PageKind, is_page, memory_name, page_checksum, parse_header
from memvid.page.reading import run_parts
from memvid.remedies import IMPORT_REMEDY, other_memory
from memvid.video import BARE, PageTable
from memvid.video.cover import is_cover_text

__all__ = ["choose_pages", "choose_table", "choose_tag"]

_SOME_TEXTS = 4  # different ones, that no video shows by chance


def choose_tag(copies: Sequence[Salvage], indexed: int | None, wanted: int | None) -> int:
    """The memory that all copies are of; of one without any page, the one that the index is of, or its texts alone.

    :param indexed: the tag that an index names.
    :param wanted: the tag of the one that is asked for.
    :raises VideoFormatError: they are of different memories, or there is no page of the one that is asked for.
    :raises VideoError: there is neither a page nor a text, or all are of the earlier memvid.
    """
    if wanted is not None:
        of = Counter(header.tag for copy in copies for header in _headers_of(copy))
        if wanted not in of:
            others = ", ".join(f"{memory_name(tag)} ({frames} frames)" for tag, frames in of.items()) or "none"
            raise VideoFormatError(
                f"there is no frame of memory {memory_name(wanted)} in {copies[0].path}: those that it has are {others}"
            )
        return wanted
    tags = {copy.path: tag for copy in copies if (tag := _tag_of(copy, indexed)) is not None}
    if len(set(tags.values())) > 1:
        first = next(iter(tags))
        other = next(path for path, tag in tags.items() if tag != tags[first])
        raise VideoFormatError(
            f"{other} is of another memory ({memory_name(tags[other])}) than {first} ({memory_name(tags[first])}): "
            "repair each by itself"
        )
    if tags:
        return next(iter(tags.values()))
    found = [slot.payload for copy in copies for slot in copy.slots if slot.payload is not None]
    texts = [payload for payload in found if not is_cover_text(payload)]
    covered = len(texts) < len(found)
    few = not covered and len({*texts}) < _SOME_TEXTS and len(texts) * 2 < sum(len(copy.slots) for copy in copies)
    # Any video may show a code, and those of an old memory are for `memvid import`.
    if not texts or (indexed is None and (few or all(map(parse_code, texts)))):
        raise VideoError(
            f"there is no frame of a memvid memory in {copies[0].path}: nothing can be brought back; {IMPORT_REMEDY}"
        )
    return page_checksum(b"".join(texts)) if indexed is None else indexed


def choose_table(copies: Sequence[Salvage], tag: int, digest: str | None) -> PageTable | None:
    """The page table to go by: the one that an index names, or else the longest that counts in its file.

    :raises VideoFormatError: by their tables, copies have different bare texts in one frame.
    """
    own = {copy.path: tables for copy in copies if (tables := [table for table in copy.tables if table.tag == tag])}
    named = [table for tables in own.values() for table in tables if table.digest == digest]
    last = {path: tables[-1] for path, tables in own.items()}
    longest = max(last, key=lambda path: len(last[path]), default=None)
    if longest is None:
        return None
    for path, table in last.items():
        bare = np.flatnonzero((table.kinds == BARE) & (last[longest].kinds[: len(table)] == BARE))
        other = bare[table.checksums[bare] != last[longest].checksums[bare]]
        if len(other):
            raise _apart(longest, path, f"frame {int(other[0])}")
    return max(named or last.values(), key=len)


def choose_pages(copies: Sequence[Salvage], tag: int, table: PageTable | None, findings: Findings) -> dict[int, Slot]:
    """The pages of the memory by their numbers.

    :raises VideoFormatError: copies have different pages under one number, so their memories have grown apart.
    """
    chosen: dict[int, Slot] = {}
    owners: dict[int, Salvage] = {}
    for copy in copies:
        own: dict[int, Slot] = {}
        others: list[tuple[int, Slot]] = []
        foreign: Counter[int] = Counter()
        for slot in copy.slots:
            if slot.payload is None or not is_page(slot.payload):
                continue
            header = parse_header(slot.payload, frame_index=slot.frame or 0)
            if header.tag != tag:
                foreign[header.tag] += 1
                continue
            number = header.page_number
            old = own.get(number)
            taken = old is None or _is_better(slot, old, number, table)
            if taken:
                own[number] = slot
            if old is not None and old.payload != slot.payload:
                others.append((number, old if taken else slot))
        for other, frames in foreign.items():
            left_out = other_memory(memory_name(other), frames, "which is left out")
            findings.error("frame", left_out, copy.path)
        if changed := [number for number, slot in others if not _is_same(number, own, ChainMap({number: slot}, own))]:
            findings.error(
                "frame",
                f"{len(changed)} frames hold other pages than those that are taken, under the same numbers, from page "
                f"{min(changed)} on: they are of a copy of the memory that was changed apart from it, and are left out",
                copy.path,
            )
        for number, slot in own.items():
            if number not in chosen:
                chosen[number], owners[number] = slot, copy
            elif not _is_same(number, own, chosen):
                raise _apart(owners[number].path, copy.path, f"page {number}")
    return chosen


def _apart(one: object, other: object, what: str) -> VideoFormatError:
    return VideoFormatError(
        f"{one} and {other} are copies of one memory that were changed apart from each other: {what} of one is not "
        "that of the other; repair each by itself"
    )


def _tag_of(copy: Salvage, indexed: int | None) -> int | None:
    """The tag that the index names, if any page has it; else that of the first header page, or of most pages."""
    headers = _headers_of(copy)
    if any(header.tag == indexed for header in headers):
        return indexed
    first = next((header.tag for header in headers if header.kind == PageKind.HEADER), None)
    most = Counter(header.tag for header in headers).most_common(1)
    return most[0][0] if most and first is None else first


def _headers_of(copy: Salvage) -> list[PageHeader]:
    return [
        parse_header(slot.payload, frame_index=slot.frame or 0)
        for slot in copy.slots
        if slot.payload is not None and is_page(slot.payload)
    ]


def _is_better(slot: Slot, old: Slot, number: int, table: PageTable | None) -> bool:
    """Which of two pages of one number counts: that of the page table, then that in its place, then the later."""

    def rank(candidate: Slot) -> tuple[bool, bool, int]:
        known = table is not None and number < len(table)
        listed = known and table is not None and page_checksum(candidate.payload or b"") == table.checksums[number]
        return bool(listed), candidate.frame == number, candidate.offset

    return rank(slot) > rank(old)


def _is_same(number: int, *copies: Mapping[int, Slot]) -> bool:
    """Whether two pages say the same, whatever version they are written in. Of header pages, repairs write new ones."""
    page, other = (copy[number].payload or b"" for copy in copies)
    one, two = (parse_header(payload, frame_index=number) for payload in (page, other))
    if all(_is_of_header(number, copy) for copy in copies):
        return True
    same = (one.kind, one.flags, one.count, one.first_chunk) == (two.kind, two.flags, two.count, two.first_chunk)
    return same and page[HEADER_BYTES:] == other[HEADER_BYTES:]


def _is_of_header(number: int, copy: Mapping[int, Slot]) -> bool:
    """Whether a page is of the header page: one that begins in frame 0, or behind a cover, or its copy."""
    payload = copy[number].payload or b""
    header = parse_header(payload, frame_index=number)
    start = number - run_parts(header, payload, frame_index=number)[0]
    first = copy[start].payload if start in copy else None
    known = first is not None and parse_header(first, frame_index=start).kind == PageKind.HEADER
    return (start <= 1 or known) and header.first_chunk == 0 == header.count
