"""The contract of docs/threads.md where several classes meet: threads that mix everything, closing, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memvid import MemvidEncoder
from memvid.errors import ClosedError
from memvid.index.sqlite.object_pool import Pool
from tests.index import index_support
from tests.memory_support import EMBEDDER, WORDS, build, make_texts, open_memory

TEXTS = make_texts(400)
QUERIES = [" ".join(WORDS[i : i + 3]) for i in range(16)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> Path:
    return build(tmp_path_factory.mktemp("memory"), TEXTS, symbol_version=15)


def test_threads_that_mix_everything(video: Path) -> None:
    with open_memory(video) as alone:
        expected = alone.search_many(QUERIES, 4)
        info, neighbours = alone.info, alone.neighbours(200, 3, 3)
    with open_memory(video, page_cache_bytes=20_000, query_cache_size=4) as memory:
        barrier = threading.Barrier(8)

        def search(turn: int) -> bool:
            return memory.search_results(QUERIES[turn % 16], 4) == expected[turn % 16]

        def search_many(turn: int) -> bool:
            return memory.search_many(QUERIES[turn % 8 :], 4) == expected[turn % 8 :]

        def read(turn: int) -> bool:
            return memory.get_chunk_by_id(turn * 7 % 400) == TEXTS[turn * 7 % 400]

        def look(turn: int) -> bool:
            return memory.stats.queries >= 0 and memory.info == info and memory.neighbours(200, 3, 3) == neighbours

        works: list[Callable[[int], bool]] = [search, search_many, read, look]

        def work(worker: int) -> bool:
            barrier.wait()
            return all(works[(worker + turn) % 4](turn) for turn in range(24))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
        assert memory.stats.queries == sum(
            1 if (worker + turn) % 4 == 0 else 16 - turn % 8
            for worker in range(8)
            for turn in range(24)
            if (worker + turn) % 4 < 2
        )


def test_closing_under_threads_that_mix_everything(video: Path) -> None:
    with open_memory(video) as alone:
        expected = alone.search_many(QUERIES, 4)
    memory = open_memory(video, page_cache_bytes=0, query_cache_size=0)
    works: list[Callable[[], bool]] = [
        lambda: memory.search_results(QUERIES[3], 4) == expected[3],
        lambda: memory.search_many(QUERIES, 4) == expected,
        lambda: memory.get_chunk_by_id(333) == TEXTS[333],
        lambda: memory.stats.queries >= 0 and memory.info.chunks == 400,
    ]
    under_way = threading.Barrier(5)
    outcomes: list[bool] = []
    ended: list[int] = []

    def work(number: int) -> None:
        outcomes.append(works[number]())
        under_way.wait()
        try:
            while True:
                outcomes.append(works[number]())
        except ClosedError:
            ended.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    under_way.wait()
    memory.close()
    for thread in threads:
        thread.join()
    assert all(outcomes)
    assert sorted(ended) == [0, 1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_threads_that_search_exactly_survive_forks_of_their_process(tmp_path: Path) -> None:
    # BLAS libraries end their threads when the process forks, and a product that was under way would never finish.
    index_file = index_support.build(tmp_path, 2000, vectors=index_support.make_vectors(2000, dim=384), keywords=False)
    script = """
import os, sys, threading, warnings
from memvid.index import IndexManager
from tests.index.index_support import make_vectors
warnings.simplefilter("ignore", DeprecationWarning)
query = make_vectors(1, seed=1, dim=384)
stop = threading.Event()
with IndexManager.open(sys.argv[1]) as index:
    expected = index.search(query, 5)[0].tolist()
    def search():
        while not stop.is_set():
            assert index.search(query, 5)[0].tolist() == expected
    threads = [threading.Thread(target=search, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
"""
    command = [sys.executable, "-c", script, str(index_file)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=index_support.environment()
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_encoder_stays_with_the_process_that_made_it(tmp_path: Path) -> None:
    """Both have its spool open at the same place: each would write over what the other one adds."""
    with MemvidEncoder(embedder=EMBEDDER) as encoder:
        encoder.add_chunks(["First."])
        child = os.fork()
        if child == 0:
            status = 1
            try:
                encoder.add_chunks(["Of the child."])
            except ClosedError:
                encoder.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        encoder.add_chunks(["Second."])
        encoder.build_video(tmp_path / "memory.mp4")
    with open_memory(tmp_path / "memory.mp4") as memory:
        assert [chunk.text for chunk in memory.get_chunks_by_id(range(2))] == ["First.", "Second."]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_is_lent_when_a_process_forks_does_not_bar_the_child() -> None:
    made: list[object] = []
    disposed: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    pool = Pool(make, disposed.append, limit=1)
    with pool.lend():
        child = os.fork()
        if child == 0:
            try:
                with pool.lend() as item:
                    alone = item is made[1]
                pool.close()
                os._exit(0 if alone and disposed == made[1:] else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    pool.close()
    assert disposed == made
    assert len(made) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_all_of_a_memory_works_in_a_child_and_in_its_child(tmp_path: Path) -> None:
    """Every pool has been used before the fork: of frames, of the graph, of SQLite, of awaited searches."""
    video = build(tmp_path, make_texts(2500, words=4), metadatas=[{"n": i % 3} for i in range(2500)])
    script = """
import asyncio, os, sys, warnings
from memvid.index import IndexManager
from tests.memory_support import EMBEDDER, WORDS, open_memory
warnings.simplefilter("ignore", DeprecationWarning)
queries = [" ".join(WORDS[i : i + 3]) for i in range(12)]
memory = open_memory(sys.argv[1], threads=3)
index = IndexManager.open(sys.argv[2], threads=3)
def everything():
    return (
        memory.search_many(queries, 4), memory.search_results(queries[0], 4, where={"n": 1}),
        memory.get_chunks_by_id(range(0, 2500, 100)), asyncio.run(memory.asearch_many(queries, 4)),
        index.keyword_search("harvest violin", 5)[0].tolist(), index.ids_where({"n": [7, 8]}).tolist(),
        index.search(EMBEDDER.encode(queries), 4)[0].tolist(),
    )
expected = everything()
def generation(left):
    if left:
        child = os.fork()
        if child == 0:
            try:
                right = everything() == expected
                generation(left - 1)
                memory.close(); index.close()
                os._exit(0 if right else 1)
            except BaseException as error:
                sys.stderr.write(repr(error)); sys.stderr.flush()
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert everything() == expected
generation(2)
memory.close(); index.close()
"""
    command = [sys.executable, "-c", script, str(video), str(video.with_name("memory_index.json"))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=index_support.environment()
    )
    assert (done.returncode, done.stderr) == (0, "")
