"""A copy of a memory in one file, without what appends have left in it that is of no use any more."""

from __future__ import annotations

from pathlib import Path

from memvid import _core
from memvid.errors import FrameError
from memvid.index.inside import move_parts
from memvid.index.manifest import Manifest
from memvid.storage.commit import Commit
from memvid.storage.disk import output_errors
from memvid.storage.inner_index import measure_use
from memvid.video import PageTable, VideoAppender, VideoReader

__all__ = ["copy_frames", "count_append"]

_MOST_DEAD = 0.3  # of a file
_LITTLE = 1 << 20  # bytes that nobody misses


def count_append(commit: Commit, video_file: Path, appender: VideoAppender, manifest: Manifest) -> Manifest:
    """Have the commit make an append count that is complete, with its index inside.

    Where it would leave more than 30 % of the file dead, what is alive is copied instead, to a file that takes its
    place.

    :returns: the manifest that is in the video then.
    :raises OutputError: the disk is full, ...
    """
    with output_errors(appender.path):
        movie, used, size = measure_use(appender.path)
    dead = size - used - sum(file.bytes for _, file in manifest.side_files())
    if dead <= max(_LITTLE, _MOST_DEAD * size) or appender.path != video_file:  # that is a copy already
        commit.grow(appender.mark)
        return manifest
    staged = commit.stage(video_file)
    copy_frames(video_file, staged, movie=movie)
    return move_parts(video_file, staged, manifest)


def copy_frames(video_file: Path, staged: Path, *, movie: int | None = None) -> PageTable:
    """Copy the frames of a video, as they are, into a file that is there and empty, and read them back.

    :param movie: of an append that does not count yet; ``None`` takes the movie that counts.
    :raises FrameError: a frame cannot be read and verified.
    :raises OutputError: the disk is full, ...
    """
    _core.copy_movie(video_file, staged, movie=movie)
    reader = VideoReader(staged)
    try:
        before = VideoReader(video_file, movie=movie)
        same = before.identity.digest == reader.identity.digest
        before.close()
        if not same:
            raise FrameError(f"{video_file} could not be copied frame by frame: nothing was changed")
        for _ in reader.read_all():
            pass
        return reader.table
    finally:
        reader.close()
