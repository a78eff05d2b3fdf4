"""Metadata that nobody can use, behind checksums that are right: verify says so, and all else goes on without it.

Whoever can write a page can write any bytes as metadata. One such chunk must not keep others from being erased.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from memvid import MemvidEncoder
from memvid.cli import main
from memvid.errors import FrameError
from memvid.exchange import export
from memvid.maintenance import compact, delete, erase, reindex, repair, verify
from memvid.page import PageBody, PageFlag, PageKind, Record, encode_body, is_page, seal
from memvid.video import PageStore, VideoReader
from tests.hostile.hostile_support import VERSION, forge_video, payloads_of, rebuild_table
from tests.memory_support import EMBEDDER, build, open_memory

TEXTS = ["one river", "two violins", "three lanterns", "four ferries"]
METADATAS = [{"n": number} for number in range(4)]
POISON = {
    "infinite": b'{"a":1e999}',
    "surrogate": b'{"a":"\\ud800"}',
    "not a number": b'{"a":NaN}',
    "no object": b"[1]",
    "list of sources": b'[{"source":"a.txt"}]',
    "no JSON": b"{",
    "more behind": b'{"a":1}}',
    "no UTF-8": b'{"a":"\xff"}',
    "mark of order": b'\xef\xbb\xbf{"a":1}',
    "deep": b'{"a":' + b"[" * 100_000,
}
KINDS: dict[str, dict[str, Any]] = {"packed": {}, "bare": {"chunks_per_frame": 1}}


@pytest.fixture(params=KINDS)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A memory whose chunks 1 and 2 have metadata that cannot be used, with an index made of it."""
    return poisoned(tmp_path, KINDS[request.param], POISON["infinite"], POISON["surrogate"])


def poisoned(folder: Path, options: dict[str, Any], *poison: bytes) -> Path:
    video = build(folder, TEXTS, metadatas=METADATAS, symbol_version=VERSION, compression="none", **options)
    payloads, table = payloads_of(video)
    kind = PageKind.ATTRIBUTES if options else PageKind.DATA
    stored = [json.dumps(metadata).encode() for metadata in METADATAS]
    stored[1 : 1 + len(poison)] = poison
    texts = [b"" if options else text.encode() for text in TEXTS]
    body = encode_body([Record(*chunk) for chunk in zip(texts, stored, strict=True)])
    flags = 0
    if len(body) > 200:
        import zstandard

        body, flags = zstandard.compress(body, 19), int(PageFlag.ZSTD)
    (at,) = (at for at, payload in enumerate(payloads) if is_page(payload) and payload[4] == kind)
    payloads[at] = seal(PageBody(kind, flags, 4, 0, body), tag=table.tag, page_number=at)
    forge_video(video, payloads, rebuild_table(payloads, table))
    reindex(video, embedder=EMBEDDER)
    return video


def stored(video: Path) -> dict[int, tuple[bytes, bytes]]:
    """Text and metadata of each chunk, as they lie in the video, without those that were deleted."""
    reader = VideoReader(video)
    store = PageStore(reader, cache_bytes=0)
    found = {
        int(reader.table.first_chunks[frame]) + slot: (page.text_bytes(slot), store.metadata_bytes(page, frame, slot))
        for frame, page in store.scan()
        for slot in range(len(page))
    }
    return {
        chunk: kept for chunk, kept in found.items() if chunk not in set(ids(store.deleted.starts, store.deleted.ends))
    }


def ids(starts: object, ends: object) -> list[int]:
    return [chunk for first, end in zip(starts, ends, strict=True) for chunk in range(first, end)]  # type: ignore[call-overload]


def test_verify_names_the_chunks_and_calls_nothing_lost(memory: Path) -> None:
    assert verify(memory).ok  # which reads no frame
    report = verify(memory, deep=True)
    assert not report.ok
    (finding,) = report.findings
    assert (finding.severity, finding.code, finding.chunks) == ("error", "metadata", ((1, 2),))
    assert finding.frame is not None
    assert "1e999 is beyond" in finding.message
    assert "memvid repair" in finding.message
    assert report.lost_chunks == ()
    assert report.chunks_read == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", POISON)
