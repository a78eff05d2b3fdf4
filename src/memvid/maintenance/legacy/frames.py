"""All chunks that the frames of an old video still give."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from memvid import _core
from memvid.allowance import Allowance
from memvid.errors import VideoError, VideoFormatError
from memvid.maintenance.legacy.codes import OldCode, parse_code, text_allowance
from memvid.page import is_page
from memvid.types import Progress, ProgressCallback, StrPath
from memvid.video.codecs import decode_pictures, open_pictures
from memvid.video.codecs.decoding import read_payloads
from memvid.video.codecs.profiles import load_opencv
from memvid.video.codecs.sources import AvSource, Picture
from memvid.video.video_bytes import VideoBytes

__all__ = ["OldFrames", "read_frames"]

_MAX_SIDE = 4096  # pixels of what is enlarged
_REPORTED = 64  # pictures between two reports
_ENLARGED = 2  # times: what is tried with pictures that give nothing as they are
_NAMES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")  # of the first box of an MP4


@dataclass(slots=True)
class OldFrames:
    """What came out of a video.

    :ivar payloads: the code of each frame that was read, by the number in it; in memory, at most 3 kB each.
    :ivar pictures: pictures in the video.
    :ivar unreadable: how many of them gave no chunk.
    :ivar repeated: how many gave one that an earlier picture had given.
    :ivar listed: frames that the container lists, 0 where that is an estimate.
    :ivar missing_bytes: bytes of the file that the disk does not give.
    """

    payloads: dict[int, bytes] = field(default_factory=dict)
    pictures: int = 0
    unreadable: int = 0
    repeated: int = 0
    listed: int = 0
    missing_bytes: int = 0
    _codes: set[bytes] = field(default_factory=set)  # all that were parsed

    @property
    def expected(self) -> int:
        """Frames the video was written with, as far as it tells."""
        return max(max(self.pictures, self.listed) - self.repeated, max(self.payloads, default=-1) + 1)

    def code(self, number: int | None) -> OldCode | None:
        """The chunk of a frame, if it was read."""
        payload = None if number is None else self.payloads.get(number)
        return None if payload is None else parse_code(payload)

    def add(self, payload: bytes | None, allowance: Allowance) -> None:
        """Note what the next picture gave. Of a frame that comes again the first one counts.

        :param allowance: bytes that all texts may unpack to.
        """
        self.pictures += 1
        if payload in self._codes:
            self.repeated += 1
            return
        code = None if payload is None else parse_code(payload)
        if code is None or payload is None:
            self.unreadable += 1
            return
        allowance.spend(code.nbytes)
        self._codes.add(payload)
        if code.number in self.payloads:
            self.repeated += 1
        else:
            self.payloads[code.number] = payload


def read_frames(path: StrPath, *, threads: int, progress: ProgressCallback | None) -> OldFrames:
    """Read every frame of an old video, in order; codes in parallel, off the GIL. Reports the stage ``"frames"``.

    A damaged video gives what its decoder makes of the rest of it.

    :raises VideoNotFoundError: there is no such file.
    :raises VideoFormatError: it is no video, or a memory of ours.
    :raises DependencyError: nothing that is installed decodes it.
    :raises ResourceLimitError: the texts unpack to more than they may.
    """
    _check_container(Path(path))
    allowance = text_allowance([Path(path)])
    source = open_pictures(os.fspath(path))
    try:
        # OpenCV takes the number from the duration.
        found = OldFrames(listed=source.frame_count if isinstance(source, AvSource) else 0)
        decode = partial(_decode, budget=source.detection_budget, threads=threads)
        for payload in read_payloads(source, decode):
            if payload is not None and is_page(payload):
                raise VideoFormatError(f"{path} is a memory of memvid's own already: open it as it is")
            found.add(payload, allowance)
            if progress is not None and found.pictures % _REPORTED == 0:
                progress(Progress("frames", found.pictures, max(source.frame_count, found.pictures)))
        if progress is not None:
            progress(Progress("frames", found.pictures, max(source.frame_count, found.pictures)))
        with VideoBytes(Path(path)) as file:
            file.read_through()
            found.missing_bytes = sum(map(len, file.unreadable()))
        return found
    finally:
        source.close()


def _check_container(path: Path) -> None:
    """Refuse what is neither MP4, Matroska nor AVI: FFmpeg would also follow the paths in a playlist."""
    with VideoBytes(path) as file:
        head = file.read(0, 8)
        if any(file.unreadable()):
            raise VideoError(f"the disk does not give the beginning of {path}: import the old memory's index alone")
    if head[4:] not in _NAMES and not head.startswith((b"\x1aE\xdf\xa3", b"RIFF")):
        raise VideoFormatError(
            f"{path} is no video: neither MP4, Matroska nor AVI; an old memory's index alone can be imported, too"
        )


def _decode(pictures: Sequence[Picture | None], *, budget: _core.DetectionBudget, threads: int) -> list[bytes | None]:
    """The payload of each picture; of what gives none, that of the enlarged picture."""
    payloads, _ = decode_pictures(pictures, budget=budget, threads=threads)
    failed = [at for at, payload in enumerate(payloads) if payload is None]
    if failed and not budget.is_spent:
        again, _ = decode_pictures([_enlarge(pictures[at]) for at in failed], budget=budget, threads=threads)
        for at, payload in zip(failed, again, strict=True):
            payloads[at] = payload
    return payloads


def _enlarge(picture: Picture | None) -> Picture | None:
    cv2 = load_opencv()
    if picture is None or max(picture.shape) * _ENLARGED > _MAX_SIDE:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_LINEAR), np.uint8)
