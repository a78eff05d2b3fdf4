"""Builds with a checkpoint: killed at any point and resumed, they give the bytes of one that was not."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from memvid import MemvidEncoder
from memvid.building import checkpoint as checkpoint_module
from memvid.building import index_feed
from memvid.building.checkpoint import Checkpoint, checkpoint_rows
from memvid.embedding import HashingEmbedder
from memvid.errors import EmbeddingError, ModelMismatchError, OutputError
from memvid.index import IndexBuilder
from memvid.types import BuildResult, Progress
from memvid.video import VideoWriter
from tests.memory_support import all_files, make_texts, make_vectors

Vectors = NDArray[np.float32]


class Batched(HashingEmbedder):
    """Counts what it embeds. A text's vector depends on the batch, as it does with many models, by a little."""

    def __init__(self, tally: Path | None = None, before: Callable[[], None] = lambda: None) -> None:
        super().__init__(dim=16)
        self.embedded: list[str] = []
        self._tally = tally
        self._before = before

    def encode(self, texts: Sequence[str]) -> Vectors:
        self._before()
        self.embedded += texts
        if self._tally is not None:
            with self._tally.open("ab") as file:
                file.write(b"." * len(texts))
        vectors: Vectors = super().encode(texts)
        vectors += vectors.mean(axis=0) / 4
        return vectors


