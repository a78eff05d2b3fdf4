"""What every engine stores: chunks and their vectors, in batches, and what is asked of it afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.million.corpus import BLOCK, SyntheticText
from benchmarks.million.vectors import DIM, read_rows

__all__ = ["Data", "question_strings"]


@dataclass(frozen=True)
class Data:
    """Chunks, vectors and queries of one size, on disk so that any process can take them up.

    :ivar work: the work folder.
    :ivar chunks: how many.
    """

    work: Path
    chunks: int

    @property
    def folder(self) -> Path:
        """Where everything of this size is."""
        return self.work / str(self.chunks)

    @property
    def vectors_file(self) -> Path:
        """Plain float32 rows."""
        return self.folder / "vectors.f32"

    @cached_property
    def queries(self) -> NDArray[np.float32]:
        """float32[q, dim], none of them stored."""
        queries: NDArray[np.float32] = np.fromfile(self.folder / "queries.f32", np.float32).reshape(-1, DIM)
        return queries

    @cached_property
    def exact(self) -> NDArray[np.int64]:
        """int64[q, 10]: the exact answers, best first."""
        exact: NDArray[np.int64] = np.fromfile(self.folder / "exact.i64", np.int64).reshape(len(self.queries), -1)
        return exact

    @cached_property
    def text(self) -> SyntheticText:
        """The chunks' source."""
        return SyntheticText(json.loads((self.work / "passages.json").read_text("utf-8"))["chunks"])

    def batches(self, size: int = 5 * BLOCK) -> Iterator[tuple[int, list[str], NDArray[np.float32]]]:
        """First id, texts and vectors of ``size`` chunks at a time."""
        texts: list[str] = []
        first = 0
        for block in self.text.blocks(self.chunks):
            texts += block
            if len(texts) >= size or first + len(texts) == self.chunks:
                yield first, texts, read_rows(self.vectors_file, first, len(texts))
                first, texts = first + len(texts), []


def question_strings(work: Path, count: int) -> list[str]:
    """Distinct strings of 6 to 14 words to be asked, from the middle of real passages.

    Without quotation marks: words in those have to be in a passage as they are, which is another kind of search.
    """
    rng = np.random.default_rng(7)
    passages = json.loads((work / "passages.json").read_text("utf-8"))["chunks"]
    found: dict[str, None] = {}
    for i in rng.permutation(len(passages)).tolist():
        words = passages[i].replace('"', " ").split()
        size = int(rng.integers(6, 15))
        if len(words) > size + 4:
            found[" ".join(words[4 : 4 + size])] = None
        if len(found) == count:
            break
    return list(found)
