"""What a verb does without standard streams, and when it is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import memvid
from memvid import HashingEmbedder, MemvidEncoder, maintenance
from memvid.cli import main
from memvid.cli.app import PIPE_CLOSED
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory

HASHING = ("--model", "hashing")
# An embedder that prints as libraries do, past Python's own streams; it is taken for the one of memvid.
PRINTS = """
    import os, sys
    from contextlib import suppress
    from memvid.embedding import HashingEmbedder

    def encode(self, texts, encode=HashingEmbedder.encode):
        for number in range(3):
            with suppress(OSError):
                os.write(number, b"a warning" * 1000)
        return encode(self, texts)

    HashingEmbedder.encode = encode
"""


def run_python(code: str, *arguments: object, closed: tuple[int, ...] = (), **options: Any) -> int:
    """Run a program without some of its standard streams."""
    environment = {**os.environ, "PYTHONPATH": str(Path(memvid.__file__).parents[1])}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    redirected = " ".join(f"{number}{'<' if number == 0 else '>'}&-" for number in closed)
    shell = ["sh", "-c", f'exec "$@" {redirected}', "sh", *command]
    return subprocess.run(shell, env=environment, check=False, **options).returncode


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return build(tmp_path, ["first", "second"], name="m")


def check(video: Path, chunks: int) -> None:
    assert maintenance.verify(video, deep=True).findings == ()
    with open_memory(video) as opened:
        assert len(opened) == chunks


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_what_is_printed_never_goes_into_a_file(closed: tuple[int, ...], memory: Path) -> None:
    code = f"{PRINTS}\n    from memvid.cli import main\n    sys.exit(main(sys.argv[1:]))"
    text = memory.with_name("more.txt")
    text.write_text("third", encoding="utf-8")
    assert run_python(code, "append", memory, text, closed=closed, stdin=subprocess.DEVNULL) == 0
    new = memory.with_name("new.mp4")
    assert run_python(code, "build", text, "-o", new, *HASHING, closed=closed, stdin=subprocess.DEVNULL) == 0
    check(memory, 3)
    assert maintenance.verify(new, deep=True).findings == ()


def test_the_library_writes_nothing_under_the_number_of_a_stream(memory: Path) -> None:
    code = """
    import os, sys
    from pathlib import Path
    from memvid import EncoderConfig
    from memvid.storage.files import create_private, open_private
    from memvid.video import VideoAppender, VideoReader, VideoWriter

    old, new = Path(sys.argv[1]), Path(sys.argv[2])
    config, table = EncoderConfig(), VideoReader(old).table
    for number in range(3):
        os.close(number)
    kept = [VideoWriter(new, config, tag=1), VideoAppender(old, config, table=table)]
    numbers = [create_private(new.with_name("a")), open_private(new.with_name("b"))]
    taken = 0
    for number in range(3):
        try:
            taken += bool(os.fstat(number))
        except OSError:
            pass
    os._exit(taken if min(numbers) > 2 else 9)
    """
    assert run_python(code, memory, memory.with_name("new.mp4")) == 0


@pytest.mark.parametrize("verb", ["verify", "reindex", "build"])
def test_a_verb_needs_no_stream(verb: str, memory: Path, tmp_path: Path) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "verify": (memory, "--json"),
        "reindex": (memory, *HASHING),
        "build": ("-", "-o", tmp_path / "new.mp4", *HASHING),
    }
    code = "import sys; from memvid.cli import main; sys.exit(main(sys.argv[1:]))"
    expected = 1 if verb == "build" else 0  # there is no text in it
    assert run_python(code, verb, *arguments[verb], closed=(0, 1, 2)) == expected


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_said_to_be(memory: Path) -> None:
    code = "import sys; from memvid.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "verify", str(memory)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode != 0
    assert "standard output" in done.stderr


Verb = Callable[[Path], list[str]]
VERBS: dict[str, Verb] = {
    "build": lambda folder: ["build", str(folder / "texts"), "-o", str(folder / "new.mp4"), *HASHING],
    "append": lambda folder: ["append", str(folder / "m.mp4"), str(folder / "texts")],
}


@pytest.fixture(params=["in front", "in the background"])
def ctrl_c(request: pytest.FixtureRequest) -> Iterator[None]:
    """In the background of a script, a shell has programs ignore Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    if request.param != "in front":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_told_to_end_takes_back_what_it_began(
    verb: str, name: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MemvidEncoder(embedder=EMBEDDER) as encoder:
        encoder.add_chunks(["first"])
        encoder.build_video(tmp_path / "m.mp4")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("\n\n".join(make_texts(50)), encoding="utf-8")
    before = all_files(tmp_path)
    number = signal.Signals[name]

    def encode(self: object, texts: object) -> object:
        for _ in range(2):  # the second in the middle of taking back is of no account
            os.kill(os.getpid(), number)
        raise AssertionError("it goes on")

    monkeypatch.setattr(HashingEmbedder, "encode", encode)
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]
    assert main(VERBS[verb](tmp_path)) == code
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)] == handlers
    assert all_files(tmp_path) == before


def test_what_is_ignored_stays_so(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = memory.with_name("more.txt")
    text.write_text("third", encoding="utf-8")

    encode = HashingEmbedder.encode

    def hung_up(self: HashingEmbedder, texts: Sequence[str]) -> object:
        os.kill(os.getpid(), signal.SIGHUP)
        return encode(self, texts)

    monkeypatch.setattr(HashingEmbedder, "encode", hung_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["append", str(memory), str(text)]) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    check(memory, 3)


def test_help_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert main(["build", "--help"]) == PIPE_CLOSED
        os.dup2(os.open(os.devnull, os.O_WRONLY), gone.fileno())  # so that what is left in it can be flushed
