"""Whether copies of a passage hide other passages: ``python -m benchmarks.copies [PASSAGES.jsonl] [--cache FOLDER]``.

Builds memories of real passages and of many copies of one of them, or of as many near-copies (one word is another), and
asks for each text by itself: it has to be among the first five. Prints that share for the graph, beside comparing with
all, and for a hybrid search of a fifth of the texts. Without a file, passages are documentation that comes with Python.
Passages of a file with fewer than are needed are cut into smaller ones. Vectors are MiniLM's; ``--cache`` keeps them
for the next run.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.corpus import load_corpus
from memvid import MemvidEncoder, MemvidRetriever, MiniLMEmbedder
from memvid.chunking import split_text
from memvid.documents import read_jsonl
from memvid.embedding import CallableEmbedder
from memvid.index import IndexManager

FIRST = 5
SIZES = (4800, 600, 300, 150)  # characters of a passage, at most
PORTION = 500  # questions asked at once
HYBRID_SHARE = 5  # of so many texts one is asked for by words, too; PORTION is a multiple
COPIED = 70  # the passage that there are copies of


@dataclass(frozen=True, slots=True)
class CopiedSet:
    """Texts, many of which are alike.

    :ivar texts: in the order in which they are added.
    """

    name: str
    texts: list[str]


def load_passages(path: Path | None, count: int) -> list[str]:
    """Passages that differ, of a file or of this Python installation."""
    whole = load_corpus().chunks if path is None else [document.text for _, document in read_jsonl(path)]
    for size in SIZES:
        passages = list(dict.fromkeys(part for text in whole for part in split_text(text, chunk_size=size, overlap=0)))
        if len(passages) >= count:
            return passages[:count]
    raise SystemExit(f"{path} has {len(passages):,} passages: {count:,} are needed")


def near_copies(passages: Sequence[str], count: int) -> Iterator[str]:
    """Texts that differ from one of the passages, and from each other, in a word."""
    chooser = random.Random(1)
    words = sorted({word for text in passages for word in text.split()})
    original = passages[COPIED].split()
    made = {passages[COPIED]}
    while len(made) <= count:
        changed = list(original)
        changed[chooser.randrange(len(original))] = chooser.choice(words)
        text = " ".join(changed)
        if text not in made:
            made.add(text)
            yield text


def make_sets(passages: Sequence[str]) -> Iterator[CopiedSet]:
    """Copies and near-copies, scattered or in one place at the end."""
    count = len(passages)
    yield CopiedSet("no copies", list(passages))
    for real, copies in ((count, count), (count * 3 // 10, count * 7 // 50)):
        texts = [*passages[:real], *[passages[COPIED]] * copies]
        random.Random(1).shuffle(texts)
        yield CopiedSet(f"{copies:,} copies of one", texts)
    near = list(near_copies(passages, count))
    scattered = [*passages, *near]
    random.Random(1).shuffle(scattered)
    yield CopiedSet(f"{count:,} near-copies of one", scattered)
    yield CopiedSet(f"{count:,} near-copies, last", [*passages, *near])


class KnownVectors:
    """Vectors of texts, each made once.

    :param cache: a folder that keeps them.
    """

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._model = MiniLMEmbedder()
        self._known: dict[str, NDArray[np.float32]] = {}

    def learn(self, texts: Sequence[str]) -> None:
        """Embed those that are new."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._known]
        if fresh:
            self._known.update(zip(fresh, self._embed(fresh), strict=True))

    def __call__(self, texts: list[str]) -> NDArray[np.float32]:
        """float32[n, dim]."""
        return np.stack([self._known[text] for text in texts])

    def embedder(self) -> CallableEmbedder:
        """The same for a memory."""
        return CallableEmbedder(self, name="known vectors", dim=self._model.dim)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        if self._cache is None:
            return np.asarray(self._model.encode(texts), np.float32)
        digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
        file = self._cache / f"{digest}.npy"
        if not file.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            np.save(file, np.asarray(self._model.encode(texts), np.float32))
        vectors: NDArray[np.float32] = np.load(file)
        return vectors


def measure(tried: CopiedSet, known: KnownVectors, folder: Path) -> dict[str, float]:
    """Build a memory, and ask it for each of its texts: the share that is found, for each way to search."""
    known.learn(tried.texts)
    asked = list(dict.fromkeys(tried.texts))
    video = folder / "memory.mp4"
    with MemvidEncoder(embedder=known.embedder()) as encoder:
        encoder.add_chunks(tried.texts)
        encoder.build_video(video)
    hits = dict.fromkeys(("all compared", "graph", "hybrid"), 0)
    with IndexManager.open(video) as index, MemvidRetriever(video, embedder=known.embedder()) as retriever:
        for first in range(0, len(asked), PORTION):
            part = asked[first : first + PORTION]
            for name, exact in (("all compared", True), ("graph", False)):
                ids, _ = index.search(known(part), FIRST, exact=exact)
                found = [[tried.texts[chunk] for chunk in row] for row in ids.tolist()]
                hits[name] += sum(text in texts for text, texts in zip(part, found, strict=True))
            some = part[::HYBRID_SHARE]
            answers = retriever.search_many(some, FIRST)
            hits["hybrid"] += sum(
                text in [hit.text for hit in answer] for text, answer in zip(some, answers, strict=True)
            )
    asked_of = {"hybrid": len(asked[::HYBRID_SHARE])}
    return {name: count / asked_of.get(name, len(asked)) for name, count in hits.items()}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages", nargs="?", type=Path, help="JSON lines, each a text or with one as `text`")
    parser.add_argument("--count", type=int, default=5000, help="passages, and copies of one of them (default: 5,000)")
    parser.add_argument("--cache", type=Path, help="a folder that keeps vectors")
    given = parser.parse_args()
    passages = load_passages(given.passages, given.count)
    known = KnownVectors(given.cache)
    print(f"{'':<28}{'chunks':>8}{'texts':>8}{'all compared':>14}{'graph':>8}{'hybrid':>8}")
    for tried in make_sets(passages):
        with tempfile.TemporaryDirectory() as folder:
            shares = measure(tried, known, Path(folder))
        row = f"{tried.name:<28}{len(tried.texts):>8,}{len(set(tried.texts)):>8,}"
        print(row + f"{shares['all compared']:>14.4f}{shares['graph']:>8.4f}{shares['hybrid']:>8.4f}", flush=True)


if __name__ == "__main__":
    main()
