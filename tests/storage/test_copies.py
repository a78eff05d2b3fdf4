"""A copy of a memory's folder, made at any moment of an append: it opens as the old state or as the new one.

One whose files were copied at different moments may also be refused, but never is anything else.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidAppender, _core
from memvid.errors import IndexFileError
from memvid.maintenance import reindex, verify
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


def copies_of_an_append(tmp_path: Path, patch: pytest.MonkeyPatch, *, deletes: bool) -> list[Path]:
    """Videos of copies that were made one after the other while a memory of 20 chunks grew to 30."""
    (tmp_path / "memory").mkdir()
    video = build(tmp_path / "memory", TEXTS[:20], symbol_version=10)
    copies = Copies(video.parent, tmp_path / "copies")
    with patch.context() as patched, MemvidAppender(video, embedder=EMBEDDER) as appender:
        appender.add_chunks(TEXTS[20:])
        if deletes:
            appender.delete([3, 4])
        for name in _CALLS:
            patched.setattr(os, name, copies.around(getattr(os, name)))
        patched.setattr(_core, "commit_append", copies.around(_core.commit_append))
        appender.append()
    return [folder / video.name for folder in copies.made]


def texts_of(video: Path) -> list[str]:
    with open_memory(video) as memory:
        return [chunk.text for chunk in memory.get_chunks_by_id(memory.chunk_ids())]


@pytest.mark.parametrize("deletes", [False, True], ids=["append", "append and delete"])
def test_a_copy_made_during_an_append_is_the_old_memory_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, deletes: bool
) -> None:
    copies = copies_of_an_append(tmp_path, monkeypatch, deletes=deletes)
    kept = [text for number, text in enumerate(TEXTS) if not deletes or number not in (3, 4)]
    states = []
    for video in copies:
        states.append(texts_of(video))
        assert verify(video, deep=True).ok
    assert states[0] == TEXTS[:20]
    assert states[-1] == kept
    changed = next(number for number, state in enumerate(states) if state != TEXTS[:20])
    assert states[changed:] == [kept] * (len(states) - changed)
    assert len(states) > 10


def test_files_copied_one_after_the_other_are_one_of_both_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = copies_of_an_append(tmp_path, monkeypatch, deletes=False)
    chooser = random.Random(1)
    refused = 0
    for trial in range(40):
        mixed = tmp_path / f"mixed{trial}"
        mixed.mkdir()
        first = chooser.randrange(len(videos))
        names = [path.name for path in videos[first].parent.iterdir()]  # as `cp` lists them at its start
        chooser.shuffle(names)
        moments = sorted(chooser.choices(range(first, len(videos)), k=len(names)))
        for name, moment in zip(names, moments, strict=True):
            source = videos[moment].with_name(name)
            if source.exists():
                shutil.copy(source, mixed)
        copy = mixed / videos[0].name
        try:
            texts = texts_of(copy)
        except IndexFileError:
            refused += 1
            assert reindex(copy).missing == ()
            texts = texts_of(copy)
        assert texts in (TEXTS[:20], TEXTS)
        assert verify(copy, deep=True).ok
    assert 0 < refused < 40
