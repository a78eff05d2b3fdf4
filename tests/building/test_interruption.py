"""Ctrl-C while a memory is written: no thread goes on, and the files are as before."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from memvid import MemvidEncoder
from memvid.embedding import HashingEmbedder
from memvid.maintenance import compact, delete, reindex, repair
from memvid.workers import Worker
from tests.memory_support import all_files, build, make_texts


class Interrupting:
    """An embedder in the middle of whose work Ctrl-C is pressed, and again when the build waits for it to end."""

    name, dim = "hashing-64", 64

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = HashingEmbedder(dim=64)
        self._waits = threading.Event()
        self.calls = 0
        finish = Worker.finish

        def finish_later(worker: Worker) -> None:
            if worker._thread.name == "memvid-index":  # others end while this one may still go on
                self._waits.set()
            finish(worker)

        monkeypatch.setattr(Worker, "finish", finish_later)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        os.kill(os.getpid(), signal.SIGINT)
        self._waits.wait()
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        return self._real.encode(texts)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before
    assert signal.signal(signal.SIGINT, handler) is signal.default_int_handler


def _build(video: Path, embedder: Interrupting) -> None:
    with MemvidEncoder(embedder=embedder) as encoder:
        encoder.add_chunks(make_texts(300))
        encoder.build_video(video)


def _append(video: Path, embedder: Interrupting) -> None:
    with MemvidEncoder.open(video, embedder=embedder) as encoder:
        encoder.add_chunks(make_texts(300))
        encoder.append()


@pytest.mark.parametrize(
    "write",
    [
        _build,
        _append,
        lambda video, embedder: reindex(video, embedder=embedder),
        lambda video, embedder: repair(video, video.with_name("new.mp4"), embedder=embedder, index=video / "none"),
    ],
    ids=["build", "append", "reindex", "repair"],
)
def test_the_embedder_ends_with_what_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, Interrupting], object]
) -> None:
    video = build(tmp_path, make_texts(300))
    before = all_files(tmp_path)
    embedder = Interrupting(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(video, embedder)
    assert embedder.calls == 1
    assert all_files(tmp_path) == before


def test_in_the_middle_of_a_commit_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = build(tmp_path, make_texts(30))
    delete(video, chunk_ids=[1])
    replace = Path.replace

    def replace_and_press(self: Path, target: Path) -> Path:
        done = replace(self, target)
        signal.raise_signal(signal.SIGINT)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_and_press)
        with pytest.raises(KeyboardInterrupt):
            compact(video)
    after = all_files(tmp_path)
    assert not [name for name in after if name.endswith((".new", ".lock", ".commit"))]
    compact(video)
    assert all_files(tmp_path) == after
