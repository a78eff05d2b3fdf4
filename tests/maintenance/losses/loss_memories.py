"""Small memories of different kinds, in any codec, and what is in them, to be damaged."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from memvid.exchange import export
from memvid.video import VideoReader
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

__all__ = ["BUILT", "KINDS", "Memory", "copy_memory", "make_memory"]

BUILT = 64
"""Chunks that a memory is built with: with fewer there is no dictionary."""

KINDS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"symbol_version": 12, "dictionary": 0, "chunks_per_frame": 2},
    "dictionary": {"symbol_version": 12, "dictionary": 1024},
    "repeated": {"symbol_version": 25, "dictionary": 4096},
    "parity": {"symbol_version": 12, "dictionary": 0, "chunks_per_frame": 2, "parity": 0.25},
    "bare": {"symbol_version": 10, "compression": "none", "chunks_per_frame": 1},
    "grown": {"symbol_version": 12, "dictionary": 0, "chunks_per_frame": 2},
    "covered": {"symbol_version": 20, "compression": "none", "chunks_per_frame": 1},
}


@dataclass(frozen=True, slots=True)
class Memory:
    """A sound memory.

    :ivar kind: one of :data:`KINDS`.
    :ivar codec: what its video is encoded with.
    :ivar folder: where ``memory.mp4`` and its index are.
    :ivar texts: its chunks by id, without those that were deleted.
    :ivar deleted: those that were.
    """

    kind: str
    codec: str
    folder: Path
    texts: Mapping[int, str]
    deleted: frozenset[int] = frozenset()

    @property
    def is_bare(self) -> bool:
        """Whether its texts carry no numbers."""
        return "compression" in KINDS[self.kind]

    @property
    def video(self) -> Path:
        """Its video."""
        return self.folder / "memory.mp4"

    @property
    def tag(self) -> int:
        """The tag that all its pages have."""
        return VideoReader(self.video).table.tag

    @property
    def digest(self) -> str:
        """That of its page table."""
        return VideoReader(self.video).table.digest


def make_memory(folder: Path, kind: str, codec: str = "png") -> Memory:
    """Build one; an exported one has the index of the memory that it was made of."""
    folder.mkdir(parents=True)
    texts = make_texts(BUILT, words=24, seed=len(kind))
    if kind == "dictionary":
        texts[7::16] = make_texts(4, words=400, seed=9)  # these take several pages
    if kind == "repeated":  # so large that header page and dictionary are there twice
        chooser = random.Random(8)
        texts = [f"{text} {''.join(chooser.choices(ascii_lowercase, k=1300))}" for text in texts]
    metadatas = None if kind == "covered" else [{"number": number} for number in range(BUILT)]
    build(folder, texts, metadatas=metadatas, **KINDS[kind])
    known, deleted = dict(enumerate(texts)), frozenset[int]()
    if kind in ("grown", "covered"):
        known, deleted = _grow(folder / "memory.mp4", known)
    if codec != "png":
        native = folder / "memory.mp4"
        native.rename(folder / "native.mp4")
        export(folder / "native.mp4", native, codec=codec)  # type: ignore[arg-type]  # a codec that this machine writes
        (folder / "native.mp4").unlink()
    return Memory(kind, codec, folder, known, deleted)


def copy_memory(memory: Memory, folder: Path) -> Path:
    """A copy of its files to be damaged; its video."""
    shutil.copytree(memory.folder, folder)
    return folder / "memory.mp4"


def _grow(video: Path, known: dict[int, str]) -> tuple[dict[int, str], frozenset[int]]:
    """Two appends with deletions."""
    from memvid import MemvidAppender

    deleted: set[int] = set()
    for step, gone in enumerate(([3, 4, 20], [BUILT, 30])):
        texts = make_texts(9, words=24, seed=50 + step)
        with MemvidAppender(video, embedder=EMBEDDER) as appender:
            appender.add_chunks(texts)
            appender.delete(gone)
            appender.append()
        known |= dict(enumerate(texts, max(known) + 1))
        deleted |= set(gone)
    known = {chunk: text for chunk, text in known.items() if chunk not in deleted}
    with open_memory(video) as memory:
        assert memory.chunk_ids() == sorted(known)
    return known, frozenset(deleted)
