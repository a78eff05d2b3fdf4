"""Memories that someone made to do harm, and a process of its own that reads them.

``python -m tests.hostile.hostile_support`` takes a video's path a line and answers with what came of it, ``ok`` or a
line that starts with ``fault``. When it dies or does not answer, :class:`Victim` keeps the memory and fails the test.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

import numpy as np

from memvid import _core
from memvid.errors import MemvidError
from memvid.index import IndexManager
from memvid.maintenance import repair, verify
from memvid.page import page_checksum
from memvid.video import PageTable, VideoReader
from tests.index.index_support import environment
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.repository import ROOT
from tests.video.video_support import boxes

__all__ = [
    "TEXTS",
    "Victim",
    "adopt_video",
    "all_boxes",
    "build_target",
    "find_box",
    "forge_index",
    "forge_video",
    "payloads_of",
    "rebuild_table",
]

COUNT = 5
TEXTS = make_texts(COUNT, words=6)
PATIENCE = 120  # seconds; what takes a sound memory milliseconds and a hostile one this long is a hang
VERSION = 10
_PLACES = ("moov", "trak", "mdia", "minf", "stbl")


def build_target(folder: Path, **options: Any) -> Path:
    """The memory that is attacked: four chunks in one page, small codes, metadata, keywords."""
    metadatas = [{"n": number, "of": "damage"} for number in range(4)]
    return build(folder, TEXTS[:4], metadatas=metadatas, symbol_version=VERSION, **options)


def forge_index(index_file: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Give a manifest the sizes and digests that its side files and itself now have, as a forger would."""
    content = json.loads(index_file.read_bytes())
    content.pop("sha256", None)
    change(content)
    parts = [content, *content.get("segments", [])]
    entries = [entry for part in parts for entry in part["files"].values()]
    for entry in entries + ([content["deleted"]] if "deleted" in content else []):
        data = (index_file.parent / entry["name"]).read_bytes()
        entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    compact = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    content["sha256"] = hashlib.sha256(compact).hexdigest()
    index_file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def payloads_of(video: Path) -> tuple[list[bytes], PageTable]:
    """The pages of a sound video, and its table."""
    reader = VideoReader(video)
    return [payload for _, payload in reader.read_all()], reader.table


def rebuild_table(payloads: Sequence[bytes], table: PageTable) -> bytes:
    """The table's bytes with the checksums of these payloads; kinds and counts are kept, right or wrong."""
    head = struct.pack("<4sHHII", b"MVPT", 1, 0, table.tag, len(payloads))
    sums = np.array([page_checksum(payload) for payload in payloads], "<u4")
    return head + table.kinds.tobytes() + table.counts.astype("<u2").tobytes() + sums.tobytes()


def forge_video(video: Path, payloads: Sequence[bytes], table: bytes) -> None:
    """Write a video of these payloads and this page table, and an index that takes it for its own."""
    writer = _core.FrameWriter(video, _core.SymbolOptions(version=VERSION), threads=1)
    writer.write(list(payloads))
    writer.finish(table)
    adopt_video(video, table, len(payloads))


def adopt_video(video: Path, table: bytes, frames: int) -> None:
    """Have the index take a video with this page table for its own."""

    def adopt(content: dict[str, Any]) -> None:
        digest = hashlib.sha256(table).hexdigest()
        content["video"] = {"bytes": video.stat().st_size, "digest": digest, "frames": frames}

    forge_index(video.with_name("memory_index.json"), adopt)


def all_boxes(data: bytes, start: int = 0, end: int | None = None, depth: int = 0) -> list[tuple[int, int, int]]:
    """Start, start of the body and end of every box of an MP4, and of those inside the boxes that hold others."""
    found = []
    for name, at, body, stop in boxes(data, start, end):
        found.append((at, body, stop))
        if depth < 5 and name.decode("latin-1") in _PLACES:
            found += all_boxes(data, body, stop, depth + 1)
    return found


