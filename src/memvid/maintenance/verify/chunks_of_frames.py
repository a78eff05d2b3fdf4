"""Which chunks hang on a frame."""

from __future__ import annotations

from memvid.maintenance.verify.findings import ChunkRanges, to_ranges
from memvid.page import PageKind
from memvid.video import PageTable

__all__ = ["chunks_of"]


def chunks_of(table: PageTable, frame: int) -> ChunkRanges:
    """Chunks that cannot be read without a frame: those that start in it, or in the run that it continues.

    All of them, if it is what all are read with: the dictionary, or metadata of bare texts, since only the page itself
    says which texts it has the metadata of.
    """
    while frame > 0 and table.kinds[frame] == PageKind.CONTINUATION:
        frame -= 1
    count = int(table.counts[frame])
    if table.kinds[frame] in (PageKind.DICTIONARY, PageKind.ATTRIBUTES):
        return to_ranges(table.chunk_ids())
    first = int(table.first_chunks[frame])
    return ((first, first + count - 1),) if count else ()
