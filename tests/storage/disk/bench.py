"""One trial: an operation, a fault in one of its calls, and what the files are afterwards.

Everything that may be killed, or may crash over what it finds, is done by a fork of this process, which has imported
all of memvid and has no threads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pickle
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memvid.errors import MemvidError, OutputError
from memvid.index.manifest import read_manifest
from tests.memory_support import all_files
from tests.storage.disk.operations import NOTHING, OPERATIONS, Operation, describe
from tests.storage.disk.power import Disk
from tests.storage.disk.trap import Action, Call, Kind, arm, read_log

__all__ = ["FAULTS", "Bench", "Fault", "Outcome"]

_VAGUE = (errno.EIO, errno.EACCES)
"""What libraries that do not pass errors on as they are make of those that do not come again."""

_SIDE = (".new", ".lock", ".commit")  # what a memory at rest has not
_SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong at one call."""

    name: str
    action: Action
    error: int = 0

    @property
    def kills(self) -> bool:
        """Whether the process ends by it."""
        return self.action in (Action.KILL, Action.TORN)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("killed", Action.KILL),
        Fault("torn", Action.TORN),
        Fault("ENOSPC", Action.FAIL, errno.ENOSPC),
        Fault("EIO", Action.FAIL, errno.EIO),
        Fault("full disk", Action.FULL, errno.ENOSPC),
        Fault("half then full", Action.SHORT, errno.ENOSPC),
        Fault("dead disk", Action.DEAD, errno.EIO),
    )
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a fork ended: what it returned or raised, or the signal."""

    value: Any = None
    error: BaseException | None = None
    text: str = ""
    signal: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a trial.

    :ivar state: ``"old"``, ``"new"``, or ``"wrong"``.
    :ivar told: ``"returned"``, ``"raised"``, ``"killed"`` or ``"lost power"``.
    :ivar problems: what must not be, in words.
    """

    state: str
    told: str
    problems: tuple[str, ...]


