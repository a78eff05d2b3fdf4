"""From chunks to a committed memory: speed, and size against the text.

Vectors are given, so no model runs. A build includes training the dictionary, packing, drawing, the HNSW graph, the
keyword index, reading every frame back with the independent decoder, and the sync to disk.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.corpus import Corpus
from benchmarks.support import VECTOR_DIM, make_vectors
from memvid import BuildResult, MemvidEncoder
from memvid.embedding import HashingEmbedder


def test_build_with_given_embeddings(corpus: Corpus, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    vectors = make_vectors(len(corpus.chunks))

    def build() -> BuildResult:
        with MemvidEncoder(embedder=HashingEmbedder(dim=VECTOR_DIM)) as encoder:
            encoder.add_chunks(corpus.chunks, embeddings=vectors)
            return encoder.build_video(tmp_path / "memory.mp4")

    result = benchmark.pedantic(build, rounds=3)
    assert result.chunks == len(corpus.chunks)
    benchmark.extra_info.update(
        chunks=result.chunks, text_bytes=result.text_bytes, seconds={k: round(v, 3) for k, v in result.seconds.items()}
    )
    if benchmark.stats is not None:
        rate = result.chunks / benchmark.stats.stats.median
        benchmark.extra_info["chunks_per_second"] = rate
        assert rate >= 2000


@pytest.mark.parametrize("level", [12, 19])
@pytest.mark.parametrize("version", [25, 40])
def test_size(corpus: Corpus, tmp_path: Path, benchmark: BenchmarkFixture, level: int, version: int) -> None:
    def build() -> BuildResult:
        with MemvidEncoder(
            embedder=HashingEmbedder(dim=8), compression_level=level, symbol_version=version, keywords=False
        ) as encoder:
            encoder.add_chunks(corpus.chunks, embeddings=make_vectors(len(corpus.chunks), 8))
            return encoder.build_video(tmp_path / "memory.mp4")

    result = benchmark.pedantic(build, rounds=1)
    text = "\n".join(corpus.chunks).encode()
    ratio = result.video_bytes / result.text_bytes
    benchmark.extra_info.update(
        mp4_to_text=ratio,
        gzip9_to_text=len(gzip.compress(text, 9)) / len(text),
        mean_chunk_bytes=result.text_bytes / result.chunks,
        text_bytes=result.text_bytes,
        frames=result.frames,
        corpus=f"{corpus.name} {corpus.digest}",
    )
    if (level, version) == (12, 40):
        assert ratio <= 0.70
