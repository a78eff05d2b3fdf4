"""Videos of pages: writing one, reading frames out of one, and finding the frame of a chunk."""

from __future__ import annotations

from memvid.video.cover import centred, cover_picture, has_cover_room, make_cover
from memvid.video.expected import expected_chunks, reach
from memvid.video.history import History, MetadataState
from memvid.video.parity import load_zfec
from memvid.video.reader import VideoReader
from memvid.video.store import PageStore
from memvid.video.table import BARE, COVER, LARGEST_GAP, LOST, PageTable, PageTableBuilder
from memvid.video.writer import VideoAppender, VideoWriter, frame_capacity

__all__ = [
    "BARE",
    "COVER",
    "LARGEST_GAP",
    "LOST",
    "History",
    "MetadataState",
    "PageStore",
    "PageTable",
    "PageTableBuilder",
    "VideoAppender",
    "VideoReader",
    "VideoWriter",
    "centred",
    "cover_picture",
    "expected_chunks",
    "frame_capacity",
    "has_cover_room",
    "load_zfec",
    "make_cover",
    "reach",
]
