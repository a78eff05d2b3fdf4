"""Who could read what, at every moment of an operation on a private memory.

In two ways. The trap stops each call that makes a file or gives it a mode, so none is missed, however short: what is
made must be for its owner alone, and must not be written any more after it was opened up. And another process looks at
the folders all the time, woken by inotify, as somebody would who waits for a file that he can open.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from memvid import MemvidChat, MemvidEncoder
from memvid.errors import EmbeddingError
from memvid.exchange import export, survive
from memvid.maintenance import import_memory, reindex, verify
from memvid.storage.access import Access
from tests.memory_support import EMBEDDER, make_texts, open_memory
from tests.repository import ROOT
from tests.storage.disk.bench import Bench
from tests.storage.disk.operations import OPERATIONS, Operation
from tests.storage.disk.trap import Call, Kind

__all__ = ["VERBS", "Watched", "watch"]

_OLD = ROOT / "tests" / "maintenance" / "legacy" / "memories"
_OTHERS = 0o077
_CREATE, _MODIFY, _ATTRIB, _MOVED = 0x100, 0x2, 0x4, 0x80  # of inotify


def _video(folder: Path) -> Path:
    return folder / "memory" / "memory.mp4"


def _export(folder: Path, name: str, codec: Any = "h264") -> Path:
    return export(_video(folder), _video(folder).with_name(name), codec=codec).video_file


def _exported(folder: Path) -> None:
    _build(folder)
    _export(folder, "out.mkv")


def _search_exported(folder: Path) -> None:
    """Keeps the page table, which Matroska has no place for, in the cache."""
    with open_memory(_video(folder).with_name("out.mkv"), _video(folder).with_name("memory_index.json")) as memory:
        memory.search("river")


def _search(folder: Path) -> None:
    with open_memory(_video(folder)) as memory:
        memory.search("river")


def _converse(folder: Path) -> None:
    with open_memory(_video(folder)) as memory, MemvidChat(retriever=memory) as chat:
        chat.start_session()
        chat.chat("Where is the river?")
        for name in ("chat.json", "chat.md"):
            chat.export_history(_video(folder).with_name(name), "markdown" if name.endswith(".md") else "json")


def _old_memory(folder: Path) -> None:
    for name in ("mp4v.mp4", "mp4v_index.json"):
        shutil.copy(_OLD / name, folder / "memory")


def _import(folder: Path) -> None:
    old = folder / "memory"
    import_memory(old / "mp4v.mp4", old / "mp4v_index.json", old / "out.mp4", embedder=EMBEDDER)


class _Failing:
    """Makes a batch of embeddings, and no more."""

    name, dim = EMBEDDER.name, EMBEDDER.dim

    def __init__(self) -> None:
        self._left = 1

    def encode(self, texts: Sequence[str]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise EmbeddingError("there is no more")
        return EMBEDDER.encode(texts)


def _append_that_fails(folder: Path) -> None:
    """Leaves a checkpoint."""
    video = _video(folder)
    with MemvidEncoder.open(video, embedder=_Failing()) as memory:
        memory.add_chunks(make_texts(300, seed=7))
        with suppress(EmbeddingError):
            memory.append(checkpoint=video.with_name("memory.mp4.checkpoint"))


_build = OPERATIONS["build"].run

VERBS = {
    **OPERATIONS,
    "search": Operation(_search, _build),
    "search an exported video": Operation(_search_exported, _exported),
    "verify": Operation(lambda folder: verify(_video(folder), deep=True), _build),
    "chat and save": Operation(_converse, _build),
    "append that fails": Operation(_append_that_fails, _build),
    "reindex to another name": Operation(
        lambda folder: reindex(_video(folder), _video(folder).with_name("other.json"), embedder=EMBEDDER), _build
    ),
    "export to png": Operation(lambda folder: _export(folder, "out.mp4", "png"), _build, out="out.mp4"),
    "import": Operation(_import, _old_memory, out="out.mp4", index="out_index.json"),
    "survive": Operation(lambda folder: survive(_video(folder), ladder="quick", frames=3), _build),
}
"""All that is done to memories, with what it starts from."""


def _in_the_open(folder: Path) -> None:
    with patch("memvid.storage.files._PRIVATE", 0o644):
        OPERATIONS["rebuild"].run(folder)


def _without_a_look(folder: Path) -> None:
    usual = Access(0o644)
    with (
        patch("memvid.storage.commit.access_of_copy", lambda *_: usual),
        patch("memvid.storage.commit.access_of_new", lambda *_: usual),
        patch("memvid.storage.journal.narrow", lambda *_: None),
    ):
        OPERATIONS["append"].run(folder)


NEGLIGENT = {
    "rebuild in the open": Operation(_in_the_open, _build),
    "append without a look at modes": Operation(_without_a_look, _build),
}
"""Verbs with a mistake, by which the watching itself is tested."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of one operation.

    :ivar made: files that were made.
    :ivar opened: files that were opened up to others at the end.
    :ivar looks: times that another process went through the folders meanwhile.
    :ivar events: what inotify told it.
    :ivar left: widest mode of any file there is afterwards.
    :ivar problems: what others could read and should not have, in words.
    """

    made: int
    opened: int
    looks: int
    events: int
    left: int
    problems: tuple[str, ...]


def watch(verb: str, mode: int, scratch: Path, trap: ctypes.CDLL) -> Watched:
    """Do something to a memory all whose files have this mode, under the usual umask.

    :param scratch: an empty folder.
    """
    before = os.umask(0o022)
    try:
        bench = Bench({**VERBS, **NEGLIGENT}[verb], scratch, trap, mode=mode)
        allowed = mode if bench.old_files else 0o644  # of what is new
        folder = bench.fresh()
        with _Bystander([folder / name for name in ("memory", "tmp", "cache")], allowed) as bystander:
            calls = bench.record(scratch / "watched.log", folder)
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    problems = [*_check_calls(calls, allowed), *bystander.seen]
    problems += [f"{path.name} is left with mode {found:o}" for path, found in modes.items() if found & ~allowed]
    return Watched(
        made=sum(call.kind is Kind.CREATE and call.result >= 0 for call in calls),
        opened=sum(call.kind is Kind.MODE and bool(call.offset & _OTHERS) for call in calls),
        looks=bystander.looks,
        events=bystander.events,
        left=max(modes.values()),
        problems=tuple(dict.fromkeys(problems)),
    )


def _check_calls(calls: Sequence[Call], allowed: int) -> Iterator[str]:
    opened: set[int] = set()  # inodes of files that others may read
    for call in calls:
        name = Path(call.name).name
        if call.result < 0:
            continue
        if call.kind is Kind.CREATE:
            opened.discard(call.inode)
            if call.offset & _OTHERS:
                yield f"{name} is made with mode {call.offset:o}"
        elif call.kind is Kind.MODE:
            if call.offset & 0o777 & ~allowed:
                yield f"{name} gets mode {call.offset:o}, {allowed:o} at most"
            if call.offset & _OTHERS:
                opened.add(call.inode)
        elif call.kind in (Kind.WRITE, Kind.TRUNCATE) and call.inode in opened and name.endswith(".new"):
            yield f"{name} is written after it was opened up"


class _Bystander:
    """A process that looks at the modes of all files of some folders, all the time. A context manager.

    :ivar looks: how often it did; ``events``: what it was told by inotify; ``seen``: what it could have read. They are
        there when the block ends.
    """

    def __init__(self, folders: Sequence[Path], allowed: int) -> None:
        self._folders = folders
        self._allowed = allowed
        self.looks = self.events = 0
        self.seen: list[str] = []

    def __enter__(self) -> _Bystander:
        ready, is_ready = os.pipe()
        self._result, result = os.pipe()
        stop, self._stop = os.pipe()
        if os.fork() == 0:
            try:
                os.close(self._stop)
                os.write(result, json.dumps(self._look(lambda: os.write(is_ready, b"."), stop)).encode())
            finally:
                os._exit(0)
        for descriptor in (is_ready, result, stop):
            os.close(descriptor)
        os.read(ready, 1)
        os.close(ready)
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._stop)
        with os.fdopen(self._result, "rb") as file:
            self.looks, self.events, self.seen = json.loads(file.read())
        os.wait()

    def _look(self, ready: Callable[[], object], stop: int) -> tuple[int, int, list[str]]:
        libc = ctypes.CDLL(None)
        descriptor = libc.inotify_init1(os.O_NONBLOCK)
        for folder in self._folders:
            libc.inotify_add_watch(descriptor, os.fsencode(folder), _CREATE | _MODIFY | _ATTRIB | _MOVED)
        ready()
        looks = events = 0
        seen: dict[str, None] = {}
        while not select.select([stop], [], [], 0)[0]:
            with suppress(BlockingIOError):
                data = os.read(descriptor, 1 << 16)
                while data:
                    length = int.from_bytes(data[12:16], "little")
                    data = data[16 + length :]
                    events += 1
            for folder in self._folders:
                seen.update(dict.fromkeys(self._readable(folder)))
            looks += 1
        return looks, events, list(seen)

    def _readable(self, folder: Path) -> Iterator[str]:
        """What others can read and should not."""
        for root, _, names in os.walk(folder):  # which passes over a folder that has gone
            for name in names:
                with suppress(FileNotFoundError):
                    mode = Path(root, name).lstat().st_mode
                    if stat.S_ISREG(mode) and mode & 0o777 & ~self._allowed:
                        yield f"{name} was seen with mode {mode & 0o777:o}"
