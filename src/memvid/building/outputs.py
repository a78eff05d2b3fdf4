"""Where a new memory goes: what is no place for one is refused before any work is done."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memvid.errors import OutputError
from memvid.index.manifest import is_index_start
from memvid.interrupts import uninterrupted
from memvid.printable import shell_word
from memvid.storage.commit import default_index_file, is_single
from memvid.storage.disk import check_utf8, output_errors, sync_folder
from memvid.storage.files import open_regular
from memvid.types import StrPath
from memvid.video.codecs.profiles import VIDEO_SUFFIXES, check_suffix, is_video_start

_LOOKED_AT = 4096  # bytes of a file that would be replaced

HOLDS_INDEX = "png"
"""The codec whose videos have room for an index."""

__all__ = ["HOLDS_INDEX", "check_index_output", "check_outputs", "check_video_output", "new_folders"]


def check_outputs(
    video: StrPath, index: StrPath | None, *, codec: str, inputs: Iterable[StrPath] = ()
) -> tuple[Path, Path]:
    """The video and the index that are to be written, if they can be.

    :param index: ``None`` is where an index of that codec is by default: inside the video, which then comes twice, or
        ``<stem>_index.json`` beside it.
    :param inputs: files that are read for it, which may not be written over.
    :raises OutputError: a name is no such file's, a folder's, or an input's; a file of another kind is there; its
        folder is missing, or read-only.
    :raises ConfigError: the container that the video's name asks for does not take the codec.
    """
    if index is not None and _suffix(video) == ".json" and _suffix(index) in VIDEO_SUFFIXES:
        raise OutputError(f"{video} is an index's name, {index} a video's: name the video first, then its index")
    video_file = check_video_output(video, codec=codec, inputs=inputs)
    if index is None and codec == HOLDS_INDEX:
        return video_file, video_file
    if index is not None and is_single(Path(index), video_file):
        if codec != HOLDS_INDEX:
            raise OutputError(
                f"{index} is to have its index inside, which only videos of codec {HOLDS_INDEX} can: name an index"
            )
        return video_file, video_file
    index_file = check_index_output(default_index_file(video_file) if index is None else index, inputs=inputs)
    _check_replaceable(index_file, is_index_start, "index of memvid")
    if os.path.realpath(video_file) == os.path.realpath(index_file):
        raise OutputError(f"{index_file} is to be the video and the index: name them apart")
    return video_file, index_file


def check_video_output(video: StrPath, *, codec: str, inputs: Iterable[StrPath] = ()) -> Path:
    """The video that is to be written, if it can be; see :func:`check_outputs`."""
    path = _check_file(video, "memory.mp4", inputs)
    check_suffix(path, codec)
    _check_replaceable(path, is_video_start, "video")
    return path


def check_index_output(index: StrPath, *, inputs: Iterable[StrPath] = ()) -> Path:
    """The index's manifest that is to be written, if it can be; see :func:`check_outputs`."""
    path = _check_file(index, "memory_index.json", inputs)
    if _suffix(path) not in (".json", ""):
        raise OutputError(f"{path} is no name for an index: give one, like {path.stem}_index.json")
    return path


@contextmanager
def new_folders(*files: Path) -> Iterator[None]:
    """Make the folders of files that are to be written, where only the last one of the path is missing.

    They go again if it comes to nothing.
    """
    made: list[Path] = []
    try:
        for folder in dict.fromkeys(file.parent for file in files):
            with output_errors(folder), suppress(FileExistsError):
                folder.mkdir()
                made.append(folder)
                sync_folder(folder.parent)
        yield
    except BaseException:
        _remove_empty(made)
        raise


@uninterrupted
def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # somebody else put something into it, or a checkpoint is left
            folder.rmdir()


def _suffix(path: StrPath) -> str:
    return Path(path).suffix.lower()


def _check_file(given: StrPath, example: str, inputs: Iterable[StrPath]) -> Path:
    name, path = os.fspath(given), Path(given)
    if not name or "\0" in name:
        raise OutputError(f"{name!r} is not a file's name: give one, like {example}")
    check_utf8(path)
    with output_errors(path):
        if os.path.basename(name) in ("", ".", "..") or path.is_dir():  # noqa: PTH119  # Path forgets a slash at the end
            raise OutputError(f"{name} is a folder: name a file in it, like {path / example}")
        if path.exists():
            if not path.is_file():
                raise OutputError(f"{name} is not a file, so it is not replaced: choose another name")
            if any(path.samefile(other) for other in inputs if Path(other).exists()):
                raise OutputError(f"{name} is one of the files to be read: name another file")
    _check_folder(path)
    with output_errors(path), suppress(FileNotFoundError):
        os.lstat(f"{path}.commit.new")  # whether the longest name of a file that belongs to it can be
    return path


def _check_replaceable(path: Path, is_kind: Callable[[bytes], bool], kind: str) -> None:
    """Refuse to replace a file that somebody needs for something else; an empty one holds nothing."""
    with output_errors(path):
        try:
            with open_regular(path) as file:
                start = file.read(_LOOKED_AT)
        except FileNotFoundError:
            return
    if start and not is_kind(start):
        raise OutputError(f"{path} is there and is no {kind}, so it is not replaced: choose another name, or remove it")


def _check_folder(path: Path) -> None:
    """Check that the folder of a file is there, or can be made, and may be written to."""
    folder = path.parent if os.path.lexists(path.parent) else path.parent.parent
    if not os.path.lexists(folder):
        raise OutputError(
            errno.ENOENT,
            f"create the folder {str(path.parent)!r} first: mkdir -p {shell_word(path.parent)}",
            str(path),
        )
    with output_errors(path if folder == path.parent else path.parent):
        os.stat(f"{folder}{os.sep}")  # noqa: PTH116  # of a file in its place it says so
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
