from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

import memvid
from memvid.cli import main
from memvid.cli.app import app
from memvid.cli.conditions import parse_where
from memvid.cli.output import (
    counted,
    describe_metadata,
    format_bytes,
    format_left,
    format_seconds,
    one_line,
    passage,
    rows,
)
from memvid.embedding import HashingEmbedder
from memvid.errors import ModelMismatchError, OutputError
from memvid.printable import printable
from tests.repository import ROOT

MODEL = ("--model", "hashing")
DOCS = ROOT / "docs" / "cli.md"
HEAVY = ("cv2", "numpy", "onnxruntime", "openai", "segno", "sqlite3", "tokenizers", "tqdm", "usearch", "zstandard")
NOTES = {
    "login.txt": "The login page failed on March 2. Users saw a blank screen. It was fixed on March 3.",
    "backup.md": "# Backups\n\nBackups run at night. They are kept for thirty days.",
    "team.jsonl": '{"text": "Ada leads the storage team.", "year": 1999}\n{"text": "Bob leads support.", "year": 2001}',
}


class Foreign(HashingEmbedder):
    """Stands for a model that does not come with memvid."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.name = "foreign"


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory of three small files."""
    folder = tmp_path_factory.mktemp("cli")
    for name, text in NOTES.items():
        (folder / "notes").mkdir(exist_ok=True)
        (folder / "notes" / name).write_text(text, encoding="utf-8")
    video = folder / "memory.mp4"
    assert main(["build", str(folder / "notes"), "-o", str(video), *MODEL]) == 0
    return video


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert run(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of an error."""
    assert run(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"memvid: error: .+\n", err)
    return err


def run_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(memvid.__file__).parents[1])}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, text=True, check=False, **{"capture_output": True, **options})


class TestHelp:
    @pytest.mark.parametrize("arguments", [[], *([verb] for verb in app.commands)])
    def test_every_verb_has_help_that_fits_80_columns(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        for flag in ("-h", "--help"):
            assert run(*arguments, flag) == 0
            out = capsys.readouterr().out
            assert out.startswith("Usage: memvid")
            assert max(map(len, out.splitlines())) <= 80

    def test_every_option_has_help(self) -> None:
        for verb in app.commands.values():
            assert verb.help
            for parameter in verb.params:
                assert not isinstance(parameter, click.Option) or parameter.help, (verb.name, parameter.name)

    def test_the_list_of_verbs_cuts_no_sentence(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        assert run("--help") == 0
        assert "...\n" not in capsys.readouterr().out.split("Commands:")[1]

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("--version") == 0
        assert capsys.readouterr().out == f"memvid {memvid.__version__}\n"

    def test_help_imports_nothing_heavy(self) -> None:
        code = (
            "import sys; from memvid.cli import main; main(['build', '--help']); "
            f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
        )
        assert run_process("-c", code).stderr == "[]\n"

    def test_python_m_memvid(self) -> None:
        done = run_process("-m", "memvid", "--version")
        assert (done.returncode, done.stdout) == (0, f"memvid {memvid.__version__}\n")


class TestDocs:
    def sections(self) -> dict[str, str]:
        found = re.findall(r"^## `memvid (\w+)[^\n]*\n(.*?)(?=^## |\Z)", DOCS.read_text(encoding="utf-8"), re.M | re.S)
        return dict(found)

    def test_every_verb_is_documented_and_no_other(self) -> None:
        assert list(self.sections()) == list(app.commands)

    @pytest.mark.parametrize("verb", app.commands)
    def test_every_option_of_a_verb_is_documented_and_no_other(self, verb: str) -> None:
        # The first cell of a row of the options table: `-o`, `--output FILE`
        cells = re.findall(r"^\| (`-.*?`) \|", self.sections()[verb].replace("\\|", "/"), re.M)
        documented = sorted(flag for cell in cells for flag in re.findall(r"`(--?[\w-]+)", cell))
        assert documented == sorted(
            flag for p in app.commands[verb].params if isinstance(p, click.Option) for flag in p.opts
        )


@pytest.mark.parametrize("name", ["two words", "it's", "$(touch x)", "a\x1b]0;b\x07\u202ec\r"])
def test_commands_can_be_copied_and_steer_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    note, video, other = (tmp_path / f"{name}{end}" for end in (".txt", ".mp4", " other.mp4"))
    note.write_text("A river.")
    assert run("build", note, "-o", video, *MODEL) == 0
    assert run("export", video, "-o", other, "--codec", "png") == 0
    out = capsys.readouterr().out
    assert out == printable(out)
    if name.isprintable():
        commands = [shlex.split(line.removeprefix("Ask it:")) for line in out.splitlines() if "Ask it" in line]
        assert commands == [
            ["memvid", "search", str(video), "your question"],
            ["memvid", "search", str(other), "your question", "--index", str(video)],
        ]


class TestTag:
    def test_what_is_tagged_is_found_by_it(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.txt").write_text("One thing is stored here.", encoding="utf-8")
        (tmp_path / "b.txt").write_text("Another one.", encoding="utf-8")
        memory = tmp_path / "m.mp4"
        assert run("build", tmp_path / "a.txt", tmp_path / "b.txt", "-o", memory, "--date", "2026-11-01", *MODEL) == 0
        tagging = ("tag", memory, "--where", "source=a.txt", "--set", "source=c.txt", "--set", "n=7")
        assert run(*tagging, "--message", "moved", "--date", "now") == 0
        assert run("tag", memory, "--id", "1", "--unset", "source", "--json") == 0
        capsys.readouterr()
        assert run("scan", memory) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["metadata"] for line in lines] == [{"source": "c.txt", "n": 7}, {}]
        assert run("scan", memory, "--as-of", "1") == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["metadata"] for line in lines] == [{"source": "a.txt"}, {"source": "b.txt"}]
        assert run("log", memory, "--json") == 0
        commits = json.loads(capsys.readouterr().out)["commits"]
        assert [(commit["number"], commit["changed"], commit["message"]) for commit in commits] == [
            *((1, 0, None), (2, 1, "moved"), (3, 1, None))
        ]
        assert commits[0]["date"] == "2026-11-01"
        assert datetime.fromisoformat(commits[1]["date"]).tzinfo is not None
        assert run("log", memory) == 0
        assert "moved" in capsys.readouterr().out

    @pytest.mark.parametrize("value", ["NaN", "-Infinity", "[NaN]", "nan", "1e", "{", ""])
    def test_what_is_no_json_is_text(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str) -> None:
        (tmp_path / "a.txt").write_text("One thing is stored here.", encoding="utf-8")
        memory = tmp_path / "m.mp4"
        assert run("build", tmp_path / "a.txt", "-o", memory, *MODEL) == 0
        assert run("tag", memory, "--id", "0", "--set", f"grade={value}") == 0
        capsys.readouterr()
        assert run("search", memory, "thing", "--where", f"grade={value}", "--json") == 0
        (found,) = json.loads(capsys.readouterr().out)["results"]
        assert found["metadata"]["grade"] == value
        assert run("search", memory, "thing", "--where", "grade=1e999", "--json") == 0
        assert json.loads(capsys.readouterr().out)["results"] == []

    def test_what_would_change_nothing_is_an_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.txt").write_text("One thing is stored here.", encoding="utf-8")
        memory = tmp_path / "m.mp4"
        assert run("build", tmp_path / "a.txt", "-o", memory, *MODEL) == 0
        for arguments in (["--id", "0"], ["--set", "a=1"], ["--id", "0", "--set", "a"]):
            assert run("tag", memory, *arguments) == 2
        for arguments in (["--id", "9"], ["--where", "source=b.txt"], ["--id", "0", "--where", "nothing=1"]):
            assert run("tag", memory, *arguments, "--set", "a=1") == 1
        assert run("tag", memory, "--id", "0", "--set", "source=a.txt") == 1
        assert "already" in capsys.readouterr().err
        assert run("scan", memory, "--as-of", "2") == 1


class TestBuild:
    def test_an_empty_memory_has_to_be_asked_for(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.txt").write_text("  ", encoding="utf-8")
        memory = tmp_path / "m.mp4"
        assert run("build", tmp_path, "-o", memory, *MODEL) == 1
        assert "there is nothing to store" in capsys.readouterr().err
        assert run("build", "-o", memory, *MODEL) == run("build", tmp_path, "--empty", "-o", memory, *MODEL) == 2
        assert run("build", "--empty", "-o", memory, *MODEL) == 0
        (tmp_path / "a.txt").write_text("One thing is stored here.", encoding="utf-8")
        assert run("append", memory, tmp_path / "a.txt") == 0
        capsys.readouterr()
        assert run("search", memory, "thing") == 0
        assert "One thing is stored here." in capsys.readouterr().out

    def test_says_what_it_made(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.txt").write_text("One thing is stored here.", encoding="utf-8")
        (tmp_path / ".hidden").write_text("no", encoding="utf-8")
        assert run("build", tmp_path, "-o", tmp_path / "m.mp4", *MODEL) == 0
        out, err = capsys.readouterr()
        assert "1 chunk from 1 document" in out
        assert "1 file: 1 hidden" in out
        assert err == ""

    def test_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        notes = tmp_path / "notes"
        notes.mkdir()
        (notes / "a.txt").write_text("Größe zählt.", encoding="utf-8")
        (notes / "b.bin").write_bytes(b"\0\1")
        report = run_json(capsys, "build", notes, "-o", tmp_path / "m.mp4", *MODEL)
        assert report["chunks"] == report["documents"] == report["files"] == 1
        assert report["text_bytes"] == len("Größe zählt.".encode())
        assert report["skipped"] == [{"path": str(notes / "b.bin"), "reason": "binary"}]
        assert report["video_bytes"] == (tmp_path / "m.mp4").stat().st_size
        assert Path(report["index_file"]) == tmp_path / "m.mp4"
        assert report["seconds"]["total"] > 0

    def test_refuses_to_replace_unless_forced(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = tmp_path / "a.txt"
        source.write_text("text", encoding="utf-8")
        video = tmp_path / "m.mp4"
        assert run("build", source, "-o", video, *MODEL) == 0
        capsys.readouterr()
        before = video.read_bytes()
        source.write_text("another text", encoding="utf-8")
        assert "--force" in fails(capsys, "build", source, "-o", video, *MODEL)
        assert video.read_bytes() == before
        assert run("build", source, "-o", video, "--force", *MODEL) == 0
        assert video.read_bytes() != before

    @pytest.mark.parametrize(("name", "kind"), [("m.mp4", "video"), ("m_index.json", "index")])
    def test_what_is_no_memory_is_not_replaced(
        self, name: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "a.txt").write_text("text", encoding="utf-8")
        for precious in (b"precious", b'{"precious": 1}', b"%PDF-1.4 precious"):
            (tmp_path / name).write_bytes(precious)
            output = ("-o", tmp_path / "m.mp4", "--index", tmp_path / "m_index.json")
            for more in ((), ("--force",)):
                error = fails(capsys, "build", tmp_path / "a.txt", *output, *more, *MODEL)
                assert f"is no {kind}" in error
                assert "choose another name" in error
            with memvid.MemvidEncoder(embedder=HashingEmbedder()) as encoder:
                encoder.add_chunks(["a"])
                with pytest.raises(OutputError, match=f"is no {kind}"):
                    encoder.build_video(tmp_path / "m.mp4", tmp_path / "m_index.json")
            assert (tmp_path / name).read_bytes() == precious
        (tmp_path / name).write_bytes(b"")  # which holds nothing
        assert run("build", tmp_path / "a.txt", "-o", tmp_path / "m.mp4", "--force", *MODEL) == 0

    def test_info_says_what_it_is_called(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.txt").write_text("some text")
        video = tmp_path / "memory.mp4"
        assert (
            run("build", tmp_path / "a.txt", "-o", video, "--title", "Field notes", "--date", "2026-11-27", *MODEL) == 0
        )
        capsys.readouterr()
        assert run("info", video, *MODEL) == 0
        out = capsys.readouterr().out
        assert re.search(r"title +Field notes\n +date +2026-11-27\n", out)
        report = run_json(capsys, "info", video, *MODEL)
        assert (report["title"], report["date"]) == ("Field notes", "2026-11-27")
        assert out.count(" a second\n") == 1  # how long it plays, players know: the cover is there for a second

    def test_info_says_what_its_text_size_is_of(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        video = tmp_path / "m.mp4"
        (tmp_path / "a.txt").write_text("One text.", encoding="utf-8")
        (tmp_path / "b.txt").write_text("And another.", encoding="utf-8")
        assert run("build", tmp_path / "a.txt", "-o", video, *MODEL) == 0
        assert run("info", video) == 0
        assert "of the text" in capsys.readouterr().out
        assert run("append", video, tmp_path / "b.txt") == 0
        assert run("delete", video, "--id", 0) == 0
        capsys.readouterr()
        assert run("info", video) == 0
        shown = capsys.readouterr().out
        assert re.search(r"chunks +1, and 1 that was deleted", shown)
        assert "9 bytes in 1 chunk when it was built" in shown
        assert "of the text" not in shown

    def test_options_reach_the_encoder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = tmp_path / "a.txt"
        source.write_text("A sentence of words. " * 40, encoding="utf-8")
        video, index = tmp_path / "m.mp4", tmp_path / "elsewhere.json"
        options = ("--symbol-version", 20, "--error-correction", "M", "--compression", "none", "--chunks-per-frame", 1)
        run_json(capsys, "build", source, "-o", video, "--index", index, "--chunk-size", 100, *options, *MODEL)
        report = run_json(capsys, "info", video, "--index", index, *MODEL)
        assert (report["symbol_version"], report["error_correction"], report["compression"]) == (20, "M", "none")
        assert report["chunks"] == 10

    def test_no_split_keeps_documents_whole(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        text = "  Not split. At all.\n\n" * 60
        (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
        run_json(capsys, "build", tmp_path / "a.jsonl", "--no-split", "-o", tmp_path / "m.mp4", *MODEL)
        found = run_json(capsys, "search", tmp_path / "m.mp4", "split", *MODEL)
        assert [result["text"] for result in found["results"]] == [text]

    def test_standard_input(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (tmp_path / "piped").open("w+b") as piped:
            piped.write(b"Text from a pipe.")
            piped.seek(0)
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=piped))
            assert run_json(capsys, "build", "-", "-o", tmp_path / "m.mp4", *MODEL)["chunks"] == 1

    def test_failures(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        empty, old = tmp_path / "empty.txt", tmp_path / "old.txt"
        empty.write_bytes(b"")
        old.write_bytes(b"caf\xe9")
        output = ("-o", tmp_path / "m.mp4", *MODEL)
        assert "gone.txt: there is no file" in fails(capsys, "build", tmp_path / "gone.txt", *output)
        assert "there is nothing to store: 1 empty" in fails(capsys, "build", empty, *output)
        assert "old.txt: byte 3" in fails(capsys, "build", old, *output)
        assert "chunk_size=3" in fails(capsys, "build", old, "--chunk-size", 3, *output)
        assert "klingon" in fails(capsys, "build", old, "--encoding", "klingon", *output)
        old.write_bytes(b"cafe")
        assert "nowhere" in fails(capsys, "build", old, "-o", tmp_path / "nowhere" / "here" / "m.mp4", *MODEL)
        assert sorted(tmp_path.iterdir()) == [empty, old]


class TestSearch:
    def test_finds_and_tells(self, memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("search", memory, "when did the login page fail", "-k", 2, *MODEL) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.index("The login page failed on March 2.") > out.index("source: notes/login.txt")
        assert re.search(r" 1 relevance 0\.\d{3}  score 0\.\d{3}  words \d+\.\d\d  frame \d+  chunk \d+", out)
        assert re.search(r"^2 of 4 chunks: open .+, embed .+, search .+, read .+$", out, re.M)
        assert max(map(len, out.splitlines())) <= 80

    def test_json(self, memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        found = run_json(capsys, "search", memory, "who leads storage", "-k", 1, *MODEL)
        assert found["question"] == "who leads storage"
        (result,) = found["results"]
        assert result["text"] == "Ada leads the storage team."
        assert result["metadata"] == {"source": "notes/team.jsonl", "year": 1999}
        assert set(found["seconds"]) == {"open", "embed", "search", "read"}

    def test_modes(self, capsys: pytest.CaptureFixture[str], memory: Path) -> None:
        for mode in ("hybrid", "semantic", "keyword"):
            found = run_json(capsys, "search", memory, "who leads storage", "--mode", mode, "--explain")["results"]
            assert "Ada" in found[0]["text"]
            assert found[0]["relevance"] >= found[-1]["relevance"]
            assert (found[0]["keyword_score"] > 0) == (mode != "semantic")
            assert (found[0]["score"] == 0) == (mode == "keyword")
            assert "relevance" in found[0]["explanation"]
        assert run("search", memory, "who leads storage", "-k", 1, "--explain", *MODEL) == 0
        shown = capsys.readouterr().out
        assert "relevance" in shown.splitlines()[0]
        assert "1st by meaning" in " ".join(shown.split())

    def test_words_need_no_model(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        with memvid.MemvidEncoder(embedder=Foreign(16)) as encoder:
            encoder.add_chunks(["one thing", "another thing", "one thing"])
            encoder.build_video(tmp_path / "m.mp4")
        assert "foreign" in fails(capsys, "search", tmp_path / "m.mp4", "thing")
        first, second = run_json(capsys, "search", tmp_path / "m.mp4", "thing", "--mode", "keyword")["results"]
        assert (first["chunk_id"], first["duplicates"], second["chunk_id"]) == (0, [2], 1)
        assert run("search", tmp_path / "m.mp4", "thing", "--mode", "keyword") == 0
        assert "the same text: chunk 2" in capsys.readouterr().out
        apart = run_json(capsys, "search", tmp_path / "m.mp4", "thing", "--mode", "keyword", "--no-distinct")
        assert len(apart["results"]) == 3

    def test_other_options(self, capsys: pytest.CaptureFixture[str], memory: Path) -> None:
        found = run_json(capsys, "search", memory, "login", "--min-score", "0.2", "--diversity", "0.5", *MODEL)
        assert all(result["score"] >= 0.2 for result in found["results"])
        assert "rank" in found["seconds"]
        assert run_json(capsys, "search", memory, "login", "--rerank", "pieces", *MODEL)["results"]
        assert "pieces" in fails(capsys, "search", memory, "login", "--rerank", "peices", *MODEL)
        assert run_json(capsys, "search", memory, '"blank screen"', *MODEL)["results"][0]["metadata"]["source"]
        assert run_json(capsys, "search", memory, '"screen blank"', *MODEL)["results"] == []
        assert run("search", memory, "login", "--mode", "hybird") == 2
        capsys.readouterr()

    def test_eval(self, capsys: pytest.CaptureFixture[str], memory: Path, tmp_path: Path) -> None:
        questions = tmp_path / "questions.jsonl"
        lines = [
            {"question": "who leads storage", "text": "ada"},
            {"question": "night backups", "text": "nothing such"},
        ]
        questions.write_text("\n".join(map(json.dumps, lines)))
        measured = run_json(capsys, "eval", questions, memory, *MODEL)["modes"]
        assert set(measured) == {"semantic", "keyword", "hybrid"}
        assert measured["hybrid"]["recall@1"] == measured["hybrid"]["mrr@10"] == 0.5
        assert measured["hybrid"]["missed"] == ["night backups"]
        assert run("eval", questions, memory, "--mode", "hybrid", "--rerank", "pieces", "--misses", *MODEL) == 0
        shown = capsys.readouterr().out
        assert "2 questions to" in shown
        assert "  night backups" in shown
        questions.write_text('{"question": "x"}')
        assert "questions.jsonl, line 1" in fails(capsys, "eval", questions, memory, *MODEL)

    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            (["year=2001"], {"Bob leads support."}),
            (["year=2001", "year=1999"], {"Bob leads support.", "Ada leads the storage team."}),
            (["source=notes/team.jsonl", "year=1999"], {"Ada leads the storage team."}),
            (["source=notes/team.jsonl", "year=7"], set()),
            (["year>1999"], {"Bob leads support."}),
            (["year>=1999", "year<=2000"], {"Ada leads the storage team."}),
            (["year<2000"], {"Ada leads the storage team."}),
            (["source~=team", "year!=1999"], {"Bob leads support."}),
            (["source^=notes/team", "year=2001", "year=1999", "year!=2001"], {"Ada leads the storage team."}),
            (['{"year": {"$in": [2001]}}'], {"Bob leads support."}),
            (["source^=otes"], set()),
        ],
    )
    def test_where(
        self, memory: Path, capsys: pytest.CaptureFixture[str], conditions: list[str], expected: set[str]
    ) -> None:
        where = [argument for condition in conditions for argument in ("--where", condition)]
        found = run_json(capsys, "search", memory, "who leads", *where, *MODEL)
        assert {result["text"] for result in found["results"]} == expected

    def test_a_field_that_no_chunk_has_is_named(self, memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("search", memory, "x", "--where", "yaer=1", *MODEL) == 0
        assert "no chunk has the metadata field 'yaer': did you mean 'year'?" in capsys.readouterr().out
        found = run_json(capsys, "search", memory, "x", "--where", "yaer=1", *MODEL)
        assert (found["results"], found["near_misses"]) == ([], {"yaer": ["year"]})

    def test_scan_takes_conditions(self, memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("scan", memory, "--where", "year>2000") == 0
        lines = capsys.readouterr().out.splitlines()
        assert [json.loads(line)["text"] for line in lines] == ["Bob leads support."]

    def test_failures(self, memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "gone.mp4" in fails(capsys, "search", tmp_path / "gone.mp4", "x", *MODEL)
        assert "blank" in fails(capsys, "search", memory, " ", *MODEL)
        (tmp_path / "foreign.mp4").write_bytes(b"not a video" * 100)
        fails(capsys, "search", tmp_path / "foreign.mp4", "x", *MODEL)

    @pytest.mark.parametrize(
        "arguments",
        [
            ("x", "-k", 0),
            ("x", "--where", "year"),
            ("x", "--where", "=1"),
            ("x", "--where", '{"year": {"$like": 1}}'),
            ("x", "--where", '{"year"'),
            (),
            ("x", "y"),
            ("x", "--nonsense"),
        ],
    )
    def test_usage(self, memory: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]) -> None:
        assert run("search", memory, *arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("Usage: memvid search")

    def test_a_reader_that_goes_away_is_no_error(self, memory: Path) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = run_process(
                *("-m", "memvid", "search", memory, "login", *MODEL),
                capture_output=False,
                stdout=writing,
                stderr=subprocess.PIPE,
            )
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (141, "")


class TestInfo:
    def test_says_what_is_in_it(self, memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("info", memory, *MODEL) == 0
        out = capsys.readouterr().out
        for expected in ("chunks     4", "version 40, 177 x 177 modules", "hashing-512", "png"):
            assert expected in out

    def test_json(self, memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        report = run_json(capsys, "info", memory, *MODEL)
        assert report["chunks"] == 4
        assert report["video_bytes"] == memory.stat().st_size
        assert report["model"]["name"] == "hashing-512"


class TestEnding:
    @pytest.mark.parametrize(
        ("error", "code", "line"),
        [
            (KeyboardInterrupt(), 130, ""),
            (OSError(28, "No space left on device"), 1, "memvid: error: [Errno 28] No space left on device"),
            (memvid.MemvidError("two\nlines\x1b[31m"), 1, "memvid: error: two lines\N{REPLACEMENT CHARACTER}[31m"),
            (RuntimeError("oops"), 1, "memvid: error: unexpected RuntimeError: oops (MEMVID_DEBUG=1 shows where"),
        ],
    )
    def test_codes_and_lines(
        self,
        error: BaseException,
        code: int,
        line: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setitem(app.commands, "fail", click.Command("fail", callback=fail))
        assert run("fail") == code
        assert capsys.readouterr().err.strip().startswith(line)

    def test_debug_shows_where(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("MEMVID_DEBUG", "1")
        with pytest.raises(memvid.MemvidError):
            run("info", tmp_path / "gone.mp4", *MODEL)

    @pytest.mark.parametrize("arguments", [["nonsense"], ["build"], ["--nonsense"]])
    def test_wrong_usage(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run(*arguments) == 2
        assert capsys.readouterr().err.startswith("Usage: memvid")


class TestOutput:
    def test_control_characters_cannot_steer_the_terminal(self) -> None:
        text = "a\x1b[2Jb\u202ec\r\nd\u2028e\tf"
        shown = passage(text, indent="")
        assert shown == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c\nd\ne   f"
        assert "\x1b" not in one_line(text) + describe_metadata({"k\x1b": "\x1b"}) + rows([("a", "\x1b")])

    def test_a_preview_is_short(self) -> None:
        assert passage("word " * 200, lines=2).count("\n") == 1
        assert passage("word " * 200, lines=2).endswith(" ...")
        assert passage("few words", lines=2) == "   few words"

    @pytest.mark.parametrize(
        ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.23 kB"), (45_600_000, "45.6 MB")]
    )
    def test_bytes(self, count: int, text: str) -> None:
        assert format_bytes(count) == text

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0.00234, "2.34 ms"), (1.26, "1.3 s"), (125, "2 min 5 s"), (7384, "2 h 3 min")]
    )
    def test_seconds(self, seconds: float, text: str) -> None:
        assert format_seconds(seconds) == text

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5280, "88 min"), (25_900, "7 h 12 min")]
    )
    def test_time_left(self, seconds: float, text: str) -> None:
        assert format_left(seconds) == text

    def test_conditions(self) -> None:
        assert parse_where(()) is None
        assert parse_where(("a=1", "a=x=y", "b=true", 'c="1"', "d=[1]")) == {
            "a": ["1", 1, "x=y"],
            "b": ["true", True],
            "c": ['"1"', "1"],
            "d": ["[1]"],
        }
        assert parse_where(("a=NaN",)) == {"a": ["NaN"]}
        assert parse_where(("a=1=>2", "a=", "a!=x", "b.c>=3", "b.c<2026-01-01")) == {
            "$and": [
                {"a": ["1=>2", ""]},
                {"a": {"$nin": ["x"]}},
                {"b.c": {"$or": [{"$gte": "3"}, {"$gte": 3}]}},
                {"b.c": {"$lt": "2026-01-01"}},
            ]
        }
        assert parse_where(("a~=1", '{"b": {"$exists": true}}')) == {
            "$and": [{"a": {"$contains": "1"}}, {"b": {"$exists": True}}]
        }


class TestModelOfTheIndex:
    """What was built with a model that comes with memvid needs no --model."""

    def test_search_info_and_chat_take_it(
        self, memory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = run_json(capsys, "search", memory, "when did login fail?")
        assert "login page failed" in found["results"][0]["text"]
        assert run_json(capsys, "info", memory)["model"]["name"] == "hashing-512"
        monkeypatch.setattr(sys, "stdin", io.StringIO("when did login fail?\n"))
        assert run("chat", memory, "--llm-provider", "none") == 0
        assert "login page failed" in capsys.readouterr().out

    def test_the_commands_that_build_suggests_work(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.txt").write_text("Backups run at night.")
        assert run("build", tmp_path / "a.txt", "-o", tmp_path / "m.mp4", *MODEL) == 0
        command = capsys.readouterr().out.split("Ask it:")[1]
        assert run(*shlex.split(command)[1:]) == 0

    def test_another_model_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with memvid.MemvidEncoder(embedder=Foreign(dim=32)) as encoder:
            encoder.add_chunks(["Backups run at night."])
            encoder.build_video(tmp_path / "m.mp4")
        assert run_json(capsys, "info", tmp_path / "m.mp4")["model"]["name"] == "foreign"
        assert "--model FOLDER" in fails(capsys, "search", tmp_path / "m.mp4", "backups")

    def test_the_wrong_one_is_refused(self, memory: Path) -> None:
        with pytest.raises(ModelMismatchError, match="--model hashing"):
            memvid.MemvidRetriever(memory)


def test_an_export_suggests_no_index_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("Backups run at night.")
    assert run("build", tmp_path / "a.txt", "-o", tmp_path / "m.mp4", *MODEL) == 0
    assert run("export", tmp_path / "m.mp4", "-o", tmp_path / "one.mp4", "--codec", "png") == 0
    assert f"--index {tmp_path / 'm.mp4'}" in capsys.readouterr().out
    assert run("export", tmp_path / "one.mp4", "-o", tmp_path / "two.mp4", "--codec", "png") == 0
    out = capsys.readouterr().out
    assert "one_index.json is not there" in out
    command = shlex.split(out.strip().splitlines()[-1])
    assert run(*command[1:]) == 0
    assert run("search", tmp_path / "two.mp4", "backups") == 0


def test_a_key_to_replace_by_that_no_chunk_has_names_the_one_meant(
    memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("One text.")
    before = memory.read_bytes()
    assert "did you mean 'source'?" in fails(capsys, "append", memory, tmp_path / "a.txt", "--replace", "sorce")
    assert memory.read_bytes() == before


class TestOwnWords:
    """Errors name what somebody at a command line can give."""

    def test_options(self, memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "a.txt").write_text("One text.")
        build = ("build", tmp_path / "a.txt", "-o", tmp_path / "m.mp4", *MODEL)
        assert "expected none with codec='png'" in fails(capsys, *build, "--crf", 20)
        assert "expected a date like 2026-11-27, or now" in fails(capsys, *build, "--date", "yesterday")
        (tmp_path / "old.json").write_text("{")
        assert "load what /save wrote" in fails(capsys, "chat", memory, "--load", tmp_path / "old.json")
        error = fails(capsys, "chat", memory, "--llm-model", "unknown-model")
        assert "--llm-model 'unknown-model' alone" in error
        assert "llm_" not in error

    def test_a_question_that_begins_with_a_dash(self, memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("search", memory, "-5 degrees") == 2
        assert "goes behind '--'" in capsys.readouterr().err
        assert run("search", memory, "--", "-5 degrees") == 0
        assert run("search", memory, "question", "--nonsense") == 2
        assert "goes behind '--'" not in capsys.readouterr().err

    def test_counts(self) -> None:
        assert [counted(count, "chunk") for count in (0, 1, 1204)] == ["0 chunks", "1 chunk", "1,204 chunks"]
