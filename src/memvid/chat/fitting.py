"""What of question, history and passages goes into one request, so that it fits the window and nothing is cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from memvid.chat.prompt import Turn, answer_messages, defuse, make_nonce
from memvid.chat.records import ContextBudget, ContextPassage, LeftOut, Summary
from memvid.chat.selection import Candidate, Choice, best_first_and_last, join, leave_out
from memvid.errors import QuestionTooLargeError
from memvid.llm import Message, TokenCounter

__all__ = ["Budget", "Fitted", "Material", "fit", "newest_that_fit"]

Order: TypeAlias = Callable[[Sequence[ContextPassage]], tuple[ContextPassage, ...]]

# Chat templates put marks and a role around each message, at most 6 special tokens in those of GPT, Llama 3, Qwen,
# Mistral, Gemma and SmolLM, and begin the answer with the same.
_PER_MESSAGE = 8
_PER_REQUEST = 8
_HISTORY_SHARE = 0.4  # of the room, kept for history where both want more than there is


@dataclass(frozen=True, slots=True)
class Budget:
    """Counts requests against the window.

    :ivar counter: counts the tokens of a text.
    :ivar window: what request and answer may have together.
    :ivar answer: what is kept for the answer.
    """

    counter: TokenCounter
    window: int
    answer: int

    @property
    def limit(self) -> int:
        """What a request may have."""
        return self.window - self.answer

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self.counter.count(text)

    def measure(self, messages: Sequence[Message]) -> int:
        """Tokens of a request, with those around its messages."""
        return _PER_REQUEST + sum(_PER_MESSAGE + self.count(message["content"]) for message in messages)

    def of_turn(self, turn: Turn) -> int:
        """Tokens of an earlier question and its answer, each a message."""
        return 2 * _PER_MESSAGE + self.count(turn[0]) + self.count(defuse(turn[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What there is to choose from.

    :ivar question: the newest question; always sent whole.
    :ivar system_prompt: of the session, or ``None``.
    :ivar turns: all earlier turns, oldest first.
    :ivar summary: stands for the oldest of them.
    :ivar choice: ranked candidates.
    :ivar beside: by chunk id, the neighbours that continue a candidate.
    """

    question: str
    system_prompt: str | None
    turns: Sequence[Turn]
    summary: Summary
    choice: Choice
    beside: Mapping[int, Sequence[Candidate]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """One request.

    :ivar messages: what is sent.
    :ivar passages: in the order they are sent.
    :ivar left_out: candidates that are not.
    :ivar budget: where the tokens went.
    :ivar turns_sent: newest turns that are sent.
    :ivar turns_summarised: oldest turns that the summary stands for, if it is sent.
    :ivar turns_left_out: turns that are neither sent nor in it.
    :ivar turns_uncovered: of these, those that a summary could still take in.
    :ivar turns_to_keep: newest turns that would fit into half of the room for history.
    """

    messages: list[Message]
    passages: tuple[ContextPassage, ...]
    left_out: tuple[LeftOut, ...]
    budget: ContextBudget
    turns_sent: int
    turns_summarised: int
    turns_left_out: int
    turns_uncovered: int
    turns_to_keep: int


def fit(material: Material, budget: Budget, *, context_tokens: int, ends_first: bool = True) -> Fitted:
    """Choose what is sent: the question always, then the newest turns and the best passages, each whole or not at all.

    History has what passages leave, and at least two fifths; passages have what history leaves, at most
    ``context_tokens``; neighbours have what is left then. At last the request is counted as it is sent, and the oldest
    turn or the worst passage goes until it fits: token counts of parts need not add up to that of the whole.

    :param ends_first: the second best passage last, as models read them best; else in the order of their ranks.
    :raises QuestionTooLargeError: question, rules and system prompt alone do not fit.
    """
    plan = _Plan(material, budget, best_first_and_last if ends_first else tuple)
    base = plan.measure()
    if base > budget.limit:
        raise QuestionTooLargeError(
            f"the question needs {base} tokens with its instructions, of {budget.limit} there are (context_window="
            f"{budget.window}, answer_tokens={budget.answer}): ask a shorter one, or raise context_window"
        )
    room = budget.limit - base
    wanted = min(context_tokens, plan.passage_costs())
    history_room = max(room - wanted, int(room * _HISTORY_SHARE))
    used, to_keep = plan.take_history(history_room)
    spare = plan.take_passages(min(context_tokens, room - used))
    plan.take_neighbours(spare)
    while plan.measure() > budget.limit:
        plan.drop_one()
    return plan.fitted(to_keep, base)


class _Plan:
    """A request in the making."""

    def __init__(self, material: Material, budget: Budget, order: Order) -> None:
        self.material = material
        self.budget = budget
        self._order = order
        self.summary = Summary()
        self.turns: list[Turn] = []
        self.chosen: list[Candidate] = []
        texts = [material.question, material.system_prompt or "", material.summary.text]
        texts += [text for turn in material.turns for text in turn]
        texts += [candidate.text for candidate in material.choice.ranked]
        texts += [candidate.text for beside in material.beside.values() for candidate in beside]
        self.nonce = make_nonce(texts)
        self._costs = {id(candidate): self._cost(candidate) for candidate in material.choice.ranked}

    def _cost(self, candidate: Candidate) -> int:
        return self.budget.count(f"{self.nonce} [99]\n{defuse(candidate.text)}\n")

    def _fence_cost(self, title: str) -> int:
        return self.budget.count(f"{title}\n<data {self.nonce}>\n</data {self.nonce}>\n\n")

    def passage_costs(self) -> int:
        """Tokens that all ranked candidates want."""
        return sum(self._costs.values()) + self._fence_cost("Passages:") if self._costs else 0

    def take_history(self, room: int) -> tuple[int, int]:
        """Take the summary and the newest turns; returns their tokens, and how many turns half the room holds."""
        used = 0
        summary = self.material.summary
        if summary.text:
            cost = self.budget.count(defuse(summary.text)) + self._fence_cost("Of the conversation before:")
            if cost <= room:
                self.summary, used = summary, cost
        rest = self.material.turns[summary.turns :]
        to_keep = newest_that_fit(rest, self.budget.of_turn, room // 2)[0]
        count, tokens = newest_that_fit(rest, self.budget.of_turn, room - used)
        self.turns = list(rest[len(rest) - count :])
        return used + tokens, to_keep

    def take_passages(self, room: int) -> int:
        """Take candidates by rank, each that fits; returns the tokens that are left."""
        room -= self._fence_cost("Passages:")
        for candidate in self.material.choice.ranked:
            if self._costs[id(candidate)] <= room:
                room -= self._costs[id(candidate)]
                self.chosen.append(candidate)
        return room

    def take_neighbours(self, room: int) -> None:
        """Take what continues the chosen ones, while there is room for the whole of it."""
        ids = {candidate.chunk_id for candidate in self.chosen}
        for candidate in list(self.chosen):
            for neighbour in self.material.beside.get(candidate.chunk_id, ()):
                cost = self._cost(neighbour)
                if neighbour.chunk_id not in ids and cost <= room:
                    room -= cost
                    ids.add(neighbour.chunk_id)
                    self.chosen.append(neighbour)

    def drop_one(self) -> None:
        """Give up what is worth least."""
        if self.turns:
            self.turns.pop(0)
        elif self.chosen:
            self.chosen.pop()
        else:
            self.summary = Summary()

    def measure(self) -> int:
        """Tokens of the request as it is now."""
        return self.budget.measure(self._messages(self._passages()))

    def _passages(self) -> tuple[ContextPassage, ...]:
        return self._order(join(self.chosen))

    def _messages(
        self, passages: Sequence[ContextPassage], turns: Sequence[Turn] | None = None, summary: Summary | None = None
    ) -> list[Message]:
        return answer_messages(
            self.material.question,
            nonce=self.nonce,
            system_prompt=self.material.system_prompt,
            turns=self.turns if turns is None else turns,
            summary=self.summary if summary is None else summary,
            passages=passages,
        )

    def fitted(self, to_keep: int, base: int) -> Fitted:
        """The request, and the account of it."""
        passages = self._passages()
        messages = self._messages(passages)
        request = self.budget.measure(messages)
        bare = self.budget.measure(self._messages(passages, (), Summary()))
        sent = {candidate.chunk_id for candidate in self.chosen}
        out = [leave_out(c, "budget") for c in self.material.choice.ranked if c not in self.chosen]
        summarised = self.material.summary.turns if self.summary.text else 0
        out += [entry for entry in self.material.choice.left_out if entry.chunk_id not in sent or entry.chunk_id < 0]
        return Fitted(
            messages=messages,
            passages=passages,
            left_out=tuple(out),
            budget=ContextBudget(
                window=self.budget.window,
                answer=self.budget.answer,
                request=request,
                passages=max(bare - base, 0),
                history=max(request - bare, 0),
                counter=self.budget.counter.name,
            ),
            turns_sent=len(self.turns),
            turns_summarised=summarised,
            turns_left_out=len(self.material.turns) - summarised - len(self.turns),
            turns_uncovered=len(self.material.turns) - self.material.summary.turns - len(self.turns),
            turns_to_keep=to_keep,
        )


def newest_that_fit(turns: Sequence[Turn], cost: Callable[[Turn], int], room: int) -> tuple[int, int]:
    """How many of the newest turns fit into ``room`` tokens, and the tokens they take."""
    count = tokens = 0
    for turn in reversed(turns):
        more = cost(turn)
        if tokens + more > room:
            break
        count, tokens = count + 1, tokens + more
    return count, tokens
