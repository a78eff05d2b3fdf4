"""Print how many of memvid's codes other readers read, as a table in Markdown.

::

    mkdir readers && cd readers
    npm install jsqr @zxing/library html5-qrcode rxing-wasm
    cp /usr/share/java/core.jar zxing.jar                     # Debian's libzxing-core-java
    pip install --target python pyquirc rxing pyboof opencv-contrib-python-headless
    cp python/pyboof/PyBoof-all.jar boofcv.jar
    cd .. && PYTHONPATH=readers/python python -m tools.readers readers

What is not there is left out; zbar is the system's ``zbarimg``. Bytes are compared with those that were drawn: where a
reader has only text, each character must be one of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.readers.adapters import python_readers, readers_in, reads_bytes, reads_texts
from tools.readers.samples import page_samples, text_samples


def main() -> None:
    """Read all codes with all readers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], prog="python -m tools.readers")
    parser.add_argument("folder", nargs="?", type=Path, help="where node_modules, zxing.jar and boofcv.jar are")
    parser.add_argument("--misses", action="store_true", help="name the codes that were not read")
    parser.add_argument("--pixels", type=int, default=3, help="a module (3)")
    arguments = parser.parse_args()
    readers = python_readers() + (readers_in(arguments.folder) if arguments.folder else [])
    pixels = arguments.pixels
    pages, base45 = page_samples(pixels=pixels), page_samples(pixels=pixels, base45=True)
    texts, unannounced = text_samples(pixels=pixels), text_samples(pixels=pixels, eci=False)
    print("| reader | hands out | pages | texts | texts without ECI | pages in base45 |")
    print("|---|---|---|---|---|---|")
    for reader in readers:
        read = [reads_bytes(reader, pages), *(reads_texts(reader, some) for some in (texts, unannounced, base45))]
        counts = " | ".join(f"{sum(column)} of {len(column)}" for column in read)
        print(f"| {reader.name} | {reader.hands_out} | {counts} |", flush=True)
        if arguments.misses:
            for samples, column in zip((pages, texts, unannounced, base45), read, strict=True):
                print("   ", *(sample.name for sample, right in zip(samples, column, strict=True) if not right))


if __name__ == "__main__":
    main()
