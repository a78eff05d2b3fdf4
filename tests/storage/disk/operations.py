"""What is done to a memory while its disk fails: each operation with the memory it starts from.

A trial has a folder of its own with four in it: ``memory``, ``tmp`` (``$TMPDIR``), ``cache`` (``$MEMVID_CACHE_DIR``)
and ``snapshot``, whose files are the memory's by other names. An operation is a line in :data:`OPERATIONS`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from memvid import MemvidEncoder
from memvid.config import EncoderConfig
from memvid.errors import IndexNotFoundError, VideoNotFoundError
from memvid.exchange import export
from memvid.index.location import find_index
from memvid.index.manifest import read_manifest
from memvid.maintenance import compact, delete, erase, pack, reindex, repair, unpack, verify
from memvid.storage.commit import default_index_file
from memvid.video import VideoReader
from tests.memory_support import EMBEDDER, make_texts, open_memory

__all__ = ["NEGLIGENT", "NOTHING", "OPERATIONS", "Operation", "describe"]

NOTHING = "nothing"
"""The state of a memory that is not there."""

_OPTIONS: dict[str, Any] = {"symbol_version": 14, "dictionary": 1024}
_GONE = [3, 4, 70]
_ONE = "memory.mp4"


def _video(folder: Path) -> Path:
    return folder / "memory" / "memory.mp4"


def _build(folder: Path, *, seed: int = 1, checkpoint: bool = False, inside: bool = False) -> None:
    """A memory with everything: a dictionary, a run of frames, metadata, keywords."""
    texts = make_texts(80, words=8, seed=seed)
    texts[5] = " ".join(f"{number * number * 7919 % 99991}" for number in range(300))
    with MemvidEncoder(embedder=EMBEDDER, **_OPTIONS) as encoder:
        encoder.add_chunks(texts, metadatas=[{"n": i, "of": f"part {i // 20}"} for i in range(len(texts))])
        video = _video(folder)
        kept = video.with_name("memory.mp4.checkpoint") if checkpoint else None
        encoder.build_video(video, video if inside else default_index_file(video), checkpoint=kept)


def _append(folder: Path, *, name: str = "memory.mp4", seed: int = 5) -> None:
    with MemvidEncoder.open(_video(folder).with_name(name), embedder=EMBEDDER) as memory:
        memory.upsert(make_texts(4, words=8, seed=seed), key="n", metadatas=[{"n": 8, "of": "more"}] * 4)
        memory.delete([9])
        memory.append()


def _append_more(folder: Path, *, name: str = "memory.mp4") -> None:
    with MemvidEncoder.open(_video(folder).with_name(name), embedder=EMBEDDER) as memory:
        memory.add_chunks(["One chunk more, behind all that there are."])
        memory.append()


def _set_metadata(folder: Path) -> None:
    with MemvidEncoder.open(_video(folder), embedder=EMBEDDER) as memory:
        for chunk_id in (8, 20, 21):
            memory.set_metadata(chunk_id, {"n": chunk_id, "of": "part 1", "changed": True})
        memory.append(message="Metadata alone.")


def _delete(folder: Path) -> None:
    delete(_video(folder), chunk_ids=_GONE)


def _build_one(folder: Path) -> None:
    """The same with its index inside."""
    _build(folder, inside=True)


def _grown_one(folder: Path) -> None:
    _build_one(folder)
    _append(folder)
    _delete(folder)


def _grown(folder: Path) -> None:
    _build(folder)
    _append(folder)
    _delete(folder)


def _damaged(folder: Path) -> None:
    """A memory whose movie header is gone."""
    _build(folder)
    video = _video(folder)
    video.write_bytes(video.read_bytes().replace(b"moov", b"MOOV"))


def _export(folder: Path, codec: str) -> None:
    export(_video(folder), _video(folder).with_name("out.mp4"), codec=codec)  # type: ignore[arg-type]


def _repair(folder: Path) -> None:
    repair(_video(folder), _video(folder).with_name("out.mp4"), embedder=EMBEDDER)


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that changes a memory's files.

    :ivar run: does it, in a folder.
    :ivar start: makes what it starts from; nothing makes an empty folder.
    :ivar cut: instead: the name of the operation whose process was killed to come there, and what it had done
        last: ``"rename"`` or ``"sync"``, a part of the new name or of the file's, and which of these calls it was.
    :ivar again: what has to succeed afterwards; the same once more if it is ``None``.
    :ivar out: the file that it writes, if that is not the memory; ``index`` is where its index is;
        nothing looks for it.
    :ivar leaves: how names of files begin that may be left over, since nobody reads them any more.
    :ivar linked: whether every file of what it starts from has another name, in ``snapshot``, as ``cp -al`` makes them.
    :ivar vague: whether it is written by what does not say that a write failed, so that only reading back finds it.
    """

    run: Callable[[Path], object]
    start: Callable[[Path], object] | None = None
    cut: tuple[str, str, str, int] | None = None
    again: Callable[[Path], object] | None = None
    out: str | None = None
    index: str | None = "memory_index.json"
    leaves: str | None = None
    linked: bool = False
    vague: bool = False


