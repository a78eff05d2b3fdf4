from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvid.chunking import split_text
from memvid.errors import ChunkTypeError, ConfigError
from memvid.sentences import Rank, joined, sentence_ends

ALPHABET = [*"ab Z.!?,;:\n\r\t#-*1\"')。、日本\u0301\u200d👩🏽🇩🇪\ufe0f각\u1161", "e.g. ", "\n\n"]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=120).map("".join) | st.text(max_size=80)
# chunk_size and an overlap of at most half of it
SIZES = st.integers(1, 60).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size // 2)))

PROSE = (
    "The tide turns twice a day. Fishermen know it by heart, and so do the gulls! Why would they not? "
    "Their lives hang on it, after all. On calm mornings the harbour lies like glass; on others it does not. "
) * 20


def assert_covers(text: str, chunks: list[str]) -> None:
    """Each chunk is a slice of the text, and nothing but white space lies between what the chunks cover, in order."""
    end = 0
    for chunk in chunks:
        reach = len(text) - len(text[end:].lstrip()) + len(chunk)
        at = text.rfind(chunk, 0, reach)  # as late as leaves no gap: no other place covers more
        assert at >= 0, f"{chunk!r} does not continue the text at {end}"
        end = max(end, at + len(chunk))
    assert not text[end:].strip()


def split(text: str, size: int, overlap: int = 0) -> list[str]:
    return list(split_text(text, chunk_size=size, overlap=overlap))


def sentences(text: str) -> list[str]:
    """Sentences as the splitter sees them."""
    starts = [0, *(end for end, _ in sentence_ends(text))]
    return [piece for a, b in itertools.pairwise(starts) if (piece := text[a:b].strip())]


class TestProperties:
    @given(TEXTS, SIZES)
    def test_without_overlap_every_character_is_in_one_chunk_in_order(self, text: str, sizes: tuple[int, int]) -> None:
        chunks = split(text, sizes[0])
        assert "".join("".join(chunks).split()) == "".join(text.split())

    @given(TEXTS, SIZES)
    def test_chunks_are_slices_in_order_that_lose_nothing(self, text: str, sizes: tuple[int, int]) -> None:
        assert_covers(text, split(text, *sizes))

    @given(TEXTS, SIZES)
    def test_no_chunk_is_blank_padded_or_too_long(self, text: str, sizes: tuple[int, int]) -> None:
        for chunk in split(text, *sizes):
            assert chunk.strip()
            assert chunk == chunk.rstrip()
            one_grapheme = all(joined(chunk, i, 0) for i in range(1, len(chunk)))
            assert len(chunk) <= sizes[0] or one_grapheme

    @given(TEXTS, st.integers(1, 60))
    def test_no_grapheme_is_cut(self, text: str, size: int) -> None:
        end = 0
        for chunk in split(text, size):
            start = text.index(chunk, end)
            end = start + len(chunk)
            assert not joined(text, start, 0)
            assert not joined(text, end, 0)

    @given(
        st.lists(st.sampled_from(["é", "e\u0301", "👩\u200d🚀", "🇩🇪", "👍🏽", "각", "x"]), max_size=60),
        st.integers(4, 12),
    )
    def test_known_graphemes_stay_whole(self, graphemes: list[str], size: int) -> None:
        assert [g for chunk in split("".join(graphemes), size) for g in _known(chunk)] == graphemes

    @given(st.lists(st.text("abcdefgh", min_size=1, max_size=10), max_size=60), st.integers(10, 40))
    def test_words_that_fit_stay_whole(self, words: list[str], size: int) -> None:
        assert [word for chunk in split(" ".join(words), size) for word in chunk.split()] == words

    @given(SIZES)
    def test_overlap_is_whole_sentences_and_within_its_limit(self, sizes: tuple[int, int]) -> None:
        size, overlap = sizes[0] * 10, sizes[1] * 10
        whole = sentences(PROSE)
        for before, after in itertools.pairwise(split(PROSE, size, overlap)):
            shared = max((n for n in range(min(len(before), len(after))) if before.endswith(after[:n])), default=0)
            # A text of repeated sentences may share more by chance than was repeated on purpose, never a torn one.
            if 0 < shared <= overlap:
                assert all(sentence in whole for sentence in sentences(after[:shared]))

    @given(TEXTS)
    def test_sentence_ends_ascend_to_the_end_of_the_text(self, text: str) -> None:
        ends = [end for end, _ in sentence_ends(text)]
        assert ends == sorted(ends)
        assert ends[-1] == len(text)


def _known(chunk: str) -> list[str]:
    """Cut into the graphemes of the test above, by their own, simpler rule."""
    found: list[str] = []
    for character in chunk:
        flag = bool(found) and len(found[-1]) == 1 and "🇦" <= found[-1] <= "🇿" and "🇦" <= character <= "🇿"
        if found and (character in "\u0301\u200d🏽" or found[-1].endswith("\u200d") or flag):
            found[-1] += character
        else:
            found.append(character)
    return found


