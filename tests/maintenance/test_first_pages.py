"""Header page and dictionary are there twice: whichever copy is left, or whatever two have left, is enough."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pytest

from memvid import MemvidAppender
from memvid.errors import MemvidError
from memvid.maintenance import compact, reindex, repair, verify
from memvid.page import PageKind
from memvid.storage.commit import default_index_file
from memvid.video import VideoReader
from tests.memory_support import EMBEDDER, build, make_texts, open_memory
from tests.video.video_support import make_video, png, samples

OPTIONS: dict[str, Any] = {"symbol_version": 16, "dictionary": 4096}
METADATAS = [{"number": number} for number in range(64)]


def _texts() -> list[str]:
    chooser = random.Random(8)
    return [f"{text} {''.join(chooser.choices(ascii_lowercase, k=1300))}" for text in make_texts(64)]


TEXTS = _texts()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    """A memory just large enough for copies."""
    return build(tmp_path_factory.mktemp("first"), TEXTS, metadatas=METADATAS, **OPTIONS)


@pytest.fixture
def video(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original.parent, tmp_path / "copy")) / original.name


def runs(video: Path) -> dict[PageKind, list[range]]:
    """The frames of header page and dictionary and of their copies."""
    table = VideoReader(video).table
    kinds = (PageKind.HEADER, PageKind.DICTIONARY)
    return {kind: [table.run_of(frame) for frame in table.frames_of_kind(kind).tolist()] for kind in kinds}


def blacken(video: Path, frames: Sequence[int], *, table: bool = True) -> None:
    reader, pictures = VideoReader(video), samples(video.read_bytes())
    for frame in frames:
        pictures[frame] = png(np.zeros((reader.height, reader.width), np.uint8))
    make_video(video, pictures, reader.width, reader.height, table=reader.table.to_bytes() if table else None)


def cut_out(video: Path, frames: Sequence[int]) -> None:
    reader, pictures = VideoReader(video), samples(video.read_bytes())
    left = [picture for frame, picture in enumerate(pictures) if frame not in frames]
    make_video(video, left, reader.width, reader.height)


def check_texts(video: Path) -> None:
    with open_memory(video) as memory:
        assert [chunk.text for chunk in memory.get_chunks_by_id(range(len(TEXTS)))] == TEXTS
        assert [chunk.metadata for chunk in memory.scan()] == METADATAS
        assert memory.search(TEXTS[7], 1) == [TEXTS[7]]


def check_repaired(video: Path, original: Path) -> None:
    """A repair writes the very bytes that the build wrote."""
    output = video.with_name("repaired.mp4")
    result = repair(video, output, output_index=default_index_file(output), embedder=EMBEDDER)
    assert (result.lost, result.chunks) == ((), len(TEXTS))
    assert output.read_bytes() == original.read_bytes()


def test_both_are_there_twice(original: Path) -> None:
    found = runs(original)
    header, dictionary = found[PageKind.HEADER], found[PageKind.DICTIONARY]
    assert [len(run) for run in header] == [len(header[0])] * 2
    assert [len(run) for run in dictionary] == [len(dictionary[0])] * 2
    assert len(header[0]) > 1 < len(dictionary[0])
    assert dictionary[1].start == header[1].stop
    assert dictionary[1].stop == VideoReader(original).frame_count
    report = verify(original, deep=True)
    assert report.findings == ()


SMALL: list[tuple[dict[str, Any], list[int]]] = [
    ({"symbol_version": 12}, [1, 0]),
    ({"symbol_version": 12, "dictionary": 4096}, [1, 1]),
]


@pytest.mark.parametrize(("options", "expected"), SMALL)
def test_a_small_memory_has_no_copies(tmp_path: Path, options: dict[str, Any], expected: list[int]) -> None:
    video = build(tmp_path, make_texts(64), **options)
    assert [len(found) for found in runs(video).values()] == expected


LOSSES: dict[str, Callable[[Path, Sequence[int]], None]] = {
    "black": blacken,
    "black, without the page table": lambda video, frames: blacken(video, frames, table=False),
    "cut out": cut_out,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("kinds", [[PageKind.HEADER], [PageKind.DICTIONARY], [PageKind.HEADER, PageKind.DICTIONARY]])
def test_one_of_two_is_enough(
    original: Path, video: Path, tmp_path: Path, kinds: Sequence[PageKind], copy: int, loss: str
) -> None:
    found = runs(video)
    LOSSES[loss](video, [frame for kind in kinds for frame in found[kind][copy]])
    if loss == "black":
        report = verify(video)
        assert report.ok
        names = [kind.name.lower() for kind in kinds]
        assert [finding.code for finding in report.findings] == (names if copy == 0 else [])
        assert all("copy" in finding.message for finding in report.findings)
        deep = verify(video, deep=True)
        assert deep.ok
        assert sum(finding.code == "frame" for finding in deep.findings) == sum(
            len(found[kind][copy]) for kind in kinds
        )
    else:
        assert not verify(video).ok  # frames are missing, though nothing else is
        assert verify(video).lost_chunks == ()
        assert not verify(video, deep=True).ok
        assert verify(video, deep=True).lost_chunks == ()
        result = reindex(video, embedder=EMBEDDER)
        assert (result.chunks, result.missing, result.unnamed) == (len(TEXTS), (), 0)
    check_texts(video)
    check_repaired(video, original)


@pytest.mark.parametrize("table", [True, False], ids=["with the page table", "without"])
@pytest.mark.parametrize("kind", [PageKind.HEADER, PageKind.DICTIONARY])
def test_two_complete_each_other_in_a_repair(original: Path, video: Path, kind: PageKind, *, table: bool) -> None:
    first, second = runs(video)[kind]
    lost = [first[0], second[1]]
    blacken(video, lost, table=table)
    report = verify(video, deep=True)
    assert {finding.frame for finding in report.errors if finding.code == "frame"} >= (set(lost) if table else set())
    assert not report.ok
    if kind == PageKind.DICTIONARY:
        with pytest.raises(MemvidError), open_memory(video) as memory:
            memory.get_chunks_by_id(range(len(TEXTS)))
    check_repaired(video, original)


def test_all_first_parts_or_one_part_of_both_are_too_much(video: Path, tmp_path: Path) -> None:
    first, second = runs(video)[PageKind.DICTIONARY]
    for lost in ([first[0], second[0]], [first[1], second[1]]):
        copy = Path(shutil.copytree(video.parent, tmp_path / f"lost-{lost[0]}")) / video.name
        blacken(copy, lost)
        report = verify(copy, deep=True)
        assert report.lost_chunks == ((0, len(TEXTS) - 1),)
        blacken(copy, lost, table=False)
        report = verify(copy, deep=True)
        assert report.lost_chunks == ((0, len(TEXTS) - 1),)


def test_appends_leave_the_copies_where_they_are_and_compaction_writes_new_ones(
    original: Path, video: Path, tmp_path: Path
) -> None:
    before = runs(video)
    with MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(["another chunk, which comes later"])
        appender.delete([5])
        appender.append()
    assert runs(video) == before
    grown = [payload for _, payload in VideoReader(video).read_all()]
    output = tmp_path / "repaired.mp4"
    assert repair(video, output, embedder=EMBEDDER).lost == ()
    assert [payload for _, payload in VideoReader(output).read_all()] == grown
    compact(video)
    first, second = runs(video)[PageKind.HEADER]
    assert second.stop == VideoReader(video).frame_count
    assert verify(video, deep=True).findings == ()
    cut_out(video, first)
    assert reindex(video, embedder=EMBEDDER).missing == ()
    with open_memory(video) as memory:
        assert memory.chunk_ids() == [chunk for chunk in range(65) if chunk != 5]
        assert memory.get_chunk_by_id(64) == "another chunk, which comes later"


def test_bare_texts_without_their_first_frames_are_numbered_by_the_copy(tmp_path: Path) -> None:
    texts = [f"{text} {'x' * 600}" for text in make_texts(64)]
    video = build(tmp_path, texts, symbol_version=20, compression="none", chunks_per_frame=1)
    first, second = runs(video)[PageKind.HEADER]
    assert second.stop == VideoReader(video).frame_count
    cut_out(video, [0, *first])
    assert reindex(video, embedder=EMBEDDER).missing == ()
    with open_memory(video) as memory:
        assert [chunk.text for chunk in memory.scan()] == texts
    output = tmp_path / "repaired.mp4"
    assert repair(video, output, embedder=EMBEDDER).lost == ()
    assert verify(output, deep=True).findings == ()
    with open_memory(output) as memory:
        assert [chunk.text for chunk in memory.scan()] == texts
