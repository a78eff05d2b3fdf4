"""The journal of a commit: which renames it makes, whether a video has grown, and carrying that out.

A journal comes with the files and may be hostile, so it holds names, never paths: it can only say that ``NAME.new``
becomes ``NAME`` in the folder of the index, if ``NAME`` begins like the index's own, or that the video the caller asked
for is to be replaced or has grown. Where all files of the memory were renamed since, it stands for those they have now.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memvid.checks import ID_LIMIT, is_int
from memvid.errors import IndexFormatError, OutputError
from memvid.printable import shell_word
from memvid.storage.access import narrow
from memvid.storage.disk import output_errors, staged_name, sync_folder
from memvid.storage.files import open_regular
from memvid.storage.hard_links import unshare

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Growth",
    "finish",
    "finishing",
    "folder_label",
    "is_plain_name",
    "journal_file",
    "journal_text",
    "roll_forward",
]

_JOURNAL_LIMIT = 65536  # bytes; a real one has a few hundred


class Growth(NamedTuple):
    """An append that is to count."""

    video_file: Path
    mark: int


def is_plain_name(name: object, *, windows: bool = os.name == "nt") -> bool:
    """Whether ``name`` can only be a file in the folder it is looked up in.

    :param windows: whether it is Windows that looks, where a backslash and a colon part a path. Elsewhere they are in
        names that people give (``meeting 12:30.mp4``), and so are control characters.
    """
    if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "replace")) <= 255:
        return False
    if windows and any(char in "\\:" or ord(char) < 32 for char in name):
        return False
    return name not in (".", "..") and not any(char in "/\0" for char in name)


def journal_file(index_file: Path) -> Path:
    """Where the journal of an index's commit is."""
    return index_file.parent / (index_file.name + ".commit")


def folder_label(path: Path, index_file: Path, video_file: Path | None) -> str:
    """Which of the two folders of a commit a file is in.

    :raises OutputError: neither.
    """
    if path.parent == index_file.parent:
        return "index"
    if path == video_file:
        return "video"
    raise OutputError(errno.EINVAL, "is neither beside the index nor the video of this commit", str(path))


def journal_text(finals: list[Path], index_file: Path, video_file: Path | None, growth: Growth | None) -> str:
    """What stands in the journal of a commit whose files are all staged.

    :raises OutputError: a file is neither beside the index nor the video.
    """
    renames = [
        {
            "bytes": staged_name(path).stat().st_size,
            "folder": folder_label(path, index_file, video_file),
            "name": path.name,
        }
        for path in finals
    ]
    content: dict[str, Any] = {"renames": renames, "version": 1}
    if growth is not None:
        content |= {"append": {"mark": growth.mark, "name": growth.video_file.name}, "version": 2}
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


@contextmanager
def finishing(index_file: Path) -> Iterator[None]:
    """Say of an error that it keeps a commit from being finished, which was cut off.

    :raises OutputError: of an ``OSError``.
    """
    try:
        with output_errors(index_file):
            yield
    except OutputError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise OutputError(
            error.errno,
            f"{os.strerror(error.errno)}: a change of this memory was cut off, and whoever opens it next finishes it: "
            "have somebody open it who may write to its folder",
            str(error.filename),
        ) from error


def finish(index_file: Path, video_file: Path | None) -> None:
    """Make the renames that a journal names, if there is one. Whoever calls it holds the locks."""
    journal = journal_file(index_file)
    try:
        with open_regular(journal, follow=False) as file:
            data = file.read(_JOURNAL_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError(
            error.errno,
            f"the journal of a commit that was cut off cannot be read: {error.strerror}; `memvid repair` brings back "
            "what the video holds, or remove the journal to give that commit up",
            str(journal),
        ) from error
    content = _parse_journal(data, journal)
    if _was_renamed(content, index_file):
        content = _with_new_names(content, index_file, video_file, journal)
    finals = [_resolve(entry, index_file, video_file, journal) for entry in content["renames"]]
    growth = _resolve_growth(content.get("append"), video_file, journal)
    for path in finals if growth is None else [*finals, growth.video_file]:
        if path.is_symlink():
            raise OutputError(
                errno.EEXIST,
                "is a symbolic link, and a change of this memory that was cut off would replace it: remove it, or give "
                f"that change up: rm {shell_word(journal)}",
                str(path),
            )
    with output_errors(index_file):
        roll_forward(finals, index_file, video_file, growth)


def _parse_journal(data: bytes, journal: Path) -> dict[str, Any]:
    try:
        content = json.loads(data) if len(data) <= _JOURNAL_LIMIT else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict) and content.get("version") == (2 if "append" in content else 1):
        renames = content.get("renames")
        if isinstance(renames, list) and all(isinstance(entry, dict) for entry in renames):
            return content
    raise IndexFormatError(f"{journal} is not the journal of a commit: remove it and build the memory again")


