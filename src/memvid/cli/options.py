"""Options that several verbs share."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from memvid.cli.conditions import where
from memvid.config import Mode, Profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from memvid.embedding import Embedder
    from memvid.retriever import MemvidRetriever
    from memvid.types import ModelInfo

__all__ = [
    "as_json",
    "chunk_ids",
    "date",
    "file_path",
    "index_embedder",
    "index_file",
    "index_model",
    "index_model_info",
    "load_embedder",
    "memories_argument",
    "memory_argument",
    "message",
    "mode",
    "model",
    "model_arguments",
    "open_unasked",
    "rerank",
    "threads",
    "unpacked_bytes",
    "video_argument",
    "where",
]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")


class _FilePath(click.Path):
    """The path of a file; that of a folder, which a slash at the end names even where there is none, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if os.path.basename(os.fspath(value)) in ("", ".", "..") or Path(value).is_dir():  # noqa: PTH119
            self.fail(f"{os.fspath(value)!r} is a folder: name a file in it", param, ctx)
        return super().convert(value, param, ctx)


file_path = _FilePath(path_type=Path)

index_file = click.option(
    "--index",
    "index_file",
    type=file_path,
    help="The index's manifest.  [default: inside the video, or <memory>_index.json beside it]",
)

model = click.option(
    "--model",
    metavar="MODEL",
    help="What makes embeddings: the folder of a sentence-transformers model exported to ONNX, or 'hashing' (shared "
    "words only, no model).  [default: the MiniLM that comes with memvid]",
)

index_model = click.option(
    "--model",
    metavar="MODEL",
    help="What made the embeddings, if it does not come with memvid: the folder of a sentence-transformers model "
    "exported to ONNX.  [default: the model that the index names]",
)

chunk_ids = click.option(
    "--id", "chunk_ids", type=int, multiple=True, metavar="N", help="A chunk by its id; repeatable."
)

mode = click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    default="hybrid",
    show_default=True,
    help="What passages are found and ordered by: meaning, words, or both.",
)

rerank = click.option(
    "--rerank",
    metavar="HOW",
    help="Order the best again: 'pieces', by the best piece of each; or the folder of a cross-encoder exported to "
    "ONNX.  [default: no]",
)

unpacked_bytes = click.option(
    "--unpacked-bytes",
    type=click.IntRange(min=1),
    metavar="N",
    help="What the video may unpack to, 256 bytes counted for each chunk; more is refused.  [default: 64 MiB and 32 "
    "times its size]",
)

message = click.option("--message", metavar="TEXT", help="What is done, for `memvid log`.")


def _read_date(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    return datetime.now().astimezone().isoformat(timespec="seconds") if value == "now" else value


date = click.option(
    "--date", metavar="DATE", callback=_read_date, help="When, for `memvid log`: 2026-11-27, or 'now' to ask the clock."
)

profile = click.option(
    "--profile",
    type=click.Choice(get_args(Profile)),
    help="What the new index is made for: speed, half the bytes, or a tenth of them.  [default: what it was made for]",
)

threads = click.option("--threads", type=int, help="Worker threads.  [default: the cores there are]")


def memory_argument(function: _Function) -> _Function:
    """The video to open."""
    return click.argument("memory", type=file_path)(function)


def memories_argument(function: _Function) -> _Function:
    """The videos to open, copies of one memory."""
    return click.argument("memories", metavar="MEMORY...", type=file_path, nargs=-1, required=True)(function)


def video_argument(function: _Function) -> _Function:
    """The video to work on, where its index does not matter, or is what is made."""
    return click.argument("video", type=file_path)(function)


def load_embedder(name: str | None) -> Embedder | None:
    """The embedder of ``--model``; ``None`` is the default one."""
    if name is None:
        return None
    from memvid import embedding

    return embedding.HashingEmbedder() if name == "hashing" else embedding.OnnxEmbedder(name)


def index_embedder(name: str | None, memory: Path, index_file: Path | None) -> Embedder | None:
    """The embedder of ``--model``, or else that of the model which the memory's index names, if it comes with memvid.

    Whatever keeps the index from being read is for whoever opens the memory to say.
    """
    if name is not None:
        return load_embedder(name)
    model = index_model_info(memory, index_file)
    from memvid.embedding import embedder_of
    from memvid.errors import ModelMismatchError

    try:
        return None if model is None else embedder_of(model)
    except ModelMismatchError:
        return None


def index_model_info(memory: Path, index_file: Path | None) -> ModelInfo | None:
    """The model that a memory's index names, if it can be read."""
    from memvid.errors import MemvidError
    from memvid.index.location import find_index
    from memvid.index.manifest import read_manifest
    from memvid.storage.commit import recover

    index = find_index(memory, index_file)
    try:
        recover(index, video_file=memory)
        return read_manifest(index).model
    except (MemvidError, OSError, ValueError):
        return None


def open_unasked(memory: Path, index_file: Path | None, name: str | None = None, **config: Any) -> MemvidRetriever:
    """The memory, for what embeds no question, and so needs no model."""
    from memvid.embedding import AbsentEmbedder
    from memvid.retriever import MemvidRetriever

    embedder = load_embedder(name)
    if embedder is None and (named := index_model_info(memory, index_file)) is not None:
        embedder = AbsentEmbedder(named)
    return MemvidRetriever(memory, index_file, embedder=embedder, **config)


def model_arguments(name: str | None) -> tuple[str, ...]:
    """What a command on a memory made with this ``--model`` has to be told of it."""
    return () if name is None or name == "hashing" else ("--model", name)
