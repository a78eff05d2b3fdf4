"""Makes the memories that later releases must open for ever: ``python -m tools.golden_memories FOLDER``.

Run once for a release, with that release, and commit what it writes into ``tests/golden/``: a file for each kind of
memory, named for the version, with the memory's files and ``expected.json``, which says what must come out of it. What
is there is never made again.
"""

from __future__ import annotations

import json
import random
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memvid import MemvidEncoder, MemvidRetriever, __version__
from memvid.config import Profile
from memvid.embedding import HashingEmbedder
from memvid.storage.commit import default_index_file

EMBEDDER = HashingEmbedder(dim=64)
WORDS = re.findall(r"\w+", "login backup server night report disk cable printer river mountain engine harvest violin")
QUERY = "river engine failure"


def texts(count: int, *, words: int = 12, seed: int = 1) -> list[str]:
    chooser = random.Random(seed)
    return [f"{' '.join(chooser.choices(WORDS, k=words))} \N{EN DASH} {number}." for number in range(count)]


def plain(video: Path) -> None:
    """Metadata, a dictionary, chunks that run over several pages."""
    chunks = [*texts(150), " ".join(texts(120, words=30, seed=2)), *texts(30, seed=3)]
    metadatas: list[Any] = [{"n": number, "even": number % 2 == 0, "of": "plain"} for number in range(len(chunks))]
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=15, dictionary=4096) as encoder:
        encoder.add_chunks(chunks, metadatas=metadatas)
        encoder.build_video(video)


def grown(video: Path) -> None:
    """Parity, two appends, deletions, changed metadata: segments, tombstones, a movie header that counts no more."""
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=10, parity=0.25, title="Grown") as encoder:
        encoder.add_chunks(texts(60), metadatas=[{"n": number} for number in range(60)])
        encoder.build_video(video, date="2026-11-27", message="The first of three.")
    for seed in (4, 5):
        with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
            memory.add_chunks(texts(5, seed=seed))
            memory.delete([seed, seed + 20])
            memory.set_metadata(10, {"n": 10, "seed": seed})
            memory.set_metadata(seed + 40, None)
            memory.append(date="2026-11-28", message=f"Seed {seed}.")


def bare(video: Path) -> None:
    """A text in each code, as phones read it; metadata in pages of their own."""
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=10, compression="none", chunks_per_frame=1) as encoder:
        encoder.add_chunks(texts(12, words=8), metadatas=[{"n": number} for number in range(12)])
        encoder.build_video(video)


def h264(video: Path) -> None:
    """In a codec that plays everywhere."""
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=10, codec="h264") as encoder:
        encoder.add_chunks(texts(20))
        encoder.build_video(video)


def one(video: Path) -> None:
    """One file, which has grown: index boxes of a build and of two appends, one of them of use no more."""
    _build_and_grow(video, video)


def beside(video: Path) -> None:
    """The same with its index beside it."""
    _build_and_grow(video, default_index_file(video))


def _build_and_grow(video: Path, index: Path) -> None:
    chunks = [*texts(150), " ".join(texts(120, words=30, seed=2))]
    metadatas = [{"n": number, "of": ["one", number % 3]} for number in range(len(chunks))]
    with MemvidEncoder(embedder=EMBEDDER, symbol_version=15, dictionary=4096, title="One or several") as encoder:
        encoder.add_chunks(chunks, metadatas=metadatas)
        encoder.build_video(video, index, date="2026-11-28", message="The first of three.")
    for seed in (4, 5):
        with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
            memory.add_chunks(texts(5, seed=seed))
            memory.delete([seed, seed + 20])
            memory.set_metadata(10, {"n": 10, "seed": seed})
            memory.append(date="2026-11-28", message=f"Seed {seed}.")


def small(video: Path) -> None:
    """Codes of four bits and packed links, in a graph of several levels; and a second segment."""
    _build_coded(video, "small")


def tiny(video: Path) -> None:
    """Codes of one bit, beside the video."""
    _build_coded(video, "tiny", default_index_file(video))


def _build_coded(video: Path, profile: Profile, index: Path | None = None) -> None:
    with MemvidEncoder(
        embedder=EMBEDDER, symbol_version=15, dictionary=2048, profile=profile, title=profile
    ) as encoder:
        encoder.add_chunks([*texts(130), *texts(3)], metadatas=[{"n": number} for number in range(133)])  # three copies
        encoder.build_video(video, index, date="2026-11-28", message="The first of two.")
    with MemvidEncoder.open(video, embedder=EMBEDDER) as memory:
        memory.add_chunks(texts(5, seed=4))
        memory.delete([4, 24])
        memory.append(date="2026-11-28", message="The second.")


KINDS: tuple[Callable[[Path], None], ...] = (plain, grown, bare, h264, one, beside, small, tiny)


def expected(video: Path) -> dict[str, Any]:
    with MemvidRetriever(video, embedder=EMBEDDER) as memory:
        chunks = memory.get_chunks_by_id(memory.chunk_ids())
        return {
            "chunks": [[chunk.chunk_id, chunk.text, chunk.metadata] for chunk in chunks],
            "query": QUERY,
            "found": [result.chunk_id for result in memory.search_results(QUERY, 3, mode="semantic")],
            "log": [asdict(commit) for commit in memory.log()],
            "built": [[chunk.chunk_id, chunk.text, chunk.metadata] for chunk in memory.scan(as_of=1)],
        }


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for make in KINDS:
        name = target / f"{__version__}-{make.__name__}.zip"
        if name.exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            video = Path(folder) / "memory.mp4"
            make(video)
            (Path(folder) / "expected.json").write_text(json.dumps(expected(video), ensure_ascii=False, indent=1))
            with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(Path(folder).iterdir()):
                    archive.write(path, path.name)
            print(name, name.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
