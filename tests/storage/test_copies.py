"""A copy of a memory's folder, made at any moment of an append: it opens as the old state or as the new one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidAppender, _core
from memvid.maintenance import verify
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

TEXTS = make_texts(30)
_CALLS = ("fsync", "replace", "rename", "unlink", "ftruncate", "link", "open", "close")


class Copies:
    """Copies a folder before and after each call that may change a file in it."""

    def __init__(self, folder: Path, into: Path) -> None:
        self._folder = folder
        self._into = into
        self._busy = False
        self._last: dict[str, bytes] = {}
        self.made: list[Path] = []

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with copies."""

        def copying(*args: Any, **options: Any) -> Any:
            self._copy()
            try:
                return call(*args, **options)
            finally:
                self._copy()

        return copying

    def _copy(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            now = {path.name: path.read_bytes() for path in self._folder.iterdir() if path.is_file()}
            if now != self._last:
                self._last = now
                folder = self._into / str(len(self.made))
                shutil.copytree(self._folder, folder)
                self.made.append(folder)
        finally:
            self._busy = False


@pytest.mark.parametrize("deletes", [False, True], ids=["append", "append and delete"])
def test_a_copy_made_during_an_append_is_the_old_memory_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, deletes: bool
) -> None:
    (tmp_path / "memory").mkdir()
    video = build(tmp_path / "memory", TEXTS[:20], symbol_version=10)
    copies = Copies(video.parent, tmp_path / "copies")
    with monkeypatch.context() as patch, MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(TEXTS[20:])
        if deletes:
            appender.delete([3, 4])
        for name in _CALLS:
            patch.setattr(os, name, copies.around(getattr(os, name)))
        patch.setattr(_core, "commit_append", copies.around(_core.commit_append))
        appender.append()
    kept = [text for number, text in enumerate(TEXTS) if not deletes or number not in (3, 4)]
    states = []
    for folder in copies.made:
        with open_memory(folder / video.name) as memory:
            states.append([chunk.text for chunk in memory.get_chunks_by_id(memory.chunk_ids())])
        assert verify(folder / video.name, deep=True).ok
    assert states[0] == TEXTS[:20]
    assert states[-1] == kept
    changed = next(number for number, state in enumerate(states) if state != TEXTS[:20])
    assert states[changed:] == [kept] * (len(states) - changed)
    assert len(states) > 10
