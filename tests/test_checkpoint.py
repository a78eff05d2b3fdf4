from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memvid import MemvidEncoder
from memvid.building import checkpoint as checkpoint_module
from memvid.building import index_feed
from memvid.building.checkpoint import Checkpoint, checkpoint_file, checkpoint_rows
from memvid.embedding import HashingEmbedder
from memvid.errors import EmbeddingError, ModelMismatchError, OutputError
from memvid.index import IndexBuilder
from memvid.types import BuildResult, ModelInfo, Progress
from memvid.video import VideoWriter
from tests.memory_support import all_files, make_texts, make_vectors

MODEL = ModelInfo("small", 3, "ab" * 32)
Vectors = NDArray[np.float32]


def texts_of(first: int, rows: int) -> list[bytes]:
    return [b"text %d" % number for number in range(first, first + rows)]


def vector_of(text: bytes, dim: int = 3) -> Vectors:
    return np.random.default_rng(list(text)).standard_normal(dim).astype(np.float32)


def vectors_of(texts: Sequence[bytes], dim: int = 3) -> Vectors:
    return np.array([vector_of(text, dim) for text in texts], np.float32).reshape(-1, dim)


def write(path: Path, batches: Sequence[Sequence[bytes]], model: ModelInfo = MODEL) -> None:
    with Checkpoint(path, model) as checkpoint:
        for batch in batches:
            checkpoint.append(batch, vectors_of(batch, model.dim))


def found_in(path: Path, batches: Sequence[Sequence[bytes]]) -> list[list[bool]]:
    """Which texts of each batch are there; whatever is there must be right, to the bit."""
    result = []
    with Checkpoint(path, MODEL) as checkpoint:
        for batch in batches:
            vectors, found = checkpoint.find(batch)
            expected = vectors_of(batch)
            expected[~found] = 0
            assert vectors.tobytes() == expected.tobytes()
            result.append(found.tolist())
    return result


