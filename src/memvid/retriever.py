"""Questions to passages: the public retriever."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memvid.async_search import AsyncSearches
from memvid.checks import check_chunk_id, check_chunk_ids, is_whole
from memvid.config import RetrieverConfig, SearchOptions, make_config, search_options
from memvid.embedding import (
    Embedder,
    EmbedderLike,
    check_profile,
    encode_checked,
    encode_queries,
    model_info,
    resolve_embedder,
)
from memvid.errors import (
    ChunkDeletedError,
    ChunkNotFoundError,
    ClosedError,
    FrameError,
    QueryError,
    VideoNotFoundError,
)
from memvid.index import IndexManager
from memvid.index.location import find_index
from memvid.page import ChunkIds, read_metadata
from memvid.pickling import check_picklable
from memvid.query import Filter, parse_filter
from memvid.query_cache import QueryCache, Tally
from memvid.ranking import RankedSearch, why_nothing
from memvid.storage.commit import is_single, open_settled, recover
from memvid.types import Chunk, CommitInfo, MemoryInfo, RetrieverStats, SearchResult, StrPath, Where
from memvid.video import MetadataState, PageStore, VideoReader

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from memvid.config import SearchKeywords

__all__ = ["MemoryInfo", "MemvidRetriever", "RetrieverStats"]


class MemvidRetriever(AsyncSearches):
    """Searches a memory by meaning and by words, and reads the passages back out of its frames.

    Every text that is returned came out of a frame of the video, and its checksum was verified; a frame that cannot be
    read raises. Safe to share between threads; files stay as they were when it was opened.

    ``search_many``, and ``asearch``, ``asearch_results`` and ``asearch_many`` for event loops (docs/threads.md), are in
    :mod:`memvid.async_search`.

    :param video_file: the video.
    :param index_file: its index; ``None`` takes the one inside the video, or ``<stem>_index.json`` beside it.
    :param embedder: what made the embeddings, if it was not the MiniLM model that comes with memvid.
    :param config: a :class:`RetrieverConfig`, a dict of its options, or ``None`` for the defaults.
    :param options: single options of :class:`RetrieverConfig`, on top of ``config``.
    :raises VideoNotFoundError: there is no such video; likewise :class:`IndexNotFoundError`.
    :raises VideoFormatError: the video is cut off, damaged, or not memvid's; likewise :class:`IndexFormatError`.
    :raises IndexMismatchError: the index belongs to another video.
    :raises ModelMismatchError: the index was made with another embedder.
    :raises ConfigError: an option is unknown or out of range.
    """

    def __init__(
        self,
        video_file: StrPath,
        index_file: StrPath | None = None,
        *,
        embedder: EmbedderLike | None = None,
        config: RetrieverConfig | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.config = make_config(RetrieverConfig, config, options, beside=("embedder",))
        video_path = Path(video_file)
        index_path = Path(video_file if index_file is None else index_file)
        if "\0" in f"{video_path}{index_path}":
            raise VideoNotFoundError(f"no file can be named {video_path} or {index_path}: a name holds no NUL")
        self._defaults = search_options(self.config, {})
        self._places = (video_path.absolute(), None if index_file is None else index_path.absolute())
        self._embedder = resolve_embedder(embedder)
        self._video, self._index = open_settled(
            find_index(video_path, index_file), video_path,
            lambda: self._open(video_path, find_index(video_path, index_file)),
        )  # fmt: skip
        self._store = PageStore(
            self._video, cache_bytes=self.config.page_cache_bytes, question_bytes=self.config.question_bytes
        )
        self._index.read_metadata_by(self._store.metadata_of)
        self._queries = QueryCache(self.config.query_cache_size)
        self._tally = Tally()
        self._closed = False

    def __len__(self) -> int:
        self._check_open()
        return self._index.count

    def search(self, query: str, top_k: int = 5, **options: Unpack[SearchKeywords]) -> list[str]:
        """The texts of the chunks that answer ``query`` best, best first; all of them if there are fewer.

        Options, all of them in docs/search.md: ``mode=`` ``"hybrid"`` (by meaning and by words), ``"semantic"`` or
        ``"keyword"``; ``where=``, a filter on metadata; ``min_score=``; ``diversity=``; ``rerank=``; ``distinct=``.
        Words in ``"quotes"`` have to be in a text as they are.

        :raises QueryError: the query is blank or not a string, ``top_k`` is below 1, an option is unknown or cannot be.
        :raises FrameError: a frame that holds an answer cannot be read and verified.
        :raises ResourceLimitError: the texts, or what they have to be unpacked from, exceed ``question_bytes``.
        """
        return [result.text for result in self.search_results(query, top_k, **options)]

    def search_results(self, query: str, top_k: int = 5, **options: Unpack[SearchKeywords]) -> list[SearchResult]:
        """Like :meth:`search`, with ids, scores, metadata and frames; ``explain=True`` says why each is where it is."""
        return self.search_many([query], top_k, **options)[0]

    def search_many(
        self, queries: Iterable[str], top_k: int = 5, **options: Unpack[SearchKeywords]
    ) -> list[list[SearchResult]]:
        """Answers to several queries at once; each distinct frame is read once.

        :raises QueryError: a query is blank or not a string, ``top_k`` is below 1, an option is unknown or cannot be.
        :raises ResourceLimitError: all answers together exceed ``question_bytes``.
        """
        queries, chosen = self._checked(queries, top_k, options)
        return self._search_checked(queries, top_k, chosen) if queries else []

    def _search_checked(self, queries: list[str], top_k: int, options: SearchOptions) -> list[list[SearchResult]]:
        begin = end = time.perf_counter()
        vectors, cached = None, 0
        if options.mode != "keyword":
            vectors, cached = self._embed(queries)
            end = time.perf_counter()
        ranked = RankedSearch(
            self._index, self._store.read, options,
            embed=lambda texts: encode_checked(self._embedder, texts), expansion=self.config.expansion_search,
        )  # fmt: skip
        results = ranked.search(queries, top_k, vectors)
        self._tally.add(len(queries), cached, embed=end - begin, **ranked.seconds)
        return results

    def get_chunk_by_id(self, chunk_id: int) -> str:
        """The text of one chunk.

        :raises ChunkNotFoundError: there is no chunk of that id; it is a :class:`ChunkDeletedError` if the
            memory still lists it as deleted.
        """
        return self.get_chunks_by_id([chunk_id])[0].text

    def get_chunks_by_id(self, chunk_ids: Iterable[int]) -> list[Chunk]:
        """Chunks, in the order of the ids given; each distinct frame is read once.

        :raises ChunkNotFoundError: there is no chunk of that id; it is a :class:`ChunkDeletedError` if the
            memory still lists it as deleted.
        :raises ResourceLimitError: they exceed ``question_bytes``: ask for some at a time.
        """
        self._check_open()
        ids = check_chunk_ids(chunk_ids)
        self._check_alive(ids)
        return self._chunks(ids) if ids else []

    def chunk_ids(self) -> list[int]:
        """The ids of all chunks, ascending. They count up from 0, but for those that were deleted or lost."""
        self._check_open()
        return [int(chunk_id) for chunk_id in self._index.ids]

    def neighbours(self, chunk_id: int, before: int = 1, after: int = 1) -> list[Chunk]:
        """The chunk and those around it, in order, as far as the memory goes; most of them share its page.

        :raises ChunkNotFoundError: there is no chunk of that id.
        :raises QueryError: ``before`` or ``after`` is not a whole number of at least 0.
        :raises ResourceLimitError: they exceed ``question_bytes``: ask for fewer.
        """
        self._check_open()
        _check_int("before", before, 0)
        _check_int("after", after, 0)
        self._check_alive([check_chunk_id(chunk_id)])
        ids = self._video.table.ids_around(
            int(chunk_id), before, after, without=self._index.deleted | self._index.missing
        )
        self._store.check_count(len(ids))
        return self._chunks(ids.numbers().tolist())

    def log(self) -> list[CommitInfo]:
        """The changes of the memory since it was built or compacted, the first one first; reads a frame for each.

        :raises FrameError: a page that says what was changed cannot be read.
        """
        self._check_open()
        return [info for _, info in self._store.history.commits(self._store.header)]

    def near_misses(self, where: Where) -> dict[str, list[str]]:
        """For each metadata field of a filter that no chunk has, up to three similar ones that chunks have.

        Nothing is found by such a field; this says why.

        :raises QueryError: it is no filter.
        """
        self._check_open()
        return self._index.near_misses(where)

    def why_nothing(self, query: str, **options: Unpack[SearchKeywords]) -> str:
        """Why such a search finds nothing, in words: the first condition that no chunk meets, and what may be meant.

        :param query: ``""`` asks about the filter alone.
        :param options: as :meth:`search` takes them.
        :raises QueryError: as :meth:`search` does.
        """
        _, checked = self._checked([query] if query else [], 1, options)
        return why_nothing(self._index, query, checked)

    def scan(self, as_of: int | None = None, *, where: Where | None = None) -> Iterator[Chunk]:
        """All chunks in the order of their ids, with their metadata: as they are, or as they were at a commit.

        Reads the pages one after the other, past the cache. What was deleted or changed since that commit is there as
        long as the memory is not compacted.

        :param as_of: number of a commit, as :meth:`log` lists it.
        :param where: only chunks whose metadata passes this filter (docs/filters.md); all pages are read.
        :raises QueryError: there is no such commit, or ``where`` is no filter; raised at once.
        :raises FrameError: a frame cannot be read and verified; raised when it is its turn.
        """
        self._check_open()
        wanted = None if where is None else parse_filter(where)
        frames, history = self._video.frame_count, self._store.history
        if as_of is None:
            return self._scan(frames, self._index.deleted, self._store.changed, wanted)
        _check_int("as_of", as_of, 1)
        commits = history.commits(self._store.header)
        at = next((at for at, (_, info) in enumerate(commits) if info.number == as_of), None)
        if at is None:
            numbers = f"{commits[0][1].number} to {commits[-1][1].number}"
            raise QueryError(f"as_of={as_of}: there is no such commit; memvid log lists those there are, {numbers}")
        stop = commits[at + 1][0] if at + 1 < len(commits) else frames
        return self._scan(stop, history.deleted_in(0, stop), history.changed_in(0, stop), wanted)

    def _scan(self, stop: int, deleted: ChunkIds, changed: MetadataState, where: Filter | None) -> Iterator[Chunk]:
        """The chunks in the frames before ``stop``."""
        gone = deleted | self._index.missing
        for frame, page in self._store.scan_chunks(stop=stop, without=gone):
            first = int(self._video.table.first_chunks[frame])
            for slot in np.flatnonzero(~gone.contains(np.arange(first, first + len(page)))).tolist():
                try:
                    metadata, fault = read_metadata(self._store.metadata_bytes(page, frame, slot, changed=changed))
                except FrameError as error:
                    metadata, fault = {}, f"the page that may have it cannot be read: {error}"
                if where is None or where.matches(metadata):
                    yield Chunk(first + slot, page.text(slot), metadata, frame, fault)

    def warm(self) -> None:
        """Load what the first query would load: the model, the index, the dictionary."""
        self._check_open()
        self._store.warm()
        ids, _ = self._index.search(encode_queries(self._embedder, ["warm"]), 1)
        self._store.read(ids[ids >= 0][:1])

    @property
    def stats(self) -> RetrieverStats:
        """What was done since opening."""
        self._check_open()
        reads = self._video.counters()
        pages = self._store.cache_stats()
        tally = self._tally
        return RetrieverStats(
            queries=tally.queries,
            query_cache_hits=tally.cached,
            page_cache_hits=pages.hits,
            page_cache_misses=pages.misses,
            page_cache_bytes=pages.nbytes,
            frames_read=reads["frames"],
            fast_reads=reads["fast"],
            slow_reads=reads["corrected"] + reads["detected"],
            rebuilt_frames=reads["rebuilt"],
            bytes_read=reads["bytes"],
            embed_seconds=tally.seconds["embed"],
            search_seconds=tally.seconds["search"],
            read_seconds=tally.seconds["read"],
            rank_seconds=tally.seconds["rank"],
        )

    @property
    def info(self) -> MemoryInfo:
        """What the memory is; reads its header page."""
        self._check_open()
        header = self._store.header
        return MemoryInfo(
            memory_id=header.memory_id,
            chunks=self._index.count,
            frames=self._video.frame_count,
            text_bytes=header.text_bytes,
            video_bytes=self._video.identity.bytes,
            index_bytes=self._index.nbytes,
            width=self._video.width,
            height=self._video.height,
            fps=self._video.fps,
            codec=self._video.codec,
            symbol_version=header.symbol_version,
            error_correction=header.error_correction,
            compression=header.compression,
            dictionary_bytes=header.dictionary_bytes,
            parity=header.parity or 0,
            model=self._index.model,
            vector_dtype=self._index.manifest.vectors.dtype,
            built_chunks=header.chunks,
            deleted=len(self._index.deleted & self._video.table.chunk_ids()),
            missing=self._index.missing.ranges,
            title=header.title,
            date=header.date,
            profile=self._index.manifest.vectors.profile,
            index_inside=is_single(self._index.index_file, Path(self._video.path)),
        )

    def close(self) -> None:
        """Let go of the files. Using the retriever afterwards raises :class:`ClosedError`; closing twice is fine.

        Waits for no search: one that is under way in another thread finishes or raises :class:`ClosedError`.
        """
        if not self._closed:
            self._closed = True
            self._close_pool()
            self._index.close()
            self._video.close()
            self._store.close()

    def __enter__(self) -> MemvidRetriever:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another one that opens the same files, as they are by then, with the same options."""
        self._check_open()
        embedder = None if self._embedder is resolve_embedder(None) else self._embedder
        check_picklable(
            embedder,
            f"the retriever of {self._video.path} cannot be pickled, because its embedder cannot: open the memory in "
            "each process",
        )
        check_picklable(
            self.config.rerank,
            f"the retriever of {self._video.path} cannot be pickled, because its rerank= function cannot: give it to "
            "each search",
        )
        return _open_again, (type(self), *self._places, embedder, self.config)

    def __copy__(self) -> MemvidRetriever:
        """Another one, with the same embedder: those may be shared."""
        self._check_open()
        return _open_again(type(self), *self._places, self._embedder, self.config)

    def __deepcopy__(self, _memo: object) -> MemvidRetriever:
        return self.__copy__()

    def __repr__(self) -> str:
        if not hasattr(self, "_closed"):  # a debugger looks at one that could not be made
            return "MemvidRetriever(not open)"
        if self._closed:
            return f"MemvidRetriever({self._video.path!r}, closed)"
        return f"MemvidRetriever({self._video.path!r}, {len(self)} chunks)"

    def _open(self, video_path: Path, index_path: Path) -> tuple[VideoReader, IndexManager]:
        recover(index_path, video_file=video_path)
        video = VideoReader(video_path, threads=self.config.threads)
        try:
            model = model_info(self._embedder)
            index = IndexManager.open(
                index_path, video=video.identity, model=model, video_file=video_path, threads=self.config.threads
            )
            check_profile(self._embedder, index.manifest.vectors.profile)
        except BaseException:
            video.close()
            raise
        return video, index

    def _check_alive(self, chunk_ids: list[int]) -> None:
        ids = np.array(chunk_ids, np.int64)
        for gone, error, what in (
            (self._index.deleted, ChunkDeletedError, "was deleted from this memory"),
            (self._index.missing, ChunkNotFoundError, "is lost: the video did not have it when its index was made"),
        ):
            if gone and len(found := np.flatnonzero(gone.contains(ids))):
                raise error(f"chunk {chunk_ids[int(found[0])]} {what}")

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the retriever of {self._video.path} was closed: open the memory again")

    def _checked(self, queries: Iterable[str], top_k: int, options: SearchKeywords) -> tuple[list[str], SearchOptions]:
        self._check_open()
        if isinstance(queries, (str, bytes)):
            raise QueryError("queries is a single string: use search_results() for one query")
        wanted = list(queries)
        for query in wanted:
            _check_query(query)
        _check_int("top_k", top_k, 1)
        return wanted, search_options(self.config, options) if options else self._defaults

    def _embed(self, queries: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """``float32[n, dim]`` of the queries, and how many of them were known."""
        found = {query: self._queries.get(query) for query in queries}
        vectors = {query: vector for query, vector in found.items() if vector is not None}
        cached = sum(query in vectors for query in queries)
        missing = [query for query in found if query not in vectors]
        if missing:
            made = encode_queries(self._embedder, missing)
            for query, vector in zip(missing, made, strict=True):
                vectors[query] = vector
                self._queries.put(query, vector)
            if len(missing) == len(queries):  # all of them new, and in their order
                return made, 0
        return np.stack([vectors[query] for query in queries]), cached

    def _chunks(self, chunk_ids: list[int]) -> list[Chunk]:
        stored = self._store.read(chunk_ids)
        return [Chunk(chunk_id, *chunk) for chunk_id, chunk in zip(chunk_ids, stored, strict=True)]


def _open_again(
    kind: type[MemvidRetriever],
    video_file: Path,
    index_file: Path | None,
    embedder: Embedder | None,
    config: RetrieverConfig,
) -> MemvidRetriever:
    return kind(video_file, index_file, embedder=embedder, config=config)


def _check_query(query: object) -> None:
    if not isinstance(query, str):
        raise QueryError(f"the query is a {type(query).__name__}: expected a string")
    if not query or query.isspace():
        raise QueryError("the query is blank: say what to look for")


def _check_int(name: str, value: object, least: int) -> None:
    if not is_whole(value, least):
        raise QueryError(f"{name}={value!r} is not possible: expected a whole number of at least {least}")
