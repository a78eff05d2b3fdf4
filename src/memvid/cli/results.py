"""How what was found or done, and the time it took, is printed; shared by several commands."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

from memvid.cli.output import (
    counted,
    describe_metadata,
    emit,
    emit_json,
    format_bytes,
    format_seconds,
    heading,
    one_line,
    passage,
    rows,
    width,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from memvid.maintenance import ImportResult
    from memvid.types import AppendResult, BuildResult, ChunkRanges, JsonObject, SearchResult

__all__ = [
    "copied_rows",
    "describe_ids",
    "emit_change",
    "index_text",
    "result_json",
    "result_text",
    "size_rows",
    "stages_text",
    "unusable_rows",
]


_SHOWN_IDS = 10


def result_text(rank: int, result: SearchResult, *, lines: int | None = None) -> str:
    """A result for reading: rank, scores, frame and chunk, metadata, then the passage."""
    shown = [heading(f"{rank:>2} {_scores(result)}  frame {result.frame_index:,}  chunk {result.chunk_id:,}")]
    if result.explanation is not None:
        shown += [f"   {line}" for line in textwrap.wrap(one_line(result.explanation), width() - 3)]
    if result.duplicates:
        shown.append(f"   the same text: {describe_ids(result.duplicates)}")
    if result.metadata:
        shown.append(f"   {describe_metadata(result.metadata)}")
    if result.metadata_fault is not None:
        shown.append(f"   metadata that cannot be used: {one_line(result.metadata_fault)}")
    shown.append(passage(result.text, lines=lines))
    return "\n".join(shown)


def _scores(result: SearchResult) -> str:
    """Those there are: what it was ordered by, and what that was made of."""
    if result.relevance == result.score:
        return f"score {result.score:.3f}"
    if result.score == 0 and result.relevance == result.keyword_score:
        return f"words {result.keyword_score:.2f}"
    return f"relevance {result.relevance:.3f}  score {result.score:.3f}  words {result.keyword_score:.2f}"


def result_json(result: SearchResult) -> JsonObject:
    """A result for machines."""
    return {
        "chunk_id": result.chunk_id,
        "score": round(result.score, 6),
        "keyword_score": round(result.keyword_score, 6),
        "relevance": round(result.relevance, 6),
        "duplicates": list(result.duplicates),
        **({} if result.explanation is None else {"explanation": result.explanation}),
        "frame_index": result.frame_index,
        "metadata": result.metadata,
        **({} if result.metadata_fault is None else {"metadata_fault": result.metadata_fault}),
        "text": result.text,
    }


def describe_ids(chunk_ids: Sequence[int]) -> str:
    """``chunk 7``, ``chunks 7, 9, 12 and 5 more``."""
    shown = ", ".join(f"{chunk_id:,}" for chunk_id in chunk_ids[:_SHOWN_IDS])
    more = f" and {len(chunk_ids) - _SHOWN_IDS:,} more" if len(chunk_ids) > _SHOWN_IDS else ""
    return f"chunk{'s' * (len(chunk_ids) != 1)} {shown}{more}"


def unusable_rows(chunks: ChunkRanges) -> list[tuple[str, str]]:
    """A row about metadata that could not be used, if there was any, for the table of what was done."""
    if not chunks:
        return []
    from memvid.page import describe_chunks

    return [
        ("metadata", f"that of {describe_chunks(chunks)} cannot be used: it stays as it is, and no filter finds it")
    ]


def emit_change(result: AppendResult, verb: str, count: int, *, as_json: bool) -> None:
    """Print what became of chunks that were there already.

    :param verb: what was done to so many of them.
    """
    if as_json:
        emit_json(asdict(result))
        return
    listed = [
        (verb, counted(count, "chunk")),
        ("memory", counted(result.chunks, "chunk")),
        ("video", format_bytes(result.video_bytes)),
        *copied_rows(result),
        ("time", format_seconds(result.seconds["total"])),
    ]
    emit(heading(str(result.video_file)))
    emit(rows(listed))


def size_rows(result: BuildResult | ImportResult) -> list[tuple[str, str]]:
    """Rows about a memory that was built: how large its video is, and its index."""
    frames_bytes, whole, index = result.video_bytes, "", "none"
    if result.index_file is not None:
        index = index_text(result.index_bytes, result.index_file, result.video_file)
    if result.index_file == result.video_file:
        frames_bytes -= result.index_bytes
        whole = f"{format_bytes(result.video_bytes)}: "
    ratio = f", {frames_bytes / result.text_bytes:.2f} of the text" if result.text_bytes else ""
    video = f"{whole}{format_bytes(frames_bytes)} in {counted(result.frames, 'frame')}{ratio}"
    return [("video", video), ("index", index)]


def index_text(nbytes: int, index_file: Path, video_file: Path) -> str:
    """How large an index is, and where."""
    return f"{format_bytes(nbytes)}, {'inside' if index_file == video_file else index_file}"


def copied_rows(result: AppendResult) -> list[tuple[str, str]]:
    """A row about a video that was copied before it grew, if it was."""
    if not result.copied:
        return []
    return [("copied", "the video first: its other names (hard links) keep the old one")]


def stages_text(seconds: Mapping[str, float]) -> str:
    """``embed 2.1 ms, search 0.1 ms, ...``, in the order given."""
    return ", ".join(f"{stage} {format_seconds(value)}" for stage, value in seconds.items())
