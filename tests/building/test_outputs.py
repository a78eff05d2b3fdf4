"""Where memories may be written: what is no place for one is refused before anything is read or embedded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidEncoder, maintenance
from memvid.cli import main
from memvid.errors import ConfigError, IndexFormatError, MemvidError, OutputError, VideoFormatError
from memvid.exchange import export
from memvid.video.codecs import available_codecs
from tests.index.sqlite.old_index import age_memory
from tests.memory_support import EMBEDDER, all_files, build, open_memory

NO_VIDEOS = ("w.jsonl", "x.txt", "m.json", "m.pdf", "notes.2026", ".mp4", ".MKV", "m.mkv", "m.webm", "m.avi")
FOLDERS = ("folder", "folder/", "new/", "folder/.", "..")
NO_FILES = ("", "a\0.mp4", "\udcff.mp4", "pipe", "file/m.mp4", "no/where/m.mp4", "m" * 250 + ".mp4")
ODD_NAMES = ("a:b.mp4", "a\\b.mp4", "http:m.mp4", "a\nb\t.mp4", "-o.mp4", "%d 'm'?#.mp4")  # but not on Windows


class NeverAsked:
    """An embedder for what must fail before anything is embedded."""

    name, dim = EMBEDDER.name, EMBEDDER.dim

    def encode(self, texts: Sequence[str]) -> Any:
        raise AssertionError(f"{len(texts)} texts are embedded")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a memory, a folder, a pipe, and a text."""
    folder = tmp_path / "here"
    (folder / "folder").mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    (folder / "file").write_text("a text that is here\n", encoding="utf-8")
    build(folder, ["a chunk"], name="old")
    monkeypatch.chdir(folder)
    return folder


def build_it(output: str) -> None:
    with MemvidEncoder(embedder=NeverAsked()) as encoder:
        encoder.add_chunks(["a"])
        encoder.build_video(output)


def unread(*_: object) -> Any:
    raise AssertionError("the old memory is read")


