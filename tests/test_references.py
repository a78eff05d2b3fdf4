"""What prose and docstrings name is there: files of the checkout, modules, and what they say is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tests.repository import ROOT

PROSE = sorted(
    path
    for folder in ("", "docs", "src", "cpp", "tests", "tools", "benchmarks", "examples")
    for pattern in ("*.md", "*.py", "*.hpp", "*.cpp", "*.c")
    for path in ((ROOT / folder).rglob(pattern) if folder else ROOT.glob(pattern))
    if path != Path(__file__)
)
FILE = re.compile(r"(?<![\w./-])(?:src|cpp|docs|tests|tools|benchmarks|examples|cmake)/[\w./-]*\w(?!/?\*)")
MODULE = re.compile(r":(?:mod|class|func|meth|data|exc):`~?(memvid(?:\.\w+)+)`")
MADE = re.compile(r"build/|benchmarks/results/results\.|\.log$")  # not in a fresh checkout, or not yet


def references(path: Path, pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if "://" not in line:
            yield from ((number, match.group(match.lastindex or 0)) for match in pattern.finditer(line))


def test_files_that_are_named_exist() -> None:
    missing = [
        f"{path.relative_to(ROOT)}:{line} names {name}"
        for path in PROSE
        for line, name in references(path, FILE)
        if not (ROOT / name).exists() and not (path.parent / name).exists() and not MADE.search(name)
    ]
    assert missing == []


def test_modules_and_names_that_are_named_exist() -> None:
    missing = [
        f"{path.relative_to(ROOT)}:{line} names {name}"
        for path in PROSE
        for line, name in references(path, MODULE)
        if not resolves(name)
    ]
    assert missing == []


def resolves(name: str) -> bool:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_a_missing_one_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.md"
    file.write_text("`docs/nothing.md`, docs/format.md; :mod:`memvid.nothing`, :class:`~memvid.page.PageKind`.\n")
    assert [name for _, name in references(file, FILE)] == ["docs/nothing.md", "docs/format.md"]
    assert [resolves(name) for _, name in references(file, MODULE)] == [False, True]