def find_box(data: bytes, wanted: bytes) -> tuple[bytes, int, int, int]:
    """Name, start, start of the body and end of the first box of a name, wherever it is."""
    for start, body, end in all_boxes(data):
        if data[start + 4 : start + 8] == wanted:
            return wanted, start, body, end
    raise AssertionError(wanted)


class Victim:
    """Reads hostile memories in a process that may die of them."""

    def __init__(self, keep: Path) -> None:
        self._keep = keep
        self._process: subprocess.Popen[str] | None = None

    def read(self, video: Path, *, honest: bool = False, thorough: bool = False) -> None:
        """Have everything read; fail where it dies, hangs, or raises what is no error of memvid.

        :param honest: nobody made checksums fit, so a text that is wrong is a fault too.
        :param thorough: also verify and repair.
        """
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        answer = ""
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps([str(video), honest, thorough]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline() if select([process.stdout], [], [], PATIENCE)[0] else "fault: no answer"
        if answer != "ok\n":
            self.close()
            kept = Path(tempfile.mkdtemp(prefix="hostile-", dir=self._keep))
            shutil.copytree(video.parent, kept / "memory")
            status = f"the process ended with {process.returncode}"
            raise AssertionError(f"{answer.strip() or status}: the memory is kept in {kept}")

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.hostile.hostile_support"]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment(), cwd=ROOT,
        )  # fmt: skip


def _read(video: Path, *, honest: bool, thorough: bool) -> str:
    faults: list[str] = []

    def attempt(action: Callable[[], object]) -> None:
        try:
            action()
        except MemvidError:
            pass
        except Exception as error:  # whatever it is, it is what is looked for
            faults.append(f"{error!r:.500}")

    attempt(lambda: _search(video, honest=honest, faults=faults))
    attempt(lambda: _ask_index(video.with_name("memory_index.json")))
    if thorough:
        attempt(lambda: verify(video, deep=True))
        out = Path(tempfile.mkdtemp()) / "mended.mp4"
        attempt(lambda: repair(video, out, embedder=EMBEDDER))
        shutil.rmtree(out.parent)
    return "fault: " + " | ".join(faults) if faults else "ok"


def _search(video: Path, *, honest: bool, faults: list[str]) -> None:
    with open_memory(video, page_cache_bytes=100_000) as memory:
        queries: list[Callable[[], list[Any]]] = [
            lambda: memory.search_results(TEXTS[1], 3),
            lambda: memory.search_results(TEXTS[0], 50, where={"n": [1, 2]}),
            *(lambda number=number: memory.get_chunks_by_id([number]) for number in range(COUNT)),
            lambda: memory.neighbours(1, 5, 5),
            lambda: [memory.info, memory.stats][2:],
        ]
        for query in queries:
            try:
                results = query()
            except MemvidError:
                continue
            wrong = [result for result in results if result.text != dict(enumerate(TEXTS)).get(result.chunk_id)]
            if honest and wrong:
                faults.append(f"a wrong text came back: {wrong[0]!r:.200}")
            if not all(np.isfinite(getattr(result, "score", 0.0)) for result in results):
                faults.append("a score is not a number")


def _ask_index(index_file: Path) -> None:
    with IndexManager.open(index_file) as index:
        questions: list[Callable[[], object]] = [
            lambda: index.keyword_search("backup server night", 5),
            lambda: index.ids_where({"of": "damage"}),
            lambda: index.ids_having("n", [0, 1, 2, 3]),
            lambda: index.search(np.ones((2, EMBEDDER.dim), np.float32), 3),
        ]
        for question in questions:
            with suppress(MemvidError):
                question()


def _main() -> None:
    """Answer a line for each line."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MEMVID_CACHE_DIR"] = cache
        for line in sys.stdin:
            path, honest, thorough = json.loads(line)
            answer = _read(Path(path), honest=honest, thorough=thorough)
            sys.stdout.write(answer.replace("\n", " ") + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _main()