VERBS: dict[str, tuple[Callable[[str], object], tuple[str, str] | None]] = {
    "build": (build_it, None),
    "export": (lambda output: export("old.mp4", output, codec="png"), ("memvid.exchange.export", "VideoReader")),
    "repair": (lambda output: maintenance.repair("old.mp4", output), ("memvid.maintenance.repair.repair", "salvage")),
    "import": (
        lambda output: maintenance.import_memory("old.mp4", None, output),
        ("memvid.maintenance.legacy.importing", "read_frames"),
    ),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("output", [*NO_VIDEOS, *FOLDERS, *NO_FILES])
def test_what_is_no_place_for_a_video_is_refused_first(
    verb: str, output: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reads = VERBS[verb]
    if reads:
        module, name = reads
        monkeypatch.setattr(import_module(module), name, unread)
    before = (all_files(here), sorted(here.iterdir()))
    with pytest.raises((OutputError, ConfigError)):
        run(output)
    assert (all_files(here), sorted(here.iterdir())) == before


@pytest.mark.parametrize(
    "arguments", [["build", "file"], ["export", "old.mp4", "--codec", "png"], ["repair", "old.mp4"]]
)
@pytest.mark.parametrize("output", [*NO_VIDEOS, *FOLDERS, "file", "no/where/m.mp4"])
def test_so_does_the_command_line(
    arguments: list[str], output: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("memvid.cli.reading.DocumentReader.chunks", unread)
    before = sorted(here.iterdir())
    assert main([*arguments, "-o", output]) in (1, 2)
    assert "rror: " in capsys.readouterr().err
    assert sorted(here.iterdir()) == before


def test_a_command_that_makes_the_folder_can_be_copied(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "file", "-o", "it's  here/not  yet/m.mp4"]) == 1
    command = capsys.readouterr().err.partition("first: ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert (here / "it's  here" / "not  yet").is_dir()


@pytest.mark.parametrize(
    "output", ["m.mp4", "M.MP4", "m.m4v", "m.mov", "memory", "memory.tar.mp4", "ä b.mp4", "new/m.mp4", *ODD_NAMES]
)
def test_what_is_one_works(output: str, here: Path) -> None:
    with MemvidEncoder(embedder=EMBEDDER) as encoder:
        encoder.add_chunks(["a text"])
        result = encoder.build_video(output)
    assert result.video_file == Path(output)
    with open_memory(Path(output)) as memory:
        assert memory.search("text", 1) == ["a text"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_what_opencv_writes_is_a_file_whatever_it_is_called(name: str, here: Path) -> None:
    if "ffv1" not in available_codecs():
        pytest.skip("OpenCV does not write FFV1 here")
    output = name.replace(".mp4", ".mkv")
    assert export("old.mp4", output, codec="ffv1").video_file == Path(output)
    with open_memory(Path(output), Path("old_index.json")) as memory:
        assert memory.search("chunk", 1) == ["a chunk"]


def test_a_path_that_is_too_long_for_sqlite_is_so_for_old_indexes_alone(here: Path) -> None:
    deep = here.joinpath(*["d" * 200] * 3)
    deep.mkdir(parents=True)
    (here / "copy").mkdir()
    for file in here.glob("old*"):
        shutil.copy(file, here / "copy")
    age_memory(here / "copy" / "old.mp4")
    for file in here.glob("old*"):
        file.rename(deep / file.name)
    with open_memory(deep / "old.mp4") as memory:
        assert memory.search("chunk", 1) == ["a chunk"]
    for file in (here / "copy").glob("old*"):
        file.rename(deep / file.name)
    with pytest.raises(IndexFormatError, match="of which SQLite takes 504"):
        open_memory(deep / "old.mp4")
    maintenance.reindex(deep / "old.mp4", embedder=EMBEDDER)
    open_memory(deep / "old.mp4").close()


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("other.mp4", "like other_index.json"), ("other.mkv", "like other_index.json"),
        ("folder", "is a folder"), ("new/", "is a folder"), ("docs.txt", "like docs_index.json"),
        ("file", "to be read"), ("no/where/i.json", "i.json: create the folder 'no/where' first: mkdir -p no/where$"),
    ],
)  # fmt: skip
def test_what_is_no_place_for_an_index(index: str, says: str, here: Path) -> None:
    video = "m.mp4"
    with pytest.raises(OutputError, match=says):
        maintenance.import_memory("file", None, video, output_index=index)
    if index != "file":
        with MemvidEncoder(embedder=NeverAsked()) as encoder:
            encoder.add_chunks(["a"])
            with pytest.raises(OutputError, match=says):
                encoder.build_video(video, index)
    if index != "file":
        with pytest.raises(OutputError, match=says):
            maintenance.reindex("old.mp4", index, embedder=NeverAsked())
    assert not (here / "new").exists()


def test_swapped_arguments_are_said_to_be(here: Path) -> None:
    with MemvidEncoder(embedder=NeverAsked()) as encoder:
        encoder.add_chunks(["a"])
        with pytest.raises(OutputError, match="the video first, then its index"):
            encoder.build_video("m_index.json", "m.mp4")
    for arguments in (("old_index.json", "old.mp4"), ("old_index.json",)):
        with pytest.raises(VideoFormatError, match=r"old_index\.json is an index, .*the video first, then its index"):
            open_memory(*map(Path, arguments))
    with pytest.raises(VideoFormatError, match=r"old_index\.json is an index"):
        maintenance.repair("old_index.json", "new.mp4")
    with pytest.raises(MemvidError, match=r"old\.mp4' is a video: name the video first"):
        open_memory(Path("old.mp4"), Path("old.mp4"))


class TestNewFolders:
    def test_they_go_again_when_nothing_came_of_it(self, here: Path) -> None:
        def fail(texts: list[str]) -> Any:
            assert (here / "new").is_dir()
            raise RuntimeError("no line")

        class Failing(NeverAsked):
            def encode(self, texts: Sequence[str]) -> Any:
                return fail(list(texts))

        with MemvidEncoder(embedder=Failing()) as encoder:
            encoder.add_chunks(["a"])
            with pytest.raises(MemvidError, match="no line"):
                encoder.build_video("new/m.mp4", "other/m.json")
            assert not (here / "new").exists()
            assert not (here / "other").exists()

    def test_a_checkpoint_keeps_its_folder(self, here: Path) -> None:
        calls = 0

        class Failing(NeverAsked):
            def encode(self, texts: Sequence[str]) -> Any:
                nonlocal calls
                calls += 1
                if calls == 2:
                    raise RuntimeError("no line")
                return np.ones((len(texts), self.dim), np.float32)

        with MemvidEncoder(embedder=Failing()) as encoder:
            encoder.add_chunks([f"text {number}" for number in range(300)])
            with pytest.raises(MemvidError, match="no line"):
                encoder.build_video("new/m.mp4", checkpoint="new/m.mp4.checkpoint")
        assert list(all_files(here / "new")) == ["m.mp4.checkpoint"]

    @pytest.mark.parametrize(
        "make",
        [
            lambda: export("old.mp4", "new/m.mp4", codec="png"),
            lambda: maintenance.repair("old.mp4", "new/m.mp4"),
            lambda: maintenance.reindex("old.mp4", "new/m_index.json", embedder=EMBEDDER),
        ],
    )
    def test_every_verb_makes_them(self, here: Path, make: Callable[[], object]) -> None:
        make()
        assert all_files(here / "new")


class TestOwnFiles:
    """Files of the memory that is written are no documents."""

    def test_in_a_folder_they_are_left_out(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["build", ".", "-o", "m.mp4", "--index", "m_index.json", "--force", "--json", "--model", "hashing"]
        (here / "old_index.json").unlink()
        reports = []
        for _ in range(2):
            assert main(arguments) == 0
            reports.append(json.loads(capsys.readouterr().out))
        assert [report["documents"] for report in reports] == [1, 1]
        assert {"path": "m_index.json", "reason": "of this memory"} in reports[1]["skipped"]
        assert main(["append", "m.mp4", ".", "--json", "--model", "hashing"]) == 0
        assert json.loads(capsys.readouterr().out)["documents"] == 1

    @pytest.mark.parametrize("named", ["old.mp4", "old_index.json", "folder/../old_index.json", "./old_index.records"])
    def test_named_they_are_refused(self, here: Path, named: str, capsys: pytest.CaptureFixture[str]) -> None:
        before = all_files(here)
        assert main(["build", "file", named, "-o", "old.mp4", "--force", "--model", "hashing"]) == 1
        assert "a file of the memory that is written" in capsys.readouterr().err
        assert main(["append", "old.mp4", named]) == 1
        assert all_files(here) == before

    def test_documents_of_a_similar_name_are_none_of_them(self, here: Path) -> None:
        (here / "notes.txt").write_text("a note\n", encoding="utf-8")
        assert main(["build", "notes.txt", "-o", "notes", "--index", "notes.json", "--model", "hashing"]) == 0
