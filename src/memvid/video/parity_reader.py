"""Lost frames of a video, computed again from the rest of their parity groups, and what those can still lose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memvid.errors import FrameError
from memvid.page import PageKind, page_checksum, parse_parity_head, seal
from memvid.video.parity import BLOCK_FRAMES, ParityBlock, ParityGroup, parity_pages
from memvid.video.table import PageTable

__all__ = ["GroupMargin", "ParityReader"]

_KEPT = 2 * BLOCK_FRAMES
"""Rebuilt payloads remembered, some MB: the others of a group come with the first, and are asked for group by group in
turn, so fewer than a block and its parity have would be forgotten before they are."""

Read = Callable[[NDArray[np.int64]], "tuple[list[bytes | None], NDArray[np.uint8]]"]


@dataclass(frozen=True, slots=True)
class GroupMargin:
    """What a group can still lose.

    :ivar first_frame: the first frame it protects.
    :ivar every: the next ones are so many frames behind each other.
    :ivar frames: frames it protects.
    :ivar parity: parity frames it was written with; 0 if none of them can be read any more.
    :ivar lost: of all these, how many cannot be read.
    """

    first_frame: int
    every: int
    frames: int
    parity: int
    lost: int

    @property
    def margin(self) -> int:
        """How many more frames may be lost; below 0 if it has lost too many."""
        return self.parity - self.lost


class ParityReader:
    """Rebuilds frames of a video by the parity pages that can be read.

    :param table: its page table.
    :param read: payloads and statuses of frames, each verified against the table; nothing for what cannot be read.
    """

    def __init__(self, table: PageTable, read: Read) -> None:
        self._table = table
        self._read = read
        self._blocks: list[ParityBlock] | None = None
        self._rebuilt: dict[int, bytes] = {}  # replaced whole, so any thread may look

    @property
    def blocks(self) -> list[ParityBlock]:
        """The blocks of which at least one parity page can be read, in their order."""
        if self._blocks is None:
            blocks = []
            behind = 0
            for frame in self._table.frames_of_kind(PageKind.PARITY).tolist():
                if frame < behind:
                    continue
                (payload,), _ = self._read(np.array([frame]))
                if payload is not None:
                    block = ParityBlock.of(parse_parity_head(payload, frame_index=frame), frame)
                    if block.stop > len(self._table):
                        raise FrameError(f"frame {frame}: its parity goes on behind the video", frame_index=frame)
                    blocks.append(block)
                    behind = block.stop
            self._blocks = blocks
        return self._blocks

    def rebuild(self, frame: int) -> bytes | None:
        """The payload of a frame that cannot be read, verified; ``None`` if it is in no group.

        :raises FrameError: too much of its group is lost, or what came of it is not what was written.
        :raises DependencyError: zfec is not installed.
        """
        known = self._rebuilt.get(frame)
        if known is not None:
            return known
        block, group = next(
            ((block, found) for block in self.blocks if (found := block.group_of(frame)) is not None), (None, None)
        )
        if block is None or group is None:
            return None
        left = self.payloads(group)
        left.pop(frame, None)
        rebuilt = group.rebuild(left)
        kept = {at: payload for at, payload in rebuilt.items() if self._is_true(at, payload)}
        if frame in group.parity and len(kept) == len(rebuilt):
            kept |= self._rebuild_parity(block, group, left | rebuilt)
        if frame not in kept:
            raise FrameError(f"frame {frame}: parity gives another page than was written there", frame_index=frame)
        merged = {**self._rebuilt, **kept}
        self._rebuilt = dict(list(merged.items())[max(len(merged) - _KEPT, 0) :])
        return kept[frame]

    def _rebuild_parity(
        self, block: ParityBlock, group: ParityGroup, payloads: Mapping[int, bytes]
    ) -> dict[int, bytes]:
        """Parity pages that are missing, from all frames they protect."""
        pages = parity_pages([payloads[frame] for frame in group.members], block, group)
        made = {
            frame: seal(page, tag=self._table.tag, page_number=frame)
            for frame, page in zip(group.parity, pages, strict=True)
            if frame not in payloads
        }
        return {frame: payload for frame, payload in made.items() if self._is_true(frame, payload)}

    def _is_true(self, frame: int, payload: bytes) -> bool:
        return page_checksum(payload) == int(self._table.checksums[frame])

    def margin(self, unreadable: Iterable[int]) -> GroupMargin | None:
        """The group that can lose fewest further frames, the first of several.

        Frames whose parity is lost altogether count as a group that can lose none.

        :param unreadable: all frames that cannot be read.
        :returns: ``None`` if nothing was ever protected.
        """
        lost = set(unreadable)
        known = [
            GroupMargin(
                first_frame=group.members.start,
                every=block.groups,
                frames=len(group.members),
                parity=block.parity,
                lost=len(lost.intersection(group.members)) + len(lost.intersection(group.parity)),
            )
            for block in self.blocks
            for group in map(block.group, range(block.groups))
        ]
        return min([*known, *self._unprotected(lost)], key=lambda group: group.margin, default=None)

    def _unprotected(self, lost: set[int]) -> Iterator[GroupMargin]:
        """Frames in front of parity pages not one of which can be read."""
        unknown = set(self._table.frames_of_kind(PageKind.PARITY).tolist())
        unknown.difference_update(*(range(block.start, block.stop) for block in self.blocks))
        covered = [range(block.first, block.first + block.frames) for block in self.blocks]
        for frame in sorted(unknown):
            if frame - 1 in unknown:
                continue
            start = frame
            while start > 0 and self._table.kinds[start - 1] != PageKind.PARITY:
                start -= 1
            bare = [at for at in range(start, frame) if not any(at in span for span in covered)]
            if bare:
                yield GroupMargin(bare[0], 1, len(bare), 0, len(lost.intersection(bare)))

    def payloads(self, group: ParityGroup) -> dict[int, bytes]:
        """Those of a group's frames, members and parity, that can be read."""
        frames = [*group.members, *group.parity]
        payloads, _ = self._read(np.array(frames, np.int64))
        return {frame: payload for frame, payload in zip(frames, payloads, strict=True) if payload is not None}
