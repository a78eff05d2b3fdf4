"""What is wrong with a memory, where, and which chunks it concerns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from memvid.page import ChunkIds, ChunkRanges

__all__ = ["Finding", "Findings", "Severity"]

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    :ivar severity: ``"error"``: something cannot be read or used; ``"warning"``: all of it still can.
    :ivar code: what it is about: ``"container"``, ``"page table"``, ``"header"``, ``"dictionary"``, ``"frame"``,
        ``"page"``, ``"metadata"``, ``"picture"``, ``"parity"``, ``"chunks"``, ``"tombstones"``, ``"manifest"``,
        ``"side file"``, ``"graph"``, ``"records"``, ``"commit"``, ``"log"`` (what commits say of themselves).
    :ivar message: what is wrong and what to do, in a sentence.
    :ivar file: the file it is in.
    :ivar frame: the 0-based frame, if it is one.
    :ivar offset: the byte of the file where it, or its frame, starts, if that is known.
    :ivar chunks: chunks that cannot be read because of it, without those that were deleted; of ``"metadata"``, those
        whose text can be read, and whose metadata cannot be used.
    """

    severity: Severity
    code: str
    message: str
    file: str
    frame: int | None = None
    offset: int | None = None
    chunks: ChunkRanges = ()


@dataclass(slots=True)
class Findings:
    """Collects findings."""

    found: list[Finding] = field(default_factory=list)

    def error(
        self,
        code: str,
        message: object,
        file: object,
        *,
        frame: int | None = None,
        offset: int | None = None,
        chunks: ChunkRanges = (),
    ) -> None:
        """Note what cannot be read or used."""
        self.found.append(Finding("error", code, str(message), str(file), frame, offset, chunks))

    def warn(
        self, code: str, message: object, file: object, *, frame: int | None = None, offset: int | None = None
    ) -> None:
        """Note what is not as it was written, and does not matter yet."""
        self.found.append(Finding("warning", code, str(message), str(file), frame, offset))

    def leave_out(self, deleted: ChunkIds) -> None:
        """Have no finding name chunks that were deleted, nor be about their metadata: they cost nobody anything."""
        left: dict[int, ChunkRanges] = {}  # by identity: what costs all chunks is found many times, and is one object
        for number, finding in enumerate(self.found):
            if deleted and finding.chunks:
                ranges = finding.chunks
                if id(ranges) not in left:
                    left[id(ranges)] = (ChunkIds.of_ranges(ranges) - deleted).ranges
                self.found[number] = replace(finding, chunks=left[id(ranges)])
        self.found = [finding for finding in self.found if finding.chunks or finding.code != "metadata"]
