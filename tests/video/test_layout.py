"""Bare texts in a video that FFmpeg shows and that has no page table: the pages around them say which they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidEncoder
from memvid.maintenance import repair
from memvid.video import BARE, PageTable, VideoReader
from memvid.video.layout import find_layout
from tests.maintenance.repair.repair_support import BARE as OPTIONS
from tests.maintenance.repair.repair_support import spoil
from tests.memory_support import EMBEDDER, build, make_texts
from tests.video.video_support import samples

TEXTS = make_texts(9, words=6)
Payloads = list["bytes | None"]


def read(video: Path) -> tuple[Payloads, PageTable]:
    reader = VideoReader(video)
    return [payload for _, payload in reader.read_all()], reader.table


@pytest.fixture(scope="module", params=["metadata", "no metadata"])
def memory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Payloads, PageTable]:
    """What is shown of a memory with a cover that has grown by three texts, and its page table."""
    metadatas = [{"number": number} for number in range(6)] if request.param == "metadata" else None
    folder = tmp_path_factory.mktemp("bare")
    video = build(folder, TEXTS[:6], metadatas=metadatas, **OPTIONS | {"symbol_version": 20})
    with MemvidEncoder.open(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(TEXTS[6:])
        appender.append()
    return read(video)


class Film:
    """Frames of a film, as far as they are needed to say which is which."""

    codec, page_table = "h264", None

    def __init__(self, shown: Sequence[bytes | None]) -> None:
        self._shown = shown
        self._places: list[int] = [*range(len(shown))]

    @property
    def frame_count(self) -> int:
        return len(self._places)

    def place(self, places: Any) -> None:
        self._places = places.tolist()

    def expect(self, checksums: Any) -> None:
        assert len(checksums) == len(self._places)

    def read(self, frames: Any) -> Any:
        found = [self._shown[place] if (place := self._places[frame]) >= 0 else None for frame in frames.tolist()]
        return found, np.array([payload is None for payload in found], np.uint8)


def table_of(shown: Sequence[bytes | None]) -> PageTable:
    return find_layout(Film(shown), "film.mkv").table  # type: ignore[arg-type]


def check_none_is_another(shown: Sequence[bytes | None], table: PageTable) -> None:
    """Each text that has an id is that chunk's, and those that have none are lost."""
    found = table_of(shown)
    texts = found.frames_of_kind(BARE)
    ids = found.first_chunks[texts]
    assert (found.checksums[texts] == table.checksums[table.frames_of(ids)]).all()
    assert len(ids) < table.chunk_count


def repeated(shown: Payloads, times: int) -> Payloads:
    return [payload for payload in shown for _ in range(times)]


def at(memory: tuple[Payloads, PageTable], chunk: int) -> int:
    return int(memory[1].frames_of(np.array([chunk]))[0])


@pytest.mark.parametrize("times", [1, 2, 3])
def test_all_may_be_shown_again_and_again(memory: tuple[Payloads, PageTable], times: int) -> None:
    shown, table = memory
    assert table_of(repeated(shown, times)).digest == table.digest


def test_a_cover_is_shown_for_a_second(memory: tuple[Payloads, PageTable]) -> None:
    shown, table = memory
    assert table_of([shown[0]] * 30 + shown[1:]).digest == table.digest


@pytest.mark.parametrize("chunk", [0, 3, 5, 6, 8])
def test_one_that_stands_still_is_one(memory: tuple[Payloads, PageTable], chunk: int) -> None:
    shown, table = memory
    frame = at(memory, chunk)
    assert table_of(shown[:frame] + [shown[frame]] * 4 + shown[frame:]).digest == table.digest


@pytest.mark.parametrize("chunk", [0, 3, 5, 6, 8])
def test_where_one_is_lost_none_counts_as_another(memory: tuple[Payloads, PageTable], chunk: int) -> None:
    shown, table = memory
    frame = at(memory, chunk)
    check_none_is_another(shown[:frame] + shown[frame + 1 :], table)
    doubled = [*shown[:frame], *shown[frame - 1 : frame], *shown[frame - 1 : frame], *shown[frame + 1 :]]
    check_none_is_another(doubled, table)


def test_texts_that_are_alike_are_as_many_as_they_are(tmp_path: Path) -> None:
    shown, table = read(build(tmp_path, ["one", "two", "two", "two", "three"], **OPTIONS))
    assert table_of(shown).digest == table.digest
    check_none_is_another(repeated(shown, 2), table)


def test_the_texts_of_a_repaired_memory_are_fewer(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, **OPTIONS)
    data = video.read_bytes()
    for chunk in (2, 8):
        frame = int(VideoReader(video).table.frames_of(np.array([chunk]))[0])
        data = spoil(data, samples(data)[frame])
    video.write_bytes(data)
    shown, table = read(repair(video, tmp_path / "new.mp4").video_file)
    assert table.chunk_ids().ranges == ((0, 1), (3, 7))
    assert table_of(repeated(shown, 2)).digest == table.digest


def test_pictures_of_something_else_are_no_texts_of_a_packed_memory(tmp_path: Path) -> None:
    shown, table = read(build(tmp_path, TEXTS, symbol_version=20, chunks_per_frame=2))
    assert table_of([*shown[:3], b"an advertisement", None, *shown[3:], b"the end"]).digest == table.digest


@pytest.mark.parametrize("options", [OPTIONS | {"symbol_version": 20}, {"symbol_version": 20}], ids=["bare", "packed"])
@pytest.mark.parametrize("described", [True, False], ids=["metadata", "no metadata"])
def test_what_another_memory_has_behind_is_not_lost_of_this_one(
    tmp_path: Path, options: dict[str, Any], *, described: bool
) -> None:
    metadatas = [{"number": number} for number in range(9)] if described else None
    (tmp_path / "other").mkdir()
    shown, table = read(build(tmp_path, TEXTS, metadatas=metadatas, **options))
    others, _ = read(build(tmp_path / "other", make_texts(9, seed=5), metadatas=metadatas, title="Another", **options))
    assert table_of([*shown, *others]).digest == table.digest
    assert table_of([*shown[:2], others[2], *shown[2:], *others, *others]).digest == table.digest
