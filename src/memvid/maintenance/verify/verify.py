"""Whether a memory is sound, and if not, what is wrong with it and which chunks that costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from memvid.errors import MemvidError
from memvid.index.location import find_index
from memvid.maintenance.verify.findings import Finding, Findings
from memvid.maintenance.verify.index_check import IndexCheck
from memvid.maintenance.verify.missing_chunks import MissingChunks
from memvid.maintenance.verify.video_check import VideoCheck
from memvid.page import ChunkIds, ChunkRanges
from memvid.storage.commit import OPEN_TRIES, recover, snapshot
from memvid.types import ProgressCallback, StrPath
from memvid.video.parity_reader import GroupMargin

__all__ = ["VerifyReport", "verify"]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check found.

    :ivar video_file: the video.
    :ivar index_file: the index's manifest.
    :ivar deep: whether every frame was read.
    :ivar findings: what is wrong, in the order it was found.
    :ivar frames: frames in the video, 0 if it cannot be opened.
    :ivar chunks: chunks in its page table.
    :ivar deleted: of them, those that were deleted, also where a compaction has left an empty one in their place.
    :ivar frames_read: frames whose codes were read, each by its own bits and by error correction.
    :ivar frames_corrected: of them, those that only error correction still reads.
    :ivar chunks_read: chunks decompressed and decoded.
    :ivar parity_group: the parity group that can lose fewest further frames; ``None`` without parity or without
        ``deep``.
    :ivar seconds: wall time.
    """

    video_file: Path
    index_file: Path
    deep: bool
    findings: tuple[Finding, ...]
    frames: int
    chunks: int
    deleted: int
    frames_read: int
    frames_corrected: int
    chunks_read: int
    parity_group: GroupMargin | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is worse than a warning."""
        return not self.errors

    @property
    def parity_margin(self) -> int | None:
        """How many more frames that group may lose, below 0 if it has lost too many; ``None`` like the group."""
        return None if self.parity_group is None else self.parity_group.margin

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that something cannot be read or used."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def lost_chunks(self) -> ChunkRanges:
        """Chunks that cannot be read as the video is, as far as it is known."""
        named = {id(finding.chunks): finding.chunks for finding in self.findings if finding.code != "metadata"}
        return ChunkIds.union(map(ChunkIds.of_ranges, named.values())).ranges


def verify(
    video: StrPath,
    index: StrPath | None = None,
    *,
    deep: bool = False,
    progress: ProgressCallback | None = None,
    unpacked_bytes: int | None = None,
) -> VerifyReport:
    """Check a memory: everything that is wrong with it is in the report, and nothing is raised for it.

    Without ``deep``: the container, the sample table, the page table, the header page, the dictionary; the manifest,
    the digests of the side files, every link of the graph, and all of it against the video. That costs what reading
    the index costs, and proves that index and page table are what was written; it does not read the frames.

    With ``deep``, also every frame: by its own bits and by a decoder with error correction; checksums, page numbers,
    tags, runs, decompression, lengths, UTF-8, metadata; and what the index says of each chunk against what is in its
    frame. That costs about a millisecond a frame and core. What it then calls sound, all of memvid can work with:
    repair, reindex, compact, erase, delete, append and export succeed.

    Others may change the memory meanwhile: where files of two states were looked at, it begins again.

    Nothing is written, except that a commit that was cut off is finished first, as at each opening.

    :param video: the video.
    :param index: the index's manifest; ``None`` takes the one inside the video, or ``<stem>_index.json`` beside it.
    :param progress: with ``deep``, called from this thread with the stage ``"frames"``.
    :param unpacked_bytes: what the video may unpack to, counting 256 bytes for a chunk; ``None``: 64 MiB and 32 times
        its size. Only a file that was made to do harm exceeds that, or a few chunks of many megabytes. With ``deep``,
        what is beyond it is not checked, which is an error of the report.
    :raises VideoNotFoundError: there is no such video.
    :raises VideoError: the file cannot be read at all: a folder, no permission.
    """
    video_file = Path(video)
    index_file = find_index(video_file, index)
    for _ in range(OPEN_TRIES):
        before = snapshot(index_file, video_file)
        report = _verify(video_file, index_file, deep=deep, progress=progress, unpacked_bytes=unpacked_bytes)
        if report.ok or snapshot(index_file, video_file) == before:
            break  # else its files may be of two states of the memory
    return report


def _verify(
    video_file: Path, index_file: Path, *, deep: bool, progress: ProgressCallback | None, unpacked_bytes: int | None
) -> VerifyReport:
    """Check the files as they are now."""
    begin = time.perf_counter()
    findings = Findings()
    try:
        recover(index_file, video_file=video_file)
    except MemvidError as error:
        findings.error("commit", error, index_file)
    index_check = IndexCheck(index_file, findings)
    index_check.open()
    deleted = 0
    check = VideoCheck(video_file, findings, progress, index_check.chunks(), unpacked_bytes)
    try:
        facts = check.run(index_check.take if deep else None, deep=deep)
        if facts is not None:
            index_check.compare(facts)
            gone = index_check.deleted if facts.deleted is None else facts.deleted
            claimed = index_check.claimed(facts.table.tag)
            there = facts.there - index_check.missing(facts)
            missing = MissingChunks.of(there, len(facts.table), facts.header, facts.added, gone, claimed)
            if missing:
                findings.error(
                    "chunks", f"missing are {missing}: the frames they were in are lost", video_file,
                    chunks=missing.ids.ranges,
                )  # fmt: skip
            findings.leave_out(gone)
            deleted = len(gone & facts.table.chunk_ids())
    finally:
        index_check.close()
        check.close()
    return VerifyReport(
        video_file=video_file,
        index_file=index_file,
        deep=deep,
        findings=tuple(findings.found),
        frames=0 if facts is None else len(facts.table),
        chunks=0 if facts is None else facts.table.chunk_count,
        deleted=deleted,
        frames_read=0 if check.frames is None else check.frames.read,
        frames_corrected=0 if check.frames is None else check.frames.corrected,
        chunks_read=check.chunks_read,
        parity_group=None if check.frames is None else check.frames.margin,
        seconds=time.perf_counter() - begin,
    )
