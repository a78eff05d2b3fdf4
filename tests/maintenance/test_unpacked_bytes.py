"""What a video may unpack to: every verb that reads all of it says so before it does, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidEncoder, allowance
from memvid.errors import ResourceLimitError
from memvid.index.manifest import read_manifest
from memvid.maintenance import compact, erase, reindex, repair, verify
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory

TEXTS = ["x" * 5000, *make_texts(9)]
NEEDED = sum(map(len, TEXTS)) + 2 * len(TEXTS) + 256 * len(TEXTS)
"""Texts, at least two bytes for the lengths of each, and what each counts for."""


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return build(tmp_path, TEXTS, chunks_per_frame=1)


def _repair(video: Path, **options: Any) -> object:
    return repair(video, video.with_name("new.mp4"), embedder=EMBEDDER, **options)


@pytest.mark.parametrize(
    "verb",
    [
        lambda video, **options: reindex(video, embedder=EMBEDDER, **options),
        lambda video, **options: compact(video, embedder=EMBEDDER, **options),
        lambda video, **options: erase(video, chunk_ids=[3], embedder=EMBEDDER, **options),
        _repair,
    ],
    ids=["reindex", "compact", "erase", "repair"],
)
def test_a_verb_keeps_to_what_it_may_unpack(video: Path, verb: Callable[..., object]) -> None:
    before = all_files(video.parent)
    with pytest.raises(ResourceLimitError, match=f"unpack to more than {NEEDED - 1} bytes: .*--unpacked-bytes"):
        verb(video, unpacked_bytes=NEEDED - 1)
    assert all_files(video.parent) == before
    verb(video, unpacked_bytes=NEEDED + len(TEXTS))  # the lengths of long texts take a byte more
    assert verify(video, deep=True).ok


def test_verify_says_what_it_has_not_looked_at(video: Path) -> None:
    report = verify(video, deep=True, unpacked_bytes=NEEDED - 1)
    (finding,) = report.findings
    assert (finding.severity, finding.code, finding.frame) == ("error", "limit", 11)
    assert "The chunks from frame 11 on were not checked" in finding.message
    assert not report.ok
    assert report.lost_chunks == ()
    assert report.chunks_read == 9
    assert verify(video, unpacked_bytes=1).ok  # which unpacks nothing
    assert verify(video, deep=True, unpacked_bytes=NEEDED + len(TEXTS)).ok


def test_what_is_lost_is_counted_all_the_same(video: Path) -> None:
    """The table's chunks count before a frame is read, so that no hundred million of them are waited for."""
    with pytest.raises(ResourceLimitError):
        reindex(video, embedder=EMBEDDER, unpacked_bytes=256 * len(TEXTS) - 1)


def test_an_append_leaves_alone_what_unpacks_to_too_much(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "_FREE_BYTES", 0)
    for times, segments in ((0, 2), (1000, 1)):
        monkeypatch.setattr(allowance, "_TIMES", times)
        with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
            memory.add_chunks(["one more"])
            memory.append()
        assert len(read_manifest(video.with_name("memory_index.json")).segments) == segments
    with open_memory(video) as memory:
        assert [chunk.text for chunk in memory.get_chunks_by_id(memory.chunk_ids())] == [*TEXTS, "one more", "one more"]
