"""A small memory with damage in it, read in a process of its own: what comes of every flipped bit, of every length.

``python -m tests.hostile.damage_support FOLDER FILE MODE FIRST STEP`` goes through the bits (or, in the mode ``cut``,
lengths) of one file of a copy of the memory in FOLDER, and prints a letter for each:

- ``d``: detected, a typed error named it;
- ``r``: all that was read is right, and ``verify`` had something to say;
- ``h``: all that was read is right, and ``verify`` found nothing: harmless;
- ``W``: a wrong text or wrong metadata came back, or an error of no known type. It must not be.

A process that ends early crashed at the bit behind its last letter.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from memvid import MemvidEncoder
from memvid.errors import ChunkDeletedError, MemvidError
from memvid.index import updating
from memvid.maintenance import verify
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

__all__ = ["CHECKED_ALWAYS", "COUNT", "DELETED", "FILES", "ONE_FILE", "build_small", "build_small_one", "outcome"]

COUNT = 5
DELETED = 2
FILES = (
    "memory.mp4",
    "memory_index.json",
    "memory_index.records",
    "memory_index.usearch",
    "memory_index.deleted.1",
    "memory_index.records.1",
    "memory_index.usearch.1",
)
CHECKED_ALWAYS = FILES[:2]
ONE_FILE = "one.mp4"
"""The same memory with its index inside."""
_TEXTS = make_texts(COUNT, words=6)
_METADATAS = [{"n": number, "of": "damage"} for number in range(COUNT)]


def build_small(folder: Path, *, keywords: bool = True) -> Path:
    """A memory of a few kilobytes, that has grown by a chunk and lost one: the index is in two segments."""
    video = build(folder, _TEXTS[:-1], metadatas=_METADATAS[:-1], symbol_version=10, keywords=keywords)
    return _grow(video)


def build_small_one(folder: Path) -> Path:
    """Likewise :data:`ONE_FILE`."""
    video = folder / ONE_FILE
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=10) as encoder:
        encoder.add_chunks(_TEXTS[:-1], metadatas=_METADATAS[:-1])
        encoder.build_video(video)
    return _grow(video)


def _grow(video: Path) -> Path:
    with patch.object(updating, "_SMALL_SEGMENT", 0), MemvidEncoder.open(video) as encoder:
        encoder.add_chunks(_TEXTS[-1:], metadatas=_METADATAS[-1:])
        encoder.delete([DELETED])
        encoder.append()
    return video


def outcome(video: Path, *, checked: bool = True) -> str:
    """The letter of a damaged memory."""
    try:
        detected = not _read(video)
        found = checked and bool(verify(video, deep=True).findings)
    except Exception as error:  # whatever it is, it is what is looked for
        sys.stderr.write(f"{error!r}\n")
        return "W"
    if detected:
        return "d" if found or not checked else "W"
    return "r" if found else "h"


def _read(video: Path) -> bool:
    """Whether every chunk was read and every search answered; what was read must be right."""
    whole = True
    try:
        with open_memory(video) as memory:
            for number in range(COUNT):
                try:
                    (chunk,) = memory.get_chunks_by_id([number])
                    assert number != DELETED
                    assert (chunk.text, chunk.metadata) == (_TEXTS[number], _METADATAS[number])
                except MemvidError as error:  # noqa: PERF203
                    whole = whole and isinstance(error, ChunkDeletedError) and number == DELETED
            for where in (None, {"n": 3}):
                try:
                    for result in memory.search_results(_TEXTS[1], 3, where=where):
                        expected = _TEXTS[result.chunk_id], _METADATAS[result.chunk_id]
                        assert (result.text, result.metadata) == expected
                        assert result.chunk_id != DELETED
                except MemvidError:  # noqa: PERF203
                    whole = False
    except MemvidError:
        return False
    return whole


def _main(folder: str, name: str, mode: str, first: int, step: int) -> None:
    """Try every ``step``-th damage from ``first`` on."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch) / "copy"))
        os.environ["MEMVID_CACHE_DIR"] = str(Path(scratch) / "cache")
        video, path = copy / (name if name == ONE_FILE else FILES[0]), copy / name
        sound = path.read_bytes()
        open_memory(video).close()  # from now on its side files count as checked
        status = path.stat()
        for at in range(first, len(sound) if mode == "cut" else 8 * len(sound), step):
            changed = sound[:at] if mode == "cut" else _flip(sound, at)
            with path.open("r+b") as file:
                file.write(changed)
                file.truncate()
            if mode != "fresh":  # as rot does it: neither size nor time says so
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            sys.stdout.write(outcome(video))
            sys.stdout.flush()
        path.write_bytes(sound)


def _flip(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
