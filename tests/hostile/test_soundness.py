"""What ``verify --deep`` calls sound, everything else works with: for any pages, behind checksums that are right.

``MEMVID_HOSTILE_EXAMPLES`` sets how many forgeries are tried for each kind of memory (default: 5, some seconds).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from memvid import MemvidEncoder
from memvid.errors import MemvidError, ModelMismatchError
from memvid.exchange import export
from memvid.index.location import find_index
from memvid.maintenance import compact, delete, erase, reindex, repair, verify
from memvid.page import read_metadata
from memvid.storage.commit import default_index_file
from tests.hostile.forgery import VERSION, Forgery, stored_chunks
from tests.hostile.forgery_changes import CHANGES, Draw
from tests.memory_support import EMBEDDER, build, make_texts, open_memory

EXAMPLES = int(os.environ.get("MEMVID_HOSTILE_EXAMPLES", "5"))
INDEX_CODES = {"manifest", "side file", "graph", "records", "commit"}
Chunks: TypeAlias = dict[int, tuple[bytes, bytes]]
"""Text and metadata by id."""

# The same forgeries each time unless a number is asked for: what a release is tested with does not depend on luck.
many = settings(
    max_examples=EXAMPLES,
    derandomize="MEMVID_HOSTILE_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


# --- memories to change

TEXTS = [*make_texts(8, words=5), "x" * 700]
METADATAS = [{"n": number, "of": "forgery"} for number in range(len(TEXTS))]


def plain(folder: Path) -> Path:
    return build(folder, TEXTS, metadatas=METADATAS, symbol_version=VERSION, compression="none", chunks_per_frame=3)


def packed(folder: Path) -> Path:
    texts, metadatas = make_texts(80, words=6), [{"n": number % 7} for number in range(80)]
    return build(folder, texts, metadatas=metadatas, symbol_version=VERSION, dictionary=1024)


def protected(folder: Path) -> Path:
    return build(folder, TEXTS, metadatas=METADATAS, symbol_version=VERSION, compression="none", parity=0.3)


def bare(folder: Path, count: int = 8) -> Path:
    return build(
        folder, TEXTS[:count], metadatas=METADATAS[:count], symbol_version=VERSION, compression="none",
        chunks_per_frame=1,
    )  # fmt: skip


def grown(folder: Path) -> Path:
    video = build(folder, TEXTS[:6], metadatas=METADATAS[:6], symbol_version=VERSION, compression="none")
    return grow(video, TEXTS[6:])


def grown_bare(folder: Path) -> Path:
    return grow(bare(folder, 5), TEXTS[5:8])


def grow(video: Path, texts: list[str]) -> Path:
    with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
        encoder.add_chunks(texts)
        encoder.delete([1, 3])
        encoder.set_metadata(2, {"n": 22})
        encoder.append()
    return video


MEMORIES = {make.__name__: make for make in (plain, packed, protected, bare, grown, grown_bare)}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MEMORIES.items()}


# --- what must hold


def keep_word(draw: Draw, video: Path) -> None:
    """Check that verify finds something in the pages, or all else works and keeps every text."""
    try:
        reindex(video, default_index_file(video), embedder=EMBEDDER)
    except MemvidError:
        codes = {finding.code for finding in verify(video, deep=True).findings}
        assert codes - INDEX_CODES, "verify finds nothing in pages of which no index can be made"
        try_verb(draw, video, _repair)
        return
    report = verify(video, deep=True)
    if {finding.code for finding in report.findings} - {"metadata"}:
        for verb in VERBS.values():
            try_verb(draw, video, verb)
        return
    before = stored_chunks(video)
    answer(video, before)
    for name, verb in VERBS.items():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copytree(video.parent, Path(folder) / "copy")) / video.name
            expected = dict(before)
            try:
                result = verb(draw, copy, expected)
            except MemvidError as error:
                raise AssertionError(f"verify calls it sound, and {name} raises {error!r}") from error
            after = stored_chunks(result)
            assert {chunk: text for chunk, (text, _) in after.items()} == {
                chunk: text for chunk, (text, _) in expected.items()
            }, name
            if name.startswith("repair"):
                expected = {chunk: (text, kept if usable(kept) else b"") for chunk, (text, kept) in expected.items()}
            assert after == expected, name
            if find_index(result).exists():
                codes = {finding.code for finding in verify(result, deep=True).findings}
                assert codes <= {"metadata"}, name
                answer(result, expected)


def usable(metadata: bytes) -> bool:
    return read_metadata(metadata).fault is None


def try_verb(draw: Draw, video: Path, verb: Callable[[Draw, Path, Chunks], Path]) -> None:
    """Have something done to a memory that is not sound: whatever comes of it, no untyped error may."""
    with tempfile.TemporaryDirectory() as folder, suppress(MemvidError):
        copy = Path(shutil.copytree(video.parent, Path(folder) / "copy")) / video.name
        verb(draw, copy, {0: (b"", b""), 1: (b"", b"")})


def answer(video: Path, chunks: Chunks) -> None:
    """Check that a retriever answers with these texts."""
    with open_memory(video) as memory:
        assert memory.chunk_ids() == sorted(chunks)
        texts = {chunk.chunk_id: chunk.text.encode() for chunk in memory.get_chunks_by_id(chunks)}
        assert texts == {chunk: text for chunk, (text, _) in chunks.items()}
        assert len(memory.search_results("backup of the server", 5)) == min(5, len(chunks))


def _repair(_: Draw, video: Path, __: Chunks) -> Path:
    new = video.with_name("new.mp4")
    repair(video, new, embedder=EMBEDDER)
    return new


def _repair_alone(draw: Draw, video: Path, chunks: Chunks) -> Path:
    video.with_name("memory_index.json").unlink()
    return _repair(draw, video, chunks)


def _reindex(_: Draw, video: Path, __: Chunks) -> Path:
    with suppress(ModelMismatchError):  # the header page may name any model
        reindex(video)
    return video


def _compact(_: Draw, video: Path, __: Chunks) -> Path:
    compact(video, embedder=EMBEDDER)
    return video


def _erase(draw: Draw, video: Path, chunks: Chunks) -> Path:
    if len(chunks) > 1:
        gone = draw(st.sampled_from(sorted(chunks)))
        erase(video, chunk_ids=[gone], embedder=EMBEDDER)
        del chunks[gone]
    return video


def _delete(draw: Draw, video: Path, chunks: Chunks) -> Path:
    if len(chunks) > 1:
        gone = draw(st.sampled_from(sorted(chunks)))
        delete(video, chunk_ids=[gone])
        del chunks[gone]
    return video


def _tag(draw: Draw, video: Path, chunks: Chunks) -> Path:
    if chunks:
        changed = draw(st.sampled_from(sorted(chunks)))
        with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
            encoder.set_metadata(changed, {"n": "changed"})
            encoder.append()
        chunks[changed] = (chunks[changed][0], b'{"n":"changed"}')
    return video


def _append(_: Draw, video: Path, chunks: Chunks) -> Path:
    with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
        encoder.add_chunks(["one more"], metadatas=[{"n": 1}])
        chunks[encoder.append().first_chunk] = (b"one more", b'{"n":1}')
    return video


def _export(_: Draw, video: Path, __: Chunks) -> Path:
    export(video, video.with_name("other.mp4"), codec="png")
    return video.with_name("other.mp4")


VERBS: dict[str, Callable[[Draw, Path, Chunks], Path]] = {
    "repair": _repair,
    "repair without an index": _repair_alone,
    "reindex": _reindex,
    "compact": _compact,
    "erase": _erase,
    "delete": _delete,
    "tag": _tag,
    "append": _append,
    "export": _export,
}


@pytest.mark.parametrize("name", MEMORIES)
@many
@given(data=st.data())
def test_what_verify_calls_sound_can_be_maintained(originals: dict[str, Path], name: str, data: st.DataObject) -> None:
    forgery = Forgery(originals[name])
    for change in data.draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3)):
        change(data.draw, forgery)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "memory" / "memory.mp4"
        video.parent.mkdir()
        assume(forgery.write(video))
        keep_word(data.draw, video)


@pytest.mark.parametrize("name", MEMORIES)
def test_what_was_not_changed_is_sound(originals: dict[str, Path], name: str, tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    video = tmp_path / "memory" / "memory.mp4"
    assert Forgery(originals[name]).write(video)
    keep_word(lambda _: 0, video)
