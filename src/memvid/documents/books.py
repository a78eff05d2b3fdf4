"""Reading PDF (with pypdf, an extra) and EPUB (a ZIP of XHTML, with the standard library)."""

from __future__ import annotations

import posixpath
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag
from xml.etree import ElementTree

from memvid.dependencies import import_dependency
from memvid.documents.html_text import html_to_text
from memvid.documents.unpacking import document_allowance
from memvid.errors import DocumentError, MemvidError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from memvid.types import JsonObject

__all__ = ["read_epub", "read_pdf"]

_LARGEST_PART = 32 << 20  # bytes of an unpacked chapter: more is a trap, not a book
_CONTAINER = "META-INF/container.xml"


def read_pdf(file: BinaryIO, name: str) -> Iterator[tuple[str, JsonObject]]:
    """The text of each page with ``{"page": number}``, from 1; pages without text are left out.

    :raises DependencyError: pypdf is not installed.
    :raises DocumentError: broken, protected by a password, or without any text (a scan).
    """
    pypdf = import_dependency("pypdf", f'{name}: reading PDF needs pypdf: pip install "memvid[documents]"')
    empty = True
    try:
        reader = pypdf.PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError(f"{name}: protected by a password; save it without one")
        for number, page in enumerate(reader.pages, 1):
            text = page.extract_text()
            if text.strip():
                empty = False
                yield text, {"page": number}
    except (DocumentError, MemoryError):
        raise
    except Exception as error:  # pypdf meets a broken file with errors of every kind
        raise DocumentError(f"{name}: not a readable PDF: {error}") from error
    if empty:
        raise DocumentError(f"{name}: no page has text; a scan needs text recognition (OCR) first")


def read_epub(file: BinaryIO, name: str) -> Iterator[tuple[str, JsonObject]]:
    """The text of each chapter in reading order, with ``{"title": title}`` where it has one.

    :raises DocumentError: not an EPUB, broken or encrypted.
    :raises ResourceLimitError: it unpacks to far more than a book of its size.
    """
    allowance = document_allowance(file, name)
    try:
        with zipfile.ZipFile(file) as archive:
            for part in _reading_order(archive):
                allowance.spend(archive.getinfo(part).file_size)
                title, text = html_to_text(_read_part(archive, part).decode("utf-8-sig"))
                yield text, {"title": title} if title else {}
    except KeyError as error:
        raise DocumentError(f"{name}: not a complete EPUB: {error.args[0]}") from error
    except (zipfile.BadZipFile, ElementTree.ParseError, UnicodeDecodeError, RuntimeError, ValueError) as error:
        if isinstance(error, MemvidError):
            raise
        raise DocumentError(f"{name}: not a readable EPUB: {error}") from error


def _reading_order(archive: zipfile.ZipFile) -> list[str]:
    # The parts are bounded in size, and expat fetches nothing and refuses entities that explode.
    container = ElementTree.fromstring(_read_part(archive, _CONTAINER))  # noqa: S314
    root = container.find(".//{*}rootfile")
    if root is None or "full-path" not in root.attrib:
        raise KeyError(f"{_CONTAINER} names no package")
    package_name = root.attrib["full-path"]
    package = ElementTree.fromstring(_read_part(archive, package_name))  # noqa: S314
    items = {item.get("id"): item for item in package.iterfind("{*}manifest/{*}item")}
    order = []
    for reference in package.iterfind("{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None:
            raise KeyError(f"{package_name} names the missing item {reference.get('idref')!r}")
        if "html" in item.get("media-type", ""):
            href = unquote(urldefrag(item.get("href", "")).url)
            order.append(posixpath.normpath(posixpath.join(posixpath.dirname(package_name), href)))
    return order


def _read_part(archive: zipfile.ZipFile, part: str) -> bytes:
    size = archive.getinfo(part).file_size
    if size > _LARGEST_PART:
        raise ValueError(f"{part} unpacks to {size} bytes, more than {_LARGEST_PART}")
    return archive.read(part)
