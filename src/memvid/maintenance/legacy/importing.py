"""An old memory into one of ours: read all of it, say what came from where, build."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvid.allowance import Allowance
from memvid.building.build import Builder
from memvid.building.feasible import check_feasible
from memvid.building.outputs import check_outputs, new_folders
from memvid.building.spool import Spool
from memvid.config import EncoderConfig, make_config
from memvid.embedding import EmbedderLike, model_info, resolve_embedder
from memvid.errors import ConfigError, EmptyMemoryError
from memvid.interrupts import interruptible
from memvid.maintenance.legacy.codes import text_allowance
from memvid.maintenance.legacy.frames import OldFrames, read_frames
from memvid.maintenance.legacy.index import OldEntry, read_index
from memvid.maintenance.legacy.merging import Tally, merge
from memvid.page import ChunkIds, ChunkRanges, Record, check_record, count_chunks
from memvid.storage.commit import Commit
from memvid.types import BuildResult, ModelInfo, ProgressCallback, StrPath

__all__ = ["ImportResult", "import_memory"]


_SPOOL_CHUNKS = 1024  # added at once


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What was brought over, and from where. Ids are those of the new memory.

    :ivar video_file: the new video.
    :ivar index_file: its index.
    :ivar chunks: chunks in it: those from frames and those from the index.
    :ivar from_frames: chunks whose text was read out of their frame.
    :ivar from_index: chunks whose frame could not be read: the text is the copy in the old index.
    :ivar disagreeing: chunks whose frame and old index had different texts; the frame's was taken.
    :ivar unindexed: chunks that frames had and the old index did not; numbered behind all others.
    :ivar lost: chunks of which neither has a text.
    :ivar lost_frames: numbers of old frames that could not be read and that the old index says nothing of.
    :ivar left_out: numbers of old frames whose text is blank or not valid Unicode, which no memory holds.
    :ivar old_frames: pictures in the old video.
    :ivar unreadable: how many of them gave no chunk.
    :ivar missing_bytes: bytes of the old video that the disk does not give; frames on them may be lost without a trace.
    :ivar text_bytes: UTF-8 bytes of all chunks.
    :ivar old_bytes: size of the old video and index.
    :ivar video_bytes: size of the new video.
    :ivar index_bytes: size of the files of the new index.
    :ivar frames: frames in the new video.
    :ivar model: the embedding model of the new index.
    :ivar seconds: wall time.
    """

    video_file: Path
    index_file: Path
    chunks: int
    from_frames: int
    from_index: ChunkRanges
    disagreeing: ChunkRanges
    unindexed: ChunkRanges
    lost: ChunkRanges
    lost_frames: ChunkRanges
    left_out: ChunkRanges
    old_frames: int
    unreadable: int
    missing_bytes: int
    text_bytes: int
    old_bytes: int
    video_bytes: int
    index_bytes: int
    frames: int
    model: ModelInfo
    seconds: float

    def __repr__(self) -> str:
        return (
            f"ImportResult({str(self.video_file)!r}, {self.chunks} chunks: {self.from_frames} from frames, "
            f"{count_chunks(self.from_index)} from the index; {count_chunks(self.lost)} lost)"
        )


