"""The model that comes with memvid."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from memvid.embedding.onnx_embedder import OnnxEmbedder
from memvid.embedding.providers import CPU

__all__ = ["MiniLMEmbedder"]

_FOLDER = Path(__file__).resolve().parent.parent / "models" / "all-MiniLM-L6-v2"


class MiniLMEmbedder(OnnxEmbedder):
    """all-MiniLM-L6-v2 in int8: 384 dimensions, texts up to 256 tokens (about 1000 characters), English.

    Making one is free; the model loads when it first embeds. Vectors have length 1. Each text runs through the model by
    itself, so its vector depends on nothing but the text: int8 activations share one scale in a batch.

    :param threads: texts embedded at once; ``None`` uses the cores this process may run on.
    :param providers: onnxruntime execution providers, as of :class:`OnnxEmbedder`; ``None`` is the CPU, also on a
        machine with a GPU: the graph is made for the CPU's int8 kernels, which CUDA does not have, so that it would go
        back and forth between both; and the same texts are to give the same memory on every machine.
    """

    def __init__(self, *, threads: int | None = None, providers: Sequence[str] | None = None) -> None:
        info = json.loads((_FOLDER / "memvid.json").read_text(encoding="utf-8"))
        super().__init__(
            _FOLDER,
            threads=threads,
            batch_size=info["batch_size"],
            name=info["name"],
            providers=(CPU,) if providers is None else providers,
        )
        self._info = info

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self._info["dim"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model's files, written down when they were made: hashing 23 MB would delay every start."""
        return str(self._info["digest"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Not by its folder: another process may have memvid elsewhere."""
        return partial(type(self), threads=self.threads, providers=self._providers), ()

    def __repr__(self) -> str:
        return f"MiniLMEmbedder(threads={self.threads})"