def fork(function: Callable[[], Any]) -> Ending:
    """Call a function in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                result = Ending(value=function())
            except BaseException as error:
                result = Ending(error=_plain(error), text=traceback.format_exc())
            os.write(writing, pickle.dumps(result))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or not data:
        return Ending(signal=os.WTERMSIG(status) or -1)
    ending: Ending = pickle.loads(data)
    return ending


def _plain(error: BaseException) -> BaseException:
    """The same error, if it can be sent; one of its kind that says the same otherwise."""
    try:
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is type(error):
            return error
    except Exception:
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")


class Bench:
    """An operation, the files it starts from, and what it makes of them when nothing fails.

    :param scratch: an empty folder, best one in memory.
    :param mode: of the files it starts from, if it is not to be the usual one.
    """

    def __init__(self, operation: Operation, scratch: Path, trap: ctypes.CDLL, *, mode: int | None = None) -> None:
        self._mode = mode
        self._operation = operation
        self._scratch = scratch
        self._trap = trap
        self.base = scratch / "base"
        self.old_files: dict[str, bytes] = {}
        self._make_base()
        self.old_files = all_files(self.base / "memory")

    def rehearse(self) -> Bench:
        """Run the operation as it goes when nothing fails, which trials are compared with."""
        self.old = self._described(self.fresh())
        self.calls = self.record(self._scratch / "calls.log")
        self.new_files = all_files(self._scratch / "trial" / "memory")
        self.new = self._described(self._scratch / "trial")
        return self

    def record(self, log: Path, folder: Path | None = None) -> list[Call]:
        """Run the operation without a fault; its calls.

        :param folder: ``None`` takes a fresh copy of the base.
        """
        _expect(self._run(folder or self.fresh(), Action.PASS, 0, 0, log))
        return list(read_log(log))

    def recorded(self) -> tuple[Disk, list[Call]]:
        """The disk before the operation, and the calls of it, with all that they write, in the memory's folder."""
        folder, log = self.fresh(), self._scratch / "data.log"
        inodes = {path.name: path.stat().st_ino for path in (folder / "memory").iterdir()}
        files = all_files(folder / "memory")
        _expect(self._run(folder, Action.PASS, 0, 0, log, data=True))
        memory = os.path.realpath(folder / "memory")
        calls = [
            call
            for call in read_log(log)
            if any(name == memory or name.startswith(memory + "/") for name in (call.name, call.new_name))
        ]
        return Disk(memory, files, inodes), calls

    def power_cut(self, files: dict[str, bytes], *, finished: bool) -> Outcome:
        """Have a power cut leave these files.

        :param finished: whether the operation had returned.
        """
        folder = self._scratch / "trial"
        shutil.rmtree(folder, ignore_errors=True)
        _make_folder(folder)
        for name, content in files.items():
            (folder / "memory" / name).write_bytes(content)
            os.utime(folder / "memory" / name, (0, 0))  # the power is off for a while
        self._link(folder)
        try:
            state = self.state(folder)
        except AssertionError as error:
            return Outcome("wrong", "lost power", (str(error),))
        problems = list(self._check_files(state, files, all_files(folder / "memory"), tidy=False))
        if finished and state != "new":
            problems.append("it had returned, and the memory is the old one")
        problems += self.check_next(folder, state)
        return Outcome(state, "lost power", (*problems, *self._check_snapshot(folder)))

    def trial(self, fault: Fault, at: int) -> Outcome:
        """Have call number ``at`` fail."""
        folder = self.fresh()
        log = self._scratch / "trial.log"
        ending = self._run(folder, fault.action, at, fault.error, log)
        calls = list(read_log(log))
        reached = bool(calls) and calls[-1].number >= at
        problems = list(_check_ending(ending, fault, reached=reached, vague=self._operation.vague))
        left = all_files(folder / "memory")
        litter = sorted(name for name in left if name.endswith(_SIDE) and name not in self.old_files)
        temporary = list((folder / "tmp").iterdir())
        try:
            state = self.state(folder)
        except AssertionError as error:
            return Outcome("wrong", _told(ending), (*problems, str(error)))
        committed = ending.error is None or "complete" in str(ending.error)
        if not ending.signal and (state == "new") != (committed or self.old == self.new):
            problems.append(f"it {_told(ending)}, and the memory is the {state} one: {ending.error}")
        can_tidy = fault.action is Action.FULL or (
            fault.action in (Action.FAIL, Action.SHORT)
            and all(c.kind is not Kind.UNLINK for c in calls if c.result < 0)
        )
        if not ending.signal and can_tidy and (litter or temporary) and not (state == "new" and ending.error):
            problems.append(f"it {_told(ending)} and left {litter or temporary}")
        problems += self._check_files(state, left, all_files(folder / "memory"), tidy=can_tidy and not ending.signal)
        problems += self.check_next(folder, state)
        problems += self._check_snapshot(folder)
        return Outcome(state, _told(ending), tuple(problems))

    def state(self, folder: Path) -> str:
        """``"old"`` or ``"new"``.

        :raises AssertionError: neither.
        """
        found = self._described(folder)
        if found == self.new:
            return "new"
        if found == self.old:
            return "old"
        raise AssertionError(f"a third thing: {found}, neither {self.old} nor {self.new}")

    def check_next(self, folder: Path, state: str) -> Iterator[str]:
        """Whether the next operation succeeds, and leaves a memory without litter."""
        operation = self._operation
        again = operation.again
        if again is None or (state == "old" and self.old != self.new):
            again = operation.run
        ending = fork(lambda: _prepared(folder, again))
        if ending.error or ending.signal:
            yield f"the next one fails: {ending.text or ending}"
            return
        ending = fork(lambda: _named(folder, operation))
        if ending.error or ending.signal:
            yield f"after the next one: {ending.text or ending}"
            return
        left = set(all_files(folder / "memory")) - ending.value
        litter = sorted(name for name in left if not operation.leaves or not name.startswith(operation.leaves))
        if litter:
            yield f"after the next one there is {litter}"

    def _make_base(self) -> None:
        operation = self._operation
        if operation.cut is None:
            start = operation.start
            _make_folder(self.base)
            if start is not None:
                _expect(fork(lambda: _prepared(self.base, start)))
            for path in (self.base / "memory").iterdir():
                if self._mode is not None:
                    path.chmod(self._mode)
            return
        name, kind, part, which = operation.cut
        inner = Bench(OPERATIONS[name], _subfolder(self._scratch, "inner"), self._trap, mode=self._mode).rehearse()
        wanted = [
            call.number
            for call in inner.calls
            if call.kind is Kind[kind.upper()] and part in (call.new_name or call.name)
        ]
        folder = inner.fresh()
        ending = inner._run(folder, Action.TORN, wanted[which], 0, self._scratch / "inner.log")
        assert ending.signal == signal.SIGKILL, ending
        folder.rename(self.base)

    def fresh(self) -> Path:
        """A copy of the base."""
        folder = self._scratch / "trial"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.base, folder)
        self._link(folder)
        return folder

    def _link(self, folder: Path) -> None:
        """Give files that are as they were at the start another name, if the operation is about those that have."""
        names = [name for name in self.old_files if not name.endswith(".lock")] if self._operation.linked else []
        for name in names:
            path = folder / "memory" / name
            if path.exists() and path.read_bytes() == self.old_files[name]:
                (folder / _SNAPSHOT / name).hardlink_to(path)

    def _check_snapshot(self, folder: Path) -> Iterator[str]:
        for name, content in all_files(folder / _SNAPSHOT).items():
            if content != self.old_files[name]:
                yield f"{name} of the snapshot has changed"

    def _described(self, folder: Path) -> str:
        ending = fork(lambda: _prepared(folder, lambda root: describe(self._operation, root)))
        if ending.error or ending.signal:
            raise AssertionError(f"a third thing: {ending.text or ending}")
        return str(ending.value)

    def _run(self, folder: Path, action: Action, at: int, error: int, log: Path, *, data: bool = False) -> Ending:
        def armed(root: Path) -> None:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            arm(self._trap, root, action, at, error, log=descriptor, data=data)
            self._operation.run(root)

        return fork(lambda: _prepared(folder, armed))

    def _check_files(
        self, state: str, before: dict[str, bytes], after: dict[str, bytes], *, tidy: bool
    ) -> Iterator[str]:
        """Whether the files of the side that counts have every byte they had, or were to have."""
        if self._operation.cut is not None:
            return  # what it starts from is not at rest
        if state == "old":
            for name, content in self.old_files.items():
                if name.endswith(_SIDE):
                    continue
                for found in (before.get(name), after.get(name)):
                    same = found == content if tidy or not name.endswith(".mp4") else (found or b"").startswith(content)
                    if not same:
                        yield f"the old memory is back, but {name} is not as it was"
                        break
        if state == "new" or self._operation.out is not None:
            sources = self.new_files if state == "new" else self.old_files
            for name, content in sources.items():
                found = after.get(name)
                if name.endswith(_SIDE) or ".json" in name or found in (content, None):
                    continue
                if self._operation.index == name and _is_torn_commit(found or b"", content):
                    continue
                yield f"{name} is not what it would have been without the fault"


