"""Which chunks have which word: a section of an index file, written and searched by the native core.

Only whether a chunk has a word is kept: no positions, no counts, no text. Ranking is BM25 with every count taken as
one; on short chunks that costs about a point of MRR and saves more than half the size. The layout is in
``cpp/include/memvid/postings.hpp``.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memvid import _core
from memvid.errors import IndexFormatError, VideoFormatError
from memvid.index.keywords import indexed_text
from memvid.index.manifest import MEND
from memvid.storage.disk import native_output_errors, output_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from typing_extensions import Buffer

    from memvid.index.arrays import FloatArray, IntArray

__all__ = ["Postings", "PostingsWriter"]


class PostingsWriter:
    """Takes texts in the order of their rows. One thread at a time, not always the same one.

    Memory: about 150 MB at most. What does not fit waits in a temporary file without a name, sorted.

    :param term_bytes: of distinct terms in memory; each takes about ten times as much as it is long.
    """

    def __init__(self, *, term_bytes: int = 16 << 20) -> None:
        self._core = _core.PostingsWriter(most_term_bytes=term_bytes)
        self._scratch: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._core.rows

    def add(self, texts: Sequence[str]) -> None:
        """Add the words of texts, a row each; nearly all of it without the GIL.

        :raises OutputError: the temporary file cannot be written.
        """
        self._core.add([indexed_text(text) for text in texts])
        self._make_room()

    def add_terms(self, rows: Sequence[Sequence[bytes]]) -> None:
        """Add rows with these terms each: any bytes, 1 to 200.

        :raises OutputError: the temporary file cannot be written.
        """
        self._core.add_terms(rows)
        self._make_room()

    def _make_room(self) -> None:
        if self._core.is_full:
            if self._scratch is None:
                with output_errors(tempfile.gettempdir()):
                    self._scratch = tempfile.TemporaryFile(prefix="memvid-", buffering=0)  # noqa: SIM115  # see close()
            with native_output_errors(tempfile.gettempdir()):
                self._core.spill(self._scratch.fileno())

    def append_to(self, path: Path, size: int) -> int:
        """Append the section behind the first ``size`` bytes of a file; returns its bytes. Nothing can be added then.

        :raises OutputError: the disk is full.
        """
        try:
            return self._core.finish(path, size)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the temporary file. Calling it twice is allowed."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None


class Postings:
    """The words of all rows of some segments, numbered through. Many threads at a time; all of it off the GIL.

    Terms are those of :func:`~memvid.index.keywords.indexed_terms`.

    :param segments: of each its section of postings, and its rows' lengths as
        :func:`~memvid.index.keywords.length_code` writes them; both stay as they are.
    :param path: where they come from, for errors.
    :ivar core: the native index.
    :raises IndexFormatError: they do not fit together.
    """

    def __init__(self, segments: Sequence[tuple[Buffer, Buffer | npt.NDArray[np.uint8]]], path: Path) -> None:
        self._path = path
        with self._reading():
            self.core = _core.WordIndex(segments)

    def check(self) -> None:
        """Go through all postings: 2 ns each. What is sound then leads no search astray.

        :raises IndexFormatError: some are not as a writer makes them.
        """
        with self._reading():
            self.core.check()

    def frequency(self, term: str) -> int:
        """In how many rows a term is."""
        with self._reading():
            return self.core.frequency(term)

    def search(
        self, terms: Sequence[str], k: int, allowed: npt.NDArray[np.uint64] | None = None
    ) -> tuple[IntArray, FloatArray]:
        """The k best rows that have any of the terms; fewer only where there are fewer.

        Of more than 16 terms, the 16 rarest propose rows and the others add to the scores of those, unless that gives
        fewer than k.

        :param allowed: uint64[ceil(rows / 64)], a bit for each row that may be found, the lowest first; it never
            changes.
        :returns: rows int64[m] and BM25 scores float32[m], m <= k, best first, ties by row.
        """
        with self._reading():
            return self.core.search(terms, k, allowed)

    def score(self, terms: Sequence[str], rows: IntArray) -> FloatArray:
        """BM25 scores float32[n] of some rows; 0 for those without any of the terms."""
        with self._reading():
            return self.core.score(terms, rows)

    def rows_with_all(self, terms: Sequence[str]) -> IntArray:
        """Rows int64[m], ascending, that have all of the terms; none, if there are no terms."""
        with self._reading():
            return self.core.rows_with_all(terms)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except VideoFormatError as error:
            raise IndexFormatError(f"{self._path}: {error}: {MEND}") from error
