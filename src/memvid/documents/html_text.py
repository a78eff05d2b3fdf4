"""The visible text of an HTML page, with the standard library's parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["html_to_text"]

_INVISIBLE = frozenset({"script", "style", "noscript", "template", "head", "svg", "iframe", "object"})
_PARAGRAPHS = frozenset(
    {"p", "div", "section", "article", "header", "footer", "main", "nav", "aside", "ul", "ol", "dl", "table", "pre"}
    | {"blockquote", "figure", "figcaption", "form", "fieldset", "hr", "address", "details", "summary", "body"}
    | {f"h{level}" for level in range(1, 7)}
)
_LINES = frozenset({"br", "li", "tr", "dt", "dd", "caption", "option"})
_CELLS = frozenset({"td", "th"})
_SPACE = re.compile(r"[ \t\n\r\f]+")


def html_to_text(html: str) -> tuple[str, str]:
    """Turn a page into ``(title, text)``: paragraphs apart by an empty line, list items by ``"- "``, cells by tabs.

    White space is folded as a browser does, except in ``<pre>``. Broken markup is read as far as it makes sense; no
    input is an error. What a tag or a comment that is never closed has swallowed is no text, as in a browser.
    """
    parser = _TextParser()
    # Not close(): it would try what was never closed at every "<" again, for hours. The tag has it let go of text.
    parser.feed(html + "<p>")
    return _SPACE.sub(" ", "".join(parser.title)).strip(), "".join(parser.parts).strip()


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.parts: list[str] = []
        self._hidden: list[str] = []  # open elements nothing of which is shown
        self._in_title = False
        self._pre = 0
        self._newlines = 2  # at the end of what is written, so that breaks do not add up
        self._space = False  # a space is owed if a word follows on the line

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "title":
            self._in_title = not self._hidden or self._hidden == ["head"]
        elif tag == "body":
            self._hidden.clear()  # a <head> that was never closed
        elif tag in _INVISIBLE:
            self._hidden.append(tag)
        self._break_at(tag)
        if tag == "li" and not self._hidden:
            self._write("- ")
            self._space = False
        elif tag == "pre":
            self._pre += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif tag == "pre":
            self._pre = max(0, self._pre - 1)
        self._break_at(tag)
        if tag in _CELLS and not self._hidden and self._newlines == 0:
            self._write("\t")
            self._space = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif self._hidden:
            return
        elif self._pre:
            self._write(data)
            stripped = data.rstrip("\n")
            self._newlines = len(data) - len(stripped) + (0 if stripped else self._newlines)
        else:
            self._flow(data)

    def _flow(self, data: str) -> None:
        words = _SPACE.sub(" ", data)
        if words.startswith(" "):
            self._space = True
            words = words[1:]
        if words:
            if self._space and self._newlines == 0:
                self._write(" ")
            self._space = words.endswith(" ")
            self._write(words.rstrip(" "))

    def _break_at(self, tag: str) -> None:
        wanted = 2 if tag in _PARAGRAPHS else 1 if tag in _LINES else 0
        if wanted > self._newlines and not self._hidden:
            self.parts.append("\n" * (wanted - self._newlines))
            self._newlines = wanted
            self._space = False

    def _write(self, text: str) -> None:
        if text:
            self.parts.append(text)
            self._newlines = 0
