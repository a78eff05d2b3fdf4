"""Which chunks a memory should have, as far as it says so itself, beyond those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from memvid.page import ChunkIds, HeaderInfo
from memvid.video.table import LARGEST_GAP

__all__ = ["expected_chunks", "reach", "skipped_ids"]

_CREDIBLE_CHUNKS = 1 << 22  # that a header page may say there were, however little of the video is left
_MOST_A_FRAME = 0xFFFF


def reach(there: ChunkIds) -> ChunkIds:
    """The ids that a memory with these chunks can have had: nothing is ever added further behind its last one."""
    return ChunkIds.of(range(LARGEST_GAP + max([0, *there.ends.tolist()[-1:]])))


def skipped_ids(header: HeaderInfo | None, added: Iterable[range]) -> Iterator[range]:
    """Ids between those that header page and commits tell of: they were given by commits whose own pages are lost.

    :param header: the header page, if it can be read.
    :param added: ids that commits say they have added.
    """
    counts_up = header is not None and header.format_version > 1  # else texts were added without a commit, too
    behind = (header.chunks if header.next_chunk is None else header.next_chunk) if header and counts_up else None
    for ids in sorted(added, key=lambda ids: ids.start):
        if behind is not None and behind < ids.start:
            yield range(behind, ids.start)
        behind = max(behind or 0, ids.start + len(ids))


def expected_chunks(header: HeaderInfo | None, added: Iterable[range], *, there: ChunkIds, frames: int) -> ChunkIds:
    """The chunks that header page and commits say there were; deleted ones are among them.

    :param header: the header page, if it can be read.
    :param added: ids that commits say they have added.
    :param there: the chunks of the video.
    :param frames: frames of the video; they can say anything, so more than such a one could have had is not believed.
    """
    most = max(_CREDIBLE_CHUNKS, _MOST_A_FRAME * frames)
    told = [*added]
    claims = [ids for ids in (*told, *skipped_ids(header, told)) if len(ids) <= most]
    if header is not None:
        claims += [range(first, last + 1) for first, last in header.lost or () if last - first < most]
        # A memory of version 1 whose ids have gaps does not always say so.
        counts_up = header.next_chunk is None and (header.format_version > 1 or len(there) < header.chunks)
        if counts_up and header.chunks <= most:
            claims.append(range(header.chunks))
    return ChunkIds.union([there, *map(ChunkIds.of, claims)]) & reach(there)
