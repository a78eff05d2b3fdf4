"""What an operation on a hostile memory costs, measured in a process of its own.

``python -m tests.hostile.bounded OPERATION VIDEO`` runs one and prints what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvid import MemvidChat, MemvidEncoder, MemvidRetriever
from memvid.documents import find_files, read_documents
from memvid.errors import MemvidError
from memvid.exchange import export, survive
from memvid.maintenance import compact, delete, erase, import_memory, reindex, repair, verify
from tests.chat.chat_support import ListMemory
from tests.index.index_support import environment
from tests.memory_support import EMBEDDER, open_memory
from tests.repository import ROOT

__all__ = [
    "CONVERSATION_OPERATIONS", "DOCUMENT_OPERATIONS", "MOST_MEGABYTES", "MOST_SECONDS", "OPERATIONS", "Cost", "measure",
]  # fmt: skip

MOST_MEGABYTES = 512
MOST_SECONDS = 10
_PATIENCE = 120  # seconds, after which it is a hang


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation came to.

    :ivar outcome: ``"done"``, or the name of a typed error.
    :ivar fault: what must not be: another error, a process that died or never ended.
    :ivar megabytes: most memory that was resident, as the system counts it.
    :ivar seconds: wall time, without starting Python.
    """

    outcome: str
    fault: str | None
    megabytes: int
    seconds: float

    @property
    def problem(self) -> str | None:
        """Which bound it breaks, if any but that of time, which depends on the machine."""
        if self.fault is None and self.megabytes > MOST_MEGABYTES:
            return f"took {self.megabytes} MB"
        return self.fault


def _asked(ask: Callable[[Any], object]) -> Callable[[Path], object]:
    def run(video: Path) -> object:
        with open_memory(video) as memory:
            return ask(memory)

    return run


def _ask_at_once(video: Path) -> object:
    async def ask(memory: MemvidRetriever) -> None:
        questions = (memory.asearch(f"login backup server {number}", 24) for number in range(4))
        for outcome in await asyncio.gather(*questions, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    with open_memory(video) as memory:
        return asyncio.run(ask(memory))


def _chat(video: Path) -> object:
    with MemvidChat(video, embedder=EMBEDDER, llm_provider="none") as chat:
        return chat.chat("login backup server")


def _append(video: Path) -> object:
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(["one more"])
        return memory.append()


def _export(video: Path) -> object:
    return export(video, video.with_name("exported.mp4"), codec="png")


def _import(video: Path) -> object:
    return import_memory(video, None, video.with_name("imported.mp4"), embedder=EMBEDDER)


def _survive(video: Path) -> object:
    return survive(video, ladder="quick", frames=2)


def _read_documents(document: Path) -> object:
    return sum(len(found.text) for found in read_documents(find_files([document]).sources))


def _load_history(conversation: Path) -> object:
    with MemvidChat(retriever=ListMemory(["The login failed."]), llm_provider="none") as chat:
        return chat.load_history(conversation)


OPERATIONS: dict[str, Callable[[Path], object]] = {
    "open": _asked(len),
    "search": _asked(lambda memory: memory.search("login backup server", 24)),
    "search_many": _asked(lambda memory: memory.search_many(["login", "backup", "server"] * 10, 24)),
    "asearch at once": _ask_at_once,
    "get_chunk_by_id": _asked(lambda memory: memory.get_chunk_by_id(memory.chunk_ids()[-1])),
    "neighbours": _asked(lambda memory: memory.neighbours(memory.chunk_ids()[0], 1 << 40, 1 << 40)),
    "chunk_ids": _asked(lambda memory: memory.chunk_ids()),
    "info": _asked(lambda memory: memory.info),
    "verify": verify,
    "verify deep": lambda video: verify(video, deep=True),
    "reindex": lambda video: reindex(video, embedder=EMBEDDER),
    "repair": lambda video: repair(video, video.with_name("repaired.mp4"), embedder=EMBEDDER),
    "compact": lambda video: compact(video, embedder=EMBEDDER),
    "delete": lambda video: delete(video, chunk_ids=[0]),
    "erase": lambda video: erase(video, chunk_ids=[0], embedder=EMBEDDER),
    "append": _append,
    "export": _export,
    "chat": _chat,
    "import": _import,
    "survive": _survive,
}
"""What is done with a video."""

DOCUMENT_OPERATIONS: dict[str, Callable[[Path], object]] = {"read documents": _read_documents}
"""What is done with a document; what comes out of it is then a text as any other."""

CONVERSATION_OPERATIONS: dict[str, Callable[[Path], object]] = {"load history": _load_history}
"""What is done with a saved chat."""


def measure(operation: str, video: Path) -> Cost:
    """Run an operation in a child."""
    command = [sys.executable, "-m", "tests.hostile.bounded", operation, str(video)]
    with tempfile.TemporaryDirectory() as cache:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env={**environment(), "MEMVID_CACHE_DIR": cache},
        )  # fmt: skip
        try:
            out, err = child.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return Cost("", f"has not ended within {_PATIENCE} s", 0, _PATIENCE)
    try:
        return Cost(**json.loads(out.splitlines()[-1]))
    except (IndexError, ValueError):
        return Cost("", f"the process ended with {child.returncode}: {err[-500:]}", 0, 0)


def _main() -> None:
    operation, video = sys.argv[1:]
    outcome, fault = "done", None
    begin = time.perf_counter()
    try:
        {**OPERATIONS, **DOCUMENT_OPERATIONS, **CONVERSATION_OPERATIONS}[operation](Path(video))
    except MemvidError as error:
        outcome = type(error).__name__
    except BaseException as error:  # whatever it is, it is what is looked for
        fault = f"{error!r:.300}"
    seconds = time.perf_counter() - begin
    sys.stdout.write(json.dumps(
        {"outcome": outcome, "fault": fault, "megabytes": _peak_megabytes(), "seconds": seconds}
    ) + "\n")  # fmt: skip
    sys.stdout.flush()
    os._exit(0)  # what is left is not worth waiting for


def _peak_megabytes() -> int:
    """Of this process alone: what ``getrusage`` says includes the parent that it was forked from."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    _main()
