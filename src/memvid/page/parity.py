"""What a parity page says of itself: which frames it protects, and which part of their parity it holds.

Little endian, in front of the parity itself: first frame u32 | frames u32 | groups u16 | parity u16 | group u16 |
index u16. ``docs/format.md`` is normative.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from memvid.errors import FrameError
from memvid.page.header import HEADER_BYTES

__all__ = ["MAX_SHARES", "PARITY_OVERHEAD", "ParityHead", "parse_parity_head"]

_HEAD = Struct("<IIHHHH")
_LENGTH_BYTES = 2

MAX_SHARES = 256
"""Most frames of a group, its parity among them: the field has so many elements."""

PARITY_OVERHEAD = HEADER_BYTES + _HEAD.size + _LENGTH_BYTES
"""Bytes by which a parity page is longer than the longest payload it protects."""


@dataclass(frozen=True, slots=True)
class ParityHead:
    """The place of a parity page.

    :ivar first: first frame that is protected.
    :ivar frames: how many are, one behind the other; frame ``first + i`` is in group ``i % groups``.
    :ivar groups: groups they are dealt out to.
    :ivar parity: parity pages of each group.
    :ivar group: group of this page.
    :ivar index: number of this page in its group, from 0.
    """

    first: int
    frames: int
    groups: int
    parity: int
    group: int
    index: int

    def to_bytes(self) -> bytes:
        """As it stands in front of the parity."""
        return _HEAD.pack(self.first, self.frames, self.groups, self.parity, self.group, self.index)


def parse_parity_head(payload: bytes, *, frame_index: int) -> ParityHead:
    """The head of a verified PARITY page.

    :raises FrameError: it cannot be.
    """
    if len(payload) < HEADER_BYTES + _HEAD.size + _LENGTH_BYTES:
        raise FrameError(f"frame {frame_index}: its parity page is too short", frame_index=frame_index)
    head = ParityHead(*_HEAD.unpack_from(payload, HEADER_BYTES))
    start = frame_index - head.group * head.parity - head.index  # of all parity pages of these groups
    possible = (
        0 < head.groups <= head.frames
        and head.group < head.groups
        and head.index < head.parity
        and -(-head.frames // head.groups) + head.parity <= MAX_SHARES
        and head.first + head.frames <= start
    )
    if not possible:
        raise FrameError(
            f"frame {frame_index}: its parity page names an impossible group; the video is damaged: restore it from a "
            "copy",
            frame_index=frame_index,
        )
    return head
