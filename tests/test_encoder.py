from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import FrozenInstanceError
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memvid import EncoderConfig, MemvidEncoder, Progress
from memvid.building.page_writer import SEGMENT_CHUNKS
from memvid.building.spool import Spool
from memvid.embedding import HashingEmbedder
from memvid.errors import ChunkError, ClosedError, EmbeddingError, MemvidError, MetadataError, OutputError
from memvid.page import Record
from tests.memory_support import EMBEDDER, all_files, build, make_texts, make_vectors, open_memory

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "small codes": {"symbol_version": 5},
    "one a frame": {"symbol_version": 12, "chunks_per_frame": 1},
    "three a frame": {"symbol_version": 8, "chunks_per_frame": 3},
    "stored": {"symbol_version": 9, "compression": "none"},
    "M": {"symbol_version": 15, "error_correction": "M"},
    "Q": {"symbol_version": 15, "error_correction": "Q", "data_mask": None},
    "H": {"symbol_version": 15, "error_correction": "H", "data_mask": 7},
}
BARE: dict[str, Any] = {"compression": "none", "chunks_per_frame": 1}

UNUSUAL = [
    "\u200b",
    "\0",
    "a\0b",
    "\u0301",
    "e\u0301",
    "\u00e9",
    "\U0001f469\u200d\U0001f680",
    "\ufeff",
    "\r\nx\r",
    "\x7f",
    "\U0010ffff",
]
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60) | st.sampled_from(UNUSUAL)
chunks = texts.filter(lambda text: not text.isspace())
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
metadatas = st.none() | st.dictionaries(texts, json_values, max_size=4)
records = st.lists(st.tuples(chunks, metadatas), min_size=1, max_size=12)

Pairs = Sequence[tuple[str, Any]]


def assert_round_trip(pairs: Pairs, options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        video = build(
            Path(name),
            (text for text, _ in pairs),
            metadatas=(given for _, given in pairs),
            embeddings=make_vectors(len(pairs)),
            **options,
        )
        with open_memory(video) as memory:
            assert len(memory) == len(pairs)
            assert memory.info.dictionary_bytes == options.get("dictionary", 0)
            found = memory.get_chunks_by_id(range(len(pairs)))
            assert [chunk.chunk_id for chunk in found] == list(range(len(pairs)))
            assert [chunk.text.encode() for chunk in found] == [text.encode() for text, _ in pairs]
            assert [chunk.metadata for chunk in found] == [given or {} for _, given in pairs]
            assert [list(chunk.metadata) for chunk in found] == [list(given or {}) for _, given in pairs]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@given(pairs=records)
@example(pairs=[(text, {text: text}) for text in UNUSUAL])
@settings(max_examples=8, deadline=None)
def test_any_text_and_metadata_come_back_exactly(options: dict[str, Any], pairs: Pairs) -> None:
    assert_round_trip(pairs, options)


@pytest.mark.parametrize("level", ["L", "M", "Q", "H"])
@given(pairs=records)
@example(pairs=[(text, {text: text}) for text in UNUSUAL])
@settings(max_examples=6, deadline=None)
def test_any_bare_text_and_its_metadata_come_back_exactly(level: str, pairs: Pairs) -> None:
    assert_round_trip(pairs, {"symbol_version": 20, "error_correction": level, **BARE})


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (1 << 20, {}),
        *((size, options) for size in (1, 2, 2900, 3000) for options in ({}, {"compression": "none"})),
        (40_000, {"error_correction": "H", "symbol_version": 10}),
    ],
)
def test_chunks_of_any_size_come_back_exactly(size: int, options: dict[str, Any]) -> None:
    chooser = random.Random(size)
    noise = "".join(chooser.choices("".join(map(chr, range(33, 127))), k=size))
    assert_round_trip(
        [("before", {"n": 1}), (noise, {"m": noise[:3000]}), ("x" * size, None), ("after", None)], options
    )


