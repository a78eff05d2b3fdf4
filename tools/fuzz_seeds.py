"""First inputs for the fuzz targets in ``cpp/fuzz``, made by our own writers. ``tools/fuzz.py`` runs it.

The layouts are those that each target takes apart; see the start of its ``LLVMFuzzerTestOneInput``.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import zstandard

from memvid import _core
from memvid.config import EncoderConfig
from memvid.index.vectors import VectorWriter
from memvid.page import PageBody, PageFlag, PageKind, Record, encode_body, seal
from memvid.storage.inner_index import Stretch, put_index
from memvid.video import VideoWriter

__all__ = ["write_seeds"]

_TAG = 0x1234ABCD
_TEXTS = [f"Seed number {number}: the backup of the {word} runs at night." for number, word in enumerate("abcdefg")]


def write_seeds(folder: Path) -> None:
    """Write the seeds of each target into ``folder/<target>``."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        videos = _videos(scratch)
        graphs = list(_hnsw(scratch))
        codes = list(_codes(scratch))
        postings = list(_postings(scratch))
        candidates = list(_candidates(scratch))
        fields = list(_fields(scratch))
        appends = list(_append(videos, scratch))
    makers: dict[str, Iterable[bytes]] = {
        "mp4": _mp4(videos),
        "png": _png(videos),
        "page": _page(),
        "qr": _qr(),
        "picture": _picture(),
        "hnsw": graphs,
        "codes": codes,
        "postings": postings,
        "candidates": candidates,
        "fields": fields,
        "append": appends,
        "video": videos,
    }
    for target, seeds in makers.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (folder / target / f"seed{number:02}").write_bytes(seed)


def _videos(scratch: Path) -> list[bytes]:
    """Videos of few small frames: pages, runs, bare texts."""
    videos = []
    for number, pages in enumerate((_data_pages(), _run_pages(), [text.encode() for text in _TEXTS[:3]])):
        path = scratch / f"video{number}.mp4"
        writer = VideoWriter(path, EncoderConfig(symbol_version=5), tag=_TAG)
        writer.write(pages)
        writer.finish()
        videos.append(path.read_bytes())
    return videos


def _data_pages() -> list[bytes]:
    compressor = zstandard.ZstdCompressor(19, write_content_size=True, write_checksum=False)
    pages = []
    for number, flags in enumerate((0, PageFlag.ZSTD)):
        records = [Record(b"chunk %d" % i * 4, b'{"n":1}' if i % 2 else b"") for i in range(2)]
        body = encode_body(records)
        stored = compressor.compress(body) if flags else body
        page = PageBody(PageKind.DATA, int(flags), 2, 2 * number, stored)
        pages.append(seal(page, tag=_TAG, page_number=number))
    return pages


def _run_pages() -> list[bytes]:
    body = encode_body([Record(b"a long text, " * 12)])
    slices = [body[:64], body[64:128], body[128:]]
    return [
        seal(
            PageBody(
                PageKind.CONTINUATION if part else PageKind.DATA,
                int(PageFlag.RUN),
                0 if part else 1,
                0,
                struct.pack("<II", part, len(slices)) + data,
            ),
            tag=_TAG,
            page_number=part,
        )
        for part, data in enumerate(slices)
    ]


def _mp4(videos: list[bytes]) -> Iterator[bytes]:
    for video in videos[:3]:
        yield b"\0" + video
        yield b"\1" + video[video.index(b"mdat") - 4 :]
        yield b"\2" + video[video.index(b"moov") + 4 :]
        yield b"\3" + video[video.index(b"trak") + 4 :]


def _append(videos: list[bytes], scratch: Path) -> Iterator[bytes]:
    """Videos as they are, with an append that was not committed, and with one that was; with an index inside, too."""
    path, part = scratch / "grown.mp4", scratch / "part"
    part.write_bytes(bytes(range(100)))
    for mode, video in enumerate(videos):
        yield bytes([mode, 0, 0, 40]) + b"x" * 41 + video
        path.write_bytes(video)
        writer = _core.FrameWriter.append_to(path, _core.SymbolOptions(version=5), threads=1)
        writer.write([b"appended"])
        writer.finish(b"table")
        head = struct.pack("<HB", writer.mark, 3) + b"page"
        del writer
        yield bytes([3]) + head + path.read_bytes()
        _core.commit_append(path, len(video))
        yield bytes([mode]) + head + path.read_bytes()
        path.write_bytes(video)
        put_index(path, [Stretch(part, 0, 100)], lambda offsets: b"%d" % offsets[0])
        yield bytes([mode]) + head + path.read_bytes()
        writer = _core.FrameWriter.append_to(path, _core.SymbolOptions(version=5), threads=1)
        writer.finish(b"table")
        head = struct.pack("<HB", writer.mark, 3) + b"page"
        put_index(path, [Stretch(part, 0, 64), Stretch(part, 0, 9)], lambda offsets: b"%d" % offsets[1])
        yield bytes([3]) + head + path.read_bytes()
        _core.commit_append(path, writer.mark)
        del writer
        yield bytes([mode]) + head + path.read_bytes()


