"""What appends, deletions and compaction cost, beside the build of the same memory.

``python -m benchmarks.growing [CHUNKS]`` builds a memory of synthetic chunks with vectors given, appends 1 % of as many
again, then single chunks, deletes some, compacts, and writes ``results/growing.md``. Each step is checked: what was
appended is found, what was deleted is not, verification has nothing to say.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.corpus import load_corpus
from benchmarks.million.corpus import SyntheticText
from benchmarks.run import RESULTS, environment
from benchmarks.support import VECTOR_DIM, make_vectors
from memvid import MemvidEncoder, MemvidRetriever
from memvid.embedding import HashingEmbedder
from memvid.maintenance import compact, delete, verify

SINGLE = 20  # appends of one chunk
DELETED = 100  # chunks


class Growing:
    """The steps, in order.

    :ivar seconds: wall time of each.
    """

    def __init__(self, folder: Path, chunks: int) -> None:
        self.video = folder / "memory.mp4"
        self.chunks = chunks
        self.added = chunks // 100
        self.embedder = HashingEmbedder(dim=VECTOR_DIM)
        corpus = load_corpus(limit_bytes=2_000_000)
        blocks = SyntheticText(corpus.chunks).blocks(chunks + self.added + SINGLE)
        self.texts = [text for block in blocks for text in block]
        self.vectors = make_vectors(len(self.texts))
        self.seconds: dict[str, list[float]] = {}
        self.sizes: dict[str, int] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Time a step."""
        begin = time.perf_counter()
        yield
        self.seconds.setdefault(step, []).append(time.perf_counter() - begin)

    def run(self) -> None:
        """All steps."""
        with MemvidEncoder(embedder=self.embedder) as encoder:
            encoder.add_chunks(self.texts[: self.chunks], embeddings=self.vectors[: self.chunks])
            with self.timed("build"):
                encoder.build_video(self.video)
        self.sizes["built"] = self.video.stat().st_size
        self.append(self.chunks, self.added, "append 1 %")
        self.sizes["with 1 % more"] = self.video.stat().st_size
        for number in range(SINGLE):
            self.append(self.chunks + self.added + number, 1, "append one chunk")
        gone = list(range(0, self.chunks, self.chunks // DELETED))[:DELETED]
        for chunk_id in gone[:10]:
            with self.timed("delete one chunk"):
                delete(self.video, chunk_ids=[chunk_id])
        with self.timed(f"delete {DELETED - 10} chunks"):
            delete(self.video, chunk_ids=gone[10:])
        self.check(gone)
        self.sizes["after deletions"] = self.video.stat().st_size
        with self.timed("compact"):
            compact(self.video)
        self.check(gone)
        self.sizes["compacted"] = self.video.stat().st_size

    def append(self, first: int, count: int, step: str) -> None:
        """Append some chunks; opening is part of it."""
        with self.timed(step), MemvidEncoder.open(self.video, embedder=self.embedder) as encoder:
            encoder.add_chunks(self.texts[first : first + count], embeddings=self.vectors[first : first + count])
            result = encoder.append()
        assert (result.first_chunk, result.added) == (first, count)

    def check(self, gone: list[int]) -> None:
        """Everything is there, sound, and found; what was deleted is not."""
        with self.timed("verify"):
            report = verify(self.video)
        assert report.ok, report.findings
        with MemvidRetriever(self.video, embedder=self.embedder) as memory:
            assert len(memory) == len(self.texts) - len(gone)
            last = len(self.texts) - 1
            assert memory.get_chunk_by_id(last) == self.texts[last]
            index = memory._index
            ids, _ = index.search(self.vectors[[gone[1], last]], 1)
            assert ids[0, 0] != gone[1]
            assert ids[1, 0] == last


def _table(growing: Growing) -> str:
    build = growing.seconds["build"][0]
    rows = []
    for step, seconds in growing.seconds.items():
        median = statistics.median(seconds)
        rows.append(f"| {step} | {len(seconds)} | {median:.3f} | {max(seconds):.3f} | {median / build:.2%} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Measure and write the results."""
    chunks = int(arguments[0]) if arguments else 100_000
    with tempfile.TemporaryDirectory() as folder:
        growing = Growing(Path(folder), chunks)
        growing.run()
    place: dict[str, Any] = environment(arguments)
    result = {"environment": place, "chunks": chunks, "seconds": growing.seconds, "bytes": growing.sizes}
    (RESULTS / "growing.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    sizes = "\n".join(f"| {name} | {size:,} |" for name, size in growing.sizes.items())
    text = (
        f"# Growing\n\nMade by `python -m benchmarks.growing {chunks}`, commit {place['commit']}. {chunks:,} synthetic "
        f"chunks, vectors of {VECTOR_DIM} dimensions given; opening is part of each step. The machine and its load "
        "are in the JSON beside this.\n\n| step | runs | median s | longest s | of the build |\n|---|---|---|---|---|\n"
        f"{_table(growing)}\n\n| video | bytes |\n|---|---|\n{sizes}\n"
    )
    (RESULTS / "growing.md").write_text(text, "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
