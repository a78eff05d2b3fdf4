from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from memvid.errors import OutputError
from memvid.storage import lock_holder, locks
from memvid.storage.locks import FileLocks, lock_file
from tests.storage.lock_support import WAYS, failing, holding, kill, leave_behind

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be killed")

NO_LINKS = "no links"
NO_UNNAMED = "no unnamed files"
PLACES = ("everything works", NO_UNNAMED, NO_LINKS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.mp4"


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """File systems that lack something."""
    if request.param != "everything works":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if request.param == NO_LINKS:
        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


def refuse(*args: object, **options: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def take(path: Path, *, building: bool = True) -> FileLocks:
    return FileLocks([path], building=building)


def is_free(path: Path) -> bool:
    try:
        take(path).release()
    except OutputError as error:
        if "another process is writing it" not in str(error):
            raise
        return False
    return True


def change_record(path: Path, **changes: Any) -> None:
    """Have a lock file say something else."""
    file = lock_file(path)
    record = json.loads(file.read_bytes())
    file.write_text(json.dumps({**record, **changes}))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("place")
class TestExclusion:
    def test_what_is_held_is_refused_and_then_free(self, path: Path, way: str) -> None:
        with failing(way):
            with take(path):
                assert names(path) == ["memory.mp4.lock"]
                assert not is_free(path)
            assert names(path) == []
            assert is_free(path)

    @pytest.mark.parametrize("other", ["flock works", "ENOLCK"])
    def test_a_process_where_locks_fail_and_one_where_they_work(self, path: Path, way: str, other: str) -> None:
        with holding(path, other) as holder, failing(way):
            assert not is_free(path)
            kill(holder)
            assert is_free(path)
        assert names(path) == []

    def test_who_mends_is_waited_for(self, path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with holding(path, building=False) as holder, failing(way):
            monkeypatch.setattr("time.sleep", lambda seconds: kill(holder))
            take(path).release()
            assert holder.returncode is not None

    def test_who_mends_waits_for_a_build(self, path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with holding(path) as holder, failing(way):
            monkeypatch.setattr("time.sleep", lambda seconds: kill(holder))
            with pytest.raises(OutputError, match="another process"):
                FileLocks([path.with_name("memory_index.json"), path], building=False)
            assert holder.returncode is None
            FileLocks([path], building=False).release()
            assert holder.returncode is not None
        assert names(path) == []


class TestStale:
    """Locks that ended processes have left."""

    @pytest.mark.usefixtures("place")
    @pytest.mark.parametrize("way", ["flock works", "ENOLCK"])
    def test_one_after_the_other_is_succeeded(self, path: Path, way: str) -> None:
        for _ in range(3):
            leave_behind(path, way)
        assert names(path) == ["memory.mp4.lock"]
        with take(path):
            assert names(path) == ["memory.mp4.lock"]
        assert names(path) == []

    @pytest.mark.usefixtures("place")
    @pytest.mark.parametrize("keeps", [True, False])
    def test_of_two_that_find_it_one_gets_it(self, path: Path, monkeypatch: pytest.MonkeyPatch, keeps: bool) -> None:
        leave_behind(path, "ENOLCK")
        place = locks._FileLock._place
        others: list[FileLocks] = []

        def be_late(self: Any, name: Path) -> bool:
            monkeypatch.setattr(locks._FileLock, "_place", place)
            others.append(take(path))  # between the look at the stale file and the own one
            if not keeps:
                others[0].release()
            return place(self, name)

        monkeypatch.setattr(locks._FileLock, "_place", be_late)
        assert is_free(path) is not keeps
        assert len(others) == 1
        assert is_free(path) is not keeps
        others[0].release()
        assert names(path) == []

    def test_many_threads_at_once(self, path: Path) -> None:
        """Of whoever finds a stale lock, one at a time holds it, however it happens."""
        inside, most, won = 0, 0, 0
        gate = threading.Barrier(6)
        counter = threading.Lock()

        def run() -> None:
            nonlocal inside, most, won
            for _ in range(20):
                gate.wait()
                try:
                    held = take(path)
                except OutputError:
                    gate.wait()
                    continue
                with counter:
                    inside += 1
                    won += 1
                    most = max(most, inside)
                gate.wait()
                with counter:
                    inside -= 1
                for lock in held._held:  # as if its process had been killed
                    assert lock._holder is not None
                    locks._held.discard(lock._holder.id)

        threads = [threading.Thread(target=run) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1
        assert won == 20

    def test_a_number_that_another_process_has_by_now(self, path: Path) -> None:
        leave_behind(path, "ENOLCK")
        change_record(path, pid=os.getppid())
        assert is_free(path)

    def test_one_that_nobody_has_waited_for(self, path: Path) -> None:
        child = os.fork()
        if child == 0:
            with failing("ENOLCK"):
                _held = take(path)
                os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert lock_file(path).exists()
        assert is_free(path)
        os.waitpid(child, 0)

    def test_of_before_the_machine_was_started(self, path: Path) -> None:
        leave_behind(path)
        change_record(path, boot="another", pid=os.getpid())
        assert is_free(path)

    @pytest.mark.parametrize("kept", [0, 1, 5, 9, 10, 60, 200, -3, -2])
    @pytest.mark.parametrize("zeros", [0, 300])
    def test_a_file_that_does_not_say_it_yet(self, path: Path, kept: int, zeros: int) -> None:
        """What a power cut leaves, or a process that was killed while it wrote."""
        leave_behind(path)
        lock_file(path).write_bytes(lock_file(path).read_bytes()[:kept] + b"\0" * zeros)
        os.utime(lock_file(path), (1e9, 1e9))
        assert is_free(path)
        assert names(path) == []

    def test_a_record_with_zeros_behind_it(self, path: Path) -> None:
        leave_behind(path)
        with lock_file(path).open("ab") as file:
            file.write(b"\0" * 300)
        assert is_free(path)
        assert names(path) == []

    def test_a_file_that_says_nothing_yet_is_waited_for(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lock_file(path).touch()
        monkeypatch.setattr("time.sleep", lambda seconds: os.utime(lock_file(path), (1e9, 1e9)))
        assert is_free(path)

    def test_who_was_suspended_while_he_made_his_file_gives_it_up(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
        monkeypatch.setattr(os, "link", refuse)
        clock = iter([0.0, 100.0])
        monkeypatch.setattr("time.time", lambda: next(clock, 0.0))
        monkeypatch.setattr("time.sleep", lambda seconds: os.utime(lock_file(path), (1e9, 1e9)))
        with take(path):
            assert names(path) == ["memory.mp4.lock"]
        assert names(path) == []

    @pytest.mark.usefixtures("place")
    def test_what_whoever_was_killed_in_the_middle_left_goes(self, path: Path) -> None:
        leave_behind(path)
        left = lock_file(path).read_bytes()
        lock_file(path).with_name("memory.mp4.lock." + "a" * 32).write_bytes(left)
        path.with_name("memory.mp4.lock.mine").write_bytes(left)
        assert is_free(path)
        assert names(path) == ["memory.mp4.lock.mine"]


class TestUnseen:
    """Holders of which nobody can say whether they still run."""

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locks, "_PATIENCE", 0)

    @pytest.mark.parametrize("building", [True, False])
    @pytest.mark.parametrize(
        "changes",
        [
            {"host": "elsewhere"},
            {"host": "elsewhere", "what a later release says": 1},
            {"boot": "another", "machine": "another"},
            {"boot": "another", "machine": None},
        ],
    )
    @pytest.mark.parametrize("way", ["flock works", "ENOLCK"])
    def test_of_another_host_is_never_taken(self, path: Path, way: str, changes: Any, building: bool) -> None:
        leave_behind(path, way)
        change_record(path, **{"boot": "another", **changes})
        before = lock_file(path).read_bytes()
        pid = json.loads(before)["pid"]
        with pytest.raises(OutputError, match=rf"process {pid} of host .*: rm {lock_file(path)}"):
            take(path, building=building)
        assert lock_file(path).read_bytes() == before
        assert names(path) == ["memory.mp4.lock"]

    def test_of_another_container_by_flock(self, path: Path) -> None:
        leave_behind(path)
        change_record(path, namespace="another", host="container")
        with failing("ENOLCK"), pytest.raises(OutputError, match="'container'"):
            take(path)
        assert is_free(path)
        with holding(path):
            change_record(path, namespace="another", host="container")
            assert not is_free(path)

    def test_a_number_of_which_the_system_does_not_say_when_it_began(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lock_holder, "_parse_stat", lambda pid: None)
        leave_behind(path, "ENOLCK")
        change_record(path, pid=os.getppid())
        assert not is_free(path)
        change_record(path, flocked=True)
        assert is_free(path)
        leave_behind(path, "ENOLCK")
        assert is_free(path)

    def test_a_chain_without_an_end(self, path: Path) -> None:
        leave_behind(path)
        record = json.loads(lock_file(path).read_bytes())
        lock_file(path).with_name(f"memory.mp4.lock.{record['id']}").write_text(json.dumps(record))
        with pytest.raises(OutputError, match="more lock files"):
            take(path)

    @pytest.mark.parametrize(
        "changes",
        [{"id": "../x"}, {"pid": True}, {"pid": 0}, {"pid": 1 << 40}, {"host": 1}, {"started": "1"}, {"building": 1}],
    )
    def test_a_record_that_none_can_have_written(self, path: Path, changes: Any) -> None:
        leave_behind(path)
        change_record(path, **changes)
        os.utime(lock_file(path), (1e9, 1e9))
        with pytest.raises(OutputError, match=r"memvid did not write it"):
            take(path)


class TestFiles:
    @pytest.mark.usefixtures("place")
    def test_they_are_private(self, path: Path) -> None:
        before = os.umask(0)
        try:
            with take(path):
                assert lock_file(path).stat().st_mode & 0o777 == 0o600
        finally:
            os.umask(before)

    @pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
    def test_what_is_no_file_is_refused(self, path: Path, tmp_path: Path, kind: str) -> None:
        precious = tmp_path / "precious"
        if kind == "pipe":
            os.mkfifo(lock_file(path))
        elif kind == "folder":
            lock_file(path).mkdir()
        else:
            lock_file(path).symlink_to(precious)
        if kind == "link":
            precious.write_text("mine")
        with pytest.raises(OutputError, match=r"remove it: rm .*memory\.mp4\.lock"):
            take(path)
        assert not precious.exists() or precious.read_text() == "mine"

    def test_another_name_of_a_file_is_not_written_to(self, path: Path, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.write_text("mine")
        os.utime(precious, (1e9, 1e9))
        os.link(precious, lock_file(path))
        with pytest.raises(OutputError, match="memvid did not write it"):
            take(path)
        assert precious.read_text() == lock_file(path).read_text() == "mine"

    @pytest.mark.parametrize(
        "content",
        [
            b"build\n",
            b"mine",
            b"\0\0mine",
            b"\0" * 5000,
            b'{"pid": 1}',
            b'{"boot": 1}\n',
            b'{"boot": "x"\nmine',
            b"[" * 4000,
        ],
    )
    def test_somebodys_own_file_of_this_name_is_kept(self, path: Path, content: bytes) -> None:
        lock_file(path).write_bytes(content)
        os.utime(lock_file(path), (1e9, 1e9))
        with pytest.raises(
            OutputError, match=r"memvid did not write it: rename it, .* remove it: rm .*memory\.mp4\.lock"
        ):
            take(path)
        assert lock_file(path).read_bytes() == content
        assert names(path) == ["memory.mp4.lock"]

    def test_a_lock_that_somebody_removed_is_not_removed_again(self, path: Path) -> None:
        first = take(path)
        lock_file(path).unlink()
        with take(path):
            first.release()
            assert not is_free(path)

    def test_a_file_that_cannot_be_removed_locks_nobody_out(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        held = take(path)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", refuse)
            held.release()
        assert lock_file(path).exists()
        os.utime(lock_file(path), (1e9, 1e9))
        assert is_free(path)

    def test_where_nobody_can_be_excluded_nothing_is_written(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = os.open

        def only_plainly(name: Any, flags: int, *rest: Any, **options: Any) -> int:
            if flags & os.O_EXCL:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return opened(name, flags, *rest, **options)

        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
        monkeypatch.setattr(os, "link", refuse)
        monkeypatch.setattr(os, "open", only_plainly)
        with pytest.raises(OutputError, match="neither links nor exclusive creation"):
            take(path)
        assert names(path) == []

    @pytest.mark.usefixtures("place")
    def test_a_folder_may_be_reached_by_a_link(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(path.parent, target_is_directory=True)
        with take(tmp_path / "link" / path.name):
            assert not is_free(path)
        assert is_free(path)
        assert names(path) == ["link"]

    def test_a_missing_folder_is_said_to_be_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            take(tmp_path / "nowhere" / "memory.mp4")


def test_a_fork_holds_nothing(path: Path) -> None:
    held = take(path)
    child = os.fork()
    if child == 0:
        held.release()
        os._exit(0 if not is_free(path) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert names(path) == ["memory.mp4.lock"]
    assert not is_free(path)
    held.release()


def test_it_ends_with_its_process_even_if_a_fork_goes_on(path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from memvid.storage.locks import FileLocks\n"
        "held = FileLocks([Path(sys.argv[1])], building=True)\n"
        "if os.fork():\n    print('held', flush=True); os._exit(0)\n"
        "sys.stdin.read(); os._exit(0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.wait()
    assert is_free(path)
    process.communicate()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a file that was just opened is closed when it is dropped
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("stale", [False, True])
def test_an_interruption_at_any_line_leaves_the_lock_free(path: Path, stale: bool) -> None:
    # In a thread of its own: what is raised at some lines stays in a thread as the error that it is handling.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(interrupt_every_line, path, stale).result()


def interrupt_every_line(path: Path, stale: bool) -> None:
    interrupted = 0
    for line in range(2000):
        if stale:
            leave_behind_by_thread(path)
        if not interrupt(lambda: take(path).release(), line):
            break
        interrupted += 1
        assert len(names(path)) <= 1 + stale, where[-1]
        assert is_free(path), where[-1]
        assert not locks._held, where[-1]
        assert names(path) == [], where[-1]
        assert names(path) == []
    assert interrupted > 40


where: list[str] = []


def leave_behind_by_thread(path: Path) -> None:
    """What :func:`leave_behind` does, without the time that a process takes."""
    left = take(path)
    for lock in left._held:
        lock._files = []
    left.release()


def interrupt(function: Callable[[], object], at: int) -> bool:
    """Call a function, and raise ``KeyboardInterrupt`` at the ``at``-th line of the locks; whether it came that far."""
    left = at

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != locks.__file__ or frame.f_code.co_name in ("__del__", "release", "_remove"):
            return None
        if event == "line":
            left -= 1
            if left == -1:
                where.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.fixture(autouse=True)
def nothing_is_held() -> Iterator[None]:
    yield
    assert locks._held == set()