def _is_torn_commit(found: bytes, whole: bytes) -> bool:
    """Whether a video lacks nothing but letters of the name ``free`` of its old movie header: they are ``moov``'s yet.

    It counts as committed, by docs/format.md; of a memory in several files the next opening completes the name.
    """
    differing = [at for at in range(len(whole)) if found[at] != whole[at]] if len(found) == len(whole) else []
    if not differing:
        return False
    return any(
        whole[start : start + 4] == b"free"
        and differing[-1] < start + 4
        and all(found[start + i] in (b"moov"[i], b"free"[i]) for i in range(4))
        for start in range(differing[0] - 3, differing[0] + 1)
    )


def _make_folder(folder: Path) -> None:
    for name in ("memory", "tmp", "cache", _SNAPSHOT):
        (folder / name).mkdir(parents=True)


def _subfolder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _expect(ending: Ending) -> None:
    assert not ending.error, ending.text
    assert not ending.signal, ending


def _prepared(folder: Path, function: Callable[[Path], Any]) -> Any:
    os.environ["TMPDIR"] = os.environ["SQLITE_TMPDIR"] = os.fspath(folder / "tmp")
    os.environ["MEMVID_CACHE_DIR"] = os.fspath(folder / "cache")
    return function(folder)


def _named(folder: Path, operation: Operation) -> set[str]:
    """The files that a memory, and the one an operation writes, say they consist of. It must verify."""

    def look(root: Path) -> set[str]:
        if describe(operation, root) == NOTHING:
            raise AssertionError("there is no memory")
        names: set[str] = set()
        for stem in ("memory", "out"):
            video = root / "memory" / f"{stem}.mp4"
            index = video.with_name(f"{stem}_index.json")
            names |= {video.name, index.name}
            if index.exists():
                names |= {file.name for _, file in read_manifest(index).side_files()}
        return names

    names: set[str] = _prepared(folder, look)
    return names


def _told(ending: Ending) -> str:
    return "killed" if ending.signal else "raised" if ending.error else "returned"


def _check_ending(ending: Ending, fault: Fault, *, reached: bool, vague: bool) -> Iterator[str]:
    """Whether the operation ended as it must: killed where it is killed, with a typed error where something failed."""
    if ending.signal:
        if not fault.kills or ending.signal != signal.SIGKILL:
            yield f"crashed by signal {ending.signal}"
    elif fault.kills and reached:
        yield "was not killed"
    elif ending.error is not None:
        if not isinstance(ending.error, MemvidError):
            yield f"raised no error of this library: {ending.text}"
        elif not vague and (
            not isinstance(ending.error, OutputError) or ending.error.errno not in (fault.error, *_VAGUE)
        ):
            yield f"raised {ending.error!r}, not an OutputError of errno {fault.error}"
