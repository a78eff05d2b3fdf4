"""Files of less than 2 MB that are no memories of memvid's own, and that unpack to far more, or ask for endless work.

Videos in other codecs, old memories, documents, conversations: each maker takes an empty folder and gives the file.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from tests.hostile.bombs import finder_pixels, target
from tests.video.video_support import box

__all__ = ["CONVERSATIONS", "DOCUMENTS", "FILMS"]

_MIB = 1 << 20


def film_of_one_picture(folder: Path) -> Path:
    """5,000 frames of 4K in which nothing moves, of 40 bytes each."""
    return _film(folder, [np.full((2304, 4096), 235, np.uint8)], repeats=5000)


def film_of_enough_pictures(folder: Path) -> Path:
    """As many frames of 4K in which nothing moves as may be, in a file made larger for them."""
    path = _film(folder, [np.full((2304, 4096), 235, np.uint8)], repeats=400)
    with path.open("ab") as file:
        file.write(box(b"free", bytes(1_850_000)))
    return path


def film_of_patterns(folder: Path) -> Path:
    """Pictures full of finder patterns, moving."""
    pixels = finder_pixels(1024, 1024)
    return _film(folder, [pixels, np.roll(pixels, 3, axis=1)], repeats=100)


def film_of_noise(folder: Path) -> Path:
    """As many pictures of 512 x 512 pixels of noise as there is room for."""
    rng = np.random.default_rng(3)
    return _film(folder, [rng.integers(0, 2, (512, 512), np.uint8) * 235 for _ in range(12)], repeats=1)


def film_in_vain(folder: Path) -> Path:
    """Pictures that are nearly the same, each with two hundred finder patterns far apart."""
    pixels = np.full((1024, 1024), 235, np.uint8)
    for top in range(0, 1024, 64):
        for left in range(0, 1024, 80):
            pixels[top : top + 21, left : left + 21] = np.kron(finder_pixels(7, 7), np.ones((3, 3), np.uint8))
    pictures = []
    for number in range(60):
        pictures.append(pixels.copy())
        pictures[-1][-8:, 8 * number : 8 * number + 8] = 16
    return _film(folder, pictures, repeats=40)


def old_codes_of_gzip(folder: Path) -> Path:
    """Codes of an old memory that each unpack to 2 MB."""
    codes = [_old_code(number, "x" * 2_000_000) for number in range(60)]
    return _film(folder, [_drawn(code) for code in codes], repeats=1)


def old_codes_of_brackets(folder: Path) -> Path:
    """Codes of an old memory of JSON that takes twenty times its memory."""
    codes = [_packed(b'{"text":"a","frame":%d,"a":[%s[]]}' % (number, b"[]," * 500_000)) for number in range(40)]
    return _film(folder, [_drawn(code) for code in codes], repeats=1)


def _packed(data: bytes) -> bytes:
    return b"GZ:" + base64.b64encode(gzip.compress(data, 9))


def _old_code(number: int, text: str) -> bytes:
    return _packed(json.dumps({"id": number, "text": text, "frame": number}).encode())


def _drawn(code: bytes) -> NDArray[np.uint8]:
    """A QR code at 4 pixels a module, on as many pixels as its version 40 needs."""
    modules = _core.create_symbol(code, _core.SymbolOptions(version=40))
    picture = np.full((752, 752), 235, np.uint8)
    drawn = np.kron(modules, np.ones((4, 4), np.uint8))
    picture[16 : 16 + drawn.shape[0], 16 : 16 + drawn.shape[1]] = np.where(drawn > 0, 235, 16)
    return picture


def _film(folder: Path, pictures: Sequence[NDArray[np.uint8]], *, repeats: int) -> Path:
    """An H.264 video of the pictures, in a circle; a frame in which nothing moves is the same few bytes again."""
    import av

    path = folder / "memory.mp4"
    target(folder)  # its index
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30)
        height, width = pictures[0].shape
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "30", "preset": "ultrafast", "g": "600", "bf": "0", "x264-params": "ref=1"}
        grey = np.full((height // 2, width), 128, np.uint8)
        packets = []
        for number, picture in enumerate(np.repeat(np.stack(pictures), 2, axis=0)):  # the second: nothing has changed
            frame = av.VideoFrame.from_ndarray(np.concatenate([picture, grey]), "yuv420p")
            frame.pts = number
            packets += [bytes(packet) for packet in stream.encode(frame)]
        packets += [bytes(packet) for packet in stream.encode(None)]
        shown = [*packets[:-1], *[packets[-1]] * repeats] if len(pictures) == 1 else packets * repeats
        size = 0
        for number, data in enumerate(shown):
            size += len(data) + 40
            if size > 1_800_000:
                break
            packet = av.Packet(data)
            packet.stream = stream
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, 30)
            packet.is_keyframe = number == 0
            container.mux(packet)
    return path


def lines_of_gzip(folder: Path) -> Path:
    """A gigabyte of JSON lines, one of them."""
    return _write(folder / "a.jsonl.gz", _gzip(b'{"text":"' + b"a" * 100, b"a" * _MIB, 1000))


def many_lines_of_gzip(folder: Path) -> Path:
    """A gigabyte of lines of a letter."""
    return _write(folder / "a.jsonl.gz", _gzip(b"", b'"a"\n' * (_MIB // 4), 1000))


def _gzip(head: bytes, block: bytes, count: int) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as file:
        file.write(head)
        for _ in range(count):
            file.write(block)
    return buffer.getvalue()


def book(folder: Path) -> Path:
    """An EPUB of eight chapters of 200 MB."""
    path = folder / "a.epub"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(
            "META-INF/container.xml", '<container><rootfiles><rootfile full-path="p.opf"/></rootfiles></container>'
        )
        items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(8))
        spine = "".join(f'<itemref idref="c{n}"/>' for n in range(8))
        archive.writestr("p.opf", f"<package><manifest>{items}</manifest><spine>{spine}</spine></package>")
        for number in range(8):
            archive.writestr(f"c{number}.xhtml", b"<p>" + b"a " * (25 * _MIB if number else 10 * _MIB))
    return path


def pages_of_pdf(folder: Path) -> Path:
    """A PDF whose one page unpacks to a gigabyte."""
    import zlib

    packer = zlib.compressobj(9)
    stream = b"".join([*(packer.compress(b"BT (a) Tj ET " * 80_000) for _ in range(1000)), packer.flush()])
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
        b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(stream), stream),
    ]  # fmt: skip
    data, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj" % number + content + b"endobj\n"
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    data += b"xref\n0 5\n0000000000 65535 f \n" + rows
    data += b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % data.rindex(b"xref\n0 5")
    return _write(folder / "a.pdf", data)


def deep_html(folder: Path) -> Path:
    """A page nested 300,000 deep."""
    return _write(folder / "a.html", b"<div>" * 300_000 + b"text")


def open_html(folder: Path) -> Path:
    """A page of tags that are never closed."""
    return _write(folder / "a.html", b"<a " * 600_000)


def comments_of_html(folder: Path) -> Path:
    """A page of comments that are never closed."""
    return _write(folder / "a.html", b"<!--" * 400_000)


def attributes_of_html(folder: Path) -> Path:
    """A tag of 600,000 attributes."""
    return _write(folder / "a.html", b"<a " * 600_000 + b">")


def sections_of_html(folder: Path) -> Path:
    """A page of marked sections and references that never end."""
    return _write(folder / "a.html", b"<![CDATA[" * 100_000 + b"&" * 800_000)


def slow_encoding(folder: Path) -> Path:
    """A page that says that it is in the encoding of host names."""
    return _write(folder / "a.html", b"<meta charset=punycode>" + b"a-b" * 500_000)


def deep_json(folder: Path) -> Path:
    """JSON nested a million deep."""
    return _write(folder / "a.json", b"[" * _MIB)


def wide_json(folder: Path) -> Path:
    """JSON of half a million lists of nothing."""
    return _write(folder / "a.json", b'{"text":"a","b":[' + b"[]," * 600_000 + b"[]]}")


def numbers_of_json(folder: Path) -> Path:
    """A number of a million digits."""
    return _write(folder / "a.json", b'{"text":"a","b":' + b"9" * _MIB + b"}")


def one_line(folder: Path) -> Path:
    """A text without a space."""
    return _write(folder / "a.txt", b"a" * 1_900_000)


def cells(folder: Path) -> Path:
    """A table of a million cells in a row."""
    return _write(folder / "a.csv", b"text" + b",a" * 900_000 + b"\n")


def deep_conversation(folder: Path) -> Path:
    """A conversation nested half a million deep."""
    return _write(folder / "chat.json", b'{"format":"memvid-chat","messages":' + b"[" * 500_000)


def long_conversation(folder: Path) -> Path:
    """A conversation of 600,000 messages of nothing."""
    head = b'{"format":"memvid-chat","version":1,"session_id":"a","system_prompt":null,"messages":['
    return _write(folder / "chat.json", head + b"{}," * 600_000 + b"{}]}")


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


Makers = dict[str, Callable[[Path], Path]]


def _by_name(*makers: Callable[[Path], Path]) -> Makers:
    return {maker.__name__: maker for maker in makers}


FILMS = _by_name(
    film_of_one_picture,
    film_of_enough_pictures,
    film_of_patterns,
    film_of_noise,
    film_in_vain,
    old_codes_of_gzip,
    old_codes_of_brackets,
)
"""Videos in other codecs, with the index of a memory beside them."""

DOCUMENTS = _by_name(
    lines_of_gzip, many_lines_of_gzip, book, pages_of_pdf, deep_html, open_html, comments_of_html, sections_of_html,
    attributes_of_html,     slow_encoding, deep_json, wide_json, numbers_of_json, one_line, cells,
)  # fmt: skip
"""What a memory is built from."""

CONVERSATIONS = _by_name(deep_conversation, long_conversation)
"""Saved chats."""
