"""Chunks from iterators and from JSON lines, as many as there are, in little memory."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memvid import MemvidEncoder
from memvid.errors import (
    ChunkError,
    ConfigError,
    DocumentError,
    DocumentNotFoundError,
    MemvidError,
    MetadataError,
    OutputError,
)
from tests.memory_support import EMBEDDER, make_texts, open_memory

LINES = (
    '{"text": "First.", "year": 1999, "metadata": {"tag": "a"}}\n'
    "\n"
    '"A bare string."\n'
    '{"year": 2001, "text": " Third, exactly\\n as it is. "}'
)
CHUNKS = [
    ("First.", {"year": 1999, "tag": "a"}),
    ("A bare string.", {}),
    (" Third, exactly\n as it is. ", {"year": 2001}),
]


@pytest.fixture
def encoder() -> Iterator[MemvidEncoder]:
    made = MemvidEncoder(embedder=EMBEDDER)
    yield made
    made.close()


def test_chunks_that_the_temporary_disk_does_not_give_back_end_the_build(
    encoder: MemvidEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder.add_chunks(make_texts(50))

    def bad_sector(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", bad_sector)
    with pytest.raises(OutputError, match="TMPDIR") as caught:
        encoder.build_video(tmp_path / "memory.mp4")
    assert caught.value.errno == errno.EIO
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def stored(encoder: MemvidEncoder, folder: Path) -> list[tuple[str, Any]]:
    encoder.build_video(folder / "stored.mp4")
    with open_memory(folder / "stored.mp4") as memory:
        return [(chunk.text, chunk.metadata) for chunk in memory.get_chunks_by_id(range(len(memory)))]


class TestJsonLines:
    def sources(self, folder: Path) -> dict[str, Any]:
        plain, zipped = folder / "a.jsonl", folder / "a.JSONL.gz"
        plain.write_text(LINES, encoding="utf-8")
        zipped.write_bytes(gzip.compress(LINES.encode()))
        return {
            "path": plain,
            "name": str(plain),
            "zipped": zipped,
            "binary": io.BytesIO(LINES.encode()),
            "text": io.StringIO(LINES),
        }

    @pytest.mark.parametrize("kind", ["path", "name", "zipped", "binary", "text"])
    def test_texts_and_metadata_come_back(self, encoder: MemvidEncoder, tmp_path: Path, kind: str) -> None:
        assert encoder.add_jsonl(self.sources(tmp_path)[kind]) == 3
        assert stored(encoder, tmp_path) == CHUNKS

    def test_an_open_zipped_file_is_read_as_it_comes(self, encoder: MemvidEncoder, tmp_path: Path) -> None:
        with gzip.open(self.sources(tmp_path)["zipped"]) as file:
            assert encoder.add_jsonl(file) == 3

    @given(
        documents=st.lists(
            st.tuples(
                st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: not text.isspace()),
                st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=5).filter(str.isascii)),
            ),
            min_size=1,
            max_size=5,
        ),
        ascii_only=st.booleans(),
    )
    def test_any_text_comes_back(
        self, tmp_path_factory: pytest.TempPathFactory, documents: list[tuple[str, Any]], ascii_only: bool
    ) -> None:
        lines = [json.dumps({"body": text, **metadata}, ensure_ascii=ascii_only) for text, metadata in documents]
        with MemvidEncoder(embedder=EMBEDDER) as encoder:
            assert encoder.add_jsonl(io.BytesIO("\n".join(lines).encode()), text_key="body") == len(documents)
            assert stored(encoder, tmp_path_factory.mktemp("lines")) == documents

    def test_split(self, tmp_path: Path) -> None:
        text = "A sentence of some words. " * 20
        with MemvidEncoder(embedder=EMBEDDER, chunk_size=100) as encoder, MemvidEncoder(embedder=EMBEDDER) as other:
            added = encoder.add_jsonl(io.StringIO(json.dumps({"text": text, "n": 1})), split=True)
            assert added == other.add_text(text, chunk_size=100, metadata={"n": 1})
            assert stored(encoder, tmp_path) == stored(other, tmp_path)

    @pytest.mark.parametrize(
        ("line", "error", "message"),
        [
            ('{"text": ', DocumentError, "not JSON"),
            ('{"txet": "a"}', DocumentError, "an object with 'txet'"),
            ('{"text": 7}', DocumentError, 'a string "text"'),
            ("[]", DocumentError, "expected a string or an object"),
            ('{"text": " \\n"}', DocumentError, "blank"),
            ('{"text": "a", "x": NaN}', DocumentError, "NaN"),
            ('"\\ud800"', ChunkError, "lone surrogate"),
            ('{"text": "a", "x": "\\ud800"}', MetadataError, "chunk 2"),
        ],
    )
    def test_a_bad_line_is_named_and_nothing_is_added(
        self, encoder: MemvidEncoder, tmp_path: Path, line: str, error: type[MemvidError], message: str
    ) -> None:
        path = tmp_path / "bad.jsonl"
        path.write_text(f'"good"\n\n{line}\n"good"', encoding="utf-8")
        encoder.add_chunks(["before"])
        with pytest.raises(error, match=r"^bad\.jsonl, line 3: .*") as caught:
            encoder.add_jsonl(path)
        assert message in str(caught.value)
        assert len(encoder) == 1

    def test_a_byte_order_mark_is_not_text(self, encoder: MemvidEncoder, tmp_path: Path) -> None:
        for lines in (io.BytesIO(b'\xef\xbb\xbf"a"\n"b"'), ['\ufeff"a"', '"b"']):
            encoder.clear()
            assert encoder.add_jsonl(lines) == 2
            assert [text for text, _ in stored(encoder, tmp_path)] == ["a", "b"]

    @pytest.mark.parametrize("source", [b'"a"', 7, None])
    def test_what_is_no_source(self, encoder: MemvidEncoder, source: Any) -> None:
        with pytest.raises(DocumentError, match="give a path, an open file, or lines"):
            encoder.add_jsonl(source)

    def test_an_unknown_encoding(self, encoder: MemvidEncoder) -> None:
        with pytest.raises(ConfigError, match="klingon"):
            encoder.add_jsonl(io.BytesIO(b'"a"'), encoding="klingon")

    def test_files_that_cannot_be_read(self, encoder: MemvidEncoder, tmp_path: Path) -> None:
        with pytest.raises(DocumentNotFoundError, match="there is no file"):
            encoder.add_jsonl(tmp_path / "gone.jsonl")
        with pytest.raises(DocumentError, match="folder"):
            encoder.add_jsonl(tmp_path)
        whole = gzip.compress(b'"a"\n' * 5000, mtime=0)
        for damaged in (whole[:-20], b"no zip", whole[:10] + b"\xff" * 20 + whole[30:]):
            (tmp_path / "a.jsonl.gz").write_bytes(damaged)
            with pytest.raises(DocumentError, match=r"a\.jsonl\.gz, behind line \d+: the gzip data is damaged"):
                encoder.add_jsonl(tmp_path / "a.jsonl.gz")
        (tmp_path / "latin.jsonl").write_bytes('"a"\n"é"'.encode("latin-1"))
        with pytest.raises(DocumentError, match=r"byte 5 .* is not utf-8"):
            encoder.add_jsonl(tmp_path / "latin.jsonl")
        assert len(encoder) == 0
        assert encoder.add_jsonl(tmp_path / "latin.jsonl", encoding="latin-1") == 2


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")

BIG = """
import re, sys
from pathlib import Path
import numpy as np
from memvid import MemvidEncoder

