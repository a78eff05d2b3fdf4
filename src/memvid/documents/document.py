"""What a reader of documents gives, and how bytes become its text."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memvid.errors import ConfigError, DocumentError

if TYPE_CHECKING:
    from memvid.types import JsonObject

__all__ = ["Document", "check_encoding", "decode", "known_encoding"]


_NO_TEXTS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})


@dataclass(frozen=True, slots=True)
class Document:
    """A text from a file.

    :ivar text: the text.
    :ivar metadata: ``{"source": name}`` and what the format adds: ``"page"`` (from 1) of a PDF, ``"title"`` of an HTML
        page or an EPUB chapter, the other keys of a JSON object, the other columns of a CSV row.
    """

    text: str
    metadata: JsonObject = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Document({len(self.text)} characters, {self.metadata!r})"


def check_encoding(encoding: str) -> None:
    """Raise :class:`ConfigError` for an encoding that nobody knows."""
    if known_encoding(encoding) is None:
        raise ConfigError(f"encoding={encoding!r} is unknown: utf-8, latin-1 and cp1252 are common ones")


def known_encoding(name: str) -> str | None:
    """Python's name of an encoding of texts, if it is one."""
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    # Python also calls compression and Base64 so. Host names' encodings take a day for a megabyte.
    is_text = getattr(found, "_is_text_encoding", True) and found.name not in _NO_TEXTS
    return found.name if is_text else None


def decode(data: bytes, name: str, encoding: str, offset: int = 0) -> str:
    """The text of a file, or of a part that begins at byte ``offset``; without a byte order mark.

    :raises DocumentError: it is not in that encoding.
    """
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError(
            f"{name}: byte {offset + error.start} (0x{data[error.start]:02x}) is not {encoding} ({error.reason}); "
            "convert the file to UTF-8 or give its encoding (--encoding on the command line)"
        ) from error
    except UnicodeError as error:  # UTF-16 and 32 say it without a position
        raise DocumentError(f"{name}: not {encoding} ({error}); give the file's own encoding") from error
    return text[1:] if offset == 0 and text.startswith("\ufeff") else text
