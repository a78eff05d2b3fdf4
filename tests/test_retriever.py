from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memvid import MemvidRetriever, SearchResult, _core
from memvid.errors import (
    ChunkNotFoundError,
    ClosedError,
    IndexFormatError,
    IndexNotFoundError,
    MemvidError,
    QueryError,
    ResourceLimitError,
    VideoNotFoundError,
)
from memvid.retriever import RetrieverStats
from memvid.types import Chunk
from memvid.video.question import Question
from memvid.video.store import PageStore
from tests.memory_support import EMBEDDER, WORDS, build, make_texts, make_vectors, open_memory

TEXTS = make_texts(600)
METADATAS: list[Any] = [{"n": n, "third": n % 3, "even": n % 2 == 0} if n % 10 else None for n in range(600)]
LARGE = make_texts(2600, words=6, seed=2)  # above what is searched exactly


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build(tmp_path_factory.mktemp("memory"), TEXTS, metadatas=METADATAS, symbol_version=15)


@pytest.fixture(scope="module")
def large_video(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build(tmp_path_factory.mktemp("large"), LARGE, embeddings=make_vectors(2600), expansion_add=16)


@pytest.fixture
def memory(video: Path) -> Iterator[MemvidRetriever]:
    with open_memory(video) as memory:
        yield memory


def expected_order(query: str, among: list[int]) -> list[int]:
    scores = EMBEDDER.encode([TEXTS[i] for i in among]) @ EMBEDDER.encode([query])[0]
    return [among[i] for i in np.argsort(-scores, kind="stable").tolist()]


class TestSearch:
    def test_the_nearest_come_first(self, memory: MemvidRetriever) -> None:
        query = "the violin under the glacier"
        results = memory.search_results(query, 5)
        assert [result.text for result in results] == memory.search(query) == [TEXTS[r.chunk_id] for r in results]
        assert len({*expected_order(query, list(range(600)))[:5]} & {result.chunk_id for result in results}) >= 4
        scores = [result.score for result in results]
        assert scores == sorted(scores, reverse=True)
        assert all(-1 <= score <= 1 for score in scores)
        exact = EMBEDDER.encode([result.text for result in results]) @ EMBEDDER.encode([query])[0]
        assert scores == pytest.approx(exact.tolist(), abs=0.01)

    def test_a_text_finds_itself(self, memory: MemvidRetriever) -> None:
        for number in range(0, 600, 37):
            (result,) = memory.search_results(TEXTS[number], 1)
            assert (result.chunk_id, result.text, result.metadata) == (number, TEXTS[number], METADATAS[number] or {})
            assert result.score == pytest.approx(1, abs=0.01)

    @pytest.mark.parametrize("top_k", [600, 601, 10**9, 2**70, np.int64(5000)])
    def test_a_top_k_above_the_memory_returns_all(self, memory: MemvidRetriever, top_k: int) -> None:
        results = memory.search_results("violin", top_k)
        assert sorted(result.chunk_id for result in results) == list(range(600))
        assert [result.text for result in results] == [TEXTS[result.chunk_id] for result in results]

    @given(
        st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), max_size=6), st.integers(1, 9)
    )
    @settings(max_examples=20, deadline=None)
    def test_many_at_once_are_as_one_by_one(self, video: Path, queries: list[str], top_k: int) -> None:
        with open_memory(video) as at_once, open_memory(video, page_cache_bytes=0, query_cache_size=0) as one_by_one:
            assert at_once.search_many(queries, top_k) == [one_by_one.search_results(query, top_k) for query in queries]
            generator: Any = iter(queries)
            assert at_once.search_many(generator, top_k) == at_once.search_many(tuple(queries), top_k)

    def test_many_at_once_in_a_large_memory(self, large_video: Path) -> None:
        with open_memory(large_video) as memory:
            queries = LARGE[:40]
            at_once = memory.search_many(queries, 7)
            assert at_once == [memory.search_results(query, 7) for query in queries]
            for results in at_once:
                assert [result.text for result in results] == [LARGE[result.chunk_id] for result in results]
            assert len(memory.search("violin", 5000)) == 2600

    @pytest.mark.parametrize(
        ("where", "matches"),
        [
            ({"third": 1}, lambda n: n % 3 == 1),
            ({"third": [0, 2], "even": True}, lambda n: n % 3 != 1 and n % 2 == 0),
            ({"n": 123}, lambda n: n == 123),
            ({"n": 123, "even": True}, lambda n: False),
            ({"third": "1"}, lambda n: False),
        ],
    )
    def test_filters(self, memory: MemvidRetriever, where: dict[str, Any], matches: Any) -> None:
        allowed = [n for n in range(600) if n % 10 and matches(n)]
        results = memory.search_results("violin under the glacier", 1000, where=where)
        assert sorted(result.chunk_id for result in results) == allowed
        assert [result.chunk_id for result in memory.search_results("violin", 5, where=where)] == [
            result.chunk_id for result in memory.search_results("violin", 1000, where=where)
        ][:5]

    def test_what_the_caller_does_to_metadata_changes_nothing(self, memory: MemvidRetriever) -> None:
        memory.search_results(TEXTS[1], 1)[0].metadata["n"] = "changed"
        memory.get_chunks_by_id([1])[0].metadata.clear()
        assert memory.get_chunks_by_id([1])[0].metadata == METADATAS[1]

    @pytest.mark.parametrize("query", ["", " ", "\n\t\u3000", None, 5, b"bytes", ["list"]])
    def test_queries_that_cannot_be(self, memory: MemvidRetriever, query: Any) -> None:
        for ask in (memory.search, memory.search_results, lambda query: memory.search_many(["fine", query])):
            with pytest.raises(QueryError, match="query"):
                ask(query)

    @pytest.mark.parametrize("top_k", [0, -1, True, False, 1.0, "5", None, float("nan"), np.float32(2)])
    def test_top_ks_that_cannot_be(self, memory: MemvidRetriever, top_k: Any) -> None:
        for ask in (memory.search, memory.search_results, lambda query, k: memory.search_many([query], k)):
            with pytest.raises(QueryError, match="whole number of at least 1"):
                ask("violin", top_k)

    def test_one_query_for_many(self, memory: MemvidRetriever) -> None:
        assert memory.search_many([]) == []
        with pytest.raises(QueryError, match="search_results"):
            memory.search_many("violin")

    @pytest.mark.parametrize("where", [{}, 5, {"$n": 1}, {"n": {}}, {"n": []}, {"n": float("nan")}, {5: 5}])
    def test_filters_that_cannot_be(self, memory: MemvidRetriever, where: Any) -> None:
        with pytest.raises(QueryError):
            memory.search_results("violin", where=where)

    def test_odd_queries_are_answered(self, memory: MemvidRetriever) -> None:
        for query in ("\0", "\u200b", "?!", "\ud800", "x" * 10_000, '" OR 1 --'):
            assert len(memory.search(query, 3)) == 3


