"""`memvid build --resume`, as a user meets it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from memvid.cli import main, options
from memvid.embedding import HashingEmbedder
from tests.memory_support import all_files, make_texts


class Named(HashingEmbedder):
    """Stands for a real model. Does something before each batch."""

    def __init__(self, before: Callable[[int], object] = lambda batch: None) -> None:
        super().__init__(dim=32)
        self.name = "a-model"
        self.provider = "PretendedProvider"
        self._before = before
        self._batches = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._before(self._batches)
        self._batches += 1
        return super().encode(texts)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of 300 documents: three batches."""
    path = tmp_path / "my texts.jsonl"
    path.write_text("\n".join(map(json.dumps, make_texts(300, words=5))), encoding="utf-8")
    return path


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[HashingEmbedder], None]:
    """Makes an embedder the default one."""

    def change(embedder: HashingEmbedder) -> None:
        monkeypatch.setattr(options, "load_embedder", lambda name: embedder if name is None else HashingEmbedder())

    return change


Use = Callable[[HashingEmbedder], None]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def interrupt_self(batch: int) -> None:
    if batch == 2:
        os.kill(os.getpid(), signal.SIGINT)


def fail(batch: int) -> None:
    if batch == 2:
        raise RuntimeError("quota exceeded")


def interrupted(source: Path, folder: Path, use: Use, before: Callable[[int], object] = interrupt_self) -> int:
    use(Named(before))
    folder.mkdir()
    return run("build", source, "--no-split", "-o", folder / "m.mp4", "--no-keywords")