@given(pairs=records)
@settings(max_examples=8, deadline=None)
def test_texts_come_back_exactly_through_a_dictionary(pairs: Pairs) -> None:
    known = [(text, {"n": number}) for number, text in enumerate(make_texts(80))]
    assert_round_trip([*known, *pairs], {"symbol_version": 20, "dictionary": 1024})


def test_a_bare_memory_without_metadata_has_a_frame_for_each_text_behind_its_front(tmp_path: Path) -> None:
    video = build(tmp_path, ["one", "two", "three"], symbol_version=40, **BARE)
    with open_memory(video) as memory:
        assert memory.info.frames == 5  # cover and header page are in front
        assert [memory.get_chunks_by_id([i])[0].frame_index for i in range(3)] == [2, 3, 4]


def test_metadata_of_many_bare_chunks_is_found(tmp_path: Path) -> None:
    given = [{"n": number} if number % 3 else None for number in range(300)]
    video = build(tmp_path, [f"text {n}" for n in range(300)], metadatas=given, symbol_version=5, **BARE)
    with open_memory(video) as memory:
        assert [chunk.metadata for chunk in memory.get_chunks_by_id(range(300))] == [m or {} for m in given]


class TestAdding:
    @pytest.fixture
    def encoder(self) -> Iterator[MemvidEncoder]:
        encoder = MemvidEncoder(embedder=EMBEDDER)
        yield encoder
        encoder.close()

    def test_counts_and_stats(self, encoder: MemvidEncoder) -> None:
        assert encoder.add_chunks([]) == 0
        assert encoder.add_chunks(["one", "zwölf"]) == 2
        assert encoder.add_chunks(["three"], embeddings=EMBEDDER.encode(["three"])) == 1
        assert (len(encoder), encoder.stats.chunks, encoder.stats.text_bytes, encoder.stats.embedded) == (3, 3, 14, 1)
        assert repr(encoder) == "MemvidEncoder(3 chunks)"
        with pytest.raises(FrozenInstanceError):
            encoder.stats.chunks = 5  # type: ignore[misc]

    @pytest.mark.parametrize("failing", ["raise", "blank", "type", "metadata", "surrogate", "interrupt"])
    def test_a_failed_addition_leaves_nothing(self, encoder: MemvidEncoder, tmp_path: Path, failing: str) -> None:
        bad: Any = {"blank": " \n\u3000", "type": 7, "surrogate": "x\ud800"}.get(failing, "good")

        def generate() -> Iterator[str]:
            yield from make_texts(5000)  # more than the spool's buffer holds
            if failing == "raise":
                raise ZeroDivisionError
            if failing == "interrupt":
                raise KeyboardInterrupt
            yield bad

        encoder.add_chunks(["first", "second"], metadatas=[{"n": 1}, None], embeddings=EMBEDDER.encode(["a", "b"]))
        with pytest.raises((ZeroDivisionError, KeyboardInterrupt, ChunkError, MetadataError)):
            encoder.add_chunks(generate(), metadatas=repeat({"x": {1} if failing == "metadata" else 1}))
        assert encoder.stats.chunks == 2
        encoder.add_chunks(["third"])
        folders = tmp_path / "after", tmp_path / "clean"
        for folder in folders:
            folder.mkdir()
        encoder.build_video(folders[0] / "memory.mp4")
        with MemvidEncoder(embedder=EMBEDDER) as other:
            other.add_chunks(["first", "second"], metadatas=[{"n": 1}, None], embeddings=EMBEDDER.encode(["a", "b"]))
            other.add_chunks(["third"])
            other.build_video(folders[1] / "memory.mp4")
        assert all_files(folders[0]) == all_files(folders[1])

    def test_failed_embeddings_leave_nothing(self, encoder: MemvidEncoder) -> None:
        encoder.add_chunks(["first"])
        for rows in (np.zeros((2, 64)), np.full((1, 64), np.nan), np.ones((1, 63)), np.ones((1, 64), int)):
            with pytest.raises(EmbeddingError):
                encoder.add_chunks(["second"], embeddings=rows)
        assert (encoder.stats.chunks, encoder.stats.embedded) == (1, 0)

    @pytest.mark.parametrize("given_metadata", [repeat({"a": 1}, 2), [{"a": 1}] * 2, iter([None] * 2), [None] * 4])
    def test_no_chunk_is_dropped_for_want_of_metadata(self, encoder: MemvidEncoder, given_metadata: Any) -> None:
        with pytest.raises(MetadataError, match="one for each"):
            encoder.add_chunks(["a", "b", "c"], metadatas=given_metadata)
        assert len(encoder) == 0

    def test_additions_do_not_mix(self, encoder: MemvidEncoder) -> None:
        def generate(act: Any) -> Iterator[str]:
            yield "outer"
            act()

        for act in (
            lambda: encoder.add_chunks(["inner"]),
            lambda: encoder.add_text("inner"),
            encoder.clear,
            encoder.close,
        ):
            with pytest.raises(ChunkError, match="being added"):
                encoder.add_chunks(generate(act))
            assert len(encoder) == 0
        assert encoder.add_chunks(generate(lambda: None)) == 1

    def test_text_is_split_where_sentences_end(self, encoder: MemvidEncoder, tmp_path: Path) -> None:
        sentences = [f"Sentence number {number} says something." for number in range(40)]
        count = encoder.add_text(" ".join(sentences), chunk_size=100, metadata={"source": "s"})
        assert count == len(encoder) > 10
        assert encoder.add_text(" \n ") == 0
        encoder.build_video(tmp_path / "m.mp4")
        with open_memory(tmp_path / "m.mp4") as memory:
            found = memory.get_chunks_by_id(range(count))
        assert all(chunk.metadata == {"source": "s"} and len(chunk.text) <= 100 for chunk in found)
        assert all(sum(sentence in chunk.text for chunk in found) == 1 for sentence in sentences)

    def test_clear_starts_again_from_id_0(self, encoder: MemvidEncoder, tmp_path: Path) -> None:
        encoder.add_chunks(make_texts(300), embeddings=EMBEDDER.encode(make_texts(300)))
        encoder.clear()
        assert encoder.stats.chunks == encoder.stats.embedded == encoder.stats.text_bytes == 0
        encoder.add_chunks(["only"])
        encoder.build_video(tmp_path / "m.mp4")
        with open_memory(tmp_path / "m.mp4") as memory:
            assert memory.get_chunk_by_id(0) == "only"
            assert len(memory) == 1

    def test_a_closed_encoder_says_so(self, encoder: MemvidEncoder, tmp_path: Path) -> None:
        encoder.close()
        encoder.close()
        assert repr(encoder) == "MemvidEncoder(closed)"
        for use in (
            lambda: encoder.add_chunks(["a"]),
            lambda: encoder.add_text("a"),
            lambda: encoder.build_video(tmp_path / "m.mp4"),
            lambda: encoder.stats,
            lambda: len(encoder),
            encoder.clear,
        ):
            with pytest.raises(ClosedError, match="closed"):
                use()

    def test_options_in_three_ways(self) -> None:
        config = EncoderConfig(symbol_version=9, fps=5)
        for encoder in (
            MemvidEncoder(config, fps=7, embedder=EMBEDDER),
            MemvidEncoder({"symbol_version": 9}, fps=7, embedder=EMBEDDER),
            MemvidEncoder(symbol_version=9, fps=7, embedder=EMBEDDER),
        ):
            with encoder:
                assert (encoder.config.symbol_version, encoder.config.fps) == (9, 7)


