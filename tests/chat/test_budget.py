"""However large memory and history are, no request exceeds the window, the newest question is whole, nothing is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from memvid import MemvidChat
from memvid.chat.citations import strip_markers
from memvid.chat.fitting import Budget
from memvid.chat.prompt import answer_messages, defuse
from memvid.chat.records import Summary
from memvid.errors import ConfigError, QuestionTooLargeError
from memvid.llm import Message, resolve_counter
from tests.chat.chat_support import ListMemory, RecordingBackend
from tests.repository import ROOT

SHIPPED = ROOT / "src" / "memvid" / "models" / "all-MiniLM-L6-v2" / "tokenizer.json"

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
SAID = TEXTS.filter(lambda text: bool(text.strip()) and bool(strip_markers(text).strip()))
LONG = st.builds(lambda text, times: text * times, SAID, st.integers(1, 60))


# The last one counts the whole higher than its parts, as some tokenizers do at seams.
COUNTERS: list[Any] = [resolve_counter(SHIPPED), "bytes", "safe", lambda text: int(len(text) ** 1.05)]


def bare_request(question: str) -> list[Message]:
    """The least that can be sent."""
    return answer_messages(question, nonce="0" * 16, system_prompt=None, turns=(), summary=Summary(), passages=())


class Case:
    """A conversation with everything larger than the window, and a backend that checks what it is sent."""

    def __init__(
        self, window: int, answer_tokens: int, counter: Any, chunks: Sequence[str], replies: Sequence[str]
    ) -> None:
        self.replies = list(replies)
        self.backend = RecordingBackend(self.reply, window=window)
        self.memory = ListMemory(chunks, [{"source": "one"}] * len(chunks))
        self.chat = MemvidChat(
            retriever=self.memory,
            backend=self.backend,
            token_counter=counter,
            answer_tokens=answer_tokens,
            context_tokens=window,
            diversity=0,
        )
        self.budget = Budget(resolve_counter(counter), window, answer_tokens)

    def reply(self, messages: Sequence[Message]) -> str:
        """The next one, ended where ``max_tokens`` would have ended it: else it would be refused."""
        most = self.backend.requests[-1][1]["max_tokens"]
        return self.replies[len(self.backend.requests) % len(self.replies)][: 1000 + 4 * most]

    def check_sizes(self) -> None:
        for messages, options in self.backend.requests:
            assert self.budget.measure(messages) + options["max_tokens"] <= self.budget.window

    def check_nothing_is_cut(self, question: str) -> None:
        *earlier, last = self.backend.answers[-1]
        assert last["content"].endswith(f"\n\nQuestion: {question}")
        context = self.chat.last_context
        assert context is not None
        assert context.budget.request == self.budget.measure([*earlier, last]) <= self.budget.limit
        for passage in context.passages:
            assert defuse(passage.text) in last["content"]
            for chunk_id in passage.chunk_ids:
                assert self.memory.texts[chunk_id] in passage.text
        said = [message.content for message in self.chat.history[:-2]]
        sent = [message["content"] for message in earlier[1:]]
        whole = [text if i % 2 == 0 else defuse(strip_markers(text)) for i, text in enumerate(said)]
        assert sent == whole[len(whole) - len(sent) :]
        assert context.turns_sent + context.turns_summarised + context.turns_left_out == len(said) // 2


@pytest.mark.model
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    window=st.integers(700, 2500),
    share=st.floats(0.02, 0.4),
    counter=st.sampled_from(COUNTERS),
    chunks=st.lists(LONG, min_size=1, max_size=8, unique=True),
    replies=st.lists(LONG, min_size=1, max_size=4),
    questions=st.lists(st.one_of(SAID, LONG), min_size=1, max_size=5),
)
@example(
    window=700, share=0.02, counter="bytes", chunks=["A fact."], replies=["\N{WHALE}" * 3600], questions=["Why?"] * 3
)
def test_no_request_exceeds_the_window(
    window: int, share: float, counter: Any, chunks: list[str], replies: list[str], questions: list[str]
) -> None:
    case = Case(window, max(1, int(window * share)), counter, chunks, replies)
    for question in questions:
        before = (case.chat.history, len(case.backend.requests))
        try:
            case.chat.chat(question)
        except QuestionTooLargeError:
            assert (case.chat.history, len(case.backend.requests)) == before
            assert case.budget.measure(bare_request(question)) > case.budget.limit
            continue
        case.check_nothing_is_cut(question)
    case.check_sizes()


WORDS = [chr(letter) * 5 for letter in range(ord("a"), ord("r"))]


def sentence(number: int, words: int = 40) -> str:
    return " ".join(WORDS[(number * 7 + i * (number + 1)) % len(WORDS)] for i in range(words)) + f" {number}."


def test_a_memory_and_a_history_far_beyond_the_window() -> None:
    case = Case(2000, 300, "bytes", [sentence(i, 80) for i in range(24)], [sentence(i, 60) for i in range(40)])
    for number in range(40):
        case.chat.chat(f"What about {WORDS[number % len(WORDS)]} {number}?")
        case.check_nothing_is_cut(f"What about {WORDS[number % len(WORDS)]} {number}?")
    case.check_sizes()
    context = case.chat.last_context
    assert context is not None
    assert context.passages
    assert {entry.reason for entry in context.left_out} >= {"budget"}
    assert context.turns_sent + context.turns_summarised == 39
    assert context.turns_summarised > 30


def test_old_turns_are_summarised_and_the_summary_is_sent() -> None:
    def answer(messages: Sequence[Message]) -> str:
        return "SUMMARY OF OLD" if "Summarise" in messages[0]["content"] else sentence(len(messages), 60)

    backend = RecordingBackend(answer, window=2600)
    chat = MemvidChat(retriever=ListMemory(["a fact"]), backend=backend, token_counter="bytes", follow_up="none")
    for number in range(12):
        chat.chat(f"question {number}")
    summaries = [messages for messages, _ in backend.requests if "Summarise" in messages[0]["content"]]
    assert 1 <= len(summaries) < 8  # not at every question
    assert "question 0" in summaries[0][-1]["content"]
    assert "SUMMARY OF OLD" in summaries[1][-1]["content"]  # the next one goes on from it
    assert "SUMMARY OF OLD" in backend.answers[-1][-1]["content"]
    context = chat.last_context
    assert context is not None
    assert context.turns_summarised > 0
    assert context.turns_left_out == 0
    assert chat.usage.requests == len(backend.requests)


def test_a_summary_with_half_a_surrogate_pair_can_be_sent() -> None:
    backend = RecordingBackend(lambda messages: "Sum \ud800" if "Summarise" in messages[0]["content"] else "Yes. " * 60)
    chat = MemvidChat(retriever=ListMemory(["A fact."]), backend=backend, context_window=1200, follow_up="none")
    for number in range(12):
        chat.chat(f"Question {number} " + "word " * 40)
    assert any("Sum \ufffd" in messages[-1]["content"] for messages in backend.answers)
    for messages, _ in backend.requests:
        "".join(message["content"] for message in messages).encode()


@pytest.mark.parametrize(
    ("reply", "summary"),
    [("<think>\nHm.\n</think>\n\nIn short.", "In short."), ("<think>Hm, they", ""), ("", "")],
)
def test_a_model_that_thinks_aloud(reply: str, summary: str) -> None:
    backend = RecordingBackend(lambda messages: reply if "Summarise" in messages[0]["content"] else "Yes. " * 60)
    chat = MemvidChat(retriever=ListMemory(["A fact."]), backend=backend, context_window=1200, follow_up="none")
    for number in range(12):
        chat.chat(f"Question {number} " + "word " * 40)
    context = chat.last_context
    assert context is not None
    assert (context.turns_summarised > 0, context.turns_left_out > 0) == (bool(summary), not summary)
    assert ("In short." in backend.answers[-1][-1]["content"]) == bool(summary)
    assert all("think>" not in message["content"] for message in backend.answers[-1])


def test_without_summaries_old_turns_are_left_out() -> None:
    backend = RecordingBackend(lambda messages: sentence(1, 60), window=2000)
    chat = MemvidChat(
        retriever=ListMemory(["x"]), backend=backend, token_counter="bytes", follow_up="none", summarise=False
    )
    for number in range(9):
        chat.chat(f"question {number}")
    assert len(backend.requests) == 9
    context = chat.last_context
    assert context is not None
    assert context.turns_left_out == 8 - context.turns_sent > 0


def test_a_question_larger_than_the_window() -> None:
    backend = RecordingBackend(window=1000)
    chat = MemvidChat(retriever=ListMemory(["x"]), backend=backend, token_counter="bytes")
    with pytest.raises(QuestionTooLargeError, match=r"needs \d+ tokens .* of 750 .*raise context_window"):
        chat.chat("long " * 300)
    assert backend.requests == []
    assert chat.history == []


def test_a_passage_that_does_not_fit_makes_room_for_the_next() -> None:
    backend = RecordingBackend(window=2000)
    chat = MemvidChat(retriever=ListMemory(["large " * 400, "small"]), backend=backend, token_counter="bytes")
    chat.chat("what?")
    context = chat.last_context
    assert context is not None
    assert [passage.text for passage in context.passages] == ["small"]
    assert [(entry.chunk_id, entry.reason) for entry in context.left_out] == [(0, "budget")]


def test_the_budget_of_passages() -> None:
    backend = RecordingBackend(window=100_000)
    chat = MemvidChat(retriever=ListMemory([sentence(i) for i in range(8)]), backend=backend, context_tokens=500)
    chat.chat("what?")
    context = chat.last_context
    assert context is not None
    assert 0 < context.budget.passages <= 500
    assert context.budget.window == 100_000
    assert context.budget.answer == 4096
    none = MemvidChat(retriever=ListMemory(["x"]), backend=backend, context_tokens=0)
    none.chat("what?")
    assert "No passages were found." in backend.answers[-1][-1]["content"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context_window": 10}, "context_window=10"),
        ({"answer_tokens": 9000}, "answer_tokens=9000"),
        ({"answer_tokens": 100, "context_window": 100}, "answer_tokens=100"),
        ({"min_score": 2}, "min_score=2"),
        ({"diversity": -1}, "diversity=-1"),
        ({"follow_up": "guess"}, "follow_up='guess'"),
        ({"max_passage": 3}, "did you mean 'max_passages'"),
        ({"llm_modle": "x"}, "did you mean 'llm_model'"),
        ({"nonsense": 1}, ", llm_api_key, llm_provider, "),
        ({"max_passages": 1000}, "max_passages=1000"),
        ({"summarise": 1}, "summarise=1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MemvidChat(retriever=ListMemory(["x"]), backend=RecordingBackend(), **options)
