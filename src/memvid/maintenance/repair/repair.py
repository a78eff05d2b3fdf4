"""A sound memory out of a damaged one, with everything that can still be read."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from memvid.allowance import unpack_allowance
from memvid.building.index_feed import Indexed
from memvid.building.outputs import check_outputs, new_folders
from memvid.building.video_chunks import VideoChunks, fill_index
from memvid.config import EncoderConfig
from memvid.embedding import AbsentEmbedder, Embedder, EmbedderLike, embedder_of, model_info, resolve_embedder
from memvid.errors import ConfigError, EmptyMemoryError, IndexFileError, MemvidError, OutputError, VideoNotFoundError
from memvid.index import IndexManager
from memvid.index.location import find_index
from memvid.index.manifest import Manifest, read_manifest
from memvid.interrupts import interruptible
from memvid.maintenance.repair.lost_changes import note_lost_changes
from memvid.maintenance.repair.page_runs import Sorted
from memvid.maintenance.repair.payload_sorting import sort_pages
from memvid.maintenance.repair.salvage import Salvage, salvage
from memvid.maintenance.repair.salvaged_video import Rewrite, open_groups
from memvid.maintenance.rewrite.kept_vectors import IndexVectors, open_vectors
from memvid.maintenance.rewrite.reindex import add_frames
from memvid.maintenance.verify.findings import Finding, Findings
from memvid.page import ChunkIds, ChunkRanges, memory_tag
from memvid.storage.commit import Commit, recover
from memvid.types import ProgressCallback, StrPath
from memvid.video import PageStore, PageTable, VideoReader
from memvid.video.codecs import refuse_index
from memvid.video.video_bytes import VideoBytes

__all__ = ["RepairResult", "repair"]


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What was brought back.

    :ivar video_file: the new video.
    :ivar index_file: its index.
    :ivar chunks: chunks in it.
    :ivar deleted: of them, those that were deleted, also where a compaction had left an empty one in their place.
    :ivar frames: frames in it.
    :ivar lost: chunks that were there and could not be brought back, as far as anything still says so; not those that
        were deleted.
    :ivar unusable_metadata: chunks that came without their metadata, since it cannot be used.
    :ivar findings: what was wrong with the old video.
    :ivar embeddings_kept: embeddings taken from the old index.
    :ivar embeddings_made: embeddings the embedder made.
    :ivar seconds: wall time.
    """

    video_file: Path
    index_file: Path
    chunks: int
    deleted: int
    frames: int
    lost: ChunkRanges
    unusable_metadata: ChunkRanges
    findings: tuple[Finding, ...]
    embeddings_kept: int
    embeddings_made: int
    seconds: float


