"""Embeddings kept on disk while a build makes them, so that one that was cut off goes on instead of starting anew.

A header names the model: magic, length of a JSON object (``<I``), the object, CRC-32 of all that (``<I``). Behind it
are rows of one size: BLAKE2b-128 of the chunk's text, the row's place in its batch and that batch's rows (``<HH``), the
vector in ``<f4``, and a CRC-32 that goes on from the header's, so that no row counts in another file. There is no text
in it.

Each batch is written at once, and synced every :data:`SYNC_SECONDS`: a killed process loses the batch it was in, a
machine that loses its power up to so much more. A row counts when its checksum is right; of a batch at the end of the
file that is not all there, no row does.

Rows are found by their text. As long as a build asks for the batches of the file in their order, it gets them in step,
and what is missing behind them is made in the same batches as if nothing had interrupted it: an embedder that gives a
text slightly different vectors in different company also ends with the same bytes. From the first batch on that is
another one, because documents changed, each text is looked up by itself, which takes 12 bytes of memory a row.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvid.errors import ModelMismatchError, OutputError
from memvid.interrupts import uninterrupted
from memvid.storage.disk import output_errors, staged_name, sync_folder
from memvid.storage.files import open_private, open_regular
from memvid.storage.hard_links import unshare
from memvid.storage.locks import FileLocks
from memvid.types import ModelInfo

__all__ = ["Checkpoint", "check_unused", "checkpoint_file", "checkpoint_rows", "remove_checkpoints"]

SYNC_SECONDS = 10.0
"""Embeddings of at most so many seconds, and of one batch, are in a file that was not synced."""

_MAGIC = b"MVCKPT01"
_NUMBER = Struct("<I")
_HEADER_LIMIT = 65536  # bytes; a real one has about a hundred
_KEY_BYTES = 16
_LISTED = 512  # rows read at once when all are listed

_Rows: TypeAlias = "NDArray[np.void]"


def checkpoint_file(path: Path) -> Path:
    """Where the command line keeps a checkpoint: of a build or an append ``<video>.checkpoint``, of a reindexing
    ``<index>.checkpoint``.
    """
    return path.with_name(path.name + ".checkpoint")


def checkpoint_rows(path: Path) -> int:
    """How many embeddings a checkpoint holds, going by its size; 0 for another file, or none.

    :raises OutputError: it is no file, or cannot be read.
    """
    try:
        with output_errors(path), open_regular(path) as file:
            model = _parse_header(file.read(_HEADER_LIMIT))
            size = os.fstat(file.fileno()).st_size
    except OutputError as error:
        if error.errno != errno.ENOENT:
            raise
        return 0
    return 0 if model is None else (size - len(_make_header(model))) // _row_type(model.dim).itemsize


def check_unused(path: Path) -> None:
    """Refuse a checkpoint that a running process is filling.

    :raises OutputError: one is.
    """
    with output_errors(path), FileLocks([path], building=True):
        pass


def remove_checkpoints(video_file: Path, index_file: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Remove the checkpoints of a memory that the command line left behind: of a build or an append, of a reindexing.

    :returns: those that were removed, and what is still there: no checkpoint, in use, or not to be removed.
    """
    removed, left = [], []
    for path in (checkpoint_file(video_file), checkpoint_file(index_file)):
        if os.path.lexists(path):
            try:
                _remove_checkpoint(path)
                removed.append(path)
            except OSError:
                left.append(path)
    return tuple(removed), tuple(left)


def _remove_checkpoint(path: Path) -> None:
    with FileLocks([path], building=True):
        with open_regular(path, follow=False) as file:
            start = file.read(len(_MAGIC))
        if start and start != _MAGIC:
            raise _refusal_of_another(path)
        for name in (path, staged_name(path)):
            name.unlink(missing_ok=True)


