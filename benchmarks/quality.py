"""How good answers are: by meaning, by words, by both, and what of them a chat sends.

``python -m benchmarks.quality SET...`` builds a memory of each set, asks its questions, and prints recall and MRR of
each mode. A set is a folder with ``passages.jsonl`` (``text``) and ``questions.jsonl`` (``query``, and ``gold_id``, the
line of the passage that answers it, from 0), each zipped (``.gz``) or not. Without questions, a sentence is taken out
of each passage and asked for. Or it is ``identifiers``, which is made here: 500 tickets with a number each, 100 asked
for by the number alone and 100 in a sentence.

``--chat N`` also asks a chat N of the questions, each in a conversation of its own, and counts how often the passage
that answers is among what the model would be sent. ``--pieces`` adds a row with ``rerank="pieces"``. ``--profile`` may
be given several times; each text is embedded once for all of them, but for 20 questions that are asked one by one to
see how long that takes.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from memvid import MemvidChat, MemvidEncoder, MemvidRetriever
from memvid.config import Profile
from memvid.documents import read_jsonl
from memvid.embedding import Embedder, model_info, resolve_embedder
from memvid.evaluation import MODES, Expected, Quality, evaluate, read_questions
from memvid.index.location import find_index
from memvid.index.manifest import read_manifest

SUBJECTS = (
    "login", "backup", "invoice", "printer", "database", "upload", "certificate", "calendar", "webhook", "export",
    "import", "search", "payment", "session", "cache", "queue", "mailer", "firewall", "replica", "dashboard",
)  # fmt: skip
FAULTS = (
    "fails", "times out", "returns an empty page", "is slow", "loops forever", "rejects valid input",
    "loses its settings", "shows the wrong date", "crashes on start", "leaks memory",
)  # fmt: skip
SENTENCES = (
    "What is the status of {}?", "Who reported {} and why?", "can you tell me what happened with {}",
    "I am looking for ticket {}, what was the problem?", "Is {} closed already?",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Passages and questions to them.

    :ivar questions: by name; each kind is measured by itself.
    """

    name: str
    passages: Sequence[str]
    questions: dict[str, list[Expected]]


def load_set(name: str) -> QuestionSet:
    """A folder's, or the one that is made here."""
    if name == "identifiers":
        return make_identifiers()
    folder = Path(name)
    texts = [document.text for _, document in read_jsonl(_file(folder, "passages"))]
    if not any(folder.glob("*questions.jsonl*")):
        return ask_for_sentences(folder.name, texts)
    return QuestionSet(folder.name, texts, {"questions": list(read_questions(_file(folder, "questions")))})


def ask_for_sentences(name: str, texts: Sequence[str]) -> QuestionSet:
    """Of each passage, one of its sentences is the question, and the rest what answers it."""
    chooser = random.Random(1)
    passages: list[str] = []
    questions: list[Expected] = []
    for text in texts:
        sentences = re.split(r"(?<=[.!?])\s+", text)
        places = [place for place, sentence in enumerate(sentences) if 40 <= len(sentence) <= 200]
        if places and len(sentences) > 1:
            asked = sentences.pop(chooser.choice(places))
            questions.append(Expected(question=asked, ids=frozenset({len(passages)})))
        passages.append(" ".join(sentences))
    return QuestionSet(name, passages, {"sentences": questions})


def _file(folder: Path, stem: str) -> Path:
    found = sorted(folder.glob(f"*{stem}.jsonl*"))
    if len(found) != 1:
        raise SystemExit(f"{folder} has {len(found)} files *{stem}.jsonl or *{stem}.jsonl.gz: expected one")
    return found[0]


