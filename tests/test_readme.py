"""What the README shows is what happens."""

from __future__ import annotations

import asyncio
import gzip
import re
from pathlib import Path
from typing import Any, cast

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
def test_other_examples_run_on_the_first_ones_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "articles.jsonl.gz").write_bytes(gzip.compress(b'{"text": "An article.", "year": 2026}\n'))
    first, *others = code_blocks()
    chunks = "[" + first.split("add_chunks([")[1].split("])")[0] + "] * 20"
    first = re.sub(
        r"add_chunks\(\[.*?\]\)", f"add_chunks({chunks}, metadatas=[{{'year': 2026}}] * 60)", first, flags=re.S
    )
    names: dict[str, object] = {}
    exec("\n".join([first, *others]), names)
    answer, memory = cast(Any, names["answer"]), cast(Any, names["memory"])
    assert asyncio.run(answer("signing in")) == memory.search("signing in", 3)
    memory.close()


def test_links_to_files_that_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (README.parent / target).exists(), target
