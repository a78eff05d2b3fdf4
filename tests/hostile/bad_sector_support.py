"""A small memory on a disk with one bad sector, in a process of its own: what each verb makes of it.

``python -m tests.hostile.bad_sector_support KIND FOLDER FILE FIRST STEP`` goes through the sectors of one file of
copies of the memory in FOLDER, and prints a line of JSON for each: its number, how many chunks were read from the
video, how many a repair brought back, and all that must not be. A process that ends early died of the sector behind
its last line.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from memvid import MemvidEncoder
from memvid.errors import MemvidError
from memvid.exchange import export
from memvid.maintenance import compact, delete, erase, import_memory, reindex, repair, verify
from memvid.page import ChunkRanges
from memvid.types import Chunk, SearchResult
from memvid.video import PageStore, VideoReader
from memvid.video.store import StoredChunk
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.storage.disk.bad_sector import SECTOR, bad_sector

__all__ = ["KINDS", "build_kind", "files_of", "sectors_of"]

_COUNT = 90  # chunks of the build
_ADDED = 15
_DELETED = (7, 44)
_TEXTS = make_texts(_COUNT + _ADDED, words=25)
_METADATAS = [{"n": number, "of": "a memory"} for number in range(_COUNT + _ADDED)]
_ALIVE = frozenset(range(_COUNT + _ADDED)) - set(_DELETED)

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"symbol_version": 12},
    "parity": {"symbol_version": 12, "parity": 0.5},
    "bare": {"symbol_version": 12, "chunks_per_frame": 1, "compression": "none"},
    "h264": {"symbol_version": 12, "codec": "h264"},
    "ffv1": {"symbol_version": 12, "codec": "ffv1"},
}
"""What the memories are built with."""


def build_kind(kind: str, folder: Path) -> Path:
    """A memory of some sectors; that has grown and lost two chunks, where its codec can."""
    options = KINDS[kind]
    if "codec" in options:
        return build(folder, _TEXTS, metadatas=_METADATAS, **options)
    video = build(folder, _TEXTS[:_COUNT], metadatas=_METADATAS[:_COUNT], **options)
    with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
        encoder.add_chunks(_TEXTS[_COUNT:], metadatas=_METADATAS[_COUNT:])
        encoder.delete(_DELETED)
        encoder.append()
    return video


def files_of(folder: Path) -> list[str]:
    """Names of the memory's files."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def sectors_of(file: Path) -> int:
    return -(-file.stat().st_size // SECTOR)


class _Trial:
    """One bad sector of one file of a fresh copy.

    :ivar problems: what must not be.
    """

    def __init__(self, kind: str, original: Path, scratch: Path, name: str, number: int) -> None:
        self._kind = kind
        self._original = original
        self._scratch = scratch
        self._name = name
        self._number = number
        self._grows = "codec" not in KINDS[kind]
        self.problems: list[str] = []
        self.alive = _ALIVE if self._grows else frozenset(range(len(_TEXTS)))
        self.read = self.repaired = 0
        self._lost_for_good: frozenset[int] | None = None

    def run(self) -> None:
        """Try every verb."""
        with self._copy() as video, self._bad():
            readable = self._readable(video)
            self._check_reader(video, readable)
            self._check_verify(video, readable)
            self._check_repair(video, readable)
            self._expect_error("import", lambda: import_memory(video, None, self._scratch / "imported.mp4"))
            self._export(video, readable)
        self.read = len(readable)
        self._change("reindex", lambda video: reindex(video, embedder=EMBEDDER), readable)
        if self._grows:
            self._change("append", self._append, self.alive | {len(_TEXTS)})
            self._change("delete", lambda video: delete(video, chunk_ids=[3]), self.alive - {3})
            self._change("compact", lambda video: compact(video, embedder=EMBEDDER), self.alive)
            self._change("erase", lambda video: erase(video, chunk_ids=[3], embedder=EMBEDDER), self.alive - {3})

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        folder = self._scratch / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._original, folder)
        open_memory(folder / "memory.mp4").close()  # from now on its side files count as checked
        yield folder / "memory.mp4"

    @contextmanager
    def _bad(self) -> Iterator[None]:
        with bad_sector(self._scratch / "copy" / self._name, self._number):
            yield

    def _complain(self, what: str) -> None:
        self.problems.append(what)

    def _typed(self, verb: str, error: Exception) -> None:
        if not isinstance(error, MemvidError):
            self._complain(f"{verb}: {type(error).__name__}: {error}")

    def _readable(self, video: Path) -> frozenset[int]:
        """Chunks that can be read out of the video."""
        found = set()
        try:
            with closing(VideoReader(video)) as reader:
                store = PageStore(reader, cache_bytes=0)
                for chunk in _members(reader.table.chunk_ids().ranges):
                    try:
                        (stored,) = store.read([chunk])
                        found.add(chunk)
                        self._check_chunk("read", chunk, stored)
                    except Exception as error:  # noqa: PERF203
                        self._typed("read", error)
        except Exception as error:
            self._typed("open video", error)
        return frozenset(found) & self.alive

    def _check_chunk(
        self, verb: str, chunk: int, found: Chunk | SearchResult | StoredChunk, *, bare: bool = False
    ) -> None:
        """Compare a chunk. A bare text may come without metadata, which is in pages of its own, if that is said."""
        bare = bare or (self._kind == "bare" and found.metadata_fault is not None)
        if (found.text, found.metadata) != (_TEXTS[chunk], {} if bare else _METADATAS[chunk]):
            self._complain(f"{verb}: chunk {chunk} is wrong")

    def _check_reader(self, video: Path, readable: frozenset[int]) -> None:
        try:
            with open_memory(video) as memory:
                for chunk in sorted(self.alive):
                    try:
                        (found,) = memory.get_chunks_by_id([chunk])
                        self._check_chunk("get_chunks_by_id", chunk, found)
                        if chunk not in readable:
                            self._complain(f"get_chunks_by_id: chunk {chunk} is there now")
                    except Exception as error:  # noqa: PERF203
                        self._typed("get_chunks_by_id", error)
                        if chunk in readable:
                            self._complain(f"get_chunks_by_id: chunk {chunk} is not there: {error}")
                for where in (None, {"n": [3, 50]}):
                    try:
                        for result in memory.search_results(_TEXTS[50], 3, where=where):
                            self._check_chunk("search", result.chunk_id, result)
                    except Exception as error:  # noqa: PERF203
                        self._typed("search", error)
        except Exception as error:
            self._typed("open", error)
            remedies = ("memvid repair", "from a copy") if self._name == "memory.mp4" else ("memvid reindex",)
            if not any(remedy in str(error) for remedy in remedies):
                self._complain(f"open: no remedy in: {error}")

    def _check_verify(self, video: Path, readable: frozenset[int]) -> None:
        try:
            for deep in (False, True):
                report = verify(video, deep=deep)
            lost = frozenset(_members(report.lost_chunks))
            if not readable and lost != self.alive:  # it cannot be opened, and may count what no repair brings back
                self._lost_for_good = lost
            elif lost != self.alive - readable:
                self._complain(f"verify: {len(lost)} lost, {len(self.alive - readable)} cannot be read")
            if not report.findings:
                self._complain("verify: found nothing")
        except Exception as error:
            self._typed("verify", error)
            self._complain(f"verify: raises {error}")

    def _check_repair(self, video: Path, readable: frozenset[int]) -> None:
        folder = self._scratch / "repaired"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            result = repair(video, folder / "memory.mp4", embedder=EMBEDDER)
        except Exception as error:
            self._typed("repair", error)
            if readable or self._grows:  # of other codecs nothing is found without a movie header
                self._complain(f"repair: raises {error}")
            return
        with open_memory(folder / "memory.mp4") as memory:
            there = frozenset(memory.chunk_ids())
            for chunk in memory.get_chunks_by_id(sorted(there)):
                if chunk.chunk_id >= len(_TEXTS):  # a bare text of which nothing says which chunk it was
                    if chunk.text not in {_TEXTS[lost] for lost in self.alive - there}:
                        self._complain(f"repair: chunk {chunk.chunk_id} is none that was there")
                    continue
                bare = chunk.chunk_id in _members(result.unusable_metadata)
                self._check_chunk("repair", chunk.chunk_id, chunk, bare=bare)
        self.repaired = len(there)
        if self._lost_for_good not in (None, self.alive - there):
            self._complain(f"verify: not {len(self.alive - there)} lost, which no repair brings back")
        lost = frozenset(_members(result.lost))
        if not readable <= there:
            self._complain(f"repair: lacks {sorted(readable - there)}")
        if lost != self.alive - there:
            self._complain(f"repair: says {len(lost)} are lost, and {len(self.alive - there)} are")
        for finding in verify(folder / "memory.mp4", deep=True).errors:
            if not lost or finding.code != "chunks" or frozenset(_members(finding.chunks)) != lost:
                self._complain(f"repair: made what is not sound: {finding.message}")

    def _export(self, video: Path, readable: frozenset[int]) -> None:
        target = self._scratch / "exported.mp4"
        target.unlink(missing_ok=True)
        try:
            export(video, target, codec="png")
        except Exception as error:
            self._typed("export", error)
            if os.path.lexists(target) or os.path.lexists(f"{target}.new"):
                self._complain("export: leaves a file behind")
        else:
            with closing(VideoReader(target)) as reader:
                ids = _members(reader.table.chunk_ids().ranges)
                store = PageStore(reader, cache_bytes=0)
                for chunk, stored in zip(ids, store.read(ids), strict=True):
                    self._check_chunk("export", chunk, stored)
            if readable != self.alive:
                self._complain("export: has what cannot be read")

    def _expect_error(self, verb: str, run: Callable[[], object]) -> None:
        try:
            run()
            self._complain(f"{verb}: is done")
        except Exception as error:
            self._typed(verb, error)

    @staticmethod
    def _append(video: Path) -> None:
        with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
            encoder.add_chunks(["one more"])
            encoder.append()

    def _change(self, verb: str, run: Callable[[Path], object], after: frozenset[int]) -> None:
        """A verb that changes the memory: afterwards it is the old one or the new one, and nothing lies about.

        An index may also be made of what is left, if it says so.
        """
        with self._copy() as video:
            before = files_of(video.parent)
            done = whole = True
            try:
                with self._bad():
                    whole = getattr(run(video), "whole", True)
            except Exception as error:
                self._typed(verb, error)
                done = False
                if files_of(video.parent) != before:
                    self._complain(f"{verb}: leaves {set(files_of(video.parent)) - set(before)} behind")
            try:
                with open_memory(video) as memory:
                    there = frozenset(memory.chunk_ids())
                    for chunk in memory.get_chunks_by_id(sorted(there - {len(_TEXTS)})):
                        self._check_chunk(verb, chunk.chunk_id, chunk)
                if there != (after if done else self.alive):
                    self._complain(f"{verb}: the memory has {len(there)} chunks")
                errors = verify(video, deep=True).errors
                if errors and whole:  # else an index was made without what is there again
                    self._complain(f"{verb}: the memory is not sound: {errors[0].message}")
            except Exception as error:
                if whole or "memvid reindex" not in str(error):
                    self._complain(f"{verb}: the memory is gone: {error}")
                else:  # the index was made without the page table that is there again
                    self._follow_advice(video, verb)

    def _follow_advice(self, video: Path, verb: str) -> None:
        """Make an index of a video that nothing ails any more: all is there."""
        reindex(video, embedder=EMBEDDER)
        with open_memory(video) as memory:
            if frozenset(memory.chunk_ids()) != self.alive:
                self._complain(f"{verb}: an index made again has not all chunks")
        for finding in verify(video, deep=True).errors:
            self._complain(f"{verb}: the memory with an index made again is not sound: {finding.message}")


def _members(ranges: ChunkRanges) -> list[int]:
    return [chunk for first, last in ranges for chunk in range(first, last + 1)]


def _main(kind: str, folder: str, name: str, first: int, step: int) -> None:
    original = Path(folder)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MEMVID_CACHE_DIR"] = str(Path(scratch) / "cache")
        for number in range(first, sectors_of(original / name), step):
            trial = _Trial(kind, original, Path(scratch), name, number)
            trial.run()
            row = {"sector": number, "read": trial.read, "repaired": trial.repaired, "problems": trial.problems}
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
