"""Interrupts everything that writes a memory, at random moments, and looks at what is left.

    python -m tools.interrupts                          # 200 commands of each verb, and 200 calls of each function
    python -m tools.interrupts --count 20 build append  # fewer, of some

A command gets SIGINT (what Ctrl-C sends), once, twice or in a burst, at a moment between its start and its end. It must
end with exit code 130, or be done; print no traceback; leave the files that were there before, or those of the finished
command, byte for byte, and nothing else but a checkpoint; and the memory must verify. While the interpreter itself
starts, it dies of the signal: these are counted apart. A function is interrupted the same way, with an embedder that
takes its time: once it has raised, none of its threads is there any more. Ends with 1 if anything was otherwise.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
from numpy.typing import NDArray

from memvid import MemvidEncoder
from memvid.embedding import HashingEmbedder
from memvid.errors import MemvidError
from memvid.index.location import find_index
from memvid.maintenance import compact, delete, reindex, repair, verify
from memvid.storage.commit import recover
from tests.embedding.onnx_support import write_model
from tests.index.index_support import environment
from tests.memory_support import all_files, make_texts
from tests.repository import ROOT

CHUNKS = 300
LEGACY = ROOT / "tests" / "maintenance" / "legacy" / "memories"
_MEMVID = [sys.executable, "-m", "memvid"]
_SPEW = ("Traceback", "Exception ignored", "Fatal", "core dumped")
_PATIENCE = 60.0  # seconds: whatever takes longer hangs


@dataclass(frozen=True, slots=True)
class Verb:
    """A command, in the folder ``memory`` of a scratch folder.

    :ivar start: makes the files that are there before.
    :ivar out: the video that it writes; ``index``: its index, if that is neither inside nor of the video's name.
    """

    arguments: Sequence[str]
    start: Callable[[Path], object]
    out: str = "memory.mp4"
    index: str | None = None


def _texts(folder: Path) -> None:
    texts = make_texts(CHUNKS, seed=3)
    (folder / "texts.jsonl").write_text("".join(f'{{"text": "{text}", "n": {n}}}\n' for n, text in enumerate(texts)))


def _memory(folder: Path) -> None:
    """A memory that has grown, and texts for more."""
    _texts(folder)
    video = folder / "memory" / "memory.mp4"
    with MemvidEncoder(embedder=HashingEmbedder()) as encoder:
        encoder.add_chunks(make_texts(CHUNKS), metadatas=[{"n": n} for n in range(CHUNKS)])
        encoder.build_video(video)
    delete(video, chunk_ids=range(0, CHUNKS, 7))


def _cut_off(folder: Path) -> None:
    """A build that was killed half-way, with its checkpoint."""
    _texts(folder)
    model = write_model(folder / "model")
    command = [*_MEMVID, *VERBS["build --resume"].arguments]
    for seconds in np.arange(0.2, 10, 0.05):
        build = subprocess.Popen(command, cwd=folder / "memory", env=environment(), stdout=subprocess.DEVNULL)
        time.sleep(float(seconds))
        build.kill()
        if build.wait() == 0:
            raise SystemExit(f"the build ended before it could be killed: {model}")
        checkpoint = folder / "memory" / "memory.mp4.checkpoint"
        if checkpoint.exists() and checkpoint.stat().st_size > 2000:
            for file in {*checkpoint.parent.iterdir()} - {checkpoint}:  # litter, which the next build removes
                file.unlink()
            return


def _damaged(folder: Path) -> None:
    _memory(folder)
    video = folder / "memory" / "memory.mp4"
    video.write_bytes(video.read_bytes().replace(b"moov", b"MOOV"))


_HASHING = ("--model", "hashing")
VERBS = {
    "build": Verb(["build", "../texts.jsonl", "--no-split", "-o", "memory.mp4", "--force", *_HASHING], _memory),
    "build --resume": Verb(
        ["build", "../texts.jsonl", "--no-split", "-o", "memory.mp4", "--resume", "--model", "../model"], _cut_off
    ),
    "append": Verb(["append", "memory.mp4", "../texts.jsonl", "--no-split", "--replace", "n", *_HASHING], _memory),
    "delete": Verb(["delete", "memory.mp4", "--id", "1", "--where", "n=2"], _memory),
    "tag": Verb(["tag", "memory.mp4", "--id", "3", "--set", "place=harbour", "--message", "moved"], _memory),
    "compact": Verb(["compact", "memory.mp4"], _memory),
    "erase": Verb(["erase", "memory.mp4", "--id", "3"], _memory),
    "reindex": Verb(["reindex", "memory.mp4", *_HASHING], _memory),
    "repair": Verb(["repair", "memory.mp4", "-o", "out.mp4", *_HASHING], _damaged, "out.mp4"),
    "export": Verb(["export", "memory.mp4", "-o", "out.mp4"], _memory, "out.mp4", "memory.mp4"),
    "import": Verb(
        ["import", str(LEGACY / "mp4v.mp4"), str(LEGACY / "mp4v_index.json"), "-o", "memory.mp4", "--force", *_HASHING],
        _memory,
    ),
}


def _listens(process: int) -> bool:
    """Whether a process has a handler for SIGINT by now; before, the system ends it."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGINT - 1) & 1) or "Z (zombie)" in status