def make_identifiers(count: int = 500, asked: int = 100) -> QuestionSet:
    """Tickets that differ in their numbers more than in what they say."""
    chooser = random.Random(1)
    numbers = [f"TK-{number}" for number in chooser.sample(range(10_000, 100_000), count)]
    passages = []
    for number in numbers:
        subject, fault, other = chooser.choice(SUBJECTS), chooser.choice(FAULTS), chooser.choice(SUBJECTS)
        passages.append(
            chooser.choice(
                (
                    f"{number}: the {subject} {fault}. It began after the {other} was updated.",
                    f"Ticket {number}. The {subject} {fault} for a customer; we asked for logs of the {other}.",
                    f"The {subject} {fault}. Number {number}, closed after the {other} was restarted.",
                )
            )
        )
    ids = chooser.sample(range(count), asked)
    bare = [Expected(question=numbers[i], ids=frozenset({i})) for i in ids]
    sentences = [Expected(question=chooser.choice(SENTENCES).format(numbers[i]), ids=frozenset({i})) for i in ids]
    return QuestionSet("identifiers", passages, {"bare": bare, "in a sentence": sentences})


class Remembering:
    """The default embedder, which embeds each text once."""

    def __init__(self) -> None:
        self._made_by = resolve_embedder(None)
        self._known: dict[str, NDArray[np.float32]] = {}
        info = model_info(self._made_by)
        self.name, self.dim, self.digest = info.name, info.dim, info.digest

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed those that are new."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._made_by.encode(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def measure(tried: QuestionSet, folder: Path, embedder: Embedder, profile: Profile, *, pieces: bool, chat: int) -> None:
    """Build a memory of a set, and print what it answers."""
    video = folder / f"{profile}.mp4"
    with MemvidEncoder(embedder=embedder, profile=profile) as encoder:
        encoder.add_chunks(tried.passages)
        encoder.build_video(video)
    manifest = read_manifest(find_index(video, None))
    vectors = sum(file.bytes for role, file in manifest.side_files() if role == "vectors")
    seconds = _seconds_a_question(video, [each.question for each in next(iter(tried.questions.values()))[:20]])
    print(f"\nprofile {profile}: {vectors / len(tried.passages):.1f} bytes a vector, {1e3 * seconds:.1f} ms a question")
    with MemvidRetriever(video, embedder=embedder) as retriever:
        for kind, questions in tried.questions.items():
            print(f"\n{tried.name}: {len(tried.passages):,} passages, {len(questions):,} {kind}")
            print(f"  {'':<16}" + "".join(f"{name:>11}" for name in ("recall@1", "recall@5", "recall@10", "MRR@10")))
            for mode in MODES:
                _print(mode, evaluate(retriever, questions, mode=mode))
            if pieces:
                _print("hybrid, pieces", evaluate(retriever, questions, rerank="pieces"))
            if chat:
                some = questions[:chat]
                print(f"  chat: {sent(retriever, some):.3f} of {len(some)} have their passage in what is sent")


def _seconds_a_question(video: Path, questions: Sequence[str]) -> float:
    """The median of questions that are asked one by one, embedding included."""
    with MemvidRetriever(video) as retriever:
        retriever.warm()
        took = []
        for question in questions:
            begin = time.perf_counter()
            retriever.search(question)
            took.append(time.perf_counter() - begin)
        return statistics.median(took)


def _print(name: str, quality: Quality) -> None:
    print(f"  {name:<16}" + "".join(f"{value:>11.3f}" for value in (*quality.recall.values(), quality.mrr)))


def sent(retriever: MemvidRetriever, questions: Sequence[Expected]) -> float:
    """The part of the questions for which a chat sends a passage that answers."""
    found = 0
    with MemvidChat(retriever=retriever, llm_provider="none") as chat:
        for expected in questions:
            chat.start_session()
            chat.chat(expected.question)
            context = chat.last_context
            assert context is not None
            found += any(not expected.ids.isdisjoint(passage.chunk_ids) for passage in context.passages)
    return found / len(questions)


def main() -> None:
    """Measure the sets that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET")
    parser.add_argument("--pieces", action="store_true")
    parser.add_argument("--chat", type=int, default=0, metavar="N")
    parser.add_argument("--profile", action="append", choices=get_args(Profile))
    given = parser.parse_args()
    embedder = Remembering()
    for name in given.sets:
        tried = load_set(name)
        for profile in given.profile or ["fast"]:
            with tempfile.TemporaryDirectory() as folder:
                measure(tried, Path(folder), embedder, profile, pieces=given.pieces, chat=given.chat)


if __name__ == "__main__":
    main()
