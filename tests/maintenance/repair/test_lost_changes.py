"""What a repair says of deletions and changed metadata whose frames are gone without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvid import MemvidEncoder
from memvid.maintenance import RepairResult, repair
from memvid.page import PageKind
from memvid.video import VideoReader
from tests.maintenance.losses.loss_damages import png_pictures
from tests.memory_support import EMBEDDER, build, make_texts, open_memory


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A memory of which a chunk was deleted, then another, and then one got other metadata."""
    path = build(tmp_path, make_texts(12), symbol_version=8)
    for chunk_id in (3, 5):
        with MemvidEncoder.open(path, embedder=EMBEDDER) as memory:
            memory.delete([chunk_id])
            memory.append()
    with MemvidEncoder.open(path, embedder=EMBEDDER) as memory:
        memory.set_metadata(7, {"tag": "new"})
        memory.append()
    return path


def without(video: Path, *kinds: PageKind) -> RepairResult:
    """Repair what is left when the last page of each kind, and the page table, are gone."""
    reader = VideoReader(video)
    gone = {reader.table.frames_of_kind(kind).tolist()[-1] for kind in kinds}
    reader.close()
    pictures = [picture for frame, picture in enumerate(png_pictures(video.read_bytes())) if frame not in gone]
    damaged = video.with_name("damaged.mp4")
    damaged.write_bytes(b"".join(pictures))
    return repair(damaged, video.with_name("new.mp4"), index=video.with_name("none.json"), embedder=EMBEDDER)


def test_nothing_is_said_where_all_is_there(video: Path) -> None:
    assert [finding for finding in without(video).findings if finding.code == "page"] == []


def test_a_lost_deletion_is_named(video: Path) -> None:
    result = without(video, PageKind.TOMBSTONES)
    said = [finding.message for finding in result.findings if finding.code == "page"]
    assert said == ["the page that tells of a deletion is lost: that chunk may be there again"]
    with open_memory(result.video_file) as memory:
        assert (3 in memory.chunk_ids(), 5 in memory.chunk_ids()) == (False, True)


def test_lost_metadata_is_named(video: Path) -> None:
    result = without(video, PageKind.METADATA)
    said = [finding.message for finding in result.findings if finding.code == "page"]
    assert said == ["metadata that commit 4 changed is lost: chunks have what they had before"]
