"""A conversation as Markdown, to read: what was said is text in it, whatever it looks like."""

from __future__ import annotations

import re

from memvid.chat.records import ChatMessage, Source
from memvid.chat.session import Session
from memvid.printable import printable

__all__ = ["HEADING", "as_markdown", "escaped"]

HEADING = "# Conversation "
"""How such a file begins."""

# Some renderers make links of addresses wherever they stand in a text; in code none does. Lengths are bounded, so that
# no text takes long to look through. A citation is no link: nothing in such a file says where one would lead.
_AS_IT_IS = re.compile(
    r"""(?P<address>
            (?: (?:[a-z][a-z0-9+.-]{0,30}:/+ | www\.) [^\s<>()\[\]`"']*
              | [^\s<>()\[\]`"'@]{1,64} @ [\w-]+ (?:\.[\w-]+)*
            )+
        )
        | (?P<citation> \[ \d{1,3} (?:,[ ]?\d{1,3})* \] (?! [(\[:] ))""",
    re.IGNORECASE | re.VERBOSE,
)
# Braces, because templates read them before; a backslash, because not all agree on what one more in front of it does.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "{": "&#123;", "}": "&#125;", "\\": "&#92;"}
_ESCAPED = frozenset("`*_[]|~$^#")
_MARK = re.compile(r"(?P<number>\d{1,9}(?=[.)]))|[-+=:!]")  # at the start of a line: lists, rules, spoilers


def as_markdown(session: Session, memory: str | None, backend: str) -> str:
    """The session for people. What was said is quoted and escaped, so that nothing in it is a part of the page."""
    lines = [f"{HEADING}{_one_line(session.session_id)}", ""]
    lines += [f"- memory: {_one_line(memory or 'not named')}", f"- answered by: {_one_line(backend)}", ""]
    for message in session.messages:
        lines += ["## " + ("Question" if message.role == "user" else "Answer"), "", *_quoted(message), ""]
        if message.finish_reason in ("length", "interrupted"):
            lines += [f"({'Cut at its limit' if message.finish_reason == 'length' else 'Interrupted'}.)", ""]
        lines += [_source_line(source) for source in message.sources]
        lines += [""] if message.sources else []
    return "\n".join(lines)


def escaped(line: str) -> str:
    """A line of printable text, as Markdown that shows it and nothing else.

    No HTML, link, image, entity, emphasis, code, heading, list or table; an address is shown as code, of which no
    renderer makes a link. Blanks at the start are kept.
    """
    text = line.strip(" ")
    parts: list[str] = []
    end = 0
    for found in _AS_IT_IS.finditer(text):
        parts += (_escaped_text(text[end : found.start()]), f"`{found[0]}`" if found["address"] else found[0])
        end = found.end()
    shown = "".join([*parts, _escaped_text(text[end:])])
    if begun := _MARK.match(shown):
        number = begun["number"] or ""
        shown = f"{number}\\{shown[len(number) :]}"
    indent = len(line) - len(line.lstrip(" ")) if text else 0
    return "&nbsp;" * indent + shown


def _escaped_text(text: str) -> str:
    return "".join(_ENTITIES.get(c) or (f"\\{c}" if c in _ESCAPED else c) for c in text)


def _quoted(message: ChatMessage) -> list[str]:
    """What was said, line by line; lines that follow each other stay lines."""
    lines = [escaped(line) for line in printable(message.content).split("\n")]
    followed = [bool(line and after) for line, after in zip(lines, [*lines[1:], ""], strict=True)]
    return [f"> {line}{'  ' if more else ''}" if line else ">" for line, more in zip(lines, followed, strict=True)]


def _one_line(text: str) -> str:
    return escaped(" ".join(printable(text).split()))


def _source_line(source: Source) -> str:
    at = "" if source.seconds is None else f", {_clock(source.seconds)} in the video"
    score = "a neighbour" if source.score is None else f"score {source.score:.3f}"
    return f"- [{source.number}] chunk {source.chunk_id}, frame {source.frame_index}{at}, {score}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:06.3f}"
