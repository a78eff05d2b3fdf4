"""Chunks that a memory should have and has not: which, or at least how many."""

from __future__ import annotations

from dataclasses import dataclass

from memvid.page import ChunkIds, HeaderInfo, describe_chunks
from memvid.video import expected_chunks
from memvid.video.expected import skipped_ids

__all__ = ["MissingChunks"]


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
            built = expected - ChunkIds.union(map(ChunkIds.of, [*added, *skipped_ids(header, added)]))
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