def _png(videos: list[bytes]) -> Iterator[bytes]:
    for video in videos[:2]:
        picture = video[video.index(b"\x89PNG") : video.index(b"IEND") + 8]
        width, height = struct.unpack(">II", picture[16:24])
        yield struct.pack("<BHH", 0, width - 1, height - 1) + picture
    for filters in (b"\0\1\2\3\4", b"\4\3", b"\5"):
        rows = b"".join(bytes([kind, 0xA5, 0x0F, kind * 17]) for kind in filters)
        yield struct.pack("<BHHB", 1, 23, 19, 3) + rows


def _other_pages() -> list[bytes]:
    """A page of each kind in the newest version, then the same in the first one; those with chunks have none."""
    newest = [
        seal(PageBody(kind, 0, 0, 0, b"{}"), tag=_TAG, page_number=number) for number, kind in enumerate(PageKind)
    ]
    return newest[2:] + [page[:3] + b"\1" + page[4:] for page in newest[2:]]


def _page() -> Iterator[bytes]:
    others = _other_pages()
    for pages in (
        _data_pages(),
        [page[:3] + b"\1" + page[4:] for page in _data_pages()],
        _run_pages(),
        others[:7],
        others[7:],
    ):
        frames = b"".join(
            bytes([1 | (len(pages) - 1) << 4 if pages[0][5] & 4 else 1]) + b"\0\2" + struct.pack("<H", len(page)) + page
            for page in pages
        )
        yield bytes([0, len(pages) - 1, 0]) + frames
    body = encode_body([Record(text.encode(), b"{}") for text in _TEXTS])
    dictionary = zstandard.train_dictionary(
        256, [f"{text} {number} and some more words of noise".encode() for number in range(300) for text in _TEXTS]
    ).as_bytes()
    for keyed in (None, zstandard.ZstdCompressionDict(dictionary)):
        compressor = zstandard.ZstdCompressor(19, dict_data=keyed, write_dict_id=False)
        head = b"\1\0" if keyed is None else b"\1\1" + struct.pack("<H", len(dictionary)) + dictionary
        yield head + struct.pack("<H", len(_TEXTS)) + compressor.compress(body)
    yield b"\2" + struct.pack("<H", len(_TEXTS)) + body


def _qr() -> Iterator[bytes]:
    for mode in (0, 1, 3, 5):
        yield bytes([mode, 0, 0]) + b"any modules"
        yield bytes([mode, 0x86, 0x21]) + bytes(range(200))
    for kind in range(4):
        yield bytes([3, 6, kind | 0x20 * (kind % 2)]) + _TEXTS[kind].encode()
    yield bytes([4, 0xE6, 5]) + b"8675309 HELLO WORLD $%*+-./: \x89MV\0\xff"


def _picture() -> Iterator[bytes]:
    yield bytes([0, 20, 20, 0, 255, 128, 16])
    for first in (2, 7, 0x47):
        for shape in (0, 5, 0x1A, 0x3F):
            yield bytes([first, shape, 3, 9]) + struct.pack("<HBB", 700, 30, 128)


def _hnsw(scratch: Path) -> Iterator[bytes]:
    rng = np.random.default_rng(1)
    query = rng.standard_normal(8).astype(np.float32).tobytes()
    for kind, dtype in enumerate(("i8", "f16", "f32")):
        head = bytes([0, kind, 19, 7, 5, 16, 3]) + query
        writer = VectorWriter(dim=8, dtype=dtype, connectivity=4, expansion_add=16)
        writer.add(0, rng.standard_normal((20, 8)).astype(np.float32))
        writer.save(scratch / "graph")
        yield head + (scratch / "graph").read_bytes()
        yield b"\1" + head[1:] + rng.integers(0, 250, 1200, dtype=np.uint8).tobytes()
        shared = bytes([head[1], 16, *head[3:7], 7, 2]) + b"\xff\x7f\xff\xff\xff\x0f" + query  # 17 vectors, 3 copies
        writer = VectorWriter(dim=8, dtype=dtype, connectivity=4, expansion_add=16)
        writer.add(0, rng.standard_normal((17, 8)).astype(np.float32)[[*range(9), 2, 2, *range(9, 17), 5]])
        writer.save(scratch / "graph")
        yield b"\x80" + shared + (scratch / "graph").read_bytes()
        yield b"\x81" + shared + rng.integers(0, 250, 1200, dtype=np.uint8).tobytes()


