"""Real passages and their real MiniLM embeddings: what the synthetic corpus and its vectors are made from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import Corpus, load_corpus
from memvid import MiniLMEmbedder

__all__ = ["PASSAGES", "load_passages", "load_real_vectors"]

PASSAGES = 20_000
"""Distinct real passages that are embedded."""

_BATCH = 500


def load_passages(work: Path) -> Corpus:
    """Real text in chunks of about 500 bytes, remembered in ``work``: parsing an installation takes half a minute."""
    cached = work / "passages.json"
    if cached.exists():
        found = json.loads(cached.read_text("utf-8"))
        return Corpus(found["name"], found["chunks"], found["digest"])
    corpus = load_corpus()
    found = {"name": corpus.name, "digest": corpus.digest, "chunks": corpus.chunks}
    cached.write_text(json.dumps(found, ensure_ascii=False), "utf-8")
    return corpus


def load_real_vectors(work: Path, corpus: Corpus, count: int = PASSAGES) -> NDArray[np.float32]:
    """MiniLM embeddings of ``count`` passages spread over the corpus, float32[n, dim], remembered in ``work``.

    Costs 5-10 ms a passage and core the first time, and goes on where it was interrupted.
    """
    embedder = MiniLMEmbedder()
    texts = _spread(corpus.chunks, count)
    path = work / f"real-{corpus.digest}-{embedder.digest[:8]}-{len(texts)}.f32"
    done = path.stat().st_size // (4 * embedder.dim) if path.exists() else 0
    with path.open("ab") as file:
        file.truncate(done * 4 * embedder.dim)
        for start in range(done, len(texts), _BATCH):
            file.write(embedder.encode(texts[start : start + _BATCH]).tobytes())
            file.flush()
    vectors: NDArray[np.float32] = np.fromfile(path, np.float32).reshape(-1, embedder.dim)
    return vectors


def _spread(chunks: list[str], count: int) -> list[str]:
    """``count`` of the chunks, in an order that has nothing to do with where they stood."""
    order = np.random.default_rng(0).permutation(len(chunks))[:count]
    return [chunks[i] for i in order]
