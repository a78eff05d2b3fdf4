"""Pages that are whole and true to their checksums, and say what no memory of memvid's says.

Each of these could be read, and kept a repair, compaction, append or export from its work, or lost something there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pytest

from memvid import MemvidEncoder
from memvid.errors import MemvidError
from memvid.maintenance import compact, verify
from memvid.page import ChunkIds, PageKind, Record, encode_tombstones
from memvid.video import BARE
from tests.hostile.forgery import Forgery, Page
from tests.hostile.test_soundness import MEMORIES
from tests.memory_support import EMBEDDER

Change = Callable[[Forgery], object]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, session_cache: None) -> dict[str, Path]:
    return {name: MEMORIES[name](tmp_path_factory.mktemp(name)) for name in ("plain", "packed", "protected", "bare")}


def parameter(**values: object) -> Change:
    return lambda forgery: forgery.set_header({**(forgery.header or {}), **values})


def page(kind: int, body: bytes = b"", *, at: int | None = None, flags: int = 0, first_chunk: int = 0) -> Change:
    new = Page(kind, flags, 0, first_chunk, body)
    return lambda forgery: forgery.pages.insert(len(forgery.pages) if at is None else at, new)


def copy(kind: int) -> Change:
    """Of all pages of the header page, or of the dictionary: the same pages once more, at the end."""

    def change(forgery: Forgery) -> None:
        start = next(at for at, page in enumerate(forgery.pages) if page.kind == kind)
        rest = takewhile(lambda page: page.kind == PageKind.CONTINUATION, forgery.pages[start + 1 :])
        forgery.pages += [replace(page) for page in (forgery.pages[start], *rest)]

    return change


def chunks(kind: int, first_chunk: int, *metadatas: bytes, text: bytes = b"") -> Change:
    new = Page(kind, 0, 0, first_chunk, b"")
    new.put([Record(text, metadata) for metadata in metadatas])
    return lambda forgery: forgery.pages.append(new)


def deletions(*ranges: tuple[int, int]) -> Change:
    return page(PageKind.TOMBSTONES, encode_tombstones(ChunkIds.of_ranges(ranges)))


def last_of(kind: int, /, **values: object) -> Change:
    def change(forgery: Forgery) -> None:
        found = [page for page in forgery.pages if page.kind == kind][-1]
        for name, value in values.items():
            setattr(found, name, value)

    return change


def both(*changes: Change) -> Change:
    return lambda forgery: [change(forgery) for change in changes]


SHALLOW: list[tuple[str, Change, str, str]] = [
    ("plain", parameter(symbol_version=0), "header", "symbol_version=0"),
    ("plain", parameter(symbol_version=41), "header", "symbol_version=41"),
    ("plain", parameter(symbol_version=1), "header", "bytes is too small"),
    ("plain", parameter(symbol_version=11), "container", "symbols of version 11 take png of"),
    ("plain", parameter(error_correction="X"), "header", "error_correction='X'"),
    ("plain", parameter(compression="lzma"), "header", "compression='lzma'"),
    ("plain", parameter(compression_level=23), "header", "compression_level=23"),
    ("plain", parameter(chunks_per_frame=1), "header", "bare=False with compression='none' and chunks_per_frame=1"),
    ("plain", parameter(chunks_per_frame=70000), "header", "chunks_per_frame=70000"),
    ("plain", parameter(parity=1.5), "header", "parity=1.5"),
    ("plain", parameter(parity=float("nan")), "header", "parity=nan"),
    ("plain", parameter(next_chunk=1 << 40), "chunks", "nothing can be added"),
    ("bare", parameter(compression="zstd"), "header", "bare=True with compression='zstd'"),
    ("packed", parameter(dictionary_bytes=7), "header", "the dictionary has 7 bytes, and it has 1024"),
    ("plain", deletions(((1 << 32) - 2,) * 2, ((1 << 33) - 9,) * 2), "chunks", "nothing can be added"),
    ("plain", both(deletions((1, (1 << 32) - 1)), deletions((1 << 31, (1 << 32) + 9))), "tombstones", "in a row"),
]  # fmt: skip

DEEP: list[tuple[str, Change, str, str]] = [
    ("plain", parameter(bare=True, chunks_per_frame=1), "page", "a DATA page in a memory that is bare"),
    ("bare", parameter(bare=False, chunks_per_frame=None), "page", "a bare text in a memory that is not bare"),
    ("plain", parameter(error_correction="H"), "page", "as the header page says frames are made they hold"),
    ("plain", parameter(parity=0.5), "page", "as the header page says frames are made they hold"),
    ("plain", page(PageKind.HEADER, b'{}\n'), "page", "another HEADER page than the first one"),
    ("plain", both(copy(PageKind.HEADER), copy(PageKind.HEADER)), "page", "a HEADER page"),
    ("packed", both(copy(PageKind.HEADER), page(PageKind.DICTIONARY, b"x")), "page", "another DICTIONARY page"),
    ("packed", copy(PageKind.DICTIONARY), "page", "the dictionary is not behind the header page"),
    ("plain", page(PageKind.DICTIONARY, b"x"), "page", "the dictionary is not behind the header page"),
    ("packed", page(PageKind.DICTIONARY, b"x"), "page", "the dictionary is not behind the header page"),
    ("plain", page(PageKind.TOMBSTONES, b"\x01\x01", first_chunk=1 << 63), "page", "names 0 chunks from"),
    ("plain", last_of(PageKind.DATA, kind=PageKind.ATTRIBUTES), "page", "ATTRIBUTES page in a memory that is not bare"),
    ("bare", page(PageKind.CONTINUATION, at=-1), "page", "it continues no page"),
    ("protected", page(PageKind.CONTINUATION, b"\1\0\0\0\2\0\0\0x", flags=4), "page", "it continues no page"),
    ("protected", last_of(PageKind.PARITY, tag=7), "page", "belongs to memory 07000000"),
    ("protected", last_of(PageKind.PARITY, number=0), "page", "holds page 0"),
    ("protected", last_of(PageKind.PARITY, flags=1), "page", "a PARITY page has the flags 0x1"),
    ("bare", chunks(PageKind.ATTRIBUTES, 8, b'{"a":1}'), "page", "metadata of chunk 8, and the next one is 8"),
    ("bare", chunks(PageKind.ATTRIBUTES, 3, b'{"a":1}'), "page", "metadata of chunk 3 behind that of 7"),
    ("bare", chunks(PageKind.ATTRIBUTES, 1 << 63, b'{"a":1}'), "page", "ids end at"),
    ("bare", chunks(PageKind.ATTRIBUTES, (1 << 62) - 1, b'{"a":1}'), "page", "and the next one is 8"),
    ("bare", chunks(PageKind.ATTRIBUTES, (1 << 64) - 1, b'{"a":1}'), "page", "ids end at"),
    ("bare", both(parameter(next_chunk=20), chunks(PageKind.ATTRIBUTES, 9, b"", text=b"x")), "page", "has texts"),
]  # fmt: skip


def forged(folder: Path, original: Path, change: Change) -> Path:
    """A copy of a memory with other pages, and the index of the old ones."""
    forgery = Forgery(original)
    change(forgery)
    video = Path(shutil.copytree(original.parent, folder / "forged")) / original.name
    assert forgery.write(video)
    return video


@pytest.mark.parametrize(
    ("name", "change", "code", "message"), SHALLOW, ids=[f"{row[0]} {row[3][:30]}" for row in SHALLOW]
)
def test_what_a_memory_says_of_itself(
    originals: dict[str, Path], tmp_path: Path, name: str, change: Change, code: str, message: str
) -> None:
    findings = verify(forged(tmp_path, originals[name], change)).findings
    assert [finding for finding in findings if finding.code == code and message in finding.message], findings


@pytest.mark.parametrize(("name", "change", "code", "message"), DEEP, ids=[f"{row[0]} {row[3][:30]}" for row in DEEP])
def test_what_a_page_says_of_itself(
    originals: dict[str, Path], tmp_path: Path, name: str, change: Change, code: str, message: str
) -> None:
    findings = verify(forged(tmp_path, originals[name], change), deep=True).errors
    found = [finding for finding in findings if finding.code == code]
    assert any(message in finding.message and not finding.chunks for finding in found), findings


def test_a_page_table_that_is_not_what_the_pages_say(originals: dict[str, Path], tmp_path: Path) -> None:
    """Ids left out before a page without chunks: nothing is read wrong, but no rewriting comes to the same table."""
    forgery = Forgery(originals["plain"])
    deletions((0, 0))(forgery)
    last_of(PageKind.DATA)(forgery)
    video = Path(shutil.copytree(originals["plain"].parent, tmp_path / "forged")) / "memory.mp4"
    table = forgery.make_table(forgery.payloads())
    gaps = bytearray(4 * len(forgery.pages))
    gaps[-4] = 3  # before the list of deletions, behind all chunks
    flagged = table[:6] + b"\1\0" + table[8:] + bytes(gaps)
    assert forgery.write(video, flagged)
    assert "page table" in [finding.code for finding in verify(video, deep=True).errors]


def test_a_file_that_nothing_can_be_put_behind(originals: dict[str, Path], tmp_path: Path) -> None:
    """It can be read, so it is a warning; compaction writes a file that can grow."""
    video = Path(shutil.copytree(originals["plain"].parent, tmp_path / "copy")) / "memory.mp4"
    with video.open("ab") as file:
        file.write(bytes(100))
    report = verify(video)
    assert report.ok
    (finding,) = report.findings
    assert (finding.severity, finding.code) == ("warning", "container")
    assert "nothing be added or deleted" in finding.message

    def append() -> None:
        with MemvidEncoder.open(video, embedder=EMBEDDER) as encoder:
            encoder.add_chunks(["one more"])
            encoder.append()

    with pytest.raises(MemvidError, match="cannot be appended to"):
        append()
    compact(video, embedder=EMBEDDER)
    assert verify(video, deep=True).findings == ()
    append()


def test_bare_frames_are_told_by_the_table(originals: dict[str, Path]) -> None:
    assert [page.kind for page in Forgery(originals["bare"]).pages].count(BARE) == 8


def test_a_chunk_that_no_page_could_hold_again(
    originals: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = forged(tmp_path, originals["plain"], lambda _: None)
    monkeypatch.setattr("memvid.page.packing.MAX_CHUNK_BYTES", 600)
    (finding,) = verify(video, deep=True).errors
    assert (finding.code, finding.chunks) == ("page", ())
    assert "chunk 8 has " in finding.message
