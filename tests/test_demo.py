from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest

from memvid import MemvidRetriever
from memvid.cli import main
from memvid.demo import QUESTIONS, VIDEO_NAME, DemoReport, load_topics, run_demo
from memvid.embedding import HashingEmbedder
from memvid.errors import DependencyError, OutputError


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    return run_demo(tmp_path_factory.mktemp("demo") / "made" / "here", embedder=HashingEmbedder())


def test_sizes_are_those_of_the_files(report: DemoReport) -> None:
    folder = report.build.video_file.parent
    assert report.build.video_bytes == (folder / VIDEO_NAME).stat().st_size
    assert [path.name for path in folder.iterdir()] == [VIDEO_NAME]
    assert set(report.index_parts) == {"vectors", "records"}
    assert 0 < report.build.index_bytes - sum(report.index_parts.values()) < 2000  # the manifest
    assert report.build.index_bytes < report.build.video_bytes


def test_all_of_the_reference_is_in_the_video_once(report: DemoReport) -> None:
    with MemvidRetriever(report.build.video_file, embedder=HashingEmbedder()) as retriever:
        chunks = retriever.get_chunks_by_id(range(len(retriever)))
    texts = [chunk.text for chunk in chunks]
    assert len(set(texts)) == len(texts) == report.build.chunks
    assert sum(len(text.encode()) for text in texts) == report.build.text_bytes
    assert len(gzip.compress("\n".join(texts).encode(), 9)) == report.gzip_bytes
    topics = load_topics()
    assert len(topics) == report.topics
    assert all(chunk.text in topics[chunk.metadata["topic"]] for chunk in chunks)


def test_every_question_is_answered_and_timed(report: DemoReport) -> None:
    assert tuple(answer.question for answer in report.answers) == QUESTIONS
    for answer in report.answers:
        assert len(answer.results) == 2
        assert answer.results[0].relevance >= answer.results[1].relevance
        assert set(answer.seconds) == {"embed", "search", "read", "total"}
        assert all(seconds > 0 for seconds in answer.seconds.values())
        assert sum(answer.seconds.values()) <= 2 * answer.seconds["total"]


def test_the_command_names_its_folder_and_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/memvid")
    assert main(["demo", "--model", "hashing"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    video = Path("memvid-demo") / VIDEO_NAME
    assert video.is_file()
    for expected in (
        "memvid-demo/",
        "gzip -9 of the text",
        f"memvid search {video}",
        f"memvid chat {video}",
        f"{video}",
        *QUESTIONS,
    ):
        assert expected in out
    assert max(map(len, out.splitlines())) <= 80


def test_what_to_do_next_can_be_pasted_where_memvid_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("sys.executable", str(tmp_path / ".venv/bin/python"))
    assert main(["demo", "--model", "hashing"]) == 0
    assert "\n  .venv/bin/python -m memvid search memvid-demo/" in capsys.readouterr().out


def test_the_command_again_replaces_its_memory_and_speaks_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["demo", str(tmp_path), "--model", "hashing", "--json"]) == 0
        out, err = capsys.readouterr()
        found = json.loads(out)
        assert err == ""
        assert found["bytes"]["video"] == (tmp_path / VIDEO_NAME).stat().st_size
        assert [item["question"] for item in found["questions"]] == list(QUESTIONS)


def test_a_python_without_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DependencyError, match="memvid build FILES"):
        load_topics()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OutputError, match="name another one"):
        run_demo(tmp_path / "file" / "demo", embedder=HashingEmbedder())
