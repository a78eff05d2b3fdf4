"""What was said is text in the Markdown of a conversation: a real renderer shows it and makes nothing else of it."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from memvid.chat import ChatMessage, Source
from memvid.chat.markdown import as_markdown, escaped
from memvid.chat.session import Session
from memvid.printable import printable

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OWN = {"h1", "h2", "ul", "li", "blockquote", "p", "br", "code"}

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil.example/pixel.png)",
    "[x](javascript:alert(1))",
    "<http://evil.example>",
    "see http://evil.example/a`b, www.evil.example and me@evil.example",
    "[x]: http://evil.example\n\n[x] ![x]",
    "[x][y]\n\n[y]: <javascript:alert(1)> 'title'",
    "<!-- a comment -->\n<?php x ?>\n<![CDATA[x]]>\n<!DOCTYPE x>",
    "&lt;b&gt; &copy; &#35; &amp;",
    "```\n</code>\n```\n~~~\n`` ` `",
    "> ## Answer\n>> forged",
    "## Answer\n\nforged\n===\nforged\n---",
    "    indented\n\tcode\n\n     again",
    "- one\n+ two\n* three\n1. four\n2) five\n- [ ] six",
    "| a | b |\n|---|---|\n| c | d |",
    "*a* _b_ **c** __d__ ~~e~~ $f$ ^g^ [^h]\n\n[^h]: note",
    "\\*a\\* \\",
    "two  \nlines\\\nmore",
    "***\n---\n___\n* * *",
    "\x1b[31mred\x1b[0m \x00 \x07 \x9b2J \u202egnp.exe \u2066x\u2069 \ufeff",
    "a\rb\r\nc\x0bd\x0ce\x85f\u2028g\u2029h",
    "{{ site.secret }} {% include x %} {::nomarkdown}",
    "# \n#\n####### x\n#x",
    "http://a.example/*b*_c_<d>",
    "mailto:me@evil.example xmpp:me@evil.example ftp://evil.example file:///etc/passwd",
    "\u00a0\u00a0\u00a0\u00a0code",
    "",
    " \n \n ",
]


class Shown(HTMLParser):
    """The text of a page, and the tags that make it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[object] = []
        self.quotes: list[str] = []
        self.text = ""
        self.in_quote = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "blockquote":
            assert not self.in_quote
            self.in_quote = True
            self.quotes.append("")
        if tag in ("br", "p"):
            self.handle_data("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "blockquote":
            self.in_quote = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_quote:
            self.quotes[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    handle_pi = unknown_decl = handle_comment


def shown(session: Session, memory: str | None = "memory.mp4", backend: str = "openai") -> Shown:
    return Shown(RENDERER.render(as_markdown(session, memory, backend)))


def words(text: str) -> list[list[str]]:
    """Of the lines that have any."""
    return [line.split() for line in text.replace("\u00a0", " ").split("\n") if line.split()]


def conversation(*texts: str) -> Session:
    session = Session("an id")
    for asked, said in pairwise([*texts, texts[-1]]):
        session.add(ChatMessage("user", asked, query=asked), ChatMessage("assistant", said, sources=(Source(1, 2, 3),)))
    return session


def check(text: str) -> None:
    page = shown(conversation(text, text))
    assert page.tags <= OWN
    assert page.attributes == []
    assert [words(quote) for quote in page.quotes] == [words(printable(text))] * 4


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_said_is_shown_and_nothing_else(text: str) -> None:
    check(text)


MARKS = st.sampled_from(
    [*"<>&[]()!*_`~#|\\-+=:.1/@ \n\t{}$^\"'", "http://x", "www.x.y", "a@b.co", "&amp;", "<b>", "```"]
)


@given(st.lists(MARKS | st.text(max_size=3), max_size=30).map("".join))
@example("`http://x`")
@example("1.http://x")
@example("a@b.co~a@b.co")
@example("[1][1] [1](x) [1]: x\n[1]:x ![1] [1, 2]")
@example("-a@b.co")
def test_any_text_is(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_not_said_by_the_conversation_is_text_too(text: str) -> None:
    session = Session(text or "x")
    page = shown(session, text, text)
    assert page.tags <= OWN
    assert page.attributes == []
    assert page.text.split()[0] == "Conversation"
    assert page.text.count("\n") < 10


def test_lines_stay_lines() -> None:
    session = conversation("one\ntwo\n\n  three")
    assert "> one  \n> two\n>\n> &nbsp;&nbsp;three\n" in as_markdown(session, None, "x")


def test_nothing_can_steer_a_terminal() -> None:
    text = as_markdown(conversation(*HOSTILE), HOSTILE[20], HOSTILE[20])
    assert all(printable(line) == line for line in text.split("\n"))
    assert "\r" not in text


def test_what_is_ordinary_stays_readable() -> None:
    line = 'On March 2 (a Monday), 3.5 % of users - not all! - could not "sign in"; it\'s fixed: see page 12.'
    assert escaped(line) == line


def test_no_text_takes_long_to_look_through() -> None:
    for text in ("a" * 200_000, "a." * 100_000, "http:" * 40_000, "@" * 200_000, "a@b" * 60_000, "www." * 50_000):
        assert len(escaped(text)) >= len(text)
