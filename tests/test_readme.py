"""What the README shows is what happens."""

from __future__ import annotations

import asyncio
import gzip
import io
import re
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.llm_support import KEY, running, say

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
    first, *others = [block for block in code_blocks() if "input(" not in block]
    chunks = "[" + first.split("add_chunks([")[1].split("])")[0] + "] * 20"
    first = re.sub(
        r"add_chunks\(\[.*?\]\)", f"add_chunks({chunks}, metadatas=[{{'year': 2026}}] * 60)", first, flags=re.S
    )
    names: dict[str, object] = {}
    exec("\n".join([first, *others]), names)
    answer, memory = cast(Any, names["answer"]), cast(Any, names["memory"])
    assert asyncio.run(answer("signing in")) == memory.search("signing in", 3)
    memory.close()


@pytest.mark.model
@pytest.mark.parametrize("with_key", [True, False])
def test_the_chat_answers_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], with_key: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    (example,) = [block for block in code_blocks() if "input(" in block]
    names: dict[str, object] = {}
    exec(code_blocks()[0], names)
    monkeypatch.setattr(sys, "stdin", io.StringIO("When did signing in break?\nexit\n"))
    with running() as server:
        if with_key:
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            server.reply = say("On March 2 [1].")
        exec(example, names)
        cast(Any, names["chat"]).close()
    cast(Any, names["memory"]).close()
    shown = capsys.readouterr().out
    assert shown.startswith("\nYou: \nAssistant: ")
    assert ("On March 2 [1]." in shown) == with_key
    assert ("> Support: a user could not log in on March 2. [1]" in shown) == (not with_key)


def test_links_to_files_that_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (README.parent / target).exists(), target