def test_ctrl_c_says_what_is_kept_and_the_command_that_goes_on(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interrupted(source, tmp_path / "a", use) == 130
    out, err = capsys.readouterr()
    assert out == ""
    first, command = err.strip().splitlines()
    kept = tmp_path / "a" / "m.mp4.checkpoint"
    found = re.fullmatch(rf"memvid: (\d+) embeddings are kept in {re.escape(str(kept))}; to go on:", first)
    assert found
    assert int(found[1]) in (256, 300)  # the signal is noticed while the last batch is embedded, or behind it
    assert sorted(all_files(tmp_path / "a")) == ["m.mp4.checkpoint"]

    use(Named())
    words = shlex.split(command)
    assert run(*words[words.index("build") :], "--json") == 0
    report = json.loads(capsys.readouterr().out)
    made = 300 - int(found[1])
    assert report["embeddings"] == {
        "model": "a-model",
        "made": made,
        "resumed": int(found[1]),
        "provider": "PretendedProvider" if made else None,
    }
    (tmp_path / "b").mkdir()
    assert run("build", source, "--no-split", "-o", tmp_path / "b" / "m.mp4", "--no-keywords") == 0
    assert all_files(tmp_path / "a") == all_files(tmp_path / "b")


def test_a_failure_keeps_what_was_embedded(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interrupted(source, tmp_path / "a", use, fail) == 1
    kept, command, error = capsys.readouterr().err.splitlines()
    assert kept.startswith("memvid: 256 embeddings are kept in ")
    assert " build --resume " in command
    assert error.startswith("memvid: error: ")
    assert "quota exceeded" in error


def test_nothing_is_lost_without_being_asked(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(source, tmp_path / "a", use, fail)
    before = all_files(tmp_path / "a")
    capsys.readouterr()
    for more in ((), ("--force",)):
        assert run("build", source, "-o", tmp_path / "a" / "m.mp4", *more) == 1
        assert re.search(r"m\.mp4\.checkpoint keeps .*--resume.*remove the file", capsys.readouterr().err)
        assert all_files(tmp_path / "a") == before


def test_another_model_does_not_go_on(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(source, tmp_path / "a", use, fail)
    before = all_files(tmp_path / "a")
    capsys.readouterr()
    other = Named()
    other.name = "another-model"
    use(other)
    assert run("build", source, "-o", tmp_path / "a" / "m.mp4", "--resume") == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert "'a-model'" in error
    assert "'another-model'" in error
    assert all_files(tmp_path / "a") == before


def test_resume_without_a_checkpoint_builds(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(Named())
    for more in ((), ("--force",)):
        assert run("build", source, "--no-split", "-o", tmp_path / "m.mp4", "--resume", *more) == 0
        out, err = capsys.readouterr()
        assert "300 made by a-model on PretendedProvider" in out
        assert "resumed" not in out
        assert err == ""
    assert "m.mp4.checkpoint" not in all_files(tmp_path)


def test_says_what_was_resumed(source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted(source, tmp_path / "a", use, fail)
    use(Named())
    assert run("build", source, "--no-split", "-o", tmp_path / "a" / "m.mp4", "--resume") == 0
    assert "44 made by a-model on PretendedProvider, 256 resumed" in capsys.readouterr().out


def test_the_hashing_embedder_keeps_nothing(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = tmp_path / "m.mp4.checkpoint"
    left.write_bytes(b"of another build")
    assert run("build", source, "--no-split", "-o", tmp_path / "m.mp4", "--model", "hashing") == 0
    assert "300 made by hashing-512" in capsys.readouterr().out
    assert left.read_bytes() == b"of another build"


IMPOSSIBLE = {
    "zfec": ["--parity", "0.1"],
    "PyAV": ["--codec", "h264"],
    "OpenCV": ["--codec", "mp4v"],
    "the smallest that holds one is 4": ["--symbol-version", "1"],
    "the smallest that holds one is 7": ["--symbol-version", "2", "--error-correction", "H"],
}


@pytest.mark.parametrize("reason", IMPOSSIBLE)
def test_impossible_options_are_refused_before_a_file_is_read(
    reason: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unread(*_: object) -> None:
        raise AssertionError("a file is read")

    monkeypatch.setattr("memvid.cli.reading.DocumentReader.chunks", unread)
    for module in ("zfec", "av", "cv2"):
        monkeypatch.setitem(sys.modules, module, None)
    before = sorted(tmp_path.iterdir())
    assert run("build", source, "-o", tmp_path / "m.mp4", *IMPOSSIBLE[reason]) == 1
    assert reason in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_checkpoint_goes_on_with_other_options(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(source, tmp_path / "a", use, fail)
    use(Named())
    capsys.readouterr()
    assert run("build", source, "--no-split", "-o", tmp_path / "a" / "m.mp4", "--symbol-version", 20) == 1
    found = re.search(r"also with other options: (.*--symbol-version 20); to do without", capsys.readouterr().err)
    assert found
    words = shlex.split(found[1])
    assert run(*words[words.index("build") :]) == 0
    assert "256 resumed" in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), ("--force",), ("--resume",)])
def test_a_build_that_still_runs_was_not_cut_off(
    more: tuple[str, ...], source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def build_again(batch: int) -> None:
        if batch == 2:
            assert run("build", source, "--no-split", "-o", tmp_path / "m.mp4", *more) == 1
            seen.append(capsys.readouterr().err)

    use(Named(build_again))
    assert run("build", source, "--no-split", "-o", tmp_path / "m.mp4") == 0
    assert len(seen) == 1
    assert "another process is writing it" in seen[0]
    assert "cut off" not in seen[0]
    assert "kept" not in seen[0]


def append_interrupted(source: Path, tmp_path: Path, use: Use) -> Path:
    """A memory to which an append of 300 documents was cut off."""
    video = tmp_path / "m.mp4"
    (tmp_path / "first.txt").write_text("The first text of all.", encoding="utf-8")
    use(Named())
    assert run("build", tmp_path / "first.txt", "-o", video) == 0
    use(Named(interrupt_self))
    assert run("append", video, source, "--no-split") == 130
    use(Named())
    return video


def test_an_append_that_was_cut_off_says_how_to_go_on(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    video = append_interrupted(source, tmp_path, use)
    kept, command = capsys.readouterr().err.strip().splitlines()
    assert re.fullmatch(r"memvid: (256|300) embeddings are kept in .*m\.mp4\.checkpoint; to go on:", kept)
    words = shlex.split(command)
    assert words[words.index("append") :] == ["append", str(video), str(source), "--no-split"]
    assert run(*words[words.index("append") :]) == 0
    assert "m.mp4.checkpoint" not in all_files(tmp_path)


def test_another_append_keeps_what_it_has_no_use_for(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    video = append_interrupted(source, tmp_path, use)
    before = all_files(tmp_path)["m.mp4.checkpoint"]
    (tmp_path / "other.txt").write_text("Something else.", encoding="utf-8")
    assert run("append", video, tmp_path / "other.txt") == 0
    assert re.search(r"kept +\d+ embeddings of other texts", capsys.readouterr().out)
    assert all_files(tmp_path)["m.mp4.checkpoint"] == before


def test_a_reindex_that_was_cut_off_says_how_to_go_on(
    source: Path, tmp_path: Path, use: Use, capsys: pytest.CaptureFixture[str]
) -> None:
    use(Named())
    assert run("build", source, "--no-split", "-o", tmp_path / "m.mp4") == 0
    capsys.readouterr()
    use(Named(fail))
    assert run("reindex", tmp_path / "m.mp4") == 1
    kept, command, _ = capsys.readouterr().err.splitlines()
    assert kept.startswith("memvid: 256 embeddings are kept in ")
    use(Named())
    words = shlex.split(command)
    assert run(*words[words.index("reindex") :]) == 0
    assert "256 resumed" in capsys.readouterr().out
