"""What comes back from old memories: ``python -m tools.import_figures FOLDER``, of ``tools/old_memories.py sample``.

For each video: frames that zxing-cpp reads in its pictures, frames that an import reads, chunks whose text is then the
one that was put in, and how long it took. Needs the packages of the tests.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import zxingcpp

from memvid import MemvidRetriever
from memvid.embedding import HashingEmbedder
from memvid.maintenance import import_memory
from memvid.page import count_chunks
from memvid.video.codecs import open_pictures


def measure(video: Path, texts: list[str]) -> str:
    """One line of figures."""
    embedder = HashingEmbedder()
    source = open_pictures(str(video))
    plain = sum(bool(zxingcpp.read_barcodes(picture)) for picture in source.pictures())
    source.close()
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "new.mp4"
        result = import_memory(video, video.with_name(f"{video.stem}_index.json"), new, embedder=embedder)
        with MemvidRetriever(new, embedder=embedder) as memory:
            chunks = memory.get_chunks_by_id(range(len(memory)))
    right = sum(chunk.text == texts[chunk.chunk_id] for chunk in chunks)
    return (
        f"{video.name}: {result.old_frames} frames, {plain} read by zxing-cpp alone, {result.from_frames} by import, "
        f"{count_chunks(result.from_index)} texts from the index, {count_chunks(result.disagreeing)} differ, "
        f"{count_chunks(result.lost)} lost; {right} of {len(texts)} texts as they were; "
        f"{result.old_bytes:,} bytes became {result.video_bytes:,} in {result.seconds:.1f} s"
    )


def main(arguments: list[str]) -> int:
    """Print the figures of all videos of a folder."""
    folder = Path(arguments[0])
    texts = json.loads((folder / "texts.json").read_text("utf-8"))
    for video in sorted(path for path in folder.iterdir() if path.suffix in {".mp4", ".mkv"}):
        print(measure(video, texts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
