"""Markers in an answer: ``[n]`` cites passage n, and only passages that were supplied."""

from __future__ import annotations

import re

__all__ = ["CitationFilter", "strip_markers"]

# One to three digits, up to a hundred with commas: [2], [1, 3]. There are never more passages; longer numbers are years
# and the like. An index behind a name is code only where the answer says so by backticks, because models write
# "claim[3]" for "claim [3]".
_MARKER = re.compile(r"( ?)\[(\d{1,3}(?:\s{0,2},\s{0,2}\d{1,3}){0,99})\](?!\()")
_BEGUN = re.compile(r" ?(?:\[(?:\d{1,3}(?:\s*,\s*\d{1,3})*)?\s*(?:,\s*)?\]?)?\Z")
_RUNS = re.compile(r"`+|[^`]+")
_BLOCK = 3  # backticks that open a block of code
_LONGEST = 1024  # characters held back at most; no marker is longer
_OPEN = re.compile(r"\[(?:\d{1,3}(?:\s*,\s*\d{1,3})*)?\s*(?:,\s*)?\Z")
_APART = "[]"  # left of a marker inside of what would become another one without it: "[1[9]2]"


class CitationFilter:
    """Lets an answer through as it comes, without the markers that name no passage.

    What is between backticks is code and is left as it is; a span of code ends with its line, a fenced block with its
    fence. Text is held back only while it may be part of a marker or of a fence.

    :param numbers: those of the supplied passages.
    """

    def __init__(self, numbers: frozenset[int]) -> None:
        self._numbers = numbers
        self._held = ""
        self._fence = 0  # backticks that opened the code we are in; 0 outside
        self._tail = ""  # the end of what was let through
        self.cited: set[int] = set()
        self.removed = 0

    def feed(self, text: str) -> str:
        """Add characters; returns those that are certain."""
        self._held += text
        return self._release(final=False)

    def finish(self) -> str:
        """The rest."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        runs = _RUNS.findall(self._held)
        done = [self._let(self._run(run)) for run in runs[:-1]]
        last = runs[-1] if runs else ""
        kept = "" if final else self._uncertain(last)
        done.append(self._let(self._run(last[: len(last) - len(kept)])))
        self._held = kept
        return "".join(done)

    def _let(self, text: str) -> str:
        self._tail = (self._tail + text)[-_LONGEST:]
        return text

    def _uncertain(self, last: str) -> str:
        """The end of what has come so far that may go on in a way that matters."""
        if last.startswith("`"):
            return last
        if self._in_code(last):
            return ""
        begun = _BEGUN.search(last)
        return begun[0] if begun and len(begun[0]) <= _LONGEST else ""

    def _in_code(self, text: str) -> bool:
        return self._fence >= _BLOCK or (self._fence > 0 and "\n" not in text)

    def _run(self, run: str) -> str:
        if not run.startswith("`"):
            if self._in_code(run):
                return run
            code, newline, text = run.partition("\n") if self._fence else ("", "", run)
            self._fence = 0
            return code + newline + self._text(text, self._tail + code + newline)
        if self._fence == 0:
            self._fence = len(run)
        elif len(run) == self._fence or len(run) > self._fence >= _BLOCK:
            self._fence = 0
        return run

    def _text(self, text: str, tail: str) -> str:
        parts: list[str] = []
        end = 0
        for match in _MARKER.finditer(text):
            left = self._checked(match)
            tail = (tail + text[end : match.start()])[-_LONGEST:]
            if not left and _OPEN.search(tail):
                left = match[1] + _APART
            parts += (text[end : match.start()], left)
            tail += left
            end = match.end()
        return "".join(parts) + text[end:]

    def _checked(self, match: re.Match[str]) -> str:
        named = [int(number) for number in match[2].split(",")]
        good = [number for number in named if number in self._numbers]
        self.cited.update(good)
        self.removed += len(named) - len(good)
        if len(good) == len(named):
            return match[0]
        return f"{match[1]}[{', '.join(map(str, good))}]" if good else ""


def strip_markers(text: str) -> str:
    """``text`` without its markers: their numbers mean other passages in a later request. Code is left as it is."""
    markers = CitationFilter(frozenset())
    return markers.feed(text) + markers.finish()