class TestEmbeddings:
    def test_given_and_made_embeddings_make_the_same_files(self, tmp_path: Path) -> None:
        given_texts = make_texts(300)
        vectors = EMBEDDER.encode(given_texts)
        files = []
        for kind in ("made", "given", "mixed", "one by one", "float64"):
            folder = tmp_path / kind
            folder.mkdir()
            with MemvidEncoder(embedder=EMBEDDER) as encoder:
                if kind == "made":
                    encoder.add_chunks(given_texts)
                elif kind == "mixed":
                    encoder.add_chunks(given_texts[:100])
                    encoder.add_chunks(given_texts[100:200], embeddings=vectors[100:200])
                    encoder.add_chunks(given_texts[200:210])
                    encoder.add_chunks(given_texts[210:], embeddings=vectors[210:].tolist())
                elif kind == "one by one":
                    for text, vector in zip(given_texts, vectors, strict=True):
                        encoder.add_chunks([text], embeddings=vector[None])
                else:
                    encoder.add_chunks(given_texts, embeddings=vectors.astype(float) if kind == "float64" else vectors)
                encoder.build_video(folder / "memory.mp4")
            files.append(all_files(folder))
        assert all(made == files[0] for made in files)

    def test_given_embeddings_are_not_made_again(self, tmp_path: Path) -> None:
        asked: list[str] = []

        class Spy(HashingEmbedder):
            def encode(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
                asked.extend(texts)
                return super().encode(texts)

        with MemvidEncoder(embedder=Spy(dim=64)) as encoder:
            encoder.add_chunks(["a", "b"], embeddings=EMBEDDER.encode(["a", "b"]))
            encoder.add_chunks(["c"])
            encoder.build_video(tmp_path / "m.mp4")
        assert asked == ["c"]

    def test_a_function_embeds_too(self, tmp_path: Path) -> None:
        def two(texts: list[str]) -> list[list[float]]:
            return [[float(len(text)), 1.0] for text in texts]

        with MemvidEncoder(embedder=two) as encoder:
            encoder.add_chunks(["a", "bb" * 50])
            encoder.build_video(tmp_path / "m.mp4")


class TestBuilding:
    def test_result(self, tmp_path: Path) -> None:
        texts = make_texts(50)
        with MemvidEncoder(embedder=EMBEDDER) as encoder:
            encoder.add_chunks(texts)
            result = encoder.build_video(os.fspath(tmp_path / "m.v.mp4"), tmp_path / "m.v_index.json")
        assert result.index_file == tmp_path / "m.v_index.json"
        assert (result.chunks, result.text_bytes) == (50, sum(map(len, texts)))
        assert result.video_bytes == (tmp_path / "m.v.mp4").stat().st_size
        sides = all_files(tmp_path)
        assert sorted(sides) == ["m.v.mp4", "m.v_index.json", "m.v_index.records", "m.v_index.usearch"]
        assert result.index_bytes == sum(len(data) for name, data in sides.items() if "index" in name)
        assert {"embed", "index", "verify", "commit", "total"} <= set(result.seconds)
        assert "50 chunks" in repr(result)
        with open_memory(result.video_file) as memory:
            assert memory.info.frames == result.frames

    def test_the_same_chunks_give_the_same_bytes(self, tmp_path: Path) -> None:
        texts = make_texts(SEGMENT_CHUNKS + 200, words=12)
        vectors = make_vectors(len(texts))
        given_metadata = [{"n": n % 7, "half": n * 2 > len(texts)} for n in range(len(texts))]
        files = []
        for threads in (1, 2):
            folder = tmp_path / str(threads)
            folder.mkdir()
            with MemvidEncoder(embedder=EMBEDDER, threads=threads, expansion_add=8) as encoder:
                encoder.add_chunks(texts[:77], metadatas=given_metadata[:77])
                encoder.add_chunks(texts[77:], metadatas=given_metadata[77:], embeddings=vectors[77:])
                for _ in range(threads):
                    encoder.build_video(folder / "memory.mp4", folder / "memory_index.json")
                    encoder.build_video(folder / "one.mp4")
                    files.append(all_files(folder))
        assert len(files[0]) == 5
        assert all(built == files[0] for built in files)

    def test_another_process_gives_the_same_bytes(self, tmp_path: Path) -> None:
        script = (
            "import sys; from pathlib import Path; from tests.memory_support import build, make_texts\n"
            "texts = make_texts(300)\n"
            "build(Path(sys.argv[1]), texts, metadatas=[{'a': t[:9], 'b': [t]} for t in texts])"
        )
        files = []
        for seed in ("0", "1"):
            folder = tmp_path / seed
            folder.mkdir()
            environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
            subprocess.run([sys.executable, "-c", script, str(folder)], check=True, env=environment)
            files.append(all_files(folder))
        assert files[0] == files[1]

    def test_options_that_change_pages_change_the_memory(self, tmp_path: Path) -> None:
        ids = set()
        for number, options in enumerate(({}, {"fps": 10}, {"symbol_version": 30}, {"compression_level": 3})):
            with open_memory(build(tmp_path, ["a", "b"], name=str(number), **options)) as memory:
                ids.add(memory.info.memory_id)
        assert len(ids) == 4

    def test_memory_does_not_grow_with_the_number_of_chunks(self, tmp_path: Path) -> None:
        peaks = []
        for count in (1000, 20_000):
            with MemvidEncoder(embedder=EMBEDDER) as encoder:
                tracemalloc.start()
                encoder.add_chunks(f"{number:0500d}" for number in range(count))
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
                assert len(encoder) == count
                encoder.clear()
        assert peaks[1] < 4 << 20  # of 10 MB of text

    def test_large_chunks_are_built_in_small_pieces(self) -> None:
        spool = Spool()
        with spool.adding() as adder:
            for number in range(10):
                adder.add(Record(bytes([65 + number]) * 1000, b"{}"))
        pieces = list(spool.segments(4, 2500))
        assert [(piece.first_chunk, len(piece.records)) for piece in pieces] == [(0, 3), (3, 3), (6, 3), (9, 1)]
        assert [record.text[:1] for piece in pieces for record in piece.records] == [bytes([65 + n]) for n in range(10)]
        assert spool.sample([0, 3, 9], 1001) == [b"A" * 1000 + b"{", b"D" * 1000 + b"{", b"J" * 1000 + b"{"]
        spool.close()

    @given(st.lists(st.integers(0, 699), unique=True, max_size=20).map(sorted), st.integers(1, 40))
    @settings(max_examples=30, deadline=None)
    def test_samples_are_the_chunks_asked_for(self, ids: list[int], limit: int) -> None:
        spool = Spool()
        with spool.adding() as adder:
            for number in range(700):
                adder.add(Record(b"%d" % number * (number % 5 + 1), b"[%d]" % number))
        expected = [(b"%d" % number * (number % 5 + 1) + b"[%d]" % number)[:limit] for number in ids]
        assert spool.sample(ids, limit) == expected
        spool.close()

    def test_progress_rises(self, tmp_path: Path) -> None:
        seen: list[Progress] = []
        with MemvidEncoder(embedder=EMBEDDER) as encoder:
            encoder.add_chunks(make_texts(3000, words=8), embeddings=make_vectors(3000))
            encoder.build_video(tmp_path / "m.mp4", progress=seen.append)
        stages = list(dict.fromkeys(progress.stage for progress in seen))
        assert stages == ["write", "index", "verify"]
        for stage in stages:
            done = [progress.done for progress in seen if progress.stage == stage]
            assert done == sorted(done)
            assert done[-1] == 3000
        assert {progress.total for progress in seen} == {3000}

    @pytest.mark.parametrize("stage", ["write", "verify", "index"])
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
    def test_an_interrupted_build_leaves_the_old_memory_and_nothing_else(
        self, tmp_path: Path, stage: str, kind: type[BaseException]
    ) -> None:
        build(tmp_path, ["old"])
        before = all_files(tmp_path)

        def interrupt(progress: Progress) -> None:
            if progress.stage == stage:
                raise kind

        with MemvidEncoder(embedder=EMBEDDER) as encoder:
            encoder.add_chunks(make_texts(500), embeddings=make_vectors(500))
            with pytest.raises(kind):
                encoder.build_video(tmp_path / "memory.mp4", progress=interrupt)
            assert all_files(tmp_path) == before
            encoder.build_video(tmp_path / "memory.mp4")
        assert all_files(tmp_path) != before

    def test_two_builds_of_one_memory_exclude_each_other(self, tmp_path: Path) -> None:
        with MemvidEncoder(embedder=EMBEDDER) as first, MemvidEncoder(embedder=EMBEDDER) as second:
            first.add_chunks(["first"])
            second.add_chunks(["second"])
            refused = []

            def build_the_other(progress: Progress) -> None:
                for video, index in (("m.mp4", "m_index.json"), ("n.mp4", "m_index.json"), ("m.mp4", "n.json")):
                    with pytest.raises(OutputError, match="another process") as caught:
                        second.build_video(tmp_path / video, tmp_path / index)
                    refused.append(caught.value)

            first.build_video(tmp_path / "m.mp4", tmp_path / "m_index.json", progress=build_the_other)
            assert refused
            assert sorted(all_files(tmp_path)) == ["m.mp4", "m_index.json", "m_index.records", "m_index.usearch"]
            with open_memory(tmp_path / "m.mp4") as memory:
                assert memory.get_chunk_by_id(0) == "first"
            second.build_video(tmp_path / "m.mp4")
        with open_memory(tmp_path / "m.mp4") as memory:
            assert memory.get_chunk_by_id(0) == "second"

    @pytest.mark.parametrize(
        ("video", "index"),
        [
            ("m.mp4", "other.mp4"), ("m.mp4", "../here/o.mp4"), ("m_index.usearch", "m_index.json"), ("m.records", "m"),
            ("m.json.new", "m.json"), ("m.json.commit", "m.json"), ("folder", "m.json"), ("m.mp4", "folder"),
            ("m.mp4", "folder.json"), ("pipe", "m.json"), ("", "m.json"), ("m.mp4", ""), (".", "m.json"),
            ("a\0", "m.json"),
        ],
    )  # fmt: skip
    def test_names_that_cannot_be_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, video: str, index: str
    ) -> None:
        here = tmp_path / "here"
        for folder in (here, here / "folder", here / "folder.records"):
            folder.mkdir()
        os.mkfifo(here / "pipe")
        monkeypatch.chdir(here)
        before = sorted(here.iterdir())
        with MemvidEncoder(embedder=EMBEDDER) as encoder:
            encoder.add_chunks(["a"])
            with pytest.raises(OutputError):
                encoder.build_video(video, index)
            assert sorted(here.iterdir()) == before
            encoder.build_video("m.mp4")

    def test_video_and_index_in_different_folders(self, tmp_path: Path) -> None:
        for name in ("videos", "indexes"):
            (tmp_path / name).mkdir()
        with MemvidEncoder(embedder=EMBEDDER) as encoder:
            encoder.add_chunks(["apart"])
            encoder.build_video(tmp_path / "videos" / "m.mp4", tmp_path / "indexes" / "i.json")
        with open_memory(tmp_path / "videos" / "m.mp4", tmp_path / "indexes" / "i.json") as memory:
            assert memory.search("apart") == ["apart"]


def test_temporary_files_have_no_name_and_go_with_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    encoder = MemvidEncoder(embedder=EMBEDDER)
    encoder.add_chunks(make_texts(5000))
    assert list(tmp_path.iterdir()) == []

    def open_here() -> list[str]:  # what other tests have left open does not count
        links = list(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").is_dir() else []
        return [str(link.resolve()) for link in links if str(link.resolve()).startswith(str(tmp_path.resolve()))]

    if sys.platform == "linux":
        assert len(open_here()) == 1  # a second one, for vectors, is made when some are given
    del encoder
    gc.collect()
    assert open_here() == []


def test_a_program_that_forgets_to_close_ends_quietly(tmp_path: Path) -> None:
    script = (
        "import warnings; warnings.simplefilter('error')\n"
        "from memvid import MemvidEncoder; from memvid.embedding import HashingEmbedder\n"
        "encoder = MemvidEncoder(embedder=HashingEmbedder()); encoder.add_chunks(['a'])\n"
        "encoder.self = encoder"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_an_encoder_that_was_never_made_is_cleaned_up() -> None:
    with pytest.raises(MemvidError):
        MemvidEncoder(symbol_version=41)
    gc.collect()
