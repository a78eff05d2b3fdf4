"""Parity across frames: pages from which lost ones are computed again, by Reed-Solomon erasure coding.

The arithmetic is zfec's, which is needed to write parity and to rebuild frames, not to read a memory that is whole.
``docs/format.md``, "Parity", is normative.
"""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memvid.dependencies import import_dependency
from memvid.errors import FrameError
from memvid.page import HEADER_BYTES, PageBody, PageKind, ParityHead, is_page
from memvid.page.parity import PARITY_OVERHEAD
from memvid.storage.disk import output_errors

__all__ = ["BLOCK_FRAMES", "ParityBlock", "ParityEncoder", "ParityGroup", "load_zfec", "parity_pages"]

_GROUP_FRAMES = 120
"""Frames of a group at most. Large groups bear random losses better: what a group has to spare, no other can use."""

BLOCK_FRAMES = 16 * _GROUP_FRAMES
"""Frames whose groups are interleaved, 64 seconds of video at 30 frames a second; so many are in memory."""

_POOLED = 16 << 20  # bytes of parity in memory; the rest waits in a file of the temporary folder
_SIZE_BYTES = 4  # in front of each page that waits

_BODY_START = PARITY_OVERHEAD - 2


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
        decoder = load_zfec().Decoder(len(self.members), len(self.members) + len(self.parity))
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
        load_zfec()
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
        while len(self._waiting) >= BLOCK_FRAMES:
            self._encode(self._waiting[:BLOCK_FRAMES])
            del self._waiting[:BLOCK_FRAMES]

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
    encoded: list[bytes] = load_zfec().Encoder(count, count + parity).encode(shares, range(count, count + parity))
    return encoded


def _share(payload: bytes, length: int) -> bytes:
    return (len(payload).to_bytes(2, "little") + payload).ljust(length, b"\0")


def _payload(share: bytes, frame: int) -> bytes:
    length = int.from_bytes(share[:2], "little")
    payload = share[2 : 2 + length]
    if len(payload) != length or any(share[2 + length :]) or (is_page(payload) and length < HEADER_BYTES):
        raise FrameError(f"frame {frame}: parity gives nothing that was ever written", frame_index=frame)
    return payload


def load_zfec() -> Any:
    """zfec's module.

    :raises DependencyError: it is not installed, or does not load.
    """
    return import_dependency("zfec", 'parity needs zfec, which is not installed: pip install "memvid[parity]"')