class Alone(Batched):
    """A text's vector depends on nothing else."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return HashingEmbedder.encode(self, texts)


def build(
    folder: Path, embedder: Any, texts: Sequence[str], *, checkpoint: str | None = "c", **given: Any
) -> BuildResult:
    folder.mkdir(exist_ok=True)
    with MemvidEncoder(embedder=embedder, keywords=False, threads=given.pop("threads", 1)) as encoder:
        for added in given.pop("before", ()):
            encoder.add_chunks(**added)
        encoder.add_chunks(texts)
        path = None if checkpoint is None else folder / checkpoint
        return encoder.build_video(folder / "memory.mp4", checkpoint=path, **given)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_feed, "_BATCH", 16)


class _Killer:
    """Kills the process at the n-th step of a build."""

    def __init__(self, left: int) -> None:
        self._left = left

    def touch(self) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove") and ("memory" in str(args) or "checkpoint" in str(args)):
            self.touch()

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.touch()
            result = function(*args, **kwargs)
            self.touch()
            return result

        return call

    def torn(self, write: Callable[[int, Any, int], int]) -> Callable[[int, Any, int], int]:
        def call(descriptor: int, data: Any, offset: int) -> int:
            write(descriptor, data[: len(data) // 2], offset)
            self.touch()
            return write(descriptor, data, offset)

        return call


def build_and_be_killed(folder: Path, tally: Path, texts: Sequence[str], touches: int) -> bool:
    """Build in a child that is killed after ``touches``; whether it came to the end before."""
    child = os.fork()
    if child == 0:
        try:
            killer = _Killer(touches)
            os.fsync = killer.wrap(os.fsync)
            os.pwrite = killer.torn(os.pwrite)
            for owner, name in ((VideoWriter, "write"), (IndexBuilder, "add"), (IndexBuilder, "stage")):
                setattr(owner, name, killer.wrap(getattr(owner, name)))
            sys.addaudithook(killer.hook)
            build(folder, Batched(tally, killer.touch), texts, checkpoint="memory.checkpoint")
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


@pytest.mark.usefixtures("small_batches")
def test_resumed_on_another_number_of_cores(tmp_path: Path) -> None:
    texts = make_texts(600, words=6)
    build(tmp_path / "whole", Batched(), texts, checkpoint=None, threads=2)

    def fail() -> None:
        if len(broken.embedded) >= 320:
            raise EmbeddingError("no more")

    broken = Batched(before=fail)
    with pytest.raises(EmbeddingError, match="no more"):
        build(tmp_path / "resumed", broken, texts, threads=4)
    assert build(tmp_path / "resumed", Batched(), texts, threads=1).embeddings_resumed >= 300
    assert all_files(tmp_path / "resumed") == all_files(tmp_path / "whole")


TEXTS = make_texts(60, words=6)
REPEATING = TEXTS + TEXTS[:10]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.usefixtures("small_batches")
class TestKilled:
    @pytest.fixture
    def expected(self, tmp_path: Path) -> dict[str, bytes]:
        build(tmp_path / "expected", Batched(), REPEATING, checkpoint=None)
        return all_files(tmp_path / "expected")

    @pytest.mark.parametrize(("sync_seconds", "step"), [(0.0, 1), (1e9, 3)])
    def test_killed_at_any_step_and_resumed_gives_the_same_bytes(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        expected: dict[str, bytes],
        sync_seconds: float,
        step: int,
    ) -> None:
        monkeypatch.setattr(checkpoint_module, "SYNC_SECONDS", sync_seconds)
        folder, tally = tmp_path / "killed", tmp_path / "tally"
        resumed = set()
        for touches in count(0, step):
            tally.write_bytes(b"")
            finished = build_and_be_killed(folder, tally, REPEATING, touches)
            left = all_files(folder) if folder.exists() else {}
            complete = expected.items() <= left.items() and "memory.checkpoint" not in left
            again = build(folder, Batched(tally), REPEATING, checkpoint="memory.checkpoint")
            assert all_files(folder) == expected
            assert again.embeddings_made + again.embeddings_resumed == len(REPEATING)
            if finished:
                break
            if not complete:  # else it was killed behind the removal of the checkpoint
                assert tally.stat().st_size <= len(REPEATING) + 16  # a batch at most is made twice
                resumed.add(again.embeddings_resumed)
            shutil.rmtree(folder)
        assert touches > 40
        assert resumed <= {0, 16, 32, 48, 64, 70}
        assert len(resumed) > 6 - step

    def test_killed_again_and_again(self, tmp_path: Path, expected: dict[str, bytes]) -> None:
        folder, tally = tmp_path / "killed", tmp_path / "tally"
        chooser = random.Random(3)
        kills = 0
        while not build_and_be_killed(folder, tally, REPEATING, chooser.randrange(8, 40) + kills):
            kills += 1
        assert all_files(folder) == expected
        assert kills > 1
        assert tally.stat().st_size <= len(REPEATING) + 16 * kills


@pytest.mark.usefixtures("small_batches")
class TestBuilds:
    def interrupt(self, folder: Path, texts: Sequence[str], *, after: int = 100) -> None:
        """A build that ends after so many batches, or when everything is embedded."""
        calls = iter([False] * after)

        def stop() -> None:
            if next(calls, True):
                raise KeyboardInterrupt

        def end(progress: Progress) -> None:
            if progress.stage == "index" and progress.done == progress.total:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(folder, Batched(before=stop) if after < 100 else Alone(), texts, progress=end)

    def test_an_interrupted_build_keeps_its_checkpoint_and_a_finished_one_removes_it(self, tmp_path: Path) -> None:
        folder = tmp_path / "memory"
        self.interrupt(folder, TEXTS, after=2)
        assert sorted(all_files(folder)) == ["c"]
        assert checkpoint_rows(folder / "c") == 32
        seen: list[Progress] = []
        embedder = Batched()
        result = build(folder, embedder, TEXTS, progress=seen.append)
        assert (result.embeddings_made, result.embeddings_resumed) == (28, 32)
        assert embedder.embedded == TEXTS[32:]
        assert "c" not in all_files(folder)
        assert seen[-1] == Progress("index", 60, 60, resumed=32)
        assert all(progress.resumed <= progress.done for progress in seen)

    def test_a_checkpoint_holds_no_text(self, tmp_path: Path) -> None:
        folder = tmp_path / "memory"
        self.interrupt(folder, TEXTS, after=3)
        kept = (folder / "c").read_bytes().lower()
        assert not any(word.encode() in kept for text in TEXTS for word in text.split() if len(word) > 4)

    @pytest.mark.parametrize(
        ("changed", "new"),
        [
            (["first.", *TEXTS], 1),
            ([*TEXTS[:30], "between.", *TEXTS[30:]], 1),
            ([*TEXTS, "last."], 1),
            (TEXTS[7:], 0),
            (TEXTS[:20] + TEXTS[40:], 0),
            (list(reversed(TEXTS)), 0),
            ([text.replace("0", "zero") for text in TEXTS], 6),
            ([text + " changed." for text in TEXTS], 60),
        ],
        ids=["first", "between", "last", "fewer", "a gap", "reversed", "some", "all"],
    )
    def test_changed_documents_use_what_is_there(self, tmp_path: Path, changed: list[str], new: int) -> None:
        folder = tmp_path / "memory"
        self.interrupt(folder, TEXTS)
        kept = all_files(folder)
        embedder = Alone()
        result = build(folder, embedder, changed)
        assert (result.embeddings_made, result.embeddings_resumed) == (new, len(changed) - new)
        assert set(embedder.embedded) == set(changed) - set(TEXTS)
        build(tmp_path / "expected", Alone(), changed, checkpoint=None)
        # What this build had no use for is another one's, and stays for that to go on.
        left = kept if new == len(changed) else {}
        assert all_files(folder) == {**all_files(tmp_path / "expected"), **left}

    def test_left_behind_after_the_commit_it_harms_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "memory"
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "remove", lambda self: None)
            build(folder, Batched(), TEXTS)
        before = all_files(folder)
        assert "c" in before
        embedder = Batched()
        assert build(folder, embedder, TEXTS).embeddings_resumed == 60
        assert embedder.embedded == []
        del before["c"]
        assert all_files(folder) == before

    def test_embeddings_that_were_given_are_not_kept(self, tmp_path: Path) -> None:
        folder = tmp_path / "memory"
        vectors = np.tile(make_vectors(1)[:, :16], (20, 1))
        given = {"chunks": make_texts(20, seed=9), "embeddings": vectors}

        def interrupt(progress: Progress) -> None:
            if progress.stage == "index" and progress.done == progress.total:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(folder, Batched(), TEXTS, before=[given], progress=interrupt)
        assert checkpoint_rows(folder / "c") == 60
        embedder = Batched()
        result = build(folder, embedder, TEXTS, before=[given])
        assert (result.chunks, result.embeddings_made, result.embeddings_resumed) == (80, 0, 60)
        build(tmp_path / "expected", Batched(), TEXTS, before=[given], checkpoint=None)
        assert all_files(folder) == all_files(tmp_path / "expected")

    def test_a_failing_embedder_costs_one_batch(self, tmp_path: Path) -> None:
        folder = tmp_path / "memory"
        left = [False, False, True, False, False]

        def fail() -> None:
            if left.pop(0):
                raise RuntimeError("the network is down")

        embedder = Batched(before=fail)
        with pytest.raises(EmbeddingError, match="the network is down"):
            build(folder, embedder, TEXTS)
        result = build(folder, embedder, TEXTS)
        assert (result.embeddings_made, result.embeddings_resumed) == (28, 32)
        assert embedder.embedded == TEXTS

    def test_another_model_is_refused_and_nothing_changes(self, tmp_path: Path) -> None:
        folder = tmp_path / "memory"
        self.interrupt(folder, TEXTS, after=2)
        before = all_files(folder)
        with pytest.raises(ModelMismatchError, match="hashing-16"):
            build(folder, HashingEmbedder(dim=32), TEXTS)
        assert all_files(folder) == before

    @pytest.mark.parametrize(
        "name",
        ["memory.mp4", "memory_index.json", "memory_index.usearch", "memory_index.records.new", "memory.mp4.lock"],
    )
    def test_names_of_the_memory_are_refused(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "memory"
        with pytest.raises(OutputError, match="name"):
            build(folder, Batched(), TEXTS, checkpoint=name, index_file=folder / "memory_index.json")
        assert all_files(folder) == {}

    @pytest.mark.parametrize("name", ["memory.mp4", "memory.mp4.usearch", "memory.mp4.records.new", "memory.mp4.lock"])
    def test_names_of_a_memory_in_one_file_are_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(OutputError, match="name"):
            build(tmp_path / "memory", Batched(), TEXTS, checkpoint=name)
        assert all_files(tmp_path / "memory") == {}

    def test_two_builds_of_different_memories_do_not_share_one(self, tmp_path: Path) -> None:
        refused = []

        def build_the_other(progress: Progress) -> None:
            with pytest.raises(OutputError, match="another process"):
                build(tmp_path / "b", Batched(), TEXTS, checkpoint="../a/c")
            refused.append(progress)

        build(tmp_path / "a", Batched(), TEXTS, progress=build_the_other)
        assert refused

    def test_nothing_is_kept_of_a_build_that_embedded_nothing(self, tmp_path: Path) -> None:
        def fail() -> None:
            raise RuntimeError("no key")

        with pytest.raises(EmbeddingError):
            build(tmp_path / "memory", Batched(before=fail), TEXTS)
        assert all_files(tmp_path / "memory") == {}
