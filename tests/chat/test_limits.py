"""An answer has a length, a time and a pace, whatever model gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import nullcontext
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memvid import MemvidChat
from memvid.errors import ConfigError, LLMError, LLMResponseError, LLMTimeoutError, ResourceLimitError
from memvid.llm import Completion, Message, Piece, gauge
from memvid.network import meter
from tests.chat.chat_support import ListMemory, RecordingBackend
from tests.llm.llm_support import ChatServer, Handler, event, running, say
from tests.memory_support import EMBEDDER, build

WAYS = ("chat", "stream", "achat", "astream")
ANSWER = 64  # tokens, which are a kilobyte at most


def talk(backend: Any, **options: Any) -> MemvidChat:
    options = {"answer_tokens": ANSWER, **options}
    return MemvidChat(retriever=ListMemory(["The login failed.", "Backups."]), backend=backend, **options)


def ask(chat: MemvidChat, way: str) -> str:
    async def collect() -> str:
        return "".join([piece async for piece in chat.astream("login?")])

    if way == "chat":
        return chat.chat("login?")
    if way == "achat":
        return asyncio.run(chat.achat("login?"))
    return "".join(chat.stream("login?")) if way == "stream" else asyncio.run(collect())


class EndlessAsync(RecordingBackend):
    """A model for event loops that goes on for ever: with words, or with nothing."""

    def __init__(self, piece: Piece | None) -> None:
        super().__init__()
        self.piece = piece

    async def acomplete(self, messages: Sequence[Message], **options: Any) -> Completion:
        await asyncio.Event().wait()
        raise AssertionError

    async def astream(self, messages: Sequence[Message], **options: Any) -> AsyncIterator[Piece]:
        while self.piece is not None:
            yield self.piece
        yield Piece("Well")
        await asyncio.Event().wait()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_found_has_a_limit(way: str) -> None:
    with pytest.raises(ResourceLimitError, match="takes more than 20 bytes: lower top_k, or raise turn_bytes=20"):
        ask(talk(RecordingBackend(), turn_bytes=20), way)
    assert ask(talk(RecordingBackend(), turn_bytes=27), way) == "Yes [1]."


@pytest.mark.parametrize("way", WAYS)
def test_the_memory_that_a_chat_opens_has_the_same_limit(tmp_path: Path, way: str) -> None:
    video = build(tmp_path, ["login " * 100, "backup " * 100])
    for turn_bytes, fails in ((1000, True), (2000, False)):
        chat = MemvidChat(video, embedder=EMBEDDER, backend=RecordingBackend(), turn_bytes=turn_bytes)
        with chat, pytest.raises(ResourceLimitError, match="question_bytes=1000") if fails else nullcontext():
            assert ask(chat, way) == "Yes [1]."


def test_a_passage_of_megabytes_is_neither_sent_nor_counted() -> None:
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text)

    huge = "login " * 1_000_000
    memory = ListMemory(["Before it.", huge, "The login failed.", huge])
    chat = MemvidChat(retriever=memory, backend=RecordingBackend(), token_counter=count)
    assert chat.chat("login?") == "Yes [1]."
    context = chat.last_context
    assert context is not None
    assert [entry.reason for entry in context.left_out] == ["budget", "budget"]
    assert max(counted) < 10_000


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute passes whenever somebody looks at the clock."""
    times = iter(range(0, 10**9, 60))
    fake = SimpleNamespace(monotonic=lambda: float(next(times)))
    monkeypatch.setattr(meter, "time", fake)


@pytest.mark.parametrize("way", WAYS)
class TestLength:
    @pytest.mark.parametrize("part", ["word ", "", "x" * 100_000])
    def test_a_function_that_never_ends(self, way: str, part: str) -> None:
        chat = talk(lambda messages: repeat(part))
        with pytest.raises(LLMResponseError, match=f"answer_tokens={ANSWER} should have ended it: raise it") as caught:
            ask(chat, way)
        assert (part * 10_000).startswith(caught.value.partial)
        assert len(caught.value.partial) < 10_000
        assert bool(caught.value.partial) == (part == "word ")
        assert chat.history == []

    def test_a_model_that_counts_in_another_way_is_not_cut(self, way: str) -> None:
        text = "word " * ANSWER * 3
        assert ask(talk(lambda messages: text), way) == text

    def test_a_whole_answer_that_is_much_too_long(self, way: str) -> None:
        with pytest.raises(LLMResponseError, match="should have ended it"):
            ask(talk(RecordingBackend("word " * 10_000)), way)

    def test_quotes_have_no_length(self, way: str) -> None:
        text = "The login failed. " * 1000
        chat = MemvidChat(retriever=ListMemory([text]), llm_provider="none", context_tokens=1 << 20, answer_tokens=1)
        assert text.strip() in ask(chat, way)


@pytest.mark.usefixtures("minutes")
class TestTime:
    @pytest.mark.parametrize("way", WAYS)
    def test_a_function_whose_parts_take_their_time(self, way: str) -> None:
        with pytest.raises(LLMTimeoutError, match="not complete after 600 seconds: raise answer_seconds") as caught:
            ask(talk(lambda messages: repeat("word "), answer_pace=0), way)
        assert caught.value.partial
        assert ("word " * 20).startswith(caught.value.partial)

    def test_longer_if_the_user_says_so(self) -> None:
        chat = talk(lambda messages: ["word "] * 30, answer_seconds=3600, answer_pace=0)
        assert ask(chat, "stream") == "word " * 30

    def test_all_requests_of_a_question_share_it(self) -> None:
        chat = talk(RecordingBackend(), answer_seconds=59)
        assert chat.chat("login?") == "Yes [1]."  # one request, of a minute
        with pytest.raises(LLMTimeoutError, match="59 seconds"):
            chat.chat("and the login page?")  # two
        assert len(chat.history) == 2


