"""Commands that are shown can be copied and run, whatever is in them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memvid.cli.output import one_line
from memvid.printable import printable, shell_word

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
NAMES = TEXTS | st.lists(st.integers(1, 255), min_size=1).map(lambda name: os.fsdecode(bytes(name)))
ODD = [
    "two  spaces",
    "it's",
    "-rf",
    "a\\b",
    "new\nline",
    "tab\t",
    "\x1b[2J",
    "\u202e",
    "\xa0",
    "\x850",
    "\udcff1",
    "$HOME",
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@given(st.lists(NAMES, min_size=1, max_size=20))
@example(ODD)
def test_a_word_is_shown_as_it_is_and_read_back_as_it_was(names: list[str]) -> None:
    command = " ".join(map(shell_word, names))
    assert one_line(command) == printable(command) == command
    shell = ["bash", "-c", f"printf '%s\\0' {command}"]
    said = subprocess.run(shell, capture_output=True, check=True).stdout
    assert said.split(b"\0")[:-1] == [os.fsencode(name) for name in names]


def test_what_cannot_be_a_name_is_shown_all_the_same() -> None:
    assert shell_word("a\ud800") == r"$'a\355\240\200'"


def test_one_line_keeps_spaces() -> None:
    assert one_line(" first  line \r\n\n second\x1b ") == "first  line  second\N{REPLACEMENT CHARACTER}"
