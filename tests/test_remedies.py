"""What errors of damaged files, and of files of another program, advise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memvid import MemvidEncoder, MemvidRetriever
from memvid.errors import MemvidError
from memvid.exchange import export
from memvid.maintenance import compact, reindex, repair, verify
from tests.memory_support import EMBEDDER, build

OLD = Path(__file__).parent / "maintenance" / "legacy" / "memories"

USES: dict[str, Callable[[Path], object]] = {
    "search": lambda video: MemvidRetriever(video, embedder=EMBEDDER),
    "append": MemvidEncoder.open,
    "compact": compact,
    "reindex": lambda video: reindex(video, embedder=EMBEDDER),
    "export": lambda video: export(video, video.with_name("new.mp4"), codec="png"),
}

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda data: data[:-9000],
    "no start": lambda data: bytes(40) + data[40:],
    "a text": lambda data: b"a text\n",
    "empty": lambda data: b"",
    "no page table": lambda data: data.replace(b"MVPT", b"MVPX"),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_cannot_be_opened_names_repair(use: str, damage: str, tmp_path: Path) -> None:
    video = build(tmp_path, ["one text", "another text"])
    data = video.read_bytes()
    video.write_bytes(DAMAGE[damage](data))
    assert video.read_bytes() != data
    with pytest.raises(MemvidError, match=r"from a copy; `memvid repair` brings back the rest"):
        USES[use](video)
    assert any("`memvid repair`" in finding.message for finding in verify(video).findings)


def repair_it(video: Path) -> object:
    return repair(video, video.with_name("new.mp4"), embedder=EMBEDDER)


@pytest.mark.parametrize("use", [*USES, "repair"])
def test_a_memory_of_the_old_memvid_names_import(use: str, tmp_path: Path) -> None:
    video = tmp_path / "old.mp4"
    shutil.copy(OLD / "mp4v.mp4", video)
    shutil.copy(OLD / "mp4v_index.json", tmp_path / "old_index.json")
    with pytest.raises(MemvidError, match="`memvid import`"):
        {**USES, "repair": repair_it}[use](video)


def test_so_does_its_index(tmp_path: Path) -> None:
    video = build(tmp_path, ["one text"])
    with pytest.raises(MemvidError, match="`memvid import`"):
        MemvidRetriever(video, OLD / "mp4v_index.json", embedder=EMBEDDER)


def test_a_damaged_picture_is_called_damaged(tmp_path: Path) -> None:
    video = build(tmp_path, ["one text", "another text"])
    data = bytearray(video.read_bytes())
    at = data.rindex(b"IDAT")
    data[at + 20 : at + 40] = bytes(20)
    video.write_bytes(data)
    (finding,) = (finding for finding in verify(video, deep=True).findings if finding.code == "frame")
    assert "it is a damaged picture, or not a picture of the video's size" in finding.message
