"""``memvid append``: more files into a memory that exists."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memvid.cli import options
from memvid.cli.kept import kept_rows, telling_what_is_kept
from memvid.cli.output import counted, emit, emit_json, format_bytes, format_seconds, heading, rows
from memvid.cli.progress import ProgressBars
from memvid.cli.reading import DocumentReader, nothing_text, plan_files, skipped_text
from memvid.cli.results import copied_rows, index_text, unusable_rows
from memvid.errors import EmptyMemoryError

if TYPE_CHECKING:
    from memvid.documents import FilePlan
    from memvid.types import AppendResult, JsonObject

__all__ = ["append"]


@click.command()
@options.memory_argument
@click.argument("files", nargs=-1, required=True, metavar="FILES...")
@options.index_file
@click.option(
    "--replace",
    "key",
    metavar="KEY",
    help="In place of all chunks with the same value under KEY in their metadata: with 'source', files that were "
    "changed take the place of what they were.",
)
@click.option("--chunk-size", type=int, metavar="N", help="Characters a chunk has at most.  [default: 500]")
@click.option(
    "--overlap", type=int, metavar="N", help="Characters that a chunk repeats of the one before.  [default: 0]"
)
@click.option("--no-split", is_flag=True, help="Store each document (a line of a .jsonl, a file) as one chunk.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the text files.")
@options.index_model
@options.message
@options.date
@options.threads
@options.as_json
@click.pass_obj
def append(
    arguments: tuple[str, ...],
    /,
    *,
    memory: Path,
    files: tuple[str, ...],
    index_file: Path | None,
    key: str | None,
    no_split: bool,
    encoding: str,
    model: str | None,
    message: str | None,
    date: str | None,
    as_json: bool,
    **settings: int | None,
) -> None:
    """Add files and folders to MEMORY.

    FILES are what `memvid build` takes. New frames are written behind those that are there, and read back; nothing of
    the memory is written or embedded again. All of it is added, or nothing. An append that was cut off goes on when it
    is started again.

    \b
    memvid append memory.mp4 notes/today.md
    memvid append memory.mp4 notes/ --replace source
    """
    from memvid.building.checkpoint import checkpoint_file
    from memvid.encoder import MemvidEncoder
    from memvid.index.location import find_index

    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    index = find_index(memory, index_file)
    plan = plan_files(files, memory, index)
    embedder = options.load_embedder(model)
    checkpoint = checkpoint_file(memory)
    with (
        MemvidEncoder.open(memory, index, embedder=embedder, **given) as encoder,
        telling_what_is_kept(checkpoint, arguments),
        ProgressBars() as bars,
    ):
        reader = DocumentReader(plan, encoder.config, encoding=encoding, split=not no_split, progress=bars)
        texts, metadatas = itertools.tee(reader.chunks())
        chunks = (text for text, _ in texts)
        if key is None:
            encoder.add_chunks(chunks, metadatas=(metadata for _, metadata in metadatas))
        else:
            encoder.upsert(chunks, key=key, metadatas=(metadata for _, metadata in metadatas))
        if not len(encoder):
            raise EmptyMemoryError(nothing_text(plan))
        result = encoder.append(progress=bars, checkpoint=checkpoint, date=date, message=message)
    if as_json:
        emit_json(_report(result, plan, reader.documents))
    else:
        _print(result, plan, reader.documents, checkpoint)


def _report(result: AppendResult, plan: FilePlan, documents: int) -> JsonObject:
    return {
        "video_file": result.video_file,
        "index_file": result.index_file,
        "files": len(plan.sources),
        "documents": documents,
        "skipped": [{"path": skipped.path, "reason": skipped.reason} for skipped in plan.skipped],
        "added": result.added,
        "first_chunk": result.first_chunk,
        "deleted": result.deleted,
        "chunks": result.chunks,
        "frames": result.frames,
        "text_bytes": result.text_bytes,
        "video_bytes": result.video_bytes,
        "index_bytes": result.index_bytes,
        "embeddings": {"made": result.embeddings_made, "resumed": result.embeddings_resumed},
        "unusable_metadata": result.unusable_metadata,
        "copied": result.copied,
        "commit": result.commit,
        "seconds": dict(result.seconds),
    }


def _print(result: AppendResult, plan: FilePlan, documents: int, checkpoint: Path) -> None:
    added = f"{counted(result.added, 'chunk')} from {counted(documents, 'document')}"
    replaced = f", in place of {result.deleted:,}" if result.deleted else ""
    listed = [
        ("added", f"{added}, {counted(result.frames, 'frame')}{replaced}"),
        ("memory", counted(result.chunks, "chunk")),
        ("video", format_bytes(result.video_bytes)),
        ("index", index_text(result.index_bytes, result.index_file, result.video_file)),
        *unusable_rows(result.unusable_metadata),
        *copied_rows(result),
        *kept_rows(checkpoint),
        ("time", format_seconds(result.seconds["total"])),
    ]
    if plan.skipped:
        listed.append(("skipped", f"{counted(len(plan.skipped), 'file')}: {skipped_text(plan)} (--json lists them)"))
    emit(heading(str(result.video_file)))
    emit(rows(listed))
