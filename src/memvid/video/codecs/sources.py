"""Grey pictures out of a video in any codec, in order or by position, by PyAV where it is installed, else by OpenCV.

A position counts the frames as they are shown, from 0. Seeking in a video is a request, not a promise: what is found is
told by its time stamp, and callers compare what is in it with what should be there. ``counted=True`` does without
seeking: it decodes from the start and counts.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from memvid import _core
from memvid.errors import ClosedError, DependencyError, VideoError, VideoFormatError
from memvid.remedies import REMEDY
from memvid.storage.files import check_regular
from memvid.video.codecs.containers import av_name, open_container
from memvid.video.codecs.counting import Counting, Picture
from memvid.video.codecs.picture_limits import MOST_PIXELS, check_pixels, check_size, detection_budget, fits
from memvid.video.codecs.profiles import INSTALL, load_opencv, load_pyav

__all__ = ["AvSource", "EveryPicture", "OpenCvSource", "Picture", "PictureSource", "Pictures", "open_pictures"]

_NEAR = 8  # frames: decoding so many and dropping them costs less than a seek
_NEAR_RATE = 0.9
_FEW_FRAMES = 2  # a cover and another one: no time between two others says how fast it is
_PLANAR = ("yuv", "gray", "nv12", "nv21")  # pixel formats whose first plane is the brightness


class Pictures(Protocol):
    """Pictures of one video, in order."""

    @property
    def detection_budget(self) -> _core.DetectionBudget:
        """What the detector may do in vain with all pictures of the video."""

    def pictures(self) -> Iterator[Picture | None]:
        """All pictures that can be decoded, in order; ``None`` for each of what is damaged, where that is known."""


class PictureSource(Pictures, Protocol):
    """Pictures of one video, also by position. Safe to share between threads, which wait for each other."""

    @property
    def codec(self) -> str:
        """What the frames are encoded with."""

    @property
    def width(self) -> int:
        """Pixels a row."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def fps(self) -> float:
        """Frames a second."""

    @property
    def frame_count(self) -> int:
        """Frames, as the container has them."""

    def fetch(self, positions: Sequence[int], *, counted: bool = False) -> list[Picture | None]:
        """``uint8[height, width]`` of each position, ``None`` where there is none; cheapest in ascending order."""

    def close(self) -> None:
        """Let go of the file."""


def open_pictures(path: str) -> PictureSource:
    """Open a video of any codec.

    :raises VideoError: it is no file, or may not be read.
    :raises VideoFormatError: it is none.
    :raises DependencyError: OpenCV cannot decode it, and PyAV is not installed.
    """
    _check_file(path)
    return AvSource(path) if find_spec("av") is not None else OpenCvSource(path)


def _check_file(path: str) -> None:
    try:
        check_regular(path)
    except OSError as error:
        raise VideoError(f"video {path!r} cannot be read: {error.strerror}") from error


class EveryPicture:
    """All pictures that a decoder makes of a video in any codec, in order, however damaged its file is.

    Where the file breaks off they end; those that an edit list hides are among them.

    :raises VideoError: it is no file, or may not be read.
    """

    def __init__(self, path: str) -> None:
        _check_file(path)
        self._path = path
        self.detection_budget = detection_budget(path)

    def pictures(self) -> Iterator[Picture | None]:
        """The pictures; ``None`` for each of what is damaged, where that is known.

        :raises VideoFormatError: it is no video, or one of impossible pictures.
        :raises ResourceLimitError: there are more pixels in it than a decoder should be kept busy with.
        :raises DependencyError: OpenCV cannot decode it, and PyAV is not installed.
        """
        if find_spec("av") is None:
            yield from OpenCvSource(self._path).pictures()
            return
        av = load_pyav("decoding this video")
        reformatter = _new_reformatter()
        with _av_errors(self._path), _open_stream(self._path, hidden=True) as container:
            context = container.streams.video[0].codec_context
            check_size(self._path, context.width, context.height)
            frames = _undamaged(container, self._path)
            while True:
                try:
                    frame = next(frames)
                except (StopIteration, av.FFmpegError):
                    return
                yield None if frame is None else _brightness(frame, reformatter)


