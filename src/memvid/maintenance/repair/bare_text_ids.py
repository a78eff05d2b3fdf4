"""Which chunks bare texts are, that were salvaged: nothing in their frames says so."""

from __future__ import annotations

from itertools import chain, pairwise

from memvid.checks import ID_LIMIT
from memvid.maintenance.repair.page_runs import Group, Sorted
from memvid.maintenance.repair.salvage import Salvage, Slot
from memvid.maintenance.verify.findings import Findings
from memvid.page import PageKind, is_page, page_checksum, parse_header
from memvid.video import BARE, PageTable

__all__ = ["add_texts", "texts_by_checksum", "texts_by_order"]


def texts_by_checksum(slots: list[Slot], table: PageTable) -> dict[int, bytes]:
    """Bare texts by frame, as the page table tells them apart; equal texts are as good as each other."""
    free: dict[int, list[int]] = {}
    for frame in table.frames_of_kind(BARE)[::-1].tolist():
        free.setdefault(int(table.checksums[frame]), []).append(frame)
    found: dict[int, bytes] = {}
    for slot in slots:
        payload = slot.payload or b""
        waiting = free.get(page_checksum(payload), [])
        if slot.frame in waiting:
            waiting.remove(slot.frame)
            found[slot.frame] = payload
        elif waiting:
            found[waiting.pop()] = payload
    return found


def texts_by_order(found: Salvage, numbered: dict[int, Slot]) -> dict[int, bytes]:
    """Bare texts by frame where no page table says: by the sample table, else counted on from pages, whole by whole.

    Where a frame between may be missing without a trace, counting ends: a text under a wrong id is worse than none.
    """
    if not found.searched or all(slot.frame is not None for slot in found.slots):
        return {
            slot.frame: slot.payload
            for slot in found.slots
            if slot.frame is not None and slot.payload is not None and not is_page(slot.payload)
        }
    frames: dict[int, int] = {slot.offset: number for number, slot in numbered.items()}
    slots = sorted((slot for slot in found.slots if slot.offset >= 0), key=lambda slot: slot.offset)
    for before, after in pairwise(slots):
        if before.whole and before.end == after.offset and before.offset in frames and after.offset not in frames:
            frames[after.offset] = frames[before.offset] + 1
    for after, before in pairwise(slots[::-1]):
        if before.whole and before.end == after.offset and after.offset in frames and before.offset not in frames:
            frames[before.offset] = frames[after.offset] - 1
    return {
        frames[slot.offset]: slot.payload
        for slot in slots
        if slot.payload is not None and slot.offset in frames and not is_page(slot.payload)
    }


def add_texts(
    frames: dict[int, bytes],
    pages: dict[int, bytes],
    table: PageTable | None,
    result: Sorted,
    path: object,
    findings: Findings,
) -> None:
    """Bare texts as groups, with the ids that their frames stand for."""
    front = result.header_frame + len(result.header_pages)
    built = result.header.chunks if result.header is not None else 0
    certain = True
    described = {} if table is not None else _ids_by_metadata(frames, pages)
    for frame in sorted(frames):
        if frame in pages:
            continue
        if table is not None:
            chunk = int(table.first_chunks[frame])
        elif frame in described:
            chunk = described[frame]
        elif result.header is not None and result.header.next_chunk is not None:
            findings.error("frame", f"frame {frame} holds a text, but nothing says which", path, frame=frame)
            continue
        elif frame < front + built:
            chunk = frame - front
        else:  # appended: every frame before it must be known
            pages_before = sum(front <= page < frame for page in pages)
            certain = certain and all(at in frames or at in pages for at in range(front + built, frame))
            if not certain:
                findings.error("frame", f"frame {frame} holds a text, but nothing says which", path, frame=frame)
                continue
            chunk = frame - front - pages_before
        try:
            frames[frame].decode()
        except UnicodeDecodeError as error:
            findings.error("page", f"frame {frame}: its text is not UTF-8: {error}", path, frame=frame)
            continue
        result.groups.append(Group(frame, BARE, chunk, 1, [frames[frame]]))


def _ids_by_metadata(frames: dict[int, bytes], pages: dict[int, bytes]) -> dict[int, int]:
    """Ids of bare texts by frame, where the pages of metadata behind a stretch of them are about as many as it has."""
    found: dict[int, int] = {}
    stretch: list[int] = []
    described: list[range] = []  # a page can claim 65,535 texts: not written out before they are there

    def settle() -> None:
        if stretch and sum(map(len, described)) == len(stretch) and stretch[0] - 1 in pages:  # so none is missing
            found.update(zip(stretch, chain.from_iterable(described), strict=True))
        stretch.clear()
        described.clear()

    last = -1
    for frame in sorted({*frames, *pages}):
        header = parse_header(pages[frame], frame_index=frame) if frame in pages else None
        if frame != last + 1 or (header is None and described):
            settle()
        if header is None:
            stretch.append(frame)
        elif header.kind == PageKind.ATTRIBUTES and header.first_chunk <= ID_LIMIT:
            described.append(range(header.first_chunk, header.first_chunk + header.count))
        elif header.kind != PageKind.CONTINUATION:
            settle()
        last = frame
    settle()
    return found
