"""The file of a checkpoint: what is in it comes back to the bit, whatever became of it."""

from __future__ import annotations

import errno
import os
import random
import tracemalloc
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from memvid.building import checkpoint as checkpoint_module
from memvid.building.checkpoint import Checkpoint, checkpoint_file, checkpoint_rows
from memvid.errors import ModelMismatchError, OutputError
from memvid.types import ModelInfo

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

    def test_a_file_that_is_refused_keeps_its_mode_and_its_other_names(self, tmp_path: Path) -> None:
        path, other = tmp_path / "notes", tmp_path / "other name"
        path.write_bytes(b"notes of somebody, for all to read")
        path.chmod(0o644)
        os.link(path, other)
        before = path.stat()
        with pytest.raises(OutputError, match="is no checkpoint"):
            Checkpoint(path, MODEL)
        after = path.stat()
        assert (after.st_mode, after.st_ino, after.st_nlink) == (before.st_mode, before.st_ino, 2)
        assert sorted(tmp_path.iterdir()) == [path, other]

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
