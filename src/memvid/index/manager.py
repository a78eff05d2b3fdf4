"""The index of a memory, opened for searching."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from memvid.checks import is_whole
from memvid.config import EncoderConfig
from memvid.errors import (
    ClosedError,
    IndexMismatchError,
    ModelMismatchError,
    QueryError,
)
from memvid.index.arrays import FloatArray, IntArray
from memvid.index.builder import IndexBuilder
from memvid.index.candidate_search import CandidateSearch, Scored
from memvid.index.keywords import query_terms, search_terms
from memvid.index.known_chunks import known_chunks, missing_from
from memvid.index.manifest import Manifest, Segment, SideFile, dtype_of, read_manifest
from memvid.index.nearest import NearestChunks
from memvid.index.renamed import find_side_files
from memvid.index.selection import Selection
from memvid.index.side_files import check_complete, check_graph, check_side_file, open_records, open_vectors
from memvid.index.vectors import CODE_BITS, KeptCodes, check_vectors
from memvid.page import ChunkIds
from memvid.pickling import NotPicklable
from memvid.query import value_of
from memvid.storage.commit import Commit, recover
from memvid.types import StrPath, Where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from memvid.index.segment_vectors import Vectors
    from memvid.index.segments import Records
    from memvid.index.words import Words
    from memvid.page import ChangedMetadata
    from memvid.query import Filter
    from memvid.types import JsonObject, ModelInfo, VideoIdentity

__all__ = ["IndexManager"]


class IndexManager(NotPicklable):
    """Embeddings, frame numbers, fields and keywords of a memory: a manifest and side files, not loaded as a whole.

    What was appended lies in segments of its own, which are searched together; chunks that were deleted are never
    found.

    Files that others replace while an index is open stay what they were for it; where somebody writes into one, every
    method raises an :class:`IndexFormatError`.

    Safe to share between threads. A context manager; after :meth:`close` every method raises :class:`ClosedError`.

    >>> with IndexManager.open("memory_index.json") as index:  # doctest: +SKIP
    ...     ids, scores = index.search(vectors, 5)
    """

    _elsewhere = "pass its path on, and open it there with IndexManager.open()"

    def __init__(
        self, index_file: Path, manifest: Manifest, vectors: Vectors, records: Records, threads: int | None
    ) -> None:
        """Use :meth:`open` or :meth:`create` instead."""
        self._index_file = index_file
        self._manifest = manifest
        self._vectors = vectors
        self._records = records
        self._nearest = NearestChunks(vectors, records)
        self._candidates = CandidateSearch(index_file, vectors, records, threads)
        self._closed = False

    @classmethod
    def create(
        cls,
        index_file: StrPath,
        *,
        model: ModelInfo,
        config: EncoderConfig | None = None,
        commit: Commit | None = None,
        number: int = 0,
        kept: Sequence[Segment] = (),
        changed: SideFile | None = None,
        codes_of: IndexManager | None = None,
    ) -> IndexBuilder:
        """Begin a new index, or one more segment of it; it replaces the old one when its commit is made.

        :param commit: the commit to stage the files into, if the caller made one for the video already.
        :param number: see :class:`IndexBuilder`; likewise ``kept`` and ``changed``.
        :param codes_of: an index of the same chunks, as far as it has them: where both keep codes of one kind, its own
            are taken as they are. A code that is made of what another stands for says less of the text.
        :raises OutputError: the folder is missing or read-only.
        """
        path = Path(index_file)
        commit = Commit(path) if commit is None else commit
        try:
            return IndexBuilder(
                path, model=model, config=config or EncoderConfig(), commit=commit,
                number=number, kept=kept, changed=changed,
                kept_codes=None if codes_of is None else codes_of.kept_codes_for(model, config or EncoderConfig()),
            )  # fmt: skip
        except BaseException:
            commit.abort()
            raise

    @classmethod
    def open(
        cls,
        index_file: StrPath,
        *,
        video: VideoIdentity | None = None,
        model: ModelInfo | None = None,
        video_file: StrPath | None = None,
        threads: int | None = None,
    ) -> IndexManager:
        """Open an index. Side files this machine has not seen are hashed in full first, others cost milliseconds.

        :param video: the video it must belong to; ``None`` does not check.
        :param model: the embedding model it must have been built with; ``None`` does not check.
        :param video_file: where the video is, so that an interrupted build of both can be finished.
        :param threads: worker threads for a batch of queries; ``None`` uses the cores this process may run on.
        :raises IndexNotFoundError: there is no manifest.
        :raises IndexFormatError: the manifest or a side file is missing, cut off or changed; says which.
        :raises IndexMismatchError: it belongs to another video, or its video has lost chunks that it has.
        :raises ModelMismatchError: it was built with another model.
        """
        path = Path(index_file)
        recover(path, video_file=video_file)
        manifest = read_manifest(path)
        if video is not None and video.digest != manifest.video.digest:
            missing = missing_from(video, known_chunks(path, video.tag, manifest).there)
            raise IndexMismatchError(f"index {str(path)!r}: {manifest.difference(video, missing)}")
        _check_model(path, manifest.model, model)
        manifest = find_side_files(path, manifest)
        check_complete(path, manifest)
        records = open_records(path, manifest)
        try:
            if video is not None and (missing := missing_from(video, records.row_map.chunk_ids - records.deleted)):
                raise IndexMismatchError(f"index {str(path)!r}: {manifest.difference(video, missing)}")
            vectors = open_vectors(path, manifest, records, threads=threads)
        except BaseException:
            records.close()
            raise
        return cls(path, manifest, vectors, records, threads)

    @property
    def manifest(self) -> Manifest:
        """What the manifest says, with the names that the side files have now."""
        return self._manifest

    @property
    def model(self) -> ModelInfo:
        """The embedding model the vectors were made with."""
        return self._manifest.model

    def check_model(self, model: ModelInfo) -> None:
        """Check that a model is the one the vectors were made with.

        :raises ModelMismatchError: it is another one.
        """
        _check_model(self._index_file, self.model, model)

    @property
    def count(self) -> int:
        """Chunks in the index, without those that were deleted."""
        return self._records.count

    def __len__(self) -> int:
        return self.count

    @property
    def deleted(self) -> ChunkIds:
        """The chunks that were deleted."""
        return self._records.deleted

    @property
    def missing(self) -> ChunkIds:
        """The chunks that the video had lost when the index was made, as far as anything still said so."""
        return ChunkIds.of_ranges(self._manifest.missing) - self._records.row_map.chunk_ids

    @property
    def changed(self) -> ChangedMetadata:
        """Metadata that was changed after its segment was written."""
        return self._records.changed.metadata

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._manifest.vectors.dim

    @property
    def index_file(self) -> Path:
        """The file that its manifest is in."""
        return self._index_file

    @property
    def nbytes(self) -> int:
        """Size of the manifest and the side files."""
        return self._manifest.nbytes

    def search(
        self,
        vectors: Any,
        k: int,
        *,
        expansion: int | None = None,
        exact: bool = False,
        where: Where | Filter | None = None,
        within: Selection | None = None,
        distinct: bool = False,
    ) -> tuple[IntArray, FloatArray]:
        """The k nearest chunks of each query by cosine similarity.

        Small memories and selective filters are searched exactly, other searches walk the HNSW graph. Scores are always
        computed from the stored vectors in float64, so with ``i8`` they are within about 0.002 of float32 vectors'.
        Codes give estimates: those of 4 bits a dimension are mostly within 0.01 of the cosine, those of 1 bit within
        0.08.

        :param vectors: float32[q, dim].
        :param k: at least 1; more than there are chunks returns all.
        :param expansion: HNSW candidates (ef); ``None`` takes the index's own.
        :param exact: compare with every chunk: about 40 ns each and core.
        :param where: only chunks whose metadata passes, e.g. ``{"source": "a.txt", "page": {"$gte": 3}}``
            (docs/filters.md).
        :param within: only chunks of this selection, in place of ``where``.
        :param distinct: of chunks that were added together and have the same stored vector only the first.
        :returns: ids int64[q, m] and scores float32[q, m] with m = min(k, chunks), best first, ties by id; where a
            filter leaves fewer, the rest is id -1 and score -inf.
        :raises EmbeddingError: vectors of another shape or dtype, NaN or infinity.
        :raises QueryError: k below 1, expansion below 1, or a filter that is not one.
        """
        self._check_open()
        queries = check_vectors(vectors, self.dim)
        _check_at_least_one("k", k)
        if expansion is None:
            expansion = self._manifest.vectors.expansion_search
        _check_at_least_one("expansion", expansion)
        return self._nearest.search(
            queries,
            min(int(k), self.count),
            expansion=int(expansion),
            exact=exact,
            selection=within if where is None else self.select(where),
            distinct=distinct,
        )

    def candidates(
        self,
        vectors: FloatArray | None,
        terms: Sequence[Sequence[str]],
        k: int,
        *,
        expansion: int | None = None,
        within: Selection | None = None,
    ) -> list[Scored]:
        """The k best by meaning and the k best by words of each question, in one order; one native call.

        :param vectors: float32[q, dim]; ``None`` searches by words alone.
        :param terms: the words of each, as :func:`~memvid.index.keywords.search_terms` gives them; of no words, it
            is searched by meaning alone.
        :param expansion: HNSW candidates; ``None`` takes the index's own.
        :param within: only chunks of this selection.
        """
        self._check_open()
        return self._candidates.search(
            None if vectors is None else check_vectors(vectors, self.dim),
            terms,
            min(k, self.count),
            expansion=self._manifest.vectors.expansion_search if expansion is None else expansion,
            selection=within,
        )

    @property
    def ranks_words(self) -> bool:
        """Whether :meth:`candidates` takes words: those of old indexes are searched by themselves."""
        return self._candidates.knows_words

    def copies_of(self, ids: Sequence[int] | IntArray) -> list[IntArray]:
        """For each id the chunks, ascending, that have the same stored vector in its segment, itself among them.

        Those that were deleted are left out. The same text has the same vector; so may another text, such as one that
        differs behind what the embedding model reads.

        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_open()
        records = self._records
        copies = (self._vectors.copies_of(row) for row in records.rows_of(np.asarray(ids, np.int64)).tolist())
        return [records.living(records.row_map.ids(rows)) for rows in copies]

    def select(self, where: Where | Filter | None = None, phrases: Sequence[str] = ()) -> Selection | None:
        """What a filter leaves, of the chunks that have all words of some phrases, in whatever order; for searches.

        :returns: ``None`` if there is neither.
        :raises QueryError: the filter is not one.
        """
        self._check_open()
        selected = None if where is None else self._records.select(where)
        words = self._records.words
        terms = list(dict.fromkeys(term for phrase in phrases for term in query_terms(phrase)))
        if words is None or not terms:
            return selected
        rows = self._records.row_map.rows(words.ids_with_all(terms))
        rows = rows if selected is None else rows[selected.has(rows)]
        return Selection.of_rows(rows, len(self._records.row_map))

    def scores_of(self, vector: FloatArray, ids: IntArray) -> FloatArray:
        """float32[n]: the cosine of each of some distinct chunks to a query float32[dim], as :meth:`search` gives it.

        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_open()
        return self._nearest.scores_of(check_vectors(vector[None], self.dim), ids)

    def keyword_search(self, text: str, k: int, *, where: Where | Filter | None = None) -> tuple[IntArray, FloatArray]:
        """The k best chunks that contain a word of ``text``; any text is allowed, nothing in it is syntax.

        English stop words count only if there are no other words.

        :param where: as in :meth:`search`.
        :returns: ids int64[m] and BM25 scores float32[m], m <= k, best first, ties by id.
        :raises QueryError: k below 1, an index without keywords, or a filter that is not one.
        """
        _check_at_least_one("k", k)
        return self.need_words().search(search_terms(text), int(k), self.select(where))

    @property
    def has_words(self) -> bool:
        """Whether the index was built with the words of the chunks."""
        return self._manifest.keywords

    @property
    def words(self) -> Words | None:
        """The words of the chunks; ``None`` if the index was built without them."""
        self._check_open()
        return self._records.words

    def need_words(self) -> Words:
        """The same.

        :raises QueryError: there are none.
        """
        words = self.words
        if words is None:
            raise QueryError("this index has no keywords: build it with EncoderConfig(keywords=True)")
        return words

    def ids_with_words(self, text: str) -> IntArray:
        """int64[n], ascending: the chunks that have all words of ``text``, of a long one the first 64."""
        words = self.words
        return np.empty(0, np.int64) if words is None else words.ids_with_all(query_terms(text))

    def read_metadata_by(self, read: Callable[[IntArray], list[JsonObject]]) -> None:
        """Say how the metadata of chunks are read, which are in the video alone.

        A filter needs that where it asks more of a long value than whether it is equal.

        :param read: gives the metadata of chunks by their ids, int64[n].
        """
        self._records.page_metadata.read = read

    def keeps_metadata(self, ids: IntArray, metadatas: Sequence[bytes]) -> bool:
        """Whether the index keeps these metadata of chunks, as they are stored, which old ones do."""
        self._check_open()
        is_old = all(segment.is_old for segment in self._manifest.segments)
        return is_old and not self._records.differing(ids, metadatas)

    def frames_of(self, ids: Sequence[int] | IntArray) -> IntArray:
        """int64[n]: the 0-based frame in which each chunk starts.

        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_open()
        return self._records.frames_of(np.asarray(ids, np.int64))

    def ids_where(self, where: Where | Filter) -> IntArray:
        """int64[n], ascending: the chunks whose metadata passes a filter; none for a field that no chunk has.

        :raises QueryError: it is no filter.
        """
        self._check_open()
        return self._records.ids_where(where)

    def ids_having(self, field: str, values: Iterable[Any]) -> IntArray:
        """int64[n], ascending: the chunks that have one of these scalars at a key of their metadata.

        That key itself and that value alone are looked at: no path, no member of a list.
        """
        self._check_open()
        wanted = {value for each in values if (value := value_of(each)) is not None}
        return self._records.ids_having(field, wanted)

    def near_misses(self, where: Where | Filter) -> dict[str, list[str]]:
        """For each metadata field of a filter that no chunk has, up to three similar ones that chunks have."""
        self._check_open()
        return self._records.near_misses(where)

    def why_none(self, where: Where | Filter) -> str:
        """Why a filter passes no chunk: which fields or values no chunk has, and similar ones there are, in words.

        ``""`` where that is not it.
        """
        self._check_open()
        return self._records.why_none(where)

    @property
    def ids(self) -> IntArray:
        """int64[count], ascending: the chunks in the index, without those that were deleted."""
        alive = self._records.alive
        rows = np.arange(len(self._records.row_map)) if alive is None else np.flatnonzero(alive)
        return self._records.row_map.ids(rows)

    @property
    def chunk_ids(self) -> ChunkIds:
        """The same as a set of runs."""
        return self._records.row_map.chunk_ids - self._records.deleted

    def first_chunk(self, segment: int) -> int:
        """The smallest id in a segment, deleted or not."""
        return self._records.parts[segment].row_map.start

    def stored_vectors(self, first_chunk: int, count: int) -> FloatArray | None:
        """float32[count, dim]: the vectors of consecutive chunks as they are stored, or as their codes say.

        They are not of length 1.
        NaN for chunks that are not in the index; ``None`` if none of them is.
        """
        self._check_open()
        rows = self._records.row_map.rows(np.arange(first_chunk, first_chunk + count))
        known = np.flatnonzero(rows >= 0)
        if not len(known):
            return None
        vectors = np.full((count, self.dim), np.nan, np.float32)
        vectors[known] = self._vectors.rows(rows[known])
        return vectors

    def kept_codes_for(self, model: ModelInfo, config: EncoderConfig) -> Callable[[int, int], KeptCodes | None] | None:
        """What gives the codes of consecutive chunks to another index, if that is to have such ones."""
        own = self._manifest
        return self.kept_codes if own.vectors.dtype == dtype_of(config) and own.model == model else None

    def kept_codes(self, first_chunk: int, count: int) -> KeptCodes | None:
        """The codes of consecutive chunks as they are stored; ``None`` if vectors are none, or no chunk is there."""
        self._check_open()
        if self._manifest.vectors.dtype not in CODE_BITS:
            return None
        rows = self._records.row_map.rows(np.arange(first_chunk, first_chunk + count))
        there = rows >= 0
        if not there.any():
            return None
        known = self._vectors.codes(rows[there])
        codes = np.zeros((count, known.shape[1]), np.uint8)
        codes[there] = known
        return there, codes

    def vectors_of(self, ids: IntArray) -> FloatArray:
        """float32[n, dim]: the vectors of some chunks as they are stored, so not of length 1.

        :raises ChunkNotFoundError: an id there is none of.
        """
        self._check_open()
        return self._vectors.rows(self._records.rows_of(ids))

    def length_codes(self, ids: IntArray) -> npt.NDArray[np.uint8]:
        """uint8[n]: the length of each chunk in words, as :func:`~memvid.index.keywords.length_code` writes it."""
        self._check_open()
        return self._records.length_codes[self._records.row_map.rows(ids)]

    def verify(self) -> None:
        """Hash all side files in full, check every link of the graph and all postings: a second for a million chunks.

        :raises IndexFormatError: which file is damaged, what was expected and what was found.
        """
        self._check_open()
        for role, side_file in self._manifest.side_files():
            if role != "vectors":
                check_side_file(self._index_file, side_file, always=True)
        parts = zip(self._manifest.segments, self._vectors.parts, self._records.parts, strict=True)
        for segment, vectors, records in parts:
            records.verify()
            if check_side_file(self._index_file, segment.files["vectors"], always=True):
                check_graph(self._index_file, self._manifest, segment, vectors.data, records, links=True)

    def close(self) -> None:
        """Unmap the files. Calling it twice is allowed; searches under way in other threads finish."""
        self._closed = True
        self._candidates.close()
        self._vectors.close()
        self._records.close()

    def __enter__(self) -> IndexManager:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"IndexManager({str(self._index_file)!r}, {self.count} chunks, {self.model.name!r})"

    def _check_open(self) -> None:
        """Check before each question that the files are open, and are what they were."""
        if self._closed:
            raise ClosedError("this index is closed: open it again")
        self._records.check()
        self._vectors.check()


def _check_model(path: Path, built: ModelInfo, given: ModelInfo | None) -> None:
    if given is None or (
        built.name == given.name
        and built.dim == given.dim
        and (built.digest == given.digest or built.digest is None or given.digest is None)
    ):
        return
    raise ModelMismatchError(
        f"index {str(path)!r} was built with {_describe(built)}, not with {_describe(given)}: "
        f"give the one it was built with (embedder=..., --model {_model_option(built)}), or re-embed with "
        "`memvid reindex VIDEO`"
    )


def _model_option(model: ModelInfo) -> str:
    return "hashing" if model.name.startswith("hashing-") else "FOLDER"


def _describe(model: ModelInfo) -> str:
    digest = "" if model.digest is None else f", digest {model.digest[:12]}"
    return f"{model.name!r} (dim {model.dim}{digest})"


def _check_at_least_one(name: str, value: object) -> None:
    if not is_whole(value, 1):
        raise QueryError(f"{name}={value!r}: expected a whole number of at least 1")
