"""A clone without its Git LFS files: each has a pointer in its place, and the error says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvid.errors import MemvidError
from memvid.exchange import export
from memvid.maintenance import import_memory, repair, verify
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"


@pytest.mark.parametrize("name", ["memory.mp4", "memory_index.json", "memory_index.records", "memory_index.usearch"])
def test_each_file_of_a_memory(tmp_path: Path, name: str) -> None:
    video = build(tmp_path, make_texts(3))
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(MemvidError, match=rf"{name}.* git lfs pull"):
        open_memory(video)
    if name != "memory.mp4":
        assert "git lfs pull" in verify(video).findings[0].message
        return
    for ask in (
        lambda: verify(video),
        lambda: repair(video, tmp_path / "repaired.mp4", embedder=EMBEDDER),
        lambda: import_memory(video, None, tmp_path / "imported.mp4", embedder=EMBEDDER),
        lambda: export(video, tmp_path / "exported.mp4", codec="png"),
    ):
        with pytest.raises(MemvidError, match=rf"{name}.* git lfs pull"):
            ask()