def test_every_kind_is_found_and_kept_from_nothing(tmp_path: Path, name: str, kind: str) -> None:
    if (name, kind) == ("deep", "bare"):
        pytest.skip("metadata of bare texts is not compressed, so it has no room for so many brackets")
    poison = POISON[name]
    video = poisoned(tmp_path, KINDS[kind], poison)
    before = stored(video)
    assert before[1][1] == poison
    assert [finding.chunks for finding in verify(video, deep=True).findings] == [((1, 1),)]
    erase(video, chunk_ids=[3], embedder=EMBEDDER)
    del before[3]
    assert stored(video) == before


def test_the_text_is_answered_and_the_result_says_why_there_is_no_metadata(memory: Path) -> None:
    with open_memory(memory) as retriever:
        chunks = retriever.get_chunks_by_id(range(4))
        assert [chunk.text for chunk in chunks] == TEXTS
        assert [chunk.metadata for chunk in chunks] == [{"n": 0}, {}, {}, {"n": 3}]
        assert [chunk.metadata_fault is None for chunk in chunks] == [True, False, False, True]
        assert "lone surrogate U+D800" in (chunks[2].metadata_fault or "")
        (result,) = retriever.search_results(TEXTS[1], 1)
        assert (result.text, result.metadata) == (TEXTS[1], {})
        assert "1e999" in (result.metadata_fault or "")
        assert retriever.search_results(TEXTS[1], 4, where={"n": [0, 1, 2, 3]})[0].chunk_id in {0, 3}


def test_reindex_leaves_it_out_of_the_index(memory: Path) -> None:
    before = memory.read_bytes()
    assert reindex(memory, embedder=EMBEDDER).unusable_metadata == ((1, 2),)
    assert memory.read_bytes() == before


def test_compact_keeps_it_byte_for_byte(memory: Path) -> None:
    before = stored(memory)
    delete(memory, chunk_ids=[0])
    result = compact(memory, embedder=EMBEDDER)
    assert result.unusable_metadata == ((1, 2),)
    del before[0]
    assert stored(memory) == before
    assert [finding.code for finding in verify(memory, deep=True).findings] == ["metadata"]


def test_erase_takes_it_out_with_its_chunk(memory: Path) -> None:
    assert erase(memory, chunk_ids=[1], embedder=EMBEDDER).compacted.unusable_metadata == ((2, 2),)
    assert erase(memory, chunk_ids=[2], embedder=EMBEDDER).compacted.unusable_metadata == ()
    assert verify(memory, deep=True).findings == ()


def test_a_deleted_chunk_is_no_reason_to_call_a_memory_damaged(memory: Path) -> None:
    delete(memory, chunk_ids=[1])
    assert [finding.chunks for finding in verify(memory, deep=True).findings] == [((2, 2),)]
    delete(memory, chunk_ids=[2])
    assert verify(memory, deep=True).findings == ()


def test_append_goes_on_behind_it(memory: Path) -> None:
    before = stored(memory)
    with MemvidEncoder.open(memory, embedder=EMBEDDER) as encoder:
        encoder.add_chunks(["five compasses"], metadatas=[{"n": 4}])
        result = encoder.append()
    assert result.unusable_metadata == ((1, 2),)  # a small segment is merged with the new one
    assert stored(memory) == {**before, 4: (b"five compasses", b'{"n":4}')}
    assert [finding.chunks for finding in verify(memory, deep=True).findings] == [((1, 2),)]


def test_repair_writes_a_sound_memory_without_it(memory: Path, tmp_path: Path) -> None:
    before = stored(memory)
    new = tmp_path / "new.mp4"
    result = repair(memory, new, embedder=EMBEDDER)
    assert (result.unusable_metadata, result.lost, result.chunks) == (((1, 2),), (), 4)
    assert [finding.code for finding in result.findings] == ["metadata"]
    assert (result.embeddings_kept, result.embeddings_made) == (4, 0)
    assert verify(new, deep=True).findings == ()
    assert stored(new) == {chunk: (text, b"" if chunk in {1, 2} else kept) for chunk, (text, kept) in before.items()}


def test_export_carries_it_over(memory: Path, tmp_path: Path) -> None:
    before = stored(memory)
    export(memory, tmp_path / "other.mp4", codec="png")
    assert stored(tmp_path / "other.mp4") == before


