"""Files into chunks: what ``build`` and ``append`` have in common."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memvid.config import EncoderConfig
    from memvid.documents import FilePlan
    from memvid.types import JsonObject, ProgressCallback

__all__ = ["DocumentReader", "skipped_text"]


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


def skipped_text(plan: FilePlan) -> str:
    """Why files were skipped, and how many."""
    reasons = Counter(skipped.reason for skipped in plan.skipped)
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
