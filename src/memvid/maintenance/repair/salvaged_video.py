"""A new video of pages that were salvaged: the same bytes in them, in a row without holes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from memvid.building.page_writer import blob_pages
from memvid.config import EncoderConfig
from memvid.errors import ConfigError
from memvid.maintenance.damaged.loose_pictures import SymbolStyle
from memvid.maintenance.repair.bare_metadata import fit_metadata_pages, metadata_of_texts
from memvid.maintenance.repair.lost_cover import make_cover_again
from memvid.maintenance.repair.page_runs import Group, Sorted
from memvid.maintenance.repair.salvage import Salvage
from memvid.maintenance.rewrite.kept_vectors import IndexVectors
from memvid.maintenance.rewrite.left_chunks import model_of
from memvid.page import (
    MIN_CAPACITY,
    SPARE_VERSION,
    ChunkIds,
    HeaderInfo,
    PageBody,
    PageCompressor,
    PageDecompressor,
    PageFlag,
    PageKind,
    Record,
    RecordPage,
    count_spare,
    decode_changed_metadata,
    encode_body,
    encode_changed_metadata,
    encode_header_body,
    encode_tombstones,
    is_page,
    open_blob,
    open_run,
    pack,
    pack_attributes,
    pack_blob,
    page_checksum,
    parse_header,
    reseal,
    seal,
)
from memvid.types import ModelInfo, Progress, ProgressCallback
from memvid.video import BARE, VideoWriter, cover_picture, frame_capacity, reach
from memvid.video.bare_texts import LOST_RUNS

__all__ = ["Rewrite", "changed_metadata", "open_groups"]

_WRITE_FRAMES = 128  # handed to the native writer at once
_DEFAULT_MASK = EncoderConfig().data_mask


def open_groups(ordered: Sorted) -> Iterator[tuple[int, int, RecordPage, list[bytes]]]:
    """All pages with chunks: where they began, the first id, the chunks, their metadata as it is stored."""
    decompressor = PageDecompressor(ordered.dictionary)
    changed = changed_metadata(ordered)
    attributes = metadata_of_texts(ordered.groups)
    for group in ordered.groups:
        if group.kind == BARE:
            page = RecordPage(encode_body([Record(group.payloads[0])]), 1, frame_index=group.frame)
            stored = attributes.get(group.first_chunk, b"")
            yield group.frame, group.first_chunk, page, [changed.get(group.first_chunk, stored)]
        elif group.kind == PageKind.DATA:
            for first, page in _open(group, decompressor):
                stored_metadata = (page.metadata_bytes(slot) for slot in range(len(page)))
                current = [changed.get(chunk_id, stored) for chunk_id, stored in enumerate(stored_metadata, first)]
                yield group.frame, first, page, current


def changed_metadata(ordered: Sorted) -> dict[int, bytes]:
    """By chunk, what counts of all pages of changed metadata."""
    changed: dict[int, bytes] = {}
    for group in ordered.groups:
        if group.kind == PageKind.METADATA and group.changed is None:
            body = open_blob(PageKind.METADATA, group.payloads, first_frame=group.frame)
            changed.update(decode_changed_metadata(body, frame_index=group.frame).items())
        elif group.kind == PageKind.METADATA and group.changed is not None:
            changed.update((run.first_chunk, run.records[0].metadata) for run in group.changed)
    return changed


def _open(group: Group, decompressor: PageDecompressor) -> Iterator[tuple[int, RecordPage]]:
    """What is to be used of a group, and the first id of each part."""
    if group.changed is None:
        yield group.first_chunk, open_run(group.payloads, decompressor, first_frame=group.frame)[1]
        return
    for run in group.changed:
        yield run.first_chunk, RecordPage(encode_body(run.records), len(run.records), frame_index=group.frame)


class Rewrite:
    """Writes the pages of a salvage, with a header page that is true of them.

    :param kept: the memory's old index, if it is sound.
    :param deleted: chunks that no page is left to say were deleted: one is added.
    :ivar lost: chunks that were there and are not among them: the header page names them.
    :ivar chunks: ids of the chunks.
    :ivar model: the embedding model that the header page names.
    """

    def __init__(
        self,
        found: Sequence[Salvage],
        ordered: Sorted,
        kept: IndexVectors | None,
        deleted: ChunkIds,
        lost: ChunkIds,
    ) -> None:
        self._ordered = ordered
        self._config = _frame_config(found, ordered)
        self._tombstones: list[bytes] = []
        if len(deleted):
            pages = blob_pages(PageKind.TOMBSTONES, encode_tombstones(deleted), frame_capacity(self._config))
            self._tombstones = [seal(page, tag=ordered.tag, page_number=0) for page in pages]
        self.lost = lost
        header = _possible(ordered.header or self._make_header(None if kept is None else kept.manifest.model), ordered)
        if header.dictionary_pages and ordered.dictionary is None:
            header = replace(header, dictionary_pages=0, dictionary_bytes=0)
        self.chunks = ordered.chunks
        behind = max([0, *ordered.expected.ends.tolist()[-1:], *ordered.deleted.ends.tolist()[-1:]])
        if behind > max([header.next_chunk or 0, *self.chunks.ends.tolist()[-1:]]):  # no other chunk gets a lost id
            header = replace(header, next_chunk=behind)
        groups = fit_metadata_pages(ordered.groups, counted=header.next_chunk is None)
        self._groups = [(group, self._payloads_of(group)) for group in groups]
        self._cover = ordered.cover
        if header.cover is not None and page_checksum(ordered.cover or b"") != header.cover:
            self._cover = make_cover_again(header, len(self.chunks - ordered.deleted))
        header = replace(header, cover=None if self._cover is None else page_checksum(self._cover))
        header = replace(header, lost=lost.in_few_runs(LOST_RUNS).ranges or None)
        self._header_pages = ordered.header_pages if header == ordered.header else self._pack_header(header)
        self.model = model_of(header)
        self._version = header.format_version

    def write(self, path: Path, progress: ProgressCallback | None) -> None:
        """Write the video; reports the stage ``"write"``.

        :raises OutputError: the disk is full, ...
        """
        ordered = self._ordered
        writer = VideoWriter(path, self._config, tag=ordered.tag)
        payloads = [*self._payloads()]
        batch: list[bytes] = []
        if self._cover is not None:
            writer.write_cover(self._cover)

        def flush() -> None:
            writer.write(batch)
            batch.clear()
            if progress is not None:
                progress(Progress("write", writer.frames, len(payloads) + (self._cover is not None)))

        next_bare = 0
        for kind, first_chunk, payload in payloads:
            if kind == BARE and first_chunk != next_bare:
                flush()
                writer.skip_to(first_chunk)
            if kind == BARE:
                next_bare = first_chunk + 1
                batch.append(payload)
            else:
                batch.append(reseal(payload, tag=ordered.tag, page_number=writer.frames + len(batch)))
            if len(batch) == _WRITE_FRAMES:
                flush()
        flush()
        writer.finish()

    def _payloads(self) -> Iterator[tuple[int, int, bytes]]:
        front = [*self._header_pages, *self._ordered.dictionary_pages]
        kinds = [group.kind for group, _ in self._groups]
        built = kinds.index(PageKind.COMMIT) if PageKind.COMMIT in kinds else len(kinds)
        parts = (
            ((int(PageKind.HEADER), 0, front),),
            ((group.kind, group.first_chunk, payloads) for group, payloads in self._groups[:built]),
            ((int(PageKind.HEADER), 0, front[: self._count_spare(built)]),),
            ((group.kind, group.first_chunk, payloads) for group, payloads in self._groups[built:]),
            ((int(PageKind.TOMBSTONES), 0, self._tombstones),),
        )
        for kind, first_chunk, payloads in chain(*parts):
            yield from ((kind, first_chunk, payload) for payload in payloads)

    def _count_spare(self, built: int) -> int:
        """How many pages of the front are there once more, behind the first so many groups: as a build does it."""
        if self._version < SPARE_VERSION:
            return 0
        header, dictionary = ([*map(len, pages)] for pages in (self._header_pages, self._ordered.dictionary_pages))
        written = sum(len(payload) for _, payloads in self._groups[:built] for payload in payloads)
        return count_spare(header, dictionary, written=written + sum(header) + sum(dictionary))

    def _payloads_of(self, group: Group) -> list[bytes]:
        """The pages of a group: as they were, or packed anew of what is left of its chunks."""
        if group.changed is None:
            return group.payloads
        capacity = frame_capacity(self._config)
        pages: list[PageBody] = []
        if group.kind == PageKind.METADATA:
            body = encode_changed_metadata((run.first_chunk, run.records[0].metadata) for run in group.changed)
            pages += blob_pages(PageKind.METADATA, body, capacity)
            return [seal(page, tag=self._ordered.tag, page_number=0) for page in pages]
        for run in group.changed:
            if group.kind == PageKind.ATTRIBUTES:
                metadatas = [record.metadata for record in run.records]
                pages += pack_attributes(metadatas, run.first_chunk, capacity=capacity, always=True)
            else:
                compressor = self._compressor(parse_header(group.payloads[0], frame_index=group.frame).flags)
                pages += pack(run.records, run.first_chunk, capacity=capacity, compressor=compressor)
        return [seal(page, tag=self._ordered.tag, page_number=0) for page in pages]

    def _compressor(self, flags: int) -> PageCompressor | None:
        """What packs pages like one with these flags."""
        if not flags & PageFlag.ZSTD:
            return None
        level = self._ordered.header.compression_level if self._ordered.header is not None else None
        dictionary = self._ordered.dictionary if flags & PageFlag.DICTIONARY else None
        return PageCompressor(level or EncoderConfig().compression_level, dictionary)

    def _make_header(self, model: ModelInfo | None) -> HeaderInfo:
        """A header page in place of a lost one. Of the memory's id only the tag is known; the rest is a new digest."""
        ordered = self._ordered
        digest = hashlib.sha256()
        commits = (group.frame for group in ordered.groups if group.kind == PageKind.COMMIT)
        appended = next(commits, None)
        text_bytes = chunks = behind = 0
        for frame, first, page, _ in open_groups(ordered):
            digest.update(first.to_bytes(8, "little"))
            texts = [page.text_bytes(slot) for slot in range(len(page))]
            for text in texts:
                digest.update(text)
            if appended is None or frame < appended:
                chunks, behind = chunks + len(page), first + len(page)
                text_bytes += sum(map(len, texts))
        compressed = any(
            parse_header(group.payloads[0], frame_index=group.frame).flags & PageFlag.ZSTD
            for group in ordered.groups
            if group.kind == PageKind.DATA
        )
        return HeaderInfo(
            memory_id=ordered.tag.to_bytes(4, "little").hex() + digest.hexdigest()[8:],
            chunks=chunks,
            text_bytes=text_bytes,
            symbol_version=self._config.symbol_version,
            error_correction=self._config.error_correction,
            bare=any(group.kind == BARE for group in ordered.groups),
            compression="zstd" if compressed else "none",
            dictionary_pages=len(ordered.dictionary_pages),
            dictionary_bytes=len(ordered.dictionary or b""),
            next_chunk=behind if chunks < behind else None,
            model=None if model is None else model.name,
            dim=None if model is None else model.dim,
            model_digest=None if model is None else model.digest,
        )

    def _pack_header(self, header: HeaderInfo) -> list[bytes]:
        pages = pack_blob(PageKind.HEADER, encode_header_body(header), capacity=frame_capacity(self._config))
        return [seal(page, tag=self._ordered.tag, page_number=number) for number, page in enumerate(pages)]


