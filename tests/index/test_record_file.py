"""The records of a segment: what is in them, and that what lies about them is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memvid.errors import IndexFormatError
from memvid.index import IndexManager, SideFile
from memvid.index.manifest import read_manifest
from memvid.index.section_file import SectionWriter, read_sections
from tests.index.index_support import build, make_text

COUNT = 120
Sections = dict[str, bytes]


@pytest.fixture
def index_file(tmp_path: Path) -> Path:
    return build(tmp_path, COUNT)


def sections_of(index_file: Path) -> Sections:
    data = index_file.with_name("memory_index.records").read_bytes()
    return {name: bytes(section) for name, section in read_sections(memoryview(data)).items()}


def forge(index_file: Path, sections: Sections) -> None:
    """Write other sections, and make the digests fit."""
    path = index_file.with_name("memory_index.records")
    with SectionWriter(path, tuple(sections)) as writer:
        for name, data in sections.items():
            writer.add(name, data)
        writer.finish()
    data = path.read_bytes()
    manifest = read_manifest(index_file)
    (segment,) = manifest.segments
    files = {**segment.files, "records": SideFile(path.name, len(data), hashlib.sha256(data).hexdigest())}
    index_file.write_bytes(replace(manifest, segments=(replace(segment, files=files),)).to_bytes())


def longs(*numbers: int) -> bytes:
    return np.array(numbers, "<i8").tobytes()


LIES: dict[str, Callable[[Sections], Sections]] = {
    "a section less": lambda sections: {name: data for name, data in sections.items() if name != "words"},
    "a section more": lambda sections: {**sections, "more": b"1"},
    "another order": lambda sections: dict(reversed(sections.items())),
    "half a number": lambda sections: {**sections, "run_starts": sections["run_starts"][:-1]},
    "no run": lambda sections: {**sections, "run_starts": b"", "run_lengths": b""},
    "a run below zero": lambda sections: {**sections, "run_starts": longs(-1)},
    "a run behind all ids": lambda sections: {**sections, "run_starts": longs((1 << 62) + 1)},
    "runs that overlap": lambda sections: {**sections, "run_starts": longs(0, 50), "run_lengths": longs(60, 60)},
    "a run of nothing": lambda sections: {**sections, "run_starts": longs(0, 200), "run_lengths": longs(COUNT, 0)},
    "a sum that overflows": lambda sections: {
        **sections, "run_starts": longs(0, 1, 2), "run_lengths": longs(1 << 62, 1 << 62, COUNT - (1 << 63)),
    },
    "a length less": lambda sections: {**sections, "lengths": sections["lengths"][1:]},
    "no page": lambda sections: {**sections, "page_frames": b"", "page_chunks": b""},
    "pages that fall": lambda sections: {**sections, "page_chunks": longs(*range(110, -10, -10))},
    "pages behind the first chunk": lambda sections: {**sections, "page_chunks": longs(*range(1, 121, 10))},
    "words of other chunks": lambda sections: {**sections, "words": sections["words"][:-1]},
    "no words": lambda sections: {**sections, "words": b""},
    "no fields": lambda sections: {**sections, "fields": b""},
    "fields in place of words": lambda sections: {**sections, "fields": sections["fields"] + bytes(8)},
    "postings of another kind": lambda sections: {**sections, "words": b"x" + sections["words"][1:]},
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_sections_that_lie_are_refused(index_file: Path, lie: Callable[[Sections], Sections]) -> None:
    forge(index_file, lie(sections_of(index_file)))
    with pytest.raises(IndexFormatError, match=r"memory_index\.records.*memvid reindex"):
        IndexManager.open(index_file)


def test_fields_of_fewer_chunks_are_refused(index_file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    fewer = sections_of(build(tmp_path / "other", COUNT - 1))
    for name in ("fields", "words"):
        forge(index_file, {**sections_of(index_file), name: fewer[name]})
        with pytest.raises(IndexFormatError, match=r"memory_index\.records.*memvid reindex"):
            IndexManager.open(index_file)
        forge(index_file, sections_of(build(tmp_path / "other", COUNT)))


@pytest.mark.parametrize("name", ["fields", "words"])
def test_lists_of_rows_that_lie_are_refused_or_lead_nowhere(index_file: Path, name: str) -> None:
    """At the first opening all of them are gone through; a search checks each step for itself."""
    sound = sections_of(index_file)
    rng = np.random.default_rng(4)
    refused = 0
    for at in rng.integers(0, len(sound[name]), 60).tolist():
        data = bytearray(sound[name])
        data[at] ^= 1 << int(rng.integers(0, 8))
        forge(index_file, {**sound, name: bytes(data)})
        try:
            with IndexManager.open(index_file) as index:
                found = index.keyword_search("apples plums word3", 5)[0].tolist()
                found += index.ids_where({"page": {"$lt": 5}}).tolist()
                assert all(0 <= chunk_id < COUNT for chunk_id in found)
        except IndexFormatError as error:
            assert "memory_index.records" in str(error)  # noqa: PT017
            refused += 1
    assert refused > 20


def test_neither_texts_nor_metadata_are_in_it(tmp_path: Path) -> None:
    secret = "a note of many words that nobody else is to read " * 4
    index_file = build(tmp_path, 3, metadatas=[{"note": secret, "n": 1}, None, {"m": [{"k": "short"}]}])
    data = index_file.with_name("memory_index.records").read_bytes()
    for text in (secret[:20], '{"', make_text(0)[:20]):
        assert text.encode() not in data
    assert b"short" in data  # what filters go by
    with IndexManager.open(index_file) as index:
        assert index.ids_where({"note": secret}).tolist() == [0]


def test_without_keywords_there_are_none(tmp_path: Path) -> None:
    assert "words" not in sections_of(build(tmp_path, 3, keywords=False))


def test_a_large_file_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memvid.index.open_file._READ_BYTES", 1000)
    index_file = build(tmp_path, 300)
    with IndexManager.open(index_file) as index:
        found = index.keyword_search("number77", 3)[0].tolist()
        assert (found, index.ids_where({"page": 6})[:2].tolist()) == ([77], [6, 13])
        index.verify()
        words = index.need_words()
    assert words.search(["number77"], 3)[0].tolist() == found  # a search under way keeps the mapping
