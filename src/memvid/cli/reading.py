"""Files into chunks: what ``build`` and ``append`` have in common."""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import TYPE_CHECKING

from memvid.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memvid.config import EncoderConfig
    from memvid.documents import FilePlan
    from memvid.types import JsonObject, ProgressCallback

__all__ = ["DocumentReader", "nothing_text", "plan_files", "skipped_text"]


def plan_files(files: tuple[str, ...], video: Path, index: Path) -> FilePlan:
    """What to read into a memory: the files of the memory itself are left out of the folders that they lie in.

    :raises OutputError: one of them is named.
    """
    from memvid.documents import FilePlan, Skipped, find_files
    from memvid.documents.files import STDIN

    own = _files_of(video, index)
    named = {os.path.realpath(name) for name in files if name != STDIN}
    sources, skipped = [], []
    plan = find_files(files)
    for source in plan.sources:
        real = None if source.path is None else os.path.realpath(source.path)
        if source.path is None or real not in own:
            sources.append(source)
        elif real in named:
            raise OutputError(f"{source.path} is to be read, and is a file of the memory that is written: name another")
        else:
            skipped.append(Skipped(source.path, "of this memory"))
    return FilePlan(tuple(sources), (*plan.skipped, *skipped))


def _files_of(video: Path, index: Path) -> set[str]:
    """All files that a memory has, or has while it is written, or had before its index came to be inside."""
    from memvid.index.manifest import numbered_files
    from memvid.storage.commit import default_index_file

    indexes = (index, default_index_file(video))
    own = (video, *indexes)
    files = {f"{file}{suffix}" for file in own for suffix in ("", ".new", ".lock", ".commit", ".checkpoint")}
    for each in indexes:
        if each.parent.is_dir():
            files |= {str(each.with_name(name)) for name in numbered_files(each)}
    return {os.path.realpath(file) for file in files}


class DocumentReader:
    """Reads the files of a plan as one stream of chunks.

    :ivar documents: documents read so far.
    """

    def __init__(
        self, plan: FilePlan, config: EncoderConfig, *, encoding: str, split: bool, progress: ProgressCallback
    ) -> None:
        self._plan = plan
        self._config = config
        self._encoding = encoding
        self._split = split
        self._progress = progress
        self.documents = 0
        logging.getLogger("pypdf").setLevel(logging.ERROR)  # it grumbles on stderr about pages it can read all the same

    def chunks(self) -> Iterator[tuple[str, JsonObject]]:
        """All chunks with their metadata."""
        from memvid.chunking import split_text
        from memvid.documents import read_documents
        from memvid.types import Progress

        for document in read_documents(self._plan.sources, encoding=self._encoding):
            if self._split:
                size, overlap = self._config.chunk_size, self._config.overlap
                for chunk in split_text(document.text, chunk_size=size, overlap=overlap):
                    yield chunk, document.metadata
            else:
                yield document.text, document.metadata
            self.documents += 1
            self._progress(Progress("read", self.documents, 0))
        self._progress(Progress("read", self.documents, self.documents))


def nothing_text(plan: FilePlan) -> str:
    """What to say where no file has a text."""
    read = f"{len(plan.sources)} without a text" if plan.sources else ""
    return f"there is nothing to store: {', '.join(filter(None, (read, skipped_text(plan)))) or 'no file is there'}"


def skipped_text(plan: FilePlan) -> str:
    """Why files were skipped, and how many."""
    reasons = Counter(skipped.reason for skipped in plan.skipped)
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
