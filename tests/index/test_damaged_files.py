"""Whatever happens to an index file, opening it either works as before or raises a typed error: it never crashes."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from memvid.errors import IndexFileError, IndexFormatError
from memvid.index import IndexManager, digests
from memvid.index.hnsw_file import HnswFileError, check_header, check_links
from memvid.index.manifest import read_manifest
from memvid.index.open_file import OpenFile
from memvid.index.vectors import VectorReader
from memvid.storage.disk import cache_folder
from tests.index.index_support import DIM, VIDEO, build, make_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = ("memory_index.json", "memory_index.usearch", "memory_index.records")


@pytest.fixture
def index_file(tmp_path: Path) -> Path:
    return build(tmp_path, 120)


def damaged(data: bytes, samples: int) -> Iterator[bytes]:
    """Truncations, a longer file, and single flipped bits, spread over the file."""
    places = sorted({*range(0, len(data), max(1, len(data) // samples)), len(data) - 1})
    for place in places:
        yield data[:place]
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        yield bytes(flipped)
    yield data + b"\0"


@pytest.mark.parametrize("name", FILES)
def test_any_damage_is_a_typed_error(index_file: Path, name: str) -> None:
    file = index_file.with_name(name)
    whole = file.read_bytes()
    for data in damaged(whole, 120):
        if name.endswith(".json") and data.split() == whole.split():
            continue  # white space of the manifest means nothing
        file.write_bytes(data)
        with pytest.raises(IndexFormatError, match=rf"{re.escape(name)}.*memvid reindex"):
            IndexManager.open(index_file, video=VIDEO)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_missing_side_file_is_named(index_file: Path, name: str) -> None:
    index_file.with_name(name).unlink()
    with pytest.raises(IndexFormatError, match=f"{name}.*memvid reindex"):
        IndexManager.open(index_file)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_an_error(index_file: Path, name: str) -> None:
    index_file.with_name(name).unlink()
    index_file.with_name(name).mkdir()
    with pytest.raises(IndexFileError, match=name):
        IndexManager.open(index_file)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_side_file_of_another_index_is_refused(index_file: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    other = build(tmp_path / "other", 120, vectors=make_vectors(120, seed=9), texts=["other"] * 120)
    index_file.with_name(name).write_bytes(other.with_name(name).read_bytes())
    with pytest.raises(IndexFormatError, match=name):
        IndexManager.open(index_file)


def test_verify_sees_what_changed_behind_the_cache(index_file: Path) -> None:
    file = index_file.with_name("memory_index.usearch")
    with IndexManager.open(index_file) as index:
        index.verify()
        status = file.stat()
        with file.open("r+b") as handle:  # in place, with the old time: exactly what the cache cannot see
            handle.seek(100)
            byte = handle.read(1)[0]
            handle.seek(100)
            handle.write(bytes([byte ^ 1]))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(IndexFormatError, match=r"SHA-256 expected [0-9a-f]{64}, found [0-9a-f]{64}"):
            index.verify()


# --- crafted files, whose digests are right


def rewrite_manifest(index_file: Path, change: dict[str, object], *, files: dict[str, object] | None = None) -> None:
    """Change the manifest and make its digest right again, as an attacker would."""
    content = json.loads(index_file.read_bytes())
    content.pop("sha256")
    content.update(change)
    for role, name in (files or {}).items():
        content["files"][role]["name"] = name
    for entry in content["files"].values():
        side_file = index_file.parent / str(entry["name"]).replace("/", "_")
        if side_file.is_file():
            data = side_file.read_bytes()
            entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    compact = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    content["sha256"] = hashlib.sha256(compact).hexdigest()
    index_file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


@pytest.mark.parametrize("name", ["../memory_index.usearch", "/etc/passwd", "a/b", "..", "", "a\0", 7, None])
def test_a_side_file_may_not_be_elsewhere(index_file: Path, name: object) -> None:
    rewrite_manifest(index_file, {}, files={"vectors": name})
    with pytest.raises(IndexFormatError, match="not a plain name"):
        IndexManager.open(index_file)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": 3},
        {"segments": [{}]},
        {"segments": 6, "version": 4},
        {"segments": [6], "version": 2},
        {"version": None},
        {"format": "x"},
        {"vectors": {}},
        {"video": []},
        {"files": {}},
        {"model": {"name": 1, "dim": DIM, "digest": None}},
    ],
)
def test_a_manifest_of_another_shape_is_refused(index_file: Path, change: dict[str, object]) -> None:
    content = {**json.loads(index_file.read_bytes()), **change}
    content.pop("sha256")
    compact = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    index_file.write_text(json.dumps({**content, "sha256": hashlib.sha256(compact).hexdigest()}))
    with pytest.raises(IndexFormatError, match="memvid reindex"):
        IndexManager.open(index_file)


@pytest.mark.parametrize("digest", ["\ud800", "0" * 63, "g" * 64, "", 7])
def test_a_digest_that_is_none_is_refused(index_file: Path, digest: object) -> None:
    content = json.loads(index_file.read_bytes())
    files = {role: {**entry, "sha256": digest} for role, entry in content["files"].items()}
    content = {**content, "files": files}
    content.pop("sha256")
    compact = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    index_file.write_text(json.dumps({**content, "sha256": hashlib.sha256(compact).hexdigest()}))
    with pytest.raises(IndexFormatError, match="memvid reindex"):
        IndexManager.open(index_file)


def test_a_manifest_that_is_read_and_cannot_be_written_is_refused(index_file: Path) -> None:
    start = index_file.read_text().rstrip()[:-1]
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit() + 10):
        index_file.write_text(f'{start}, "deep": {"[" * depth}{"]" * depth}}}')
        with pytest.raises(IndexFormatError):
            IndexManager.open(index_file)


@pytest.mark.parametrize("count", [119, 121, 1 << 40])
def test_a_manifest_of_another_count_is_refused(index_file: Path, count: int) -> None:
    vectors = {**json.loads(index_file.read_bytes())["vectors"], "count": count}
    rewrite_manifest(index_file, {"vectors": vectors})
    with pytest.raises(IndexFormatError):
        IndexManager.open(index_file)


@pytest.mark.parametrize(
    "change", [{"dim": DIM * 2}, {"dim": 60000}, {"dim": 1}, {"dtype": "f16"}, {"connectivity": 17}]
)
def test_a_manifest_of_other_vectors_is_refused(index_file: Path, change: dict[str, object]) -> None:
    vectors = {**json.loads(index_file.read_bytes())["vectors"], **change}
    rewrite_manifest(index_file, {"vectors": vectors})
    with pytest.raises(IndexFormatError, match=r"memory_index\.usearch is damaged"):
        IndexManager.open(index_file)


def test_a_crafted_graph_is_refused_before_it_is_walked(tmp_path: Path) -> None:
    index_file = build(tmp_path, 2500, keywords=False)
    info = read_manifest(index_file).vectors
    whole = index_file.with_name("memory_index.usearch").read_bytes()
    ids = np.arange(2500)
    check_links(memoryview(whole), info, ids)
    graph_at = 8 + 2500 * DIM
    rng = np.random.default_rng(0)
    refused = 0
    places = [*range(graph_at, graph_at + 104), *rng.integers(graph_at + 104, len(whole), 300).tolist()]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 0x80
        try:
            check_links(memoryview(data), info, ids)
        except HnswFileError:
            refused += 1
            continue
        # What is left can only be padding, the number of usearch's version, or a neighbour that exists.
        sound = index_file.with_name("crafted")
        sound.write_bytes(data)
        check_header(memoryview(data), info)
        with sound.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            reader = VectorReader(OpenFile(sound, file), mapping, info)
        reader.nearest(make_vectors(1), 5, expansion=500)
        reader.close()
    assert refused > 150


@pytest.mark.parametrize("dtype", ["f16", "f32"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 119])
def test_a_vector_that_is_no_numbers_is_refused(tmp_path: Path, dtype: str, value: float, row: int) -> None:
    index_file = build(tmp_path, 120, vector_dtype=dtype)
    file = index_file.with_name("memory_index.usearch")
    data, size = bytearray(file.read_bytes()), np.dtype({"f16": "<f2", "f32": "<f4"}[dtype]).itemsize
    at = 8 + (row * DIM + 5) * size
    data[at : at + size] = np.array(value, f"<f{size}").tobytes()
    file.write_bytes(data)
    rewrite_manifest(index_file, {})
    with pytest.raises(IndexFormatError, match=f"vector {row} has a NaN or an infinity.*memvid reindex"):
        IndexManager.open(index_file)


def test_a_graph_in_parts_hides_nothing(tmp_path: Path) -> None:
    """A walk that cannot reach enough says -1; the search then compares with all."""
    index_file = build(tmp_path, 2500, keywords=False)
    file = index_file.with_name("memory_index.usearch")
    info, data = read_manifest(index_file).vectors, bytearray(file.read_bytes())
    levels_at = 8 + 2500 * DIM + 64 + 40
    _, upper_room, base_room, _, entry = struct.unpack_from("<5Q", data, levels_at - 40)
    node_at = levels_at + 2 * 2500
    for level in np.frombuffer(bytes(data), "<i2", 2500, levels_at).tolist():
        lists_at = node_at + 10
        node_at = lists_at + 4 * (1 + base_room) + level * 4 * (1 + upper_room)
        data[lists_at:node_at] = bytes(node_at - lists_at)  # no neighbours on any level
    file.write_bytes(data)
    rewrite_manifest(index_file, {})
    queries = make_vectors(3, seed=1)
    with file.open("rb") as opened:
        mapping = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        reader = VectorReader(OpenFile(file, opened), mapping, info)
    rows, scores = reader.nearest(queries, 4, expansion=64)
    assert rows.tolist() == [[entry, -1, -1, -1]] * 3
    assert np.isneginf(scores[:, 1:]).all()
    with IndexManager.open(index_file) as index:
        found, expected = index.search(queries, 4), index.search(queries, 4, exact=True)
        assert found[0].tolist() == expected[0].tolist()
        assert found[1].tolist() == expected[1].tolist()
        even = index.search(queries, 4, where={"even": True})
        assert (even[0] % 2 == 0).all()
        assert (even[0] >= 0).all()


# --- the memory of what was checked


def test_a_file_is_hashed_once_on_a_machine(index_file: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = digests.file_digest

    def counting(file: OpenFile) -> str:
        hashed.append(file.path.name)
        return real(file)

    monkeypatch.setattr(digests, "file_digest", counting)
    IndexManager.open(index_file).close()
    assert hashed == []  # the builder remembered its own
    for entry in (own_cache / "verified").iterdir():
        entry.unlink()
    for _ in range(3):
        IndexManager.open(index_file).close()
        assert sorted(hashed) == sorted(FILES[1:])
    file = index_file.with_name("memory_index.usearch")
    os.utime(file, ns=(0, 0))
    IndexManager.open(index_file).close()
    assert hashed[2:] == ["memory_index.usearch"]


def test_without_a_cache_folder_it_is_hashed_each_time(
    index_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEMVID_CACHE_DIR", str(tmp_path / "file" / "below"))
    for _ in range(2):
        IndexManager.open(index_file).close()
    (tmp_path / "again").mkdir()
    build(tmp_path / "again", 20)


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["MEMVID_CACHE_DIR"])
    monkeypatch.delenv("MEMVID_CACHE_DIR")
    if sys.platform not in ("win32", "darwin"):
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert cache_folder() == Path("/somewhere/memvid")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_folder() == Path.home() / ".cache" / "memvid"


def test_the_cache_forgets_the_oldest(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_KEPT", 10)
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with path.open("rb") as opened:
        file = OpenFile(path, opened)
    for i in range(25):
        digests.remember_verified(file, str(i))
    assert digests.is_verified(file, "24")
    assert not digests.is_verified(file, "0")
    assert len(list((own_cache / "verified").iterdir())) <= 10


@pytest.mark.parametrize("data", [b"", b"x"])
@pytest.mark.parametrize("name", FILES[1:])
def test_an_empty_side_file_of_the_right_digest_is_refused(index_file: Path, name: str, data: bytes) -> None:
    index_file.with_name(name).write_bytes(data)
    rewrite_manifest(index_file, {})
    with pytest.raises(IndexFormatError, match="memvid reindex"):
        IndexManager.open(index_file)
