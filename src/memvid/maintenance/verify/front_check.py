"""What a video says of itself as a whole: its header page, its dictionary, which chunks were deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from memvid import _core
from memvid.building.append import frame_config, next_chunk
from memvid.config import EncoderConfig
from memvid.errors import ConfigError, DependencyError, MemvidError, VideoError
from memvid.maintenance.verify.commit_check import commit_faults
from memvid.maintenance.verify.findings import Findings
from memvid.page import (
    LONGEST_DELETION,
    MIN_CAPACITY,
    ChangedMetadata,
    ChunkIds,
    HeaderInfo,
    MetadataReader,
    PageDecompressor,
    PageKind,
    TombstoneReader,
    decode_commit,
    decode_header_body,
    open_blob,
)
from memvid.page.header import MAX_COUNT, memory_name
from memvid.types import CommitInfo
from memvid.video import LARGEST_GAP, PageTable, frame_capacity
from memvid.video.codecs import Frames, PictureVideo
from memvid.video.frame_status import REASONS
from memvid.video.parity_reader import ParityReader

__all__ = ["FrontCheck"]


class FrontCheck:
    """Checks what all else in a video is read with; what is wrong goes to ``findings``.

    :param carried: whether the video carries its page table.
    :ivar header: the header page, if it can be read.
    :ivar config: how pages and frames of the memory are made; ``None`` if nothing can be made as its header page says.
    :ivar decompressor: opens its pages; ``None`` if the dictionary cannot be read.
    :ivar deleted: the chunks that were deleted; ``None`` if that cannot be read.
    :ivar added: the chunks that each commit says it has added.
    :ivar changed: metadata that was changed; ``None`` if that cannot be read.
    :ivar next_chunk: id of the chunk that is added next, as far as all that says.
    :ivar spare: frames of header page and dictionary that nobody needs, since there is another copy that can be read.
    """

    def __init__(self, path: Path, reader: Frames, table: PageTable, findings: Findings, *, carried: bool) -> None:
        self._path = path
        self._reader = reader
        self._table = table
        self._findings = findings
        self._carried = carried
        self.header: HeaderInfo | None = None
        self.config: EncoderConfig | None = None
        self.decompressor: PageDecompressor | None = None
        self.deleted: ChunkIds | None = None
        self.added: list[range] = []
        self.next_chunk = table.next_chunk
        self.changed: ChangedMetadata | None = None
        self.spare: set[int] = set()
        self._lists: dict[int, ChunkIds] = {}  # of deleted chunks, by frame
        self._changes: dict[int, ChunkIds] = {}  # of chunks with other metadata, by frame

    def run(self) -> None:
        """Check header page, dictionary, deletions, changed metadata and commits, in this order."""
        self._check_header()
        self._check_dictionary()
        self._check_deleted()
        self._check_changed()
        self._check_commits()

    def _check_header(self) -> None:
        if self._table.has_lost_frames and not len(self._table.frames_of_kind(PageKind.HEADER)):
            self._error("header", "the header page is lost; `memvid repair` writes another")
            return
        frames = self._table.copies_of(PageKind.HEADER) or [0]
        try:
            self.header = header = decode_header_body(self._read_either(PageKind.HEADER, frames)[0])
        except VideoError as error:
            self._error("header", f"the header page cannot be read: {error}", frame=frames[0])
            return
        if header.tag != self._table.tag:
            self._error(
                "header",
                f"the header page is that of memory {memory_name(header.tag)}, the frames are of "
                f"{memory_name(self._table.tag)}",
            )
        if header.cover is not None and self._table.has_lost_frames and not self._table.has_cover:
            what = "the cover that the header page tells of is lost; `memvid repair` draws another"
            self._findings.warn("header", what, self._path, frame=0)
        self._check_options(header)
        built, count = header.chunks, len(self._table)
        if built > MAX_COUNT * count:
            self._error("header", f"the header page says {built} chunks, more than {count} frames can hold")

    def _check_options(self, header: HeaderInfo) -> None:
        """Whether more pages can be made as the header page says, and put behind those there are."""
        try:
            config = frame_config(header, fps=self._reader.fps)
            capacity = frame_capacity(config)
        except ConfigError as error:
            self._error("header", f"nothing can be written as it says: {error}")
            return
        if capacity < MIN_CAPACITY or config.bare != header.bare:
            what = (
                f"a code of {capacity} bytes is too small for pages"
                if capacity < MIN_CAPACITY
                else f"bare={header.bare} with compression={header.compression!r} and "
                f"chunks_per_frame={header.chunks_per_frame}"
            )
            self._error("header", f"nothing can be written as it says: {what}")
            return
        self.config = config
        if isinstance(self._reader, PictureVideo):
            return  # of another codec: nothing is ever put behind it
        try:
            symbol = _core.SymbolOptions(version=header.symbol_version, level=header.error_correction)
            _core.check_append(str(self._path), symbol)
        except MemvidError as error:
            what = f"all of it can be read, but nothing be added or deleted: {error}"
            self._findings.warn("container", what, self._path)

    def _check_dictionary(self) -> None:
        frames = self._table.copies_of(PageKind.DICTIONARY)
        dictionary: bytes | None = None
        pages = 0
        try:
            if frames:
                dictionary, frame = self._read_either(PageKind.DICTIONARY, frames)
                pages = len(self._table.run_of(frame))
            self.decompressor = PageDecompressor(dictionary)
        except VideoError as error:
            self._lose_dictionary(str(error), frames[0])
            return
        header = self.header
        if header is not None and pages != header.dictionary_pages:
            self._lose_dictionary(f"it has {pages} pages, the header page says {header.dictionary_pages}", None)
        elif header is not None and len(dictionary or b"") != header.dictionary_bytes:
            self._findings.warn(
                "header",
                f"the header page says that the dictionary has {header.dictionary_bytes} bytes, and it has "
                f"{len(dictionary or b'')}",
                self._path,
            )

    def _lose_dictionary(self, what: str, frame: int | None) -> None:
        self.decompressor = None
        self._findings.error(
            "dictionary",
            f"the dictionary, which compressed pages need, cannot be read: {what}",
            self._path,
            frame=frame,
            chunks=self._table.chunk_ids().ranges,
        )

    def _check_deleted(self) -> None:
        """What all lists of deleted chunks say together, and what that leaves."""
        table = self._table
        tombstones = TombstoneReader(self._reader.file_size)
        frame = 0
        try:
            for frame in table.frames_of_kind(PageKind.TOMBSTONES).tolist():
                self._lists[frame] = tombstones.add(self._read_run(frame), first_frame=frame, tag=table.tag)
        except VideoError as error:
            self._error(
                "tombstones",
                f"which chunks were deleted cannot be read: {error}; a new index would have them again",
                frame=frame,
            )
            return
        self.deleted = deleted = tombstones.deleted
        if deleted and int((deleted.ends - deleted.starts).max()) > LONGEST_DELETION:
            self._error("tombstones", f"more than {LONGEST_DELETION} chunks in a row are deleted: no index can say so")
        if self.header is not None:
            self.next_chunk = next_chunk(table, self.header, deleted)
            behind = self.next_chunk - table.next_chunk
            if behind > LARGEST_GAP:
                self._error(
                    "chunks",
                    f"by header page and deletions the next one would be {behind} ids behind the last one, and at most "
                    f"{LARGEST_GAP} can be left out: nothing can be added",
                )

    def _check_changed(self) -> None:
        """What all pages of changed metadata say together."""
        table = self._table
        reader = MetadataReader(self._reader.file_size)
        frame = 0
        try:
            for frame in table.frames_of_kind(PageKind.METADATA).tolist():
                found = reader.add(self._read_run(frame), first_frame=frame, below=table.below(frame), tag=table.tag)
                self._changes[frame] = found.chunks
        except VideoError as error:
            self._error(
                "page",
                f"what metadata was changed cannot be read: {error}; that of any chunk before may be another",
                frame=frame,
            )
            return
        self.changed = reader.latest

    def _check_commits(self) -> None:
        """Whether the commits are those of the pages, which a damaged one, or one of the tombstones, cannot tell."""
        commits = []
        for frame in self._table.frames_of_kind(PageKind.COMMIT).tolist():
            try:
                info = decode_commit(self._read_blob(PageKind.COMMIT, frame), frame_index=frame)
            except VideoError as error:
                self._error("log", f"what was changed cannot be read: {error}", frame=frame)
                return
            commits.append((frame, info))
            self.added.append(info.chunk_ids)
        if self.deleted is None or self.changed is None:
            return

        def deleted_in(start: int, stop: int) -> ChunkIds:
            return ChunkIds.union(ids for frame, ids in self._lists.items() if start <= frame < stop)

        def changed_in(start: int, stop: int) -> ChunkIds:
            return ChunkIds.union(ids for frame, ids in self._changes.items() if start <= frame < stop)

        if not self._carried:
            self._check_losses(commits, deleted_in, changed_in)
        for frame, impossible, what in commit_faults(self._table, commits, deleted_in, changed_in):
            note = self._findings.error if impossible else self._findings.warn
            note("log", what, self._path, frame=frame)

    def _check_losses(
        self,
        commits: Sequence[tuple[int, CommitInfo]],
        deleted_in: Callable[[int, int], ChunkIds],
        changed_in: Callable[[int, int], ChunkIds],
    ) -> None:
        """Name what commits tell of, and no page does: without a page table nothing else says that there was one."""
        stops = [*(frame for frame, _ in commits[1:]), len(self._table)]
        told = list(zip((info for _, info in commits), (frame for frame, _ in commits), stops, strict=False))
        if any(len(changed_in(start, stop)) < info.changed for info, start, stop in told):
            self.changed = None
            self._error("page", "a page of changed metadata is lost: that of any chunk before may be another")
        if any(len(deleted_in(start, stop)) < info.deleted for info, start, stop in told):
            self._error("tombstones", "a list of deleted chunks is lost: a new index may have them again")

    def _read_either(self, kind: PageKind, frames: list[int]) -> tuple[bytes, int]:
        """What a page, or its copy, holds, and where the one begins that was read; the other costs nothing then.

        :raises VideoError: neither can be read.
        """
        first: VideoError | None = None
        for number, frame in enumerate(frames):
            try:
                body = self._read_blob(kind, frame)
            except VideoError as error:
                first = first or error
                continue
            others = (self._table.run_of(other) for other in frames if other != frame)
            self.spare |= {at for run in others for at in run}
            if number:
                what = f"the {kind.name} page in frame {frames[0]} cannot be read, and its copy in frame {frame} can"
                self._findings.warn(kind.name.lower(), f"{what}: {first}", self._path, frame=frames[0])
            return body, frame
        raise first or VideoError(f"there is no {kind.name} page")

    def _read_blob(self, kind: PageKind, frame: int) -> bytes:
        return open_blob(kind, self._read_run(frame), first_frame=frame, tag=self._table.tag)

    def _read_run(self, frame: int) -> list[bytes]:
        run = self._table.run_of(frame)
        payloads, statuses = self._reader.read(np.arange(run.start, run.stop))
        for number, (at, status) in enumerate(zip(run, statuses.tolist(), strict=True)):
            if status:
                payloads[number] = self._rebuild(at)
                if payloads[number] is None:
                    raise VideoError(f"frame {at}: {REASONS[status]}")
        return [payload or b"" for payload in payloads]

    def _rebuild(self, frame: int) -> bytes | None:
        """A frame that cannot be read, if parity brings it back."""
        try:
            return ParityReader(self._table, self._reader.read).rebuild(frame)
        except (VideoError, DependencyError):
            return None

    def _error(self, code: str, message: str, *, frame: int | None = None) -> None:
        self._findings.error(code, message, self._path, frame=frame)