def _possible(header: HeaderInfo, ordered: Sorted) -> HeaderInfo:
    """The header without what would keep all from being added: a title that cannot be, a next id out of reach."""
    if header.next_chunk is not None and header.next_chunk > reach(ordered.chunks).ends[-1]:
        header = replace(header, next_chunk=None)
    try:
        EncoderConfig(title=header.title)
    except ConfigError:
        header = replace(header, title=None)
    return header


def _frame_config(found: Sequence[Salvage], ordered: Sorted) -> EncoderConfig:
    """How the frames were drawn: by the header page, or else by what they look like."""
    header = ordered.header
    styles = sum((copy.styles for copy in found), Counter[SymbolStyle]())
    masks: set[int | None] = {mask for _, mask in styles} or {_DEFAULT_MASK}  # other codecs' pictures do not say
    levels = [level for (level, _), _ in styles.most_common(1)]
    return EncoderConfig(
        symbol_version=_symbol_version(found, ordered) if header is None else header.symbol_version,
        error_correction=(levels[0] if levels else "L") if header is None else header.error_correction,  # type: ignore[arg-type]
        data_mask=masks.pop() if len(masks) == 1 else None,
        fps=next((copy.fps for copy in found if copy.fps), 30),
        parity=0 if header is None else header.parity or 0,
    )


def _symbol_version(found: Sequence[Salvage], ordered: Sorted) -> int:
    """The version of the codes: by the size of our own pictures, else the smallest that holds all payloads."""
    for copy in found:
        if copy.size is not None:
            return (copy.size[1] - 26) // 4
    found_payloads = (slot.payload for copy in found for slot in copy.slots)  # parts of lost runs fill their codes
    known = {payload for payload in found_payloads if payload is not None and payload != ordered.cover}
    known |= {payload for group in ordered.groups for payload in group.payloads}
    sizes = {(not is_page(payload), len(payload)) for payload in known}
    cover = ordered.cover

    def holds(version: int) -> bool:
        config = EncoderConfig(symbol_version=version)
        return (
            frame_capacity(config) >= MIN_CAPACITY
            and all(size <= frame_capacity(config, bare=bare) for bare, size in sizes)
            and (cover is None or cover_picture(cover, version) is not None)
        )

    return next(filter(holds, range(1, 41)), 40)
