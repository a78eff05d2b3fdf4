"""Any sentence-transformers model exported to ONNX."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from memvid.checks import is_int
from memvid.embedding.model_folder import folder_digest, read_model_folder
from memvid.embedding.onnx_runtime import LoadedModel
from memvid.embedding.protocol import Vectors, check_texts
from memvid.embedding.providers import CPU, check_providers
from memvid.errors import ConfigError
from memvid.types import StrPath
from memvid.workers import WorkerPool

__all__ = ["OnnxEmbedder", "plan_batches"]

# A core computes texts of 128 tokens and more fastest one by one, and shorter ones together up to about this many
# tokens: fewer starve the matrix kernels, more fall out of the cache (docs/embeddings.md).
CPU_BATCH_TOKENS = 256


def plan_batches(
    lengths: Sequence[int], batch_size: int, *, max_tokens: int | None = None, equal_lengths: bool = False
) -> list[list[int]]:
    """Group texts into batches by their lengths, longest first, so that a batch needs little or no padding.

    Longest first also keeps threads busy to the end: what is left over is short.

    :param lengths: tokens of each text.
    :param batch_size: at most so many texts a batch.
    :param max_tokens: at most so many tokens a batch, padding included, unless one text alone has more.
    :param equal_lengths: only texts of one length share a batch.
    :returns: indices into ``lengths``; each index once.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batches:
            last = batches[-1]
            longest, size = lengths[last[0]], len(last) + 1
            fits = size <= batch_size and (max_tokens is None or size * longest <= max_tokens)
            if fits and not (equal_lengths and lengths[i] != longest):
                last.append(i)
                continue
        batches.append([i])
    return batches


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run_all(work: Callable[[list[int]], None], batches: list[list[int]], threads: int) -> None:
    """Call ``work`` for every batch on up to ``threads`` threads; the first failure stops the others and is raised.

    Threads live for one call: there is nothing to close and nothing that a fork could lose.
    """
    threads = min(threads, len(batches))
    if threads <= 1:
        for batch in batches:
            work(batch)
        return
    left = deque(batches)

    def drain() -> None:
        while left:
            try:
                batch = left.popleft()
            except IndexError:  # another thread was faster
                return
            work(batch)

    with WorkerPool(threads, name="memvid-embed") as pool:
        futures = [pool.submit(drain) for _ in range(threads)]
        try:
            for future in futures:
                future.result()
        finally:
            left.clear()  # after a failure or Ctrl-C the threads stop at their next batch


def _check_count(name: str, value: object) -> None:
    if not is_int(value, 1):
        raise ConfigError(f"{name}={value!r} is not possible: expected a whole number from 1")


class OnnxEmbedder:
    """A sentence-transformers folder with an ONNX export (``model.onnx`` or ``onnx/model*.onnx``) as an embedder.

    Pooling, normalisation, prompts and the token limit are read from the folder's configuration
    (:func:`~memvid.embedding.model_folder.read_model_folder`). Safe to share between threads, and on the CPU usable
    after a fork.
    The model loads when it is first needed, or by :meth:`warm`.

    :param folder: the model's folder.
    :param threads: batches computed at once, each on one core; ``None`` uses the cores this process may run on. On
        another device than the CPU it is one at a time.
    :param batch_size: at most so many texts a batch. Batches are made of texts of like length; on the CPU they are also
        kept to a few hundred tokens, which is faster than larger ones. A model whose activations are quantised
        gives a text slightly different vectors in different company; a batch size of 1 avoids that.
    :param providers: onnxruntime execution providers, in order of preference, all of which must work; ``None`` takes
        CUDA if this onnxruntime has it and it works, else the CPU. Devices give vectors that differ in their last bits.
    :param file_name: the graph to take within the folder, if it has several.
    :param name: names the model in an index; ``None`` takes the folder's name.
    :param query_prefix: put before queries instead of the folder's own prompt.
    :param document_prefix: put before stored texts instead of the folder's own prompt.
    :raises ConfigError: if the folder is not such a model, or an option is out of range.
    """

    def __init__(
        self,
        folder: StrPath,
        *,
        threads: int | None = None,
        batch_size: int = 32,
        providers: Sequence[str] | None = None,
        file_name: str | None = None,
        name: str | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
    ) -> None:
        _check_count("batch_size", batch_size)
        if threads is not None:
            _check_count("threads", threads)
        # Absolute, because it is read later, and maybe by another process.
        self._folder = read_model_folder(Path(folder).absolute(), file_name=file_name)
        self._file_name = file_name
        self._providers = check_providers(providers)
        self._lock = threading.Lock()
        self._loaded: LoadedModel | None = None
        self._query_prefix = self._folder.query_prefix if query_prefix is None else query_prefix
        self._document_prefix = self._folder.document_prefix if document_prefix is None else document_prefix
        self.threads = _available_cores() if threads is None else threads
        self.batch_size = batch_size
        self.name = self._folder.path.resolve().name if name is None else name

    @property
    def dim(self) -> int:
        """Length of the vectors; loads the model if its configuration does not tell."""
        dim = self._folder.dim or self._model().dim
        if dim is None:  # neither says: one text will
            dim = self._embed(["dim"]).shape[1]
        return dim

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the model's files, in hexadecimal; reads them once."""
        return folder_digest(self._folder.path, file_name=self._file_name)

    @property
    def max_length(self) -> int:
        """Tokens a text is cut to, special tokens included."""
        return self._folder.max_length

    @property
    def provider(self) -> str:
        """The execution provider the model runs on, such as ``"CPUExecutionProvider"``; loads the model.

        :raises ConfigError: ``providers`` names one that is not there or does not work.
        """
        return self._model().provider

    def warm(self) -> None:
        """Load the model now instead of with the first text."""
        self._model()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed texts that are to be found: float32[n, dim], in their order. What exceeds the token limit is cut.

        :raises EmbeddingError: if a text is not a string, or the model cannot be loaded or run.
        :raises ConfigError: ``providers`` names one that is not there or does not work.
        """
        return self._embed(texts, self._document_prefix)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed what is asked for: as :meth:`encode`, with the prefix for queries."""
        return self._embed(texts, self._query_prefix)

    def _model(self) -> LoadedModel:
        with self._lock:
            if self._loaded is None:
                self._loaded = LoadedModel(self._folder, self._providers)
            return self._loaded

    def _embed(self, texts: Sequence[str], prefix: str = "") -> Vectors:
        check_texts(texts)
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        model = self._model()
        ids = [model.tokenize(prefix + text) for text in texts]
        batches = plan_batches(
            [len(row) for row in ids],
            self.batch_size,
            max_tokens=CPU_BATCH_TOKENS if model.provider == CPU else None,
            equal_lengths=model.needs_equal_lengths,
        )
        parts: dict[int, Vectors] = {}

        def work(batch: list[int]) -> None:
            parts.update(zip(batch, model.run([ids[i] for i in batch]), strict=True))

        _run_all(work, batches, self.threads if model.provider == CPU else 1)
        return np.stack([parts[i] for i in range(len(texts))])

    def __getstate__(self) -> dict[str, Any]:
        """All but the loaded model: a copy, or another process, loads its own."""
        return {**self.__dict__, "_loaded": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        path = str(self._folder.path)
        return f"{type(self).__name__}({path!r}, threads={self.threads}, batch_size={self.batch_size})"