class TestChunks:
    def test_in_the_order_asked_for(self, memory: MemvidRetriever) -> None:
        ids: Any = [599, 0, 300, 0, np.int64(7), np.uint8(7), 599]
        assert [chunk.text for chunk in memory.get_chunks_by_id(ids)] == [TEXTS[i] for i in ids]
        same: Any
        for same in (np.array(ids), iter(ids)):
            assert memory.get_chunks_by_id(same) == memory.get_chunks_by_id(ids)
        assert memory.get_chunks_by_id([]) == []
        assert memory.get_chunk_by_id(5) == TEXTS[5]

    def test_frames_are_those_that_hold_them(self, memory: MemvidRetriever) -> None:
        frames = [chunk.frame_index for chunk in memory.get_chunks_by_id(range(600))]
        assert frames == sorted(frames)
        assert min(frames) >= 1
        assert max(frames) < memory.info.frames
        hits = memory.search_results("violin", 50)
        assert [hit.frame_index for hit in hits] == [frames[hit.chunk_id] for hit in hits]

    @pytest.mark.parametrize("chunk_id", [600, -1, 2**63, 2**70, -(2**70), True, 1.0, "1", None])
    def test_unknown_ids(self, memory: MemvidRetriever, chunk_id: Any) -> None:
        for ask in (memory.get_chunk_by_id, memory.neighbours, lambda i: memory.get_chunks_by_id([0, i])):
            with pytest.raises(ChunkNotFoundError) as caught:
                ask(chunk_id)
            assert isinstance(caught.value, KeyError)
            assert str(caught.value)[0] not in "'\""

    @given(st.integers(0, 599), st.integers(0, 70), st.integers(0, 70))
    @settings(max_examples=40, deadline=None)
    def test_neighbours(self, video: Path, chunk_id: int, before: int, after: int) -> None:
        with open_memory(video) as memory:
            found = memory.neighbours(chunk_id, before, after)
        expected = list(range(max(0, chunk_id - before), min(600, chunk_id + after + 1)))
        assert [chunk.chunk_id for chunk in found] == expected
        assert [chunk.text for chunk in found] == [TEXTS[i] for i in expected]

    def test_neighbours_by_default_and_far(self, memory: MemvidRetriever) -> None:
        assert [chunk.chunk_id for chunk in memory.neighbours(5)] == [4, 5, 6]
        assert len(memory.neighbours(5, 2**70, 2**70)) == 600

    @pytest.mark.parametrize("reach", [-1, True, 1.5, "1", None])
    def test_neighbours_that_cannot_be(self, memory: MemvidRetriever, reach: Any) -> None:
        with pytest.raises(QueryError, match="before"):
            memory.neighbours(5, before=reach)
        with pytest.raises(QueryError, match="after"):
            memory.neighbours(5, after=reach)


