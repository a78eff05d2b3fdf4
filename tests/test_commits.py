"""Commits: what is written of each change of a memory, listed, and checked."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid import CommitInfo, MemvidEncoder
from memvid.errors import ConfigError, FrameError
from memvid.exchange import export
from memvid.maintenance import compact, delete, repair, verify
from memvid.page import decode_commit, encode_commit
from memvid.video import PageStore, VideoReader
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.test_golden import MEMORIES, unpack

OPTIONS: dict[str, dict[str, Any]] = {
    "packed": {"symbol_version": 12},
    "small": {"symbol_version": 5},
    "bare": {"compression": "none", "chunks_per_frame": 1, "symbol_version": 12},
    "parity": {"parity": 0.5, "symbol_version": 12},
}

counts = st.integers(0, 1 << 62)
words = st.none() | st.text()
infos = st.builds(
    CommitInfo, number=counts, date=words, message=words,
    first_chunk=counts, added=counts, deleted=counts, changed=counts, chunks=counts,
)  # fmt: skip


def grow(video: Path) -> None:
    """Two more commits: two chunks and a deletion; a deletion alone."""
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(["one more", "and another"])
        memory.delete([1])
        memory.append(date=datetime.date(2026, 11, 27), message="Two more, \N{EN DASH} and one less.")
    delete(video, chunk_ids=[0, 5], message="not wanted", date="2026-11-28")


def log(video: Path, index: Path | None = None) -> list[tuple[Any, ...]]:
    with open_memory(video, index) as memory:
        return [
            (info.number, info.date, info.message, info.first_chunk, info.added, info.deleted, info.chunks)
            for info in memory.log()
        ]


GROWN = [
    (1, None, None, 0, 5, 0, 5),
    (2, "2026-11-27", "Two more, \N{EN DASH} and one less.", 5, 2, 1, 6),
    (3, "2026-11-28", "not wanted", 7, 0, 2, 4),
]


@given(infos)
def test_what_is_written_is_read(info: CommitInfo) -> None:
    assert decode_commit(encode_commit(info)) == info


@given(st.binary(max_size=60) | st.sampled_from([b"{}", b"[1]", b'{"commit":1}', b'{"commit":true}']))
def test_what_is_no_commit_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError, match="frame 9: its commit page"):
        decode_commit(body, frame_index=9)


@pytest.mark.parametrize("value", [-1, 1 << 63, 1.0, "1", None, True])
def test_numbers_that_cannot_be_are_refused(value: object) -> None:
    content = dict.fromkeys(("commit", "first_chunk", "added", "deleted", "changed", "chunks"), 1)
    assert decode_commit(json.dumps({**content, "new": [1]}).encode()).number == 1
    with pytest.raises(FrameError):
        decode_commit(json.dumps({**content, "deleted": value}).encode())
    with pytest.raises(FrameError):
        decode_commit(json.dumps({**content, "message": "\ud800"}).encode())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_each_change_is_in_the_log(tmp_path: Path, options: dict[str, Any]) -> None:
    video = build(tmp_path, make_texts(5, words=3), **options)
    grow(video)
    assert log(video) == GROWN
    assert verify(video, deep=True).findings == ()
    repair(video, tmp_path / "repaired.mp4", embedder=EMBEDDER)
    assert log(tmp_path / "repaired.mp4") == GROWN
    compact(video)
    assert log(video) == [(1, None, None, 0, 4, 0, 4)]
    assert verify(video, deep=True).findings == ()


def test_the_build_says_what_it_is(tmp_path: Path) -> None:
    video = tmp_path / "m.mp4"
    with MemvidEncoder(embedder=EMBEDDER, title="Notes") as encoder:
        encoder.add_chunks(["one", "two"])
        encoder.build_video(video, date="2026-01-01T12:00:00+01:00", message="all of them")
    assert log(video) == [(1, "2026-01-01T12:00:00+01:00", "all of them", 0, 2, 0, 2)]
    delete(video, chunk_ids=[0])
    compact(video)
    reader = VideoReader(video)
    header = PageStore(reader, cache_bytes=0).header
    reader.close()
    assert (header.title, header.date, header.message) == ("Notes", None, None)


@pytest.mark.parametrize("codec", ["ffv1", "h264"])
def test_a_video_of_another_codec_has_the_same_log(tmp_path: Path, codec: Any) -> None:
    video = build(tmp_path, make_texts(5, words=3), symbol_version=12)
    grow(video)
    suffix = ".mkv" if codec == "ffv1" else ".mp4"
    export(video, tmp_path / f"out{suffix}", codec=codec)
    assert log(tmp_path / f"out{suffix}", tmp_path / "memory_index.json") == GROWN


@pytest.mark.parametrize(
    "archive",
    [path for path in MEMORIES if path.stem.startswith("0.1.0") and "h264" not in path.stem],
    ids=lambda path: path.stem,
)
def test_all_that_a_memory_of_version_1_was_is_its_first_commit(archive: Path, tmp_path: Path) -> None:
    video, expected = unpack(archive, tmp_path)
    count = len(expected["chunks"])
    assert [entry[3:] for entry in log(video)] == [(0, count, 0, count)]
    delete(video, chunk_ids=[expected["chunks"][0][0]])
    assert [(entry[0], *entry[4:]) for entry in log(video)] == [(1, count, 0, count), (2, 0, 1, count - 1)]
    assert verify(video, deep=True).findings == ()


@pytest.mark.parametrize(
    "options",
    [
        *({"date": date} for date in ("yesterday", 20261127, "", "2026-13-01", "2026-11-27\n", "٢٠٢٦-١١-٢٧")),
        *({"date": f"2026-11-27{between}10:00"} for between in "\n\x1b\u202e\ud800_"),
        *({"message": message} for message in (5, "\ud800", "x" * 5000)),
    ],
)
def test_what_is_no_date_or_message_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    video = build(tmp_path, ["one", "two"])
    before = video.read_bytes()
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(["three"])
        with pytest.raises(ConfigError):
            memory.append(**options)
        assert video.read_bytes() == before
        memory.append()


@pytest.mark.parametrize(
    "date",
    ["2026-11-27", "2026-11-27T10:00", "2026-11-27 10:00:30", "2026-11-27T10:00Z", "2026-11-27T10:00:00.123456+01:00"],
)
def test_dates_and_times_stay_as_they_are_given(tmp_path: Path, date: str) -> None:
    video = build(tmp_path, ["one"])
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(["two"])
        memory.append(date=date)
    with open_memory(video) as retriever:
        assert retriever.log()[1].date == date
