"""Erasure: nothing of the erased text is anywhere in the new files, and the proof is one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from memvid import MemvidEncoder, _core, maintenance
from memvid.cli import main
from memvid.errors import ChunkNotFoundError, ConfigError, FrameError, OutputError, QueryError
from memvid.index.record_file import OWN_WORDS
from memvid.index.section_file import read_sections
from memvid.maintenance import delete, erase, verify
from memvid.maintenance.rewrite.compact import Compaction
from memvid.maintenance.rewrite.text_traces import BLOCK, SHORTEST, Fragments
from memvid.page import HEADER_BYTES, PageKind
from memvid.storage.commit import default_index_file
from memvid.storage.files import open_regular
from memvid.video import PageStore, VideoReader
from tests.memory_support import EMBEDDER, all_files, build, make_texts, open_memory

SECRET = "The patient Ottokar Zwiebelfeld has the blood group AB negative, ward 17."


def everything_in(folder: Path, video: Path) -> bytes:
    """All there is to find: the files, the payloads, the dictionary, all pages decompressed, by zstandard itself."""
    reader = VideoReader(video)
    store = PageStore(reader, cache_bytes=0)
    found = list(all_files(folder).values())
    dictionary = store.dictionary
    found.append(dictionary or b"")
    decompressor = zstandard.ZstdDecompressor(
        dict_data=zstandard.ZstdCompressionDict(dictionary) if dictionary else None
    )
    for frame, payload in reader.read_all():
        found.append(payload)
        if reader.table.kinds[frame] == PageKind.DATA and len(reader.table.run_of(frame)) == 1 and payload[5] & 1:
            found.append(decompressor.decompress(payload[HEADER_BYTES:]))
    sections = read_sections(memoryview((folder / "memory_index.records").read_bytes()))
    for name in ("fields", "words"):
        found += _core.FieldIndex(sections[name]).terms_between(b"", b"\xff" * 201, 1 << 20)
    return b"\0".join(found)


def test_nothing_is_left(tmp_path: Path) -> None:
    # Said often enough for the dictionary to learn it by heart.
    secrets = [f"{SECRET} Visit {number}." for number in range(60)]
    texts = make_texts(600, words=14)
    texts[300:300] = secrets
    metadatas = [{"about": "Ottokar Zwiebelfeld"} if text in secrets else {"about": "nothing"} for text in texts]
    video = build(tmp_path, texts, metadatas=metadatas, dictionary=8192)
    before = everything_in(tmp_path, video)
    assert b"Zwiebelfeld" in (PageStore(VideoReader(video), cache_bytes=0).dictionary or b"")
    assert b"zwiebelfeld" in before
    delete(video, where={"about": "Ottokar Zwiebelfeld"})
    assert b"Zwiebelfeld" in everything_in(tmp_path, video)
    result = erase(video, chunk_ids=range(300, 360))
    assert result.erased == ((300, 359),)
    assert result.blocks >= 4
    assert result.scanned_bytes > video.stat().st_size
    after = everything_in(tmp_path, video)
    for piece in (b"Zwiebelfeld", b"zwiebelfeld", b"Ottokar", b"blood group"):
        assert piece not in after
    assert verify(video, deep=True).findings == ()
    with open_memory(video) as memory:
        assert len(memory) == 600
        assert memory.get_chunk_by_id(360) == texts[360]


@pytest.mark.parametrize(
    ("title", "erased"),
    [
        (f"File of {SECRET[:40]}", True),
        ("Zwiebelfeld, 17", True),  # the whole of a short text
        ("Ward 17, a hospital in the mountains", False),
    ],
)
def test_a_title_that_tells_goes_with_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], title: str, *, erased: bool
) -> None:
    video = build(tmp_path, [SECRET, "Zwiebelfeld, 17", *make_texts(5)], title=title)
    assert main(["erase", str(video), "--id", "0", "--id", "1"]) == 0
    assert ("\n  title" in capsys.readouterr().out) == erased
    with open_memory(video) as memory:
        assert memory.info.title == (None if erased else title)
    reader = VideoReader(video)
    found = b"".join(payload for _, payload in reader.read_all())
    assert (title.encode() in found) != erased  # on the cover, and in the header page
    assert verify(video, deep=True).findings == ()


def test_messages_of_commits_go_with_the_text(tmp_path: Path) -> None:
    video = tmp_path / "memory.mp4"
    with MemvidEncoder(embedder=EMBEDDER) as encoder:
        encoder.add_chunks(make_texts(5))
        encoder.build_video(video, default_index_file(video), message=f"without {SECRET}")
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks([SECRET])
        memory.append(message=f"with {SECRET}")
    erase(video, chunk_ids=[5])
    assert SECRET.encode() not in everything_in(tmp_path, video)
    with open_memory(video) as retriever:
        assert [(info.number, info.message) for info in retriever.log()] == [(1, None)]


def test_what_stays_may_say_the_same(tmp_path: Path) -> None:
    video = build(tmp_path, [SECRET, f"As was said: {SECRET}", "else"])
    result = erase(video, chunk_ids=[0])
    assert result.compacted.chunks == 2
    assert result.repeated == ((1, 1),)
    with open_memory(video) as memory:
        assert memory.search(SECRET, 1) == [f"As was said: {SECRET}"]


def test_chunks_that_repeat_an_erased_text_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = "AB negative"
    texts = [SECRET, short, *make_texts(400), SECRET, f"{short} it is", f"Said: {SECRET}", short, SECRET[:-1], "last"]
    video = build(tmp_path, texts)
    assert main(["erase", str(video), "--id", "0", "--id", "1"]) == 0
    assert "an erased text: 3 chunks: 402, 404-405 have it, too" in capsys.readouterr().out
    assert erase(video, chunk_ids=[402, 404]).repeated == ()


@pytest.mark.parametrize("verb", ["erase", "delete"])
def test_a_filter_that_finds_nothing_changes_nothing(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = build(tmp_path, ["one", "two"], metadatas=[{"source": "a.md"}, {"source": "b.md"}])
    before = all_files(tmp_path)
    for more in ((), ("--id", "0")):
        assert main([verb, str(video), "--where", "source=typo.md", *more]) == 1
        assert "no chunk of " in capsys.readouterr().err
        assert all_files(tmp_path) == before
    with pytest.raises(ChunkNotFoundError, match="has this metadata"):
        getattr(maintenance, verb)(video, where={"source": "typo.md"})
    assert all_files(tmp_path) == before


def test_what_memvid_writes_itself_is_no_trace(tmp_path: Path) -> None:
    """A text about memvid's own files can be erased like any other."""
    video = build(tmp_path, [*OWN_WORDS, "else"])
    result = erase(video, chunk_ids=range(len(OWN_WORDS)))
    assert result.compacted.chunks == 1


