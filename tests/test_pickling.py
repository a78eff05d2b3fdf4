"""What is pickled and copied comes back as it was; what cannot be says what to do."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memvid
from memvid import (
    IndexManager,
    MemvidChat,
    MemvidEncoder,
    MemvidRetriever,
    MiniLMEmbedder,
    OnnxEmbedder,
    OpenAIEmbedder,
    config,
    errors,
    exchange,
    maintenance,
)
from memvid.chat import ChatContext
from memvid.demo import DemoAnswer, DemoReport
from memvid.documents import find_files, read_documents
from memvid.embedding import CallableEmbedder
from memvid.errors import ClosedError, FrameError, LLMError, MemvidError, NotPicklableError, OutputError
from memvid.exchange import RungResult, SurviveReport
from memvid.maintenance import ImportResult
from memvid.network.secret import Secret
from memvid.storage.commit import Commit
from memvid.types import Progress
from memvid.video import PageStore, VideoReader, VideoWriter
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
TEXTS = make_texts(20)


def there_and_back(value: Any, protocol: int | None = None) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


def embed(texts: list[str]) -> Any:
    return EMBEDDER.encode(texts)


def local_embedder() -> CallableEmbedder:
    """One of a function that no other process can import."""

    def local(texts: list[str]) -> Any:
        return embed(texts)

    return CallableEmbedder(local, name=EMBEDDER.name, dim=EMBEDDER.dim)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("pickling"), TEXTS, metadatas=[{"n": n} for n in range(20)])


class TestRetriever:
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_it_opens_again(self, video: Path, protocol: int) -> None:
        with open_memory(video, query_cache_size=7) as memory, there_and_back(memory, protocol) as again:
            assert type(again) is MemvidRetriever
            assert again.config == memory.config
            assert again.search_results(TEXTS[3], 2) == memory.search_results(TEXTS[3], 2)
            memory.close()
            assert again.get_chunk_by_id(3) == TEXTS[3]
            assert again.stats.queries == 1

    def test_where_it_was_whatever_the_working_folder(self, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(video.parent)
        with open_memory(Path("memory.mp4"), Path("memory_index.json")) as memory:
            monkeypatch.chdir("/")
            with there_and_back(memory) as again:
                assert again.search(TEXTS[3], 1) == [TEXTS[3]]

    def test_as_the_files_are_by_then(self, tmp_path: Path) -> None:
        with open_memory(build(tmp_path, ["old"])) as memory:
            pickled = pickle.dumps(memory)
            build(tmp_path, ["new"])
            with pickle.loads(pickled) as again:
                assert (memory.get_chunk_by_id(0), again.get_chunk_by_id(0)) == ("old", "new")
            (tmp_path / "memory.mp4").unlink()
            with pytest.raises(errors.VideoNotFoundError):
                pickle.loads(pickled)

    def test_a_subclass_stays_one(self, video: Path) -> None:
        with Special(video, embedder=EMBEDDER) as memory, there_and_back(memory) as again:
            assert type(again) is Special

    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
    def test_a_copy_is_another_one_with_the_same_embedder(self, video: Path, duplicate: Callable[[Any], Any]) -> None:
        embedder = local_embedder()
        memory = MemvidRetriever(video, embedder=embedder)
        with duplicate(memory) as again:
            memory.close()
            assert again.search(TEXTS[3], 1) == [TEXTS[3]]
        with pytest.raises(ClosedError):
            duplicate(memory)

    def test_closed_it_is_not_pickled(self, video: Path) -> None:
        memory = open_memory(video)
        memory.close()
        with pytest.raises(ClosedError):
            pickle.dumps(memory)

    def test_its_embedder_may_keep_it_from_it(self, video: Path) -> None:
        local = local_embedder()
        for embedder in (local, Locked()):
            with MemvidRetriever(video, embedder=embedder) as memory:
                with pytest.raises(NotPicklableError, match=r"embedder .*cannot.* in each process \(") as caught:
                    pickle.dumps(memory)
                assert isinstance(caught.value, TypeError)

    def test_what_takes_more_than_pickle_is_left_to_judge(self, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "somewhere.cloudpickle", types.ModuleType("somewhere.cloudpickle"))
        local = local_embedder()
        with MemvidRetriever(video, embedder=local) as memory:
            _, arguments = memory.__reduce__()
            assert local in arguments

    @pytest.mark.parametrize("method", ["spawn", "forkserver"])
    def test_processes_of_a_pool_search(self, video: Path, method: str) -> None:
        context = multiprocessing.get_context(method)
        with (
            MemvidRetriever(video, embedder=CallableEmbedder(embed, name=EMBEDDER.name, dim=EMBEDDER.dim)) as memory,
            ProcessPoolExecutor(1, mp_context=context) as pool,
        ):
            assert list(pool.map(memory.search_results, TEXTS[:2], [1, 1])) == [
                memory.search_results(text, 1) for text in TEXTS[:2]
            ]
            with pytest.raises(errors.ChunkNotFoundError, match="there is no chunk -1"):
                pool.submit(memory.get_chunk_by_id, -1).result()


class Special(MemvidRetriever):
    """One of the user's own."""


