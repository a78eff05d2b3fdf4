"""Parity across frames: pages from which lost ones are computed again, by Reed-Solomon erasure coding.

The arithmetic is zfec's, which is needed to write parity and to rebuild frames, not to read a memory that is whole.
``docs/format.md``, "Parity", is normative.
"""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memvid._disk import output_errors
from memvid.errors import DependencyError, FrameError
from memvid.page import HEADER_BYTES, PageBody, PageKind, ParityHead, is_page, page_checksum, parse_parity_head, seal
from memvid.page.parity import PARITY_OVERHEAD

if TYPE_CHECKING:
    from memvid.video.table import PageTable

__all__ = ["GroupMargin", "ParityBlock", "ParityEncoder", "ParityGroup", "ParityReader", "parity_pages"]

_GROUP_FRAMES = 120
"""Frames of a group at most. Large groups bear random losses better: what a group has to spare, no other can use."""

_BLOCK_FRAMES = 16 * _GROUP_FRAMES
"""Frames whose groups are interleaved, 64 seconds of video at 30 frames a second; so many are in memory."""

_KEPT = 2 * _BLOCK_FRAMES
"""Rebuilt payloads remembered, some MB: the others of a group come with the first, and are asked for group by group in
turn, so fewer than a block and its parity have would be forgotten before they are."""

_POOLED = 16 << 20  # bytes of parity in memory; the rest waits in a file of the temporary folder
_SIZE_BYTES = 4  # in front of each page that waits

_BODY_START = PARITY_OVERHEAD - 2

Read = Callable[[NDArray[np.int64]], "tuple[list[bytes | None], NDArray[np.uint8]]"]


@dataclass(frozen=True, slots=True)
class ParityGroup:
    """Frames that are protected together.

    :ivar members: the frames.
    :ivar parity: the frames of their parity pages.
    """

    members: range
    parity: range

    def rebuild(self, payloads: Mapping[int, bytes]) -> dict[int, bytes]:
        """Payloads of the members that are missing.

        :param payloads: by frame, of all members and parity pages that are left, verified.
        :raises FrameError: too few are left; says how many.
        :raises DependencyError: zfec is not installed.
        """
        missing = [frame for frame in self.members if frame not in payloads]
        spare = [frame for frame in self.parity if frame in payloads]
        if len(missing) > len(spare):
            raise FrameError(
                f"{len(missing)} of {len(self.members)} frames of its parity group are lost, and {len(spare)} of "
                f"{len(self.parity)} parity frames are left",
                frame_index=missing[0],
            )
        if not missing:
            return {}
        chosen = spare[: len(missing)]
        length = len(payloads[chosen[0]]) - _BODY_START
        shares, numbers = [], []
        for number, frame in enumerate(self.members):
            if frame in payloads:
                shares.append(_share(payloads[frame], length))
                numbers.append(number)
        for frame in chosen:
            shares.append(payloads[frame][_BODY_START:])
            numbers.append(len(self.members) + frame - self.parity.start)
        if any(len(share) != length for share in shares):
            raise FrameError("parity pages of one group have different lengths", frame_index=missing[0])
        decoder = _zfec().Decoder(len(self.members), len(self.members) + len(self.parity))
        whole = decoder.decode(shares, numbers)
        return {frame: _payload(whole[frame_at], frame) for frame_at, frame in self._places(missing)}

    def is_consistent(self, payloads: Mapping[int, bytes]) -> bool:
        """Whether the parity pages are those of the members, all of which are given."""
        given = [frame for frame in self.parity if frame in payloads]
        if not given:
            return True
        shares = _encode([payloads[frame] for frame in self.members], len(self.parity))
        return all(payloads[frame][_BODY_START:] == shares[frame - self.parity.start] for frame in given)

    def _places(self, frames: Iterable[int]) -> Iterable[tuple[int, int]]:
        return ((self.members.index(frame), frame) for frame in frames)


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


