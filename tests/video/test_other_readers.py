"""Readers that are not ours, on our codes: those that are installed here, and those in the folder $MEMVID_READERS.

``tools/readers/__main__.py`` says what belongs into the folder, and makes the table of docs/codecs.md of the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memvid import _core
from tools.readers.adapters import Found, Reader, python_readers, readers_in, reads_bytes, reads_texts
from tools.readers.samples import TEXTS, Sample, page_samples, text_samples

FOLDER = os.environ.get("MEMVID_READERS")
PAGES = {"zxing-cpp": 20, "quirc": 20, "rxing": 20, "zbar": 20, "jsQR": 20, "BoofCV": 20, "ZXing (Java)": 17}
"""How many of twenty pages each must read, at least: the others may or may not."""
ALL = [
    *(*PAGES, "@zxing/library", "html5-qrcode"),
    *("OpenCV, QRCodeDetector", "OpenCV, QRCodeDetectorAruco", "WeChat (OpenCV contrib)"),
]
PIXELS = 3


@pytest.fixture(scope="module")
def pages() -> list[Sample]:
    return page_samples(pixels=PIXELS)


@pytest.fixture(scope="module")
def texts() -> list[Sample]:
    return text_samples(pixels=PIXELS)


@pytest.fixture(scope="module")
def reader_of() -> Callable[[str], Reader]:
    readers = {reader.name: reader for reader in python_readers() + (readers_in(Path(FOLDER)) if FOLDER else [])}
    assert set(readers) <= set(ALL)

    def find(name: str) -> Reader:
        if name not in readers:
            pytest.skip(f"{name} is not installed")
        return readers[name]

    return find


def test_the_samples_are_what_a_memory_is_made_of(pages: list[Sample], texts: list[Sample], tmp_path: Path) -> None:
    assert len(pages) == len(texts) == len(set(TEXTS)) == 20
    assert all(len(sample.payload) > 2700 for sample in pages)  # full: their chunks end where they end
    assert max(sample.pixels.shape[0] for sample in texts) <= (4 * 10 + 17 + 8) * PIXELS
    writer = _core.FrameWriter(tmp_path / "a.mp4", _core.SymbolOptions(version=40))
    writer.write([sample.payload for sample in pages])
    writer.finish(b"")
    reader = _core.FrameReader(tmp_path / "a.mp4")
    for number, sample in enumerate(pages):
        drawn, shown = reader.read_pixels(number) < 128, sample.pixels[::PIXELS, ::PIXELS] < 128
        assert np.array_equal(drawn[np.ix_(drawn.any(1), drawn.any(0))], shown[4:-4, 4:-4])


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_read_byte_for_byte(name: str, pages: list[Sample], reader_of: Callable[[str], Reader]) -> None:
    assert sum(reads_bytes(reader_of(name), pages)) >= PAGES[name]


@pytest.mark.parametrize("name", ALL)
def test_every_reader_shows_every_text(name: str, texts: list[Sample], reader_of: Callable[[str], Reader]) -> None:
    right = reads_texts(reader_of(name), texts)
    assert [text for text, shown in zip(TEXTS, right, strict=True) if not shown] == []


def test_what_a_reader_hands_out_is_compared() -> None:
    payload = b"\x89MV\x00\xe9"
    assert Found(payload).holds(payload)
    assert Found(text=payload.decode("latin-1")).holds(payload)
    assert Found(payload, "anything").holds(payload)
    for wrong in (Found(), Found(b"\x89MV"), Found(text="MV"), Found(b"", payload.decode("latin-1"))):
        assert not wrong.holds(payload)
    assert Found("é".encode()).says("é")
    assert Found(b"?", "é").says("é")
    for wrong in (Found(), Found(b"\xe9"), Found("é".encode(), "Ã©")):
        assert not wrong.says("é")
