"""Imports point down, and `import memvid` costs next to nothing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import memvid
from tests.memory_support import build
from tests.repository import ROOT

PACKAGE = Path(memvid.__file__).parent

# From the top down. A module may import from its own unit and from rows below, never from another unit of its row.
# A unit is named by its modules, public one first; packages stand for all that is in them, unless a name says more.
LAYERS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("__main__",),),
    (("cli",),),
    (("demo",),),
    (("chat",), ("maintenance",), ("exchange",), ("evaluation",)),
    (("maintenance.repair",),),
    (("maintenance.rewrite",), ("maintenance.legacy",)),
    (("maintenance.verify",),),
    (("maintenance.damaged",),),
    (("encoder", "appender"), ("retriever", "async_search", "query_cache")),
    (("building",), ("ranking",)),
    (("llm",), ("index",), ("video",), ("embedding",), ("documents",)),
    (("page",), ("chunking", "sentences")),
    (("storage",), ("network",)),
    (("_core",), ("_onnxruntime",), ("unspaced_scripts",), ("long_texts",), ("printable",)),
    (("config",), ("dependencies",), ("pickling",), ("workers",)),
    (("checks",), ("types",), ("query",), ("allowance",), ("interrupts",), ("remedies",)),
    (("errors",),),
)
PLACES = {name: (row, unit) for row, units in enumerate(LAYERS) for unit in units for name in unit}
HEAVY = (
    "cv2",
    "onnxruntime",
    "tokenizers",
    "usearch",
    "openai",
    "segno",
    "zstandard",
    "numpy",
    "sqlite3",
    "click",
    "tqdm",
    "http",  # the next three: who asks no server needs none of it, 4 MB
    "ssl",
    "email",
)


def module_files() -> Iterator[tuple[str, Path]]:
    """Every module of the package by its name below ``memvid``; the package itself has none."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            yield name, path


MODULES = dict(module_files())


def place(name: str) -> str | None:
    """The name in LAYERS that a module, or what is imported from one, belongs to: the longest one there is."""
    parts = name.split(".")
    return next((known for end in range(len(parts), 0, -1) if (known := ".".join(parts[:end])) in PLACES), None)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of all that a module imports from memvid, in functions and for the type checker too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relative to itself"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "memvid" and rest != "__version__":
                yield node.lineno, rest


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str) -> None:
    home = place(name)
    assert home, f"{name} has no place in LAYERS"
    row, unit = PLACES[home]
    for line, target in imported(MODULES[name]):
        below = place(target)
        where = f"{MODULES[name]}:{line}"
        assert below, f"{where} imports {target!r} from the package itself: import it from its home"
        assert below in unit or PLACES[below][0] > row, f"{where}: {home} must not import {below}"


def test_contributing_has_the_picture_of_these_layers() -> None:
    picture = "\n".join("    " + "   ".join(", ".join(unit) for unit in row) for row in LAYERS)
    assert f"\n\n{picture}\n\n" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_every_layer_is_there() -> None:
    for name in PLACES:
        path = PACKAGE.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file() or path.with_suffix(".pyi").is_file(), name


def test_one_room_has_a_way_out() -> None:
    """What reaches other machines is in ``memvid.network``, which knows what may."""
    ways = {"openai", "httpx", "httpcore", "requests", "urllib.request", "http.client", "ssl"}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom):
                imported = {str(node.module)}
            elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
                imported = {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
            assert not imported & ways or place(name) == "network", f"{path}: {ast.unparse(node)}"


def test_a_wrong_import_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "import memvid.page\nfrom memvid import _core, __version__\ndef f():\n    from memvid.video import A, B\n"
    )
    assert list(imported(file)) == [(1, "page"), (2, "_core"), (4, "video.A"), (4, "video.B")]


def test_the_native_core_knows_the_errors_and_nothing_else() -> None:
    sources = list((ROOT / "cpp").rglob("*.?pp"))  # beside the tests: the package may be installed
    assert sources
    for path in sources:
        text = path.read_text(encoding="utf-8")
        if "bindings" not in path.parts:
            assert "pybind11" not in text
            assert "Python.h" not in text
        assert text.count("memvid.") == text.count("memvid.errors"), path


def run_fresh(script: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def heavy_after(statement: str) -> set[str]:
    return set(run_fresh(f"import sys; {statement}; print(*[m for m in {HEAVY!r} if m in sys.modules])").split())


def test_importing_memvid_imports_nothing_heavy() -> None:
    assert heavy_after("import memvid, memvid.errors, memvid.config, memvid.types; memvid.EncoderConfig()") == set()


def test_importing_encoder_and_retriever_loads_no_model_and_no_search() -> None:
    for module in ("encoder", "retriever"):
        assert heavy_after(f"import memvid.{module}") <= {"numpy", "zstandard"}


def test_a_small_memory_is_read_without_model_and_search_engine(tmp_path: Path) -> None:
    video = build(tmp_path, ["a b"])
    script = f"from tests.memory_support import open_memory; assert open_memory({str(video)!r}).search('a') == ['a b']"
    assert heavy_after(script) <= {"numpy", "zstandard"}


def test_what_a_question_does_not_need_is_not_imported_for_it(tmp_path: Path) -> None:
    """Each would add to the time of a process's first answer."""
    video = build(tmp_path, ["a b", "b c"])
    asked = f"from tests.memory_support import open_memory; assert len(open_memory({str(video)!r}).search('a')) == 2"
    spare = ("numpy.ma", "memvid.network", "memvid.chunking", "memvid.embedding.cross_encoder", "memvid.building")
    used = run_fresh(
        f"from tests import memory_support; import sys; before = set(sys.modules); {asked}; "
        f"print(*(set(sys.modules) - before) & {set(spare)!r})"
    )
    assert used.split() == []
    imported = run_fresh(f"import sys, memvid.retriever; print(*[m for m in {spare!r} if m in sys.modules])")
    assert imported.split() == []


def test_every_public_name_is_there() -> None:
    script = "import memvid; print(*(type(getattr(memvid, name)).__name__ for name in memvid.__all__))"
    assert len(run_fresh(script).split()) == len(memvid.__all__)
    assert memvid.__all__ == sorted(memvid.__all__)
    assert set(memvid.__all__) <= set(dir(memvid))
    assert run_fresh("from memvid import *; print(MemvidEncoder.__name__)") == "MemvidEncoder\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'MemvidDecoder'"):
        _ = memvid.MemvidDecoder
    with pytest.raises(ImportError):
        exec("from memvid import nothing_of_that_name")


@pytest.mark.parametrize("name", MODULES)
def test_all_lists_what_a_module_has(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    listed = next(
        (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        ),
        None,
    )
    if listed is None:
        assert name.partition(".")[0] == "__main__"
        return
    assert len(listed) == len(set(listed))
    module = __import__(f"memvid.{name}", fromlist=["x"])
    assert [public for public in listed if not hasattr(module, public)] == []
