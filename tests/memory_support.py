"""Memories for tests: small, real, and made without a model."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memvid import MemvidEncoder, MemvidRetriever
from memvid.embedding import HashingEmbedder
from memvid.storage.commit import default_index_file

EMBEDDER = HashingEmbedder(dim=64)

WORDS = re.findall(
    r"\w+",
    "login backup server march night report failure disk cable printer budget river mountain engine harvest violin "
    "telescope bakery glacier tunnel lantern orchard compass ferry quarry satchel thunder willow anchor meadow",
)


def make_texts(count: int, *, words: int = 20, seed: int = 1) -> list[str]:
    """Distinct texts of ``words`` words and a number."""
    chooser = random.Random(seed)
    return [f"{' '.join(chooser.choices(WORDS, k=words))} {number}." for number in range(count)]


def build(
    folder: Path,
    chunks: Iterable[str],
    *,
    name: str = "memory",
    metadatas: Any = None,
    embeddings: Any = None,
    **options: Any,
) -> Path:
    """Build ``<folder>/<name>.mp4`` and its index beside it, where tests can get at each file; returns the video."""
    video = folder / f"{name}.mp4"
    with MemvidEncoder(embedder=EMBEDDER, **options) as encoder:
        encoder.add_chunks(chunks, metadatas=metadatas, embeddings=embeddings)
        encoder.build_video(video, default_index_file(video))
    return video


def make_vectors(count: int, *, seed: int = 1) -> NDArray[np.float32]:
    """Random vectors, where making real ones would take most of a test's time."""
    return np.random.default_rng(seed).standard_normal((count, EMBEDDER.dim)).astype(np.float32)


def open_memory(video: Path, index: Path | None = None, **options: Any) -> MemvidRetriever:
    return MemvidRetriever(video, index, embedder=EMBEDDER, **options)


def all_files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
