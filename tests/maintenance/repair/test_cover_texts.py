"""Bare texts that say what a cover says: `repair` tells them from the cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidEncoder
from memvid.exchange import export
from memvid.maintenance import repair
from memvid.video import VideoReader
from memvid.video.codecs import available_codecs
from memvid.video.cover import cover_text
from tests.maintenance.repair.repair_support import spoil
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import TABLE_UUID, samples

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


@pytest.mark.parametrize("date", [None, "2026-11-27"])
@pytest.mark.parametrize("documents", [0, 3])
def test_a_lost_cover_is_what_it_was(tmp_path: Path, documents: int, date: str | None) -> None:
    texts = make_texts(9)
    video = tmp_path / "memory.mp4"
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=20, title=TITLE) as encoder:
        encoder.add_chunks(texts, metadatas=[{"source": f"{at % documents}"} if documents else None for at in range(9)])
        encoder.build_video(video, date=date)
    whole = video.read_bytes()
    video.write_bytes(spoil(whole, samples(whole)[0]))
    result = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert result.video_file.read_bytes() == whole


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_of_an_export_comes_what_was_built(tmp_path: Path, codec: Any) -> None:
    if codec not in available_codecs():
        pytest.skip(f"this machine cannot write {codec}")
    video = build(tmp_path, make_texts(9), symbol_version=20, title=TITLE)
    shown = tmp_path / "shown.mkv"
    export(video, shown, codec=codec)
    result = repair(shown, tmp_path / "new.mp4", output_index=tmp_path / "new.json", embedder=EMBEDDER)
    assert result.video_file.read_bytes() == video.read_bytes()


def test_two_texts_and_a_cover_are_of_a_memory(tmp_path: Path) -> None:
    texts = make_texts(12)
    video = build(tmp_path, texts, symbol_version=20, compression="none", chunks_per_frame=1, cover=True)
    data = video.read_bytes().replace(TABLE_UUID, bytes(16))
    frames = VideoReader(video).table.frames_of(np.array([3, 8])).tolist()
    for frame, at in enumerate(samples(data)):
        if frame not in (0, *frames):
            data = spoil(data, at)
    video.write_bytes(data)
    for path in tmp_path.glob("memory_index*"):
        path.unlink()
    result = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert result.chunks == 2
    with open_memory(result.video_file) as memory:
        assert [chunk.text for chunk in memory.scan()] == [texts[3], texts[8]]
