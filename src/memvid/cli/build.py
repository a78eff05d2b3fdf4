"""``memvid build``: files into a memory."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from memvid.cli import options
from memvid.cli.kept import command_to_go_on, kept_rows, telling_what_is_kept
from memvid.cli.output import (
    command_line,
    counted,
    emit,
    emit_json,
    format_bytes,
    format_seconds,
    heading,
    rows,
)
from memvid.cli.progress import ProgressBars
from memvid.cli.reading import DocumentReader, nothing_text, plan_files, skipped_text
from memvid.cli.results import size_rows
from memvid.config import Codec, EncoderConfig, Profile
from memvid.errors import EmptyMemoryError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memvid.documents import FilePlan
    from memvid.types import BuildResult, JsonObject

__all__ = ["build"]

_DEFAULTS = EncoderConfig()


def _number(flag: str, text: str, *, default: str | None = None) -> Callable[[Any], Any]:
    """An option of :class:`EncoderConfig` that is a number; the configuration checks its range."""
    value = getattr(_DEFAULTS, flag.strip("-").replace("-", "_"))
    shown = default if default is not None else value
    return click.option(flag, type=int, metavar="N", help=f"{text}  [default: {shown}]")


def _choice(flag: str, choices: tuple[str, ...], text: str) -> Callable[[Any], Any]:
    value = getattr(_DEFAULTS, flag.strip("-").replace("-", "_"))
    return click.option(flag, type=click.Choice(choices), help=f"{text}  [default: {value}]")


@click.command()
@click.argument("files", nargs=-1, metavar="FILES...")
@click.option(
    "-o",
    "--output",
    type=options.file_path,
    default=Path("memory.mp4"),
    show_default=True,
    help="The video to make.",
)
@click.option(
    "--index",
    "index_file",
    type=options.file_path,
    help="Put the index beside the video: its manifest.  [default: inside the video; <memory>_index.json if its codec "
    "has no room for it]",
)
@click.option("--no-index", is_flag=True, help="Make the video alone, without embedding: `memvid reindex` indexes it.")
@click.option("-f", "--force", is_flag=True, help="Replace a memory that is there already.")
@click.option("--empty", is_flag=True, help="Make a memory of nothing, to be appended to.")
@click.option("--resume", is_flag=True, help="Go on with a build that was cut off, if there is one.")
@_number("--chunk-size", "Characters a chunk has at most.")
@_number("--overlap", "Characters of whole sentences that a chunk repeats of the one before.")
@click.option("--no-split", is_flag=True, help="Store each document (a line of a .jsonl, a file) as one chunk.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the text files.")
@options.model
@_choice("--codec", get_args(Codec), "What frames are encoded with.")
@_number("--crf", "Quality of h264, vp9 and av1, lower is better.", default="the codec's own")
@_number("--pixels-per-module", "Pixels a QR module takes, not with png.", default="4; 1 for ffv1")
@_number("--symbol-version", "QR symbol version, 1 to 40: the size of a frame.")
@_choice("--error-correction", ("L", "M", "Q", "H"), "QR error correction level.")
@_number("--data-mask", "QR data mask, 0 to 7.")
@_choice("--compression", ("zstd", "none"), "Of the texts.")
@_number("--compression-level", "1 (fast) to 22 (small).")
@_number("--dictionary", "Bytes of the compression dictionary, 0 for none.", default="by the size of the text")
@_number("--chunks-per-frame", "Chunks a frame has at most.", default="as many as fit")
@click.option(
    "--parity",
    type=float,
    metavar="RATE",
    help="Parity frames for each frame, up to 1: frames that are lost are rebuilt.  [default: 0]",
)
@click.option("--title", metavar="TEXT", help="The memory's name, for its cover and its header page.")
@click.option("--no-cover", is_flag=True, help="Leave out the first picture, which tells people what the file is.")
@_number("--fps", "Frames a second when the video is played.")
@_choice("--profile", get_args(Profile), "What the index is made for: speed, half the bytes, or a tenth of them.")
@_choice("--vector-dtype", ("i8", "f16", "f32"), "How the index keeps vectors, with profile fast.")
@_number("--connectivity", "HNSW neighbours of a vector.")
@_number("--expansion-add", "HNSW candidates while building.")
@_number("--expansion-search", "HNSW candidates while searching.")
@options.message
@options.date
@click.option("--no-keywords", is_flag=True, help="Leave the keyword index out.")
@options.threads
@options.as_json
@click.pass_obj
def build(
    arguments: tuple[str, ...],
    /,
    *,
    files: tuple[str, ...],
    output: Path,
    index_file: Path | None,
    no_index: bool,
    force: bool,
    empty: bool,
    resume: bool,
    no_split: bool,
    encoding: str,
    model: str | None,
    no_keywords: bool,
    no_cover: bool,
    message: str | None,
    date: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Make a memory of files and folders.

    FILES are text, Markdown, HTML, JSON, CSV, PDF, EPUB. A folder stands for all files in it and below, without the
    hidden and the binary ones. "-" is standard input. Each line of a .jsonl file is a document: {"text": ...}, all
    other keys become metadata. Every chunk remembers the file it is from as "source".

    Embeddings are kept in <memory>.checkpoint until the memory is complete: after an interruption, the same command
    with --resume goes on from there.

    \b
    memvid build notes/ report.pdf -o memory.mp4
    memvid build passages.jsonl --no-split -o memory.mp4 --force
    memvid build library/ -o library.mp4 --resume
    git log | memvid build - -o history.mp4
    memvid build --empty -o memory.mp4
    """
    if empty == bool(files):
        raise click.UsageError("name files, or give --empty and none")
    if no_index and index_file is not None:
        raise click.UsageError("give --index or --no-index, not both")
    given = {name: value for name, value in settings.items() if value is not None}
    config = EncoderConfig(**given, keywords=not no_keywords, cover=not no_cover)

    from memvid.building.checkpoint import check_unused, checkpoint_file
    from memvid.building.feasible import check_feasible
    from memvid.building.outputs import check_outputs, check_video_output
    from memvid.embedding import resolve_embedder
    from memvid.encoder import MemvidEncoder

    check_feasible(config)
    if no_index:
        output = index = check_video_output(output, codec=config.codec)
    else:
        output, index = check_outputs(output, index_file, codec=config.codec)
    plan = plan_files(files, output, index)
    for path in (output, index):
        if path.exists() and not force:
            raise OutputError(f"{path} is there already: --force replaces it, -o names another file")
    # Embeddings of the hashing embedder are made in less time than it takes to keep them.
    checkpoint = None if no_index or model == "hashing" else checkpoint_file(output)
    if checkpoint is not None and checkpoint.exists():
        check_unused(checkpoint)
        if not resume:
            raise OutputError(
                f"{checkpoint} keeps embeddings of a build that was cut off. To go on with them, also with other "
                f"options: {command_to_go_on(arguments)}; to do without, remove the file"
            )
    embedder = resolve_embedder(options.load_embedder(model))
    with (
        MemvidEncoder(config, embedder=embedder) as encoder,
        telling_what_is_kept(checkpoint, arguments),
        ProgressBars() as bars,
    ):
        reader = DocumentReader(plan, encoder.config, encoding=encoding, split=not no_split, progress=bars)
        texts, metadatas = itertools.tee(reader.chunks())
        encoder.add_chunks((text for text, _ in texts), metadatas=(metadata for _, metadata in metadatas))
        if not len(encoder) and not empty:
            raise EmptyMemoryError(nothing_text(plan))
        result = encoder.build_video(
            output,
            False if no_index else index,
            progress=bars,
            checkpoint=checkpoint,
            date=date,
            message=message,
        )
    if as_json:
        emit_json(_report(result, plan, reader.documents, embedder.name))
    else:
        _print(result, plan, reader.documents, embedder.name, checkpoint)
        emit(f"\n{_next_step(output, model, empty=empty, no_index=no_index)}")