@dataclass(frozen=True, slots=True, order=True)
class ParityBlock:
    """Frames whose groups are interleaved, and their parity pages behind them.

    :ivar first: first frame that is protected.
    :ivar frames: how many are.
    :ivar groups: groups they are dealt out to.
    :ivar parity: parity pages of each group.
    :ivar start: frame of the first parity page.
    """

    first: int
    frames: int
    groups: int
    parity: int
    start: int

    @classmethod
    def of(cls, head: ParityHead, frame: int) -> ParityBlock:
        """The block of a parity page in a frame."""
        start = frame - head.group * head.parity - head.index
        return cls(head.first, head.frames, head.groups, head.parity, start)

    @property
    def stop(self) -> int:
        """The frame behind the last parity page."""
        return self.start + self.groups * self.parity

    def group(self, number: int) -> ParityGroup:
        """One of the groups."""
        start = self.start + number * self.parity
        members = range(self.first + number, self.first + self.frames, self.groups)
        return ParityGroup(members, range(start, start + self.parity))

    def group_of(self, frame: int) -> ParityGroup | None:
        """The group that a frame is of, be it one of those it protects or one of its parity, if it is of any."""
        if self.first <= frame < self.first + self.frames:
            return self.group((frame - self.first) % self.groups)
        if self.start <= frame < self.stop:
            return self.group((frame - self.start) // self.parity)
        return None


class ParityEncoder:
    """Takes the payloads of successive frames, and makes their parity pages.

    In memory are a block of payloads and 16 MiB of parity; what is more waits in the temporary folder.

    :param rate: parity frames for each frame, above 0, at most 1.
    :param first: frame of the first payload.
    :raises DependencyError: zfec is not installed.
    """

    def __init__(self, rate: float, first: int) -> None:
        _zfec()
        self._rate = rate
        self._first = first
        self._waiting: list[bytes] = []
        self._pages = tempfile.SpooledTemporaryFile(max_size=_POOLED)  # noqa: SIM115  # as long as this lives
        weakref.finalize(self, self._pages.close)

    def add(self, payloads: Sequence[bytes]) -> None:
        """Take the next payloads.

        :raises OutputError: the temporary folder is full.
        """
        self._waiting += payloads
        while len(self._waiting) >= _BLOCK_FRAMES:
            self._encode(self._waiting[:_BLOCK_FRAMES])
            del self._waiting[:_BLOCK_FRAMES]

    def finish(self) -> Iterator[PageBody]:
        """The pages that belong behind all these frames, in their order, once.

        :raises OutputError: the temporary folder is full.
        """
        if self._waiting:
            self._encode(self._waiting)
            self._waiting = []
        with output_errors(tempfile.gettempdir()):
            self._pages.seek(0)
            while size := self._pages.read(_SIZE_BYTES):
                yield PageBody(PageKind.PARITY, 0, 0, 0, self._pages.read(int.from_bytes(size, "little")))

    def _encode(self, payloads: list[bytes]) -> None:
        groups = -(-len(payloads) // _GROUP_FRAMES)
        parity = max(1, math.ceil(self._rate * -(-len(payloads) // groups) - 1e-9))
        for group in range(groups):
            head = ParityHead(self._first, len(payloads), groups, parity, group, 0)
            pages = _pages(payloads[group::groups], head)
            with output_errors(tempfile.gettempdir()):
                for page in pages:
                    self._pages.write(len(page.body).to_bytes(_SIZE_BYTES, "little") + page.body)
        self._first += len(payloads)


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


def parity_pages(payloads: Sequence[bytes], block: ParityBlock, group: ParityGroup) -> list[PageBody]:
    """All parity pages of a group, from the payloads of all its members."""
    number = (group.members.start - block.first) % block.groups
    return _pages(payloads, ParityHead(block.first, block.frames, block.groups, block.parity, number, 0))


def _pages(payloads: Sequence[bytes], head: ParityHead) -> list[PageBody]:
    return [
        PageBody(PageKind.PARITY, 0, 0, 0, replace(head, index=index).to_bytes() + share)
        for index, share in enumerate(_encode(payloads, head.parity))
    ]


def _encode(payloads: Sequence[bytes], parity: int) -> list[bytes]:
    """The parity shares of a group."""
    length = 2 + max(map(len, payloads))
    shares = [_share(payload, length) for payload in payloads]
    count = len(shares)
    encoded: list[bytes] = _zfec().Encoder(count, count + parity).encode(shares, range(count, count + parity))
    return encoded


def _share(payload: bytes, length: int) -> bytes:
    return (len(payload).to_bytes(2, "little") + payload).ljust(length, b"\0")


def _payload(share: bytes, frame: int) -> bytes:
    length = int.from_bytes(share[:2], "little")
    payload = share[2 : 2 + length]
    if len(payload) != length or any(share[2 + length :]) or (is_page(payload) and length < HEADER_BYTES):
        raise FrameError(f"frame {frame}: parity gives nothing that was ever written", frame_index=frame)
    return payload


def _zfec() -> Any:
    try:
        import zfec
    except ImportError as error:
        raise DependencyError('parity needs zfec, which is not installed: pip install "memvid[parity]"') from error
    return zfec
