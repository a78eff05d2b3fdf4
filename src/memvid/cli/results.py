"""How what was found or done, and the time it took, is printed; shared by several commands."""

from __future__ import annotations

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
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memvid.types import AppendResult, ChunkRanges, JsonObject, SearchResult

__all__ = ["copied_rows", "emit_change", "result_json", "result_text", "stages_text", "unusable_rows"]


def result_text(rank: int, result: SearchResult, *, lines: int | None = None) -> str:
    """A result for reading: rank, score, frame and chunk, metadata, then the passage."""
    facts = f"score {result.score:.3f}  frame {result.frame_index:,}  chunk {result.chunk_id:,}"
    shown = [heading(f"{rank:>2} {facts}")]
    if result.metadata:
        shown.append(f"   {describe_metadata(result.metadata)}")
    if result.metadata_fault is not None:
        shown.append(f"   metadata that cannot be used: {one_line(result.metadata_fault)}")
    shown.append(passage(result.text, lines=lines))
    return "\n".join(shown)


def result_json(result: SearchResult) -> JsonObject:
    """A result for machines."""
    return {
        "chunk_id": result.chunk_id,
        "score": round(result.score, 6),
        "frame_index": result.frame_index,
        "metadata": result.metadata,
        **({} if result.metadata_fault is None else {"metadata_fault": result.metadata_fault}),
        "text": result.text,
    }


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


def copied_rows(result: AppendResult) -> list[tuple[str, str]]:
    """A row about a video that was copied before it grew, if it was."""
    if not result.copied:
        return []
    return [("copied", "the video first: its other names (hard links) keep the old one")]


def stages_text(seconds: Mapping[str, float]) -> str:
    """``embed 2.1 ms, search 0.1 ms, ...``, in the order given."""
    return ", ".join(f"{stage} {format_seconds(value)}" for stage, value in seconds.items())
