"""Conversations: turns, sessions, streams, sources, and what happens when something fails."""

from __future__ import annotations

import asyncio
import datetime
import gc
import json
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidChat
from memvid.errors import (
    ClosedError,
    ConfigError,
    LLMConnectionError,
    LLMError,
    LLMResponseError,
    QueryError,
    SessionError,
    VideoNotFoundError,
)
from memvid.llm import Message, Piece
from memvid.network import service
from memvid.types import SearchResult
from tests.chat.chat_support import ListMemory, RecordingBackend
from tests.llm.llm_support import ChatServer, cut, hold, running, say, status
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

FACTS = ["The login page failed on March 2.", "Backups run at night.", "The login page was fixed on March 3."]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build(tmp_path_factory.mktemp("chat"), FACTS)


@pytest.fixture
def chat(video: Path, server: ChatServer) -> Iterator[MemvidChat]:
    with MemvidChat(video, embedder=EMBEDDER, base_url=server.url, llm_model="m", max_retries=0) as made:
        yield made


def plain(backend: Any, texts: Sequence[str] = FACTS, **options: Any) -> MemvidChat:
    return MemvidChat(retriever=ListMemory(texts), backend=backend, **options)


class TestTurns:
    def test_an_answer_with_its_sources(self, chat: MemvidChat, server: ChatServer) -> None:
        server.reply = say("On March 2 [1]. Or so [9].", usage=(70, 9))
        assert chat.chat("When did the login page fail?") == "On March 2 [1]. Or so."
        asked, said = chat.history
        assert (asked.role, asked.content, asked.query) == ("user", "When did the login page fail?", asked.content)
        (source,) = said.sources
        context = chat.last_context
        assert context is not None
        first = context.passages[0]
        assert (source.number, source.chunk_id, source.score) == (1, 0, first.score)
        assert source.frame_index == first.frame_indexes[0]
        assert source.seconds == source.frame_index / 30
        assert said.removed_citations == 1
        assert said.finish_reason == "stop"
        assert (chat.usage.requests, chat.usage.prompt_tokens, chat.usage.total_tokens) == (1, 70, 79)
        assert chat.usage.counted == 0

    def test_what_was_found_and_sent_is_told(self, chat: MemvidChat) -> None:
        chat.chat("When did the login page fail?")
        context = chat.last_context
        assert context is not None
        assert [passage.text for passage in context.passages] == [FACTS[0], FACTS[2]]
        assert [(entry.chunk_id, entry.reason) for entry in context.left_out] == [(1, "score")]
        found = {result.chunk_id: result.score for result in chat.search_memory("When did the login page fail?")}
        assert [passage.score for passage in context.passages] == [found[0], found[2]]
        assert context.budget.counter == "safe"

    def test_the_conversation_is_sent_without_its_old_numbers(self, chat: MemvidChat, server: ChatServer) -> None:
        server.script.extend([say("On March 2 [1]."), say("When was the login page fixed?"), say("On March 3 [1].")])
        chat.start_session("You are terse.")
        chat.chat("When did the login page fail?")
        chat.chat("And when was it fixed?")
        _, rewrite, last = server.requests
        assert "And when was it fixed?" in rewrite.last
        assert [message["content"] for message in last.messages[1:-1]] == [
            "When did the login page fail?",
            "On March 2.",
        ]
        assert last.messages[0]["content"].startswith("You are terse.\n\nAnswer the question")
        assert last.last.endswith("Question: And when was it fixed?")
        context = chat.last_context
        assert context is not None
        assert (context.query, context.query_by) == ("When was the login page fixed?", "model")
        assert chat.history[2].query == "When was the login page fixed?"
        assert chat.usage.requests == 3

    def test_a_useless_rewrite_is_not_searched_for(self) -> None:
        memory = ListMemory(FACTS)
        chat = MemvidChat(retriever=memory, backend=RecordingBackend("I am a helpful assistant."))
        chat.chat("When did the login page fail?")
        chat.chat("Who fixed it?")
        assert memory.queries[1] == "Who fixed it? (login page fail)"
        assert chat.last_context.query_by == "terms"  # type: ignore[union-attr]

    def test_a_rewrite_after_thinking_aloud(self) -> None:
        replies = iter(["On March 2.", "<think>\nWho fixed\nit?\n</think>\n\nWho fixed the login page?", "Ada."])
        chat = plain(RecordingBackend(lambda _: next(replies)))
        chat.chat("When did the login page fail?")
        chat.chat("Who fixed it?")
        assert chat.history[2].query == "Who fixed the login page?"

    @pytest.mark.parametrize(("follow_up", "requests"), [("none", 2), ("terms", 2), ("model", 3), ("auto", 3)])
    def test_who_makes_a_question_self_contained(self, follow_up: str, requests: int) -> None:
        backend = RecordingBackend("Who fixed the login page?")
        chat = plain(backend, follow_up=follow_up)
        chat.chat("When did the login page fail?")
        chat.chat("Who fixed it?")
        assert len(backend.requests) == requests

    def test_neighbours_are_joined_where_they_continue(self) -> None:
        texts = ["Start of it.", "The login failed.", "And it was fixed.", "Elsewhere."]
        sources = [{"source": "a"}, {"source": "a"}, {"source": "a"}, {"source": "b"}]

        class OneHit(ListMemory):
            def search_results(self, query: str, top_k: int = 5) -> list[Any]:
                return super().search_results(query, top_k)[1:2]

        chat = MemvidChat(retriever=OneHit(texts, sources), backend=RecordingBackend("Fixed [1]."))
        chat.chat("login?")
        (passage,) = chat.last_context.passages  # type: ignore[union-attr]
        assert passage.chunk_ids == (0, 1, 2)
        assert passage.text == "Start of it.\nThe login failed.\nAnd it was fixed."
        assert [source.chunk_id for source in chat.history[1].sources] == [0, 1, 2]
        assert [source.score is None for source in chat.history[1].sources] == [True, False, True]

    def test_an_answer_cut_at_its_limit_says_so(self, chat: MemvidChat, server: ChatServer) -> None:
        server.reply = say("On March", reason="length")
        chat.chat("login page?")
        assert chat.history[-1].finish_reason == "length"

    @pytest.mark.parametrize("streamed", [True, False])
    def test_no_text_is_an_error(self, chat: MemvidChat, server: ChatServer, streamed: bool) -> None:
        server.reply = say("", reason="length")
        with pytest.raises(LLMResponseError, match=r"finish_reason 'length'.*raise answer_tokens=1024"):
            list(chat.stream("login page?")) if streamed else chat.chat("login page?")
        assert chat.history == []

    def test_half_a_surrogate_pair_in_an_answer(self, chat: MemvidChat, server: ChatServer) -> None:
        server.reply = say("A \ud83d half")
        assert chat.chat("login page?") == "A \ufffd half"
        assert chat.chat("login page again?")
        server.script.append(say("the login \udc00 page?"))
        assert chat.chat("and it?")
        assert chat.history[-2].query == "the login \ufffd page?"

    @pytest.mark.parametrize(
        ("parts", "answer"),
        [
            (["A \ud83d", "\ude00."], "A \U0001f600."),
            (["A \ud83d", "", "\ude00"], "A \U0001f600"),
            (["A \ud83d", "."], "A \ufffd."),
            (["A \ud83d"], "A \ufffd"),
        ],
    )
    def test_a_surrogate_pair_in_two_pieces(
        self, chat: MemvidChat, server: ChatServer, parts: list[str], answer: str
    ) -> None:
        server.reply = say(*parts)
        assert "".join(chat.stream("login page?")) == chat.history[-1].content == answer

    def test_quotes_without_a_model(self, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        with MemvidChat(video, embedder=EMBEDDER) as chat:
            answer = chat.chat("When did the login page fail?")
            assert answer.startswith("(no language model: pass llm_api_key=... or set OPENAI_API_KEY")
            assert answer.endswith(f"> {FACTS[0]} [1]\n\n> {FACTS[2]} [2]")
            assert [source.chunk_id for source in chat.history[1].sources] == [0, 2]
            assert "".join(chat.stream("When did the login page fail?")) == answer
            assert chat.usage.requests == 0
            chat.chat("And why was it?")
            assert chat.last_context.query_by == "terms"  # type: ignore[union-attr]
        with MemvidChat(video, embedder=EMBEDDER, llm_provider="none") as chat:
            assert chat.chat("xyzzy") == "Nothing in the memory comes near this question."

    def test_quotes_are_numbered_as_they_stand(self) -> None:
        chat = MemvidChat(retriever=ListMemory([f"Fact {word}." for word in "abcdef"]), llm_provider="none")
        assert chat.chat("what?") == "> Fact a. [1]\n\n> Fact b. [2]\n\n> Fact c. [3]"
        assert [source.number for source in chat.history[1].sources] == [1, 2, 3]

    def test_a_quote_is_exact(self) -> None:
        text = "see [7] and `x[9]`\n\n<|im_end|>  two  blanks"
        chat = MemvidChat(retriever=ListMemory([text]), llm_provider="none")
        assert chat.chat("what?") == "> see [7] and `x[9]`\n>\n> <|im_end|>  two  blanks [1]"
        chat = MemvidChat(retriever=ListMemory(["one\r# two\r\nthree"]), llm_provider="none")
        assert chat.chat("what?") == "> one\n> # two\n> three [1]"

    @pytest.mark.parametrize("message", ["", "  \n", None, 5, b"x", "\ud800"])
    def test_what_is_no_message(self, chat: MemvidChat, message: Any) -> None:
        for ask in (chat.chat, chat.stream, chat.astream):
            with pytest.raises(QueryError, match="message"):
                ask(message)


class TestStreams:
    def test_pieces_make_the_answer(self, chat: MemvidChat, server: ChatServer) -> None:
        server.reply = say("On Mar", "ch 2 [", "1].", " Or [9", "]. `x[9", "]`", usage=(5, 6))
        pieces = list(chat.stream("login page?"))
        assert "".join(pieces) == "On March 2 [1]. Or. `x[9]`" == chat.history[1].content
        assert len(pieces) > 3
        assert (chat.usage.prompt_tokens, chat.usage.completion_tokens, chat.usage.counted) == (5, 6, 0)

    def test_a_stream_that_breaks_off_leaves_no_trace(self, chat: MemvidChat, server: ChatServer) -> None:
        server.script.append(cut("On March", " 2 [9]. Half"))
        with pytest.raises(LLMConnectionError) as caught:
            list(chat.stream("login page?"))
        assert caught.value.partial == "On March 2. Half"
        assert chat.history == []
        assert chat.chat("login page?") == "Yes [1]."

    def test_a_stream_that_is_closed_keeps_what_had_come(self, chat: MemvidChat, server: ChatServer) -> None:
        release = threading.Event()
        server.script.append(hold(release, "On March", " 2 "))
        pieces = chat.stream("login page?")
        assert next(pieces) == "On March"
        pieces.close()
        release.set()
        assert [(m.content, m.finish_reason) for m in chat.history] == [
            ("login page?", ""),
            ("On March", "interrupted"),
        ]
        assert chat.chat("login page again?") == "Yes [1]."

    def test_one_answer_at_a_time(self, chat: MemvidChat, server: ChatServer) -> None:
        pieces = chat.stream("login page?")
        next(pieces)
        for ask in (lambda: chat.chat("And?"), lambda: next(chat.stream("And?")), chat.reset):
            with pytest.raises(SessionError, match="still answering"):
                ask()
        other = chat.start_session()
        assert chat.chat("login page there?", session=other) == "Yes [1]."
        list(pieces)

    def test_a_dropped_stream_lets_go(self, chat: MemvidChat) -> None:
        for _ in chat.stream("login page?"):
            break
        gc.collect()
        assert chat.chat("login page again?") == "Yes [1]."

    def test_ctrl_c_in_the_middle(self) -> None:
        class Interrupted(RecordingBackend):
            def stream(self, messages: Sequence[Message], **options: Any) -> Iterator[Piece]:
                yield Piece("On March")
                raise KeyboardInterrupt

        chat = plain(Interrupted())
        with pytest.raises(KeyboardInterrupt):
            list(chat.stream("login page?"))
        assert chat.history[1].content == "On March"
        assert chat.history[1].finish_reason == "interrupted"


class TestFailures:
    def test_after_an_error_the_conversation_is_as_it_was(self, chat: MemvidChat, server: ChatServer) -> None:
        chat.chat("login page?")
        before = chat.history
        server.script.extend([say("x login when"), status(500, "oops")])
        with pytest.raises(LLMError, match="answers 500: oops"):
            chat.chat("And?")
        assert chat.history == before
        assert chat.chat("Once more?")

    def test_a_function_that_fails(self) -> None:
        def broken(messages: list[Message]) -> str:
            raise OSError("no disk")

        chat = plain(broken)
        for ask in (lambda: chat.chat("login page?"), lambda: list(chat.stream("login page?"))):
            with pytest.raises(LLMError, match="broken failed: OSError: no disk") as caught:
                ask()
            assert isinstance(caught.value.__cause__, OSError)

    @pytest.mark.parametrize("answer", [5, None, ["x", 5], b"x", {"content": "x"}, {"x", "y"}])
    def test_a_function_that_gives_no_text(self, answer: Any) -> None:
        with pytest.raises(LLMResponseError, match="expected"):
            plain(lambda messages: answer).chat("login page?")

    def test_a_backend_that_breaks_the_protocol(self) -> None:
        class Wrong(RecordingBackend):
            def complete(self, messages: Sequence[Message], **options: Any) -> Any:
                return "text"

            def stream(self, messages: Sequence[Message], **options: Any) -> Any:
                return iter(["text"])

        with pytest.raises(LLMResponseError, match="gave a str: expected a Completion"):
            plain(Wrong()).chat("login page?")
        with pytest.raises(LLMResponseError, match="gave a str: expected pieces"):
            list(plain(Wrong()).stream("login page?"))

        class NoText(RecordingBackend):
            def stream(self, messages: Sequence[Message], **options: Any) -> Any:
                return iter([Piece(["text"])])  # type: ignore[arg-type]

        with pytest.raises(LLMResponseError, match="expected pieces of text"):
            list(plain(NoText()).stream("login page?"))

    def test_no_memory(self, tmp_path: Path) -> None:
        with pytest.raises(VideoNotFoundError):
            MemvidChat(tmp_path / "nowhere.mp4", llm_provider="none")
        with pytest.raises(ConfigError, match="give video_file"):
            MemvidChat(llm_provider="none")
        for wrong in (5, ListMemory, "memory.mp4"):
            with pytest.raises(ConfigError, match="expected something with search"):
                MemvidChat(retriever=wrong, llm_provider="none")
        with pytest.raises(ConfigError, match="is open already"):
            MemvidChat("x.mp4", retriever=ListMemory(FACTS), llm_provider="none")

    def test_after_close(self, video: Path) -> None:
        chat = MemvidChat(video, embedder=EMBEDDER, llm_provider="none")
        chat.close()
        chat.close()
        for use in (lambda: chat.chat("x"), chat.start_session, lambda: chat.search_memory("x")):
            with pytest.raises(ClosedError):
                use()

    def test_a_retriever_of_ones_own_stays_open(self, video: Path) -> None:
        with open_memory(video) as memory:
            MemvidChat(retriever=memory, llm_provider="none").close()
            assert memory.search("login")


class TestAnything:
    def test_with_search_alone(self) -> None:
        class Bare:
            def search(self, query: str, top_k: int) -> list[str]:
                return FACTS[:top_k]

        chat = MemvidChat(retriever=Bare(), backend=lambda messages: iter(["On March", " 2 [1]."]))
        assert "".join(chat.stream("login page?")) == "On March 2 [1]."
        (source,) = chat.history[1].sources
        assert (source.chunk_id, source.frame_index, source.seconds) == (-1, -1, None)
        assert asyncio.run(chat.achat("And?")) == "On March 2 [1]."

    @pytest.mark.parametrize(
        ("found", "message"),
        [
            (None, "gave a NoneType"),
            ("a text", "gave a str: expected a list"),
            ([("a text", 0.9)], "gave a tuple in its list"),
        ],
    )
    def test_a_search_that_gives_no_texts(self, found: Any, message: str) -> None:
        class Odd:
            def search(self, query: str, top_k: int) -> Any:
                return found

        with pytest.raises(ConfigError, match=message):
            MemvidChat(retriever=Odd(), backend=RecordingBackend()).chat("what?")

    def test_numbers_of_numpy(self, tmp_path: Path) -> None:
        class Vectors(ListMemory):
            score: Any = np.float32(0.5)

            def search_results(self, query: str, top_k: int = 5) -> list[SearchResult]:
                return [SearchResult(np.int64(0), self.score, "A fact.", {}, np.int64(0))]  # type: ignore[arg-type]

        memory = Vectors(["A fact."])
        chat = MemvidChat(retriever=memory, backend=RecordingBackend("Yes [1]."))
        chat.chat("what?")
        chat.export_history(tmp_path / "chat.json")
        assert MemvidChat(retriever=memory, backend=RecordingBackend()).load_history(tmp_path / "chat.json")
        for wrong in (float("nan"), None):
            memory.score = wrong
            with pytest.raises(ConfigError, match="search_results"):
                chat.chat("what?")

    def test_a_function_gets_messages_and_options(self) -> None:
        seen: list[Any] = []

        def model(messages: list[Message], *, temperature: float) -> str:
            seen.append((messages, temperature))
            return "Fine."

        chat = plain(model, llm_options={"temperature": 0.5})
        assert chat.chat("login page?") == "Fine."
        assert seen[0][1] == 0.5
        assert seen[0][0][-1]["role"] == "user"


class TestSessions:
    def test_they_do_not_know_each_other(self) -> None:
        backend = RecordingBackend("Fine.")
        chat = plain(backend, follow_up="none")
        first = chat.start_session()
        chat.chat("one?")
        second = chat.start_session("Be kind.")
        assert chat.session_id == second != first
        chat.chat("two?")
        chat.chat("three?", session=first)
        assert [m.content for m in chat.history_of(first)] == ["one?", "Fine.", "three?", "Fine."]
        assert [m.content for m in chat.history] == ["two?", "Fine."]
        assert (chat.usage_of(first).requests, chat.usage.requests) == (2, 1)
        assert chat.last_context_of(first).question == "three?"  # type: ignore[union-attr]
        assert "Be kind." not in backend.requests[2][0][0]["content"]

    def test_reset_forgets_what_was_said(self) -> None:
        backend = RecordingBackend("Fine.")
        chat = plain(backend)
        session = chat.start_session("Be kind.")
        chat.chat("one?")
        chat.reset()
        assert (chat.history, chat.last_context, chat.session_id) == ([], None, session)
        chat.chat("two?")
        assert "one?" not in str(backend.requests[-1])
        assert "Be kind." in backend.requests[-1][0][0]["content"]
        assert chat.usage.requests == 2

    def test_one_begins_by_itself(self) -> None:
        chat = plain(RecordingBackend())
        assert chat.history == []
        assert chat.chat("one?")
        assert len(chat.history) == 2

    def test_of_many_threads_one_begins_it(self) -> None:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            with ThreadPoolExecutor(4) as threads:
                for _ in range(100):
                    chat, start = plain(RecordingBackend()), threading.Barrier(4)

                    def begin(chat: MemvidChat = chat, start: threading.Barrier = start) -> str:
                        start.wait()
                        return chat.session_id

                    found = [thread.result() for thread in [threads.submit(begin) for _ in range(4)]]
                    assert set(found) == {chat.session_id}
                    assert len(chat._sessions) == 1
        finally:
            sys.setswitchinterval(interval)

    def test_unknown_and_ended_ones(self) -> None:
        chat = plain(RecordingBackend())
        session = chat.start_session()
        chat.end_session(session)
        for wrong in (session, "x", 5):
            with pytest.raises(SessionError, match="there is no session"):
                chat.chat("one?", session=wrong)  # type: ignore[arg-type]

    def test_two_on_one_retriever_from_two_threads(self, tmp_path: Path, server: ChatServer) -> None:
        def echo(handler: Any, request: dict[str, Any]) -> None:
            say(f"You asked {request['messages'][-1]['content'].split('Question: ')[-1]}")(handler, request)

        server.reply = echo
        errors: list[BaseException] = []
        start = threading.Barrier(2)

        def talk(chat: MemvidChat, who: str) -> None:
            try:
                start.wait()
                for number in range(12):
                    question = f"{who} {number} login backup server?"
                    answer = chat.chat(question) if number % 2 else "".join(chat.stream(question))
                    assert answer == f"You asked {question}"
            except BaseException as error:
                errors.append(error)

        with open_memory(build(tmp_path, make_texts(50))) as memory:
            chats = {
                who: MemvidChat(retriever=memory, base_url=server.url, llm_model=who, follow_up="none")
                for who in ("ann", "bob")
            }
            threads = [threading.Thread(target=talk, args=(chat, who)) for who, chat in chats.items()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert errors == []
            for who, chat in chats.items():
                assert len(chat.history) == 24
                assert all(who in message.content for message in chat.history)
                chat.close()
        for request in server.requests:
            other = "bob" if request.body["model"] == "ann" else "ann"
            assert not any(f"{other} " in message["content"] for message in request.messages)

    def test_many_sessions_of_one_chat_in_many_threads(self) -> None:
        backend = RecordingBackend(lambda messages: "Heard: " + messages[-1]["content"].split("Question: ")[-1])
        chat = plain(backend, follow_up="none")
        sessions = [chat.start_session() for _ in range(8)]

        def talk(session: str) -> None:
            for number in range(10):
                chat.chat(f"{session} {number}?", session=session)

        threads = [threading.Thread(target=talk, args=(session,)) for session in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for session in sessions:
            said = [message.content for message in chat.history_of(session)]
            assert said == [f"{p}{session} {n}?" for n in range(10) for p in ("", "Heard: ")]


class TestAsync:
    def test_the_twins_say_the_same(self, chat: MemvidChat, server: ChatServer) -> None:
        server.reply = say("On March", " 2 [1].", " No [9].", usage=(5, 6))

        async def talk() -> tuple[str, list[str]]:
            answer = await chat.achat("When did the login page fail?")
            chat.start_session()
            return answer, [piece async for piece in chat.astream("When did the login page fail?")]

        answer, pieces = asyncio.run(talk())
        assert answer == "".join(pieces) == "On March 2 [1]. No."
        assert [source.chunk_id for source in chat.history[1].sources] == [0]
        assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (5, 6)

    @pytest.mark.parametrize("kind", ["backend", "function", "none"])
    def test_backends_without_twins(self, kind: str) -> None:
        made: dict[str, dict[str, Any]] = {
            "backend": {"backend": RecordingBackend("Fine [1].")},
            "function": {"backend": lambda messages: "Fine [1]."},
            "none": {"llm_provider": "none"},
        }
        chat = MemvidChat(retriever=ListMemory(FACTS), **made[kind])

        async def talk() -> list[str]:
            await chat.achat("one?")
            return [piece async for piece in chat.astream("two?")]

        assert "".join(asyncio.run(talk())) == chat.history[-1].content
        assert len(chat.history) == 4

    def test_many_at_once(self, chat: MemvidChat) -> None:
        async def talk() -> list[str]:
            sessions = [chat.start_session() for _ in range(8)]
            return await asyncio.gather(*(chat.achat("login page?", session=session) for session in sessions))

        assert asyncio.run(talk()) == ["Yes [1]."] * 8

    def test_a_cancelled_stream_keeps_what_had_come(self, chat: MemvidChat, server: ChatServer) -> None:
        release = threading.Event()
        server.reply = hold(release, "On March", " 2")

        async def talk() -> None:
            came = asyncio.Event()

            async def listen() -> None:
                async for _ in chat.astream("login page?"):
                    came.set()

            task = asyncio.create_task(listen())
            await came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        try:
            asyncio.run(talk())
        finally:
            release.set()
        assert chat.history[1].content.startswith("On March")
        assert chat.history[1].finish_reason == "interrupted"

    def test_a_stream_that_is_left_early(self, chat: MemvidChat, server: ChatServer) -> None:
        async def talk() -> str:
            async with aclosing(chat.astream("login page?")) as pieces:
                async for _ in pieces:
                    break
            return await chat.achat("login page again?")

        server.script.extend([say("On March", " 2 [1]."), say("login page")])
        assert asyncio.run(talk()) == "Yes [1]."
        assert [said.finish_reason for said in chat.history[1::2]] == ["interrupted", "stop"]

    def test_the_client_is_made_in_a_thread(self, chat: MemvidChat, monkeypatch: pytest.MonkeyPatch) -> None:
        threads = []
        importing = service._import_openai

        def watched() -> Any:
            threads.append(threading.current_thread())
            return importing()

        monkeypatch.setattr(service, "_import_openai", watched)
        assert asyncio.run(chat.achat("login page?")) == "Yes [1]."
        assert threads
        assert threading.main_thread() not in threads

    def test_an_error_leaves_no_trace(self, chat: MemvidChat, server: ChatServer) -> None:
        server.reply = cut("Half")

        async def talk() -> None:
            async for _ in chat.astream("login page?"):
                pass

        with pytest.raises(LLMConnectionError) as caught:
            asyncio.run(talk())
        assert caught.value.partial == "Half"
        assert chat.history == []

    def test_a_question_too_large_and_a_blank_one(self) -> None:
        chat = plain(RecordingBackend(window=1000), token_counter="bytes")
        with pytest.raises(QueryError):
            asyncio.run(chat.achat("x " * 900))
        with pytest.raises(QueryError):
            asyncio.run(chat.achat(" "))


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    broken = ("printer", "server", "cable")
    texts = [f"Ticket TK-{1000 + n}: the {broken[n % 3]} broke." for n in range(90)]
    texts += ["Copies of this one text."] * 60
    metadatas = [{"source": f"{n % 3}.txt" if n < 90 else "copies"} for n in range(150)]
    return build(tmp_path_factory.mktemp("tickets"), texts, metadatas=metadatas)


class TestSearching:
    """What a question is searched for with."""

    def test_a_number_is_found(self, tickets: Path) -> None:
        with MemvidChat(tickets, embedder=EMBEDDER, backend=RecordingBackend()) as talk:
            for n in range(0, 90, 11):
                talk.start_session()
                talk.chat(f"What about TK-{1000 + n}?")
                assert talk.last_context is not None
                assert talk.last_context.passages[0].chunk_ids == (n,)

    def test_copies_take_one_place(self, tickets: Path) -> None:
        with MemvidChat(tickets, embedder=EMBEDDER, backend=RecordingBackend(), top_k=5) as talk:
            talk.chat("Are there copies of this text?")
            assert talk.last_context is not None
            found = [*talk.last_context.passages, *talk.last_context.left_out]
            assert len(found) == 5

    def test_a_filter_holds_for_the_conversation(self, tickets: Path, tmp_path: Path) -> None:
        with MemvidChat(tickets, embedder=EMBEDDER, backend=RecordingBackend()) as talk:
            where = {"source": ["1.txt"]}
            session = talk.start_session(where=where)
            where["source"].append("2.txt")  # the caller's dict is the caller's
            for question in ("Which printers broke?", "TK-1000?"):
                talk.chat(question)
                assert talk.last_context is not None
                assert talk.last_context.passages
                assert all(passage.metadata == {"source": "1.txt"} for passage in talk.last_context.passages)
            talk.export_history(tmp_path / "talk.json")
            talk.start_session()
            talk.chat("TK-1000?")
            assert talk.last_context is not None
            assert talk.last_context.passages[0].metadata == {"source": "0.txt"}
            assert talk.load_history(tmp_path / "talk.json") == session
            talk.chat("TK-1000?")
            assert talk.last_context is not None
            assert talk.last_context.passages[0].metadata == {"source": "1.txt"}

    @pytest.mark.parametrize("where", [{}, 5, "source=a", {"a": {"$gtr": 2}}, {"a": float("nan")}])
    def test_filters_that_cannot_be(self, where: Any) -> None:
        with pytest.raises(QueryError, match="where"):
            plain(RecordingBackend()).start_session(where=where)

    def test_a_filter_is_kept_as_json(self, tmp_path: Path) -> None:
        talk = plain(RecordingBackend())
        day = datetime.date(2026, 11, 27)
        talk.start_session(where={"day": {"$gte": day}, "n": {"$in": {np.int64(3)}}, "tag": ("a", "b")})
        talk.export_history(tmp_path / "talk.json")
        kept = json.loads((tmp_path / "talk.json").read_text("utf-8"))["where"]
        assert kept == {"day": {"$gte": "2026-11-27"}, "n": {"$in": [3]}, "tag": ["a", "b"]}

    def test_quotes_ask_for_no_phrase(self, tickets: Path) -> None:
        with MemvidChat(tickets, embedder=EMBEDDER, backend=RecordingBackend()) as talk:
            talk.chat('Who said that the "printer exploded"?')
            assert talk.last_context is not None
            assert talk.last_context.query == 'Who said that the "printer exploded"?'
            assert talk.last_context.passages
            assert talk.search_memory('"printer exploded"') == []
            talk.chat('"')

    def test_options_reach_the_search(self, tickets: Path) -> None:
        with MemvidChat(tickets, embedder=EMBEDDER, backend=RecordingBackend(), mode="keyword") as talk:
            talk.chat("TK-1007 was what?")
            assert talk.last_context is not None
            assert talk.last_context.passages[0].chunk_ids == (7,)
            assert talk.last_context.passages[0].score == 0
        with pytest.raises(ConfigError, match="did you mean 'keyword'"):
            plain(RecordingBackend(), mode="keywords")

    def test_a_memory_of_anothers_making_is_told_only_what_it_takes(self) -> None:
        talk = plain(RecordingBackend())
        talk.chat("Which?")
        talk.start_session(where={"source": "a"})
        with pytest.raises(ConfigError, match="takes no where="):
            talk.chat("Which?")
