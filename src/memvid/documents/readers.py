"""Reading documents: text, CSV and HTML here, the rest in :mod:`.json_documents` and :mod:`.books`."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from memvid.documents.document import Document, check_encoding, decode, known_encoding
from memvid.documents.html_text import html_to_text
from memvid.documents.json_documents import read_json, read_json_lines
from memvid.documents.unpacking import gzip_lines
from memvid.errors import DocumentError
from memvid.storage.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from memvid.documents.files import Source

__all__ = ["read_documents", "reads_binary"]

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_UTF8 = "utf-8"


def read_documents(sources: Iterable[Source], *, encoding: str = _UTF8) -> Iterator[Document]:
    """Read files one after the other; the suffix says how, and anything unknown is plain text.

    ======================  ==========================================================================================
    ``.jsonl``, ``.ndjson``  a document a line, streamed: a string, or an object with ``"text"``; its other keys and
                            those of its ``"metadata"`` object become metadata; also ``.jsonl.gz``, ``.ndjson.gz``
    ``.json``               the same from a list, or from one object with ``"text"``; any other JSON is plain text
    ``.csv``, ``.tsv``      a document a row, if there is a column ``text``; otherwise plain text
    ``.html``, ``.htm``     the visible text; ``<meta charset>`` overrides ``encoding``
    ``.pdf``                a document a page (needs ``memvid[documents]``)
    ``.epub``               a document a chapter
    ======================  ==========================================================================================

    A byte order mark is not part of the text; everything else is. Blank documents are left out.

    :param encoding: of the text files, strict.
    :raises DocumentError: with the file, the place in it and what to do.
    :raises ResourceLimitError: a few bytes of gzip or ZIP unpack to far more than documents do.
    :raises DependencyError: a PDF without the package that reads it.
    :raises ConfigError: an unknown ``encoding``.
    """
    check_encoding(encoding)
    return _read_all(sources, encoding)


def reads_binary(name: str) -> bool:
    """Whether there is a reader for files of such a name that are not text."""
    return _suffix(name) in _BINARY_READERS


def _read_all(sources: Iterable[Source], encoding: str) -> Iterator[Document]:
    for source in sources:
        suffix = _suffix(source.name) if source.path is not None else ""
        read = _READERS.get(suffix) or _BINARY_READERS.get(suffix, _read_text)
        try:
            if source.path is None:
                found = read(sys.stdin.buffer, source.name, encoding)
                yield from _named(found, source.name)
            else:
                with open_regular(source.path) as file:
                    yield from _named(read(file, source.name, encoding), source.name)
        except OSError as error:
            raise DocumentError(f"{source.path or source.name}: {error.strerror or error}") from error


def _suffix(name: str) -> str:
    """The last suffix, with the one before if that is compressed."""
    *before, last = PurePosixPath(name.lower()).suffixes or [""]
    return "".join([*before[-1:], last]) if last == ".gz" else last


def _named(found: Iterator[Document], name: str) -> Iterator[Document]:
    return (Document(doc.text, {"source": name, **doc.metadata}) for doc in found if doc.text.strip())


def _read_text(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    yield Document(decode(file.read(), name, encoding))


def _read_html(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    data = file.read()
    declared = _CHARSET.search(data, 0, 2048)
    if declared and encoding == _UTF8 and not data.startswith(codecs.BOM_UTF8):
        encoding = _known_encoding(declared.group(1).decode("ascii"), name)
    title, text = html_to_text(decode(data, name, encoding))
    yield Document(text, {"title": title} if title else {})


def _known_encoding(declared: str, name: str) -> str:
    known = known_encoding(declared)
    if known is None:
        raise DocumentError(f"{name}: declares the unknown encoding {declared!r}; convert it to UTF-8")
    return known


def _read_json_lines(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    lines: Iterable[bytes] = gzip_lines(file, name) if name.lower().endswith(".gz") else file
    return (document for _, document in read_json_lines(lines, name, encoding=encoding))


def _read_table(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    text = decode(file.read(), name, encoding)
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


_Reader: TypeAlias = "Callable[[BinaryIO, str, str], Iterator[Document]]"

_READERS: dict[str, _Reader] = {
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": read_json,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".html": _read_html,
    ".htm": _read_html,
    ".xhtml": _read_html,
}
_BINARY_READERS: dict[str, _Reader] = {  # of files that are not text, and are read in folders all the same
    ".jsonl.gz": _read_json_lines,
    ".ndjson.gz": _read_json_lines,
    ".pdf": _read_book,
    ".epub": _read_book,
}
