"""Cutting a text into chunks at paragraph and sentence ends.

Plan: :mod:`memvid.sentences` finds where sentences end; this module packs consecutive sentences into chunks, and cuts
inside a sentence only when it alone is longer than a chunk.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memvid.errors import ChunkTypeError, ConfigError
from memvid.sentences import Rank, joined, sentence_ends, skip_space

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["split_text"]

# Where a sentence longer than a chunk is best cut, best first: each pattern matches up to the cut. None looks ahead
# behind a repetition, which would take quadratic time on a row of dots; `_is_cut` looks instead.
_INSIDE_BREAKS = (
    re.compile(r"(?=\n)"),
    re.compile(r"[.!?…。！？｡．]+[\"'”’)\]»」』）】]*"),
    re.compile(r"[;:,؛،、，；：—–]+[\"'”’)\]»」』）】]*"),
    re.compile(r"(?=\s)"),
    # No spaces to go by: after a CJK character, a hyphen, a slash or a zero-width space.
    re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f/\u200b-](?=\w)"),
)
_NEEDS_SPACE = frozenset(".!?…;:,؛،\"'”’)]»")  # "3.14" and "1,000" are not cut
_LAST_SPACE = re.compile(r"\s(?=\S*\Z)")


@dataclass(frozen=True, slots=True)
class _Sentence:
    start: int
    end: int
    rank: Rank


def split_text(text: str, *, chunk_size: int, overlap: int = 0) -> Iterator[str]:
    """Cut ``text`` into chunks of at most ``chunk_size`` characters (code points).

    What is kept: every chunk is a slice of ``text`` without the white space around it, the slices are in order, and
    every character that is not white space is in at least one of them. White space inside a chunk is kept exactly;
    white space between two chunks, before the first and after the last is not. No chunk is blank, so a blank text
    has none.

    Where it cuts, best first: at a paragraph end in the last quarter of the chunk, at the last sentence end (but not
    right after a heading), and inside a sentence only when that sentence is longer than a chunk: there at a line end,
    a full stop, a clause, white space, and only then inside a word. It never cuts inside a grapheme (a base character
    with its combining marks, an emoji sequence, CR LF), so one grapheme longer than ``chunk_size`` is a chunk of its
    own and the only one that may be longer.

    :param overlap: a chunk starts with the last whole sentences of the one before, as many as fit in so many
        characters; none if the last one is longer, or if the next sentence would not fit behind them.
    :returns: an iterator; it works as it is read, in time linear in the text and memory of one chunk.
    :raises ChunkTypeError: ``text`` is not a string.
    :raises ConfigError: ``chunk_size`` below 1, or ``overlap`` negative or more than half of ``chunk_size``.
    """
    if not isinstance(text, str):
        raise ChunkTypeError(f"text is a {type(text).__name__}: expected a string")
    if chunk_size < 1:
        raise ConfigError(f"chunk_size={chunk_size} is not possible: expected at least 1 character")
    if not 0 <= overlap * 2 <= chunk_size:
        raise ConfigError(f"overlap={overlap} is not possible: expected 0 to half of chunk_size={chunk_size}")
    return _pack(text, chunk_size, overlap)


def _pack(text: str, chunk_size: int, overlap: int) -> Iterator[str]:
    ahead = _sentences(text)
    window: deque[_Sentence] = deque()  # the sentences that end after `start`, up to the first that does not fit
    end = len(text.rstrip())
    start = done = skip_space(text, 0)  # the chunk starts at `start`; all before `done` is in some chunk already
    while done < end:
        while not window or window[-1].end <= start + chunk_size:
            following = next(ahead, None)
            if following is None:
                break
            window.append(following)
        cut = _choose(text, window, start, done, chunk_size)
        if cut > start + chunk_size and start < done:
            start = done  # a grapheme that fits only without the overlap
            continue
        yield text[start:cut].rstrip()
        done = skip_space(text, cut)
        start = _next_start(window, start, cut, done, chunk_size=chunk_size, overlap=overlap)
        while window and window[0].end <= start:
            window.popleft()


def _sentences(text: str) -> Iterator[_Sentence]:
    start = skip_space(text, 0)
    for end, rank in sentence_ends(text):
        if end > start:
            yield _Sentence(start, end, rank)
            start = skip_space(text, end)


def _choose(text: str, window: deque[_Sentence], start: int, done: int, chunk_size: int) -> int:
    """Where the chunk that starts at ``start`` ends."""
    limit = start + chunk_size
    fits = [sentence for sentence in window if done < sentence.end <= limit]
    beyond = window[-1] if window[-1].end > limit else None
    if not fits:
        return _cut_inside(text, start, done, limit)
    if beyond is None:
        return fits[-1].end
    for sentence in reversed(fits):
        if sentence.end < start + chunk_size * 3 // 4:
            break
        if sentence.rank is Rank.PARAGRAPH:
            return sentence.end
    best = next((s for s in reversed(fits) if s.rank is not Rank.HEADING), fits[-1])
    # A sentence that has to be cut anyway may as well fill this chunk.
    if beyond.end - beyond.start > chunk_size and best.end - start < chunk_size // 2:
        cut = _cut_inside(text, start, best.end, limit)
        return cut if cut <= limit else best.end
    return best.end


def _cut_inside(text: str, start: int, low: int, limit: int) -> int:
    """The best cut in ``(low, limit]`` that splits no grapheme; the first one after it if there is none."""
    half = max(low + 1, start + (limit - start) // 2)
    for pattern in _INSIDE_BREAKS:
        cuts = [m.end() for m in pattern.finditer(text, half - 1, min(limit + 1, len(text)))]
        for cut in reversed(cuts):
            if half <= cut <= limit and _is_cut(text, cut, start):
                return cut
    space = _LAST_SPACE.search(text[low + 1 : half])
    if space and not joined(text, low + 1 + space.start(), start):
        return low + 1 + space.start()
    cut = limit
    while cut > low and joined(text, cut, start):
        cut -= 1
    if cut > low:
        return cut
    cut = max(limit, low) + 1
    while cut < len(text) and joined(text, cut, start):
        cut += 1
    return cut


def _is_cut(text: str, cut: int, start: int) -> bool:
    if text[cut - 1] in _NEEDS_SPACE and not text[cut : cut + 1].isspace():
        return False
    return not joined(text, cut, start)


def _next_start(window: deque[_Sentence], start: int, cut: int, done: int, *, chunk_size: int, overlap: int) -> int:
    """Where the next chunk starts: ``done``, or earlier by the whole sentences it repeats."""
    if not overlap:
        return done
    following = next((sentence.end for sentence in window if sentence.end > done), done)
    if following - done > chunk_size:
        following = done + chunk_size - chunk_size // 2  # it is cut in any case: leave it half of the chunk
    for sentence in window:
        whole = sentence.start > start and sentence.end <= cut
        if whole and cut - sentence.start <= overlap and following - sentence.start <= chunk_size:
            return sentence.start
    return done
