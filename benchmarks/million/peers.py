"""What people would use instead, each storing the same texts and vectors and answering with the texts.

Graphs have connectivity 16 and expansion_add 128 as memvid's has; the search parameter is found by ``measure``.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.million.data import Data
from benchmarks.million.engines import Engine, Hits, MemvidEngine, NaiveQrEngine, Vector
from benchmarks.million.vectors import DIM

__all__ = ["ENGINES", "PEERS"]

_CONNECTIVITY = 16
_EXPANSION_ADD = 128
_LADDER = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_ANY_SIZE = 100_000_000


class _Texts:
    """Texts by id in SQLite; a connection for each thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def store(self, batches: Iterable[tuple[int, list[str]]]) -> None:
        connection = sqlite3.connect(self._path)
        with connection:
            connection.execute("CREATE TABLE chunk (id INTEGER PRIMARY KEY, text TEXT)")
            for first, texts in batches:
                connection.executemany("INSERT INTO chunk VALUES (?, ?)", enumerate(texts, first))
        connection.close()

    def hits(self, ids: list[int]) -> Hits:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = sqlite3.connect(f"file:{self._path}?mode=ro&immutable=1", uri=True)
        marks = ",".join("?" * len(ids))
        texts = dict(connection.execute(f"SELECT id, text FROM chunk WHERE id IN ({marks})", ids))
        return [(chunk_id, texts[chunk_id]) for chunk_id in ids]


class FaissEngine:
    """FAISS IndexHNSWFlat, loaded into memory, and SQLite."""

    name = "FAISS-HNSW + SQLite"
    effort_name = "efSearch"
    efforts = _LADDER
    limit = _ANY_SIZE

    def __init__(self) -> None:
        self._index: Any = None

    def build(self, data: Data, folder: Path) -> dict[str, float]:
        import faiss

        index = faiss.IndexHNSWFlat(DIM, _CONNECTIVITY, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _EXPANSION_ADD

        def texts() -> Iterable[tuple[int, list[str]]]:
            for first, texts, vectors in data.batches():
                index.add(vectors)
                yield first, texts

        _Texts(folder / "texts.sqlite").store(texts())
        faiss.write_index(index, str(folder / "vectors.faiss"))
        return {}

    def open(self, folder: Path, effort: int) -> None:
        import faiss

        if self._index is None:
            self._index = faiss.read_index(str(folder / "vectors.faiss"))
            self._texts = _Texts(folder / "texts.sqlite")
            faiss.omp_set_num_threads(1)
        self._index.hnsw.efSearch = effort

    def search(self, query: Vector, k: int) -> Hits:
        return self._texts.hits(self._index.search(query.reshape(1, DIM), k)[1][0].tolist())

    def close(self) -> None:
        self._index = None


class UsearchEngine:
    """usearch in f16, mapped, and SQLite."""

    name = "usearch f16 + SQLite"
    effort_name = "expansion_search"
    efforts = _LADDER
    limit = _ANY_SIZE

    def __init__(self) -> None:
        self._index: Any = None

    def _new(self) -> Any:
        from usearch.index import Index

        return Index(ndim=DIM, metric="cos", dtype="f16", connectivity=_CONNECTIVITY, expansion_add=_EXPANSION_ADD)

    def build(self, data: Data, folder: Path) -> dict[str, float]:
        index = self._new()

        def texts() -> Iterable[tuple[int, list[str]]]:
            for first, texts, vectors in data.batches():
                index.add(np.arange(first, first + len(texts), dtype=np.uint64), vectors)
                yield first, texts

        _Texts(folder / "texts.sqlite").store(texts())
        index.save(str(folder / "vectors.usearch"))
        return {}

    def open(self, folder: Path, effort: int) -> None:
        if self._index is None:
            self._index = self._new()
            self._index.view(str(folder / "vectors.usearch"))
            self._texts = _Texts(folder / "texts.sqlite")
        self._index.expansion_search = effort

    def search(self, query: Vector, k: int) -> Hits:
        return self._texts.hits(self._index.search(query, k, threads=1).keys.tolist())

    def close(self) -> None:
        self._index = None


class LanceEngine:
    """LanceDB, IVF_HNSW_SQ in one partition, twice the answers compared again with the whole vectors."""

    name = "LanceDB"
    effort_name = "ef"
    efforts = _LADDER
    limit = _ANY_SIZE

    def __init__(self) -> None:
        self._table: Any = None
        self._effort = 0

    def build(self, data: Data, folder: Path) -> dict[str, float]:
        import lancedb
        import pyarrow as pa

        kinds = [("id", pa.int64()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), DIM))]
        schema = pa.schema(kinds)

        def batches() -> Iterable[Any]:
            for first, texts, vectors in data.batches(20_000):
                values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
                ids = pa.array(range(first, first + len(texts)), pa.int64())
                yield pa.RecordBatch.from_arrays([ids, pa.array(texts), values], schema=schema)

        table = lancedb.connect(str(folder)).create_table("chunks", batches(), schema=schema)
        table.create_index(
            metric="cosine",
            index_type="IVF_HNSW_SQ",
            num_partitions=1,
            m=_CONNECTIVITY,
            ef_construction=_EXPANSION_ADD,
            vector_column_name="vector",
        )
        return {}

    def open(self, folder: Path, effort: int) -> None:
        import lancedb

        if self._table is None:
            self._table = lancedb.connect(str(folder)).open_table("chunks")
        self._effort = effort

    def search(self, query: Vector, k: int) -> Hits:
        expansion = max(self._effort, 2 * k)  # what refining asks for; it refuses less
        asked = self._table.search(query).distance_type("cosine").nprobes(1).ef(expansion).refine_factor(2)
        found = asked.limit(k).select(["id", "text", "_distance"]).to_arrow()
        return list(zip(found["id"].to_pylist(), found["text"].to_pylist(), strict=True))

    def close(self) -> None:
        self._table = None