@interruptible
def import_memory(
    video: StrPath | None,
    index: StrPath | None,
    output: StrPath,
    *,
    output_index: StrPath | None = None,
    embedder: EmbedderLike | None = None,
    config: EncoderConfig | Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    checkpoint: StrPath | None = None,
) -> ImportResult:
    """Write a memory of ours with all that is left of one made by memvid 0.1.3. The old files are not touched.

    Every frame of the old video is read. A chunk's text is its frame's; where that cannot be read, the copy in the old
    index. Chunks keep the ids of the old index, or without one the numbers of their frames; those that are lost leave
    gaps. The old vectors are not read: embeddings are made. The old index and the codes of all frames are in memory.

    :param video: the old video; ``None`` takes everything from the index.
    :param index: the old index, the ``.json`` file; ``None`` takes everything from the frames.
    :param output: the new video; an existing memory is replaced. As in :meth:`MemvidEncoder.build_video`.
    :param output_index: the new index's manifest; ``None`` puts the index inside the new video.
    :param embedder: as for :class:`MemvidEncoder`.
    :param config: options of the new memory, as for :class:`MemvidEncoder`.
    :param progress: called from this thread with the stages ``"frames"``, ``"write"``, ``"verify"`` and ``"index"``.
    :param checkpoint: keeps embeddings until the memory is complete, as in :meth:`MemvidEncoder.build_video`.
    :raises ConfigError: neither ``video`` nor ``index`` is given; an option is out of range.
    :raises VideoError: there is no such video, or it is none, or a memory of ours.
    :raises IndexFileError: there is no such index, or it is none of memvid 0.1.3, or damaged.
    :raises EmptyMemoryError: no text is left in either.
    :raises MetadataError: an old object has more than a text, and it cannot be stored.
    :raises ResourceLimitError: the texts are far larger than the old files could be.
    :raises DependencyError: OpenCV cannot decode the video, and PyAV is not installed.
    :raises OutputError: an output is one of the old files, the disk is full, ...
    """
    begin = time.perf_counter()
    old = [Path(path) for path in (video, index) if path is not None]
    if not old:
        raise ConfigError("nothing to import: give the old video, the old index, or both")
    options = make_config(EncoderConfig, config, {})
    check_feasible(options)
    new_video, new_index = check_outputs(output, output_index, codec=options.codec, inputs=old)
    chosen = resolve_embedder(embedder)
    entries = None if index is None else read_index(index)
    frames = OldFrames() if video is None else read_frames(video, threads=options.threads or 0, progress=progress)
    kept = None if checkpoint is None else Path(checkpoint)
    with closing(Spool()) as spool:
        tally = _fill(spool, entries, frames, text_allowance(old))
        if not len(spool):
            raise EmptyMemoryError(_nothing(old, frames))
        with (
            new_folders(new_video, new_index),
            Commit(new_index, video_file=new_video, made_from=old) as commit,
        ):
            built = Builder(
                spool,
                options,
                chosen,
                new_video,
                new_index,
                progress,
                kept,
                next_chunk=tally.next_chunk,
                commit=commit,
            ).run()
    return _result(
        built,
        new_index,
        tally,
        frames,
        model=model_info(chosen),
        old_bytes=sum(path.stat().st_size for path in old),
        seconds=time.perf_counter() - begin,
    )


def _fill(spool: Spool, entries: list[OldEntry] | None, frames: OldFrames, allowance: Allowance) -> Tally:
    tally = Tally()
    run: list[Record] = []

    def flush(first: int) -> None:
        spool.skip_to(first)
        with spool.adding() as adder:
            for record in run:
                adder.add(record)
        run.clear()

    first = 0
    for chunk_id, record in merge(entries, frames, tally):
        check_record(record, chunk_id)
        allowance.spend(len(record.text) + len(record.metadata))
        if run and (chunk_id != first + len(run) or len(run) == _SPOOL_CHUNKS):
            flush(first)
        if not run:
            first = chunk_id
        run.append(record)
    if run:
        flush(first)
    return tally


def _nothing(old: list[Path], frames: OldFrames) -> str:
    where = " and ".join(str(path) for path in old)
    seen = f", {frames.pictures} pictures of which none gives a chunk" if frames.pictures else ""
    return f"there is nothing of a memory of memvid 0.1.3 in {where}{seen}: check the paths"


def _result(
    built: BuildResult,
    index_file: Path,
    tally: Tally,
    frames: OldFrames,
    *,
    model: ModelInfo,
    old_bytes: int,
    seconds: float,
) -> ImportResult:
    return ImportResult(
        video_file=built.video_file,
        index_file=index_file,
        chunks=built.chunks,
        from_frames=tally.from_frames,
        from_index=ChunkIds.of(tally.from_index).ranges,
        disagreeing=ChunkIds.of(tally.disagreeing).ranges,
        unindexed=ChunkIds.of(tally.unindexed).ranges,
        lost=tally.lost,
        lost_frames=tally.lost_frames,
        left_out=ChunkIds.of(tally.left_out).ranges,
        old_frames=frames.pictures,
        unreadable=frames.unreadable,
        missing_bytes=frames.missing_bytes,
        text_bytes=built.text_bytes,
        old_bytes=old_bytes,
        video_bytes=built.video_bytes,
        index_bytes=built.index_bytes,
        frames=built.frames,
        model=model,
        seconds=seconds,
    )
