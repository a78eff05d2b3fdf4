"""Chunks waiting to be built, on disk: a million of them are not a million Python objects.

Each record is the lengths of text and metadata (``<II``), then both. Vectors that came with chunks lie in a file of
their own, as ``float32`` rows. Nothing of a failed addition stays: the files are cut back to where they were. The files
have no name (where the system allows it): a killed process leaves nothing behind, and nobody can sweep them away.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from struct import Struct
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from memvid.errors import ChunkError, OutputError
from memvid.page import Record

__all__ = ["Spool", "SpoolSegment", "hash_record"]

_LENGTHS = Struct("<II")
_OFFSETS_EVERY = 256  # records between two remembered file positions
_BUFFER_BYTES = 1 << 20
_LARGEST_COUNTED = 1 << 16  # bytes of metadata in which a document is looked for


def hash_record(digest: Any, text: bytes | memoryview, metadata: bytes) -> None:
    """Add a record to a SHA-256, lengths first, so that no two lists of records have the same digest."""
    digest.update(_LENGTHS.pack(len(text), len(metadata)))
    digest.update(text)
    digest.update(metadata)


@dataclass(frozen=True, slots=True)
class SpoolSegment:
    """Consecutive chunks read back.

    :ivar first_chunk: id of the first.
    :ivar records: the chunks.
    :ivar vectors: ``float32[n, dim]`` that were given with them, NaN for those without; ``None`` if none was given, or
        they were not asked for.
    """

    first_chunk: int
    records: list[Record]
    vectors: NDArray[np.float32] | None


@dataclass(slots=True)
class _State:
    """How far the files reach; replaced whole when an addition succeeds."""

    records: int = 0
    bytes: int = 0
    text_bytes: int = 0
    vectors: int = 0


class _SpoolFile:
    """A temporary file that is appended to through a buffer, so that what a full disk refused can be taken back.

    It is made when there is something to write: an encoder that was emptied after its append needs no disk for that.
    """

    def __init__(self) -> None:
        self._file: io.FileIO | None = None
        self._buffer = bytearray()
        self._end = 0

    def append(self, data: bytes | memoryview) -> None:
        self._buffer += data
        if len(self._buffer) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._buffer:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="memvid-", buffering=0)  # noqa: SIM115  # closed by close()
            self._file.seek(self._end)
            while self._buffer:
                written = self._file.write(self._buffer)
                del self._buffer[:written]
                self._end += written
        except OSError as error:
            raise _output_error(error) from error

    def cut(self, end: int) -> None:
        """Forget everything behind byte ``end``, written or not."""
        self._buffer.clear()
        self._end = end
        if self._file is not None:
            with suppress(OSError):  # on a disk that fails; what is left behind the end is never read
                self._file.truncate(end)

    def reader(self, position: int = 0) -> io.BufferedReader:
        """A view from ``position`` on; closing it leaves the file open."""
        return io.BufferedReader(_Cursor(self._file, position), _BUFFER_BYTES)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Cursor(io.RawIOBase):
    """Reads a file, or nothing, from a position of its own."""

    def __init__(self, file: io.FileIO | None, position: int) -> None:
        self._file = file
        self._position = position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._file is None:
            return 0
        try:
            data = os.pread(self._file.fileno(), len(buffer), self._position)  # moves no position that others share
        except OSError as error:
            raise OutputError(
                error.errno,
                f"the chunks that are kept in {tempfile.gettempdir()} cannot be read back: {error.strerror}; set "
                "TMPDIR to a folder on another disk",
            ) from error
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def _output_error(error: OSError) -> OutputError:
    return OutputError(
        error.errno,
        f"the chunks cannot be kept in {tempfile.gettempdir()}: {error.strerror}; free space there, or set TMPDIR to "
        "another folder",
    )


class Spool:
    """An append-only list of records. Not safe to share between threads while it is written."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, int]] = [(0, 0)]  # (number of a record, its chunk id); ids count up from there
        self._records_file = _SpoolFile()
        self._vectors_file = _SpoolFile()
        self._busy = False
        self._state = _State()
        self._offsets = [0]
        self._vector_runs: list[tuple[int, int]] = []  # (first chunk, chunks) that have vectors, ascending
        self._digest = hashlib.sha256()
        self._sources: set[int] = set()  # hashes of their names
        self.dim: int | None = None

    def __len__(self) -> int:
        return self._state.records

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of all texts."""
        return self._state.text_bytes

    @property
    def documents(self) -> int:
        """Documents the chunks are from, as far as their metadata has a ``source``."""
        return len(self._sources)

    @property
    def vector_count(self) -> int:
        """Chunks that came with a vector."""
        return self._state.vectors

    @property
    def next_chunk(self) -> int:
        """Id of the chunk that is added next."""
        number, chunk_id = self._runs[-1]
        return chunk_id + len(self) - number

    def digest(self) -> Any:
        """A SHA-256 over all records, to be extended by the caller."""
        return self._digest.copy()

    def number_from(self, chunk_id: int) -> None:
        """Have the ids of all chunks, so far and to come, count up from ``chunk_id``."""
        self._runs = [(0, chunk_id)]

    def skip_to(self, chunk_id: int) -> None:
        """Leave ids out: the chunk that is added next has this one."""
        if chunk_id != self.next_chunk:
            self._runs.append((len(self), chunk_id))

    def runs(self) -> Iterator[tuple[int, int]]:
        """First id and number of chunks of each run of ids, ascending."""
        ends = [number for number, _ in self._runs[1:]] + [len(self)]
        for (number, chunk_id), end in zip(self._runs, ends, strict=True):
            if end > number:
                yield chunk_id, end - number

    @contextmanager
    def adding(self) -> Iterator[_Adder]:
        """An addition that is kept whole when the block ends and forgotten whole when it raises.

        :raises ChunkError: another one is under way, whose chunks would be mixed up with these.
        :raises OutputError: the disk is full.
        """
        self._check_idle("added to")
        self._busy = True
        adder = _Adder(self)
        try:
            yield adder
            adder.finish()
        except BaseException:
            adder.forget()
            raise
        finally:
            self._busy = False

    def segments(self, chunks: int, nbytes: int, *, with_vectors: bool = False) -> Iterator[SpoolSegment]:
        """All chunks in order, in pieces that end at ``chunks`` of them, where they reach ``nbytes``, or before a gap.

        Several threads may each go through them at a time.
        """
        with self._records_file.reader() as file:
            number = 0  # of the record that is read next
            for first, count in self.runs():
                begin = number
                while number < begin + count:
                    records: list[Record] = []
                    size = 0
                    while len(records) < min(chunks, begin + count - number) and size < nbytes:
                        records.append(_read_record(file))
                        size += len(records[-1].text) + len(records[-1].metadata)
                    vectors = self._vectors(number, len(records)) if with_vectors else None
                    yield SpoolSegment(first + number - begin, records, vectors)
                    number += len(records)

    def sample(self, numbers: Iterable[int], limit: int) -> list[bytes]:
        """Text and metadata of some records, ascending numbers, each as one blob of at most ``limit`` bytes."""
        blobs = []
        with self._records_file.reader() as file:
            position = -1
            for number in numbers:
                anchor = number // _OFFSETS_EVERY
                if position < 0 or position > number or position // _OFFSETS_EVERY < anchor:
                    file.seek(self._offsets[anchor])
                    position = anchor * _OFFSETS_EVERY
                while position <= number:
                    size = sum(_LENGTHS.unpack(file.read(_LENGTHS.size)))
                    if position == number:
                        blobs.append(file.read(min(size, limit)))
                        size -= len(blobs[-1])
                    file.seek(size, io.SEEK_CUR)
                    position += 1
        return blobs

    def close(self) -> None:
        """Remove the files.

        :raises ChunkError: an addition is under way.
        """
        self._check_idle("emptied")
        self._records_file.close()
        self._vectors_file.close()

    def _check_idle(self, what: str) -> None:
        if self._busy:
            raise ChunkError(f"chunks are being added to this encoder: it cannot be {what} before that has ended")

    def _flush(self) -> None:
        self._records_file.flush()
        self._vectors_file.flush()

    def _vectors(self, first: int, count: int) -> NDArray[np.float32] | None:
        """Rows of ``count`` chunks, NaN for those that came without; ``None`` if none of them has one."""
        if self.dim is None:
            return None
        rows: NDArray[np.float32] | None = None
        starts = accumulate((run[1] for run in self._vector_runs), initial=0)
        for (run_first, run_count), row in zip(self._vector_runs, starts, strict=False):
            begin, end = max(first, run_first), min(first + count, run_first + run_count)
            if begin >= end:
                continue
            if rows is None:
                rows = np.full((count, self.dim), np.nan, np.float32)
            with self._vectors_file.reader((row + begin - run_first) * self.dim * 4) as file:
                data = file.read((end - begin) * self.dim * 4)
            rows[begin - first : end - first] = np.frombuffer(data, np.float32).reshape(-1, self.dim)
        return rows


class _Adder:
    """One addition to a spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        old = spool._state
        self._state = _State(old.records, old.bytes, old.text_bytes, old.vectors)
        self._digest = spool._digest.copy()
        self._offsets: list[int] = []
        self._sources: set[int] = set()
        self._added = 0
        self._vectors = 0
        self._dim = spool.dim

    def __len__(self) -> int:
        return self._added

    @property
    def next_chunk(self) -> int:
        """Id of the chunk that is added next, if ids count up."""
        return self._spool.next_chunk + self._added

    def add(self, record: Record) -> None:
        """Append a record."""
        state = self._state
        lengths = _LENGTHS.pack(len(record.text), len(record.metadata))
        self._spool._records_file.append(b"".join((lengths, record.text, record.metadata)))
        hash_record(self._digest, record.text, record.metadata)
        if b'"source":' in record.metadata and len(record.metadata) <= _LARGEST_COUNTED:
            with suppress(ValueError, RecursionError):  # a repair keeps what cannot be used
                metadata = json.loads(record.metadata)
                source = metadata.get("source") if isinstance(metadata, dict) else None
                if isinstance(source, str):
                    self._sources.add(hash(source))
        state.records += 1
        state.bytes += _LENGTHS.size + len(record.text) + len(record.metadata)
        state.text_bytes += len(record.text)
        self._added += 1
        if state.records % _OFFSETS_EVERY == 0:
            self._offsets.append(state.bytes)

    def add_vectors(self, vectors: NDArray[np.float32]) -> None:
        """Append rows for the chunks of this addition, ``float32[n, dim]``."""
        self._dim = vectors.shape[1]
        self._spool._vectors_file.append(np.ascontiguousarray(vectors, np.float32).data.cast("B"))
        self._vectors += len(vectors)

    def finish(self) -> None:
        """Keep what was added."""
        spool = self._spool
        spool._flush()
        if self._vectors:
            first, count = self._state.records - self._added, self._added
            if spool._vector_runs and sum(spool._vector_runs[-1]) == first:
                first, before = spool._vector_runs.pop()
                count += before
            spool._vector_runs.append((first, count))
            self._state.vectors += self._vectors
            spool.dim = self._dim
        spool._state = self._state
        spool._digest = self._digest
        spool._offsets += self._offsets
        spool._sources |= self._sources

    def forget(self) -> None:
        """Cut the files back to where they were."""
        spool = self._spool
        spool._records_file.cut(spool._state.bytes)
        spool._vectors_file.cut(spool._state.vectors * 4 * (spool.dim or 0))


def _read_record(file: IO[bytes]) -> Record:
    text, metadata = _LENGTHS.unpack(file.read(_LENGTHS.size))
    return Record(file.read(text), file.read(metadata))
