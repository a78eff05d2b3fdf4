"""What repairs and new indexes say of deletions and changed metadata whose frames are gone without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvid import MemvidEncoder
from memvid.maintenance import RepairResult, reindex, repair, verify
from memvid.page import PageKind
from memvid.video import VideoReader
from tests.maintenance.losses.loss_damages import png_pictures
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import make_video, samples


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


def said_of(result: RepairResult) -> list[str]:
    return [finding.message for finding in result.findings if finding.code == "page"]


def cut(video: Path, frames: set[int]) -> None:
    """Take frames and the page table out of a video, as another program would."""
    reader = VideoReader(video)
    left = [picture for frame, picture in enumerate(samples(video.read_bytes())) if frame not in frames]
    make_video(video, left, reader.width, reader.height)


def last_commit(video: Path) -> set[int]:
    """The frames of the last commit."""
    table = VideoReader(video).table
    return set(range(table.frames_of_kind(PageKind.COMMIT).tolist()[-1], len(table)))


def test_a_lost_commit_is_named(video: Path) -> None:
    table = VideoReader(video).table
    commits = table.frames_of_kind(PageKind.COMMIT).tolist()
    cut(video, set(range(commits[1], commits[2])))
    result = repair(video, video.with_name("new.mp4"), index=video.with_name("none.json"), embedder=EMBEDDER)
    what = "what commit 3 changed is lost, but for pages that are there: chunks that were deleted may be there again"
    assert said_of(result) == [f"{what}, and chunks may have metadata that they had before"]


def test_a_lost_commit_is_named_by_what_it_added(tmp_path: Path) -> None:
    video = build(tmp_path, make_texts(12), symbol_version=8)
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(["later"])
        memory.append()
    cut(video, set(VideoReader(video).table.frames_of_kind(PageKind.COMMIT).tolist()))
    result = repair(video, tmp_path / "new.mp4", index=tmp_path / "none.json", embedder=EMBEDDER)
    assert result.chunks == 13
    assert [message[:29] for message in said_of(result)] == ["what commit 2 changed is lost"]


def test_the_page_table_knows_what_was_changed(video: Path) -> None:
    """The whole commit is gone, and the table of its movie header is there."""
    reader = VideoReader(video)
    table = reader.table.to_bytes()
    pictures = samples(video.read_bytes())[: min(last_commit(video))]
    make_video(video, pictures, reader.width, reader.height, table=table)
    result = repair(video, video.with_name("new.mp4"), index=video.with_name("none.json"), embedder=EMBEDDER)
    assert said_of(result) == ["metadata that was changed is lost: chunks have what they had before"]


def test_the_index_knows_what_was_changed_last(video: Path) -> None:
    cut(video, last_commit(video))
    assert not verify(video).ok
    result = repair(video, video.with_name("new.mp4"), embedder=EMBEDDER)
    assert said_of(result) == [
        "metadata that was changed is lost: chunks have what they had before; by the index these are chunk 7"
    ]
    indexed = reindex(video, embedder=EMBEDDER)
    assert (indexed.lost_metadata, indexed.missing, indexed.lost_frames, indexed.whole) == (((7, 7),), (), 2, False)


def test_what_only_the_index_knows_as_deleted_does_not_make_a_video_whole(video: Path) -> None:
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.delete([8])
        memory.append()
    cut(video, last_commit(video))
    indexed = reindex(video, embedder=EMBEDDER)
    assert (indexed.chunks, indexed.lost_frames, indexed.whole) == (9, 2, False)
    assert not verify(video).ok
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(["more"])
        result = memory.append()
    assert (result.deleted, result.chunks) == (0, 10)
    assert verify(video, deep=True).ok  # the video says so itself again
    for path in video.parent.glob("memory_index*"):
        path.unlink()
    assert reindex(video, embedder=EMBEDDER).chunks == 10
    with open_memory(video) as opened:
        assert opened.chunk_ids() == [chunk for chunk in range(13) if chunk not in (3, 5, 8)]