class TestSentences:
    @pytest.mark.parametrize(
        "sentence",
        [
            "Dr. Adams met Mr. Baker at 3.14 p.m. yesterday.",
            "See e.g. Smith or i.e. Jones, cf. Brown et al. for more.",
            "J. R. R. Tolkien wrote it in the U.K. long ago.",
            "It is on pp. 12-14, Fig. 3, No. 5 of Vol. 2.",
            'She said "Stop!" and he did.',
            "Version 2.0.1 costs $1,000.50 at example.com today.",
            "Wait... what happened then?",
            "It ends with a quote.”",
            "It has a footnote.[12]",
            "**It is bold.**",
            "他说了「好。」",
        ],
    )
    def test_is_one(self, sentence: str) -> None:
        assert sentences(f"{sentence} Then the next one came.") == [sentence, "Then the next one came."]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
            ("これは文です。次の文です！終わり", ["これは文です。", "次の文です！", "終わり"]),
            ("He left. (She stayed.) Done.", ["He left.", "(She stayed.)", "Done."]),
            ("Shop:\n- milk\n- eggs\n* bread", ["Shop:", "- milk", "- eggs", "* bread"]),
            ("1. First thing\n2. Second thing", ["1. First thing", "2. Second thing"]),
            ("# Title\nBody text\n## Next\nMore", ["# Title", "Body text", "## Next", "More"]),
            ("Title\n=====\nBody.", ["Title\n=====", "Body."]),
            ("no stop here\n\nnew paragraph", ["no stop here", "new paragraph"]),
            ("यह वाक्य है। दूसरा वाक्य।", ["यह वाक्य है।", "दूसरा वाक्य।"]),
            ("a hard-wrapped\nline goes on", ["a hard-wrapped\nline goes on"]),
        ],
    )
    def test_are_found(self, text: str, expected: list[str]) -> None:
        assert sentences(text) == expected

    def test_ranks_tell_headings_and_paragraphs(self) -> None:
        text = "A heading\n\nFirst sentence. Second one.\n\nLast."
        assert [rank for _, rank in sentence_ends(text)][:3] == [Rank.HEADING, Rank.SENTENCE, Rank.PARAGRAPH]


class TestChunks:
    def test_prose_fills_chunks_and_ends_them_at_sentence_ends(self) -> None:
        chunks = split(PROSE, 500)
        assert all(chunk[-1] in ".!?" for chunk in chunks)
        assert sum(map(len, chunks)) / len(chunks) >= 400

    def test_a_short_text_is_one_chunk_without_the_space_around_it(self) -> None:
        assert split("  Hello,   world.\n", 100) == ["Hello,   world."]

    @pytest.mark.parametrize("text", ["", " ", "\n\t \u2003"])
    def test_a_blank_text_has_no_chunk(self, text: str) -> None:
        assert split(text, 100) == []

    def test_a_paragraph_end_near_the_limit_is_preferred(self) -> None:
        first, second = "Alpha beta gamma delta epsilon zeta.", "Eta. Theta iota kappa lambda mu nu."
        assert split(f"{first}\n\n{second}", 45)[0] == first

    def test_a_heading_goes_with_what_follows(self) -> None:
        chunks = split("Some words stand here first.\n\nThe next part\n\nIts first sentence is this one.", 50)
        assert chunks == ["Some words stand here first.", "The next part\n\nIts first sentence is this one."]

    def test_a_long_sentence_is_cut_at_a_clause_then_at_a_space(self) -> None:
        assert split("the first clause ends here, and the second goes on", 30)[0] == "the first clause ends here,"
        assert split("one two three four five six seven", 15) == ["one two three", "four five six", "seven"]

    def test_a_long_word_is_cut_to_full_chunks(self) -> None:
        assert split("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]

    def test_cjk_is_cut_between_characters(self) -> None:
        assert split("春夏秋冬" * 5, 8) == ["春夏秋冬" * 2, "春夏秋冬" * 2, "春夏秋冬"]

    def test_a_grapheme_longer_than_a_chunk_is_its_own_chunk(self) -> None:
        zalgo = "e" + "\u0301" * 50
        assert split(f"ab {zalgo} cd", 10) == ["ab", zalgo, "cd"]

    def test_overlap_repeats_whole_sentences(self) -> None:
        text = "One is here. Two is here. Three is here. Four is here. Five is here."
        chunks = split(text, 40, 20)
        assert chunks[0] == "One is here. Two is here. Three is here."
        assert chunks[1] == "Three is here. Four is here."[: len(chunks[1])]
        assert chunks[-1].endswith("Five is here.")

    def test_overlap_gives_way_to_a_sentence_that_needs_the_room(self) -> None:
        long = "This sentence takes almost all of one chunk."
        assert split(f"Short one. Tiny. {long}", 46, 20) == ["Short one. Tiny.", long]

    def test_works_as_it_is_read(self) -> None:
        endless = split_text("A sentence stands here. " * 200_000, chunk_size=100)
        assert len(list(itertools.islice(endless, 3))) == 3

    @settings(deadline=None)
    @given(st.sampled_from([".", "\n", "\n ", "a. ", "A. ", "1. ", "a\u200d", "🇩", ".'", ".[", "\n#", "-"]))
    def test_hostile_repetitions_are_harmless(self, unit: str) -> None:
        text = unit * 2000
        assert_covers(text, split(text, 50))
        assert_covers(text, split(text, 50, 25))


class TestErrors:
    def test_text_is_not_a_string(self) -> None:
        with pytest.raises(ChunkTypeError, match="bytes"):
            split_text(b"bytes", chunk_size=100)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-1, 0), (10, 6), (10, -1)])
    def test_sizes_are_impossible(self, size: int, overlap: int) -> None:
        with pytest.raises(ConfigError, match="expected"):
            split_text("text", chunk_size=size, overlap=overlap)