@interruptible
def repair(
    video: StrPath | Sequence[StrPath],
    output: StrPath,
    *,
    index: StrPath | None = None,
    output_index: StrPath | None = None,
    memory: str | None = None,
    embedder: EmbedderLike | None = None,
    progress: ProgressCallback | None = None,
    unpacked_bytes: int | None = None,
) -> RepairResult:
    """Write a new, sound memory with every chunk of a damaged one that can still be read and verified.

    Of several copies of one memory, each damaged in its own way, it takes every page that any of them has.

    The old files are not touched, except that a commit that was cut off is finished first, as at each opening. Chunks
    keep their ids; those that are lost leave gaps. Frames are found by the sample table and, where that does not lead
    to all of them, by searching the file for pictures; they are put in order by their page numbers, and only what its
    checksum proves is taken. Where nothing was lost, the new video has the bytes that the build wrote. The payloads of
    all frames are in memory.

    :param video: the damaged video, or several copies of one memory.
    :param output: the new video; must not exist. Its folder is made where only the last one of the path is missing.
    :param index: the damaged memory's index, if it is neither inside the first video nor ``<stem>_index.json`` beside
        it. Its embeddings are taken if it is sound and knows the same chunks; it may be missing.
    :param output_index: the new index's manifest; ``None`` puts the index inside the new video.
    :param memory: which one to bring back, if frames of several are in the video: the first digits of its id, at least
        eight, as the findings name it; ``None`` takes the one that the index is of, else the first.
    :param embedder: makes embeddings that the old index has not; ``None`` takes the model that the header page names.
    :param progress: called from this thread with the stages ``"frames"``, ``"search"``, ``"write"`` and ``"index"``.
    :param unpacked_bytes: what the video may unpack to, counting 256 bytes for a chunk; ``None``: 64 MiB and 32 times
        its size. Only a file that was made to do harm exceeds that, or a few chunks of many megabytes.
    :raises VideoNotFoundError: there is no such video.
    :raises ConfigError: ``memory`` is no id.
    :raises VideoFormatError: there is no frame of a memory in it, or of the one that is asked for; or copies are of
        different memories, or of one that was changed in one copy and otherwise in another.
    :raises UnsupportedVideoError: there are pages of a newer version in it.
    :raises EmptyMemoryError: no chunk can be brought back.
    :raises ResourceLimitError: it unpacks to more than ``unpacked_bytes``.
    :raises ModelMismatchError: embeddings are missing and their model is not at hand: it must be given.
    :raises OutputError: there is a file of the new name, or it is no video's, the disk is full, ...
    """
    begin = time.perf_counter()
    wanted = None if memory is None else _tag_of(memory)
    old = _paths(video)
    old_index = find_index(old[0], index)
    new, new_index = check_outputs(output, output_index, codec="png")
    _check_absent(new, new_index)
    findings = Findings()
    with suppress(MemvidError):  # else it stays cut off, and is not searched for
        recover(old_index, video_file=old[0])
    found = [_salvage(path, findings, progress) for path in old]
    allowance = unpack_allowance(old[0], sum(copy.file_bytes for copy in found), unpacked_bytes)
    manifest = _read_manifest(old_index)
    kept = open_vectors(old_index)
    try:
        named = None if manifest is None else manifest.video
        ordered = sort_pages(found, findings, allowance, wanted=wanted, video=named, index=kept)
        if not ordered.chunks and (ordered.header is None or ordered.expected - ordered.deleted):
            raise EmptyMemoryError(f"no chunk of {_list(old)} can be brought back: {_main_reason(findings)}")
        tables = [table for copy in found for table in copy.tables]
        proven = kept if kept is not None and _knows(kept, tables, ordered) else None
        if proven is not None:
            ordered.claimed += [proven.chunks, ChunkIds.of_ranges(proven.manifest.missing)]
            ordered.guessed -= ChunkIds.of(range(max([0, *proven.every.ends.tolist()[-1:]])))  # it knows these
        current = _of_this_state(proven, found)
        by_index = ChunkIds.of([]) if current is None else current.deleted
        present = ordered.chunks
        gone = by_index | ordered.deleted
        note_lost_changes(ordered, current, old[0], findings)
        lost = ordered.expected - present - gone
        rewrite = Rewrite(found, ordered, proven, by_index - ordered.deleted, lost)
        with (
            new_folders(new, new_index),
            Commit(new_index, video_file=new, made_from=[*old, old_index]) as commit,
        ):
            frames, indexed = _write(commit, new, new_index, rewrite, proven, embedder, progress)
    finally:
        if kept is not None:
            kept.close()
    return RepairResult(
        video_file=new,
        index_file=new_index,
        chunks=len(present),
        deleted=len(present & gone),
        frames=frames,
        lost=lost.ranges,
        unusable_metadata=_without_metadata(findings),
        findings=tuple(findings.found),
        embeddings_kept=indexed.chunks - indexed.made,
        embeddings_made=indexed.made,
        seconds=time.perf_counter() - begin,
    )


def _tag_of(memory: str) -> int:
    """The tag of the memory whose id begins so.

    :raises ConfigError: no id does.
    """
    if re.fullmatch("[0-9a-f]{8,64}", memory) is None:
        raise ConfigError(
            f"memory={memory!r} is no id of a memory: give the first eight digits of one, or more of them"
        )
    return memory_tag(memory)


def _paths(video: StrPath | Sequence[StrPath]) -> list[Path]:
    """The copies of the memory, each once."""
    given = [video] if isinstance(video, (str, os.PathLike)) else video
    paths = [*dict.fromkeys(map(Path, given))]
    if not paths:
        raise VideoNotFoundError("there is no video to repair: name one, or several copies of one memory")
    return paths


