"""What appends changed in a video: which chunks were deleted, whose metadata was changed, and the commits themselves.

Frames are in the order in which they were written, so each state of a memory is what the frames before one of them say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from memvid.errors import FrameError
from memvid.page import (
    ChangedMetadata,
    ChunkIds,
    HeaderInfo,
    MetadataReader,
    PageKind,
    TombstoneReader,
    decode_commit,
    open_blob,
)
from memvid.remedies import REMEDY
from memvid.types import CommitInfo
from memvid.video.reader import VideoReader
from memvid.video.table import LOST

__all__ = ["DeletionsLeft", "History", "MetadataState"]


@dataclass(frozen=True, slots=True)
class MetadataState:
    """Metadata that was changed, as far as that can be read.

    :ivar latest: what counts behind the last page that cannot be read.
    :ivar lost: what is wrong with that page, if there is one: it may have changed the metadata of any chunk.
    :ivar left: bytes that further pages may take.
    """

    latest: ChangedMetadata
    lost: FrameError | None
    left: int

    def __bool__(self) -> bool:
        """Whether it may say anything of any chunk."""
        return len(self.latest) > 0 or self.lost is not None

    def get(self, chunk_id: int) -> bytes | None:
        """Stored JSON of a chunk's metadata, empty if it has none now; ``None`` if it was not changed.

        :raises FrameError: that cannot be known.
        """
        found = self.latest.get(chunk_id)
        if found is None and self.lost is not None:
            raise FrameError(str(self.lost), frame_index=self.lost.frame_index)
        return found


@dataclass(frozen=True, slots=True)
class DeletionsLeft:
    """Which chunks were deleted, as far as that can be read.

    :ivar ids: the chunks.
    :ivar lost: how many more there were, at least.
    :ivar error: why, if a page is there.
    """

    ids: ChunkIds
    lost: int
    error: FrameError | None


class History:
    """Reads what appends say of themselves.

    :param video: an open video.
    """

    def __init__(self, video: VideoReader) -> None:
        self._video = video
        self._table = video.table

    def deleted_in(self, start: int, stop: int) -> ChunkIds:
        """The chunks that tombstones pages from frame ``start`` on, before ``stop``, say were deleted.

        :raises FrameError: one cannot be read, or is lost, as a commit says.
        """
        found = self.deletions_left(start, stop)
        if found.lost:
            what = f"which chunks were deleted is lost: {found.lost} more than is known: {REMEDY}"
            raise FrameError(f"{self._video.path}: {what}") from found.error
        return found.ids

    def deletions_left(self, start: int, stop: int) -> DeletionsLeft:
        """The same, as far as it can be read."""
        tombstones = TombstoneReader(self._video.identity.bytes)
        by_frame: dict[int, int] = {}
        error: FrameError | None = None
        for frame in self._frames_in(PageKind.TOMBSTONES, start, stop):
            try:
                run = self._read_run(frame)
                by_frame[frame] = len(tombstones.add(run, first_frame=frame, tag=self._table.tag))
            except FrameError as why:  # noqa: PERF203  # of each page by itself
                error = error or why
        lost = self._count_lost(start, stop, by_frame, "deleted")
        return DeletionsLeft(tombstones.deleted, lost or int(error is not None), error)

    def changed_in(self, start: int, stop: int) -> MetadataState:
        """The metadata that pages from frame ``start`` on, before ``stop``, give to chunks before them."""
        reader = MetadataReader(self._video.identity.bytes)
        parts: list[ChangedMetadata] = []
        by_frame: dict[int, int] = {}
        lost: FrameError | None = None
        for frame in self._frames_in(PageKind.METADATA, start, stop):
            try:
                payloads = self._read_run(frame)
                parts.append(
                    reader.add(payloads, first_frame=frame, below=self._table.below(frame), tag=self._table.tag)
                )
                by_frame[frame] = len(parts[-1])
            except FrameError as error:  # noqa: PERF203  # of each page by itself
                parts.clear()
                lost = error
        if lost is None and self._count_lost(start, stop, by_frame, "changed"):
            parts.clear()  # which of them it came before, nobody knows
            lost = FrameError(f"{self._video.path}: a page of changed metadata is lost: {REMEDY}")
        return MetadataState(ChangedMetadata.latest(parts), lost, reader.left)

    def all_changed(self) -> Iterator[ChangedMetadata]:
        """What each page of changed metadata says, the oldest first.

        :raises FrameError: one cannot be read.
        """
        reader = MetadataReader(self._video.identity.bytes)
        for frame in self._frames_in(PageKind.METADATA, 0, len(self._table)):
            yield reader.add(
                self._read_run(frame), first_frame=frame, below=self._table.below(frame), tag=self._table.tag
            )

    def commits(self, header: HeaderInfo) -> list[tuple[int, CommitInfo]]:
        """All commits, each with the frame of its page; of the first one, the build, with that of the header page.

        Reads a frame for each.

        :raises FrameError: one cannot be read.
        """
        table = self._table
        frames = table.frames_of_kind(PageKind.COMMIT).tolist()
        stop = frames[0] if frames else len(table)
        deleted = self.deleted_in(0, stop)
        count = max(len(table.chunk_ids(stop=stop) - deleted), header.chunks - len(deleted))  # some of it may be lost
        built = CommitInfo(
            number=1, date=header.date, message=header.message,
            first_chunk=0, added=count, deleted=0, changed=0, chunks=count,
        )  # fmt: skip
        return [(table.header_frame, built), *((frame, self.read_commit(frame)) for frame in frames)]

    def read_commit(self, frame: int) -> CommitInfo:
        """What the COMMIT page in a frame says.

        :raises FrameError: it cannot be read.
        """
        body = open_blob(PageKind.COMMIT, self._read_run(frame), first_frame=frame, tag=self._table.tag)
        return decode_commit(body, frame_index=frame)

    def last_commit(self) -> int:
        """The number of the last commit; where its page is damaged, as counted on from the one before."""
        frames = self._table.frames_of_kind(PageKind.COMMIT)[::-1].tolist()
        for skipped, frame in enumerate(frames):
            with suppress(FrameError):
                return self.read_commit(frame).number + skipped
        return 1 + len(frames)

    def commits_left(self) -> list[tuple[int, CommitInfo]]:
        """All commits but the first whose pages can be read, each with the frame of its page."""
        found = []
        for frame in self._table.frames_of_kind(PageKind.COMMIT).tolist():
            with suppress(FrameError):
                found.append((frame, self.read_commit(frame)))
        return found

    def _count_lost(self, start: int, stop: int, by_frame: Mapping[int, int], what: str) -> int:
        """How many chunks more commits say they deleted, or changed, than pages tell of that are left, at least.

        :param by_frame: of how many chunks the page in a frame tells.
        :param what: the number of a commit that says it.
        """
        if self._video.has_table:
            return 0
        missing = 0
        commits = [(0, 1, 0), *((frame, info.number, getattr(info, what)) for frame, info in self.commits_left())]
        ends = [*((min(frame, stop), number) for frame, number, _ in commits[1:]), (stop, None)]
        for (frame, number, said), (end, next_number) in zip(commits, ends, strict=True):
            if not start <= frame < stop:
                continue
            skipped = 0 if next_number is None else next_number - number - 1  # commits whose own pages are lost
            lost = int((self._table.kinds[frame:end] == LOST).sum())
            if lost > skipped or next_number is None:  # behind the last one, the end may be lost
                told = sum(count for at, count in by_frame.items() if frame <= at < end)
                missing += 1 if skipped else max(said - told, 0)
        return missing

    def _frames_in(self, kind: PageKind, start: int, stop: int) -> list[int]:
        frames = self._table.frames_of_kind(kind)
        part: list[int] = frames[slice(*np.searchsorted(frames, [start, stop]))].tolist()
        return part

    def _read_run(self, frame: int) -> list[bytes]:
        return self._video.read(list(self._table.run_of(frame)))