OPERATIONS = {
    "build": Operation(_build),
    "rebuild": Operation(lambda folder: _build(folder, seed=2), _build),
    "build with checkpoint": Operation(lambda folder: _build(folder, seed=2, checkpoint=True), _build),
    "append": Operation(_append, _build, again=_append_more),
    "append again": Operation(_append_more, _grown),
    "append behind one cut off": Operation(_append_more, cut=("append", "sync", "memory.mp4", 1), again=_append_more),
    "append with a snapshot": Operation(_append, _build, again=_append_more, linked=True),
    "delete": Operation(_delete, _build, again=_append_more),
    "set metadata": Operation(_set_metadata, _build, again=_append_more),
    "compact": Operation(lambda folder: compact(_video(folder)), _grown),
    "erase": Operation(lambda folder: erase(_video(folder), chunk_ids=[20]), _grown),
    "reindex": Operation(
        lambda folder: reindex(_video(folder), config=EncoderConfig(vector_dtype="f16", keywords=False)), _grown
    ),
    "open a build cut off": Operation(
        lambda folder: open_memory(_video(folder)).close(), cut=("rebuild", "rename", ".commit", 0), again=_append_more
    ),
    "open an append cut off": Operation(
        lambda folder: open_memory(_video(folder)).close(), cut=("append", "rename", ".commit", 0), again=_append_more
    ),
    "open an append cut off with a snapshot": Operation(
        lambda folder: open_memory(_video(folder)).close(), cut=("append", "rename", ".commit", 0), again=_append_more,
        linked=True,
    ),
    "repair": Operation(
        _repair, _damaged, again=lambda folder: _append_more(folder, name="out.mp4"), out="out.mp4", index="out.mp4"
    ),
    "build one file": Operation(_build_one, index=_ONE),
    "rebuild one file": Operation(lambda folder: _build(folder, seed=2, inside=True), _build_one, index=_ONE),
    "append to one file": Operation(_append, _build_one, again=_append_more, index=_ONE),
    "append to one file behind one cut off": Operation(
        _append_more, cut=("append to one file", "sync", _ONE, 1), again=_append_more, index=_ONE
    ),
    "append to one file with a snapshot": Operation(_append, _build_one, again=_append_more, index=_ONE, linked=True),
    "delete from one file": Operation(_delete, _build_one, again=_append_more, index=_ONE),
    "set metadata in one file": Operation(_set_metadata, _build_one, again=_append_more, index=_ONE),
    "compact one file": Operation(lambda folder: compact(_video(folder)), _grown_one, index=_ONE),
    "erase from one file": Operation(lambda folder: erase(_video(folder), chunk_ids=[20]), _grown_one, index=_ONE),
    "reindex one file": Operation(
        lambda folder: reindex(_video(folder), config=EncoderConfig(vector_dtype="f16", keywords=False)), _grown_one,
        again=_append_more, index=_ONE,
    ),
    "rebuild as one file": Operation(
        lambda folder: _build(folder, seed=2, inside=True), _build, index=None, leaves="memory_index"
    ),
    "rebuild with the index beside": Operation(lambda folder: _build(folder, seed=2), _build_one, index=None),
    "pack": Operation(lambda folder: pack(_video(folder)), _grown, again=_append_more, index=None),
    "unpack": Operation(lambda folder: unpack(_video(folder)), _grown_one, again=_append_more, index=None),
    "export to h264": Operation(lambda folder: _export(folder, "h264"), _build, out="out.mp4"),
    "export to mp4v": Operation(lambda folder: _export(folder, "mp4v"), _build, out="out.mp4", vague=True),
}  # fmt: skip


def _forget_to_sync(folder: Path) -> None:
    """Rebuild without a sync of Python's: a mistake that must be found."""
    with patch("os.fsync", lambda descriptor: None):
        _build(folder, seed=2)


NEGLIGENT = {"rebuild without syncing": Operation(_forget_to_sync, _build)}
"""Operations with a mistake, by which the trials themselves are tested."""


def describe(operation: Operation, folder: Path) -> str:
    """The state of the memory that the operation is about: what all of it says, or :data:`NOTHING`.

    :raises Exception: it is neither one nor the other: a third thing.
    """
    video = _video(folder) if operation.out is None else _video(folder).with_name(operation.out)
    return _describe(video, find_index(video) if operation.index is None else video.with_name(operation.index))


def _describe(video: Path, index: Path) -> str:
    try:
        memory = open_memory(video, index)
    except (VideoNotFoundError, IndexNotFoundError):
        if video.exists() or (index.exists() and index.stem.startswith(video.stem)):
            raise
        return NOTHING
    with memory:
        chunks = memory.get_chunks_by_id(memory.chunk_ids())
        content: list[object] = [[chunk.chunk_id, chunk.text, chunk.metadata] for chunk in chunks]
        for where in (None, {"of": "part 1"}):
            results = memory.search_results("the river and the mountain", 5, where=where)
            content.append([[result.chunk_id, result.text] for result in results])
    report = verify(video, index, deep=True)
    if not report.ok:
        raise AssertionError(f"does not verify: {report.findings}")
    reader = VideoReader(video)
    manifest = read_manifest(index)
    options = [manifest.vectors.dtype, manifest.keywords, index == video]
    content.append([reader.identity.digest, reader.frame_count, *options])
    reader.close()
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