class AvSource:
    """Pictures by PyAV. Opening goes through the container once, without decoding, for the time of every frame."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._container: Any = None
        with self._errors():
            self._container, self._process = self._open(), os.getpid()
            stream = self._container.streams.video[0]
            self.codec: str = stream.codec.canonical_name
            self.width: int = stream.codec_context.width
            self.height: int = stream.codec_context.height
            check_size(path, self.width, self.height)
            self.detection_budget = detection_budget(path)
            self._keys: list[int] = []
            self._decoded: dict[int, int | None] = {}  # when a frame is decoded, by when it is shown
            durations: dict[int, int] = {}
            self.frame_count = 0
            for packet in self._container.demux(stream):
                if packet.is_keyframe and packet.size and packet.pts is not None:
                    self._keys.append(packet.pts)
                if packet.is_discard or not packet.size:  # an edit list cuts off what others may still build upon
                    continue
                self.frame_count += 1
                if packet.pts is not None:
                    self._decoded[packet.pts] = packet.dts
                    if self.frame_count <= _FEW_FRAMES:
                        durations[packet.pts] = packet.duration or 0
        check_pixels(path, self.frame_count * self.width * self.height)
        self._keys.sort()
        self._times = sorted(self._decoded)
        self._ordered = len(self._times) == self.frame_count  # otherwise time stamps do not tell frames apart
        self.fps: float = _frame_rate(self._times, durations, stream)
        self._frames: Iterator[Any] = iter(())
        self._now: int | None = None  # the time of the frame that was decoded last
        self._counting = Counting(self.pictures)
        self._reformatter = _new_reformatter()

    def fetch(self, positions: Sequence[int], *, counted: bool = False) -> list[Picture | None]:
        with self._lock, self._errors():
            if self._container is None:
                raise ClosedError(f"{self._path} was closed: open it again")
            if self._process != os.getpid():  # a fork: the place in the file is shared with the parent
                self._container, self._process = self._open(), os.getpid()
                self._frames, self._now = iter(()), None
                self._counting = Counting(self.pictures)
            if counted or not self._ordered:
                self._frames, self._now = iter(()), None
                self._container.streams.video[0].codec_context.flush_buffers()  # of two decoders one keeps pictures
                return self._counting.fetch(positions)
            self._counting.stop()
            return [self._at(position) for position in positions]

    def pictures(self) -> Iterator[Picture | None]:
        with self._errors(), self._open() as container:
            reformatter = _new_reformatter()
            for frame in _undamaged(container, self._path):
                yield None if frame is None else _brightness(frame, reformatter)

    def close(self) -> None:
        with self._lock:
            if self._container is not None:
                self._container.close()
                self._container = None
            self._counting.stop()
            self._frames = iter(())

    def _open(self) -> Any:
        return _open_stream(self._path)

    def _at(self, position: int) -> Picture | None:
        if not 0 <= position < len(self._times):
            return None
        wanted = self._times[position]
        if self._comes_soon(wanted):
            return self._until(wanted)
        picture = self._until(wanted, start=wanted)
        early = self._decoded[wanted]
        if picture is None and early is not None and early < wanted:  # AVI counts from there
            picture = self._until(wanted, start=early)
        return picture

    def _until(self, wanted: int, *, start: int | None = None) -> Picture | None:
        """Decode up to the frame of a time; from the keyframe before ``start``, if that is given."""
        if start is not None:
            stream = self._container.streams.video[0]
            self._container.seek(start, stream=stream, backward=True)
            self._frames = _undamaged(self._container, self._path)
        for frame in self._frames:
            if frame is None:  # if it is the one that is wanted, the next one is behind it
                continue
            self._now = frame.pts
            if frame.pts == wanted:
                return _brightness(frame, self._reformatter)
            if frame.pts is None or frame.pts > wanted:
                break
        self._now = None
        return None

    def _comes_soon(self, wanted: int) -> bool:
        """Whether decoding on leads to that frame, with no keyframe in between to seek to instead."""
        if self._now is None or self._now >= wanted:
            return False
        if bisect_right(self._times, wanted) - bisect_right(self._times, self._now) <= _NEAR:
            return True
        return bisect_right(self._keys, self._now) == bisect_right(self._keys, wanted)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with _av_errors(self._path):
                yield
        except VideoFormatError:
            self._now = None
            raise


class OpenCvSource:
    """Pictures by OpenCV, which seeks by number, and not exactly in every file."""

    def __init__(self, path: str) -> None:
        cv2 = load_opencv()
        self._path = path
        self._lock = threading.Lock()
        self._capture: Any = self._open()
        self._process = os.getpid()
        self._next = 0
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        check_size(path, self.width, self.height)
        self.detection_budget = detection_budget(path)
        self._counting = Counting(self._decode)
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.frame_count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        letters = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False)
        self.codec = letters.decode("ascii", "replace").strip("\0 ")
        if self._read() is None:
            raise DependencyError(f"OpenCV on this machine cannot decode {path}, codec {self.codec!r}: {INSTALL}")

    def fetch(self, positions: Sequence[int], *, counted: bool = False) -> list[Picture | None]:
        with self._lock:
            if self._capture is None:
                raise ClosedError(f"{self._path} was closed: open it again")
            if self._process != os.getpid():  # a fork: the place in the file is shared with the parent
                self._capture, self._process, self._next = self._open(), os.getpid(), 0
                self._counting = Counting(self._decode)
            if counted:
                return self._counting.fetch(positions)
            self._counting.stop()
            return [self._at(position) for position in positions]

    def pictures(self) -> Iterator[Picture | None]:
        return self._decode()  # OpenCV passes over what is damaged

    def close(self) -> None:
        with self._lock:
            if self._capture is not None:
                self._capture.release()
                self._capture = None
            self._counting.stop()

    def _open(self) -> Any:
        import cv2

        # A forked child, in which there are no threads of the decoder, would wait for them for ever.
        alone = [cv2.CAP_PROP_N_THREADS, 1]
        capture = cv2.VideoCapture(av_name(self._path), cv2.CAP_FFMPEG, alone)
        if not capture.isOpened():
            raise VideoFormatError(
                f"{self._path} cannot be decoded: it is not a video, or of a codec OpenCV lacks, or damaged, for which "
                f"PyAV is better: {INSTALL}, or restore it from a copy"
            )
        return capture

    def _decode(self) -> Iterator[Picture]:
        capture = self._open()
        pixels = 0
        try:
            while (picture := _grey(capture)) is not None:
                pixels += picture.size
                check_pixels(self._path, pixels)
                yield picture
        finally:
            capture.release()

    def _at(self, position: int) -> Picture | None:
        import cv2

        if not self._next <= position <= self._next + _NEAR:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, position)
            self._next = position
        while self._next < position:
            self._capture.grab()
            self._next += 1
        return self._read()

    def _read(self) -> Picture | None:
        self._next += 1
        return _grey(self._capture)


@contextmanager
def _av_errors(path: str) -> Iterator[None]:
    av = load_pyav("decoding this video")
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        raise VideoFormatError(f"{path} cannot be decoded: {error}: {REMEDY}") from error


def _open_stream(path: str, *, hidden: bool = False) -> Any:
    """A container whose first video track can be decoded."""
    container = open_container(path, hidden=hidden)
    if not container.streams.video:
        container.close()
        raise VideoFormatError(f"{path} has no video track")
    if container.streams.video[0].codec_context is None:
        container.close()
        raise VideoFormatError(f"{path} cannot be decoded: PyAV does not know its codec, or it is damaged")
    # Threads over frames would decode further ones before they give out the first, and a forked child, in which
    # there are none, would wait for any for ever.
    context = container.streams.video[0].codec_context
    context.thread_count = 1
    options = {"max_pixels": str(MOST_PIXELS)}  # of pictures further on, which may be larger
    if context.name == "h264":  # what it makes up for a damaged part is worse for a code than what is left
        options["ec"] = "0"
    context.options = options
    return container


def _frame_rate(times: Sequence[int], durations: Mapping[int, int], stream: Any) -> float:
    """Frames a second, without the first one, which may be shown for longer; 0 if nothing says it.

    :param durations: how long the first ones are shown, where the container says so.
    """
    rate = float(stream.base_rate or stream.average_rate or 0)
    if len(times) > 2 and times[-1] > times[1]:
        mean = float((len(times) - 2) / ((times[-1] - times[1]) * stream.time_base))
        return rate if _NEAR_RATE * mean < rate < mean / _NEAR_RATE else mean  # times are rounded
    if len(times) == _FEW_FRAMES and (last := durations.get(times[-1], 0)) > 0:
        return float(1 / (last * stream.time_base))
    return rate


def _new_reformatter() -> Any:
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


def _undamaged(container: Any, path: str) -> Iterator[Any]:
    """The frames that are decoded from here on, and ``None`` for each packet that cannot be."""
    import av

    pixels = 0
    for packet in container.demux(container.streams.video[0]):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:  # the decoder goes on with the next one
            if isinstance(error, MemoryError):
                raise
            yield None
            continue
        pixels += sum(frame.width * frame.height for frame in frames)
        check_pixels(path, pixels)
        yield from frames


def _brightness(frame: Any, reformatter: Any) -> Picture | None:
    """The luma of a decoded frame; nothing if it is larger than it may be.

    :param reformatter: PyAV's, which keeps what it sets up for a kind of frame, and is one thread's.
    """
    if not fits(frame.width, frame.height):
        return None
    name: str = frame.format.name
    if name.startswith(_PLANAR) and frame.format.components[0].bits == 8 and not name.startswith("yuyv"):
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return np.ascontiguousarray(rows[: frame.height, : frame.width])
    grey: Picture = reformatter.reformat(frame, format="gray").to_ndarray()
    return np.ascontiguousarray(grey)


def _grey(capture: Any) -> Picture | None:
    import cv2

    read, picture = capture.read()
    if not read:
        return None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if picture.ndim == 3 else picture, np.uint8)
