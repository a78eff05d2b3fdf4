"""Packages that cannot be imported: only one that is missing is said to be missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import memvid
from memvid import MemvidEncoder
from memvid.cli import main
from memvid.dependencies import import_dependency
from memvid.embedding import HashingEmbedder
from memvid.errors import DependencyError
from tests.memory_support import EMBEDDER, all_files, build, make_texts, make_vectors, open_memory

HINT = "this needs it: pip install it"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a package of some source, under a name of its own."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        return name

    return make


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part", "json.no_such_part"])
def test_what_is_not_installed_names_the_command(module: str) -> None:
    with pytest.raises(DependencyError, match=HINT) as caught:
        import_dependency(module, HINT)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("needs_another", "import no_such_package", "No module named 'no_such_package'"),
        ("lacks_a_library", "raise ImportError('libGL.so.1: cannot open shared object file')", "libGL.so.1"),
        ("cannot_be_mapped", "raise OSError(12, 'Cannot allocate memory')", "Cannot allocate memory"),
        ("fails_in_c", "raise RuntimeError('module compiled against another ABI')", "another ABI"),
        (
            "gives_advice",
            "try:\n    raise ImportError('lib.so: failed to map segment')\n"
            "except ImportError as error:\n    raise ImportError('PLEASE READ THIS') from error",
            "lib.so: failed to map segment",
        ),
    ],
)
def test_what_does_not_load_is_reported_as_that(package: Any, name: str, source: str, says: str) -> None:
    try:
        raise KeyError("something else that is being handled")
    except KeyError:
        with pytest.raises(DependencyError, match=f"^{name} is installed, but cannot be loaded: .*{says}") as caught:
            import_dependency(package(name, source), HINT)
    assert caught.value.__cause__ is not None
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize(
    "source", ["raise MemoryError", "try:\n    raise MemoryError\nexcept MemoryError:\n    raise ImportError('x')"]
)
def test_memory_that_is_short_stays_a_memory_error(package: Any, source: str) -> None:
    with pytest.raises(MemoryError, match="load"):
        import_dependency(package(f"is_large_{len(source)}", source), HINT)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space differ")
@pytest.mark.parametrize("module", ["onnxruntime", "tokenizers", "av", "cv2", "openai"])
def test_under_a_limit_of_memory(module: str) -> None:
    if find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    script = f"""
import resource
import numpy
from memvid.dependencies import import_dependency
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (2 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    import_dependency({module!r}, "it: pip install it")
except (ImportError, MemoryError) as error:
    print(type(error).__name__, error)
"""
    done = run_python("-c", script)
    assert done.stdout.startswith(("DependencyError", "MemoryError")), done.stderr
    assert "pip install" not in done.stdout


class TestCommandLine:
    @pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space differ")
    @pytest.mark.parametrize("megabytes", [40, 60])
    def test_without_the_memory_to_load_numpy(self, megabytes: int, tmp_path: Path) -> None:
        script = (
            "import resource, sys; from memvid.cli import main; "
            f"resource.setrlimit(resource.RLIMIT_AS, ({megabytes} << 20, {megabytes} << 20)); "
            f"sys.exit(main(['search', {str(build(tmp_path, ['a text']))!r}, 'text', '--model', 'hashing']))"
        )
        done = run_python("-c", script)
        assert done.returncode == 1
        assert done.stderr.startswith(
            ("memvid: error: a part of memvid cannot be loaded: ", "memvid: error: there is not")
        )
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (MemoryError(), "error: there is not enough memory: close other programs"),
            (MemoryError("Unable to allocate 3. GiB"), "not enough memory (Unable to allocate 3. GiB): close"),
            (RuntimeError("can't start new thread"), "error: no thread can be started: close other programs"),
            (ImportError("lib.so: failed to map"), "error: a part of memvid cannot be loaded: lib.so: failed to map"),
            (RuntimeError("a fault"), "error: unexpected RuntimeError: a fault"),
        ],
    )
    def test_a_verb_that_fails_says_so_in_a_line(
        self,
        error: Exception,
        says: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(*_: object, **__: object) -> Any:
            raise error

        video = build(tmp_path, ["a text"])
        monkeypatch.setattr("memvid.retriever.MemvidRetriever.__init__", fail)
        assert main(["search", str(video), "text", "--model", "hashing"]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert says in err
        assert err.count("\n") == 1


class OutOfMemory(HashingEmbedder):
    def encode(self, texts: Sequence[str]) -> Any:
        raise MemoryError(f"{len(texts)} texts")


def test_the_library_lets_a_memory_error_be_one(tmp_path: Path) -> None:
    with MemvidEncoder(embedder=OutOfMemory(EMBEDDER.dim)) as encoder:
        encoder.add_chunks(["a text"])
        with pytest.raises(MemoryError, match="1 texts"):
            encoder.build_video(tmp_path / "m.mp4")
    assert all_files(tmp_path) == {}
    video = build(tmp_path, ["a text"])
    with memvid.MemvidRetriever(video, embedder=OutOfMemory(EMBEDDER.dim)) as memory, pytest.raises(MemoryError):
        memory.search("text")


def test_an_index_that_cannot_be_mapped_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(12, "Cannot allocate memory")

    video = build(tmp_path, ["a text"])
    monkeypatch.setattr("memvid.index.open_file._READ_BYTES", 0)  # larger ones are mapped
    monkeypatch.setattr("memvid.index.open_file.mmap.mmap", fail)
    with pytest.raises(MemoryError, match=r"memory_index\.records"):
        open_memory(video)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space differ")
def test_the_native_core_runs_out_of_memory_as_python_does(tmp_path: Path) -> None:
    texts = make_texts(1_000, words=300)
    video = build(tmp_path, texts, embeddings=make_vectors(1_000), compression="none", keywords=False)
    script = f"""
import resource
from memvid.video import VideoReader
reader = VideoReader({str(video)!r})
start = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
found = set()
for more in range(0, 6 << 20, 256 << 10):
    resource.setrlimit(resource.RLIMIT_AS, (start + more, resource.RLIM_INFINITY))
    try:
        found.add(len(reader.read(range(reader.frame_count))) == reader.frame_count)
    except Exception as error:
        found.add(type(error).__name__)
print(sorted(map(str, found)))
"""
    done = run_python("-c", script)
    assert done.stdout == "['MemoryError', 'True']\n", done.stderr


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
