"""A bad sector, in samples; ``python -m tools.bad_sectors`` goes through all of them.

Nothing may die of one, raise anything but a typed error, or lie: what ``verify`` calls lost is what cannot be read, and
``repair`` brings back all others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.bad_sector_support import KINDS, build_kind, files_of, sectors_of
from tests.hostile.bad_sectors import run_sectors
from tests.storage.disk.bad_sector import compile_bad_sector
from tests.storage.disk.trap import TrapError

pytestmark = pytest.mark.tools

SAMPLES = 4  # sectors of a video; one of each other file


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return compile_bad_sector(tmp_path_factory.mktemp("library"))
    except TrapError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", KINDS)
def test_each_costs_what_lies_on_it(kind: str, library: Path, tmp_path: Path) -> None:
    if "codec" in KINDS[kind]:
        pytest.importorskip("av")
    folder = tmp_path / kind
    folder.mkdir()
    build_kind(kind, folder)
    chunks = 105 if "codec" in KINDS[kind] else 103
    for name in files_of(folder):
        sectors = sectors_of(folder / name)
        step = max(1, sectors // (SAMPLES if name == "memory.mp4" else 1))
        rows = run_sectors(library, kind, folder, name, range(step // 2, sectors, step))
        assert rows
        for row in rows:
            assert row["problems"] == [], f"{name}, sector {row['sector']}"
            if name != "memory.mp4":
                assert (row["read"], row["repaired"]) == (chunks, chunks)
        if kind == "parity":
            assert max(row["read"] for row in rows) == chunks
