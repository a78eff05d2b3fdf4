"""Searches from event loops: same answers, a loop that keeps running, and what cancelling, failing and closing do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidRetriever, SearchResult, async_search
from memvid.async_search import SearchPool
from memvid.config import SearchOptions
from memvid.embedding.protocol import Vectors
from memvid.errors import ClosedError, EmbeddingError, QueryError
from tests.memory_support import EMBEDDER, WORDS, build, make_texts, open_memory

TEXTS = make_texts(300)
METADATAS: list[Any] = [{"third": n % 3} for n in range(300)]
QUERIES = [" ".join(WORDS[i % 30 : i % 30 + 2 + i % 3]) for i in range(100)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build(tmp_path_factory.mktemp("memory"), TEXTS, metadatas=METADATAS, symbol_version=15)


@pytest.fixture
def memory(video: Path) -> Iterator[MemvidRetriever]:
    with open_memory(video) as memory:
        yield memory


class GatedEmbedder:
    """The hashing embedder behind a gate; a query with ``bad`` in it fails."""

    name = EMBEDDER.name
    dim = EMBEDDER.dim

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)  # one more for each call that arrived
        self.gate = threading.Event()
        self.calls: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        self.begun.release()
        self.gate.wait()
        if any("bad" in text for text in texts):
            raise ValueError("no vector for that")
        return EMBEDDER.encode(texts)


@pytest.fixture
def embedder() -> Iterator[GatedEmbedder]:
    embedder = GatedEmbedder()
    yield embedder
    embedder.gate.set()  # a test that failed leaves no thread that waits


def open_gated(video: Path, embedder: GatedEmbedder) -> MemvidRetriever:
    return MemvidRetriever(video, embedder=embedder, query_cache_size=0)


async def arrived(embedder: GatedEmbedder, calls: int = 1) -> None:
    """Wait until so many more calls are behind the gate, while the loop runs on."""
    for _ in range(calls):
        assert await asyncio.to_thread(embedder.begun.acquire, timeout=60)


async def occupy(memory: MemvidRetriever, embedder: GatedEmbedder) -> list[asyncio.Task[Any]]:
    """Searches that hold each thread of the retriever behind the gate."""
    tasks = []
    for number in range(4):
        tasks.append(asyncio.create_task(memory.asearch_results(f"violin {number}", 1)))
        await arrived(embedder)
    return tasks


def pool_threads(known: set[threading.Thread]) -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t not in known and t.name.startswith("memvid-search")]


class TestAnswers:
    def test_a_hundred_at_once_are_as_one_by_one(self, memory: MemvidRetriever, video: Path) -> None:
        async def ask(memory: MemvidRetriever) -> list[list[SearchResult]]:
            return await asyncio.gather(*(memory.asearch_results(query, 1 + n % 3) for n, query in enumerate(QUERIES)))

        with open_memory(video, page_cache_bytes=0, query_cache_size=0) as alone:
            expected = [alone.search_results(query, 1 + n % 3) for n, query in enumerate(QUERIES)]
        assert asyncio.run(ask(memory)) == expected
        assert memory.stats.queries == 100

    def test_twins(self, memory: MemvidRetriever) -> None:
        async def ask(memory: MemvidRetriever) -> None:
            assert await memory.asearch("violin", 3) == memory.search("violin", 3)
            assert await memory.asearch("violin", top_k=7) == memory.search("violin", top_k=7)
            for where in (None, {"third": 1}, {"third": [0, 2]}):
                found = await memory.asearch_results("violin", 5, where=where)
                assert found == memory.search_results("violin", 5, where=where)
                many = await memory.asearch_many(iter(QUERIES), 2, where=where)
                assert many == memory.search_many(QUERIES, 2, where=where)
            assert await memory.asearch_many([]) == []

        asyncio.run(ask(memory))

    def test_filters_do_not_mix(self, memory: MemvidRetriever) -> None:
        wheres: list[Any] = [{"third": (0, 1, 1.0, 2, True)[n % 5]} for n in range(30)]

        async def ask(memory: MemvidRetriever) -> list[list[SearchResult]]:
            return await asyncio.gather(*(memory.asearch_results("violin", 4, where=where) for where in wheres))

        for where, results in zip(wheres, asyncio.run(ask(memory)), strict=True):
            assert [result.metadata for result in results] == ([] if where["third"] is True else [where] * 4)

    def test_one_loop_after_another(self, memory: MemvidRetriever) -> None:
        answers = [asyncio.run(memory.asearch("violin", 2)) for _ in range(3)]
        assert answers == [memory.search("violin", 2)] * 3

    def test_loops_in_several_threads(self, memory: MemvidRetriever) -> None:
        expected = [memory.search(query, 2) for query in QUERIES]
        outcomes: list[bool] = []

        def run_loop() -> None:
            async def ask(memory: MemvidRetriever) -> list[list[str]]:
                return await asyncio.gather(*(memory.asearch(query, 2) for query in QUERIES))

            outcomes.append(asyncio.run(ask(memory)) == expected)

        threads = [threading.Thread(target=run_loop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == [True] * 4


class TestTheLoop:
    def test_it_keeps_running_while_a_search_waits(self, video: Path, embedder: GatedEmbedder) -> None:
        async def ask(memory: MemvidRetriever) -> list[str]:
            search = asyncio.create_task(memory.asearch(TEXTS[5], 1))
            await arrived(embedder)
            for _ in range(100):
                await asyncio.sleep(0)  # not a pause: one turn of the loop
            assert not search.done()
            embedder.gate.set()
            return await search

        with open_gated(video, embedder) as memory:
            assert asyncio.run(ask(memory)) == [TEXTS[5]]

    def test_what_waits_is_answered_together(self, video: Path, embedder: GatedEmbedder) -> None:
        async def ask(memory: MemvidRetriever) -> list[list[SearchResult]]:
            occupying = await occupy(memory, embedder)
            waiting = [asyncio.create_task(memory.asearch_results(text, 2)) for text in TEXTS[:50]]
            other = asyncio.create_task(memory.asearch_results(TEXTS[60], 1))
            await asyncio.sleep(0)
            embedder.gate.set()
            assert (await other)[0].chunk_id == 60
            await asyncio.gather(*occupying)
            return await asyncio.gather(*waiting)

        with open_gated(video, embedder) as memory:
            assert [results[0].chunk_id for results in asyncio.run(ask(memory))] == list(range(50))
        assert [len(call) for call in embedder.calls[:4]] == [1, 1, 1, 1]
        assert sorted(len(call) for call in embedder.calls[4:]) == [1, 18, 32]  # 32 a call; another top_k by itself

    def test_threads_are_named_bounded_late_and_gone(self, video: Path) -> None:
        known = set(threading.enumerate())
        with open_memory(video) as memory:
            memory.search("violin")
            assert pool_threads(known) == []

            async def ask(memory: MemvidRetriever) -> None:
                await asyncio.gather(*(memory.asearch(query) for query in QUERIES))

            asyncio.run(ask(memory))
            assert 1 <= len(pool_threads(known)) <= 4
        assert pool_threads(known) == []

    def test_a_dropped_retriever_ends_its_threads(self, video: Path) -> None:
        known = set(threading.enumerate())
        memory = open_memory(video)
        asyncio.run(memory.asearch("violin"))
        threads = pool_threads(known)
        del memory
        for thread in threads:
            thread.join(60)
        assert pool_threads(known) == []


class TestFailures:
    @pytest.mark.parametrize("query", ["", " ", None, 5])
    def test_queries_that_cannot_be(self, memory: MemvidRetriever, query: Any) -> None:
        asks: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: memory.asearch(query),
            lambda: memory.asearch_results(query),
            lambda: memory.asearch_many(["fine", query]),
        ]
        for ask in asks:
            with pytest.raises(QueryError, match="query"):
                asyncio.run(ask())

    def test_other_arguments_that_cannot_be(self, memory: MemvidRetriever) -> None:
        nothing: Any = {}
        with pytest.raises(QueryError, match="top_k"):
            asyncio.run(memory.asearch("violin", 0))
        with pytest.raises(QueryError, match="search_results"):
            asyncio.run(memory.asearch_many("violin"))
        with pytest.raises(QueryError):
            asyncio.run(memory.asearch_results("violin", where=nothing))
        assert asyncio.run(memory.asearch("violin", 1)) == memory.search("violin", 1)

    def test_a_failure_reaches_only_who_asked_for_it(self, video: Path, embedder: GatedEmbedder) -> None:
        async def ask(memory: MemvidRetriever) -> list[object]:
            occupying = await occupy(memory, embedder)
            queries = [TEXTS[0], "bad", TEXTS[1], TEXTS[2]]
            waiting = [asyncio.create_task(memory.asearch(query, 1)) for query in queries]
            await asyncio.sleep(0)
            embedder.gate.set()
            await asyncio.gather(*occupying)
            return await asyncio.gather(*waiting, return_exceptions=True)

        with open_gated(video, embedder) as memory:
            first, failure, *rest = asyncio.run(ask(memory))
        assert [first, *rest] == [[TEXTS[0]], [TEXTS[1]], [TEXTS[2]]]
        assert isinstance(failure, EmbeddingError)
        assert isinstance(failure.__cause__, ValueError)

    def test_an_answer_is_given_before_the_next_one_is_read(
        self, tmp_path: Path, embedder: GatedEmbedder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each alone is within ``question_bytes``, all together are not: so many must not be in memory at once."""
        texts = [f"{word} {word * 2000}" for word in WORDS[:6]]
        video = build(tmp_path, texts, embeddings=EMBEDDER.encode(WORDS[:6]))
        events: list[tuple[int, str]] = []  # and on which thread: the other ones are still giving theirs
        search_checked = MemvidRetriever._search_checked

        def search(memory: MemvidRetriever, queries: list[str], *arguments: Any, **options: Any) -> Any:
            events.append((threading.get_ident(), f"asked for {len(queries)}"))
            return search_checked(memory, queries, *arguments, **options)

        answer = async_search._Request.answer

        def given(request: async_search._Request, outcome: Any) -> None:
            events.append((threading.get_ident(), "given"))
            answer(request, outcome)

        async def ask(memory: MemvidRetriever) -> list[list[str]]:
            occupying = await occupy(memory, embedder)
            monkeypatch.setattr(MemvidRetriever, "_search_checked", search)
            waiting = [asyncio.create_task(memory.asearch(word, 1)) for word in WORDS[:6]]
            await asyncio.sleep(0)
            monkeypatch.setattr(async_search._Request, "answer", given)
            embedder.gate.set()
            await asyncio.gather(*occupying)
            return await asyncio.gather(*waiting)

        with MemvidRetriever(video, embedder=embedder, query_cache_size=0, question_bytes=20_000) as memory:
            assert asyncio.run(ask(memory)) == [[text] for text in texts]
        (thread,) = {thread for thread, event in events if event == "asked for 6"}
        one_by_one = [event for where, event in events if where == thread]
        assert one_by_one[-13:] == ["asked for 6", *["asked for 1", "given"] * 6]

    def test_where_no_thread_can_be_started(self, memory: MemvidRetriever, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="new thread"):
                asyncio.run(memory.asearch("violin"))


