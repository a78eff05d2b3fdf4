"""Makes the records of an index what they were up to version 4 of its manifest: SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from memvid.index.keywords import length_code, normalise
from memvid.index.manifest import SideFile, read_manifest
from memvid.index.record_file import RecordFile
from memvid.index.side_files import open_records
from memvid.index.sqlite import schema
from memvid.index.sqlite.value_tokens import attributes_of
from memvid.page import metadata_json, read_metadata
from memvid.types import JsonObject
from memvid.video import PageStore, VideoReader
from tests.index.index_support import build, make_metadata, make_text

__all__ = ["age_index", "age_memory", "build_old"]

Chunk = tuple[str, JsonObject | None]


def build_old(folder: Path, count: int, *, texts: list[str] | None = None, **options: Any) -> Path:
    """As :func:`tests.index.index_support.build`, of an old index."""
    index_file = build(folder, count, texts=texts, **options)
    texts = [make_text(number) for number in range(count)] if texts is None else texts
    age_index(index_file, {number: (texts[number], make_metadata(number)) for number in range(count)})
    return index_file


def age_memory(video: Path, index_file: Path | None = None) -> Path:
    """Make the index of a memory an old one; returns the video."""
    reader = VideoReader(video)
    store = PageStore(reader, cache_bytes=0)
    chunks: dict[int, Chunk] = {}
    for frame, page in store.scan():
        for slot in range(len(page)):
            metadata = store.first_metadata(page, frame, slot)
            chunks[int(reader.table.first_chunks[frame]) + slot] = page.text(slot), read_metadata(metadata).value
    reader.close()
    age_index(video.with_name(f"{video.stem}_index.json") if index_file is None else index_file, chunks)
    return video


def age_index(index_file: Path, chunks: Mapping[int, Chunk]) -> None:
    """Make an index an old one, of chunks by their ids."""
    manifest = read_manifest(index_file)
    records = open_records(index_file, manifest)
    segments = []
    for segment, part in zip(manifest.segments, records.parts, strict=True):
        assert isinstance(part, RecordFile)
        path = part.path.with_name(part.path.name.replace(".records", ".sqlite"))
        writer = OldRecordWriter(path, keywords=manifest.keywords)
        for chunk_id in part.row_map.chunk_ids.numbers().tolist():
            text, metadata = chunks[chunk_id]
            writer.add(chunk_id, [text], [metadata])
        pages = part.page_frames, part.page_chunks
        writer.add_pages(*pages, np.ones(len(pages[0]), int))
        writer.finish()
        data = path.read_bytes()
        part.path.unlink()
        files = {**segment.files, "records": SideFile(path.name, len(data), sha256(data).hexdigest())}
        segments.append(replace(segment, files=files, is_old=True))
    records.close()
    index_file.write_bytes(replace(manifest, segments=tuple(segments)).to_bytes())


class OldRecordWriter:
    """Takes chunks in the order of their ids, as every build did."""

    def __init__(self, path: Path, *, keywords: bool, page_size: int = 4096) -> None:
        self._keywords = keywords
        path.unlink(missing_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute(f"PRAGMA page_size={page_size}")
        self._connection.execute("PRAGMA encoding='UTF-8'")
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute(f"PRAGMA application_id={schema._APPLICATION_ID}")
        self._connection.execute(f"PRAGMA user_version={schema._VERSION}")
        for statement in (*schema._TABLES.values(), *([schema.KEYWORD_TABLE] if keywords else [])):
            self._connection.execute(statement)
        self._connection.execute("BEGIN")
        self._runs: list[list[int]] = []  # [first id, how many]
        self._lengths = bytearray()
        self._pages: list[tuple[Any, Any]] = []
        self._fields: dict[str, int] = {}
        self._open_runs: dict[str, tuple[bytes, int, int]] = {}  # field -> value, first id, last id

    def add(self, first_id: int, texts: Sequence[str], metadatas: Sequence[JsonObject | None]) -> None:
        """Add the chunks ``first_id``, ``first_id + 1``, ..."""
        self._extend_runs(first_id, len(texts))
        self._lengths.extend(length_code(text.count(" ")) for text in texts)
        for chunk_id, (text, metadata) in enumerate(zip(texts, metadatas, strict=True), first_id):
            if self._keywords:
                self._connection.execute("INSERT INTO keywords(rowid, text) VALUES (?, ?)", (chunk_id, normalise(text)))
            if metadata:
                self._connection.execute("INSERT INTO metadata VALUES (?, ?)", (chunk_id, metadata_json(metadata)))
                self._add_attributes(chunk_id, metadata)

    def add_pages(self, frame_indexes: Any, first_chunks: Any, counts: Any) -> None:
        """Add rows of the page table: equally long integer sequences, in chunk order."""
        starting = np.asarray(counts) > 0
        frames = np.asarray(frame_indexes)[starting].astype(np.uint32)
        self._pages.append((frames, np.asarray(first_chunks)[starting].astype(np.int64)))

    def finish(self) -> None:
        """Write what was gathered, make the file compact and close it."""
        for field, run in self._open_runs.items():
            self._write_run(field, run)
        for name, data in self._arrays().items():
            self._connection.execute("INSERT INTO arrays(name, data) VALUES (?, ?)", (name, data))
        if self._keywords:
            self._connection.execute("INSERT INTO keywords(keywords) VALUES ('optimize')")
        self._connection.execute("COMMIT")
        self._connection.execute("VACUUM")
        self._connection.close()

    def _extend_runs(self, first_id: int, count: int) -> None:
        if self._runs and sum(self._runs[-1]) == first_id:
            self._runs[-1][1] += count
        elif count:
            self._runs.append([first_id, count])

    def _arrays(self) -> dict[str, bytes]:
        runs = np.array(self._runs, np.int64).reshape(-1, 2)
        frames = [frames for frames, _ in self._pages]
        firsts = [firsts for _, firsts in self._pages]
        arrays = {
            "page_frames": np.concatenate(frames) if frames else np.empty(0, np.uint32),
            "page_first_chunks": np.concatenate(firsts) if firsts else np.empty(0, np.int64),
            "run_starts": runs[:, 0],
            "run_lengths": runs[:, 1],
            "length_codes": np.frombuffer(bytes(self._lengths), np.uint8),
        }
        return {name: array.astype(schema.ARRAYS[name]).tobytes() for name, array in arrays.items()}

    def _add_attributes(self, chunk_id: int, metadata: JsonObject) -> None:
        for field, value in attributes_of(metadata).items():
            run = self._open_runs.get(field)
            if run is not None and run[0] == value and run[2] == chunk_id - 1:
                self._open_runs[field] = (value, run[1], chunk_id)
                continue
            if run is not None:
                self._write_run(field, run)
            self._open_runs[field] = (value, chunk_id, chunk_id)

    def _write_run(self, field: str, run: tuple[bytes, int, int]) -> None:
        number = self._fields.get(field)
        if number is None:
            number = self._fields[field] = len(self._fields)
            self._connection.execute("INSERT INTO fields(field, name) VALUES (?, ?)", (number, field))
        self._connection.execute("INSERT INTO attributes VALUES (?, ?, ?, ?)", (number, *run))