def test_repair_without_a_page_table_or_an_index(memory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(memory, folder / "memory.mp4")
    data = (folder / "memory.mp4").read_bytes().replace(b"memvid-page-tab1", b"memvid-page-tab0")
    (folder / "memory.mp4").write_bytes(data)
    result = repair(folder / "memory.mp4", tmp_path / "new.mp4", embedder=EMBEDDER)
    assert (result.unusable_metadata, result.lost) == (((1, 2),), ())
    assert verify(tmp_path / "new.mp4", deep=True).findings == ()


def test_repair_gives_up_a_text_that_is_none_and_no_other_of_its_page(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, metadatas=METADATAS, symbol_version=VERSION, compression="none")
    payloads, table = payloads_of(video)
    (at,) = table.frames_of_kind(PageKind.DATA).tolist()
    body = encode_body([Record(b"one"), Record(b"\xff"), Record(b"three", POISON["infinite"]), Record(b"four")])
    payloads[at] = seal(PageBody(PageKind.DATA, 0, 4, 0, body), tag=table.tag, page_number=at)
    forge_video(video, payloads, rebuild_table(payloads, table))
    report = verify(video, deep=True)
    assert {finding.code: finding.chunks for finding in report.findings} == {
        "metadata": ((2, 2),), "page": ((1, 1),),
    }  # fmt: skip
    assert report.lost_chunks == ((1, 1),)
    result = repair(video, tmp_path / "new.mp4", embedder=EMBEDDER)
    assert (result.lost, result.unusable_metadata, result.chunks) == (((1, 1),), ((2, 2),), 3)
    assert stored(tmp_path / "new.mp4") == {0: (b"one", b""), 2: (b"three", b""), 3: (b"four", b"")}
    assert verify(tmp_path / "new.mp4", deep=True).lost_chunks == ((1, 1),)
    erase(video, chunk_ids=[1], embedder=EMBEDDER)  # what cannot be read can be taken out
    assert stored(video).keys() == {0, 2, 3}


def test_a_text_that_is_none_is_a_typed_error_where_it_would_have_to_stay(tmp_path: Path) -> None:
    video = build(tmp_path, TEXTS, symbol_version=VERSION, compression="none")
    payloads, table = payloads_of(video)
    (at,) = table.frames_of_kind(PageKind.DATA).tolist()
    body = encode_body([Record(b"one"), Record(b"\xff"), Record(b"three"), Record(b"four")])
    payloads[at] = seal(PageBody(PageKind.DATA, 0, 4, 0, body), tag=table.tag, page_number=at)
    forge_video(video, payloads, rebuild_table(payloads, table))
    for action in (
        lambda: erase(video, chunk_ids=[0], embedder=EMBEDDER),
        lambda: compact(video, embedder=EMBEDDER),
    ):
        with pytest.raises(FrameError, match=rf"frame {at}: text of chunk 1 .*not UTF-8"):
            action()
    result = reindex(video, embedder=EMBEDDER)
    assert (result.chunks, result.missing) == (3, ((1, 1),))


class TestCommands:
    def run(self, capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
        assert main(list(words)) == status
        return " ".join(capsys.readouterr().out.split())

    def test_each_says_what_became_of_it(
        self, memory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = self.run(capsys, "verify", str(memory), "--deep", status=1)
        assert "costs the metadata of 2 chunks: 1-2" in out
        assert "unreadable no chunk" in out
        kept = "metadata that of 2 chunks: 1-2 cannot be used: it stays as it is, and no filter finds it"
        assert kept in self.run(capsys, "reindex", str(memory), "--model", "hashing")
        assert kept in self.run(capsys, "compact", str(memory))
        assert kept in self.run(capsys, "erase", str(memory), "--id", "3")
        (tmp_path / "more.txt").write_text("five compasses")
        out = self.run(capsys, "append", str(memory), str(tmp_path / "more.txt"), "--model", "hashing")
        assert kept in out
        out = self.run(capsys, "repair", str(memory), "-o", str(tmp_path / "new.mp4"))
        assert "metadata that of 2 chunks: 1-2 cannot be used, and is left out" in out

    def test_and_to_machines(self, memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for words in (["reindex", str(memory), "--model", "hashing"], ["compact", str(memory)]):
            assert json.loads(self.run(capsys, *words, "--json"))["unusable_metadata"] == [[1, 2]]
        out = json.loads(self.run(capsys, "search", str(memory), TEXTS[1], "--model", "hashing", "--json"))
        faults = {result["chunk_id"]: result.get("metadata_fault") for result in out["results"]}
        assert faults[0] is None
        assert "1e999" in faults[1]
