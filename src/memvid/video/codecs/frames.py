"""One kind of source of frames for whatever a video is encoded with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from memvid import _core
from memvid.errors import DependencyError, VideoFormatError
from memvid.types import StrPath
from memvid.video.codecs.decoding import read_payloads
from memvid.video.codecs.page_table_box import find_page_table
from memvid.video.codecs.picture_limits import BATCH_PIXELS
from memvid.video.codecs.sources import Picture, PictureSource, open_pictures
from memvid.video.frame_status import NO_PICTURE
from memvid.video.video_bytes import VideoBytes

__all__ = ["Frames", "PictureVideo", "native_source", "open_frames", "payloads_of", "refuse_index"]

Frames: TypeAlias = "_core.FrameReader | PictureVideo"
"""What :class:`VideoReader` reads frames from; both have the same methods."""

_OTHER_CONTAINERS = (b"\x1aE\xdf\xa3", b"RIFF")  # Matroska and WebM, AVI: OpenCV opens them, too
_BATCH = 32  # pictures fetched at once, where they are not large
_READ_AT_ONCE = 1024  # frames of our own: a few MB of payload
_FIRST = 8  # frames that say whether all are our own
_LOOKED_AT = 4096  # bytes of what is no MP4


def refuse_index(file: VideoBytes, path: StrPath) -> bytes:
    """The first bytes of a file that is to be a video.

    :raises VideoFormatError: it is an index.
    """
    start = file.read(0, _LOOKED_AT)
    if start.startswith(b"{") and b'"sha256"' in start:
        raise VideoFormatError(f"{path} is an index, not a video: name the video first, then its index")
    return start


def open_frames(path: str, *, threads: int) -> Frames:
    """Open a video: our own natively, any other through its codec.

    :raises VideoNotFoundError: no file is there.
    :raises VideoFormatError: it is no video, or none of memvid.
    :raises DependencyError: nothing that is installed decodes it.
    """
    try:
        native = _core.FrameReader(path, threads=threads)
    except VideoFormatError:
        with VideoBytes(Path(path)) as file:
            start = refuse_index(file, path)
        if start.startswith(_OTHER_CONTAINERS):
            return PictureVideo(path, threads=threads)
        if start[4:8] == b"ftyp" or find_spec("av") is None:
            raise
        found = _in_another_container(path, threads)
        if found is None:
            raise
        return found
    else:
        if native.codec == "png":
            return native if _are_ours(native) else _in_another_container(path, threads) or native
    return PictureVideo(path, threads=threads)


def _are_ours(native: _core.FrameReader) -> bool:
    """Whether there are frames, and in our own profile: of 8 bits a pixel, say, another program has written them."""
    if native.page_table is not None and native.frame_count:
        return True
    return bool((native.read(np.arange(min(native.frame_count, _FIRST)))[1] != NO_PICTURE).any())


def _in_another_container(path: str, threads: int) -> PictureVideo | None:
    """What only FFmpeg reads: ``.ts`` and its like, an MP4 in fragments, whose header lists no frames, other PNGs."""
    try:
        return PictureVideo(path, threads=threads)
    except (VideoFormatError, DependencyError):
        return None


def native_source(frames: Frames) -> _core.FrameSource:
    """What the native readers of pages take."""
    return frames.native if isinstance(frames, PictureVideo) else frames


def payloads_of(frames: Frames) -> Iterator[bytes | None]:
    """What is in each picture of a video in turn, whatever it should be; nothing where nothing can be read.

    :param frames: of a video that was just opened.
    """
    if isinstance(frames, PictureVideo):
        yield from frames.payloads()
        return
    for start in range(0, frames.frame_count, _READ_AT_ONCE):
        yield from frames.read(np.arange(start, min(start + _READ_AT_ONCE, frames.frame_count)))[0]


class _Fetcher:
    """Pictures of pages: knows at which position of the video each page is."""

    def __init__(self, source: PictureSource, positions: NDArray[np.int64]) -> None:
        self._source = source
        self._positions = positions

    def seek(self, pages: list[int]) -> list[Picture | None]:
        """By seeking."""
        return self._fetch(pages, counted=False)

    def count(self, pages: list[int]) -> list[Picture | None]:
        """By counting from the start."""
        return self._fetch(pages, counted=True)

    def _fetch(self, pages: list[int], *, counted: bool) -> list[Picture | None]:
        positions = self._positions[pages]
        found: list[Picture | None] = [None] * len(pages)
        shown = np.flatnonzero(positions >= 0)  # of a page that was lost, parity may be left
        for at, picture in zip(
            shown.tolist(), self._source.fetch(positions[shown].tolist(), counted=counted), strict=True
        ):
            found[at] = picture
        return found


class PictureVideo:
    """Verified payloads of a video in another codec. Safe to share between threads, once its frames have their places.

    :param threads: for QR codes; 0 uses the cores this process may run on.
    :ivar page_table: the one in the box behind an MP4, as it is there; ``None`` without one.
    """

    def __init__(self, path: str, *, threads: int = 0) -> None:
        self.page_table = find_page_table(path)
        self._source = open_pictures(path)
        self._threads = threads
        self.codec = self._source.codec
        self.width, self.height = self._source.width, self._source.height
        self.fps = self._source.fps
        self.file_size = os.stat(path).st_size  # noqa: PTH116
        self.frame_count = max(self._source.frame_count, 0)

    def payloads(self) -> Iterator[bytes | None]:
        """What is in each picture in turn, whatever it should be; nothing where nothing can be read."""
        return read_payloads(self._source, threads=self._threads)

    def place(self, places: NDArray[np.int64]) -> None:
        """From now on frame ``i`` is the picture ``places[i]``, -1 none; no checksum is expected of any."""
        self.frame_count = len(places)
        # Two readers, neither of which the fetcher knows: a cycle through native objects would never be collected.
        self._fetcher = _Fetcher(self._source, places)
        self.native, self._exact = map(self._reader, (self._fetcher.seek, self._fetcher.count))

    def expect(self, checksums: NDArray[np.uint32]) -> None:
        """From now on frame ``i`` must have ``checksums[i]``."""
        self.native.expect(checksums)
        self._exact.expect(checksums)

    def read(
        self, indices: NDArray[np.int64], *, corrected: bool = False
    ) -> tuple[list[bytes | None], NDArray[np.uint8]]:
        """Payloads and statuses; where seeking did not find the right frame, by counting from the start."""
        payloads, statuses = self.native.read(indices, corrected=corrected)
        bad = np.flatnonzero(statuses)
        if len(bad):
            again, statuses[bad] = self._exact.read(np.ascontiguousarray(indices[bad]), corrected=corrected)
            for at, payload in zip(bad.tolist(), again, strict=True):
                payloads[at] = payload
        return payloads, statuses

    def read_pixels(self, index: int) -> NDArray[np.uint8]:
        """The picture of one frame, ``uint8[height, width]``."""
        if not 0 <= index < self.frame_count:
            raise VideoFormatError(f"there is no frame {index}: the video has {self.frame_count}")
        (picture,) = self._fetcher.seek([index])
        if picture is None:
            raise VideoFormatError(f"frame {index} is not a picture")
        return picture

    def counters(self) -> dict[str, int]:
        """Frames and bytes of pictures read, and how."""
        exact = self._exact.counters()
        return {name: count + exact[name] for name, count in self.native.counters().items()}

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    def _reader(self, fetch: Callable[[list[int]], list[Picture | None]]) -> _core.PictureReader:
        batch = min(_BATCH, max(1, BATCH_PIXELS // max(1, self.width * self.height)))
        return _core.PictureReader(
            fetch, self.frame_count, budget=self._source.detection_budget, threads=self._threads, batch=batch
        )