def _codes(scratch: Path) -> Iterator[bytes]:
    rng = np.random.default_rng(4)
    for kind, dtype in enumerate(("code4", "code1")):
        for shape in (0, 2, 30):  # with copies; with rows that may be found, and a walk that gives up
            copies = [3, 5] if shape & 2 else []
            head = bytes([kind | shape, 19, 19, *([1] if copies else []), 7, 16, 3])
            head += b"\xff\xff\xff\x0f" if shape & 4 else b""
            head += rng.integers(0, 256, 20, np.uint8).tobytes()
            writer = VectorWriter(dim=20, dtype=dtype, connectivity=4, expansion_add=16)
            writer.add(0, rng.standard_normal((20, 20)).astype(np.float32)[[*range(20), *copies]])
            writer.save(scratch / "codes")
            yield b"\0" + head + (scratch / "codes").read_bytes()
            yield b"\1" + head + rng.integers(0, 250, 1500, dtype=np.uint8).tobytes()
            yield b"\2" + head + rng.integers(0, 256, 1200, dtype=np.uint8).tobytes()


def _postings(scratch: Path) -> Iterator[bytes]:
    rng = np.random.default_rng(2)
    terms = b"".join(bytes([len(term)]) + term for term in (b"w1", b"w2", b"w7", b"w30", b"every", b"none"))
    head = bytes([19, 7, 6]) + terms
    for rows in (0, 40, 700):
        numbers = np.exp(rng.random((rows, 8)) * np.log(60)).astype(int).tolist()
        texts = ["every " + " ".join(f"w{number}" for number in row) for row in numbers]
        path = scratch / "postings"
        path.write_bytes(b"")
        writer = _core.PostingsWriter()
        writer.add(texts)
        writer.finish(path, 0)
        yield b"\0" + head + path.read_bytes()
        yield b"\1" + head + rng.integers(0, 256, 1500, np.uint8).tobytes()
        yield b"\2" + head + "\0".join(texts[:60]).encode()


def _candidates(scratch: Path) -> Iterator[bytes]:
    """One segment and two: as our writers make them, with parts of any bytes, and such that do not fit each other."""
    rng = np.random.default_rng(5)
    terms = bytes([3, 0, 1, 0x82]) + b"w1"
    for kind, dtype in enumerate(("i8", "f16", "f32", "code4", "code1")):
        asked = rng.integers(1, 120, 8, np.uint8).tobytes() + 2 * terms
        for flags, lie in ((0x06, 0), (0x0E, 0), (0x1F, 0), (0x07, 0), (0x07, 1 + kind % 3)):
            for made in (3, 2, 0):  # by our writers: graph and words, words, neither
                head, parts = b"", b""
                for rows in (20, 17) if flags & 1 else (20,):
                    graph, words = _segment(scratch, rng, rows, dtype)
                    graph = graph if made & 1 else rng.integers(0, 250, 700, np.uint8).tobytes()
                    words = words if made & 2 else rng.integers(0, 250, 300, np.uint8).tobytes()
                    walk = (0, 0, 0) if dtype == "code1" else (16, 20, 8)
                    head += bytes([made, rows - 3, 2, *walk]) + struct.pack("<HH", len(graph), len(words))
                    parts += graph + words
                head = (
                    head.ljust(20, b"\0")
                    + b"\xb7\xed\x7b\xdf\xfe\xb6\xdb\x6f"
                    + bytes([0, 9, 25, 255] if flags & 8 else [255] * 4)
                )
                yield bytes([flags, lie, 5, 4, kind, 7]) + head + struct.pack("<H", len(asked)) + asked + parts


def _segment(scratch: Path, rng: np.random.Generator, rows: int, dtype: str) -> tuple[bytes, bytes]:
    """A graph of vectors of which the last two are copies, and the words of as many texts."""
    writer = VectorWriter(dim=8, dtype=dtype, connectivity=4, expansion_add=16)
    writer.add(0, rng.standard_normal((rows, 8)).astype(np.float32)[[*range(rows - 2), 2, 5]])
    writer.save(scratch / "graph")
    words = _core.PostingsWriter()
    words.add([f"every w{row % 3} v{row % 7}" for row in range(rows)])
    (scratch / "postings").write_bytes(b"")
    words.finish(scratch / "postings", 0)
    return (scratch / "graph").read_bytes(), (scratch / "postings").read_bytes()


def _fields(scratch: Path) -> Iterator[bytes]:
    rng = np.random.default_rng(3)
    asked = b"\1\2n7" + b"\2\1a\1z\0\2zz" + b"\1\1\1b"  # a term, two ranges, and what they are to have in them
    rows = [{b"n%d" % (row % 9), b"even" if row % 2 else b"zebra"} for row in range(300)]
    path = scratch / "fields"
    path.write_bytes(b"")
    writer = _core.PostingsWriter()
    writer.add_terms([list(row) for row in rows])
    writer.finish(path, 0)
    yield b"\0" + asked + path.read_bytes()
    yield b"\1" + asked + rng.integers(0, 256, 900, np.uint8).tobytes()
    yield b"\2" + asked + b"\0".join(b"".join(term + b"\2" for term in sorted(row)) for row in rows[:60])
