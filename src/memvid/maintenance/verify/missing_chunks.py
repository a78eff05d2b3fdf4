"""Chunks that a memory should have and has not: which, or at least how many."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from memvid.errors import MemvidError
from memvid.index.manifest import read_manifest
from memvid.index.renamed import find_side_files
from memvid.index.side_files import open_records
from memvid.maintenance.verify.findings import describe_chunks
from memvid.page import ChunkIds, HeaderInfo
from memvid.video import expected_chunks

__all__ = ["KnownChunks", "MissingChunks", "known_chunks"]


@dataclass(frozen=True, slots=True)
class KnownChunks:
    """What an index says of the chunks of its memory.

    :ivar ids: those that it has, or that were lost before it was made.
    :ivar deleted: those that were deleted.
    """

    ids: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))
    deleted: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))


def known_chunks(index_file: Path, tag: int) -> KnownChunks:
    """What an index says, as far as its files can be read; nothing, if it is another memory's."""
    known = KnownChunks()
    with suppress(MemvidError):
        manifest = read_manifest(index_file)
        if manifest.video.tag == tag:
            lost = ChunkIds.of_ranges(manifest.missing)
            known = KnownChunks(lost)
            records = open_records(index_file, find_side_files(index_file, manifest))
            known = KnownChunks(lost | (records.row_map.chunk_ids - records.deleted), records.deleted)
            records.close()
    return known


@dataclass(frozen=True, slots=True)
class MissingChunks:
    """What is missing.

    :ivar ids: the chunks, as far as anything says which they are.
    :ivar unnamed: how many more there are.
    """

    ids: ChunkIds
    unnamed: int = 0

    @classmethod
    def of(
        cls,
        there: ChunkIds,
        frames: int,
        header: HeaderInfo | None,
        added: list[range],
        deleted: ChunkIds,
        claimed: ChunkIds,
    ) -> MissingChunks:
        """What header page, commits and an index say there was, and is not there.

        :param there: the chunks that there are.
        :param frames: frames of the video.
        :param header: if it can be read.
        :param added: the chunks of each commit.
        :param deleted: chunks that nobody misses.
        :param claimed: chunks that an index of this memory knows, or says were lost.
        """
        expected = expected_chunks(header, added, there=there, frames=frames) | claimed
        unnamed = 0
        if header is not None and header.next_chunk is not None:  # its ids have gaps, so only their number is known
            built = expected - ChunkIds.union(map(ChunkIds.of, added))
            unnamed = max(header.chunks - len(built), 0)
        return cls(expected - there - deleted, unnamed)

    def __bool__(self) -> bool:
        return bool(self.ids) or self.unnamed > 0

    def __str__(self) -> str:
        """``12 chunks: 0-9, 20, 31``, ``3 chunks, and nothing says which they are``."""
        named = describe_chunks(self.ids.ranges) if self.ids else ""
        if not self.unnamed:
            return named
        more = f"{self.unnamed:,} {'more' if self.ids else 'chunks'}, and nothing says which they are"
        return f"{named}, and {more}" if named else more
