"""What one question to a video may still take."""

from __future__ import annotations

from memvid.allowance import Allowance
from memvid.page import ReadMetadata, RecordPage, decoded_bytes, read_metadata

__all__ = ["Question"]


class Question:
    """What one reading of chunks may still take; bytes.

    :param limit: of the answer's texts, and again of its metadata.
    :param unpacked: of all pages that have to be unpacked for it.
    :param remedy: what to do where that is not enough.
    :ivar unpacked: by pages that have to be unpacked in Python, not in the native reader.
    :ivar answer: by the chunks, but for their metadata.
    :ivar metadata: by that.
    :ivar page: the one that was opened last, and its frame.
    """

    def __init__(self, limit: int, unpacked: int, remedy: str) -> None:
        asked = "the chunks that were asked for"
        self.unpacked = Allowance(unpacked, f"{asked} unpack to", remedy)
        self.answer = Allowance(limit, f"{asked} take", remedy)
        self.metadata = Allowance(limit, f"the metadata of {asked} takes", remedy)
        self.page: tuple[int, RecordPage] | None = None

    def read(self, metadata: bytes) -> ReadMetadata:
        """What can be used of stored metadata."""
        if metadata:
            self.metadata.spend(decoded_bytes(metadata))
        return read_metadata(metadata)
