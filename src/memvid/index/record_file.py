"""Reads the records of a segment: frames of chunks, fields, words.

They are the sections of one file (:mod:`memvid.index.section_file`), little endian: the page table (``page_frames`` u4,
``page_chunks`` i8, the first of each page), the runs of chunk ids (``run_starts`` and ``run_lengths`` i8), the chunks'
lengths in the order of adding (``lengths`` u1), and ``fields`` and ``words`` as postings. It holds
neither texts nor metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memvid.checks import ID_LIMIT
from memvid.errors import IndexFormatError
from memvid.index.field_terms import terms_of
from memvid.index.fields import Fields
from memvid.index.manifest import MEND
from memvid.index.open_file import still_open
from memvid.index.postings import Postings
from memvid.index.row_map import RowMap
from memvid.index.section_file import SectionFileError, read_sections

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from typing_extensions import Buffer

    from memvid.index.arrays import IntArray
    from memvid.index.open_file import OpenFile
    from memvid.index.passing import Mask
    from memvid.index.segment_records import PageMetadata
    from memvid.query import Filter, Value
    from memvid.types import JsonObject

__all__ = ["ARRAYS", "OWN_WORDS", "RecordFile", "check_arrays", "section_names"]

ARRAYS = {"page_frames": "<u4", "page_chunks": "<i8", "run_starts": "<i8", "run_lengths": "<i8", "lengths": "u1"}
OWN_WORDS = ("MVRECORD", "MVWORDS1", *ARRAYS, "fields", "words")
"""What of such a file is memvid's own, whatever the chunks say."""


def section_names(*, keywords: bool) -> tuple[str, ...]:
    """The sections of a file, in their order."""
    return (*ARRAYS, "fields", *(("words",) if keywords else ()))


class RecordFile:
    """Records of one segment. Many threads at a time.

    :param data: the content of the file, mapped or loaded.
    :param count: rows that there should be.
    :param keywords: whether there should be words.
    :param metadata: of chunks, where fields do not say all.
    :ivar page_frames: the frames of pages with chunks; likewise ``page_chunks``, the first chunk of each.
    :raises IndexFormatError: it is not as a build writes it, as far as that is seen without going through postings.
    """

    def __init__(self, file: OpenFile, data: Buffer, *, count: int, keywords: bool, metadata: PageMetadata) -> None:
        self._file: OpenFile | None = file
        self.path = file.path
        self._metadata = metadata
        try:
            sections = read_sections(memoryview(data))
        except SectionFileError as error:
            raise IndexFormatError(f"{self.path} holds no records of an index: {error}: {MEND}") from error
        if tuple(sections) != section_names(keywords=keywords):
            raise IndexFormatError(f"{self.path} has other sections than an index: {', '.join(sections)}: {MEND}")
        self.page_frames, self.page_chunks, starts, lengths, self.length_codes = self._arrays(sections)
        if not check_arrays(self.page_frames, self.page_chunks, starts, lengths, len(self.length_codes), count):
            raise IndexFormatError(f"{self.path} does not describe the {count} chunks of its manifest: {MEND}")
        self.row_map = RowMap(starts, lengths)
        self._fields: Fields | None = Fields(self.path, sections["fields"], count, self._metadata_of)
        self._section = sections["words"] if keywords else memoryview(b"")
        self._words = Postings([(self._section, self.length_codes)], self.path) if keywords else None

    @property
    def words(self) -> memoryview:
        """The section of words, empty if there are none.

        :raises ClosedError: the file was closed.
        """
        section = self._section
        self._open_fields()
        return section

    def frames_of(self, ids: IntArray) -> IntArray:
        """int64 frame index of each chunk, all of which the segment has."""
        return np.asarray(self.page_frames[np.searchsorted(self.page_chunks, ids, side="right") - 1], np.int64)

    def mask(self, where: Filter) -> Mask:
        """bool[rows]: the chunks that pass."""
        return self._open_fields().mask(where)

    def having(self, key: str, values: Collection[Value]) -> Mask:
        """As :meth:`Fields.having`."""
        return self._open_fields().having(key, values)

    def paths(self) -> set[str]:
        """Paths into metadata that chunks have; of very many some."""
        return self._open_fields().paths()

    def strings(self, path: str) -> set[str]:
        """Strings at a path into metadata that chunks have; of very many some."""
        return self._open_fields().strings(path)

    def differing(self, ids: IntArray, metadatas: Sequence[bytes]) -> list[int]:  # noqa: ARG002  # see SegmentRecords
        """None: it keeps no metadata."""
        return []

    def terms_of(self, metadata: JsonObject) -> list[bytes]:
        """What filters go by of some metadata."""
        return terms_of(metadata)

    def sum_rows(self, numbers: npt.NDArray[np.uint64], take: Callable[[bytes, int], object]) -> None:
        """As :meth:`Fields.sum_rows`."""
        self._open_fields().sum_rows(numbers, take)

    def verify(self) -> None:
        """Go through all postings: 2 ns each.

        :raises IndexFormatError: some are not as a build writes them.
        """
        self._open_fields().check()
        words = self._words
        if words is not None:
            words.check()

    def check(self) -> None:
        """Check that nobody has written into the file.

        :raises IndexFormatError: someone has.
        """
        still_open(self._file).check()

    def close(self) -> None:
        """Let go of the file; questions under way finish on its mapping."""
        self._file = self._fields = self._words = None
        self._section = memoryview(b"")

    def _open_fields(self) -> Fields:
        return still_open(self._fields)

    def _metadata_of(self, rows: IntArray) -> list[JsonObject]:
        return self._metadata.of(self.row_map.ids(rows))

    def _arrays(self, sections: Mapping[str, memoryview]) -> list[Any]:
        try:
            return [np.frombuffer(sections[name], dtype).copy() for name, dtype in ARRAYS.items()]
        except ValueError as error:
            raise IndexFormatError(f"{self.path} has half a number in a section ({error}): {MEND}") from error


def check_arrays(
    page_frames: IntArray, page_chunks: IntArray, starts: IntArray, lengths: IntArray, codes: int, count: int
) -> bool:
    """Whether a page table, runs of ids and so many lengths describe ``count`` chunks."""
    return (
        len(starts) == len(lengths) > 0
        and bool((starts >= 0).all() and (starts <= ID_LIMIT).all())
        and bool((lengths > 0).all() and (lengths <= count).all())  # or their sum could overflow
        and bool((np.diff(starts) >= lengths[:-1]).all())
        and int(lengths.sum()) == count == codes
        and len(page_frames) == len(page_chunks) > 0
        and bool((np.diff(page_chunks) > 0).all())
        and int(page_chunks[0]) <= int(starts[0])
    )
