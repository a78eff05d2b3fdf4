"""An index inside a video that there is: behind what it has, or in a copy without what is of no use in it any more."""

from __future__ import annotations

from pathlib import Path

from memvid.building.append import frame_config
from memvid.building.outputs import HOLDS_INDEX
from memvid.errors import UnsupportedVideoError
from memvid.storage.commit import Commit, default_index_file
from memvid.video import PageStore, VideoAppender, VideoReader

__all__ = ["append_movie", "has_room"]


def has_room(reader: VideoReader) -> bool:
    """Whether a video takes an index inside: only a whole one in memvid's own format does."""
    return reader.codec == HOLDS_INDEX and reader.in_place and reader.has_table


def append_movie(commit: Commit, video_file: Path, reader: VideoReader, store: PageStore) -> VideoAppender:
    """Append a movie header that lists what there is, and that an index can be put in front of.

    It counts when ``commit.grow(appender.mark)`` was called, once the index is there, and the commit made.

    :raises UnsupportedVideoError: the video has lost something, or is in another codec.
    """
    if not has_room(reader):
        beside = default_index_file(video_file)
        raise UnsupportedVideoError(
            f"{video_file} cannot take an index inside: only a whole video in memvid's own format can. Make one of it "
            f"with `memvid repair {video_file} -o NEW.mp4`, or have an index beside it: --index {beside}"
        )
    config = frame_config(store.header, fps=reader.fps)
    appender = VideoAppender(commit.stage_growth(video_file), config, table=reader.table)
    commit.on_abort(appender.abandon)
    appender.finish()
    return appender