@pytest.mark.parametrize("way", ["achat", "astream"])
def test_an_event_loop_waits_no_longer_than_there_is_time(way: str) -> None:
    with pytest.raises(LLMTimeoutError, match="not complete after") as caught:
        ask(talk(EndlessAsync(None), answer_seconds=0.2), way)
    assert caught.value.partial == ("Well" if way == "astream" else "")


def test_an_event_loop_and_a_length() -> None:
    with pytest.raises(LLMResponseError, match="should have ended it"):
        ask(talk(EndlessAsync(Piece("word "))), "astream")


class TestPace:
    def answer(self, pieces: list[Piece], monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
        """The pieces, a second each."""
        seconds = iter(range(10**9))
        monkeypatch.setattr(gauge, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
        backend = RecordingBackend()
        backend.stream = lambda messages, **_: iter(pieces)  # type: ignore[method-assign]
        return ask(talk(backend, answer_tokens=1000, **options), "stream")

    def test_a_letter_a_second_is_too_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pieces = [Piece("y")] * 256
        with pytest.raises(LLMTimeoutError, match="less than 3 bytes a second: lower answer_pace") as caught:
            self.answer(pieces, monkeypatch)
        assert caught.value.partial == "y" * 16
        assert self.answer(pieces, monkeypatch, answer_pace=0.5) == "y" * 256
        assert self.answer(pieces, monkeypatch, answer_pace=0) == "y" * 256

    @pytest.mark.parametrize("text", ["word", "\u6f22\u5b57", "the ", " a ", "\u0434\u0430"])
    def test_a_token_a_second_is_not(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        assert self.answer([Piece(text)] * 256, monkeypatch) == text * 256

    def test_thoughts_are_said_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        thoughts = [Piece("", thought="hmm ")] * 100
        assert self.answer([*thoughts, Piece("Yes.")], monkeypatch) == "Yes."

    def test_a_model_may_take_its_time_to_begin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.answer([*[Piece("")] * 500, Piece("Yes.")], monkeypatch) == "Yes."


class TestServers:
    """The same over HTTP, with the limits that a chat has if nobody sets others."""

    @pytest.fixture
    def server(self) -> Iterator[ChatServer]:
        with running() as started:
            yield started

    @pytest.mark.parametrize("way", WAYS)
    def test_limits_reach_the_connection(self, server: ChatServer, way: str) -> None:
        def reply(handler: Handler, request: dict[str, Any]) -> None:
            handler.send_json(200, b" " * 100_000)

        server.reply = reply
        chat = MemvidChat(
            retriever=ListMemory(["x"]), base_url=server.url, llm_model="m", max_retries=0, answer_bytes=65_536
        )
        with chat, pytest.raises(LLMResponseError, match="larger than 65,536 bytes: raise answer_bytes"):
            ask(chat, way)

    @pytest.mark.parametrize("way", WAYS)
    def test_a_server_that_goes_on(self, server: ChatServer, way: str) -> None:
        server.reply = say(*["word "] * 5000)
        with (
            MemvidChat(retriever=ListMemory(["x"]), base_url=server.url, llm_model="m", max_retries=0) as chat,
            pytest.raises(LLMResponseError, match="answer_tokens=1024 should have ended it") as caught,
        ):
            ask(chat, way)
        if "stream" in way:
            assert caught.value.partial.startswith("word word ")

    def test_half_an_answer_is_kept(self, server: ChatServer) -> None:
        def reply(handler: Handler, request: dict[str, Any]) -> None:
            handler.start_stream()
            for text in ("Well", ", ", 5, {"a": 1}, ["b"], "yes"):
                handler.send_event(event(text))  # type: ignore[arg-type]
            handler.send_event("{" * 10_000)

        server.reply = reply
        with (
            MemvidChat(retriever=ListMemory(["x"]), base_url=server.url, llm_model="m", max_retries=0) as chat,
            pytest.raises(LLMError, match="not in the protocol") as caught,
        ):
            list(chat.stream("login?"))
        assert caught.value.partial == "Well, yes"

    @pytest.mark.parametrize("way", WAYS)
    def test_numbers_and_words_that_are_none(self, server: ChatServer, way: str) -> None:
        usage = {"prompt_tokens": 10**400, "completion_tokens": -5}

        def reply(handler: Handler, request: dict[str, Any]) -> None:
            if not request.get("stream"):
                choice = {"message": {"content": "Yes \ud83d [1]."}, "finish_reason": 7}
                handler.send_json(200, {"choices": [choice], "usage": usage})
                return
            handler.start_stream()
            handler.send_event({**event("Yes \ud83d [1]."), "usage": usage})
            handler.send_event(event(None, 7))  # type: ignore[arg-type]
            handler.end_stream()

        server.reply = reply
        with MemvidChat(retriever=ListMemory(["x"]), base_url=server.url, llm_model="m", max_retries=0) as chat:
            assert ask(chat, way) == "Yes \N{REPLACEMENT CHARACTER} [1]."
            assert chat.history[1].finish_reason == "stop"
            assert 0 < chat.usage.total_tokens < 10_000
            assert chat.usage.counted == 1


@pytest.mark.parametrize(
    "wrong",
    [{"answer_seconds": 0}, {"answer_seconds": True}, {"answer_bytes": 5}, {"answer_bytes": 1.5}, {"answer_pace": -1}],
)
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is not possible"):
        talk(RecordingBackend(), **wrong)
