"""How found passages and the time they took are printed; shared by ``search`` and ``demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memvid.cli.output import describe_metadata, format_seconds, heading, one_line, passage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memvid.types import AppendResult, ChunkRanges, JsonObject, SearchResult

__all__ = ["copied_rows", "result_json", "result_text", "stages_text", "unusable_rows"]


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
    from memvid.maintenance.verify.findings import describe_chunks

    return [
        ("metadata", f"that of {describe_chunks(chunks)} cannot be used: it stays as it is, and no filter finds it")
    ]


def copied_rows(result: AppendResult) -> list[tuple[str, str]]:
    """A row about a video that was copied before it grew, if it was."""
    if not result.copied:
        return []
    return [("copied", "the video first: its other names (hard links) keep the old one")]


def stages_text(seconds: Mapping[str, float]) -> str:
    """``embed 2.1 ms, search 0.1 ms, ...``, in the order given."""
    return ", ".join(f"{stage} {format_seconds(value)}" for stage, value in seconds.items())
