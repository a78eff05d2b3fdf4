"""What is wrong with a video: its container, its page table, its header, and, looked at closely, every frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memvid.allowance import unpack_allowance
from memvid.errors import DependencyError, MemvidError, VideoError
from memvid.maintenance.damaged.container import Container, find_file_behind, read_container
from memvid.maintenance.verify.chunks_of_frames import ChunksOfFrames
from memvid.maintenance.verify.findings import Findings
from memvid.maintenance.verify.frame_check import FrameCheck
from memvid.maintenance.verify.front_check import FrontCheck
from memvid.maintenance.verify.page_check import PageCheck, TakeChunks
from memvid.page import (
    ChunkIds,
    ChunkRanges,
    HeaderInfo,
    MetadataReader,
    PageKind,
    TombstoneReader,
    describe_numbers,
    memory_name,
)
from memvid.remedies import other_memory
from memvid.types import ProgressCallback, VideoIdentity
from memvid.video import LOST, PageTable
from memvid.video.codecs import Frames, PictureVideo, open_frames
from memvid.video.layout import Layout, find_layout
from memvid.video.parity_reader import ParityReader
from memvid.video.video_bytes import VideoBytes

__all__ = ["VideoCheck", "VideoFacts"]


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a check of the index needs to know of the video.

    :ivar table: its page table, from its box or from the frames.
    :ivar identity: which video it is.
    :ivar header: its header page, if it can be read.
    :ivar deleted: the chunks it says were deleted; ``None`` if that cannot be read.
    :ivar added: the chunks that each commit says it has added.
    :ivar there: chunks of the frames that are not known to be lost.
    :ivar read: chunks that were read, and that nobody takes for others: bare texts only by a page table.
    """

    table: PageTable
    identity: VideoIdentity
    header: HeaderInfo | None
    deleted: ChunkIds | None
    added: list[range]
    there: ChunkIds
    read: ChunkIds


