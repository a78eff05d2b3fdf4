"""What one question to a video may still take."""

from __future__ import annotations

from functools import cached_property

from memvid.allowance import Allowance
from memvid.page import ReadMetadata, RecordPage, decoded_bytes, read_metadata

__all__ = ["Question"]


class Question:
    """What one reading of chunks may still take; bytes.

    :param limit: of the answer's texts, and again of its metadata.
    :param unpacked: of all pages that have to be unpacked for it.
    :param remedy: what to do where that is not enough.
    :ivar page: the page that was opened last, and its frame.
    """

    def __init__(self, limit: int, unpacked: int, remedy: str) -> None:
        self.limit = limit
        self.unpacked_limit = unpacked
        self.page: tuple[int, RecordPage] | None = None
        self._remedy = remedy

    @cached_property
    def unpacked(self) -> Allowance:
        """What pages take that have to be unpacked in Python, not in the native reader."""
        return Allowance(self.unpacked_limit, "the chunks that were asked for unpack to", self._remedy)

    @cached_property
    def answer(self) -> Allowance:
        """What the chunks take, but for their metadata."""
        return Allowance(self.limit, "the chunks that were asked for take", self._remedy)

    @cached_property
    def metadata(self) -> Allowance:
        """What that takes."""
        return Allowance(self.limit, "the metadata of the chunks that were asked for takes", self._remedy)

    def read(self, metadata: bytes) -> ReadMetadata:
        """What can be used of stored metadata."""
        if metadata:
            self.metadata.spend(decoded_bytes(metadata))
        return read_metadata(metadata)
