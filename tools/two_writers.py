"""Two programs of three processes each append to one memory, while locks fail and processes are killed.

    python -m tools.two_writers                        # every way in which locks fail, a minute each
    python -m tools.two_writers --seconds 5 --way ENOLCK --way "half fail"

Each process opens the memory, adds a chunk and appends, over and over; one of them is killed every second or so, and
started again. Every append that returned must be in the memory afterwards, once, and ``verify(deep=True)`` must find
nothing. The exit code is 1 if that is not so.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from memvid import MemvidEncoder
from memvid.errors import OutputError
from memvid.maintenance import verify
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

_Result = TypeVar("_Result")

ERRORS = ("ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EIO", "EINTR")
WAYS = {
    "nothing fails": "flock works everywhere",
    **{name: f"flock says {name}, always" for name in ERRORS},
    "now and then": "flock says EINTR, half of the time",
    "half fail": "flock says ENOLCK in one program, and works in the other",
    "some calls": "flock says ENOLCK, half of the time",
    "no links": "flock says ENOLCK, and link EPERM",
    "in libc": "flock says ENOLCK, as libc tells it",
}
PROGRAMS, PROCESSES = ("first", "second"), 3
KILL_EVERY = 1.0  # seconds

_PRELOADED = "#include <errno.h>\nint flock(int f, int o) { (void)f; (void)o; errno = ENOLCK; return -1; }\n"


def main() -> int:
    """Try each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long to write in each way (default: 60)")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=1, help="of what is random (default: 1)")
    arguments = parser.parse_args()
    print("| locks | appends that returned | lost | twice | a second | killed | refused | other errors | verify |")
    print("|---|---|---|---|---|---|---|---|---|")
    wrong = 0
    for way in arguments.way or WAYS:
        with tempfile.TemporaryDirectory(prefix="memvid-writers-") as scratch:
            folder = Path(scratch)
            if way == "in libc" and "LD_PRELOAD" not in os.environ:
                wrong += _try_preloaded(folder, arguments.seconds)
                continue
            problems = _try(way, folder, arguments.seconds, random.Random(arguments.seed))
            print(*problems[:10], sep="\n", end="\n" * bool(problems), file=sys.stderr, flush=True)
            wrong += len(problems)
    print(f"\n{wrong} problems")
    return 1 if wrong else 0


def _try(way: str, folder: Path, seconds: float, chooser: random.Random) -> list[str]:
    """Write in one way, and print a row; what is wrong."""
    video = _apart(lambda: build(folder, make_texts(10)))
    end = time.time() + seconds
    writers = [_Writer(way, program, number, folder, end) for program in PROGRAMS for number in range(PROCESSES)]
    kills = 0
    while time.time() < end:
        time.sleep(chooser.uniform(0.5, 1.5) * KILL_EVERY)
        chooser.choice(writers).kill()
        kills += 1
    for writer in writers:
        writer.wait()
    said = Counter(line for writer in writers for line in writer.log.read_text().splitlines())
    returned = [line.removeprefix("returned ") for line in said if line.startswith("returned ")]
    errors = {line: count for line, count in said.items() if not line.startswith("returned ")}
    refused = errors.pop("refused", 0)
    found, findings = _apart(lambda: _look(video))
    lost = [text for text in returned if not found[text]]
    twice = [text for text, count in found.items() if count > 1]
    litter = [file.name for file in folder.iterdir() if ".lock" in file.name or file.suffix in (".new", ".commit")]
    print(
        f"| {WAYS[way]} | {len(returned):,} | {len(lost)} | {len(twice)} | {len(returned) / seconds:.1f} | {kills} | "
        f"{refused:,} | {len(errors)} | {'damaged' if findings else 'sound'} |",
        flush=True,
    )
    return [*lost, *twice, *errors, *litter, *findings]


