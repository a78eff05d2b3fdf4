"""A real, small language model, end to end: built, started and asked over a real memory.

Opt-in, because building its server takes minutes: ``MEMVID_SMALL_MODEL=FOLDER pytest tests/llm/test_small_model.py``.
What was built stays in FOLDER for the next time.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from memvid import MemvidChat, MemvidEncoder
from tests.repository import ROOT

FOLDER = os.environ.get("MEMVID_SMALL_MODEL")
SCRIPT = ROOT / "examples" / "small_model_server.py"
FACTS = [
    "Support: a user could not log in on March 2, because the session server was down.",
    "Error 500 on the signup page, March 4.",
    "The backup of the billing database runs at 3 in the morning.",
    "Ada leads the storage team in Bern.",
    "The cafeteria opens at 7.",
]

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not FOLDER, reason="MEMVID_SMALL_MODEL names no folder"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the model answers."""
    assert FOLDER
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, str(SCRIPT), FOLDER, "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "Uvicorn running" in line:
                break
        else:
            pytest.fail("".join(lines))
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()
        drain.join()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    target = tmp_path_factory.mktemp("small") / "memory.mp4"
    with MemvidEncoder() as encoder:
        encoder.add_chunks(FACTS)
        encoder.build_video(target)
    return target


@pytest.fixture
def chat(video: Path, url: str) -> Iterator[MemvidChat]:
    with MemvidChat(
        video, base_url=url, context_window=2048, answer_tokens=128, timeout=600, llm_options={"temperature": 0}
    ) as made:
        yield made


def tell(answer: str) -> None:
    """Show what it said (``pytest -s``)."""
    sys.stdout.write(f"\n{answer}\n")


def test_it_streams_an_answer_from_the_memory(chat: MemvidChat) -> None:
    pieces = list(chat.stream("Why could a user not log in on March 2?"))
    answer = "".join(pieces)
    tell(answer)
    assert len(pieces) > 5
    assert "March 2" in answer or "session" in answer  # so much even 135 million parameters can tell
    assert chat.history[-1].content == answer
    assert chat.last_context.passages[0].text == FACTS[0]  # type: ignore[union-attr]
    assert chat.backend.model == "smollm2"  # type: ignore[attr-defined]


def test_it_goes_on_and_its_own_count_is_below_ours(chat: MemvidChat) -> None:
    tell(chat.chat("When does the backup of the billing database run?"))
    first = chat.last_context
    assert first is not None
    assert (chat.usage.requests, chat.usage.counted) == (1, 0)
    assert 0 < chat.usage.prompt_tokens <= first.budget.request
    assert "backup" in chat.history[-1].content
    tell(chat.chat("What is kept there?"))
    assert chat.usage.requests == 3
    assert len(chat.history) == 4


def test_event_loops_hear_it_too(chat: MemvidChat) -> None:
    async def ask() -> list[str]:
        return [piece async for piece in chat.astream("Who leads the storage team?")]

    pieces = asyncio.run(ask())
    tell("".join(pieces))
    assert len(pieces) > 5
    assert chat.history[-1].content == "".join(pieces)


def test_its_own_tokenizer_says_the_same_of_a_full_window(url: str, tmp_path: Path) -> None:
    """The window is filled to the brim by our count, and the server, which refuses more than it has, takes it."""
    with MemvidEncoder() as encoder:
        encoder.add_chunks(
            f"The backup number {number} of the billing database runs at night." for number in range(200)
        )
        encoder.build_video(tmp_path / "many.mp4")
    with MemvidChat(
        tmp_path / "many.mp4",
        base_url=url,
        context_window=2048,
        answer_tokens=64,
        max_passages=200,
        top_k=200,
        timeout=600,
    ) as chat:
        assert chat.chat("When do the backups of the billing database run?")
        context = chat.last_context
        assert context is not None
        assert {entry.reason for entry in context.left_out} >= {"budget"}
        assert context.budget.request > 1900
        assert chat.usage.prompt_tokens <= context.budget.request <= 2048 - 64