class Locked:
    """An embedder with something that is not pickled."""

    name, dim = EMBEDDER.name, EMBEDDER.dim

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Any:
        return embed(list(texts))


class TestEmbedders:
    def test_hashing_and_functions_of_modules(self) -> None:
        for embedder in (EMBEDDER, CallableEmbedder(embed, name="mine", dim=EMBEDDER.dim)):
            again = there_and_back(embedder)
            assert (again.name, again.dim) == (embedder.name, embedder.dim)
            assert np.array_equal(again.encode(["a text"]), embedder.encode(["a text"]))

    def test_a_function_that_no_module_has(self) -> None:
        with pytest.raises(NotPicklableError, match="because its function cannot: give one that a module defines"):
            pickle.dumps(local_embedder())

    @pytest.mark.model
    def test_a_model_is_loaded_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        embedder = MiniLMEmbedder(threads=1)
        vector = embedder.encode(["a text"])
        pickled = pickle.dumps(embedder)
        assert len(pickled) < 1000
        again = pickle.loads(pickled)
        assert (type(again), again.threads, again.digest) == (MiniLMEmbedder, 1, embedder.digest)
        assert np.array_equal(again.encode(["a text"]), vector)
        folder = Path(memvid.__file__).parent / "models" / "all-MiniLM-L6-v2"
        monkeypatch.chdir(folder.parent)
        other = OnnxEmbedder(folder.name, batch_size=1, query_prefix="ask: ")
        other.warm()
        pickled = pickle.dumps(other)
        monkeypatch.chdir("/")
        again = pickle.loads(pickled)
        assert (again.name, again.batch_size, again.max_length) == (other.name, 1, other.max_length)
        assert np.array_equal(again.encode_queries(["a text"]), other.encode_queries(["a text"]))
        assert np.array_equal(copy.copy(other).encode(["a text"]), vector)


class TestWhatIsOneProcesss:
    @pytest.fixture
    def objects(self, video: Path, tmp_path: Path) -> Iterator[list[Any]]:
        reader = VideoReader(video)
        made: list[Any] = [
            MemvidEncoder(embedder=EMBEDDER),
            MemvidEncoder.open(video, embedder=EMBEDDER),
            IndexManager.open(video.with_name("memory_index.json")),
            reader,
            PageStore(reader, cache_bytes=0),
            VideoWriter(tmp_path / "a.mp4", config.EncoderConfig(), tag=1),
            MemvidChat(video, embedder=EMBEDDER, llm_provider="none"),
            MemvidChat(video, embedder=EMBEDDER, llm_api_key="sk-secret", llm_provider="openai").backend,
            OpenAIEmbedder(api_key="sk-secret"),
            Secret("sk-secret", name="key"),
            Commit(tmp_path / "i.json"),
            IndexManager.create(tmp_path / "j.json", model=memvid.ModelInfo("m", 8)),
        ]
        yield made
        for one in made:
            for name in ("close", "abort"):
                getattr(one, name, lambda: None)()

    def test_it_says_what_to_do(self, objects: list[Any]) -> None:
        for one in objects:
            for protocol in PROTOCOLS:
                with pytest.raises(
                    NotPicklableError, match=f"a {type(one).__name__} cannot be pickled or copied: .{{20}}"
                ):
                    pickle.dumps(one, protocol)
            for duplicate in (copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="cannot be pickled or copied") as caught:
                    duplicate(one)
                assert "sk-secret" not in str(caught.value)


