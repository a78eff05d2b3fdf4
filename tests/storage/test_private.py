"""Private memories stay private at every moment of what is done to them.

A sample; ``python -m tools.private_files`` goes through everything.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.storage.disk.privacy import watch
from tests.storage.disk.trap import TrapError, compile_trap

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Skips where system calls cannot be stopped."""
    try:
        return compile_trap(tmp_path_factory.mktemp("trap"))
    except TrapError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("verb", "mode"),
    [
        ("build", 0o644), ("rebuild", 0o600), ("append", 0o640), ("append with a snapshot", 0o600), ("repair", 0o600),
        ("export to mp4v", 0o640), ("open a build cut off", 0o600), ("search an exported video", 0o600),
        ("append that fails", 0o640), ("chat and save", 0o640),
    ],
)  # fmt: skip
def test_nobody_else_could_read_anything(tmp_path: Path, trap: ctypes.CDLL, verb: str, mode: int) -> None:
    seen = watch(verb, mode, tmp_path, trap)
    assert seen.problems == ()
    assert seen.made > 0
    assert seen.looks > 0
    assert seen.left == mode


def test_files_that_are_made_for_all_are_found_out(tmp_path: Path, trap: ctypes.CDLL) -> None:
    problems = watch("rebuild in the open", 0o600, tmp_path, trap).problems
    assert "memory.mp4.new is made with mode 644" in problems


def test_files_that_are_left_to_all_are_found_out(tmp_path: Path, trap: ctypes.CDLL) -> None:
    problems = watch("append without a look at modes", 0o600, tmp_path, trap).problems
    assert "memory_index.json.new gets mode 644, 600 at most" in problems
    assert "memory_index.json is left with mode 644" in problems