def _was_renamed(content: dict[str, Any], index_file: Path) -> bool:
    """Whether a journal was written for a memory of another name: its last rename is that of the manifest."""
    last = content["renames"][-1] if content["renames"] else {}
    return is_plain_name(last.get("name")) and not _is_own(index_file.with_name(last["name"]), index_file)


def _with_new_names(
    content: dict[str, Any], index_file: Path, video_file: Path | None, journal: Path
) -> dict[str, Any]:
    """What a journal says, of files that were all renamed since it was written (``mv a* b*``).

    :raises IndexFormatError: they were not: one is missing, or another.
    """
    manifest = content["renames"][-1]["name"]
    old, new = _stem(manifest), _stem(index_file.name)

    def renamed(entry: dict[str, Any]) -> dict[str, Any]:
        name: Any = entry.get("name")
        if not is_plain_name(name):
            return entry
        if name == manifest:
            final = index_file
        elif name.startswith(old + "."):
            final = index_file.with_name(new + name[len(old) :])
        elif video_file is not None:
            final = video_file
        else:
            return entry
        if "bytes" in entry and not _is_there(final, entry["bytes"]):
            raise IndexFormatError(
                f"{journal} is of a commit of {manifest!r} that was cut off; {final.name!r} is not what was {name!r}: "
                "give the files their old names and open the memory once, or remove the journal to give that build up"
            )
        return {**entry, "name": final.name}

    content = {**content, "renames": [renamed(entry) for entry in content["renames"]]}
    growth = content.get("append")
    return {**content, "append": renamed(growth)} if isinstance(growth, dict) else content


def _is_there(path: Path, size: object) -> bool:
    """Whether a file of that size is staged, or has taken its place."""
    staged = staged_name(path)
    file = staged if staged.exists() else path
    return file.exists() and file.stat().st_size == size


def _resolve(entry: dict[str, Any], index_file: Path, video_file: Path | None, journal: Path) -> Path:
    name, folder = entry.get("name"), entry.get("folder")
    if not is_plain_name(name) or folder not in ("index", "video"):
        raise IndexFormatError(f"{journal} names a file out of its folder ({name!r}): do not trust this memory")
    if folder == "video":
        _check_video(name, video_file, journal)
    final = video_file if folder == "video" and video_file is not None else index_file.with_name(str(name))
    if final != video_file and not _is_own(final, index_file):
        if video_file is None:
            _check_video(name, None, journal)
        raise IndexFormatError(f"{journal} names a file of something else ({name!r}): do not trust this memory")
    with suppress(FileNotFoundError):  # renamed already
        status = staged_name(final).lstat()
        if not stat.S_ISREG(status.st_mode):
            raise IndexFormatError(f"{staged_name(final)} is not a file, its journal says so: do not trust this memory")
        size = status.st_size
        if size != entry.get("bytes"):
            raise IndexFormatError(
                f"{staged_name(final)} has {size} bytes, its journal says {entry.get('bytes')}: build the memory again"
            )
    return final


def _is_own(path: Path, index_file: Path) -> bool:
    """Whether a file beside an index can be one of it, going by its name: others there are not its to replace."""
    return path == index_file or path.name.startswith(_stem(index_file.name) + ".")


def _stem(name: str) -> str:
    """What the names of an index's files begin with."""
    return name[:-5] if name.lower().endswith(".json") and len(name) > 5 else name


def _resolve_growth(entry: object, video_file: Path | None, journal: Path) -> Growth | None:
    if entry is None:
        return None
    name, mark = (entry.get("name"), entry.get("mark")) if isinstance(entry, dict) else (None, None)
    if not is_int(mark, 1, ID_LIMIT - 1):
        raise IndexFormatError(f"{journal} says of no place in a video that it grew: do not trust this memory")
    _check_video(name, video_file, journal)
    return None if video_file is None else Growth(video_file, mark)


def _check_video(name: object, video_file: Path | None, journal: Path) -> None:
    if video_file is None or video_file.name != name:
        asked = "no video" if video_file is None else repr(video_file.name)
        raise IndexFormatError(
            f"{journal} is a commit that was cut off and includes the video {name!r}, but {asked} was given: "
            "open the memory once with that video, or remove the journal to give that build up"
        )


def roll_forward(finals: list[Path], index_file: Path, video_file: Path | None, growth: Growth | None) -> bool:
    """Carry a commit out, as far as that has not been done, and remove its journal.

    :returns: whether the video was copied, because it had got another name since the append began.
    """
    journal = journal_file(index_file)
    copied = False
    if growth is not None:
        from memvid import _core

        copied = unshare(growth.video_file)
        _core.commit_append(growth.video_file, growth.mark)
    memory = [index_file] if video_file is None else [index_file, video_file]
    for path in finals:
        with suppress(FileNotFoundError):  # renamed before the interruption, or by another reader just now
            # Somebody may have made the memory private since the files were staged.
            narrow(staged_name(path), [path] if path.exists() else memory)
            staged_name(path).replace(path)
    for folder in sorted({path.parent for path in finals} | {index_file.parent}):
        sync_folder(folder)
    journal.unlink(missing_ok=True)
    sync_folder(journal.parent)
    return copied