class TestCounters:
    def test_each_frame_is_read_once(self, memory: MemvidRetriever) -> None:
        info = memory.info
        before = memory.stats
        assert before.frames_read < 8  # the header page, in codes of this size a run
        results = memory.search_results("violin", 40)
        frames = {result.frame_index for result in results}
        stats = memory.stats
        assert (stats.queries, stats.query_cache_hits) == (1, 0)
        assert (stats.page_cache_hits, stats.page_cache_misses) == (0, len(frames))
        assert (stats.fast_reads, stats.slow_reads) == (stats.frames_read, 0)
        assert 0 < stats.bytes_read < info.video_bytes
        assert 0 < stats.page_cache_bytes < 64 << 20

        assert memory.search_results("violin", 40) == results
        again = memory.stats
        assert (again.queries, again.query_cache_hits) == (2, 1)
        assert again.frames_read == stats.frames_read
        assert again.page_cache_hits == len(frames)
        first_data_frame = memory.get_chunks_by_id([0])[0].frame_index
        assert stats.frames_read == first_data_frame + len(frames)  # header, dictionary, and each hit's frame once

    def test_caches_can_be_off(self, video: Path) -> None:
        with open_memory(video, page_cache_bytes=0, query_cache_size=0) as memory:
            for _ in range(2):
                memory.search("violin", 3)
            stats = memory.stats
        assert stats.query_cache_hits == stats.page_cache_hits == stats.page_cache_bytes == 0

    @pytest.mark.parametrize("limit", [1, 5000, 20_000])
    def test_the_page_cache_is_bounded(self, video: Path, limit: int) -> None:
        with open_memory(video, page_cache_bytes=limit) as memory:
            for chunk_id in range(0, 600, 7):
                assert memory.get_chunk_by_id(chunk_id) == TEXTS[chunk_id]
                assert memory.stats.page_cache_bytes <= limit

    def test_an_answer_is_bounded(self, video: Path) -> None:
        with open_memory(video, question_bytes=100 * 256) as memory:
            assert [chunk.text for chunk in memory.get_chunks_by_id(range(30))] == TEXTS[:30]
            with pytest.raises(ResourceLimitError, match="take more than 25600 bytes: ask for fewer"):
                memory.get_chunks_by_id(range(101))  # objects alone, before anything is read
            with pytest.raises(ResourceLimitError, match="raise question_bytes=25600"):
                memory.neighbours(300, 1 << 40, 1 << 40)
            read = memory.stats.frames_read
            with pytest.raises(ResourceLimitError):
                memory.search("violin", 600)
            assert memory.stats.frames_read == read

    def test_texts_are_counted_before_they_are_made(self, tmp_path: Path) -> None:
        texts = ["a" * 100_000, "b" * 100_000, "\N{SPOUTING WHALE}" + "c" * 40_000]
        video = build(tmp_path, texts)
        with open_memory(video, question_bytes=200_000) as memory:
            assert [chunk.text for chunk in memory.get_chunks_by_id([1, 0, 1, 0])] == [texts[1], texts[0]] * 2
            assert memory.get_chunk_by_id(2) == texts[2]  # which Python keeps in four bytes a character
            for wanted in ([0, 2], [0, 1, 2]):
                with pytest.raises(ResourceLimitError, match="were asked for take more than 200000 bytes"):
                    memory.get_chunks_by_id(wanted)
            assert memory.get_chunk_by_id(0) == texts[0]

    def test_pages_are_counted_before_they_are_unpacked(self, tmp_path: Path) -> None:
        """Of a page of a quarter of a megabyte one word is wanted, of many such pages many words."""
        video = build(tmp_path, [f"{'x' * 4000} {number}" for number in range(640)])
        with open_memory(video, question_bytes=128_000, page_cache_bytes=0) as memory:
            pages = sorted({chunk.frame_index: chunk.chunk_id for chunk in _in_parts(memory, 640)}.values())
            assert len(pages) > 8
            with pytest.raises(ResourceLimitError, match="unpack to more than 1024000 bytes"):
                memory.get_chunks_by_id(pages)
            assert len(memory.get_chunks_by_id(pages[:2])) == 2

    def test_metadata_is_counted_before_it_is_read(self, tmp_path: Path) -> None:
        video = build(tmp_path, ["one", "two"], metadatas=[{"a": [[]] * 1000}, {"a": 1}])
        with open_memory(video, question_bytes=100_000) as memory:
            assert memory.get_chunks_by_id([1])[0].metadata == {"a": 1}
            with pytest.raises(ResourceLimitError, match="the metadata of the chunks that were asked for takes more"):
                memory.get_chunk_by_id(0)

    def test_answers_that_are_read_at_once_are_bounded_together(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A large one waits until the others are read; small ones do not wait for each other."""
        texts = ["large " + "a" * 150_000, *make_texts(20)]
        video = build(tmp_path, texts)
        lock, running, most = threading.Lock(), list[int](), list[int]()
        read = PageStore._read

        def watched(store: PageStore, ids: Any, question: Question) -> Any:
            with lock:
                running.append(question.answer.limit)
                most.append(sum(running))
            try:
                return read(store, ids, question)
            finally:
                with lock:
                    running.remove(question.answer.limit)

        monkeypatch.setattr(PageStore, "_read", watched)
        with open_memory(video, question_bytes=1 << 20, page_cache_bytes=0) as memory:
            with ThreadPoolExecutor(12) as pool:
                found = list(pool.map(memory.get_chunk_by_id, [number % 21 for number in range(420)]))
            assert found == texts * 20
        assert any(total >= 1 << 20 for total in most)
        assert max(most) <= (1 << 20) + 12 * (1 << 14)  # the large one, alone but for small ones

    def test_warm_reads_ahead(self, memory: MemvidRetriever) -> None:
        memory.warm()
        assert memory.stats.queries == 0
        assert memory.stats.frames_read > 0

    def test_stats_and_info_are_frozen(self, memory: MemvidRetriever) -> None:
        with pytest.raises(FrozenInstanceError):
            memory.stats.queries = 1  # type: ignore[misc]
        info = memory.info
        assert (info.chunks, info.text_bytes) == (600, sum(map(len, TEXTS)))
        assert (info.symbol_version, info.error_correction, info.compression, info.fps) == (15, "L", "zstd", 30)
        assert (info.model.name, info.model.dim, info.vector_dtype, info.codec) == ("hashing-64", 64, "i8", "png")
        assert info.video_bytes == Path(memory._video.path).stat().st_size


class TestThreads:
    def test_the_option_bounds_frames_and_vectors_alike(self, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, int]] = []

        def watch(name: str) -> None:
            real = getattr(_core, name)

            def make(*args: Any, threads: int, **options: Any) -> Any:
                asked.append((name, threads))
                return real(*args, threads=threads, **options)

            monkeypatch.setattr(_core, name, make)

        watch("FrameReader")
        watch("HnswGraph")
        open_memory(video, threads=3).close()
        assert asked == [("FrameReader", 3), ("HnswGraph", 3)]

    @pytest.mark.parametrize("cache", [0, 20_000, 64 << 20])
    def test_eight_threads_share_a_retriever(self, video: Path, cache: int) -> None:
        queries = [" ".join(WORDS[i : i + 3]) for i in range(24)]
        with open_memory(video) as alone:
            expected = [alone.search_results(query, 6) for query in queries]
        with open_memory(video, page_cache_bytes=cache, query_cache_size=8) as memory:
            barrier = threading.Barrier(8)

            def ask(worker: int) -> list[tuple[int, list[SearchResult]]]:
                barrier.wait()
                order = queries[worker:] + queries[:worker]
                return [(queries.index(query), memory.search_results(query, 6)) for query in order]

            with ThreadPoolExecutor(8) as pool:
                for answers in pool.map(ask, range(8)):
                    assert all(results == expected[number] for number, results in answers)
            assert memory.stats.queries == 8 * 24

    def test_threads_in_a_large_memory(self, large_video: Path) -> None:
        with open_memory(large_video) as memory, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda query: memory.search_results(query, 5), LARGE[:24] * 3))
        assert answers[:24] == answers[24:48] == answers[48:]

    def test_closing_under_way_gives_answers_or_closed_errors(self, video: Path) -> None:
        memory = open_memory(video, page_cache_bytes=0)
        started = threading.Event()
        outcomes: list[object] = []

        def ask() -> None:
            for number in range(600):
                try:
                    outcomes.append(memory.search(TEXTS[number], 1) == [TEXTS[number]])
                except MemvidError as error:
                    outcomes.append(type(error))
                    return
                started.set()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        memory.close()
        for thread in threads:
            thread.join()
        assert set(outcomes) <= {True, ClosedError}

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_forked_child_reads_on(self, memory: MemvidRetriever) -> None:
        memory.search_many([TEXTS[1], TEXTS[500]], 20)
        child = os.fork()
        if child == 0:
            try:
                found = memory.get_chunks_by_id(range(600))
                os._exit(0 if [chunk.text for chunk in found] == TEXTS else 3)
            except BaseException:
                os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestOpening:
    def test_another_memory_copied_over_an_open_one_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        video, other = build(tmp_path, make_texts(40)), build(tmp_path / "other", make_texts(30, seed=2))
        with open_memory(video) as memory:
            memory.search("violin", 3)
            for file in other.parent.iterdir():
                shutil.copyfile(file, tmp_path / file.name)  # into the very file, as cp does
                os.utime(tmp_path / file.name, ns=(1, 1))
            with pytest.raises(IndexFormatError, match="open the memory again"):
                memory.search("violin", 3)
        with open_memory(video) as memory:
            assert memory.search(make_texts(30, seed=2)[7], 1) == [make_texts(30, seed=2)[7]]

    def test_the_index_beside_the_video_is_found(self, video: Path) -> None:
        index = video.with_name("memory_index.json")
        for arguments in ((str(video),), (video, index), (os.fspath(video), os.fspath(index))):
            with MemvidRetriever(*arguments, embedder=EMBEDDER) as memory:
                assert len(memory) == 600

    def test_what_is_not_there(self, tmp_path: Path, video: Path) -> None:
        for path in ("none.mp4", "none/none.mp4", "a\0b"):
            with pytest.raises(VideoNotFoundError):
                open_memory(tmp_path / path)
        with pytest.raises(IndexNotFoundError, match="memvid reindex"):
            open_memory(video, tmp_path / "none.json")

    def test_a_failed_opening_lets_go_of_the_video(self, video: Path, tmp_path: Path) -> None:
        folder = Path("/proc/self/fd")
        if not folder.is_dir():
            pytest.skip("needs /proc")
        before = len(list(folder.iterdir()))
        failures = []
        for _ in range(3):
            with pytest.raises(IndexNotFoundError) as caught:
                open_memory(video, tmp_path / "none.json")
            failures.append(caught.value)  # and with it the frames that refer to what was opened
        assert len(list(folder.iterdir())) == before

    def test_closed(self, video: Path) -> None:
        memory = open_memory(video)
        assert repr(memory) == f"MemvidRetriever({str(video)!r}, 600 chunks)"
        with memory as same:
            assert same is memory
        memory.close()
        assert repr(memory) == f"MemvidRetriever({str(video)!r}, closed)"
        uses: list[Callable[[], object]] = [
            lambda: memory.search("violin"),
            lambda: memory.search_results("violin"),
            lambda: memory.search_many(["violin"]),
            lambda: memory.get_chunk_by_id(0),
            lambda: memory.get_chunks_by_id([]),
            lambda: memory.neighbours(0),
            memory.warm,
            lambda: memory.stats,
            lambda: memory.info,
            lambda: len(memory),
        ]
        for use in uses:
            with pytest.raises(ClosedError, match="open the memory again"):
                use()

    def test_an_open_memory_stays_as_it_was_when_another_takes_its_place(self, tmp_path: Path) -> None:
        video = build(tmp_path, make_texts(50, seed=3))
        with open_memory(video, page_cache_bytes=0) as memory:
            build(tmp_path, ["something else"])
            assert [chunk.text for chunk in memory.get_chunks_by_id(range(50))] == make_texts(50, seed=3)
            assert len(memory.search_results("violin", 50, where=None)) == 50
        with open_memory(video) as memory:
            assert memory.search("x") == ["something else"]

    def test_results_are_short_to_print(self, memory: MemvidRetriever) -> None:
        assert len(repr(memory.search_results("violin", 1)[0])) < 120
        assert isinstance(memory.stats, RetrieverStats)


def _in_parts(memory: MemvidRetriever, count: int) -> list[Chunk]:
    return [chunk for start in range(0, count, 8) for chunk in memory.get_chunks_by_id(range(start, start + 8))]
