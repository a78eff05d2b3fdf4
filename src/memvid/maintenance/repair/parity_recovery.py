"""Pages and bare texts that a salvage did not find, brought back by parity."""

from __future__ import annotations

from memvid.errors import DependencyError, FrameError, MemvidError
from memvid.maintenance.verify.findings import Findings
from memvid.page import PageKind, is_page, page_checksum, parse_header, parse_parity_head, read_page
from memvid.video import BARE, COVER, PageTable
from memvid.video.parity import ParityBlock

__all__ = ["restore_pages"]


def restore_pages(
    pages: dict[int, bytes],
    texts: dict[int, bytes],
    table: PageTable | None,
    tag: int,
    path: object,
    findings: Findings,
) -> None:
    """Add what parity brings back: pages, proven by their own checksums, and bare texts, proven by the page table's.

    :param pages: payloads of one memory by page number.
    :param texts: bare texts by frame.
    :param table: the page table; without one, bare texts that are lost stay so.
    """
    groups = set()
    for number, payload in pages.items():
        if parse_header(payload, frame_index=number).kind == PageKind.PARITY:
            try:
                head = parse_parity_head(payload, frame_index=number)
            except MemvidError as error:
                findings.warn("parity", f"{error}: this parity frame is not used", path, frame=number)
                continue
            groups.add((ParityBlock.of(head, number), head.group))
    for block, number in sorted(groups, key=lambda group: (group[0].start, group[1])):
        group = block.group(number)
        known = {**texts, **pages}
        missing = [frame for frame in group.members if frame not in known]
        if not missing:
            continue
        left = {frame: known[frame] for frame in (*group.members, *group.parity) if frame in known}
        restored: list[int] = []
        try:
            for frame, payload in group.rebuild(left).items():
                if is_page(payload):
                    read_page(payload, frame_index=frame, tag=tag)
                    pages[frame] = payload
                else:
                    _prove_text(payload, frame, table)
                    texts[frame] = payload
                restored.append(frame)
        except (MemvidError, DependencyError) as error:
            lost = len(missing) - len(restored)
            findings.warn("parity", f"{lost} frames are not brought back by parity: {error}", path)
        if restored:
            findings.warn(
                "parity",
                f"parity has brought back {len(restored)} frames, from frame {restored[0]} on",
                path,
                frame=restored[0],
            )


def _prove_text(payload: bytes, frame: int, table: PageTable | None) -> None:
    """Compare a bare text with the page table.

    :raises FrameError: it is another one, or there is no table.
    """
    if table is None:
        raise FrameError(f"frame {frame} holds a bare text, and no page table proves it", frame_index=frame)
    listed = frame < len(table) and table.kinds[frame] in (BARE, COVER)
    listed = listed and table.checksums[frame] == page_checksum(payload)
    if not listed:
        raise FrameError(f"frame {frame}: what comes of it is not the text that was there", frame_index=frame)
