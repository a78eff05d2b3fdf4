"""What is wrong with a video: its container, its page table, its header, and, looked at closely, every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memvid.allowance import unpack_allowance
from memvid.errors import DependencyError, FrameError, MemvidError, VideoError
from memvid.maintenance.damaged.container import Container, read_container
from memvid.maintenance.verify.chunks_of_frames import ChunksOfFrames
from memvid.maintenance.verify.findings import Findings
from memvid.maintenance.verify.frame_check import FrameCheck
from memvid.maintenance.verify.front_check import FrontCheck
from memvid.maintenance.verify.left_pages import LeftPages
from memvid.maintenance.verify.missing_chunks import MissingChunks
from memvid.maintenance.verify.page_check import PageCheck, TakeChunks
from memvid.page import (
    ChunkIds,
    ChunkRanges,
    HeaderInfo,
    MetadataReader,
    PageKind,
    TombstoneReader,
    is_page,
    parse_header,
)
from memvid.page import page_checksum as checksum_of
from memvid.types import ProgressCallback, VideoIdentity
from memvid.video import PageTable, PageTableBuilder
from memvid.video.codecs import EveryPicture, Frames, PictureVideo, open_frames
from memvid.video.codecs.decoding import read_payloads
from memvid.video.lost_table import find_by_parity, least_frames
from memvid.video.video_bytes import VideoBytes

__all__ = ["VideoCheck", "VideoFacts"]

_BATCH = 512  # frames read at once


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a check of the index needs to know of the video.

    :ivar table: its page table, from its box or from the frames.
    :ivar identity: ``None`` if the table could not be told for certain.
    :ivar header: its header page, if it can be read.
    :ivar deleted: the chunks it says were deleted; ``None`` if that cannot be read.
    :ivar added: the chunks that each commit says it has added.
    :ivar moved: chunks of pages that are not in the frames of their numbers, if the table is not certain.
    """

    table: PageTable
    identity: VideoIdentity | None
    header: HeaderInfo | None
    deleted: ChunkIds | None
    added: list[range]
    moved: ChunkIds


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
            if reader.frame_count == 0:
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
        reader, table, certain = self._table(reader)
        if table is None:
            return None
        left = LeftPages() if certain else LeftPages.of(_payloads(reader))
        reader.expect(np.ascontiguousarray(table.checksums, np.uint32))
        front = FrontCheck(self._path, reader, table, self._findings)
        front.run()
        if deep:
            chunks = ChunksOfFrames(table)
            tombstones, changes = TombstoneReader(reader.file_size), MetadataReader(reader.file_size)
            allowance = unpack_allowance(self._path, reader.file_size, self._unpacked_bytes)
            pages = PageCheck(
                self._path, table, chunks, tombstones, changes, front, allowance,
                self._findings, self._container, take,
            )  # fmt: skip
            self.frames = FrameCheck(
                self._path, reader, table, chunks, front.header, self._container, self._findings, self._data
            )
            self.frames.run(pages, self._progress)
            self.chunks_read = pages.chunks
        identity = VideoIdentity(table.digest, reader.frame_count, reader.file_size, table.tag) if certain else None
        return VideoFacts(table, identity, front.header, front.deleted, front.added, left.chunks)

    def close(self) -> None:
        """Let go of the file."""
        self._data.close()

    def _cannot_open(self, error: MemvidError) -> None:
        for problem in self._container.problems:
            self._findings.error("container", problem.message, self._path, offset=problem.offset)
        remedy = "" if "`memvid" in str(error) else "; `memvid repair` brings back what is whole"
        lost = self._lost() if isinstance(error, FrameError) else None
        what = "nothing in it can be read as it is" if lost is None else "it cannot be opened as it is"
        self._findings.error(
            "container",
            f"{what}: {error}{remedy}",
            self._path,
            chunks=self._indexed if lost is None else lost,
        )

    def _lost(self) -> ChunkRanges | None:
        """Which chunks a repair would not bring back; ``None`` where that cannot be told."""
        try:
            left = LeftPages.of(read_payloads(EveryPicture(str(self._path))))
        except MemvidError:
            return None
        if not left.chunks:
            return None
        indexed = ChunkIds.of_ranges(self._indexed)
        missing = MissingChunks.of(left.chunks, left.pages, left.header, left.added, ChunkIds.of([]), indexed)
        return missing.ids.ranges

    def _table(self, reader: Frames) -> tuple[Frames, PageTable | None, bool]:
        """What to read the video by, its page table, and whether it is that of the video for certain."""
        blob = reader.page_table
        if blob is not None:
            try:
                table = PageTable.from_bytes(blob)
            except VideoError as error:
                self._findings.error("page table", f"{error}: `memvid repair` makes it anew", self._path)
            else:
                if len(table) == reader.frame_count:
                    return reader, table, True
                self._findings.error(
                    "page table",
                    f"the page table has {len(table)} frames, the video {reader.frame_count}: `memvid repair` makes it "
                    "anew",
                    self._path,
                )
        else:
            self._findings.warn(
                "page table",
                "there is no page table, so all frames are read at each opening: another program wrote the file anew; "
                "`memvid repair` puts it back",
                self._path,
            )
        try:
            return self._find_table(reader)
        except VideoError as error:
            self._findings.error("frame", error, self._path)
            return reader, None, False

    def _find_table(self, reader: Frames) -> tuple[Frames, PageTable, bool]:
        """The same from the frames, or, where they do not tell all of it, from parity, as an opening would."""
        noted = len(self._findings.found)
        table, certain = self._scan(reader)
        if certain:
            return reader, table, True
        try:
            found = find_by_parity(reader, str(self._path))
        except (VideoError, DependencyError) as error:
            self._findings.warn("parity", f"parity does not tell the page table: {error}", self._path)
            return reader, table, False
        if found is None:
            return reader, table, False
        if isinstance(found[0], PictureVideo):
            self._container = Container()  # its places of frames are not those of the pages
            del self._findings.found[noted:]
            self._findings.warn(
                "frame",
                "frames were dropped, repeated or moved; pages are found by their numbers and by parity, and "
                "`memvid repair` sorts them",
                self._path,
            )
        return *found, True

    def _scan(self, reader: Frames) -> tuple[PageTable, bool]:
        """The page table from the frames; a frame that cannot be read is a row that holds nothing."""
        builder = PageTableBuilder()
        tag: int | None = None
        certain = True
        for start in range(0, reader.frame_count, _BATCH):
            payloads, _ = reader.read(np.arange(start, min(start + _BATCH, reader.frame_count)))
            for frame, payload in enumerate(payloads, start):
                if payload is None:
                    certain = False
                    builder.add(PageKind.PARITY, 0, 0, 0)
                elif is_page(payload):
                    header = parse_header(payload, frame_index=frame)
                    tag = header.tag if tag is None else tag
                    if header.page_number != frame:
                        self._findings.error(
                            "frame",
                            f"frame {frame} holds page {header.page_number}: frames were swapped, dropped or repeated; "
                            "`memvid repair` sorts them",
                            self._path,
                            frame=frame,
                            offset=self._container.offset_of(frame),
                        )
                        certain = False
                        builder.add(PageKind.PARITY, 0, 0, 0)
                        continue
                    builder.add(header.kind, header.count, header.first_chunk, header.checksum)
                    certain = certain and least_frames(payload, frame) <= reader.frame_count
                else:
                    builder.add_text(checksum_of(payload))
        return builder.build(tag or 0), certain


def _payloads(reader: Frames) -> Iterator[bytes | None]:
    """What is in each frame, whatever it should be."""
    for start in range(0, reader.frame_count, _BATCH):
        yield from reader.read(np.arange(start, min(start + _BATCH, reader.frame_count)))[0]
