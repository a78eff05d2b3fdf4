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

from tests.llm.llm_support import KEY, running, say
from tests.repository import ROOT

README = ROOT / "README.md"


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)


def building() -> str:
    """The first example as far as the memory is built."""
    return code_blocks()[0].split("chat = MemvidChat")[0]


@pytest.mark.model
@pytest.mark.parametrize(("with_key", "end"), [(True, "exit"), (False, "exit"), (False, "")])
def test_the_first_example_chats_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], with_key: bool, end: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"When did signing in break?\n{end}\n"))
    names: dict[str, object] = {}
    with running() as server:
        if with_key:
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            server.reply = say("On March 2 [1].")
        exec(code_blocks()[0], names)
        cast(Any, names["chat"]).close()
    shown = capsys.readouterr().out
    assert shown.startswith("\nYou: \nAssistant: ")
    assert ("On March 2 [1]." in shown) == with_key
    assert ("> Support: a user could not log in on March 2. [1]" in shown) == (not with_key)


@pytest.mark.model
def test_the_second_example_finds_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(building(), names)
    example = code_blocks()[1]
    *_, call, comment = example.strip().splitlines()
    exec(example, names)
    assert str(eval(call, names)) == comment.removeprefix("# ")
    cast(Any, names["memory"]).close()


@pytest.mark.model
def test_other_examples_run_on_that_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "articles.jsonl.gz").write_bytes(gzip.compress(b'{"text": "An article.", "year": 2026}\n'))
    names: dict[str, object] = {}
    exec("\n".join([building(), *code_blocks()[1:]]), names)
    answer, memory = cast(Any, names["answer"]), cast(Any, names["memory"])
    assert asyncio.run(answer("signing in")) == memory.search("signing in", 3)
    memory.close()


def test_links_to_files_that_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert (README.parent / target).exists(), target
