"""A conversation survives its file exactly, and no other file passes for one."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid import ChatMessage, MemvidChat
from memvid.chat import ChatUsage, Source, Summary
from memvid.chat.history_file import as_json, read_session
from memvid.chat.session import Session
from memvid.errors import ConfigError, HistoryError, OutputError, SessionError
from tests.chat.chat_support import ListMemory, RecordingBackend

TEXTS = st.text(st.characters(codec="utf-8"))
NUMBERS = st.integers(0, 1 << 53)
SOURCES = st.builds(
    Source,
    number=st.integers(1, 999),
    chunk_id=st.integers(-1, 1 << 53),
    frame_index=st.integers(-1, 1 << 53),
    seconds=st.none() | st.floats(0, 1e9),
    score=st.none() | st.floats(-1, 1),
)
ASKED = st.builds(ChatMessage, role=st.just("user"), content=TEXTS, query=TEXTS)
SAID = st.builds(
    ChatMessage,
    role=st.just("assistant"),
    content=TEXTS,
    sources=st.lists(SOURCES, max_size=3).map(tuple),
    removed_citations=NUMBERS,
    finish_reason=st.sampled_from(["stop", "length", "interrupted", "content_filter"]),
)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    session = Session(system_prompt=draw(st.none() | TEXTS))
    for asked, said in draw(st.lists(st.tuples(ASKED, SAID), max_size=4)):
        session.add(asked, said)
    session.summary = Summary(draw(TEXTS), draw(st.integers(0, len(session.messages) // 2)))
    session.usage = draw(st.builds(ChatUsage, NUMBERS, NUMBERS, NUMBERS, NUMBERS))
    return session


def chat(answer: str = "On March 2 [1].") -> MemvidChat:
    return MemvidChat(retriever=ListMemory(["The login failed.", "Backups."]), backend=RecordingBackend(answer))


@given(sessions())
def test_any_conversation_survives_exactly(session: Session) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.json"
        path.write_text(as_json(session, "memory.mp4", "openai"), encoding="utf-8")
        loaded = read_session(path)
    for name in ("session_id", "system_prompt", "messages", "summary", "usage"):
        assert getattr(loaded, name) == getattr(session, name)
    assert as_json(loaded, "memory.mp4", "openai") == as_json(session, "memory.mp4", "openai")


@given(st.lists(TEXTS.filter(str.strip), min_size=1, max_size=4))
def test_what_was_said_survives_the_public_way(questions: list[str]) -> None:
    first, second = chat("A [1]. \u00e9\n\n`x`"), chat()
    session = first.start_session("Be kind.")
    for question in questions:
        first.chat(question)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.json"
        first.export_history(path)
        assert second.load_history(path) == session == second.session_id
    assert second.history == first.history
    assert second.usage == first.usage
    second.chat("go on?")
    sent = [message["content"] for message in second.backend.answers[-1]]  # type: ignore[attr-defined]
    assert sent[0].startswith("Be kind.")
    assert questions[-1] in sent


class TestFiles:
    def test_the_json_lists_what_answers_cite(self, tmp_path: Path) -> None:
        talk = chat()
        talk.chat("login?")
        talk.export_history(tmp_path / "chat.json")
        document = json.loads((tmp_path / "chat.json").read_text("ascii"))
        assert (document["format"], document["version"], document["backend"]) == ("memvid-chat", 1, "recording, none")
        assert document["messages"][1]["sources"] == [
            {"number": 1, "chunk_id": 0, "frame_index": 0, "seconds": None, "score": 0.9}
        ]

    def test_the_markdown_is_for_people(self, tmp_path: Path) -> None:
        talk = chat("On March 2 [1].\n## Question\n> forged")
        talk.chat("When did\nit fail?")
        talk.export_history(tmp_path / "chat.md", "markdown")
        text = (tmp_path / "chat.md").read_text("utf-8")
        assert (
            "## Question\n\n> When did  \n> it fail?\n\n"
            "## Answer\n\n> On March 2 [1].  \n> \\#\\# Question  \n> &gt; forged\n" in text
        )
        assert "\n- [1] chunk 0, frame 0, score 0.900\n" in text
        assert text.count("\n## ") == 2

    def test_time_in_the_video(self, tmp_path: Path) -> None:
        class Timed(ListMemory):
            class info:  # noqa: N801 - stands where a property does
                fps = 0.001

        talk = MemvidChat(retriever=Timed(["X.", "Y."]), backend=RecordingBackend("Both [1, 2]."))
        talk.chat("x?")
        talk.export_history(tmp_path / "chat.md", format="markdown")
        assert "[2] chunk 1, frame 1, 0:16:40.000 in the video" in (tmp_path / "chat.md").read_text("utf-8")

    def test_only_its_owner_reads_it(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.json"
        chat().export_history(path)
        path.chmod(0o644)
        chat().export_history(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [file.name for file in tmp_path.iterdir()] == ["chat.json"]

    @pytest.mark.parametrize(
        ("name", "says"), [("nowhere/chat.json", "create it first"), ("folder", "name"), ("new/", "name a file in it")]
    )
    def test_where_nothing_can_be_written(self, tmp_path: Path, name: str, says: str) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(OutputError, match=f"cannot be written.* {says}"):
            chat().export_history(f"{tmp_path}/{name}")
        assert [file.name for file in tmp_path.iterdir()] == ["folder"]

    @pytest.mark.parametrize("format", ["json", "markdown"])
    def test_nothing_but_a_conversation_is_replaced(self, tmp_path: Path, format: Any) -> None:  # noqa: A002
        path = tmp_path / "memory.mp4"
        path.write_bytes(b"\0\0\0 ftypisom")
        with pytest.raises(OutputError, match="what is there is no conversation"):
            chat().export_history(path, format)
        assert path.read_bytes() == b"\0\0\0 ftypisom"
        path.write_bytes(b"")
        for _ in range(2):
            chat().export_history(path, format)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_is_neither_replaced_nor_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OutputError, match="it is not a file"):
            chat().export_history(tmp_path / "pipe")
        with pytest.raises(HistoryError, match="cannot be read"):
            chat().load_history(tmp_path / "pipe")

    def test_what_is_no_name(self, tmp_path: Path) -> None:
        for name in ("a\0b", ""):
            with pytest.raises(OutputError):
                chat().export_history(tmp_path / name)

    def test_no_line_end_leaves_a_quote(self, tmp_path: Path) -> None:
        talk = chat("One.\r## Question\r\n\r\rforged")
        talk.chat("a\r# b")
        talk.export_history(tmp_path / "chat.md", "markdown")
        text = (tmp_path / "chat.md").read_bytes()
        assert b"\r" not in text
        assert b"> One.  \n> \\#\\# Question\n>\n>\n> forged\n" in text

    def test_another_format(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="'json' or 'markdown'"):
            chat().export_history(tmp_path / "x", "html")  # type: ignore[arg-type]

    def test_loading_over_a_session_that_answers(self, tmp_path: Path) -> None:
        talk = chat()
        talk.chat("one?")
        talk.export_history(tmp_path / "chat.json")
        pieces = talk.stream("two?")
        next(pieces)
        with pytest.raises(SessionError, match="still answering"):
            talk.load_history(tmp_path / "chat.json")
        list(pieces)
        assert len(talk.history) == 4
        talk.load_history(tmp_path / "chat.json")
        assert len(talk.history) == 2


def edit(change: Callable[[dict[str, Any]], object]) -> str:
    session = Session()
    session.add(ChatMessage("user", "a", query="a"), ChatMessage("assistant", "b", sources=(Source(1, 2, 3),)))
    document = json.loads(as_json(session, None, "x"))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("# Conversation", "is not JSON"),
        ("[]", "is not a conversation"),
        ('{"format": "other"}', "is not a conversation"),
        (edit(lambda d: d.update(version=3)), "has version 3"),
        (edit(lambda d: d.update(where=5)), "where=5: expected a dict"),
        (edit(lambda d: d.update(where={})), r"where=\{\}: expected a dict"),
        (edit(lambda d: d.pop("messages")), "damaged"),
        (edit(lambda d: d["messages"].pop()), "do not alternate"),
        (edit(lambda d: d["messages"].reverse()), "do not alternate"),
        (edit(lambda d: d["messages"][0].update(content=5)), "5 is not a text"),
        (edit(lambda d: d["messages"][1]["sources"][0].update(chunk_id="x")), "'x' is not a whole number"),
        (edit(lambda d: d["messages"][1]["sources"][0].update(score="x")), "not a number"),
        (edit(lambda d: d["messages"][1]["sources"][0].update(seconds=float("nan"))), "seconds is out of range"),
        (edit(lambda d: d["messages"][1]["sources"][0].update(seconds=10**400)), "seconds is out of range"),
        (edit(lambda d: d["messages"][1]["sources"][0].update(score=float("-inf"))), "score is out of range"),
        (edit(lambda d: d["summary"].update(turns=9)), "stands for 9 of 1"),
        (edit(lambda d: d["messages"][0].update(content="\ud800")), "surrogates not allowed"),
        (edit(lambda d: d.update(session_id=None)), "damaged"),
        (edit(lambda d: d.update(messages=5)), "damaged"),
    ],
)
def test_what_is_no_conversation(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "chat.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HistoryError, match=message) as caught:
        chat().load_history(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="cannot be read"):
        chat().load_history(tmp_path / "nowhere.json")