def _lasting(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if not name.endswith(".checkpoint")}


class _Trials:
    """Trials of a command."""

    def __init__(self, name: str, scratch: Path) -> None:
        self._verb = VERBS[name]
        self._scratch = scratch
        self._base = scratch / "base"
        (self._base / "memory").mkdir(parents=True)
        self._verb.start(self._base)
        self.old = all_files(self._base / "memory")
        seconds = []
        for number in range(3):
            folder = self._fresh(f"whole-{number}")
            begin = time.perf_counter()
            command = self._begin(folder)
            said = command.communicate()[1]
            if command.returncode:
                raise SystemExit(said)
            seconds.append(time.perf_counter() - begin)
        self.seconds = float(np.median(seconds))
        self.new = all_files(folder)

    def run(self, number: int) -> tuple[str, list[str]]:
        """Interrupt one: how it ended, and what is wrong."""
        chooser = random.Random(number)
        folder = self._fresh(f"trial-{number}")
        times = chooser.choice((1, 1, 2, 2, 10))
        waits = [chooser.uniform(0, self.seconds), *(chooser.choice((0.0, 0.002, 0.05)) for _ in range(times - 1))]
        command = self._begin(folder)
        listens = False
        for at, wait in enumerate(waits):
            time.sleep(wait)
            listens = listens if at else _listens(command.pid)
            command.send_signal(signal.SIGINT)
        try:
            said = command.communicate(timeout=_PATIENCE)[1]
        except subprocess.TimeoutExpired:
            command.kill()
            command.communicate()
            return "hangs", [f"hangs after SIGINT at {waits}"]
        code = command.returncode
        starting = not listens or (code in (1, -signal.SIGINT) and "memvid" not in said)
        problems = []
        if not starting and any(word in said for word in _SPEW):
            problems.append(f"printed {said[-1500:]}")
        if not starting and code not in (0, 130):
            problems.append(f"ended with {code}: {said[-1500:]}")
        problems += self._look(folder, code)
        if not problems:
            shutil.rmtree(folder.parent)
        where = f"trial {number}, SIGINT at {waits[0]:.3f} of {self.seconds:.3f} s, {times} times, exit code {code}: "
        return "starting" if starting else str(code), [where + problem for problem in problems]

    def _begin(self, folder: Path) -> subprocess.Popen[str]:
        command = [*_MEMVID, *self._verb.arguments]
        return subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def _look(self, folder: Path, code: int) -> list[str]:
        """What is wrong with the files that it left."""
        left, old, new = (_lasting(files) for files in (all_files(folder), self.old, self.new))
        problems = []
        if left != new and (code == 0 or left != old):
            names = [
                sorted(name for name in {*left, *files} if left.get(name) != files.get(name)) for files in (old, new)
            ]
            problems.append(f"files are neither as before, but for {names[0]}, nor as afterwards, but for {names[1]}")
        video = folder / self._verb.out
        index = find_index(video) if self._verb.index is None else folder / self._verb.index
        try:
            recover(index, video_file=video)
            if video.exists():
                problems += [str(finding) for finding in verify(video, index, deep=True).findings]
        except MemvidError as error:
            problems.append(f"the memory does not open: {error!r}")
        return problems

    def _fresh(self, name: str) -> Path:
        return Path(shutil.copytree(self._base, self._scratch / name)) / "memory"


class _SlowEmbedder:
    """An embedder that takes its time."""

    def __init__(self) -> None:
        self._real = HashingEmbedder()
        self.name, self.dim = self._real.name, self._real.dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        time.sleep(0.02)
        return self._real.encode(texts)


