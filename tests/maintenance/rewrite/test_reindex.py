"""The index out of the video alone: the same bytes, the right model, the right video."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import EncoderConfig, MemvidEncoder, MemvidRetriever
from memvid.cli import main
from memvid.embedding import CallableEmbedder, HashingEmbedder, MiniLMEmbedder
from memvid.errors import (
    EmbeddingError,
    EmptyMemoryError,
    ModelMismatchError,
    OutputError,
    VideoError,
    VideoNotFoundError,
)
from memvid.maintenance import reindex
from memvid.storage.commit import default_index_file
from memvid.types import Progress
from memvid.video import VideoReader
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory
from tests.video.video_support import samples, without_page_table

TEXTS = make_texts(300)
METADATAS: list[dict[str, Any] | None] = [
    {"number": n, "source": f"s{n // 50}", "ünï": [n, None]} if n % 3 else None for n in range(300)
]
INDEX_FILES = ("memory_index.json", "memory_index.records", "memory_index.usearch")
BARE: dict[str, Any] = {"compression": "none", "chunks_per_frame": 1, "symbol_version": 10}


def remove_index(folder: Path) -> dict[str, bytes]:
    """Remove the index and return what it was."""
    before = {name: (folder / name).read_bytes() for name in INDEX_FILES}
    for name in INDEX_FILES:
        (folder / name).unlink()
    return before


@pytest.mark.parametrize(
    "options",
    [{}, {"symbol_version": 8}, BARE, {"compression": "none"}, {"dictionary": 1024, "symbol_version": 12}],
    ids=["default", "small", "bare", "plain", "dictionary"],
)
def test_the_index_has_the_bytes_that_the_build_gave_it(tmp_path: Path, options: dict[str, Any]) -> None:
    texts = TEXTS if options is BARE else [*TEXTS[:-1], "long " * 5000]  # a run of pages, where there are runs
    video = build(tmp_path, texts, metadatas=METADATAS, **options)
    before = remove_index(tmp_path)
    result = reindex(video, default_index_file(video))
    assert all_files(tmp_path) == {**before, "memory.mp4": video.read_bytes()}
    assert (result.chunks, result.embeddings_made, result.model.name) == (300, 300, EMBEDDER.name)
    assert result.index_bytes == sum(map(len, before.values()))
    with open_memory(video) as memory:
        assert memory.search(texts[7], 1) == [texts[7]]


def test_the_options_of_the_index_that_is_there_are_kept(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "vector_dtype": "f16",
        "connectivity": 8,
        "expansion_add": 64,
        "expansion_search": 32,
        "keywords": False,
    }
    video = build(tmp_path, TEXTS, **options)
    before = all_files(tmp_path)
    (tmp_path / "memory_index.records").write_bytes(b"damaged")
    reindex(video)
    assert all_files(tmp_path) == before
    remove_index(tmp_path)
    reindex(video, default_index_file(video), config=EncoderConfig(**options))
    assert all_files(tmp_path) == before


def test_the_options_of_another_video_s_index_are_not_taken(tmp_path: Path) -> None:
    build(tmp_path, TEXTS[:50], name="other", vector_dtype="f32")
    video = build(tmp_path, TEXTS)
    before = all_files(tmp_path)
    shutil.copy(tmp_path / "other_index.json", tmp_path / "memory_index.json")
    reindex(video)
    assert all_files(tmp_path) == before


def test_bare_videos_of_the_same_texts_are_told_apart(tmp_path: Path) -> None:
    videos = [
        build(tmp_path, TEXTS[:40], name=name, metadatas=[{"of": name}] * 40, **BARE, **options)
        for name, options in (("a", {"vector_dtype": "f32"}), ("b", {}))
    ]
    before = all_files(tmp_path)
    shutil.copy(tmp_path / "a_index.json", tmp_path / "b_index.json")
    reindex(videos[1])
    assert all_files(tmp_path) == before


def test_a_video_without_page_table_gets_the_same_index_but_for_its_size(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, symbol_version=10)
    before = remove_index(tmp_path)
    video.write_bytes(without_page_table(video.read_bytes()))
    reindex(video)
    assert {name: (tmp_path / name).read_bytes() == data for name, data in before.items()} == {
        "memory_index.json": False,
        "memory_index.records": True,
        "memory_index.usearch": True,
    }


def test_the_index_may_lie_elsewhere(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS[:20])
    (tmp_path / "x").mkdir()
    result = reindex(video, tmp_path / "x" / "i.json")
    assert result.index_file == tmp_path / "x" / "i.json"
    with open_memory(video, result.index_file) as memory:
        assert memory.search(TEXTS[3], 1) == [TEXTS[3]]


@pytest.mark.model
def test_the_model_that_comes_with_memvid_is_found_by_itself(tmp_path: Path) -> None:
    with MemvidEncoder(embedder=MiniLMEmbedder(threads=1)) as encoder:
        encoder.add_chunks(TEXTS[:5])
        encoder.build_video(tmp_path / "memory.mp4", tmp_path / "memory_index.json")
    before = all_files(tmp_path)
    remove_index(tmp_path)
    assert reindex(tmp_path / "memory.mp4", tmp_path / "memory_index.json").model.name == MiniLMEmbedder().name
    assert all_files(tmp_path) == before


def make_table(texts: list[str]) -> Any:
    return np.array([[len(text), 1, 2] for text in texts], np.float32)


def test_a_model_that_is_not_at_hand_has_to_be_given(tmp_path: Path) -> None:
    embedder = CallableEmbedder(make_table, name="house model", dim=3)
    with MemvidEncoder(embedder=embedder) as encoder:
        encoder.add_chunks(TEXTS[:9])
        encoder.build_video(tmp_path / "memory.mp4", tmp_path / "memory_index.json")
    before = all_files(tmp_path)
    with pytest.raises(ModelMismatchError, match=r"'house model' \(dim 3\).*--model"):
        reindex(tmp_path / "memory.mp4")
    assert all_files(tmp_path) == before
    remove_index(tmp_path)
    reindex(tmp_path / "memory.mp4", tmp_path / "memory_index.json", embedder=embedder)
    assert all_files(tmp_path) == before


def test_another_model_may_be_asked_for(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS[:30])
    other = HashingEmbedder(dim=32)
    assert reindex(video, embedder=other).model.dim == 32
    with MemvidRetriever(video, embedder=other) as memory:
        assert memory.search(TEXTS[3], 1) == [TEXTS[3]]
    with pytest.raises(ModelMismatchError, match="memvid reindex"):
        open_memory(video)


def test_where_no_chunk_is_left_the_index_stays_as_it_was(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, symbol_version=10)
    data = video.read_bytes()
    for frame in samples(data)[int(VideoReader(video).table.frames_of(np.array([0]))[0]) :]:
        data = data.replace(frame, frame[:60] + bytes(len(frame) - 60))
    video.write_bytes(data)
    before = all_files(tmp_path)
    with pytest.raises(EmptyMemoryError, match="no chunk of"):
        reindex(video)
    assert all_files(tmp_path) == before


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoNotFoundError):
        reindex(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(VideoError):
        reindex(tmp_path / "text.mp4")
    assert all_files(tmp_path) == {"text.mp4": b"text"}


def test_a_read_only_place_is_an_output_error(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS[:5])
    with pytest.raises(OutputError):
        reindex(video, tmp_path / "missing" / "here" / "index.json")


def test_it_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS)
    before = remove_index(tmp_path)
    calls = 0

    def failing(texts: list[str]) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("no line")
        return EMBEDDER.encode(texts)

    unsteady = CallableEmbedder(failing, name=EMBEDDER.name, dim=EMBEDDER.dim)
    kept = tmp_path / "kept"
    with pytest.raises(EmbeddingError, match="no line"):
        reindex(video, default_index_file(video), embedder=unsteady, checkpoint=kept)
    assert sorted(all_files(tmp_path)) == ["kept", "memory.mp4"]
    result = reindex(video, default_index_file(video), embedder=EMBEDDER, checkpoint=kept)
    assert (result.embeddings_made, result.embeddings_resumed) == (44, 256)
    assert all_files(tmp_path) == {**before, "memory.mp4": video.read_bytes()}


def test_progress_says_how_far_it_is(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS)
    seen: list[Progress] = []
    reindex(video, progress=seen.append)
    assert {progress.stage for progress in seen} == {"index"}
    assert seen[-1] == Progress("index", 300, 300)


class TestCommand:
    def test_makes_the_index_anew(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        video = build(tmp_path, TEXTS)
        before = remove_index(tmp_path)
        assert main(["reindex", str(video), "--index", str(default_index_file(video))]) == 0
        assert all_files(tmp_path) == {**before, "memory.mp4": video.read_bytes()}
        out, err = capsys.readouterr()
        assert "300 chunks" in out
        assert "hashing-64" in out
        assert err == ""
        assert main(["reindex", str(video), "--json", "--index", str(tmp_path / "i.json")]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["chunks"], report["model"], report["embeddings"]) == (
            300,
            "hashing-64",
            {"made": 300, "resumed": 0},
        )

    def test_takes_another_model(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        video = build(tmp_path, TEXTS)
        assert main(["reindex", str(video), "--model", "hashing"]) == 0
        assert main(["search", str(video), TEXTS[5], "-k", "1", "--model", "hashing"]) == 0
        assert TEXTS[5].split()[-1] in capsys.readouterr().out

    def test_failures(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["reindex", str(tmp_path / "none.mp4")]) == 1
        assert "memvid: error: there is no video" in capsys.readouterr().err
        assert main(["reindex"]) == 2
