"""What is interrupted: everything that writes a memory, on one that has a bit of all there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvid import MemvidEncoder, MemvidRetriever
from memvid._files import default_index_file, recover
from memvid.maintenance import compact, delete, erase, export, reindex, repair, verify
from memvid.types import JsonObject
from tests.memory_support import EMBEDDER, make_texts

__all__ = ["OPERATIONS", "Operation", "contents", "follow", "names"]

Contents = dict[int, tuple[str, JsonObject]] | None

_OPTIONS: dict[str, Any] = {"symbol_version": 10, "dictionary": 2048}


@dataclass(frozen=True, slots=True)
class Operation:
    """One way to write.

    :ivar prepare: makes what is there before, in a folder.
    :ivar run: does it.
    :ivar video: name of the video it makes or changes.
    :ivar grows: whether what it leaves can be appended to.
    """

    prepare: Callable[[Path], None]
    run: Callable[[Path], None]
    video: str = "memory.mp4"
    grows: bool = True


def _texts() -> list[str]:
    return [*make_texts(40, words=12), "A long chunk that runs over several frames. " + "0123456789 abcdef " * 200]


def _metadatas() -> list[JsonObject]:
    return [{"source": f"file{number // 10}", "number": number} for number in range(41)]


def _build(folder: Path, *, checkpoint: bool = False) -> None:
    with MemvidEncoder(embedder=EMBEDDER, **_OPTIONS) as encoder:
        encoder.add_chunks(_texts(), metadatas=_metadatas())
        kept = folder / "memory.checkpoint" if checkpoint else None
        encoder.build_video(folder / "memory.mp4", checkpoint=kept)


def _build_other(folder: Path) -> None:
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=12) as encoder:
        encoder.add_chunks(make_texts(9, seed=5))
        encoder.build_video(folder / "memory.mp4")


def _grown(folder: Path) -> None:
    """A memory with a segment of its own for what was appended, and with deletions."""
    with MemvidEncoder(embedder=EMBEDDER, **_OPTIONS) as encoder:
        encoder.add_chunks([*_texts(), *make_texts(120, words=6, seed=2)], metadatas=[*_metadatas(), *[None] * 120])
        encoder.build_video(folder / "memory.mp4")
    _append(folder, seed=3)
    delete(folder / "memory.mp4", chunk_ids=[4, 5, 90])


def _append(folder: Path, *, seed: int = 4) -> None:
    with MemvidEncoder.open(folder / "memory.mp4") as encoder:
        encoder.add_chunks(make_texts(6, seed=seed), metadatas=[{"source": "late"}] * 6)
        encoder.delete([seed + 10, seed + 20])
        encoder.append()


def _delete(folder: Path) -> None:
    delete(folder / "memory.mp4", where={"source": "file2"})


def _compact(folder: Path) -> None:
    compact(folder / "memory.mp4")


def _erase(folder: Path) -> None:
    erase(folder / "memory.mp4", chunk_ids=[7, 8, 40])


def _export(folder: Path) -> None:
    export(folder / "memory.mp4", folder / "shared.mp4", codec="ffv1")


def _reindex(folder: Path) -> None:
    reindex(folder / "memory.mp4")


def _damaged(folder: Path) -> None:
    _grown(folder)
    data = (folder / "memory.mp4").read_bytes()
    (folder / "memory.mp4").write_bytes(data[: len(data) - 900])


def _repair(folder: Path) -> None:
    repair(folder / "memory.mp4", folder / "mended.mp4")


OPERATIONS = {
    "build": Operation(lambda folder: None, _build),
    "build with a checkpoint": Operation(lambda folder: None, lambda folder: _build(folder, checkpoint=True)),
    "build over another": Operation(_build_other, _build),
    "build over one that grew": Operation(_grown, _build_other),
    "append": Operation(_build, _append),
    "append that merges": Operation(_grown, _append),
    "delete": Operation(_grown, _delete),
    "compact": Operation(_grown, _compact),
    "erase": Operation(_grown, _erase),
    "reindex": Operation(_grown, _reindex),
    "repair": Operation(_damaged, _repair, video="mended.mp4"),
    "export": Operation(_build, _export, video="shared.mp4", grows=False),
}


def contents(folder: Path, operation: Operation) -> Contents:
    """Every chunk of the memory, proven sound; ``None`` if there is no memory of that name."""
    video = folder / operation.video
    index = default_index_file(video) if operation.grows else folder / "memory_index.json"
    recover(index, video_file=video)
    if not video.exists() and not (operation.grows and index.exists()):
        return None
    report = verify(video, index, deep=True)
    assert report.ok, report.findings
    with MemvidRetriever(video, index, embedder=EMBEDDER) as memory:
        found = {chunk.chunk_id: (chunk.text, chunk.metadata) for chunk in memory.get_chunks_by_id(memory.chunk_ids())}
        some = next(iter(found.values()))[0]
        assert memory.search(some, 1) == [some]
    return found


def follow(folder: Path, operation: Operation) -> None:
    """Write the memory once more, as its next user would."""
    with MemvidEncoder.open(folder / operation.video) as encoder:
        encoder.add_chunks(["what came afterwards"])
        encoder.append()


def names(folder: Path) -> set[str]:
    """The files of a folder by name, whatever number an append gave them."""
    return {path.name.rstrip("0123456789").rstrip(".") for path in folder.iterdir()}
