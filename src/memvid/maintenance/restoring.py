"""Pages that a salvage did not find, brought back by parity."""

from __future__ import annotations

from memvid.errors import DependencyError, MemvidError
from memvid.maintenance.findings import Findings
from memvid.page import PageKind, parse_header, parse_parity_head, read_page
from memvid.video.parity import ParityBlock

__all__ = ["restore_pages"]


def restore_pages(pages: dict[int, bytes], tag: int, path: object, findings: Findings) -> None:
    """Add the pages that parity brings back, each proven by its own checksum; bare texts have none and stay lost.

    :param pages: payloads of one memory by page number.
    """
    groups = set()
    for number, payload in pages.items():
        if parse_header(payload, frame_index=number).kind == PageKind.PARITY:
            try:
                head = parse_parity_head(payload, frame_index=number)
            except MemvidError as error:
                findings.warn("parity", f"{error}: it is not gone by", path, frame=number)
                continue
            groups.add((ParityBlock.of(head, number), head.group))
    for block, number in sorted(groups, key=lambda group: (group[0].start, group[1])):
        group = block.group(number)
        missing = [frame for frame in group.members if frame not in pages]
        if not missing:
            continue
        left = {frame: pages[frame] for frame in (*group.members, *group.parity) if frame in pages}
        try:
            rebuilt = group.rebuild(left)
            for frame, payload in rebuilt.items():
                read_page(payload, frame_index=frame, tag=tag)
        except (MemvidError, DependencyError) as error:
            findings.warn("parity", f"{len(missing)} pages are not brought back by parity: {error}", path)
            continue
        pages.update(rebuilt)
        findings.warn(
            "parity",
            f"parity has brought back {len(missing)} pages, from page {missing[0]} on",
            path,
            frame=missing[0],
        )
