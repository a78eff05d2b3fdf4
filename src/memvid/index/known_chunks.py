"""Which chunks an index knows, to be compared with those that its video has left."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from memvid.errors import MemvidError
from memvid.index.manifest import Manifest, read_manifest
from memvid.index.renamed import find_side_files
from memvid.index.side_files import open_records
from memvid.page import ChangedMetadata, ChunkIds

if TYPE_CHECKING:
    from pathlib import Path

    from memvid.types import VideoIdentity

__all__ = ["KnownChunks", "known_chunks", "missing_from"]


@dataclass(frozen=True, slots=True)
class KnownChunks:
    """What an index says of the chunks of its memory.

    :ivar there: those that it has.
    :ivar missing: those that were lost before it was made.
    :ivar deleted: those that were deleted.
    :ivar changed: metadata that was changed after its segment was written.
    :ivar frames: frames that its video had.
    :ivar digest: of the page table of its video; ``None`` without an index.
    """

    there: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))
    missing: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))
    deleted: ChunkIds = field(default_factory=lambda: ChunkIds.of([]))
    changed: ChangedMetadata = field(default_factory=lambda: ChangedMetadata.latest([]))
    frames: int = 0
    digest: str | None = None


def known_chunks(index_file: Path, tag: int | None, manifest: Manifest | None = None) -> KnownChunks:
    """What an index says, as far as its files can be read; nothing, if it is another memory's.

    :param tag: of the memory.
    :param manifest: of the index; ``None`` reads it.
    """
    known = KnownChunks()
    with suppress(MemvidError):
        manifest = read_manifest(index_file) if manifest is None else manifest
        if tag is not None and manifest.video.tag == tag:
            video, missing = manifest.video, ChunkIds.of_ranges(manifest.missing)
            known = KnownChunks(missing=missing, frames=video.frames, digest=video.digest)
            with closing(open_records(index_file, find_side_files(index_file, manifest))) as records:
                there = records.row_map.chunk_ids - records.deleted
                known = replace(known, there=there, missing=missing - there, deleted=records.deleted)
                known = replace(known, changed=records.changed.metadata)
    return known


def missing_from(video: VideoIdentity, indexed: ChunkIds) -> ChunkIds:
    """Which chunks of an index its video has lost; none, where nobody had to look for its frames."""
    return ChunkIds.of([]) if video.chunks is None else indexed - ChunkIds.of_ranges(video.chunks)
