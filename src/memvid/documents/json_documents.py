"""Documents from JSON: one a line, as a stream, or all of a file."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from memvid.documents.document import Document, check_encoding, decode
from memvid.documents.unpacking import gzip_lines
from memvid.errors import DocumentError, DocumentNotFoundError
from memvid.storage.files import open_regular
from memvid.types import StrPath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

__all__ = ["read_json", "read_json_lines", "read_jsonl", "read_values"]

_TEXT_KEY = "text"


def read_jsonl(
    source: StrPath | Iterable[bytes | str], *, text_key: str = _TEXT_KEY, encoding: str = "utf-8"
) -> Iterator[tuple[str, Document]]:
    """Read a file of JSON lines as a stream: where each document is (``"a.jsonl, line 3"``), and the document.

    A line is a string, or an object whose ``text_key`` is one; its other keys, and those of an object ``"metadata"`` in
    it, become metadata. Empty lines are passed over.

    :param source: a path, unzipped on the way if it ends in ``.gz``; or an open file, binary or text, or any other
        iterable of lines.
    :raises DocumentNotFoundError: there is no such file.
    :raises DocumentError: with the line and what is wrong with it.
    :raises ResourceLimitError: a few bytes of gzip unpack to far more than documents do.
    :raises ConfigError: an unknown ``encoding``.
    """
    for where, value in read_values(source, encoding=encoding):
        yield where, _make_document(value, where, text_key)


def read_values(source: StrPath | Iterable[bytes | str], *, encoding: str = "utf-8") -> Iterator[tuple[str, Any]]:
    """Read a file of JSON lines as a stream: where each value is, and the value; as :func:`read_jsonl` otherwise."""
    check_encoding(encoding)
    with ExitStack() as stack:
        lines: Iterable[bytes | str]
        if isinstance(source, (str, os.PathLike)):
            path = Path(source)
            name = path.name
            try:
                file = stack.enter_context(open_regular(path))
            except FileNotFoundError as error:
                raise DocumentNotFoundError(f"{path}: there is no file") from error
            except OSError as error:
                raise DocumentError(f"{path}: {error.strerror}") from error
            lines = gzip_lines(file, name) if name.lower().endswith(".gz") else file
        else:
            if isinstance(source, (bytes, bytearray)) or not hasattr(source, "__iter__"):
                raise DocumentError(f"source is a {type(source).__name__}: give a path, an open file, or lines")
            lines = source
            name = str(getattr(source, "name", "JSON lines"))
        yield from _parse_lines(lines, name, encoding)


def read_json_lines(
    lines: Iterable[bytes | str], name: str, *, encoding: str = "utf-8", text_key: str = _TEXT_KEY
) -> Iterator[tuple[str, Document]]:
    """As :func:`read_jsonl`, from lines.

    :param name: of the file, for messages.
    """
    for where, value in _parse_lines(lines, name, encoding):
        yield where, _make_document(value, where, text_key)


def _parse_lines(lines: Iterable[bytes | str], name: str, encoding: str) -> Iterator[tuple[str, Any]]:
    offset = 0
    for number, line in _count(lines, name):
        where = f"{name}, line {number}"
        if isinstance(line, str):
            text = line.removeprefix("\ufeff") if number == 1 else line
        else:
            text = decode(line, name, encoding, offset)
            offset += len(line)
        if text.strip():
            yield where, _parse(text, where)


def read_json(file: BinaryIO, name: str, encoding: str) -> Iterator[Document]:
    """A list of what a line may be, or one object with ``"text"``; any other JSON is a text itself."""
    text = decode(file.read(), name, encoding)
    value = _parse(text, name)
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield _make_document(item, f"{name}, item {number}", _TEXT_KEY)
    elif isinstance(value, dict) and _TEXT_KEY in value:
        yield _make_document(value, name, _TEXT_KEY)
    else:
        yield Document(text)


def _count(lines: Iterable[bytes | str], name: str) -> Iterator[tuple[int, bytes | str]]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DocumentError(
            f"{name}, behind line {number}: the gzip data is damaged or cut off ({error}); get the file again"
        ) from error
    except OSError as error:
        raise DocumentError(f"{name}, behind line {number}: {error.strerror or error}") from error


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise DocumentError(f"{where}: not JSON: {error}; mend it or rename the file to .txt") from error
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{where}: not usable JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; use null or a string")


def _make_document(value: Any, where: str, text_key: str) -> Document:
    """A document from a string or an object with a text."""
    if isinstance(value, str):
        return Document(value)
    if not isinstance(value, dict) or not isinstance(value.get(text_key), str):
        found = f"an object with {', '.join(map(repr, value)) or 'no key'}" if isinstance(value, dict) else repr(value)
        raise DocumentError(f'{where}: {found[:120]}: expected a string or an object with a string "{text_key}"')
    metadata = {key: item for key, item in value.items() if key not in (text_key, "metadata")}
    inner = value.get("metadata") if text_key != "metadata" else None
    if isinstance(inner, dict):
        metadata |= inner
    elif inner is not None:
        metadata["metadata"] = inner
    return Document(value[text_key], metadata)
