"""Both forms of a memory, made of each other: one file with the index inside, a video with the index beside it."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from memvid.building.index_append import append_movie
from memvid.building.outputs import check_index_output
from memvid.building.shrinking import copy_frames, count_append
from memvid.errors import OutputError, VideoNotFoundError
from memvid.index import IndexManager, stage_changes
from memvid.index.inside import move_parts, put_beside
from memvid.index.location import find_index
from memvid.index.manifest import read_manifest
from memvid.index.updating import OuterIndex, next_number, tidy
from memvid.interrupts import interruptible
from memvid.storage.commit import Commit, default_index_file, is_single, recover, refuse_links
from memvid.storage.journal import finish
from memvid.types import StrPath
from memvid.video import PageStore, VideoReader

__all__ = ["PackResult", "pack", "unpack"]


@dataclass(frozen=True, slots=True)
class PackResult:
    """What became of a memory.

    :ivar video_file: the video.
    :ivar index_file: the index's manifest; the video itself, if the index is inside.
    :ivar video_bytes: size of the video, with what is inside.
    :ivar index_bytes: size of the index, wherever it is.
    """

    video_file: Path
    index_file: Path
    video_bytes: int
    index_bytes: int


@interruptible
def pack(video: StrPath, index: StrPath | None = None) -> PackResult:
    """Put the index of a memory into its video, so that the memory is one file. Nothing is embedded or computed anew.

    The files of the index are removed when the video has it. Killed at any moment, this leaves a memory that opens;
    near its end, also files of the old index, which nobody reads any more, and whoever next writes this memory removes.

    :param video: the video, in memvid's own format.
    :param index: the index's manifest; ``None`` takes ``<stem>_index.json`` beside the video.
    :raises VideoError: the video cannot be read, or not be appended to.
    :raises IndexFileError: the index is missing, damaged, or belongs to another video.
    :raises OutputError: the memory is one file already, someone else is writing it, the disk is full, ...
    """
    video_file = _existing(video)
    beside = find_index(video_file, index)
    if is_single(beside, video_file):
        raise OutputError(errno.EEXIST, "is one file already: its index is inside", str(video_file))
    refuse_links(video_file, beside)
    recover(beside, video_file=video_file)
    if any(segment.is_old for segment in read_manifest(beside).segments):
        _convert(beside, video_file)
    with ExitStack() as stack:
        commit = stack.enter_context(Commit(video_file, video_file=video_file))
        commit.lock()  # of the video, which whoever changes the index locks as well
        finish(beside, video_file)
        reader = VideoReader(video_file)
        stack.callback(reader.close)
        with IndexManager.open(beside, video=reader.identity) as opened:
            old = opened.manifest
        appender = append_movie(commit, video_file, reader, PageStore(reader, cache_bytes=0))
        manifest = move_parts(beside, appender.path, old)
        manifest = count_append(commit, video_file, appender, manifest)
        commit.commit(obsolete=partial(tidy, video_file, manifest, OuterIndex(beside, old)))
    return PackResult(video_file, video_file, video_file.stat().st_size, manifest.nbytes)


def _existing(video: StrPath) -> Path:
    if not Path(video).exists():
        raise VideoNotFoundError(f"there is no video {str(video)!r}: check the path")
    return Path(video)


@interruptible
def unpack(video: StrPath, index: StrPath | None = None) -> PackResult:
    """Put the index of a memory in one file beside its video. Both are replaced, or made, in one step.

    :param video: the video, whose index is inside.
    :param index: the manifest that is to be written; ``None`` takes ``<stem>_index.json`` beside the video.
    :raises IndexFileError: there is no index inside, or it is damaged.
    :raises OutputError: someone else is writing this memory, the disk is full, ...
    """
    video_file = _existing(video)
    beside = check_index_output(default_index_file(video_file) if index is None else index, inputs=[video_file])
    refuse_links(video_file, beside)
    with Commit(beside, video_file=video_file) as commit:
        commit.lock()
        manifest = read_manifest(video_file)
        staged = commit.stage(video_file)
        copy_frames(video_file, staged)
        identity = replace(manifest.video, bytes=staged.stat().st_size)
        new = put_beside(video_file, beside, manifest, identity, commit)
        commit.commit(obsolete=partial(tidy, beside, new))
    return PackResult(video_file, beside, video_file.stat().st_size, new.nbytes)


def _convert(index_file: Path, video_file: Path) -> None:
    """Have records that are SQLite files, which nothing can map inside a video, written as those of today are."""
    with Commit(index_file, video_file=video_file) as commit:
        commit.lock()
        with IndexManager.open(index_file, video_file=video_file) as index:
            old = index.manifest
            new, _ = stage_changes(
                index_file, old, video=old.video, deleted=index.deleted, changed=None,
                number=next_number(index_file, old), commit=commit,
            )  # fmt: skip
            commit.commit(obsolete=partial(tidy, index_file, new))
