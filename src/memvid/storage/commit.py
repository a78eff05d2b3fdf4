"""Several files that change together, or not at all.

A build writes every new file beside the one it replaces, under the same name with ``.new`` behind it, where nobody else
can read it. Then

1. the staged files are opened up to whoever may read them (:mod:`memvid.storage.access`); they and their folders are
   synced;
2. a journal, ``<index file>.commit``, names the renames to make. Its one rename is **the commit point**;
3. the renames are made, the folders synced, the journal removed.

A video that is appended to is not renamed: the new frames and a new movie header lie behind the old end, where nobody
looks, and the journal says that they count. That they do is then written into the file, by its own four letters
(docs/format.md, "Appending"), before the renames. Where the file has other names, a copy of it grows instead, and is
renamed like all others.

Killed before 2, the old files are untouched and the staged ones are litter that the next build removes. Killed after
it, :func:`recover` makes the renames that are missing. Every reader calls :func:`recover` before it opens anything.

A memory in one file, whose index lies inside its video, needs no journal: the rename of that file is the commit point,
or the write of the four letters that make an append count, index and all. Side files are staged likewise, and go when
they have been copied into the video.

Builds hold locks on video and index from the first staged file to the end, and :func:`recover` takes them, so nobody
renames what another build has just begun to stage.

What a journal may say is in :mod:`memvid.storage.journal`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from memvid.errors import IndexFileError, IndexFormatError, OutputError, VideoError
from memvid.interrupts import uninterrupted
from memvid.pickling import NotPicklable
from memvid.storage.access import Access, access_of_copy, access_of_new, check_replaceable, settle
from memvid.storage.disk import output_errors, staged_name, sync_folder, write_atomic
from memvid.storage.files import create_private, drop_leftover, open_regular
from memvid.storage.hard_links import copy_file, has_other_names
from memvid.storage.journal import Growth, finish, finishing, folder_label, journal_file, journal_text, roll_forward
from memvid.storage.locks import FileLocks, lock_file
from memvid.types import StrPath

__all__ = [
    "OPEN_TRIES",
    "Commit",
    "default_index_file",
    "is_single",
    "open_settled",
    "recover",
    "refuse_links",
    "snapshot",
]

Opened = TypeVar("Opened")

OPEN_TRIES = 9  # each fails only if a change was committed meanwhile


def default_index_file(video_file: StrPath) -> Path:
    """Where a video's index is when nobody says otherwise: ``<stem>_index.json`` beside it."""
    video = Path(video_file)
    return video.parent / f"{video.stem}_index.json"


