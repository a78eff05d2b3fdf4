"""Which chunks a page table has, and which hang on a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memvid.maintenance.findings import ChunkRanges, to_ranges
from memvid.page import PageKind
from memvid.video import PageTable

__all__ = ["chunks_of", "ids_of"]


def chunks_of(table: PageTable, frame: int) -> ChunkRanges:
    """Chunks that cannot be read without a frame: those that start in it, or in the run that it continues."""
    while frame > 0 and table.kinds[frame] == PageKind.CONTINUATION:
        frame -= 1
    count = int(table.counts[frame])
    if table.kinds[frame] == PageKind.DICTIONARY:
        return to_ranges(ids_of(table))
    first = int(table.first_chunks[frame])
    return ((first, first + count - 1),) if count else ()


def ids_of(table: PageTable) -> NDArray[np.int64]:
    """All chunk ids of a table, ascending."""
    frames = np.flatnonzero(table.counts)
    counts = table.counts[frames].astype(np.int64)
    ends = np.cumsum(counts)
    return np.repeat(table.first_chunks[frames] - (ends - counts), counts) + np.arange(
        int(ends[-1]) if len(ends) else 0
    )