class Cheap:
    name, dim = "cheap", 8
    def encode(self, texts):
        return np.array([list(text[:8].encode()) for text in texts], np.float32)

def peak():  # not getrusage(): its maximum begins with that of the process that started this one
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024

folder, chunks = Path(sys.argv[1]), int(sys.argv[2])
options = dict(connectivity=4, expansion_add=8, compression_level=1, keywords=False, threads=1)
with MemvidEncoder(embedder=Cheap(), **options) as encoder:
    before = peak()
    texts = (f"{number * 7919 % 1000003:08x} {'of a chunk that has many words ' * 6}" for number in range(chunks))
    encoder.add_chunks(texts, metadatas=({"number": number} for number in range(chunks)))
    added = peak()
    result = encoder.build_video(folder / "memory.mp4", checkpoint=folder / "checkpoint")
    reached = peak()
    from memvid.index.manifest import read_manifest
    sizes = {role: file.bytes for role, file in read_manifest(result.index_file).side_files()}
    print(result.text_bytes, added - before, reached - added, sizes["vectors"])
"""


@needs_proc
def test_300_000_chunks_take_no_more_memory_than_100_000_but_for_their_index(tmp_path: Path) -> None:
    # What the C library keeps free for each thread is up to it: one pool, so that what is in use is measured.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MALLOC_ARENA_MAX": "1"}
    runs = []
    for count in ("100000", "300000"):
        (tmp_path / count).mkdir()
        command = [sys.executable, "-c", BIG, str(tmp_path / count), count]
        runs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    (some_text, *some), (all_text, *many) = (map(int, run.communicate()[0].split()) for run in runs)
    assert all_text - some_text > 38e6
    for adding, _, _ in (some, many):
        assert adding < 16e6
    # The graph is in memory until it is written, with room to grow; at 8 dimensions it is 63 bytes a chunk.
    assert many[1] - some[1] < 10e6 + 2 * (many[2] - some[2])