def _salvage(path: Path, findings: Findings, progress: ProgressCallback | None) -> Salvage:
    with VideoBytes(path) as data:
        refuse_index(data, path)
        found = salvage(path, data, progress)
    for problem in found.problems:
        findings.error("container", problem.message, path, offset=problem.offset)
    return found


def _without_metadata(findings: Findings) -> ChunkRanges:
    return ChunkIds.of_ranges(
        span for finding in findings.found if finding.code == "metadata" for span in finding.chunks
    ).ranges


def _check_absent(*paths: Path) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise OutputError(errno.EEXIST, "is there already: a repair replaces nothing, name another", str(path))


def _list(paths: Sequence[Path]) -> str:
    return " and ".join(map(str, paths))


def _main_reason(findings: Findings) -> str:
    """Why nothing comes back: what costs chunks tells more than what is wrong with the container."""
    told = [finding for finding in findings.found if finding.chunks] or findings.found
    return told[0].message if told else "its pages say that they hold none"


def _read_manifest(index_file: Path) -> Manifest | None:
    """What an index says of itself, whatever became of its side files."""
    try:
        return read_manifest(index_file)
    except IndexFileError:  # missing or damaged: then nothing is known
        return None


def _knows(kept: IndexVectors, tables: Sequence[PageTable], ordered: Sorted) -> bool:
    """Whether an index is that of this memory: by the digest of a page table of it, or by every chunk that is left."""
    if any(table.tag == ordered.tag and table.digest == kept.manifest.video.digest for table in tables):
        return True
    return kept.is_of(ordered.tag) is not False and all(
        kept.fits(*opened, ordered.tag) for opened in open_groups(ordered)
    )


def _of_this_state(kept: IndexVectors | None, found: Sequence[Salvage]) -> IndexVectors | None:
    """The index, if it may be asked what was deleted and changed.

    Not that of another state of the memory: an old copy is repaired to bring back what was deleted since.
    """
    states = [copy.counted for copy in found if copy.counted is not None]
    return None if kept is not None and states and kept.manifest.video.digest not in states else kept


def _write(
    commit: Commit,
    video_file: Path,
    index_file: Path,
    rewrite: Rewrite,
    kept: IndexVectors | None,
    embedder: EmbedderLike | None,
    progress: ProgressCallback | None,
) -> tuple[int, Indexed]:
    """Write video and index and commit both; how many frames there are, and what was indexed."""
    chosen, kept = _choose_embedder(rewrite, kept, embedder)
    staged = commit.stage(video_file)
    _check_absent(video_file, index_file)  # others may have written them since
    options = EncoderConfig() if kept is None else kept.manifest.options
    builder = IndexManager.create(
        index_file,
        model=model_info(chosen),
        config=options,
        commit=commit,
        codes_of=None if kept is None else kept.index,
    )
    try:
        rewrite.write(staged, progress)
        reader = VideoReader(staged)
        try:
            store = PageStore(reader, cache_bytes=0)
            source = VideoChunks(store, reader.table, store.deleted, kept, corrected=True)
            indexed = fill_index(source, builder, chosen, total=len(source), progress=progress)
            add_frames(builder, reader.table)
            builder.stage(reader.identity, deleted=store.deleted, missing=rewrite.lost)
            commit.commit()
            return reader.frame_count, indexed
        finally:
            reader.close()
    except BaseException:
        builder.abort()
        raise


def _choose_embedder(
    rewrite: Rewrite, kept: IndexVectors | None, embedder: EmbedderLike | None
) -> tuple[Embedder, IndexVectors | None]:
    """What makes the embeddings, and the old index if its own are of the same model.

    :raises ModelMismatchError: some have to be made, and their model is not at hand.
    """
    if embedder is not None:
        given = resolve_embedder(embedder)
        same = kept is not None and kept.manifest.model == model_info(given)
        return given, kept if same else None
    if kept is None:
        return embedder_of(rewrite.model), None
    if kept.missing(rewrite.chunks):
        return embedder_of(kept.manifest.model), kept
    return AbsentEmbedder(kept.manifest.model), kept
