"""Which chunks bare texts are, that were salvaged: nothing in their frames says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from memvid.maintenance.repair.page_runs import Group, Sorted
from memvid.maintenance.repair.salvage import Slot
from memvid.maintenance.rewrite.kept_vectors import IndexVectors
from memvid.maintenance.verify.findings import Findings
from memvid.page import ChunkIds, PageKind, describe_chunks, is_page, page_checksum, parse_header
from memvid.video import BARE, PageTable
from memvid.video.bare_texts import (
    PageRow,
    Shown,
    find_zones,
    number_texts,
    place_texts,
    take_cover,
    without_others,
)
from memvid.video.cover import is_cover_text

__all__ = ["Texts", "add_texts", "texts_by_checksum", "texts_by_order"]

_MOST = 0.9  # of the texts that an index must know to be that of their memory


@dataclass(slots=True)
class Texts:
    """Bare texts that were found.

    :ivar placed: by frame, as far as that is certain.
    :ivar loose: those of which nothing says where they were, each once.
    """

    placed: dict[int, bytes] = field(default_factory=dict)
    loose: dict[bytes, None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.placed or self.loose)


def texts_by_checksum(slots: list[Slot], table: PageTable, path: object, findings: Findings, *, proven: bool) -> Texts:
    """Bare texts by frame, as the page table tells them apart; equal texts are as good as each other.

    :param proven: whether the table is as it was written; else one that it does not know is in its own frame if all
        others are, and loose if not.
    """
    free: dict[int, list[int]] = {}
    for frame in table.frames_of_kind(BARE)[::-1].tolist():
        free.setdefault(int(table.checksums[frame]), []).append(frame)
    found = Texts()
    unknown: list[Slot] = []
    moved = False
    for slot in slots:
        payload = slot.payload or b""
        waiting = free.get(page_checksum(payload))
        if waiting is None:
            unknown.append(slot)
        elif slot.frame in waiting:
            waiting.remove(slot.frame)
            found.placed[slot.frame] = payload
        elif waiting:
            found.placed[waiting.pop()] = payload
            moved = True
    bare = {frame for frames in free.values() for frame in frames}
    for slot in () if proven else unknown:
        payload = slot.payload or b""
        if is_cover_text(payload):
            continue
        where = "a frame" if slot.frame is None else f"frame {slot.frame}"
        findings.error("page table", f"{where} holds a text that the page table does not know", path, frame=slot.frame)
        if slot.frame in bare and slot.frame not in found.placed and not moved:
            found.placed[slot.frame] = payload
        else:
            found.loose[payload] = None
    return found


def texts_by_order(slots: list[Slot], numbers: dict[int, int], result: Sorted) -> Texts:
    """Bare texts by frame where no page table says, counted on from pages where no frame can be missing in between.

    A text under a wrong id would be worse than one under a new one.

    :param slots: of one copy, in order.
    :param numbers: those of the pages, by the identity of their slots.
    :param result: what is known of the memory as a whole.
    """
    found = Texts()
    searched = any(slot.offset >= 0 and slot.frame is None for slot in slots)
    if searched:
        slots = sorted((slot for slot in slots if slot.offset >= 0), key=lambda slot: slot.offset)
    pictures = [picture for slot in slots if (picture := _shown(slot, numbers.get(id(slot)))) is not None]
    covers = {text for picture in pictures if isinstance(text := picture.text, bytes) and is_cover_text(text)}
    shown = without_others(pictures, covers)
    if result.cover is not None:
        shown = take_cover(shown, result.cover)
    front = 0 if result.header is None else result.front
    zones = find_zones(result.header, front, result.added, sorted(numbers.values()))
    decoded = any(slot.offset < 0 for slot in slots)
    placed = place_texts(shown, zones, front=front, grows=result.grows, filmed=decoded)
    texts = [picture.text for picture in shown]
    found.placed = {frame: text for frame, at in placed.items() if isinstance(text := texts[at], bytes)}
    certain = set(placed.values())
    found.loose = {text: None for at, text in enumerate(texts) if isinstance(text, bytes) and at not in certain}
    if searched and found.loose:
        _place_by_contact(slots, numbers, found)
    if result.cover is not None and found.placed.get(0) == result.cover:
        del found.placed[0]
    elif result.cover is not None and shown[:1] != [Shown(0)]:  # then it was moved
        found.loose.pop(result.cover, None)
    return found


def _shown(slot: Slot, number: int | None) -> Shown | None:
    """A picture; ``None`` for one of a page of another memory that does not say where that begins."""
    if number is not None:
        return Shown(number)
    if slot.payload is None or not is_page(slot.payload):
        return Shown(None, slot.payload, len(slot.payload or b""))
    header = parse_header(slot.payload, frame_index=slot.frame or 0)
    return Shown(None, elsewhere=True) if header.kind == PageKind.HEADER else None


def _place_by_contact(slots: list[Slot], numbers: dict[int, int], found: Texts) -> None:
    """Texts in a file that was searched: counted on from pages, through whole pictures that touch each other."""
    frames: dict[int, int] = {slot.offset: numbers[id(slot)] for slot in slots if id(slot) in numbers}
    for before, after in pairwise(slots):
        if before.whole and before.end == after.offset and before.offset in frames and after.offset not in frames:
            frames[after.offset] = frames[before.offset] + 1
    for after, before in pairwise(slots[::-1]):
        if before.whole and before.end == after.offset and after.offset in frames and before.offset not in frames:
            frames[before.offset] = frames[after.offset] - 1
    for slot in slots:
        if slot.payload is None or is_page(slot.payload):
            continue
        if slot.offset in frames:
            found.placed[frames[slot.offset]] = slot.payload
            found.loose.pop(slot.payload, None)


def add_texts(
    texts: Texts,
    pages: dict[int, bytes],
    table: PageTable | None,
    index: IndexVectors | None,
    result: Sorted,
    path: object,
    findings: Findings,
) -> None:
    """Bare texts as groups: with the ids that their frames stand for or the index knows, else with new ones."""
    told = table is not None and not texts.loose
    own = index is not None and bool(pages) and index.is_of(result.tag) is True
    by_words = {} if told or index is None else _by_words(texts, index, own=own)
    by_frame = _ids_of_frames(texts.placed, pages, table, result)
    gone = result.deleted if index is None else result.deleted | index.deleted
    deleted = {*(gone & ChunkIds.of(by_frame.values())).numbers().tolist()}  # their words are in no index
    taken: set[int] = set()
    known_texts: set[bytes] = set()
    anew: dict[bytes, None] = {}
    placed = [(None if frame in pages else frame, text) for frame, text in sorted(texts.placed.items())]
    for frame, text in [*placed, *((None, text) for text in texts.loose)]:
        if not _is_text(text, frame, path, findings):
            continue
        chunk = None if frame is None else by_frame.get(frame)
        likely = by_words.get(text, ())
        unknown = chunk in deleted and not likely
        if by_words and not unknown and (chunk not in likely or chunk in taken):
            chunk = next((known for known in likely if known not in taken), None)
        if chunk is None:
            anew[text] = None
            continue
        taken.add(chunk)
        known_texts.add(text)
        moved = frame is None or by_frame.get(frame) != chunk
        at = index.frame_of(chunk) if moved and index is not None else frame
        result.groups.append(Group(at or 0, BARE, chunk, 1, [text]))
    anew = {text: None for text in anew if text not in known_texts}  # a picture that is shown twice is no other chunk
    if by_words and index is not None and _are_deleted(anew, ChunkIds.of(taken), index):
        findings.warn("tombstones", f"{len(anew)} texts that were deleted are left out, as the index says", path)
    elif anew:
        _number_anew([*anew], index, result, path, findings)


def _are_deleted(texts: dict[bytes, None], there: ChunkIds, index: IndexVectors) -> bool:
    """Whether texts that the index does not know are of chunks that it says were deleted: all others are there."""
    return 0 < len(texts) <= len(index.deleted - there) and not index.chunks - there


def _number_anew(
    texts: list[bytes], index: IndexVectors | None, result: Sorted, path: object, findings: Findings
) -> None:
    """Give texts that nothing says the ids of new ones, which no chunk ever had."""
    header = result.header
    known = ChunkIds.union([result.expected, result.deleted, *([] if index is None else [index.every])])
    said = (0, 0) if header is None else (header.chunks, header.next_chunk or 0)
    first = max(*said, *known.ends.tolist())
    behind = max((group.frame for group in result.groups), default=0) + 1
    result.groups += [Group(behind + at, BARE, first + at, 1, [text]) for at, text in enumerate(texts)]
    findings.error(
        "frame",
        f"nothing says which chunks {len(texts)} texts are: they come back as "
        f"{describe_chunks(((first, first + len(texts) - 1),))}",
        path,
    )


def _is_text(text: bytes, frame: int | None, path: object, findings: Findings) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        where = "a frame" if frame is None else f"frame {frame}"
        findings.error("page", f"{where}: its text is not UTF-8: {error}", path, frame=frame)
        return False
    return True


def _by_words(texts: Texts, index: IndexVectors, *, own: bool) -> dict[bytes, tuple[int, ...]]:
    """Which chunks each text can be by its words and its length, if the index is that of nearly all texts.

    :param own: whether it is an index of this memory: then it need not know the texts of those that were deleted.
    """
    every = {*texts.placed.values(), *texts.loose}
    found = {text: ids for text in every if (ids := index.chunks_like(text))}
    wanted = len(every) - (len(index.deleted) if own else 0)
    return found if len(found) >= _MOST * wanted else {}


def _ids_of_frames(
    frames: dict[int, bytes], pages: dict[int, bytes], table: PageTable | None, result: Sorted
) -> dict[int, int]:
    """Ids of bare texts by frame: by the page table, or by what pages say."""
    if table is not None:
        return {frame: int(table.first_chunks[frame]) for frame in frames}
    heads = {number: parse_header(payload, frame_index=number) for number, payload in pages.items()}
    rows = {number: PageRow(head.kind, head.first_chunk, head.count) for number, head in heads.items()}
    zones = find_zones(result.header, result.front, result.added, sorted(pages))
    return number_texts(sorted(frames), rows, zones, grows=result.grows)