def refuse_links(*paths: Path) -> None:
    """Refuse symbolic links where a memory that exists is to be changed by renaming new files over old ones.

    The new file would take the link's place, and what it leads to would stay: the other half of another pair, or a text
    that was to be erased.

    :raises OutputError: one of them is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise OutputError(
                errno.EEXIST,
                "is a symbolic link, which a new file would replace while the old one stays: name "
                f"{os.path.realpath(path)}",
                str(path),
            )


class Commit(NotPicklable):
    """A set of files to be replaced together. One build at a time may stage into an index's name.

    Used as a context manager it removes what it staged unless :meth:`commit` was reached.

    :param index_file: the manifest whose name the journal gets; need not exist. The video itself has its index inside.
    :param video_file: the video, if it belongs to the set: it may lie in another folder.
    :param made_from: files whose texts go into this memory: it is open to nobody who could not read them.
    :raises OutputError: a name is none, or an earlier commit was cut off and cannot be finished.
    """

    _elsewhere = "it holds locks, which belong to one process"

    def __init__(
        self, index_file: StrPath, *, video_file: StrPath | None = None, made_from: Iterable[Path] = ()
    ) -> None:
        self._made_from = tuple(made_from)
        self._index_file = Path(index_file)
        self._video_file = None if video_file is None else Path(video_file)
        self.is_single = is_single(self._index_file, self._video_file)
        self._owned = _owned(self._index_file, self._video_file)  # by which builds of one memory notice each other
        self._finals: list[Path] = []
        self._parts: list[Path] = []
        self._locks: FileLocks | None = None
        self._mark: int | None = None
        self._growing: Path | None = None
        self._undo: Callable[[], object] | None = None
        self._copied = False
        self._done = False
        for path in self._owned:
            if not path.name or "\0" in str(path):
                raise OutputError(errno.EINVAL, "is not a file's name: give one, like memory.mp4", str(path))
        journal = journal_file(self._index_file)
        self._taken = {_real(journal), _real(staged_name(journal)), *(_real(lock_file(path)) for path in self._owned)}
        recover(self._index_file, video_file=self._video_file)

    @property
    def committed(self) -> bool:
        """Whether the new files are the ones that count."""
        return self._done

    @property
    def copied(self) -> bool:
        """Whether the video that grew had other names, so that a copy grew, and they keep what it was."""
        return self._copied

    def stage(self, final: StrPath) -> Path:
        """Add a file to the set and return the path to write it to, where an empty file now is.

        Files are renamed in the order they were staged, the manifest after all others.

        :raises OutputError: the folder is missing or cannot be written to, the name is that of a folder, a device, or
            another file of the set, or someone else is building this memory.
        """
        path = Path(final)
        folder_label(path, self._index_file, self._video_file)
        staged = staged_name(path)
        with output_errors(path):
            if path.exists() and not path.is_file():
                raise OutputError(errno.EEXIST, "is not a file, so it is not replaced: choose another name", str(path))
            check_replaceable(path)
            self.claim(path)
            self._lock()
            drop_leftover(staged)
            self._finals.append(path)  # first, so that an interruption in this moment leaves nothing
            os.close(create_private(staged))
        return staged

    def stage_part(self, final: Path) -> Path:
        """Likewise for a side file of the index. Where that is to lie inside its video, the file only waits for it.

        Whoever has written it puts it into :attr:`body`.

        :raises OutputError: as :meth:`stage`.
        """
        staged = self.stage(final)
        if self.is_single:
            self._finals.remove(final)
            self._parts.append(final)
        return staged

    @property
    def body(self) -> Path:
        """The file that is written to be the video, or grows to be."""
        return staged_name(self._video_file or self._index_file) if self._growing is None else self._growing

    def drop(self, final: Path) -> None:
        """Take a file out of the set again: there is nothing to be put in its place."""
        (self._parts if final in self._parts else self._finals).remove(final)
        with output_errors(final):
            staged_name(final).unlink(missing_ok=True)

    def lock(self) -> None:
        """Keep others from building this memory; :meth:`stage` does so anyway.

        :raises OutputError: someone else is building it.
        """
        with output_errors(self._index_file):
            self._lock()

    def stage_growth(self, video_file: Path) -> Path:
        """The file that an append to the commit's video is written to.

        That is the video itself, whose readers do not see what lies behind its old end; or, where it has other names
        (hard links), a copy that takes this name in the commit.

        :raises OutputError: someone else is building this memory, or the disk has no room for a copy.
        """
        self.lock()
        self._growing = video_file
        with output_errors(video_file):
            self._copied = has_other_names(video_file)
            if self._copied:
                self._growing = self.stage(video_file)
                with open_regular(video_file) as source:
                    copy_file(source, self._growing)
        return self._growing

    def on_abort(self, undo: Callable[[], object]) -> None:
        """Have something done when nothing comes of the commit, before others may write to the files."""
        self._undo = undo

    def grow(self, mark: int) -> None:
        """Have the commit make an append to the video count, which is complete and synced.

        :param mark: where in the file it begins.
        """
        if self._growing == self._video_file:
            self._mark = mark
        elif self._growing is not None:
            from memvid import _core

            _core.commit_append(self._growing, mark)

    def claim(self, path: Path) -> None:
        """Take a name, and the one under which it is staged, which no other file of the set may have.

        :raises OutputError: one of them is taken.
        """
        names = {_real(path), _real(staged_name(path))}
        if names & self._taken:
            raise OutputError(
                errno.EEXIST, "two files of one memory would have this name: name all of them apart", str(path)
            )
        self._taken |= names

    def commit(self, *, obsolete: Callable[[], Iterable[Path]] = tuple) -> None:
        """Make the staged files the real ones; on return they are on the disk.

        :param obsolete: names the files that are then of no use, which are removed.
        :raises OutputError: the disk is full, a folder went away, ... If it says that the commit will be finished, the
            new files count and :func:`recover` makes the missing renames; otherwise nothing has changed.
        """
        finals = sorted(self._finals, key=lambda path: path == self._index_file)  # stable: the manifest goes last
        try:
            with output_errors(self._index_file):
                beside = [*self._owned, *finals]
                access = access_of_new(beside, self._made_from)
                for path in finals:
                    settle(staged_name(path), access_of_copy(path, beside, self._made_from))
                for folder in sorted({path.parent for path in finals} | {self._index_file.parent}):
                    sync_folder(folder)
                text = journal_text(finals, self._index_file, self._video_file, self._growth())
        except BaseException:
            self.abort()
            raise
        if self.is_single:
            self._carry_out_single(finals, obsolete)
        else:
            self._carry_out(finals, text, access, obsolete)

    @uninterrupted
    def _carry_out(self, finals: list[Path], text: str, access: Access, obsolete: Callable[[], Iterable[Path]]) -> None:
        """Write the journal, and do what it says."""
        journal = journal_file(self._index_file)
        try:
            write_atomic(journal, text.encode(), access)
        except BaseException as error:
            if not self._retract(journal) and isinstance(error, OSError):
                raise self._unfinished(error) from error
            raise
        self._done = True
        try:
            self._copied |= roll_forward(finals, self._index_file, self._video_file, self._growth())
            with suppress(OSError):
                for path in obsolete():
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unfinished(error) from error
        finally:
            self._unlock()

    @uninterrupted
    def _carry_out_single(self, finals: list[Path], obsolete: Callable[[], Iterable[Path]]) -> None:
        """Make the one file count that has all of the memory in it."""
        try:
            with output_errors(self._index_file):
                self._copied |= roll_forward(finals, self._index_file, None, self._growth())
        except BaseException as error:
            self._done = self._is_made(finals)
            self.abort()
            if self._done and isinstance(error, OSError):
                raise self._unfinished(error) from error
            raise
        else:
            self._done = True
            with suppress(OSError):
                for path in obsolete():
                    path.unlink(missing_ok=True)
        finally:
            self._drop_staged(self._parts)
            self._unlock()

    def _is_made(self, finals: list[Path]) -> bool:
        """Whether the one file counts, after an error; where it does not, what was to count is taken out of it."""
        from memvid.storage.mp4_boxes import append_counts

        self._take_back()
        growth = self._growth()
        if growth is None:
            return not any(staged_name(path).exists() for path in finals)
        with suppress(OSError), open_regular(growth.video_file) as file:
            return append_counts(lambda offset, size: os.pread(file.fileno(), size, offset), growth.mark)
        return False

    def _take_back(self) -> None:
        if self._undo is not None:
            self._undo()
            self._undo = None

    @uninterrupted
    def abort(self) -> None:
        """Remove the staged files. After :meth:`commit` this does nothing."""
        if self._done:
            return
        self._take_back()
        self._drop_staged(self._finals)
        self._drop_staged(self._parts)
        self._unlock()

    @staticmethod
    def _drop_staged(finals: list[Path]) -> None:
        for path in finals:
            with suppress(OSError):
                staged_name(path).unlink(missing_ok=True)
        finals.clear()

    def __enter__(self) -> Commit:
        return self

    @uninterrupted
    def __exit__(self, *exc_info: object) -> None:
        self.abort()

    def _lock(self) -> None:
        if self._locks is not None:
            return
        self._locks = FileLocks(self._owned, building=True)
        # A build that had the locks until now may have been killed: behind its commit point, or before it.
        if not self.is_single:
            finish(self._index_file, self._video_file)
        elif self._video_file is not None:
            with suppress(IndexFormatError):  # that is of another video
                finish(default_index_file(self._video_file), self._video_file)
        for path in (*self._owned, journal_file(self._index_file)):
            drop_leftover(staged_name(path))

    def _unlock(self) -> None:
        if self._locks is not None:
            self._locks.release()
            self._locks = None

    def _retract(self, journal: Path) -> bool:
        """Take back the journal, if there is one, and what is staged; whether nothing of the commit is left."""
        if os.path.lexists(journal):
            try:
                journal.unlink(missing_ok=True)
            except OSError:
                self._done = True  # the journal stands, so the new files count; removing them would lose both
                self._unlock()
                return False
            with suppress(OSError):
                sync_folder(journal.parent)  # before what it names goes
        self.abort()
        return True

    def _unfinished(self, error: OSError) -> OutputError:
        """What to say of a failure behind the commit point."""
        reason = os.strerror(error.errno or errno.EIO)
        what = "the change is made" if self.is_single else "the next open will finish the commit"
        return OutputError(
            error.errno,
            f"{reason}; the new files are complete and {what}",
            str(error.filename or self._index_file),
        )

    def _growth(self) -> Growth | None:
        return None if self._video_file is None or self._mark is None else Growth(self._video_file, self._mark)


def recover(index_file: StrPath, *, video_file: StrPath | None = None) -> bool:
    """Finish a commit that was cut off, or wait for one that is under way. Costs one ``stat`` when there is none.

    :param video_file: the video the caller is about to open or replace, if it knows one.
    :returns: whether there was a journal.
    :raises IndexFormatError: the journal is not one, or names files it may not.
    :raises OutputError: a rename failed, for instance in a read-only folder; or the video is being built again.
    """
    index_path = Path(index_file)
    video_path = None if video_file is None else Path(video_file)
    if is_single(index_path, video_path) or not os.path.lexists(journal_file(index_path)):
        return False
    with finishing(index_path), FileLocks(_owned(index_path, video_path), building=False):
        finish(index_path, video_path)
    return True


def snapshot(index_file: StrPath, video_file: StrPath) -> list[tuple[int, ...] | None]:
    """What tells a memory's files from those a build puts in their place; equal as long as none is committed."""
    index_path = Path(index_file)
    return [_identity(path) for path in (index_path, Path(video_file), journal_file(index_path))]


def open_settled(index_file: StrPath, video_file: StrPath, open_once: Callable[[], Opened]) -> Opened:
    """What ``open_once`` opens: files of one state of the memory, even when another replaces it in this very moment.

    :raises VideoError: as ``open_once`` does where the files stay as they are; likewise :class:`IndexFileError`.
    """
    for _ in range(OPEN_TRIES):
        before = snapshot(index_file, video_file)
        try:
            return open_once()
        except (VideoError, IndexFileError):
            if snapshot(index_file, video_file) == before:
                raise
    return open_once()


def is_single(index_file: Path, video_file: Path | None) -> bool:
    """Whether a memory is one file: its index is inside its video."""
    return video_file is not None and _real(index_file) == _real(video_file)


def _owned(index_file: Path, video_file: Path | None) -> list[Path]:
    """The files that are locked."""
    return [index_file] if video_file is None or is_single(index_file, video_file) else [index_file, video_file]


def _real(path: Path) -> str:
    """One name for a file, by whatever way its folder was named."""
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118  # no loop of symlinks raises here


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