class TestCancelling:
    def test_a_search_under_way(self, video: Path, embedder: GatedEmbedder) -> None:
        async def ask(memory: MemvidRetriever) -> list[str]:
            search = asyncio.create_task(memory.asearch("violin", 1))
            await arrived(embedder)
            search.cancel()
            with pytest.raises(asyncio.CancelledError):
                await search  # the embedder is still behind its gate
            embedder.gate.set()
            return await memory.asearch(TEXTS[7], 1)

        with open_gated(video, embedder) as memory:
            assert asyncio.run(ask(memory)) == [TEXTS[7]]

    def test_a_search_that_waits_is_dropped(self, video: Path, embedder: GatedEmbedder) -> None:
        async def ask(memory: MemvidRetriever) -> list[str]:
            occupying = await occupy(memory, embedder)
            dropped = asyncio.create_task(memory.asearch("dropped", 1))
            kept = asyncio.create_task(memory.asearch(TEXTS[8], 1))
            await asyncio.sleep(0)
            dropped.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dropped
            embedder.gate.set()
            await asyncio.gather(*occupying)
            return await kept

        with open_gated(video, embedder) as memory:
            assert asyncio.run(ask(memory)) == [TEXTS[8]]
        assert not any("dropped" in call for call in embedder.calls)

    def test_a_loop_that_ends_first(self, video: Path, embedder: GatedEmbedder) -> None:
        async def ask(memory: MemvidRetriever) -> None:
            search = asyncio.create_task(memory.asearch("violin", 1))
            await arrived(embedder)
            assert not search.done()  # asyncio.run() cancels it

        with open_gated(video, embedder) as memory:
            asyncio.run(ask(memory))
            embedder.gate.set()
            assert memory.search(TEXTS[9], 1) == [TEXTS[9]]


