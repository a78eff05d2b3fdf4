"""Every error a user can meet: of the promised types, and saying what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memvid import MemvidEncoder, MemvidRetriever, errors
from memvid.embedding import HashingEmbedder
from memvid.errors import (
    ChunkError,
    ChunkNotFoundError,
    ChunkTooLargeError,
    ChunkTypeError,
    ClosedError,
    ConfigError,
    EmbeddingError,
    EmptyMemoryError,
    FrameError,
    IndexFormatError,
    IndexMismatchError,
    IndexNotFoundError,
    MemvidError,
    MetadataError,
    ModelMismatchError,
    OutputError,
    QueryError,
    UnsupportedVideoError,
    VideoFormatError,
    VideoNotFoundError,
)
from memvid.page import MAX_CHUNK_BYTES
from tests.memory_support import EMBEDDER, all_files, build, make_texts, make_vectors, open_memory
from tests.video.video_support import png, write_video


class TestTree:
    def test_the_docstring_draws_exactly_the_classes(self) -> None:
        drawn: dict[str, tuple[str, str | None]] = {}
        above: list[str] = []
        for line in (errors.__doc__ or "").splitlines():
            found = re.match(r"    ([│ ]*)(?:[├└]── )?(\w+Error)(?: \((\w+)\))?(?: |$)", line)
            if found is None:
                continue
            depth = 0 if "──" not in line else len(found[1]) // 4 + 1
            above[depth:] = [found[2]]
            drawn[found[2]] = (above[depth - 1] if depth else "Exception", found[3])
        defined = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
        assert set(drawn) == set(defined), "draw each class in the tree of the docstring of memvid.errors, and no other"
        assert set(errors.__all__) == set(defined), "name each class in __all__ of memvid.errors, and no other"
        for name, (parent, builtin) in drawn.items():
            bases = [base.__name__ for base in defined[name].__bases__]
            assert bases == [parent, *([builtin] if builtin else [])]

    @pytest.mark.parametrize("name", errors.__all__)
    def test_each_has_the_library_s_base_and_a_builtin(self, name: str) -> None:
        kind = getattr(errors, name)
        assert issubclass(kind, MemvidError)
        builtins = [base for base in kind.__mro__ if base.__module__ == "builtins"]
        assert name == "MemvidError" or set(builtins) - {Exception, BaseException, object}
        assert kind.__doc__

    @pytest.mark.parametrize("name", errors.__all__)
    def test_messages_are_shown_as_they_are(self, name: str) -> None:
        assert str(getattr(errors, name)("it's the \n message")) == "it's the \n message"

    def test_a_frame_error_knows_its_frame(self) -> None:
        assert FrameError("x", frame_index=7).frame_index == 7
        assert FrameError("x").frame_index == -1


def says(error: BaseException, *words: str) -> bool:
    return all(word in str(error) for word in words)


class TestChunks:
    @pytest.fixture
    def encoder(self) -> MemvidEncoder:
        return MemvidEncoder(embedder=EMBEDDER)

    def test_nothing_to_append(self, encoder: MemvidEncoder, tmp_path: Path) -> None:
        encoder.build_video(tmp_path / "m.mp4")
        with (
            MemvidEncoder.open(tmp_path / "m.mp4", embedder=EMBEDDER) as memory,
            pytest.raises(EmptyMemoryError, match=r"add chunks with add_chunks\(\)") as caught,
        ):
            memory.append()
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize("chunk", [None, 5, b"bytes", ["list"], {"a": 1}, np.str_])
    def test_a_chunk_that_is_no_string(self, encoder: MemvidEncoder, chunk: Any) -> None:
        with pytest.raises(ChunkTypeError, match=r"chunk 1 is a .*expected a string") as caught:
            encoder.add_chunks(["good", chunk])
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize("chunk", ["", " ", "\n\t", "\u3000\u2003", "\x1c"])
    def test_a_blank_chunk(self, encoder: MemvidEncoder, chunk: str) -> None:
        with pytest.raises(ChunkError, match="chunk 1 is blank: leave out"):
            encoder.add_chunks(["good", chunk])

    @pytest.mark.parametrize("chunks", ["one string", b"bytes", 5, None, object()])
    def test_chunks_that_are_no_list(self, encoder: MemvidEncoder, chunks: Any) -> None:
        with pytest.raises(ChunkTypeError, match="chunks is a"):
            encoder.add_chunks(chunks)

    def test_a_lone_surrogate(self, encoder: MemvidEncoder) -> None:
        with pytest.raises(ChunkError, match=r"character 3 .* U\+D83D.*right encoding"):
            encoder.add_chunks(["abc\ud83d"])

    def test_a_chunk_beyond_the_limit(self, encoder: MemvidEncoder) -> None:
        with pytest.raises(ChunkTooLargeError, match=f"limit is {MAX_CHUNK_BYTES}: split it"):
            encoder.add_chunks(["x" * (MAX_CHUNK_BYTES + 1)])

    def test_a_bare_chunk_beyond_its_code(self, tmp_path: Path) -> None:
        with pytest.raises(ChunkTooLargeError, match="chunk 1 has 3000 bytes of UTF-8, a code holds"):
            build(tmp_path, ["good", "x" * 3000], compression="none", chunks_per_frame=1)
        assert list(tmp_path.iterdir()) == []

    def test_codes_too_small_for_pages(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="higher symbol_version"):
            build(tmp_path, ["good"], symbol_version=1)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("text", [None, 5, b"bytes", ["a"]])
    def test_a_text_that_is_no_string(self, encoder: MemvidEncoder, text: Any) -> None:
        with pytest.raises(ChunkTypeError, match="expected a string"):
            encoder.add_text(text)

    @pytest.mark.parametrize("options", [{"chunk_size": 0}, {"chunk_size": "1"}, {"overlap": -1}, {"overlap": 400}])
    def test_sizes_that_cannot_be(self, encoder: MemvidEncoder, options: Any) -> None:
        with pytest.raises(ConfigError, match=next(iter(options))):
            encoder.add_text("some text", **options)

    @pytest.mark.parametrize(
        "metadata",
        [
            "text", 5, ["list"], {1: 2}, {"a": (1,)}, {"a": {1}}, {"a": float("nan")}, {"a": float("inf")}, {"a": b"x"},
            {"a": "\ud800"}, {"a": np.float32(1)}, {None: 1}, {"a": 10**5000}, np.array([1, 2]), np.array([]), True,
        ],
    )  # fmt: skip
    def test_metadata_that_is_no_json_object(self, encoder: MemvidEncoder, metadata: Any) -> None:
        ways: list[Callable[[], object]] = [
            lambda: encoder.add_chunks(["good", "chunk"], metadatas=[{}, metadata]),
            lambda: encoder.add_text("text", metadata=metadata),
        ]
        for add in ways:
            with pytest.raises(MetadataError, match=r"chunk \d: metadata") as caught:
                add()
            assert isinstance(caught.value, ValueError)
        assert len(encoder) == 0

    def test_metadata_in_a_circle(self, encoder: MemvidEncoder) -> None:
        circle: dict[str, Any] = {}
        circle["self"] = circle
        with pytest.raises(MetadataError, match=r"[Cc]irc"):
            encoder.add_chunks(["a"], metadatas=[circle])

    @pytest.mark.parametrize("metadatas", [{"a": 1}, "text", b"x", 5])
    def test_metadatas_that_are_no_list(self, encoder: MemvidEncoder, metadatas: Any) -> None:
        with pytest.raises(MetadataError, match="one object for each"):
            encoder.add_chunks(["a"], metadatas=metadatas)

    @pytest.mark.parametrize(
        ("embeddings", "message"),
        [
            (np.ones((3, 64)), "3 embeddings were given for 2 chunks"),
            (np.ones((2, 63)), "63 dimensions, those of embedder 'hashing-64' have 64"),
            (np.ones(64), "1 dimensions: expected 2"),
            (np.ones((2, 64, 1)), "3 dimensions: expected 2"),
            ([[1.0] * 64, [1.0] * 63], "different lengths"),
            (np.ones((2, 64), np.int32), "int32: expected float32"),
            (np.ones((2, 64), complex), "complex128: expected float32"),
            (np.full((2, 64), "x"), "expected float32"),
            (np.full((2, 64), np.nan), "NaN or infinity in row 0"),
            (np.array([[1.0] * 64, [np.inf] * 64]), "NaN or infinity in row 1"),
            (np.array([[1.0] * 64, [1e300] * 64]), "NaN or infinity in row 1"),
            (np.array([[0.0] * 64, [1.0] * 64]), "only zeros"),
            (5, "0 dimensions"),
            ("text", "0 dimensions"),
        ],
    )
    def test_embeddings_that_cannot_be(self, encoder: MemvidEncoder, embeddings: Any, message: str) -> None:
        with pytest.raises(EmbeddingError, match=message) as caught:
            encoder.add_chunks(["a", "b"], embeddings=embeddings)
        assert isinstance(caught.value, ValueError)
        assert len(encoder) == 0

    @pytest.mark.parametrize("embedder", [5, "name", HashingEmbedder, object()])
    def test_an_embedder_that_is_none(self, embedder: Any) -> None:
        with pytest.raises(ConfigError, match="embedder"):
            MemvidEncoder(embedder=embedder)

    def test_a_function_that_gives_no_vector(self) -> None:
        with pytest.raises(EmbeddingError, match=r"expected \(1, dim\)"):
            MemvidEncoder(embedder=lambda texts: [1.0])


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"symbol_verison": 5}, "did you mean 'symbol_version'"),
            ({"error_corection": "L"}, "did you mean 'error_correction'"),
            ({"chunksize": 500}, "did you mean 'chunk_size'"),
            ({"zzz": 5}, "options are chunk_size"),
        ],
    )
    def test_the_nearest_known_name_is_named(self, options: dict[str, Any], named: str) -> None:
        ways: list[Callable[[], object]] = [lambda: MemvidEncoder(**options), lambda: MemvidEncoder(options)]
        for make in ways:
            with pytest.raises(ConfigError, match=re.escape(named)) as caught:
                make()
            assert isinstance(caught.value, ValueError)

    def test_of_a_retriever(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="did you mean 'page_cache_bytes'"):
            MemvidRetriever(tmp_path / "m.mp4", page_cache_byte=5)
        with pytest.raises(ConfigError, match="page_cache_bytes=-1"):
            MemvidRetriever(tmp_path / "m.mp4", page_cache_bytes=-1)

    @pytest.mark.parametrize(
        "options",
        [
            {"symbol_version": 41}, {"symbol_version": 0}, {"symbol_version": True}, {"symbol_version": 5.0},
            {"fps": 0}, {"error_correction": "X"}, {"error_correction": None}, {"data_mask": 8},
            {"compression": "gzip"}, {"codec": "h265"}, {"compression_level": 0}, {"dictionary": -1},
            {"chunks_per_frame": 0},
            {"vector_dtype": "f64"}, {"connectivity": 1}, {"expansion_add": 1}, {"keywords": 1}, {"threads": 0},
        ],
    )  # fmt: skip
    def test_values_out_of_range(self, options: dict[str, Any]) -> None:
        (name,) = options
        with pytest.raises(ConfigError, match=f"{name}=.*expected"):
            MemvidEncoder(**options)

    @pytest.mark.parametrize("config", [5, "text", [("fps", 1)]])
    def test_a_config_that_is_none(self, config: Any) -> None:
        with pytest.raises(ConfigError, match="expected EncoderConfig, a dict or None"):
            MemvidEncoder(config)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build(tmp_path_factory.mktemp("made"), make_texts(30), metadatas=[{"n": n} for n in range(30)])


@pytest.fixture
def video(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "memory.mp4"


class TestVideos:
    def test_missing(self, video: Path) -> None:
        video.unlink()
        with pytest.raises(VideoNotFoundError, match="check the path, or build it") as caught:
            open_memory(video)
        assert isinstance(caught.value, FileNotFoundError)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "is empty"),
            (b"some text\n" * 100, "not an MP4"),
            (bytes(5000), "not an MP4"),
            (b"\x89PNG\r\n", "not an MP4"),
        ],
    )
    def test_no_video_at_all(self, video: Path, data: bytes, message: str) -> None:
        video.write_bytes(data)
        with pytest.raises(VideoFormatError, match=message) as caught:
            open_memory(video)
        assert isinstance(caught.value, OSError)

    def test_truncated(self, video: Path) -> None:
        video.write_bytes(video.read_bytes()[:-100])
        with pytest.raises(VideoFormatError, match="cut off"):
            open_memory(video)

    def test_a_folder(self, video: Path) -> None:
        with pytest.raises(OSError, match="cannot read") as caught:
            open_memory(video.parent, video.with_name("memory_index.json"))
        assert isinstance(caught.value, MemvidError)

    def test_a_video_of_something_else(self, video: Path) -> None:
        cv2 = pytest.importorskip("cv2")
        writer = cv2.VideoWriter(os.fspath(video), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 64))
        for shade in range(5):
            writer.write(np.full((64, 64, 3), shade * 40, np.uint8))
        writer.release()
        with pytest.raises((UnsupportedVideoError, VideoFormatError, FrameError)) as caught:
            open_memory(video)
        assert says(caught.value, str(video))

    def test_pictures_without_codes(self, video: Path) -> None:
        write_video(video, [b"just text in a code", b"and more"], version=5)
        with pytest.raises((FrameError, VideoFormatError, IndexMismatchError)):
            open_memory(video)
        assert png(np.zeros((4, 4), np.uint8)).startswith(b"\x89PNG")


class TestIndexes:
    @pytest.mark.parametrize("suffix", [".json", ".records", ".usearch"])
    @pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "corrupted", "foreign", "text", "folder"])
    def test_each_file_in_each_way(self, video: Path, suffix: str, damage: str, tmp_path_factory: Any) -> None:
        file = video.with_name("memory_index" + suffix)
        data = file.read_bytes()
        other = build(tmp_path_factory.mktemp("other"), make_texts(30, seed=9)).with_name(file.name)
        changed = {
            "empty": b"",
            "truncated": data[: len(data) // 2],
            "corrupted": data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0x20]) + data[len(data) // 2 + 1 :],
            "foreign": other.read_bytes(),
            "text": b"text\n" * 1000,
        }
        file.unlink()
        if damage == "folder":
            file.mkdir()
        elif damage != "missing":
            file.write_bytes(changed[damage])
        expected: type[MemvidError] = IndexFormatError
        if suffix == ".json" and damage == "missing":
            expected = IndexNotFoundError
        if suffix == ".json" and damage == "foreign":
            expected = IndexMismatchError
        with pytest.raises(expected) as caught:
            open_memory(video)
        assert isinstance(caught.value, OSError)
        assert says(caught.value, str(file))
        assert says(caught.value, "memvid reindex") or damage == "folder"

    def test_another_model(self, video: Path) -> None:
        with pytest.raises(ModelMismatchError, match=r"hashing-64.*not with 'hashing-32'.*memvid reindex") as caught:
            MemvidRetriever(video, embedder=HashingEmbedder(dim=32))
        assert isinstance(caught.value, ValueError)
        with pytest.raises(ModelMismatchError, match="MiniLM"):
            MemvidRetriever(video)

    def test_another_model_of_the_same_name(self, tmp_path: Path) -> None:
        class Named(HashingEmbedder):
            digest = "0" * 64

        class Other(HashingEmbedder):
            digest = "1" * 64

        with MemvidEncoder(embedder=Named(dim=64)) as encoder:
            encoder.add_chunks(["a"])
            encoder.build_video(tmp_path / "m.mp4")
        MemvidRetriever(tmp_path / "m.mp4", embedder=Named(dim=64)).close()
        with pytest.raises(ModelMismatchError, match="digest"):
            MemvidRetriever(tmp_path / "m.mp4", embedder=Other(dim=64))


class TestQueries:
    @pytest.mark.parametrize(
        ("ask", "expected", "message"),
        [
            (lambda memory: memory.search(""), QueryError, "say what to look for"),
            (lambda memory: memory.search(" "), QueryError, "say what to look for"),
            (lambda memory: memory.search(None), QueryError, "expected a string"),
            (lambda memory: memory.search("x", 0), QueryError, "top_k=0 .*at least 1"),
            (lambda memory: memory.search("x", -3), QueryError, "top_k=-3"),
            (lambda memory: memory.search("x", True), QueryError, "top_k=True"),
            (lambda memory: memory.search("x", 2.0), QueryError, "top_k=2.0"),
            (lambda memory: memory.search_results("x", where={"$an": []}), QueryError, "did you mean '.and'"),
            (lambda memory: memory.get_chunk_by_id(30), ChunkNotFoundError, "ids go from 0 to 29"),
            (lambda memory: memory.get_chunk_by_id(-1), ChunkNotFoundError, "no chunk -1"),
        ],
    )
    def test_that_cannot_be_answered(
        self, made: Path, ask: Callable[[MemvidRetriever], object], expected: type[MemvidError], message: str
    ) -> None:
        with open_memory(made) as memory, pytest.raises(expected, match=message):
            ask(memory)

    def test_a_closed_retriever(self, made: Path) -> None:
        memory = open_memory(made)
        memory.close()
        with pytest.raises(ClosedError, match="open the memory again") as caught:
            memory.search("x")
        assert isinstance(caught.value, ValueError)

    def test_an_embedder_that_fails_on_a_query(self, made: Path) -> None:
        class Failing(HashingEmbedder):
            def encode(self, texts: Sequence[str]) -> Any:
                raise RuntimeError("no network")

        failing = pytest.raises(EmbeddingError, match=r"hashing-64.*no network")
        with MemvidRetriever(made, embedder=Failing(dim=64)) as memory, failing:
            memory.search("x")


class TestOutput:
    def test_a_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"create the folder .*nowhere") as caught:
            build(tmp_path / "nowhere" / "here", ["a"])
        assert isinstance(caught.value, OSError)
        assert caught.value.errno == errno.ENOENT
        with MemvidEncoder(embedder=EMBEDDER) as encoder:
            encoder.add_chunks(["a"])
            with pytest.raises(OutputError, match=r"create the folder .*nowhere"):
                encoder.build_video(tmp_path / "m.mp4", tmp_path / "nowhere" / "here" / "index.json")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"mine")
        with pytest.raises(OutputError) as caught:
            build(tmp_path / "file", ["a"])
        assert caught.value.errno == errno.ENOTDIR
        assert all_files(tmp_path) == {"file": b"mine"}

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_read_only_folder(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(OutputError, match="may write to"):
            build(tmp_path, ["a"])

    @pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs /proc")
    def test_a_folder_nobody_may_write_to(self) -> None:
        with pytest.raises(OutputError) as caught:
            build(Path("/proc"), ["a"])
        assert caught.value.errno in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)

    def test_no_room_for_the_spool(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
        with MemvidEncoder(embedder=EMBEDDER) as encoder, pytest.raises(OutputError, match="TMPDIR"):
            encoder.add_chunks(["a"])


FULL_DISK = """
import os, resource, signal, sys
from pathlib import Path
from memvid.errors import OutputError
from memvid import MemvidEncoder
from memvid.index.record_writer import RecordWriter
from tests.memory_support import EMBEDDER, all_files, make_texts, make_vectors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder, keywords, index = Path(sys.argv[1]), sys.argv[2] == "True", sys.argv[3]
before = all_files(folder)
encoder = MemvidEncoder(embedder=EMBEDDER, keywords=keywords, compression="none")
encoder.add_chunks(make_texts(600, words=12), embeddings=make_vectors(600))
def limited(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        encoder.build_video(folder / "memory.mp4", folder / index)
        return None
    except OutputError as error:
        return error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
failures = []
for size in [0, 1000, 20_000, 40_000, 60_000, 80_000, 100_000, 120_000, 140_000, 200_000, 400_000]:
    error = limited(size)
    if error is None:
        break
    assert "space" in str(error) or "again" in str(error), error
    assert all_files(folder) == before, size
    failures.append(Path(str(error.filename or str(error).split(": ")[0])).name.removesuffix(".new"))
records = RecordWriter(folder / "other.records", keywords=keywords)
records.add(0, make_texts(2000, words=12), [{"n": n} for n in range(2000)])
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    records.finish()
except OutputError as error:
    assert "space" in str(error) or "again" in str(error), error
    failures.append(Path(error.filename).name)
records.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
(folder / "other.records").unlink()
spooling = MemvidEncoder(embedder=EMBEDDER)
spooling.add_chunks(["kept"])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    spooling.add_chunks(map(str, range(10**9)))
except OutputError as error:
    assert "free space" in str(error), error
    assert len(spooling) == 1
    failures.append("spool")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spooling.add_chunks(["more"])
spooling.build_video(folder / "spooled.mp4")
encoder.build_video(folder / "memory.mp4", folder / index)
assert set(all_files(folder)) == ({"memory.mp4", "spooled.mp4"} if index == "memory.mp4" else {*before, "spooled.mp4"})
print(" ".join(dict.fromkeys(failures)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE as Linux has it")
@pytest.mark.parametrize(
    ("index", "side_file"), [("memory_index.json", "memory_index.usearch"), ("memory.mp4", "memory.mp4.usearch")]
)
@pytest.mark.parametrize("keywords", [True, False])
def test_a_full_disk_leaves_the_old_memory_and_no_litter(
    tmp_path: Path, keywords: bool, index: str, side_file: str
) -> None:
    build(tmp_path, ["old"], embeddings=make_vectors(1))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), str(keywords), index]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    failed = set(run.stdout.split())
    assert failed == {"memory.mp4", "other.records", side_file, "spool"}
