"""Memories that others have encoded again: what is counted as lost is lost, and what is promised comes back."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import pytest

from memvid.cli import main
from memvid.errors import ConfigError, DependencyError, VideoNotFoundError
from memvid.exchange import export, survive
from memvid.exchange.ladder import LADDERS, Rung
from memvid.exchange.transcode import Step, transcode
from memvid.types import Progress
from memvid.video import VideoReader
from memvid.video.codecs import available_codecs, open_pictures
from tests.memory_support import all_files, build, make_texts, open_memory

TEXTS = make_texts(120)
MODULE = sys.modules["memvid.exchange.survive"]  # the package has the function under this name


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    pytest.importorskip("av")
    return build(tmp_path_factory.mktemp("survive"), TEXTS, symbol_version=20, error_correction="M")


@pytest.fixture(scope="module")
def robust(memory: Path) -> Path:
    if "h264" not in available_codecs():
        pytest.skip("this machine cannot write h264")
    path = memory.with_name("robust.mp4")
    export(memory, path, codec="h264")
    return path


def index_of(video: Path) -> Path:
    return video.with_name(f"{video.stem}_index.json")


def test_what_is_promised_comes_back(memory: Path) -> None:
    before = all_files(memory.parent)
    seen: list[Progress] = []
    report = survive(memory, ladder="quick", progress=seen.append)
    assert [rung.name for rung in report.rungs] == [rung.name for rung in LADDERS["quick"]]
    assert [(rung.name, rung.lost, rung.error) for rung in report.rungs if not rung.whole] == []
    assert all(rung.video_bytes > 0 for rung in report.rungs)
    assert (report.codec, report.text_bytes) == ("h264", sum(len(text.encode()) for text in TEXTS))
    assert [progress.done for progress in seen] == [1, 2, 3, 4, 5]
    assert all_files(memory.parent) == before


def test_the_retriever_opens_what_came_back(memory: Path, robust: Path, tmp_path: Path) -> None:
    steps = (Step(codec="h264", quality=30, scale=Fraction(1, 2), gop=20, suffix=".mkv"), Step(suffix=".mp4"))
    current = robust
    with closing(open_pictures(str(robust))) as pictures:
        side = pictures.width
    for number, step in enumerate(steps):
        target = tmp_path / f"{number}{step.suffix}"
        transcode(current, target, step, side=side)
        current = target
    with open_memory(current, index_of(memory)) as theirs, open_memory(memory) as ours:
        assert theirs.info.width == side // 2
        assert theirs.search_results("budget river", 9) == ours.search_results("budget river", 9)


def test_lost_frames_are_counted_and_refused(robust: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = (Step(codec="h264", quality=23, fps=15), Step(codec="h264", quality=23, fps=30))
    ruined = (Step(codec="h264", quality=51, scale=Fraction(1, 8)),)
    ladder = (Rung("fewer", fewer), Rung("ruined", ruined))
    monkeypatch.setattr(MODULE, "LADDERS", {"mine": ladder})
    report = survive(robust, ladder="mine")
    half, all_of_them = report.rungs
    assert report.frames // 2 - 1 <= half.lost <= report.frames // 2 + 1
    assert not half.whole
    assert all_of_them.lost == all_of_them.frames == report.frames
    with closing(open_pictures(str(robust))) as pictures:
        transcode(robust, tmp_path / "a.mp4", fewer[0], side=pictures.width)
    with closing(VideoReader(tmp_path / "a.mp4")) as reader:
        assert len(reader.lost_frames) >= half.lost  # of a run all pages go with one


def test_only_the_first_frames(robust: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "LADDERS", {"mine": (Rung("copied", (Step(),)),)})
    report = survive(robust, ladder="mine", frames=2)
    assert (report.frames, report.rungs[0].frames, report.rungs[0].whole) == (2, 2, True)
    assert report.text_bytes < sum(map(len, TEXTS))


def test_what_cannot_be_tried_says_why(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into_webm = Rung("h264 into webm", (Step(codec="h264", suffix=".webm"),))
    monkeypatch.setattr(MODULE, "LADDERS", {"mine": (into_webm,)})
    (rung,) = survive(memory, ladder="mine", frames=1).rungs
    assert rung.error is not None
    assert ".webm" in rung.error
    assert (rung.whole, rung.lost) == (False, 1)


def test_refusals(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="ladder='steep'"):
        survive(memory, ladder="steep")
    with pytest.raises(ConfigError, match="frames=0"):
        survive(memory, frames=0)
    with pytest.raises(VideoNotFoundError):
        survive(tmp_path / "none.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DependencyError, match=r'pip install "memvid\[video\]"'):
        survive(memory)


def test_every_ladder_names_each_rung_once() -> None:
    for rungs in LADDERS.values():
        names = [rung.name for rung in rungs]
        assert len(set(names)) == len(names)
        assert all(rung.steps for rung in rungs)
        assert all(rung.promised for rung in rungs) or rungs is LADDERS["default"]


def test_the_command(robust: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["survive", str(robust), "--ladder", "quick", "--frames", "3"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Every byte came back from 5 of 5." in out
    assert main(["survive", str(robust), "--ladder", "quick", "--frames", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [rung["lost"] for rung in report["rungs"]] == [0] * 5