ERRORS = [
    (kind, arguments)
    for kind in (getattr(errors, name) for name in errors.__all__)
    for arguments in (("what happened",), *[(2, "no such file", "a.mp4")] * (issubclass(kind, OSError)))
    if len(arguments) == 1 or kind.__init__ is OSError.__init__
]


def told(error: Any) -> tuple[Any, ...]:
    """All that an error says."""
    system = [getattr(error, name, None) for name in ("errno", "strerror", "filename")]
    return type(error), str(error), error.args, vars(error), system


class TestErrors:
    @pytest.mark.parametrize(("kind", "arguments"), ERRORS)
    def test_every_one_comes_back(self, kind: type[MemvidError], arguments: tuple[Any, ...]) -> None:
        error: Any = kind(*arguments)
        error.note = "set later"
        for again in (
            *(there_and_back(error, protocol) for protocol in PROTOCOLS),
            copy.copy(error),
            copy.deepcopy(error),
        ):
            assert told(again) == told(error)

    def test_with_their_attributes(self) -> None:
        again = there_and_back(FrameError("frame 7 is bad", frame_index=7))
        assert (again.frame_index, str(again)) == (7, "frame 7 is bad")
        error = LLMError("busy", status=429, retry_after=1.5)
        error.partial = "half an ans"
        again = there_and_back(error)
        assert (again.status, again.retry_after, again.partial) == (429, 1.5, "half an ans")
        with pytest.raises(OutputError) as caught:
            build(Path("/no/where"), ["a"])
        assert str(there_and_back(caught.value)) == str(caught.value)


class TestResults:
    def test_of_every_verb(self, tmp_path: Path) -> None:
        with MemvidEncoder(embedder=EMBEDDER, parity=0.5) as encoder:
            encoder.add_chunks(TEXTS, metadatas=[{"n": n} for n in range(20)])
            found: list[Any] = [encoder.stats, encoder.build_video(tmp_path / "m.mp4"), encoder.config]
        video = tmp_path / "m.mp4"
        with MemvidEncoder.open(video) as appender:
            appender.add_chunks(["one more"])
            appender.delete([3])
            found += [appender.append(), maintenance.delete(video, chunk_ids=[4])]
        (tmp_path / "a.txt").write_text("a text", encoding="utf-8")
        plan = find_files([tmp_path / "a.txt", tmp_path / "a.txt"])
        with open_memory(video) as memory:
            found += [*memory.search_results(TEXTS[5]), *memory.neighbours(7), memory.stats, memory.info, memory.config]
            with MemvidChat(retriever=memory, llm_provider="none") as chat:
                chat.chat("What of the harvest?")
                assert isinstance(chat.last_context, ChatContext)
                found += [*chat.history, chat.last_context, chat.usage, chat.config]
        found += [
            maintenance.verify(video, deep=True),
            maintenance.repair(video, tmp_path / "new.mp4"),
            maintenance.compact(video),
            maintenance.erase(video, chunk_ids=[6]),
            maintenance.reindex(video, embedder=EMBEDDER),
            exchange.export(video, tmp_path / "b.mp4", codec="png"),
            plan,
            *read_documents(plan.sources),
            Progress("write", 1, 2),
            ImportResult(
                video, video, 1, 1, (), ((0, 1),), (), (), (), (), 1, 0, 2, 3, 4, 5, 6, 7, memvid.ModelInfo("m", 8), 0.5
            ),
            SurviveReport(video, "h264", 1, 2, 3, 4, (RungResult("a", True, 1, 0, 0, 2, 0.5),)),
            DemoReport(1, 0, found[1], 9, {"a": 1}, 0.1, 0.2, (DemoAnswer("q", (), {"total": 1.0}),)),
        ]
        for value in found:
            assert is_dataclass(value)
            for again in (*(there_and_back(value, protocol) for protocol in PROTOCOLS), copy.deepcopy(value)):
                assert type(again) is type(value)
                assert again == value
                assert repr(again) == repr(value)
