"""Ctrl-C in a command: exit code 130, and not a word more than is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.index.index_support import environment

PRESS = "import signal; signal.raise_signal(signal.SIGINT)"

_SCRIPT = """
import atexit, sys

def press():
    {press}

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            {how}

sys.meta_path.insert(0, Finder())
place = sys.argv.pop(1)
if place == "at exit":
    atexit.register(press)
from memvid.cli import main
sys.exit(main())
"""


def interrupted(folder: Path, place: str, how: str = "press()") -> subprocess.CompletedProcess[str]:
    """A build that presses Ctrl-C when a module is loaded."""
    (folder / "a.txt").write_text("One thing is stored here.")
    script = _SCRIPT.replace("{press}", PRESS).replace("{how}", how).replace("sys.argv[1]:", repr(place) + ":")
    command = [sys.executable, "-c", script, place, "build", "a.txt", "-o", "m.mp4", "--model", "hashing"]
    return subprocess.run(
        command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("how", ["press()", "exec('press()')", "press(); press()"])
@pytest.mark.parametrize(
    "place",
    [
        "memvid.cli.process",
        "memvid.interrupts",
        "click",
        "memvid.cli.build",
        "numpy",
        "memvid.building.build",
        "memvid.index.builder",
    ],
)
def test_while_modules_are_loaded(tmp_path: Path, place: str, how: str) -> None:
    """In an ``exec``, too, after which Python ends by the signal, whatever exit code is asked for."""
    done = interrupted(tmp_path, place, how)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_when_all_is_done(tmp_path: Path) -> None:
    done = interrupted(tmp_path, "at exit")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "m.mp4").exists()


def test_main_in_a_program_leaves_its_handler(tmp_path: Path) -> None:
    script = (
        "import signal; from memvid.cli import main\n"
        "assert main(['info', 'nothing.mp4']) == 1\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=dict(os.environ) | environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
