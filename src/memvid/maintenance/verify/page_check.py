"""What is wrong with the pages that were read out of a video's frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec

import numpy as np

from memvid.allowance import Allowance
from memvid.errors import FrameError, ResourceLimitError, VideoError
from memvid.maintenance.damaged.container import Container
from memvid.maintenance.verify.chunks_of_frames import ChunksOfFrames
from memvid.maintenance.verify.findings import Findings
from memvid.maintenance.verify.front_check import FrontCheck
from memvid.maintenance.verify.page_rules import PageRules
from memvid.page import (
    ChangedMetadata,
    ChunkIds,
    MetadataReader,
    PageDecompressor,
    PageKind,
    RecordPage,
    TombstoneReader,
    describe_chunks,
    is_page,
    open_blob,
    open_run,
    page_checksum,
    parse_header,
    read_metadata,
    read_page,
)
from memvid.video import BARE, COVER, LOST, PageTable, PageTableBuilder

__all__ = ["PageCheck", "TakeChunks"]

_Args = ParamSpec("_Args")
TakeChunks = Callable[[int, list[bytes], list[bytes]], None]
"""Gets the first id, the texts and the metadata of the chunks of a page that was read; none that cannot be used."""


class PageCheck:
    """Takes the payloads of all frames in order, puts runs together, opens them, and reads every chunk.

    :ivar chunks: chunks read in full so far.
    """

    def __init__(
        self,
        path: Path,
        table: PageTable,
        chunks: ChunksOfFrames,
        tombstones: TombstoneReader,
        changes: MetadataReader,
        front: FrontCheck,
        allowance: Allowance,
        findings: Findings,
        container: Container,
        take: TakeChunks | None,
    ) -> None:
        self._path = path
        self._table = table
        self._chunks = chunks
        self._tombstones = tombstones
        self._changes = changes
        self._decompressor = front.decompressor
        self._changed = front.changed
        self._allowance: Allowance | None = allowance  # what is beyond it is not looked at
        self._bare = ChunkIds.of(table.first_chunks[table.frames_of_kind(BARE)])
        self._rules = PageRules(table, front)
        self._rows: PageTableBuilder | None = PageTableBuilder()  # what the pages say, as long as all can be read
        self._findings = findings
        self._container = container
        self._take = None if front.changed is None else take  # else nobody knows what the index should say
        self._first = 0
        self._run: list[bytes] = []
        self._whole = True
        self._texts: dict[int, bytes] = {}  # of a bare memory, whose metadata come last
        self._metadata: dict[int, bytes] = {}
        self._metadata_lost: list[int] = []  # frames in which its pages begin
        self._read: list[range] = []
        self.chunks = 0

    def add(self, frame: int, payload: bytes | None) -> None:
        """Take the next frame; ``None`` if it could not be read, which is known already."""
        if self._table.kinds[frame] != PageKind.CONTINUATION:
            self._close_run()
            self._first, self._whole = frame, True
        if not payload and (payload is None or self._table.kinds[frame] == PageKind.PARITY):
            self._whole = False
            self._lose_metadata()
        else:
            self._run.append(payload)

    @property
    def read(self) -> ChunkIds:
        """The chunks of pages that were read so far."""
        return ChunkIds.union(map(ChunkIds.of, self._read))

    @property
    def texts(self) -> ChunkIds:
        """The bare texts that were."""
        return ChunkIds.of(self._texts)

    def finish(self) -> None:
        """After the last frame."""
        self._close_run()
        if self._rows is not None and self._rows.build(self._table.tag).to_bytes() != self._table.to_bytes():
            what = "it is not what the pages say; `memvid repair` makes it anew"
            self._findings.error("page table", what, self._path)
        uncertain = self._note_lost_metadata()
        if self._take is not None:
            ids = np.fromiter(self._texts, np.int64)
            for chunk_id in ids[~uncertain.contains(ids)].tolist():
                stored = self._current(chunk_id, self._metadata.get(chunk_id, b""))
                self._take(chunk_id, [self._texts[chunk_id]], [stored])

    def _close_run(self) -> None:
        run, self._run = self._run, []
        if not self._whole:
            self._rows = None
        if not run or not self._whole:
            return
        try:
            self._open(run)
            self._add_rows(run)
        except ResourceLimitError as error:
            self._rows = self._allowance = None
            self._findings.error(
                "limit", f"{error}. The chunks from frame {self._first} on were not checked", self._path,
                frame=self._first, offset=self._container.offset_of(self._first),
            )  # fmt: skip
        except VideoError as error:
            self._rows = None
            self._lose_metadata()
            frame = error.frame_index if isinstance(error, FrameError) and error.frame_index >= 0 else self._first
            self._findings.error(
                "page",
                error,
                self._path,
                frame=frame,
                offset=self._container.offset_of(frame),
                chunks=self._chunks.of(self._first),
            )

    def _lose_metadata(self) -> None:
        kind = self._table.kinds[self._first]
        may_have_some = kind == PageKind.ATTRIBUTES or (kind == LOST and not self._table.counts[self._first])
        if may_have_some and self._first not in self._metadata_lost[-1:]:
            self._metadata_lost.append(self._first)

    def _note_lost_metadata(self) -> ChunkIds:
        """The texts whose metadata may have been in pages that are lost: those before one, and in no other."""
        lost = np.array(self._metadata_lost, np.int64)
        uncertain = self._table.texts_before(lost) & (ChunkIds.of(self._texts) - ChunkIds.of(self._metadata))
        if uncertain:
            self._findings.error(
                "metadata",
                f"the metadata of {describe_chunks(uncertain.ranges)} cannot be read; the texts can, and `memvid "
                "repair` writes a memory of them without it",
                self._path,
                frame=int(lost[0]),
                offset=self._container.offset_of(int(lost[0])),
                chunks=uncertain.ranges,
            )
        return uncertain

    def _open(self, run: list[bytes]) -> None:
        frame, kind = self._first, int(self._table.kinds[self._first])
        self._obey(self._rules.check_run, kind, run, frame)
        if kind == BARE:
            self._open_bare(run[0])
            return
        if kind == COVER:
            self._obey(self._rules.check_cover, run[0], frame)
            return
        header = read_page(run[0], frame_index=frame, tag=self._table.tag)
        if header.kind != kind or (header.kind == PageKind.DATA and not self._is_row(header.count, header.first_chunk)):
            raise FrameError(
                f"frame {frame}: its {header.kind.name} page of {header.count} chunks from {header.first_chunk} on is "
                "not what the page table says; `memvid repair` makes the table anew",
                frame_index=frame,
            )
        self._obey(self._rules.check, header, frame)
        if kind in (PageKind.HEADER, PageKind.DICTIONARY, PageKind.COMMIT):
            open_blob(header.kind, run, first_frame=frame, tag=self._table.tag)
        elif kind == PageKind.TOMBSTONES:
            self._tombstones.add(run, first_frame=frame, tag=self._table.tag)
        elif kind == PageKind.METADATA:
            below, tag = self._table.below(frame), self._table.tag
            self._check_changed(self._changes.add(run, first_frame=frame, below=below, tag=tag))
        elif kind == PageKind.ATTRIBUTES:
            header, page = open_run(run, PageDecompressor(), first_frame=frame, tag=self._table.tag)
            self._obey(self._rules.check_attributes, header, page, frame)
            metadatas = self._read_metadata(header.first_chunk, page)
            ids = ChunkIds.of(range(header.first_chunk, header.first_chunk + len(page))) & self._bare
            self._metadata.update((known, metadatas[known - header.first_chunk]) for known in ids.numbers().tolist())
        elif kind == PageKind.DATA and self._decompressor is not None and self._allowance is not None:
            header, page = open_run(
                run, self._decompressor, first_frame=frame, tag=self._table.tag, allowance=self._allowance
            )
            self._read_chunks(header.first_chunk, page)

    def _check_changed(self, changed: ChangedMetadata) -> None:
        """Whether changed metadata can be used."""
        faults = {chunk: fault for chunk, data in changed.items() if (fault := read_metadata(data).fault) is not None}
        if faults:
            which = describe_chunks(ChunkIds.of(faults).ranges)
            what = f"frame {self._first}: the changed metadata of {which} cannot be used: {next(iter(faults.values()))}"
            self._note("metadata", f"{what}; the text can be read, and no filter finds it", faults)

    def _obey(self, rule: Callable[_Args, None], *args: _Args.args, **kwargs: _Args.kwargs) -> None:
        """Note a rule that is broken: what breaks it can be read all the same, if nothing else is wrong."""
        try:
            rule(*args, **kwargs)
        except FrameError as error:
            offset = self._container.offset_of(error.frame_index)
            self._findings.error("page", error, self._path, frame=error.frame_index, offset=offset)

    def _add_rows(self, run: list[bytes]) -> None:
        """What the page table would say of the frames, were it made of them."""
        if self._rows is None:
            return
        for frame, payload in enumerate(run, self._first):
            if is_page(payload):
                header = parse_header(payload, frame_index=frame)
                self._rows.add(header.kind, header.count, header.first_chunk, header.checksum)
            elif self._table.kinds[frame] == COVER:
                self._rows.add(COVER, 0, 0, page_checksum(payload))
            else:
                self._rows.add(BARE, 1, int(self._table.first_chunks[frame]), page_checksum(payload))

    def _is_row(self, count: int, first_chunk: int) -> bool:
        table = self._table
        return (count, first_chunk) == (int(table.counts[self._first]), int(table.first_chunks[self._first]))

    def _open_bare(self, payload: bytes) -> None:
        frame = self._first
        if is_page(payload):
            raise FrameError(f"frame {frame}: holds a page where a bare text belongs", frame_index=frame)
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise FrameError(f"frame {frame}: its text is not UTF-8: {error}", frame_index=frame) from error
        self._texts[int(self._table.first_chunks[frame])] = payload if self._take is not None else b""
        self.chunks += 1

    def _read_chunks(self, first_chunk: int, page: RecordPage) -> None:
        self._obey(self._rules.check_chunks, page, first_chunk, self._first)
        metadatas = self._read_metadata(first_chunk, page)
        faults = {first_chunk + slot: fault for slot in range(len(page)) if (fault := _text_fault(page, slot))}
        self.chunks += len(page) - len(faults)
        self._read += [range(first_chunk, first_chunk + len(page))] if not faults else []
        if faults:
            self._note("page", next(iter(faults.values())), faults)
        elif self._take is not None:
            current = [self._current(chunk_id, data) for chunk_id, data in enumerate(metadatas, first_chunk)]
            self._take(first_chunk, [page.text_bytes(slot) for slot in range(len(page))], current)

    def _current(self, chunk_id: int, metadata: bytes) -> bytes:
        """A chunk's metadata as it is now, none if that cannot be used."""
        found = None if self._changed is None else self._changed.get(chunk_id)
        return metadata if found is None else b"" if read_metadata(found).fault is not None else found

    def _read_metadata(self, first_chunk: int, page: RecordPage) -> list[bytes]:
        """Metadata of a page's chunks, none where it cannot be used, which is noted."""
        metadatas = [page.metadata_bytes(slot) for slot in range(len(page))]
        faults: dict[int, str] = {}
        for slot, data in enumerate(metadatas):
            fault = read_metadata(data).fault
            if fault is not None:
                faults[first_chunk + slot] = fault
                metadatas[slot] = b""
        if faults:
            which = describe_chunks(ChunkIds.of(faults).ranges)
            self._note(
                "metadata",
                f"frame {self._first}: the metadata of {which} cannot be used: {next(iter(faults.values()))}; the text "
                "can be read, no filter finds it, and `memvid repair` writes a memory without that metadata",
                faults,
            )
        return metadatas

    def _note(self, code: str, message: str, chunks: Iterable[int]) -> None:
        """Note what is wrong with some chunks of a page that is sound else."""
        offset = self._container.offset_of(self._first)
        self._findings.error(
            code, message, self._path, frame=self._first, offset=offset, chunks=ChunkIds.of(chunks).ranges
        )


def _text_fault(page: RecordPage, slot: int) -> str | None:
    """Why a text cannot be read, if so."""
    try:
        page.check_text(slot)
    except FrameError as error:
        return str(error)
    return None
