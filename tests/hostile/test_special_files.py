"""A pipe, a socket, a device or a link where a file should be: every verb ends at once, and writes nowhere else."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memvid.cli import main
from memvid.embedding import OnnxEmbedder
from memvid.errors import ConfigError, VideoError
from memvid.llm import resolve_counter
from memvid.video.codecs import open_pictures
from tests.memory_support import all_files
from tests.special_files import SPECIAL

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")

MODEL = ["--model", "hashing"]
VERBS = {
    "search": ["search", "memory.mp4", "river"],
    "info": ["info", "memory.mp4"],
    "chat": ["chat", "memory.mp4"],
    "append": ["append", "memory.mp4", "more.txt"],
    "delete": ["delete", "memory.mp4", "--id", "1"],
    "compact": ["compact", "memory.mp4"],
    "erase": ["erase", "memory.mp4", "--id", "1"],
    "verify": ["verify", "memory.mp4"],
    "verify deeply": ["verify", "memory.mp4", "--deep"],
    "repair": ["repair", "memory.mp4", "-o", "out.mp4"],
    "reindex": ["reindex", "memory.mp4"],
    "export": ["export", "memory.mp4", "-o", "out.mp4", "--codec", "png"],
    "import": ["import", "memory.mp4", "memory_index.json", "-o", "out.mp4"],
    "build": ["build", "more.txt", "-o", "memory.mp4", "--index", "memory_index.json", "--force"],
    "build one file": ["build", "more.txt", "-o", "memory.mp4", "--force", *MODEL],
    "resume": ["build", "more.txt", "-o", "memory.mp4", "--index", "memory_index.json", "--force", "--resume"],
}
FILES = ("memory.mp4", "memory_index.json", "memory_index.usearch", "memory_index.records", "memory_index.deleted.1")
BESIDE = (
    "memory_index.json.commit", "memory_index.json.commit.new", "memory_index.json.lock", "memory.mp4.lock",
    "memory.mp4.new", "memory_index.json.new", "memory_index.records.new", "memory.mp4.checkpoint",
    "memory_index.json.checkpoint", "out.mp4", "out.mp4.new", "out_index.json",
)  # fmt: skip
NEEDS = {
    "import": ("memory.mp4", "memory_index.json", "out.mp4"),
    "build": ("memory.mp4", "memory_index.json", "memory_index.usearch", "memory_index.records", "memory.mp4.new"),
    "build one file": ("memory.mp4", "memory.mp4.new"),
    "resume": ("memory.mp4", "memory_index.json", "memory.mp4.checkpoint"),
    "repair": ("memory.mp4", "out.mp4"),
    "export": ("memory.mp4", "out.mp4", "out.mp4.new"),
    "reindex": ("memory.mp4", "memory_index.json", "memory_index.records.new", "memory_index.json.checkpoint"),
    "append": (*FILES, "memory_index.json.commit", "memory_index.json.new", "memory.mp4.checkpoint"),
}
"""What a verb cannot do without, or must not replace: of all others the files of the memory."""


def make_memory(folder: Path) -> Path:
    """A small memory with its index beside it, so that each file may be a special one; its video."""
    (folder / "some.txt").write_text("A river.\n\nA tall mountain.\n\nAnother lantern.\n")
    video, index = folder / "memory.mp4", folder / "memory_index.json"
    output = ["-o", str(video), "--index", str(index)]
    assert main(["build", str(folder / "some.txt"), *output, "--chunk-size", "16", *MODEL]) == 0
    return video


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    """A memory with a deletion."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "more.txt").write_text("A violin.\n")
    assert main(["delete", str(make_memory(folder)), "--id", "0"]) == 0
    assert {path.name for path in folder.iterdir()} == {*FILES, "some.txt", "more.txt"}
    return folder


def run(folder: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    model = MODEL if verb in ("search", "chat", "build", "import") else []
    return main([*VERBS[verb], *model])


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_refuses_it(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    verb: str, kind: str,
) -> None:  # fmt: skip
    places = (*FILES, *BESIDE) if kind == "pipe" else ("memory.mp4", "memory_index.json", "memory.mp4.checkpoint")
    for number, place in enumerate(places):
        folder = Path(shutil.copytree(sound, tmp_path / str(number)))
        special = folder / place
        special.unlink(missing_ok=True)
        SPECIAL[kind](special)
        code = run(folder, verb, monkeypatch)
        said = capsys.readouterr().err
        where = f"{verb}, {kind} at {place}: {said}"
        assert "Traceback" not in said, where
        assert code == 0 or os.path.lexists(special), where
        assert code == 0 or said.startswith("memvid: error: ") or verb.startswith("verify"), where
        if place in NEEDS.get(verb, FILES):
            assert code == 1, where
        shutil.rmtree(folder)


@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("info", "chat", "verify deeply")])
def test_no_verb_writes_where_a_link_leads(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    verb: str, dangling: bool,
) -> None:  # fmt: skip
    for number, place in enumerate((*FILES, *BESIDE)):
        folder = Path(shutil.copytree(sound, tmp_path / str(number) / "memory"))
        elsewhere = folder.parent / "elsewhere"
        if not dangling:
            if (folder / place).exists():
                (folder / place).rename(elsewhere)
            else:
                elsewhere.write_bytes(b"")  # what is empty could be taken for a file of memvid's own
        (folder / place).unlink(missing_ok=True)
        (folder / place).symlink_to(elsewhere)
        before = all_files(folder.parent)
        code = run(folder, verb, monkeypatch)
        said = capsys.readouterr().err
        where = f"{verb}, a link at {place}: {code}, {said}"
        assert "Traceback" not in said, where
        assert all_files(folder.parent) == before, where
        shutil.rmtree(folder.parent)


def test_a_document_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("river")
    for name in SPECIAL:
        for suffix in ("txt", "jsonl", "pdf", "epub", "csv"):
            path = tmp_path / "docs" / f"{name}.{suffix}"
            SPECIAL[name](path)
            assert main(["build", str(path), "-o", "memory.mp4", *MODEL]) == 1
            assert f"it is a {name}, not a file; '-' reads standard input" in capsys.readouterr().err
    assert main(["build", "docs", "-o", "memory.mp4", *MODEL]) == 0
    assert "15 files: 15 not a file" in capsys.readouterr().out


@pytest.mark.parametrize("kind", SPECIAL)
def test_other_files_that_are_none(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x"
    SPECIAL[kind](path)
    video = make_memory(tmp_path)
    assert main(["chat", str(video), "--load", str(path), *MODEL]) == 1
    assert f"it is a {kind}, not a file" in capsys.readouterr().err
    with pytest.raises(VideoError, match=f"it is a {kind}, not a file"):
        open_pictures(str(path))
    with pytest.raises(ConfigError, match=f"it is a {kind}, not a file"):
        resolve_counter(path)


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "config.json", "modules.json", "weights.bin"])
def test_a_model_folder_with_one(tmp_path: Path, kind: str, name: str) -> None:
    for file in ("model.onnx", "tokenizer.json"):
        (tmp_path / file).write_bytes(b"{}")
    (tmp_path / name).unlink(missing_ok=True)
    SPECIAL[kind](tmp_path / name)
    with pytest.raises(ConfigError):
        OnnxEmbedder(tmp_path)


@pytest.mark.parametrize("change", [lambda path: None, os.mkfifo])
def test_a_cache_with_one_is_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("MEMVID_CACHE_DIR", str(tmp_path / "cache"))
    video = make_memory(tmp_path)
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.unlink()
            change(path)
    assert main(["search", str(video), "one", *MODEL]) == 0