class Checkpoint:
    """The checkpoint of one build, opened or begun. A context manager: leaving it keeps a file that holds any.

    :param path: the file; need not exist.
    :param model: what makes the embeddings.
    :raises ModelMismatchError: the file holds embeddings of another model.
    :raises OutputError: it is no checkpoint, another build uses it, or it cannot be written.
    """

    def __init__(self, path: Path, model: ModelInfo) -> None:
        self._path = path
        self._type = _row_type(model.dim)
        self._header = _make_header(model)
        self._seed = _NUMBER.unpack(self._header[-_NUMBER.size :])[0]
        self._known: tuple[NDArray[np.uint64], NDArray[np.uint32]] | None = None
        self._cursor = 0  # the next row, as long as batches come in step
        self._used = False  # whether any vector of an earlier run was found
        self._descriptor = -1
        with output_errors(path):
            self._locks = FileLocks([path], building=True)
            try:
                self._refuse_another(model)
                unshare(path)
                self._descriptor = open_private(path)
                with suppress(OSError):
                    os.fchmod(self._descriptor, 0o600)  # earlier releases left it to the umask
                self._begin()
            except BaseException:
                self._close()
                raise

    def find(self, texts: Sequence[bytes]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors of the texts of a batch that were there when the checkpoint was opened.

        :returns: float32[n, dim], zeros for those that were not, and bool[n], whether they were.
        :raises OutputError: the file cannot be read.
        """
        keys = _make_keys(texts)
        with output_errors(self._path):
            if self._known is None:
                rows = self._read(self._cursor, min(len(keys), self._old - self._cursor))
                if len(rows) == len(keys) and self._is_good(rows, keys).all():
                    self._cursor += len(keys)
                    self._used = True
                    return np.array(rows["vector"], np.float32), np.ones(len(keys), np.bool_)
                if self._cursor < self._old:
                    self._known = self._list_rows()
            return self._look_up(keys)

    def append(self, texts: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of a batch, float32[n, dim].

        :raises OutputError: the disk is full.
        """
        rows: _Rows = np.zeros(len(texts), self._type)
        rows["key"] = _make_keys(texts)
        rows["place"] = np.arange(len(texts))
        rows["batch"] = len(texts)
        rows["vector"] = vectors
        rows["checksum"] = self._checksums(rows)
        with output_errors(self._path):
            self._write(rows.tobytes())
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                self._sync()

    @uninterrupted
    def remove(self) -> None:
        """Remove the file: the build has succeeded. What another run has left of other texts stays, for that to go on.

        If that is not possible, it stays: whoever is told that a build or an append failed makes it again, and this one
        has been made. The next one takes what is in the file, and removes it.
        """
        try:
            with suppress(OSError):
                if self._old and not self._used:
                    os.ftruncate(self._descriptor, self._offset(self._old))
                    self._sync()
                elif os.path.samestat(os.fstat(self._descriptor), self._path.lstat()):
                    self._path.unlink()
        finally:
            self._close()

    def __enter__(self) -> Checkpoint:
        return self

    @uninterrupted
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor < 0:
            return
        if self._end == len(self._header):
            self.remove()
            return
        with suppress(OSError):  # the build failed for another reason, which is to be told
            self._sync()
        self._close()

    def _refuse_another(self, model: ModelInfo) -> None:
        """Refuse a file that is none of this build's, before anything of it is changed, its mode included."""
        try:
            with open_regular(self._path, follow=False) as file:
                start = file.read(_HEADER_LIMIT)
        except FileNotFoundError:
            return
        if not (start.startswith(self._header) or self._is_begun(start)):
            raise _refusal(self._path, _parse_header(start), model)

    def _is_begun(self, start: bytes) -> bool:
        """Whether a file holds nothing but a beginning of the header."""
        if len(start) == len(self._header):  # a power cut may leave the size of a header, and zeros for the rest of it
            start = start.rstrip(b"\0")
        return start != self._header and self._header.startswith(start)

    def _begin(self) -> None:
        """Write the header, if there is none; cut off what does not count at the end."""
        if self._is_begun(os.pread(self._descriptor, _HEADER_LIMIT, 0)):
            os.ftruncate(self._descriptor, 0)
            self._end = 0
            self._write(self._header)
            sync_folder(self._path.parent)
            self._old = 0
        else:
            self._old = self._count_rows()
        self._end = self._offset(self._old)
        os.ftruncate(self._descriptor, self._end)
        self._sync()

    def _count_rows(self) -> int:
        """Rows up to the end of the last batch that is all there."""
        count = (os.fstat(self._descriptor).st_size - len(self._header)) // self._type.itemsize
        while count > 0:
            row = self._read(count - 1, 1)
            if not self._is_sound(row)[0]:
                count -= 1
            elif row["place"][0] + 1 != row["batch"][0]:
                count -= int(row["place"][0]) + 1
            else:
                break
        return max(count, 0)

    def _list_rows(self) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """Half of each row's key, ascending, and the row's number. Reads the whole file once."""
        halves = np.empty(self._old, np.uint64)
        for first in range(0, self._old, _LISTED):
            rows = self._read(first, min(_LISTED, self._old - first))
            halves[first : first + len(rows)] = rows["key"][:, 0]
        order = np.argsort(halves, kind="stable").astype(np.uint32)
        return halves[order], order

    def _look_up(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        vectors = np.zeros((len(keys), *self._type["vector"].shape), np.float32)
        found = np.zeros(len(keys), np.bool_)
        if self._known is not None:
            halves, order = self._known
            places = np.minimum(np.searchsorted(halves, keys[:, 0]), len(halves) - 1)
            for at in np.flatnonzero(halves[places] == keys[:, 0]).tolist():
                row = self._read(int(order[places[at]]), 1)
                if self._is_good(row, keys[at : at + 1]).any():
                    vectors[at] = row["vector"][0]
                    found[at] = True
                    self._used = True
        return vectors, found

    def _is_good(self, rows: _Rows, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which rows are sound and those of the keys."""
        same: NDArray[np.bool_] = (rows["key"] == keys).all(axis=1)
        return same & self._is_sound(rows)

    def _is_sound(self, rows: _Rows) -> NDArray[np.bool_]:
        return np.asarray(rows["checksum"] == self._checksums(rows))

    def _checksums(self, rows: _Rows) -> NDArray[np.uint32]:
        size = self._type.itemsize
        data = memoryview(rows.tobytes())
        covered = size - _NUMBER.size
        starts = range(0, len(data), size)
        return np.array([zlib.crc32(data[at : at + covered], self._seed) for at in starts], np.uint32)

    def _offset(self, row: int) -> int:
        return len(self._header) + row * self._type.itemsize

    def _read(self, first: int, count: int) -> _Rows:
        data = os.pread(self._descriptor, count * self._type.itemsize, self._offset(first))
        return np.frombuffer(data[: len(data) // self._type.itemsize * self._type.itemsize], self._type)

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = os.pwrite(self._descriptor, left, self._end)
            left = left[written:]
            self._end += written

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        self._synced = time.monotonic()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._locks.release()


def _make_keys(texts: Sequence[bytes]) -> NDArray[np.uint64]:
    """uint64[n, 2]: the texts' digests."""
    digests = [hashlib.blake2b(text, digest_size=_KEY_BYTES).digest() for text in texts]
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)


def _row_type(dim: int) -> np.dtype[np.void]:
    return np.dtype(
        [("key", "<u8", (2,)), ("place", "<u2"), ("batch", "<u2"), ("vector", "<f4", (dim,)), ("checksum", "<u4")]
    )


def _make_header(model: ModelInfo) -> bytes:
    content = json.dumps({"digest": model.digest, "dim": model.dim, "model": model.name}, sort_keys=True).encode()
    start = _MAGIC + _NUMBER.pack(len(content)) + content
    return start + _NUMBER.pack(zlib.crc32(start))


def _parse_header(data: bytes) -> ModelInfo | None:
    """The model that a file's first bytes name; ``None`` if they are not a whole header."""
    if not data.startswith(_MAGIC) or len(data) < len(_MAGIC) + _NUMBER.size:
        return None
    start = len(_MAGIC) + _NUMBER.size
    end = start + int(_NUMBER.unpack_from(data, len(_MAGIC))[0])
    if data[end : end + _NUMBER.size] != _NUMBER.pack(zlib.crc32(data[:end])):
        return None
    try:
        content = json.loads(data[start:end])
        return ModelInfo(str(content["model"]), int(content["dim"]), content["digest"])
    except (ValueError, KeyError, TypeError):
        return None


def _refusal(path: Path, found: ModelInfo | None, model: ModelInfo) -> Exception:
    if found is None:
        return _refusal_of_another(path)
    return ModelMismatchError(
        f"{path} keeps embeddings of {_describe(found)}, this build makes those of {_describe(model)}: go on with the "
        "model it was begun with, or remove the file to begin anew"
    )


def _refusal_of_another(path: Path) -> OutputError:
    return OutputError(
        errno.EEXIST, "is no checkpoint, or one that cannot be used: remove it, or name another", str(path)
    )


def _describe(model: ModelInfo) -> str:
    return f"{model.name!r} ({model.dim} dimensions, digest {(model.digest or 'none')[:12]})"