class ChromaEngine:
    """Chroma in this process, kept on disk."""

    name = "Chroma"
    effort_name = "ef_search"
    efforts = _LADDER
    limit = _ANY_SIZE

    def __init__(self) -> None:
        self._client: Any = None

    def _connect(self, folder: Path) -> Any:
        import chromadb

        return chromadb.PersistentClient(str(folder), settings=chromadb.config.Settings(anonymized_telemetry=False))

    def build(self, data: Data, folder: Path) -> dict[str, float]:
        graph = {"space": "cosine", "ef_construction": _EXPANSION_ADD, "max_neighbors": _CONNECTIVITY}
        collection = self._connect(folder).create_collection(
            "chunks", configuration={"hnsw": graph}, embedding_function=None
        )
        for first, texts, vectors in data.batches():
            ids = [str(chunk_id) for chunk_id in range(first, first + len(texts))]
            collection.add(ids=ids, documents=texts, embeddings=vectors)
        return {}

    def open(self, folder: Path, effort: int) -> None:
        from chromadb.api.shared_system_client import SharedSystemClient

        # A graph keeps the ef it was loaded with, and clients of one folder share what they loaded.
        configuration: Any = {"hnsw": {"ef_search": effort}}
        self._connect(folder).get_collection("chunks", embedding_function=None).modify(configuration=configuration)
        SharedSystemClient.clear_system_cache()
        self._client = self._connect(folder)
        self._collection = self._client.get_collection("chunks", embedding_function=None)

    def search(self, query: Vector, k: int) -> Hits:
        found = self._collection.query(query_embeddings=[query], n_results=k, include=["documents"])
        return list(zip(map(int, found["ids"][0]), found["documents"][0], strict=True))

    def close(self) -> None:
        self._client = None


class SqliteVecEngine:
    """sqlite-vec: compares with every vector."""

    name = "sqlite-vec"
    effort_name = "exact"
    efforts = (1,)
    limit = 100_000

    def __init__(self) -> None:
        self._connection: Any = None

    def _connect(self, folder: Path) -> Any:
        import apsw  # many builds of Python's own sqlite3 cannot load extensions
        import sqlite_vec

        connection = apsw.Connection(str(folder / "chunks.sqlite"))
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        return connection

    def build(self, data: Data, folder: Path) -> dict[str, float]:
        connection = self._connect(folder)
        with connection:
            connection.execute(
                f"CREATE VIRTUAL TABLE chunk USING vec0(embedding FLOAT[{DIM}] distance_metric=cosine, +text TEXT)"
            )
            for first, texts, vectors in data.batches():
                rows = ((first + i, vectors[i].tobytes(), text) for i, text in enumerate(texts))
                connection.executemany("INSERT INTO chunk (rowid, embedding, text) VALUES (?, ?, ?)", rows)
        connection.close()
        return {}

    def open(self, folder: Path, effort: int) -> None:  # noqa: ARG002 - there is nothing to set
        if self._connection is None:
            self._connection = self._connect(folder)

    def search(self, query: Vector, k: int) -> Hits:
        statement = "SELECT rowid, text FROM chunk WHERE embedding MATCH ? AND k = ? ORDER BY distance"
        return list(self._connection.execute(statement, (query.tobytes(), k)))

    def close(self) -> None:
        self._connection = None


PEERS: dict[str, type[Engine]] = {
    "faiss": FaissEngine,
    "usearch": UsearchEngine,
    "lancedb": LanceEngine,
    "chroma": ChromaEngine,
    "sqlite-vec": SqliteVecEngine,
    "naive-qr": NaiveQrEngine,
}
ENGINES: dict[str, type[Engine]] = {"memvid": MemvidEngine, **PEERS}