class VideoCheck:
    """Checks one video; what is wrong goes to ``findings``, nothing is raised for it.

    :param indexed: chunks that the index has: what there is to lose.
    :param unpacked_bytes: what pages may unpack to; ``None`` takes what suits the video's size.
    :ivar frames: what came of reading every frame, if that was done.
    :ivar chunks_read: chunks decoded in full.
    """

    def __init__(
        self,
        path: Path,
        findings: Findings,
        progress: ProgressCallback | None,
        indexed: ChunkRanges = (),
        unpacked_bytes: int | None = None,
    ) -> None:
        self._path = path
        self._indexed = indexed
        self._findings = findings
        self._progress = progress
        self._unpacked_bytes = unpacked_bytes
        self._data = VideoBytes(path)
        self._container = Container()
        self.frames: FrameCheck | None = None
        self.chunks_read = 0

    def run(self, take: TakeChunks | None, *, deep: bool) -> VideoFacts | None:
        """Check; what the index is compared with, or ``None`` if the video cannot be opened at all."""
        self._container = read_container(self._data)
        facts = self._open_and_check(take, deep=deep)
        behind = find_file_behind(self._data)
        if behind is not None:
            self._findings.warn("container", behind.message, self._path, offset=behind.offset)
        if deep:
            self._data.read_through()
        for run in self._data.unreadable():
            self._findings.warn(
                "container",
                f"the disk does not give bytes {run.start} to {run.stop - 1}: move the memory to another one, by "
                "`memvid repair` if any chunk is lost",
                self._path,
                offset=run.start,
            )
        return facts

    def _open_and_check(self, take: TakeChunks | None, *, deep: bool) -> VideoFacts | None:
        try:
            reader = open_frames(str(self._path), threads=0)
            if reader.frame_count == 0 and not isinstance(reader, PictureVideo):
                raise VideoError(f"{self._path} has no frame")
        except MemvidError as error:
            self._cannot_open(error)
            return None
        try:
            return self._check(reader, take, deep=deep)
        except MemvidError as error:  # no frame can be looked at: pictures of an impossible size, a codec that fails
            self._cannot_open(error)
            return None

    def _check(self, reader: Frames, take: TakeChunks | None, *, deep: bool) -> VideoFacts | None:
        if isinstance(reader, PictureVideo):
            self._container = Container()  # only pictures of our own are looked at by themselves
        for problem in self._container.problems:
            self._findings.warn("container", problem.message, self._path, offset=problem.offset)
        self._note_table(reader)
        try:
            layout = find_layout(reader, str(self._path), damaged_table=True)
        except VideoError as error:
            self._findings.error("frame", error, self._path, chunks=self._indexed)
            return None
        table = layout.table
        reader.expect(np.ascontiguousarray(table.checksums, np.uint32))
        if layout.places is not None:
            self._container = self._container.placed(layout.places)
        for other, frames in layout.others.items():
            self._findings.warn("frame", other_memory(memory_name(other), frames), self._path)
        absent = self._note_absent(reader, layout)
        front = FrontCheck(self._path, reader, table, self._findings, carried=layout.carried)
        front.run()
        there = table.chunk_ids() - table.chunks_in(absent)
        read = ChunkIds.of([])
        if deep:
            chunks = ChunksOfFrames(table)
            tombstones, changes = TombstoneReader(reader.file_size), MetadataReader(reader.file_size)
            allowance = unpack_allowance(self._path, reader.file_size, self._unpacked_bytes)
            pages = PageCheck(
                self._path, table, chunks, tombstones, changes, front, allowance,
                self._findings, self._container, take,
            )  # fmt: skip
            self.frames = FrameCheck(
                self._path, reader, table, chunks, front.header, self._container, self._findings, self._data,
                layout.places,
            )  # fmt: skip
            self.frames.run(pages, self._progress, absent=absent, spare=front.spare)
            self.chunks_read = pages.chunks
            read = pages.read | pages.texts if layout.carried else pages.read
        identity = VideoIdentity(table.digest, len(table) - len(absent), reader.file_size, table.tag)
        return VideoFacts(table, identity, front.header, front.deleted, front.added, there, read)

    def _note_absent(self, reader: Frames, layout: Layout) -> NDArray[np.int64]:
        """Name the frames that are lost, as far as that is known before they are read; returns them."""
        table, places = layout.table, layout.places
        if places is None:
            return np.zeros(0, np.int64)
        if layout.carried:
            absent = np.flatnonzero(places < 0)
            parity = ParityReader(table, reader.read)
            absent = absent[[not _is_rebuilt(parity, frame) for frame in absent.tolist()]]
        else:
            absent = table.frames_of_kind(LOST)
        if not isinstance(reader, PictureVideo):  # programs that write other ones show pictures as often as they like
            rebuilt = len(table) - len(absent) - int((places >= 0).sum())
            self._note_moved(places, rebuilt, protected=bool((table.kinds == PageKind.PARITY).any()))
        if len(absent):
            which = describe_numbers(ChunkIds.of(absent).ranges)
            self._findings.error(
                "frame",
                f"lost are {len(absent)} of {len(table)} frames: {which}; `memvid repair` makes a memory of the others",
                self._path,
                frame=int(absent[0]),
                chunks=table.chunks_in(absent).ranges,
            )
        return absent

    def _note_moved(self, places: NDArray[np.int64], rebuilt: int, *, protected: bool) -> None:
        """Name frames that are not in their places, so that nothing can be added.

        :param rebuilt: how many parity alone has.
        """
        there = np.flatnonzero(places >= 0)
        if np.array_equal(places[there], there) and not rebuilt:
            return
        moved = (
            "frames were dropped, repeated or moved; pages are found by their numbers, and `memvid repair` sorts them"
        )
        if protected:
            self._findings.warn("frame", moved, self._path)
            return
        swapped = there[np.argsort(np.argsort(places[there])) != np.arange(len(there))]
        for frame, place in zip(swapped.tolist(), places[swapped].tolist(), strict=True):
            self._findings.error(
                "frame",
                f"frame {place} holds page {frame}: frames were swapped; `memvid repair` sorts them",
                self._path,
                frame=place,
                offset=self._container.offset_of(frame),
            )
        if not len(swapped):
            self._findings.error("frame", moved, self._path)

    def _note_table(self, reader: Frames) -> None:
        """Name what is wrong with the page table by itself."""
        if reader.page_table is None:
            self._findings.warn(
                "page table",
                "there is no page table, so all frames are read at each opening: another program wrote the file anew; "
                "`memvid repair` puts it back",
                self._path,
            )
            return
        try:
            frames = len(PageTable.from_bytes(reader.page_table))
        except VideoError as error:
            self._findings.error("page table", f"{error}: `memvid repair` makes it anew", self._path)
            return
        if frames != reader.frame_count:
            self._findings.error(
                "page table",
                f"the page table has {frames} frames, the video {reader.frame_count}: `memvid repair` sorts them",
                self._path,
            )

    def close(self) -> None:
        """Let go of the file."""
        self._data.close()

    def _cannot_open(self, error: MemvidError) -> None:
        for problem in self._container.problems:
            self._findings.error("container", problem.message, self._path, offset=problem.offset)
        remedy = "" if "`memvid" in str(error) else "; `memvid repair` brings back what is whole"
        what = f"nothing in it can be read as it is: {error}{remedy}"
        self._findings.error("container", what, self._path, chunks=self._indexed)


def _is_rebuilt(parity: ParityReader, frame: int) -> bool:
    """Whether parity brings a frame back."""
    try:
        return parity.rebuild(frame) is not None
    except (VideoError, DependencyError):
        return False