def _look(video: Path) -> tuple[Counter[str], list[str]]:
    """The texts of a memory, and what ``verify`` finds wrong with it; afterwards it has one more."""
    report = verify(video, deep=True)
    with open_memory(video) as memory:
        found = Counter(chunk.text for chunk in memory.get_chunks_by_id(memory.chunk_ids()))
    with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
        encoder.add_chunks(["the last one"])
        encoder.append()
    return found, [str(finding) for finding in report.findings]


def _try_preloaded(folder: Path, seconds: float) -> int:
    """The same with another libc; how much is wrong."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        print(f"| {WAYS['in libc']} | not tried: it takes Linux and a C compiler |")
        return 0
    library = folder / "flock.so"
    (folder / "flock.c").write_text(_PRELOADED)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "flock.c"], check=True)
    command = [sys.executable, "-m", "tools.two_writers", "--way", "in libc", "--seconds", str(seconds)]
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    print(*[line for line in done.stdout.splitlines() if WAYS["in libc"] in line], sep="\n", flush=True)
    return done.returncode


class _Writer:
    """A fork of this process that writes; another one in its place when it is killed.

    :ivar log: gets a line for each append that returned, and for each that did not.
    """

    def __init__(self, way: str, program: str, number: int, folder: Path, end: float) -> None:
        self.log = folder / f"{program}-{number}.log"
        self.log.touch()
        self._work = lambda: _write(way, program, folder, self.log, end)
        self._process = _fork(self._work)

    def kill(self) -> None:
        """Kill it, and start another one."""
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        self._process = _fork(self._work)

    def wait(self) -> None:
        """Wait until it ends, as it must by itself."""
        _, status = os.waitpid(self._process, 0)
        if status:
            with self.log.open("a") as log:
                log.write(f"ended with status {status}\n")


def _fork(function: Callable[[], object]) -> int:
    """Call a function in a process of its own; its number."""
    child = os.fork()
    if child == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def _apart(function: Callable[[], _Result]) -> _Result:
    """What a function returns in a process of its own: this one has no threads, so that it can be forked."""
    reading, writing = os.pipe()
    child = _fork(lambda: os.write(writing, pickle.dumps(function())))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result: _Result = pickle.load(pipe)
    os.waitpid(child, 0)
    return result


def _write(way: str, program: str, folder: Path, log: Path, end: float) -> None:
    """What a process does until the end."""
    chooser = random.Random(f"{program} {os.getpid()}")
    _fail(way, program, chooser)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    number = 0
    while time.time() < end:
        number += 1
        text = f"{program} {os.getpid()} {number}"
        try:
            with MemvidEncoder.open(folder / "memory.mp4", embedder=EMBEDDER) as encoder:
                encoder.add_chunks([text])
                encoder.append()
            line = f"returned {text}"
        except OutputError as error:
            line = "refused" if "another process is writing it" in str(error) else f"{error!r}"
        except Exception as error:
            line = f"{error!r}"
        os.write(descriptor, f"{line}\n".encode())  # before anything else: this process may be killed at any moment
        if line == "refused":
            time.sleep(chooser.uniform(0, 0.02))


def _fail(way: str, program: str, chooser: random.Random) -> None:
    """Have this process's locks fail."""
    real = fcntl.flock
    error = {"now and then": "EINTR"}.get(way, way if way in ERRORS else "ENOLCK")
    share = {"nothing fails": 0.0, "in libc": 0.0, "now and then": 0.5, "some calls": 0.5}.get(way, 1.0)
    if way == "half fail" and program == PROGRAMS[0]:
        share = 0.0

    def flock(descriptor: Any, operation: int) -> None:
        if chooser.random() < share:
            raise OSError(getattr(errno, error), os.strerror(getattr(errno, error)))
        real(descriptor, operation)

    def link(*_paths: object, **_options: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    fcntl.flock = flock
    if way == "no links":
        os.link = link


if __name__ == "__main__":
    sys.exit(main())