class TestFile:
    @given(batches=st.lists(st.lists(st.binary(max_size=8), min_size=1, max_size=5), max_size=5), data=st.data())
    @settings(max_examples=60)
    def test_any_vector_comes_back_to_the_bit(
        self, tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], data: st.DataObject
    ) -> None:
        path = tmp_path_factory.mktemp("checkpoint") / "c"
        numbers = st.floats(width=32, allow_nan=False)
        kept = [np.array([[data.draw(numbers) for _ in range(3)] for _ in batch], np.float32) for batch in batches]
        for run in range(len(batches)):  # each run is cut off behind one more batch
            with Checkpoint(path, MODEL) as checkpoint:
                for batch, vectors in list(zip(batches, kept, strict=True))[: run + 1]:
                    before, found = checkpoint.find(batch)
                    if not found.all():
                        assert not found.any()
                        checkpoint.append(batch, vectors)
                    else:
                        assert before.tobytes() == vectors.tobytes()
        assert checkpoint_rows(path) == sum(map(len, batches))

    @example(written=[[0], [0, 0]], asked=[[0, 0, 0], [0]])
    @given(
        written=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6), max_size=6),
        asked=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=6), max_size=8),
    )
    def test_texts_are_found_in_any_order(
        self, tmp_path_factory: pytest.TempPathFactory, written: list[list[int]], asked: list[list[int]]
    ) -> None:
        path = tmp_path_factory.mktemp("checkpoint") / "c"
        write(path, [[b"%d" % number for number in batch] for batch in written])
        rows = [number for batch in written for number in batch]
        expected, at, in_order = [], 0, True
        for batch in asked:  # as long as they come as they were written, what follows the last is new without a look
            if in_order and rows[at : at + len(batch)] == batch:
                at += len(batch)
                expected.append([True] * len(batch))
            else:
                in_order = in_order and at == len(rows)
                expected.append([not in_order and number in rows for number in batch])
        assert found_in(path, [[b"%d" % number for number in batch] for batch in asked]) == expected

    def test_cut_at_any_byte_of_the_last_batch(self, tmp_path: Path) -> None:
        path = tmp_path / "c"
        batches = [texts_of(0, 4), texts_of(4, 3)]
        write(path, batches[:1])
        start = path.stat().st_size
        write(path, batches[1:])
        data = path.read_bytes()
        for end in range(start, len(data)):
            path.write_bytes(data[:end])
            assert found_in(path, batches) == [[True] * 4, [False] * 3]
            assert path.read_bytes() == data[:start]
        path.write_bytes(data)
        assert found_in(path, batches) == [[True] * 4, [True] * 3]

    def test_a_tail_of_zeros_does_not_count(self, tmp_path: Path) -> None:
        path = tmp_path / "c"
        write(path, [texts_of(0, 4)])
        data = path.read_bytes()
        path.write_bytes(data + bytes(500))  # what a file system may leave of writes that were not synced
        assert found_in(path, [texts_of(0, 4), texts_of(4, 4)]) == [[True] * 4, [False] * 4]
        assert path.read_bytes() == data

    def test_no_flipped_bit_gives_a_wrong_vector(self, tmp_path: Path) -> None:
        path = tmp_path / "c"
        batches = [texts_of(0, 3), texts_of(3, 3)]
        write(path, batches)
        data = path.read_bytes()
        header = data.index(b"}") + 5
        chooser = random.Random(1)
        for at in range(len(data)):
            damaged = bytearray(data)
            damaged[at] ^= 1 << chooser.randrange(8)
            path.write_bytes(damaged)
            if at < header:
                with pytest.raises(OutputError, match="no checkpoint"):
                    Checkpoint(path, MODEL)
                assert path.read_bytes() == damaged
            else:
                found = [there for batch in found_in(path, batches) for there in batch]
                assert not all(found)
                assert sum(found) >= 3  # at worst the last batch is lost

    def test_a_header_that_was_cut_off_begins_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "c"
        write(path, [texts_of(0, 1)])
        data = path.read_bytes()
        for end in range(data.index(b"}") + 6):
            path.write_bytes(data[:end])
            write(path, [texts_of(0, 1)])
            assert path.read_bytes() == data

    @pytest.mark.parametrize(
        "other", [ModelInfo("other", 3, MODEL.digest), ModelInfo("small", 4, MODEL.digest), ModelInfo("small", 3)]
    )
    def test_another_model_is_refused(self, tmp_path: Path, other: ModelInfo) -> None:
        path = tmp_path / "c"
        write(path, [texts_of(0, 2)])
        data = path.read_bytes()
        with pytest.raises(ModelMismatchError, match=r"'small' \(3 dimensions.*remove the file"):
            Checkpoint(path, other)
        assert path.read_bytes() == data
        assert sorted(tmp_path.iterdir()) == [path]

    def test_rows_of_another_model_do_not_count(self, tmp_path: Path) -> None:
        write(tmp_path / "a", [texts_of(0, 2)])
        write(tmp_path / "b", [texts_of(0, 2)], ModelInfo("other", 3))
        rows = (tmp_path / "b").read_bytes()
        with (tmp_path / "a").open("ab") as file:
            file.write(rows[rows.index(b"}") + 5 :])
        assert found_in(tmp_path / "a", [texts_of(0, 2), texts_of(0, 2)]) == [[True, True], [False, False]]

    @pytest.mark.parametrize("content", [b"precious", b"MVCKPT02" + bytes(40), b"\0" * 9, b"MVCKPT01\xff\xff\xff\xff"])
    def test_other_files_are_refused_and_left_alone(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "c"
        path.write_bytes(content)
        with pytest.raises(OutputError, match="no checkpoint"):
            Checkpoint(path, MODEL)
        assert path.read_bytes() == content
        assert checkpoint_rows(path) == 0

    @pytest.mark.parametrize("content", [b"{}", b"[]", b"no json", b'{"model": "m", "dim": "wide", "digest": null}'])
    def test_a_header_without_a_model_is_none(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "c"
        start = b"MVCKPT01" + len(content).to_bytes(4, "little") + content
        path.write_bytes(start + zlib.crc32(start).to_bytes(4, "little"))
        with pytest.raises(OutputError, match="no checkpoint"):
            Checkpoint(path, MODEL)
        assert checkpoint_rows(path) == 0

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path, real = tmp_path / "c", os.pwrite
        write(path, [texts_of(0, 2)])

        def fill_up(descriptor: int, data: Any, offset: int) -> int:
            if len(data) < 70:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data[:-50], offset)

        with monkeypatch.context() as patch, Checkpoint(path, MODEL) as checkpoint:
            patch.setattr(os, "pwrite", fill_up)
            assert checkpoint.find(texts_of(0, 2))[1].all()
            with pytest.raises(OutputError, match="free some space"):
                checkpoint.append(texts_of(2, 3), vectors_of(texts_of(2, 3)))
        assert found_in(path, [texts_of(0, 2), texts_of(2, 3)]) == [[True] * 2, [False] * 3]

    def test_vectors_are_the_callers(self, tmp_path: Path) -> None:
        write(tmp_path / "c", [texts_of(0, 1), texts_of(1, 2)])
        with Checkpoint(tmp_path / "c", MODEL) as checkpoint:
            for batch in (texts_of(0, 1), texts_of(1, 2), texts_of(0, 2)):
                vectors, _ = checkpoint.find(batch)
                assert vectors.flags.writeable
                assert vectors.flags.c_contiguous

    def test_places_where_no_file_can_be(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="not a file"):
            Checkpoint(tmp_path, MODEL)
        with pytest.raises(OutputError, match="create the folder"):
            Checkpoint(tmp_path / "nowhere" / "c", MODEL)

    def test_one_build_at_a_time(self, tmp_path: Path) -> None:
        with Checkpoint(tmp_path / "c", MODEL) as checkpoint:
            checkpoint.append(texts_of(0, 1), vectors_of(texts_of(0, 1)))
            with pytest.raises(OutputError, match="another process"):
                Checkpoint(tmp_path / "c", MODEL)
        assert found_in(tmp_path / "c", [texts_of(0, 1)]) == [[True]]

    @pytest.mark.parametrize("kept", [0, 16])
    def test_zeros_that_a_power_cut_left_of_its_header_are_a_new_file(self, tmp_path: Path, kept: int) -> None:
        path = tmp_path / "c"
        with Checkpoint(path, MODEL):
            header = path.read_bytes()
        path.write_bytes(header[:kept].ljust(len(header), b"\0"))
        with Checkpoint(tmp_path / "c", MODEL) as checkpoint:
            checkpoint.append(texts_of(0, 1), vectors_of(texts_of(0, 1)))
        assert found_in(tmp_path / "c", [texts_of(0, 1)]) == [[True]]

    def test_what_holds_nothing_goes(self, tmp_path: Path) -> None:
        with Checkpoint(tmp_path / "c", MODEL):
            assert (tmp_path / "c").exists()
        assert list(tmp_path.iterdir()) == []

    def test_only_its_own_file_is_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "c"
        with Checkpoint(path, MODEL) as checkpoint:
            checkpoint.append(texts_of(0, 1), vectors_of(texts_of(0, 1)))
            path.rename(tmp_path / "moved")
            path.write_bytes(b"another's")
            checkpoint.remove()
        assert path.read_bytes() == b"another's"
        path.unlink()
        with Checkpoint(path, MODEL) as checkpoint:
            path.unlink()
            checkpoint.remove()
        assert sorted(tmp_path.iterdir()) == [tmp_path / "moved"]

    @pytest.mark.parametrize(("seconds", "synced"), [(0.0, 3), (1e9, 0)])
    def test_is_synced_by_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, synced: int
    ) -> None:
        monkeypatch.setattr(checkpoint_module, "SYNC_SECONDS", seconds)
        real, calls = os.fsync, []

        def fsync(descriptor: int) -> None:
            calls.append(descriptor)
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        with Checkpoint(tmp_path / "c", MODEL) as checkpoint:
            calls.clear()
            for first in range(3):
                checkpoint.append(texts_of(first, 1), vectors_of(texts_of(first, 1)))
            assert len(calls) == synced
        assert len(calls) == synced + 1

    def test_memory_out_of_step(self, tmp_path: Path) -> None:
        path, rows, model = tmp_path / "c", 20_000, ModelInfo("wide", 200)
        vectors = np.ones((1000, 200), np.float32)
        with Checkpoint(path, model) as checkpoint:
            for first in range(0, rows, 1000):
                checkpoint.append(texts_of(first, 1000), vectors)
        with Checkpoint(path, model) as checkpoint:
            tracemalloc.start()
            _, found = checkpoint.find([b"new", *texts_of(rows - 9, 9)])
            kept, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert found.tolist() == [False] + [True] * 9
        assert kept < 16 * rows
        assert peak < 40 * rows + (4 << 20)  # of 16 MB

    def test_name(self) -> None:
        assert checkpoint_file(Path("a") / "memory.mp4") == Path("a") / "memory.mp4.checkpoint"
        assert checkpoint_rows(Path("nowhere") / "c") == 0


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
    with MemvidEncoder(embedder=embedder, keywords=False, threads=1) as encoder:
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
        embedder = Alone()
        result = build(folder, embedder, changed)
        assert (result.embeddings_made, result.embeddings_resumed) == (new, len(changed) - new)
        assert set(embedder.embedded) == set(changed) - set(TEXTS)
        build(tmp_path / "expected", Alone(), changed, checkpoint=None)
        assert all_files(folder) == all_files(tmp_path / "expected")

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
        ["memory.mp4", "memory_index.json", "memory_index.usearch", "memory_index.sqlite.new", "memory.mp4.lock"],
    )
    def test_names_of_the_memory_are_refused(self, tmp_path: Path, name: str) -> None:
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
