"""Codes to show to readers: pages of a memory, and plain texts in small codes."""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import segno
from numpy.typing import NDArray

from memvid import MemvidEncoder, _core
from memvid.demo import load_topics
from memvid.page import PageKind
from memvid.video import VideoReader

__all__ = ["TEXTS", "Sample", "page_samples", "text_samples"]

COUNT = 20
_QUIET = 4
_MOST_ALPHANUMERIC = 4296  # characters in a code of version 40-L
_BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

TEXTS = (
    "The backup of the billing database runs at 3 in the morning.",
    "Support: a user could not log in on March 2.\nError 500 on the signup page, March 4.",
    "https://example.org/notes?id=8675309#top",
    "31415926535897932384626433832795028841971693993751",
    "HELLO WORLD $1.00 * 50 % + 7 / 3 - 2: THE END",
    "Grüße aus München: Ärger über Öl, größer als süß.",
    "Le café à la crème coûte 3 € à Noël, où ça ?",
    "El niño comió piñas: ¿cuándo será mañana?",
    "Zażółć gęślą jaźń, příliš žluťoučký kůň",
    "Съешь же ещё этих мягких французских булок",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "我们昨天决定了什么备份？每天凌晨三点。",
    "いろはにほへと ちりぬるを わかよたれそ",
    "ﾊﾝｶｸ ｶﾅ と 全角カナ",
    "다람쥐 헌 쳇바퀴에 타고파",
    "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ",
    "דג סקרן שט בים מאוכזב",
    "ऋषियों को सताने वाले दुष्ट राक्षसों",
    "🙂 👩‍👩‍👧 🇫🇷 naïve ☕ – “quoted”",
    "memvid memory: Café notes 2026\n516 chunks in 34 pages, 2026-11-27\n"
    'Each frame of this video is a QR code. Read on: pip install memvid; memvid search memory.mp4 "a question"',
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A code, and what a reader must make of it.

    :ivar name: that of its picture.
    :ivar payload: the bytes in it, of a text its UTF-8.
    :ivar pixels: ``uint8[height, width]``, 0 black, several pixels a module, with a quiet zone.
    """

    name: str
    payload: bytes
    pixels: NDArray[np.uint8]


def page_samples(*, pixels: int, base45: bool = False) -> list[Sample]:
    """Pages of version 40, level L, of a memory of the Python language reference.

    :param pixels: a module.
    :param base45: the same bytes in alphanumeric mode, two of them three characters (RFC 9285), the last 3 % left out.
    """
    samples = []
    for number, page in enumerate(_pages()):
        if base45:
            text = _to_base45(page)[:_MOST_ALPHANUMERIC]
            code = segno.make(text, version=40, error="L", mode="alphanumeric", mask=0, boost_error=False, micro=False)
            dark = np.array([list(row) for row in code.matrix], np.uint8)
            samples.append(Sample(f"base45-{number:02}", text.encode(), _picture((1 - dark) * np.uint8(255), pixels)))
        else:
            modules = _core.create_symbol(page, _core.SymbolOptions(version=40))
            samples.append(Sample(f"page-{number:02}", page, _picture(modules, pixels)))
    return samples


def text_samples(*, pixels: int, eci: bool = True) -> list[Sample]:
    """Texts as bare texts and covers have them, in codes up to version 10.

    :param pixels: a module.
    :param eci: ``False`` leaves out what memvid puts before those that are not ASCII: that they are UTF-8.
    """
    samples = []
    for number, text in enumerate(TEXTS):
        payload = text.encode()
        options = (_core.SymbolOptions(version=version, utf8=eci) for version in range(1, 11))
        fitting = next(option for option in options if _core.symbol_capacity(option) >= len(payload))
        samples.append(Sample(f"text-{number:02}", payload, _picture(_core.create_symbol(payload, fitting), pixels)))
    return samples


@cache
def _pages() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "memory.mp4"
        encoder = MemvidEncoder(embedder=_embed, dictionary=0)
        for text in load_topics().values():
            encoder.add_text(text)
        encoder.build_video(video)
        reader = VideoReader(video)
        data = np.flatnonzero(reader.table.kinds == PageKind.DATA)[:COUNT]
        return reader.read(data)


def _embed(texts: list[str]) -> NDArray[np.float32]:
    """Vectors that mean nothing: only the pages are of interest."""
    seeds = [zlib.crc32(text.encode()) for text in texts]
    return np.array([np.random.default_rng(seed).standard_normal(8) for seed in seeds], np.float32)


def _to_base45(data: bytes) -> str:
    out = []
    for at in range(0, len(data) - 1, 2):
        value = data[at] << 8 | data[at + 1]
        out += [_BASE45[value % 45], _BASE45[value // 45 % 45], _BASE45[value // 2025]]
    return "".join(out)


def _picture(modules: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    border = np.pad(modules, _QUIET, constant_values=255)
    return border.repeat(pixels, axis=0).repeat(pixels, axis=1)