def _build(video: Path, embedder: _SlowEmbedder) -> None:
    with MemvidEncoder(embedder=embedder) as encoder:
        encoder.add_chunks(make_texts(CHUNKS, seed=3))
        encoder.build_video(video, checkpoint=video.with_name("memory.mp4.checkpoint"))


def _append(video: Path, embedder: _SlowEmbedder) -> None:
    with MemvidEncoder.open(video, embedder=embedder) as encoder:
        encoder.add_chunks(make_texts(CHUNKS, seed=3))
        encoder.append()


FUNCTIONS: dict[str, Callable[[Path, _SlowEmbedder], object]] = {
    "build_video()": _build,
    "append()": _append,
    "compact()": lambda video, embedder: compact(video, embedder=embedder),
    "reindex()": lambda video, embedder: reindex(video, embedder=embedder),
    "repair()": lambda video, embedder: repair(video, video.with_name("out.mp4"), embedder=embedder),
}


def _call(name: str, numbers: Sequence[int], scratch: Path) -> list[tuple[str, list[str]]]:
    """Interrupt calls of a function in this process."""
    base = scratch / "base"
    (base / "memory").mkdir(parents=True)
    _memory(base)
    function = FUNCTIONS[name]
    old = _lasting(all_files(base / "memory"))
    folder = Path(shutil.copytree(base, scratch / "whole")) / "memory"
    begin = time.perf_counter()
    function(folder / "memory.mp4", _SlowEmbedder())
    seconds = time.perf_counter() - begin
    new = _lasting(all_files(folder))
    results = []
    for number in numbers:
        folder = Path(shutil.copytree(base, scratch / f"trial-{number}")) / "memory"
        end, problems = _interrupt(partial(function, folder / "memory.mp4", _SlowEmbedder()), number, seconds)
        left = _lasting(all_files(folder))
        if left != new and (end == "0" or left != old):
            problems.append(f"files are neither as before nor as afterwards: {sorted(left)}")
        results.append((end, [f"trial {number}: {problem}" for problem in problems]))
        shutil.rmtree(folder.parent)
    return results


def _interrupt(function: Callable[[], object], number: int, seconds: float) -> tuple[str, list[str]]:
    """Call a function, and send this process SIGINT meanwhile."""
    chooser = random.Random(number)
    pauses = [chooser.choice((0.0, 0.002, 0.05)) for _ in range(chooser.choice((0, 1, 9)))]
    running = over = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if running:
            raise KeyboardInterrupt

    def press() -> None:
        for pause in [chooser.uniform(0, seconds), *pauses]:
            time.sleep(pause)
            if over:
                return
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, on_signal)
    presser = threading.Thread(target=press)
    presser.start()
    before = set(threading.enumerate())
    end = "0"
    try:
        running = True
        function()
        running = False
    except KeyboardInterrupt:
        running = False
        end = "130"
    left = {thread.name for thread in threading.enumerate()} - {thread.name for thread in before}
    over = True
    presser.join()
    return end, [f"the thread {name} is still there" for name in left]


def main() -> int:
    """Make the trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="of each (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="number of the first trial (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="commands at a time (default: 2)")
    parser.add_argument("names", nargs="*", default=[*VERBS, *FUNCTIONS], metavar="NAME")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, commands would ignore it, too
    print(
        "| what | exit code 130, raised | done | interpreter starting | otherwise | problems |\n"
        "|---|---|---|---|---|---|"
    )
    wrong = 0
    for name in options.names:
        numbers = range(options.seed, options.seed + options.count)
        with tempfile.TemporaryDirectory(prefix="memvid-interrupts-") as scratch:
            if name in FUNCTIONS:
                results = _call(name, numbers, Path(scratch))
            else:
                with ThreadPoolExecutor(options.jobs) as pool:
                    results = list(pool.map(_Trials(name, Path(scratch)).run, numbers))
        ends = Counter(end for end, _ in results)
        problems = [problem for _, found in results for problem in found]
        known = [ends.pop(end, 0) for end in ("130", "0", "starting")]
        print(f"| `{name}` | " + " | ".join(map(str, known)) + f" | {ends.total()} | {len(problems)} |", flush=True)
        print(*problems[:10], sep="\n", end="\n" * bool(problems), file=sys.stderr, flush=True)
        wrong += len(problems)
    print(f"\n{wrong} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
