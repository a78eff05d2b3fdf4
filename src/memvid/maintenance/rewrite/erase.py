"""A memory without some chunks, and the proof that nothing of them is left in its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from memvid.building.checkpoint import remove_checkpoints
from memvid.checks import check_chunk_ids
from memvid.embedding import EmbedderLike
from memvid.errors import ChunkNotFoundError, ConfigError
from memvid.index.updating import remove_index
from memvid.interrupts import interruptible
from memvid.maintenance.rewrite.compact import Compaction, CompactResult
from memvid.maintenance.rewrite.erasure_proof import Erasure
from memvid.maintenance.rewrite.repeats import Repeats
from memvid.page import ChunkIds, ChunkRanges
from memvid.types import ProgressCallback, StrPath, Where

__all__ = ["EraseResult", "erase"]


@dataclass(frozen=True, slots=True)
class EraseResult:
    """What an erasure did.

    :ivar erased: the chunks that were asked for.
    :ivar compacted: what became of the memory.
    :ivar blocks: pieces of 16 bytes of the removed texts and metadata that were looked for: all of them but those that
        chunks that stay contain as well.
    :ivar repeated: chunks that stay, and whose text is an erased one, or has it whole.
    :ivar title_erased: whether the memory's title went, too, as it had a piece of what was removed.
    :ivar scanned_bytes: bytes they were looked for in: all files as they are, and all payloads and pages decompressed.
    :ivar index_removed: an index of this memory that was left beside a video with the index inside, and went, too: it
        had words of what was removed.
    :ivar checkpoints_removed: checkpoints of interrupted builds, with digests and vectors of texts, which went too.
    :ivar checkpoints_left: files under such a name that could not be removed, or are none: look at them.
    :ivar linked_files: files of the memory that had other names (hard links, as ``cp -al`` makes them): those names
        still hold what was erased.
    :ivar foreign_files: side files under another memory's name, which the index was read from because its own were
        missing: they still hold words of what was erased. See docs/index.md, "Renaming, moving, copying".
    """

    erased: ChunkRanges
    compacted: CompactResult
    blocks: int
    scanned_bytes: int
    repeated: ChunkRanges = ()
    title_erased: bool = False
    index_removed: Path | None = None
    checkpoints_removed: tuple[Path, ...] = ()
    checkpoints_left: tuple[Path, ...] = ()
    linked_files: tuple[Path, ...] = ()
    foreign_files: tuple[Path, ...] = ()


@interruptible
def erase(
    video: StrPath,
    index: StrPath | None = None,
    *,
    chunk_ids: Iterable[int] = (),
    where: Where | None = None,
    embedder: EmbedderLike | None = None,
    threads: int | None = None,
    progress: ProgressCallback | None = None,
    unpacked_bytes: int | None = None,
) -> EraseResult:
    """Compact so that nothing of some chunks is left in the memory's files, and prove it before they are replaced.

    With them goes what was deleted before, and what metadata was before it was changed. The compression dictionary,
    which holds pieces of the texts it was trained on, is trained anew. A title that has a piece of them goes, too, and
    so do the dates and messages of all commits, as in each compaction. Then all new files are scanned, as they are and
    decompressed, for every piece of the removed texts and metadata that no chunk that stays contains.

    Checkpoints that interrupted builds have left beside the memory, which hold digests and vectors of texts, are
    removed, and so is an index of it that was left beside a video with the index inside.

    The proof is about the new files. It says nothing of copies, backups, other names of the old files (hard links,
    which the result lists), open readers, and blocks of the disk that the old files have left.

    :param chunk_ids: the chunks; deleted ones are fine.
    :param where: all chunks whose metadata passes this filter (docs/filters.md), deleted ones not among them.
    :param unpacked_bytes: as for :func:`compact`.
    :raises ChunkNotFoundError: there is no chunk of that id, or none with this metadata: then nothing has changed.
    :raises QueryError: ``where`` is no filter.
    :raises ConfigError: neither is given.
    :raises FrameError: something is left, and nothing has changed; report it. Otherwise as :func:`compact`.
    """
    given = np.array(check_chunk_ids(chunk_ids), np.int64)
    wanted = ChunkIds.of(given)
    if not wanted and where is None:
        raise ConfigError("nothing to erase: give chunk_ids= or where=")
    with Compaction(video, index, embedder, threads, progress, unpacked_bytes) as compaction:
        if where is not None:
            matching = ChunkIds.of(compaction.index.ids_where(where))
            if not matching:
                misses = compaction.index.why_none(where)
                raise ChunkNotFoundError(
                    f"no chunk of {video} has this metadata: nothing was erased"
                    + (f"; {misses}" if misses else "")
                    + ". Chunks that were deleted before are not looked at; `memvid compact` takes them out"
                )
            wanted |= matching
        compaction.check_ids(given)
        gone = compaction.index.deleted | wanted
        repeats = Repeats()
        removed = chain(_removed(compaction, gone, wanted, repeats), compaction.former_metadata())
        proof = Erasure(removed, _kept(compaction, gone, repeats))
        linked, foreign = compaction.linked_files(), compaction.foreign_files()
        title = (compaction.title or "").encode()
        untitled = proof.is_in(title) or repeats.is_erased(title)
        beside = compaction.index_beside()
        result = compaction.run(wanted, proof, untitled=untitled)
        if beside is not None:
            remove_index(beside)
        dropped, left = remove_checkpoints(result.video_file, result.index_file)
        return EraseResult(
            erased=compaction.there(wanted).ranges,
            compacted=result,
            blocks=proof.blocks,
            repeated=repeats.chunks().ranges,
            title_erased=untitled,
            index_removed=None if beside is None else beside.index_file,
            scanned_bytes=proof.scanned,
            checkpoints_removed=dropped,
            checkpoints_left=left,
            linked_files=linked,
            foreign_files=foreign,
        )


def _removed(compaction: Compaction, gone: ChunkIds, wanted: ChunkIds, repeats: Repeats) -> Iterator[bytes]:
    """Texts and metadata that go; of those asked for, the repetitions are looked for."""
    for chunk_id, record in compaction.records(gone, removed=True):
        if wanted.contains(np.array([chunk_id]))[0]:
            repeats.erase(record.text)
        yield record.text
        yield record.metadata


def _kept(compaction: Compaction, gone: ChunkIds, repeats: Repeats) -> Iterator[bytes]:
    """Texts and metadata that stay."""
    for chunk_id, record in compaction.records(gone, removed=False):
        repeats.keep(chunk_id, record.text)
        yield record.text
        yield record.metadata
