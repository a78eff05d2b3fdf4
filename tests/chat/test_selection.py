"""Which passages are chosen, joined and ordered; which citations stay."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid.chat.citations import CitationFilter, strip_markers
from memvid.chat.follow_up import clean_rewrite, query_with_terms
from memvid.chat.records import ContextPassage
from memvid.chat.selection import (
    Candidate,
    best_first_and_last,
    choose,
    continues,
    join,
    neighbours_that_continue,
)
from memvid.types import Chunk, SearchResult


def found(*texts: str, scores: list[float] | None = None) -> list[SearchResult]:
    scores = scores or [0.9 - 0.01 * i for i in range(len(texts))]
    return [SearchResult(i, score, text, {}, i) for i, (text, score) in enumerate(zip(texts, scores, strict=True))]


def chunk(chunk_id: int, text: str, metadata: dict[str, Any] | None = None, score: float | None = 0.5) -> Candidate:
    return Candidate(chunk_id, text, metadata or {}, chunk_id // 2, score)


def reasons(choice: Any) -> dict[int, str]:
    return {entry.chunk_id: entry.reason for entry in choice.left_out}


class TestChoose:
    def test_the_best_is_first_and_the_far_ones_are_out(self) -> None:
        choice = choose(
            found("a b", "c d", "e f", scores=[0.2, 0.8, 0.05]), min_score=0.1, diversity=0.3, limit=9, longest=999
        )
        assert [candidate.chunk_id for candidate in choice.ranked] == [1, 0]
        assert reasons(choice) == {2: "score"}

    def test_repeats_are_seen_without_blanks_between_words(self) -> None:
        near = "会话服务器在三月二日发生故障导致用户无法登录系统"
        found = [
            SearchResult(number, score, text, {}, 0)
            for number, (score, text) in enumerate([(0.9, near), (0.89, near + "了"), (0.7, "备份在夜里三点运行")])
        ]
        ranked = choose(found, min_score=0.1, diversity=0.5, limit=2, longest=999).ranked
        assert [candidate.chunk_id for candidate in ranked] == [0, 2]

    def test_what_is_too_long_for_any_request_is_not_looked_at(self) -> None:
        choice = choose(found("a" * 10, "b" * 11, "c"), min_score=0, diversity=0, limit=9, longest=10)
        assert [candidate.chunk_id for candidate in choice.ranked] == [0, 2]
        assert reasons(choice) == {1: "budget"}

    def test_the_same_text_again_is_out(self) -> None:
        choice = choose(
            found("Login failed!", "login  FAILED", "backup"), min_score=0, diversity=0, limit=9, longest=999
        )
        assert [candidate.chunk_id for candidate in choice.ranked] == [0, 2]
        assert reasons(choice) == {1: "repeats"}

    def test_what_repeats_comes_after_what_is_new(self) -> None:
        texts = [
            "the login page failed on monday",
            "the login page failed on tuesday",
            "backups of billing run at night",
        ]
        near = found(*texts, scores=[0.9, 0.89, 0.7])
        assert [c.chunk_id for c in choose(near, min_score=0, diversity=0, limit=9, longest=999).ranked] == [0, 1, 2]
        assert [c.chunk_id for c in choose(near, min_score=0, diversity=0.6, limit=9, longest=999).ranked] == [0, 2, 1]
        limited = choose(near, min_score=0, diversity=0.6, limit=2, longest=999)
        assert [c.chunk_id for c in limited.ranked] == [0, 2]
        assert reasons(limited) == {1: "limit"}

    @given(st.lists(st.tuples(st.text(max_size=20), st.floats(-1, 1)), max_size=20), st.integers(1, 10))
    def test_every_candidate_is_ranked_or_has_a_reason(self, entries: list[tuple[str, float]], limit: int) -> None:
        results = [SearchResult(i, score, text, {}, i) for i, (text, score) in enumerate(entries)]
        choice = choose(results, min_score=0.1, diversity=0.3, limit=limit, longest=999)
        assert len(choice.ranked) <= limit
        ids = [c.chunk_id for c in choice.ranked] + [entry.chunk_id for entry in choice.left_out]
        assert sorted(ids) == list(range(len(entries)))
        if choice.ranked:
            assert choice.ranked[0].score == max(score for _, score in entries)


class TestJoin:
    def test_what_continues(self) -> None:
        report = {"source": "report.txt"}
        assert continues(chunk(1, "One.", report), chunk(2, "Two.", report))
        assert not continues(chunk(1, "One.", report), chunk(3, "Two.", report))
        assert not continues(chunk(1, "One.", report), chunk(2, "Two.", {"source": "other.txt"}))
        assert not continues(chunk(1, "A fact."), chunk(2, "Another fact."))
        assert continues(chunk(1, "A sentence that goes"), chunk(2, "on in the next."))
        assert continues(chunk(1, "First. The last one of it."), chunk(2, "The last one of it. Then more."))
        assert not continues(chunk(-1, "x goes"), chunk(0, "on"))

    def test_neighbours_become_one_passage_in_their_order(self) -> None:
        report = {"source": "r"}
        chosen = [chunk(5, "Best.", report, 0.9), chunk(9, "Other.", None, 0.8), chunk(4, "Before.", report, None)]
        first, second = join(chosen)
        assert (first.text, first.chunk_ids, first.scores) == ("Before.\nBest.", (4, 5), (None, 0.9))
        assert (first.rank, first.score, first.frame_indexes) == (1, 0.9, (2, 2))
        assert (second.text, second.chunk_ids, second.rank) == ("Other.", (9,), 2)

    def test_an_overlap_is_told_once(self) -> None:
        overlap = "This sentence stands in both of them."
        (passage,) = join([chunk(1, f"Start. {overlap}"), chunk(2, f"{overlap} End.")])
        assert passage.text == f"Start. {overlap} End."

    def test_an_overlap_is_looked_for_where_it_can_begin(self) -> None:
        """Not at every character: of two texts of a million letters each, that would be a million comparisons."""
        long = "x" * 1_000_000
        assert not continues(chunk(1, f"{long}y."), chunk(2, f"{long}Z"))
        assert continues(chunk(1, f"A. {long}"), chunk(2, f"{long} B."))

    @given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=8))
    def test_nothing_is_cut(self, texts: list[str]) -> None:
        chosen = [chunk(i, text, {"source": "x"}) for i, text in enumerate(texts)]
        (passage,) = join(chosen)
        assert passage.chunk_ids == tuple(range(len(texts)))
        at = 0
        for text in texts:  # each is in it, whole, and none before the one in front of it
            at = passage.text.find(text, at)
            assert at >= 0

    def test_neighbours_that_do_not_continue_stay_out(self) -> None:
        around = [Chunk(4, "Unrelated.", {"source": "a"}, 2), Chunk(6, "More.", {"source": "b"}, 3)]
        assert [c.chunk_id for c in neighbours_that_continue(chunk(5, "Hit.", {"source": "b"}), around)] == [6]

    def test_the_best_stand_at_the_ends(self) -> None:
        passages = join([chunk(10 * i, f"text {i}") for i in range(5)])
        ordered = best_first_and_last(passages)
        assert [passage.rank for passage in ordered] == [1, 3, 5, 4, 2]
        assert [passage.number for passage in ordered] == [1, 2, 3, 4, 5]
        assert best_first_and_last([]) == ()
        assert isinstance(ordered[0], ContextPassage)


def filtered(text: str, numbers: set[int], size: int) -> tuple[str, set[int], int]:
    citations = CitationFilter(frozenset(numbers))
    parts = [citations.feed(text[i : i + size]) for i in range(0, len(text), size)]
    return "".join(parts) + citations.finish(), citations.cited, citations.removed


class TestCitations:
    def test_what_names_no_passage_is_removed_and_counted(self) -> None:
        text = "Good [1]. Bad [7]. Both [2, 7]. [1][2][3] In 2026 [2026]."
        assert filtered(text, {1, 2}, 1000) == ("Good [1]. Bad. Both [2]. [1][2] In 2026 [2026].", {1, 2}, 3)

    def test_code_and_links_are_left_alone(self) -> None:
        text = "`rows[7]`\n```python\nrows[7]\n```\n[7](https://example.com) and rows[7]"
        assert filtered(text, {1}, 1000)[::2] == (text.removesuffix("[7]"), 1)

    def test_a_long_list_is_a_marker_in_pieces_too(self) -> None:
        text = f"See [{', '.join(map(str, range(1, 60)))}]."
        for size in (1, 7, 1000):
            assert filtered(text, {1, 59}, size) == ("See [1, 59].", {1, 59}, 57)

    def test_what_is_removed_makes_no_other_marker(self) -> None:
        assert filtered("[1[9]2] [[9]7] a[9]b", {1}, 1000) == ("[1[]2] [[]7] ab", set(), 3)

    @given(st.text("[]0123, `\nab", max_size=60), st.integers(1, 7))
    def test_nothing_is_left_to_remove(self, text: str, size: int) -> None:
        once = filtered(text, {1, 2}, size)
        assert filtered(once[0], {1, 2}, size) == (once[0], once[1], 0)

    def test_a_lonely_backtick_ends_with_its_line(self) -> None:
        assert filtered("a ` b [7]\nc [7]", set(), 1000) == ("a ` b [7]\nc", set(), 1)

    @given(st.text("[]0123, `\nab(", max_size=60), st.sets(st.integers(0, 20), max_size=4), st.integers(1, 7))
    def test_pieces_make_no_difference(self, text: str, numbers: set[int], size: int) -> None:
        assert filtered(text, numbers, size) == filtered(text, numbers, len(text) or 1)

    @given(st.text("[]0123, `\nab(", max_size=60))
    def test_nothing_but_markers_goes(self, text: str) -> None:
        assert [c for c in strip_markers(text) if c in "ab`\n("] == [c for c in text if c in "ab`\n("]

    def test_text_is_held_back_only_where_it_may_be_a_marker(self) -> None:
        citations = CitationFilter(frozenset({1}))
        assert citations.feed("On March 2") == "On March 2"
        assert citations.feed(" [") == ""
        assert citations.feed("1") == ""
        assert citations.feed("] it") == " [1] it"
        assert citations.finish() == ""


class TestFollowUp:
    def test_a_question_that_points_back_gets_words_of_the_one_before(self) -> None:
        earlier = ["When did the login page of the portal fail?"]
        assert query_with_terms("Who fixed it?", earlier) == "Who fixed it? (login page portal fail)"
        assert query_with_terms("And the signup?", earlier) == "And the signup? (login page portal fail)"

    def test_a_question_that_stands_alone_is_left_alone(self) -> None:
        question = "Which databases does the nightly backup include?"
        assert query_with_terms(question, ["When did the login fail?"]) == question
        assert query_with_terms("Why?", []) == "Why?"

    def test_words_are_carried_on(self) -> None:
        first = "When did the login page fail?"
        second = query_with_terms("Who fixed it?", [first])
        assert "login" in query_with_terms("And why?", [first, second])

    def test_a_rewritten_question(self) -> None:
        earlier = ["When did the login page fail?"]
        assert clean_rewrite('\n"Who fixed the login page?"\n', "Who fixed it?", earlier) == "Who fixed the login page?"
        for reply in ("", "  ", "Sure!\nWho fixed the login?", "login " * 300, "I am a helpful assistant."):
            assert clean_rewrite(reply, "Who fixed it?", earlier) is None

    @pytest.mark.parametrize(
        ("question", "reply", "other"),
        [
            ("它是什么时候更换的？", "会话服务器是什么时候更换的？", "我很乐意帮助你。"),
            ("それはいつ交換されましたか？", "サーバーはいつ交換されましたか？", "お手伝いします。"),
            ("متى تم استبداله؟", "متى تم استبدال خادم الجلسات؟", "أنا مساعد."),
        ],
    )
    def test_a_rewritten_question_in_other_scripts(self, question: str, reply: str, other: str) -> None:
        assert clean_rewrite(reply, question, []) == reply
        assert clean_rewrite(other, question, []) is None
