"""Reading documents: plain text, JSON, JSON lines, CSV, HTML here; PDF and EPUB in :mod:`memvid.documents.books`."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from memvid.documents.html_text import html_to_text
from memvid.errors import ConfigError, DocumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from memvid.documents.files import Source
    from memvid.types import JsonObject

__all__ = ["Document", "read_documents"]

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_UTF8 = "utf-8"


@dataclass(frozen=True, slots=True)
class Document:
    """A text from a file.

    :ivar text: the text; never blank.
    :ivar metadata: ``{"source": name}`` and what the format adds: ``"page"`` (from 1) of a PDF, ``"title"`` of an HTML
        page or an EPUB chapter, the other keys of a JSON object, the other columns of a CSV row.
    """

    text: str
    metadata: JsonObject = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Document({len(self.text)} characters, {self.metadata!r})"


def read_documents(sources: Iterable[Source], *, encoding: str = _UTF8) -> Iterator[Document]:
    """Read files one after the other; the suffix says how, and anything unknown is plain text.

    ======================  ==========================================================================================
    ``.jsonl``, ``.ndjson``  a document a line, streamed: a string, or an object with ``"text"``; its other keys and
                            those of its ``"metadata"`` object become metadata
    ``.json``               the same from a list, or from one object with ``"text"``; any other JSON is plain text
    ``.csv``, ``.tsv``      a document a row, if there is a column ``text``; otherwise plain text
    ``.html``, ``.htm``     the visible text; ``<meta charset>`` overrides ``encoding``
    ``.pdf``                a document a page (needs ``memvid[documents]``)
    ``.epub``               a document a chapter
    ======================  ==========================================================================================

    A byte order mark is not part of the text; everything else is. Blank documents are left out.

    :param encoding: of the text files, strict.
    :raises DocumentError: with the file, the place in it and what to do.
    :raises DependencyError: a PDF without the package that reads it.
    :raises ConfigError: an unknown ``encoding``.
    """
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise ConfigError(f"encoding={encoding!r} is unknown: utf-8, latin-1 and cp1252 are common ones") from error
    return _read_all(sources, encoding)


def _read_all(sources: Iterable[Source], encoding: str) -> Iterator[Document]:
    for source in sources:
        suffix = PurePosixPath(source.name).suffix.lower() if source.path is not None else ""
        read = _READERS.get(suffix, _read_text)
        try:
            if source.path is None:
                found = read(sys.stdin.buffer, source.name, encoding)
                yield from _named(found, source.name)
            else:
                with source.path.open("rb") as file:
                    yield from _named(read(file, source.name, encoding), source.name)
        except OSError as error:
            raise DocumentError(f"{source.path or source.name}: {error.strerror or error}") from error


def _named(found: Iterator[Document], name: str) -> Iterator[Document]:
    return (Document(doc.text, {"source": name, **doc.metadata}) for doc in found if doc.text.strip())


def _decode(data: bytes, name: str, encoding: str, offset: int = 0) -> str:
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


def _read_text(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    yield Document(_decode(file.read(), name, encoding))


def _read_html(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    data = file.read()
    declared = _CHARSET.search(data, 0, 2048)
    if declared and encoding == _UTF8 and not data.startswith(codecs.BOM_UTF8):
        encoding = _known_encoding(declared.group(1).decode("ascii"), name)
    title, text = html_to_text(_decode(data, name, encoding))
    yield Document(text, {"title": title} if title else {})


def _known_encoding(declared: str, name: str) -> str:
    try:
        return codecs.lookup(declared).name
    except LookupError as error:
        raise DocumentError(f"{name}: declares the unknown encoding {declared!r}; convert it to UTF-8") from error


def _read_json_lines(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    offset = 0
    for number, line in enumerate(file, 1):
        text = _decode(line, name, encoding, offset)
        offset += len(line)
        if text.strip():
            where = f"{name}, line {number}"
            yield _record(_parse_json(text, where), where)


def _read_json(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    text = _decode(file.read(), name, encoding)
    value = _parse_json(text, name)
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield _record(item, f"{name}, item {number}")
    elif isinstance(value, dict) and "text" in value:
        yield _record(value, name)
    else:
        yield Document(text)


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise DocumentError(f"{where}: not JSON: {error}; mend it or rename the file to .txt") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{where}: not usable JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; use null or a string")


def _record(value: Any, where: str) -> Document:
    """A document from a string or an object with ``"text"``."""
    if isinstance(value, str):
        return Document(value)
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        found = f"an object with {', '.join(map(repr, value)) or 'no key'}" if isinstance(value, dict) else repr(value)
        raise DocumentError(f'{where}: {found[:120]}: expected a string or an object with a string "text"')
    metadata = {key: item for key, item in value.items() if key not in ("text", "metadata")}
    inner = value.get("metadata")
    if isinstance(inner, dict):
        metadata |= inner
    elif inner is not None:
        metadata["metadata"] = inner
    return Document(value["text"], metadata)


def _read_table(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    text = _decode(file.read(), name, encoding)
    delimiter = "\t" if name.lower().endswith(".tsv") else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if "text" not in (rows.fieldnames or ()):
            yield Document(text)
            return
        for row in rows:
            if None in row or None in row.values():
                raise DocumentError(f"{name}, line {rows.line_num}: as many cells as columns are expected")
            yield Document(row.pop("text"), dict(row))
    except csv.Error as error:
        raise DocumentError(f"{name}, line {rows.line_num}: {error}; mend it or rename the file to .txt") from error


def _read_book(file: BinaryIO, name: str, _encoding: str) -> Iterator[Document]:
    from memvid.documents import books

    read = books.read_pdf if name.lower().endswith(".pdf") else books.read_epub
    return (Document(text, metadata) for text, metadata in read(file, name))


_READERS: dict[str, Callable[[BinaryIO, str, str], Iterator[Document]]] = {
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".html": _read_html,
    ".htm": _read_html,
    ".xhtml": _read_html,
    ".pdf": _read_book,
    ".epub": _read_book,
}
