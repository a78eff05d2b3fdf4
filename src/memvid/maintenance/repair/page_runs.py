"""What of a salvage belongs together: whole pages, whole runs of pages, bare texts."""

from __future__ import annotations

from dataclasses import dataclass, field

from memvid.page import ChunkIds, HeaderInfo

__all__ = ["Group", "Sorted"]

"""No chunk has an id beyond it; a page can say anything."""


@dataclass(frozen=True, slots=True)
class Group:
    """A whole page, a whole run of pages, or a bare text.

    :ivar frame: where it began in the video.
    :ivar kind: a :class:`PageKind`, or :data:`BARE`.
    :ivar first_chunk: id of its first chunk.
    :ivar count: chunks in it.
    :ivar payloads: of its frames.
    """

    frame: int
    kind: int
    first_chunk: int
    count: int
    payloads: list[bytes]


@dataclass(slots=True)
class Sorted:
    """What a salvage amounts to.

    :ivar tag: of the memory.
    :ivar header: its header page, if that is whole.
    :ivar groups: everything whole but header page and dictionary, in order.
    :ivar front: the payloads of the header page, and of the dictionary.
    :ivar claimed: ids of the chunks that were there, as far as one page or another says so.
    :ivar deleted: ids of the chunks that the pages say were deleted.
    """

    tag: int = 0
    header: HeaderInfo | None = None
    groups: list[Group] = field(default_factory=list)
    header_pages: list[bytes] = field(default_factory=list)
    dictionary: bytes | None = None
    dictionary_pages: list[bytes] = field(default_factory=list)
    claimed: list[ChunkIds] = field(default_factory=list)
    deleted: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))

    @property
    def chunks(self) -> ChunkIds:
        """Ids of the chunks that are there."""
        ends = ((group.first_chunk, group.first_chunk + group.count - 1) for group in self.groups)
        return ChunkIds.of_ranges(ends)

    @property
    def expected(self) -> ChunkIds:
        """Ids of the chunks that were there, as far as anything says so."""
        return ChunkIds.union([*self.claimed, self.chunks])
