"""What of a salvage belongs together: whole pages, whole runs of pages, bare texts."""

from __future__ import annotations

from dataclasses import dataclass, field

from memvid.page import ChunkIds, ChunkRanges, HeaderInfo, PageKind, Record
from memvid.video import reach

__all__ = ["ChunkRun", "Group", "Sorted"]


@dataclass(frozen=True, slots=True)
class ChunkRun:
    """Chunks with ids that count up.

    :ivar first_chunk: id of the first.
    :ivar records: the chunks.
    """

    first_chunk: int
    records: list[Record]

    @property
    def stop(self) -> int:
        """The id behind the last one's."""
        return self.first_chunk + len(self.records)


@dataclass(frozen=True, slots=True)
class Group:
    """A whole page, a whole run of pages, or a bare text.

    :ivar frame: where it began in the video.
    :ivar kind: a :class:`PageKind`, or :data:`BARE`.
    :ivar first_chunk: id of its first chunk.
    :ivar count: chunks in it.
    :ivar payloads: of its frames.
    :ivar changed: what is left of its chunks, or of their metadata, if its pages cannot stay as they are.
    """

    frame: int
    kind: int
    first_chunk: int
    count: int
    payloads: list[bytes]
    changed: tuple[ChunkRun, ...] | None = None

    @property
    def spans(self) -> ChunkRanges:
        """The chunks that are there."""
        if self.kind in (PageKind.ATTRIBUTES, PageKind.METADATA) or self.changed is None:
            return ((self.first_chunk, self.first_chunk + self.count - 1),)
        return tuple((run.first_chunk, run.stop - 1) for run in self.changed)


@dataclass(slots=True)
class Sorted:
    """What a salvage amounts to.

    :ivar tag: of the memory.
    :ivar header: its header page, if that is whole.
    :ivar groups: everything whole but header page and dictionary, in order.
    :ivar header_frame: where the header page began.
    :ivar header_pages: its payloads.
    :ivar dictionary_pages: those of the dictionary.
    :ivar cover: what the code on the cover holds, if it was found.
    :ivar added: ids of the chunks that each commit says it has added, by the frame behind its page.
    :ivar claimed: ids of the chunks that were there, as far as one page or another says so.
    :ivar guessed: ids that were there unless a compaction left them out, which only the lost header page would say.
    :ivar deleted: ids of the chunks that the pages say were deleted.
    :ivar lost_kinds: kinds of pages that the page table has in frames that are not there.
    """

    tag: int = 0
    header: HeaderInfo | None = None
    groups: list[Group] = field(default_factory=list)
    header_frame: int = 0
    header_pages: list[bytes] = field(default_factory=list)
    dictionary: bytes | None = None
    dictionary_pages: list[bytes] = field(default_factory=list)
    cover: bytes | None = None
    added: dict[int, range] = field(default_factory=dict)
    claimed: list[ChunkIds] = field(default_factory=list)
    guessed: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))
    deleted: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))
    lost_kinds: set[int] = field(default_factory=set)

    @property
    def front(self) -> int:
        """Frames before the first that holds chunks, if header page and dictionary are whole."""
        return self.header_frame + len(self.header_pages) + len(self.dictionary_pages)

    @property
    def grows(self) -> bool:
        """Whether texts may have been added that no page tells of, as in format version 1."""
        return self.header is not None and self.header.format_version == 1

    @property
    def chunks(self) -> ChunkIds:
        """Ids of the chunks that are there."""
        return ChunkIds.of_ranges(span for group in self.groups for span in group.spans)

    @property
    def expected(self) -> ChunkIds:
        """Ids of the chunks that were there, as far as anything says so that can be."""
        there = self.chunks
        return ChunkIds.union([*self.claimed, self.guessed, there]) & reach(there)
