"""Which files to read and in which order, which ones not and why. Nothing here reads more than a file's first bytes."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memvid.documents.readers import reads_binary
from memvid.errors import DocumentError, DocumentNotFoundError
from memvid.storage.files import check_regular, open_regular
from memvid.types import StrPath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["STDIN", "FilePlan", "Skipped", "Source", "find_files"]

STDIN = "-"
_SNIFFED = 8192  # bytes looked at for a NUL, which text does not have


@dataclass(frozen=True, slots=True)
class Source:
    """A file that will be read.

    :ivar path: where it is; ``None`` for standard input.
    :ivar name: what its chunks' metadata calls it: the file's name, or its path from the folder that was given, with
        ``/`` on every system. Never an absolute path, so that the same files make the same memory on every machine.
        Bytes that are not UTF-8 are written ``\\xff``.
    :ivar size: bytes; 0 for standard input.
    """

    path: Path | None
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that will not be read.

    :ivar path: where it is.
    :ivar reason: ``"hidden"``, ``"binary"``, ``"empty"``, ``"not a file"``, ``"a link to a folder"`` or
        ``"given twice"``; of the command line also ``"of this memory"``.
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What :func:`find_files` found.

    :ivar sources: what to read, in the order given; a folder's files sorted by path.
    :ivar skipped: what not to read. A hidden folder counts once, whatever is in it.
    """

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]


def find_files(paths: Iterable[StrPath]) -> FilePlan:
    """Plan the reading of files and of folders with everything in them; ``"-"`` is standard input.

    In a folder, hidden files, binary ones (a NUL in the first 8 KiB; PDF, EPUB and zipped JSON lines excepted) and
    special ones are skipped; a file that is named is read whatever it looks like, unless it is empty. No symbolic link
    to a folder is followed.

    :raises DocumentNotFoundError: nothing is there.
    :raises DocumentError: a folder or file may not be read; a pipe, a socket or a device was named.
    """
    sources: list[Source] = []
    skipped: list[Skipped] = []
    seen: set[Path] = set()
    for given in paths:
        if os.fspath(given) == STDIN:
            sources.append(Source(None, "stdin", 0))
            continue
        for found in _walk(Path(given)):
            if isinstance(found, Skipped):
                skipped.append(found)
                continue
            path, source = found
            real = path.resolve()
            if real in seen:
                skipped.append(Skipped(path, "given twice"))
            else:
                seen.add(real)
                sources.append(source)
    return FilePlan(tuple(sources), tuple(skipped))


def _walk(given: Path) -> Iterator[tuple[Path, Source] | Skipped]:
    if not given.is_dir():
        yield _named_file(given)
        return
    base = given.name  # empty for ".", whose files are named from there
    for folder, folders, files in os.walk(given, onerror=_refuse):
        here = Path(folder)
        yield from (Skipped(here / name, "hidden") for name in sorted(folders) if name.startswith("."))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Skipped(here / name, "a link to a folder") for name in folders if (here / name).is_symlink())
        for name in sorted(files):
            path = here / name
            reason = _reason_to_skip(path)
            if reason:
                yield Skipped(path, reason)
            else:
                yield path, Source(path, _spelt((base / path.relative_to(given)).as_posix()), path.stat().st_size)


def _named_file(path: Path) -> tuple[Path, Source] | Skipped:
    try:
        check_regular(path)
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise DocumentNotFoundError(f"{path}: there is no file or folder") from error
    except OSError as error:
        remedy = f"; {STDIN!r} reads standard input" if error.errno == errno.EINVAL else ""
        raise DocumentError(f"{path}: {error.strerror}{remedy}") from error
    return Skipped(path, "empty") if size == 0 else (path, Source(path, _spelt(path.name), size))


def _spelt(name: str) -> str:
    """A name as text, which that of a file need not be: bytes of it that are not UTF-8 become ``\\xff``."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    return name


def _reason_to_skip(path: Path) -> str | None:
    if path.name.startswith("."):
        return "hidden"
    if not path.is_file():
        return "not a file"
    try:
        with open_regular(path) as file:
            first = file.read(_SNIFFED)
    except OSError as error:
        raise DocumentError(f"{path}: {error.strerror}; take it out of the folder or make it readable") from error
    if not first:
        return "empty"
    return "binary" if b"\0" in first and not reads_binary(path.name) else None


def _refuse(error: OSError) -> None:
    raise DocumentError(f"{error.filename}: {error.strerror}") from error