def _next_step(output: Path, model: str | None, *, empty: bool, no_index: bool) -> str:
    if no_index:
        return f"Before it opens:  {command_line('memvid', 'reindex', output)}"
    if empty:
        return f"Add to it:  {command_line('memvid', 'append', output)} FILES"
    return f'Ask it:  {command_line("memvid", "search", *options.model_arguments(model), output)} "your question"'


def _report(result: BuildResult, plan: FilePlan, documents: int, model: str) -> JsonObject:
    return {
        "video_file": result.video_file,
        "index_file": result.index_file,
        "files": len(plan.sources),
        "documents": documents,
        "skipped": [{"path": skipped.path, "reason": skipped.reason} for skipped in plan.skipped],
        "chunks": result.chunks,
        "frames": result.frames,
        "text_bytes": result.text_bytes,
        "video_bytes": result.video_bytes,
        "index_bytes": result.index_bytes,
        "embeddings": {
            "model": model,
            "made": result.embeddings_made,
            "resumed": result.embeddings_resumed,
            "provider": result.provider,
        },
        "seconds": dict(result.seconds),
    }


def _print(result: BuildResult, plan: FilePlan, documents: int, model: str, checkpoint: Path | None) -> None:
    total = result.seconds.get("total", 0.0)
    rate = f", {result.chunks / total:,.0f} chunks a second" if total and not result.embeddings_resumed else ""
    chunks = f"{counted(result.chunks, 'chunk')} from {counted(documents, 'document')}"
    listed = [
        ("text", f"{format_bytes(result.text_bytes)} in {chunks}"),
        *size_rows(result),
        *([("embeddings", _embeddings(result, model))] if result.index_file is not None else []),
        *kept_rows(checkpoint),
        ("time", f"{format_seconds(total)}{rate}"),
    ]
    if plan.skipped:
        listed.append(("skipped", f"{counted(len(plan.skipped), 'file')}: {skipped_text(plan)} (--json lists them)"))
    emit(heading(str(result.video_file)))
    emit(rows(listed))


def _embeddings(result: BuildResult, model: str) -> str:
    place = f" on {result.provider}" if result.provider else ""
    resumed = f", {result.embeddings_resumed:,} resumed" if result.embeddings_resumed else ""
    return f"{result.embeddings_made:,} made by {model}{place}{resumed}"