class TestClosing:
    def test_closed(self, memory: MemvidRetriever) -> None:
        asyncio.run(memory.asearch("violin"))
        memory.close()
        for ask in (memory.asearch, memory.asearch_results, lambda query: memory.asearch_many([query])):
            with pytest.raises(ClosedError, match="open the memory again"):
                asyncio.run(ask("violin"))

    def test_searches_under_way_and_waiting(self, video: Path, embedder: GatedEmbedder) -> None:
        known = set(threading.enumerate())
        memory = open_gated(video, embedder)

        async def ask(memory: MemvidRetriever) -> list[Any]:
            occupying = await occupy(memory, embedder)
            waiting = [asyncio.create_task(memory.asearch_results(text, 2)) for text in TEXTS[:40]]
            await asyncio.sleep(0)
            memory.close()  # returns, although four searches are behind the gate
            failures = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(failure) for failure in failures} == {ClosedError}
            embedder.gate.set()
            return await asyncio.gather(*occupying, return_exceptions=True)

        for outcome in asyncio.run(ask(memory)):
            assert isinstance(outcome, ClosedError) or outcome[0].text == TEXTS[outcome[0].chunk_id]
        for thread in pool_threads(known):
            thread.join(60)
        assert pool_threads(known) == []

    def test_from_another_thread_in_the_middle(self, video: Path) -> None:
        memory = open_memory(video, page_cache_bytes=0, query_cache_size=0)
        expected = {query: memory.search(query, 2) for query in QUERIES}
        closing = threading.Thread(target=memory.close)

        async def ask(memory: MemvidRetriever) -> list[Any]:
            tasks = [asyncio.create_task(memory.asearch(query, 2)) for query in QUERIES]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            closing.start()
            return await asyncio.gather(*tasks, return_exceptions=True)

        outcomes = asyncio.run(ask(memory))
        closing.join()
        for query, outcome in zip(QUERIES, outcomes, strict=True):
            assert isinstance(outcome, ClosedError) or outcome == expected[query]

    def test_by_the_embedder_itself(self, video: Path) -> None:
        class Closing:
            name = EMBEDDER.name
            dim = EMBEDDER.dim
            target: MemvidRetriever

            def encode(self, texts: Sequence[str]) -> Vectors:
                self.target.close()
                return EMBEDDER.encode(texts)

        embedder = Closing()
        embedder.target = MemvidRetriever(video, embedder=embedder)
        with pytest.raises(ClosedError):
            asyncio.run(embedder.target.asearch("violin"))

    def test_a_closed_pool_takes_nothing(self) -> None:
        pool = SearchPool()
        answered = pool.submit(lambda queries, top_k, options: [[] for _ in queries], ["a", "b"], 1, SearchOptions())
        assert answered.result() == [[], []]
        pool.close()
        pool.close()
        with pytest.raises(ClosedError):
            pool.submit(lambda queries, top_k, options: [], ["a"], 1, SearchOptions())

    def test_a_cancelled_request_is_not_answered_by_closing(self) -> None:
        pool = SearchPool()
        begun, gate = threading.Semaphore(0), threading.Event()

        def search(queries: list[str], top_k: int, options: SearchOptions) -> list[list[SearchResult]]:
            begun.release()
            gate.wait()
            return [[] for _ in queries]

        running = []
        for _ in range(4):
            running.append(pool.submit(search, ["a"], 1, SearchOptions()))
            assert begun.acquire(timeout=60)
        cancelled, waiting = (pool.submit(search, ["b"], 1, SearchOptions()) for _ in range(2))
        assert cancelled.cancel()
        pool.close()
        with pytest.raises(CancelledError):
            cancelled.result()
        with pytest.raises(ClosedError):
            waiting.result()
        gate.set()
        assert [future.result() for future in running] == [[[]]] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestForks:
    """In a process of its own: forking pytest would copy the locks of its threads."""

    def run(self, script: str, video: Path) -> None:
        head = "import asyncio, os, sys, threading, warnings\nfrom tests.memory_support import open_memory\n"
        head += "warnings.simplefilter('ignore', DeprecationWarning)\nmemory = open_memory(sys.argv[1])\n"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", head + script, str(video)],
            capture_output=True, text=True, timeout=120, check=False, env=environment,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_a_forked_child_searches_with_threads_of_its_own(self, video: Path) -> None:
        script = """
expected = asyncio.run(memory.asearch("violin", 3))
child = os.fork()
if child == 0:
    same = asyncio.run(memory.asearch("violin", 3)) == memory.search("violin", 3) == expected
    memory.close()
    os._exit(0 if same else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert asyncio.run(memory.asearch("violin", 3)) == expected
memory.close()
"""
        self.run(script, video)
