"""The first inputs of the fuzz targets are made with our own writers, and can be made."""

from __future__ import annotations

from pathlib import Path

from tools.fuzz import TARGETS
from tools.fuzz_seeds import write_seeds


def test_every_target_has_seeds(tmp_path: Path) -> None:
    write_seeds(tmp_path)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == sorted(TARGETS)
    for target in TARGETS:
        seeds = [path.read_bytes() for path in (tmp_path / target).iterdir()]
        assert seeds
        assert all(seeds)
