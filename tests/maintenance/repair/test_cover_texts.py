"""Bare texts that say what a cover says: `repair` tells them from the cover."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvid.maintenance import repair
from memvid.video import VideoReader
from memvid.video.cover import cover_text
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import TABLE_UUID

TITLE = "My notes"


@pytest.mark.parametrize("table", [True, False], ids=["table", "no table"])
@pytest.mark.parametrize("covered", [True, False], ids=["cover", "no cover"])
def test_a_text_that_is_like_the_cover_stays(tmp_path: Path, *, covered: bool, table: bool) -> None:
    like = cover_text(title=TITLE, chunks=7, documents=0, date=None)
    texts = [*make_texts(3), like, *make_texts(3, seed=2)]
    video = build(
        tmp_path, texts, symbol_version=20, compression="none", chunks_per_frame=1, cover=covered, title=TITLE
    )  # fmt: skip
    if covered:
        ((_, cover), *_) = VideoReader(video).read_all()
        assert cover == like.encode()
    if not table:
        video.write_bytes(video.read_bytes().replace(TABLE_UUID, bytes(16)))
    for name in ("whole", "alone"):
        result = repair(video, tmp_path / f"{name}.mp4", embedder=EMBEDDER)
        assert (result.chunks, result.lost) == (len(texts), ())
        with open_memory(result.video_file) as memory:
            assert [chunk.text for chunk in memory.scan()] == texts
        video.with_name("memory_index.json").unlink(missing_ok=True)