def test_a_proof_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = build(tmp_path, [SECRET, *make_texts(9)])
    before = all_files(tmp_path)

    # A compaction that keeps what it should drop.
    keep = Compaction._fill
    monkeypatch.setattr(Compaction, "_fill", lambda self, spool, gone: keep(self, spool, self.index.deleted))
    with pytest.raises(FrameError, match="would still hold"):
        erase(video, chunk_ids=[0])
    assert all_files(tmp_path) == before


@pytest.mark.parametrize("name", ["memory.mp4.new", "memory_index.records.new", "memory_index.json.new"])
def test_what_cannot_be_read_back_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    video = build(tmp_path, [SECRET, *make_texts(9)])
    before = all_files(tmp_path)

    def bad_sector(path: Path) -> Any:
        if path.name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return open_regular(path)

    monkeypatch.setattr("memvid.maintenance.rewrite.erasure_proof.open_regular", bad_sector)
    with pytest.raises(OutputError, match=r"nothing was changed") as caught:
        erase(video, chunk_ids=[0])
    assert caught.value.errno == errno.EIO
    monkeypatch.undo()
    assert all_files(tmp_path) == before


def test_what_is_wrong(tmp_path: Path) -> None:
    video = build(tmp_path, ["one", "two"])
    before = all_files(tmp_path)
    with pytest.raises(ConfigError, match="nothing to erase"):
        erase(video)
    with pytest.raises(ChunkNotFoundError):
        erase(video, chunk_ids=[2])
    for no_id in (0.7, "0", True):  # an erasure cannot be taken back
        with pytest.raises(ChunkNotFoundError, match="a chunk id is a whole number"):
            erase(video, chunk_ids=[no_id])  # type: ignore[list-item]
    for number in (-1, 1 << 70):
        with pytest.raises(ChunkNotFoundError, match=f"there is no chunk {number}"):
            erase(video, chunk_ids=[number])
    with pytest.raises(QueryError):
        erase(video, where={"nothing": {"$like": 1}})
    with pytest.raises(ChunkNotFoundError, match="no chunk has the metadata field 'nothing'"):
        erase(video, where={"nothing": 1})
    assert all_files(tmp_path) == before


@given(st.binary(min_size=SHORTEST, max_size=200), st.data())
def test_every_piece_of_31_bytes_is_found_wherever_it_begins(text: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - SHORTEST))
    around = data.draw(st.binary(max_size=40)), data.draw(st.binary(max_size=40))
    fragments = Fragments.of([text])
    piece = text[start : start + SHORTEST]
    blocks = [piece[at : at + BLOCK] for at in range(SHORTEST - BLOCK + 1) if (start + at) % BLOCK == 0]
    found = fragments.find(around[0] + piece + around[1])
    assert found >= {block for block in blocks if len(set(block)) >= 4}


@given(st.lists(st.binary(max_size=90), max_size=4), st.binary(max_size=300))
def test_blocks_are_found_as_a_plain_search_finds_them(texts: list[bytes], data: bytes) -> None:
    fragments = Fragments.of(texts)
    assert fragments.find(data) == {block for block in fragments.blocks if block in data}
    kept = set(fragments.blocks)
    fragments.allow(data)
    assert fragments.blocks == {block for block in kept if block not in data}
