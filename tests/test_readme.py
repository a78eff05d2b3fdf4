"""What the README shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.model
def test_first_example_answers_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = code_blocks()[0]
    *_, call, comment = example.strip().splitlines()
    names: dict[str, object] = {}
    exec(example, names)
    assert str(eval(call, names)) == comment.removeprefix("# ")


@pytest.mark.model
def test_second_example_runs_on_the_first_ones_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = code_blocks()
    chunks = "[" + first.split("add_chunks([")[1].split("])")[0] + "] * 20"
    first = re.sub(
        r"add_chunks\(\[.*?\]\)", f"add_chunks({chunks}, metadatas=[{{'year': 2026}}] * 60)", first, flags=re.S
    )
    names: dict[str, object] = {}
    exec(first + second, names)


def test_links_to_files_that_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (README.parent / target).exists(), target
