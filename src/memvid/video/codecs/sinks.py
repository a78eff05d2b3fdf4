"""Pictures into a video file, by PyAV or by OpenCV."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memvid.errors import OutputError
from memvid.interrupts import uninterrupted
from memvid.storage.disk import output_errors
from memvid.storage.files import create_private, make_private, write_private
from memvid.video.codecs.containers import av_name
from memvid.video.codecs.priority import same_priority
from memvid.video.codecs.profiles import CodecProfile, load_pyav

__all__ = ["AvSink", "OpenCvSink", "PictureSink"]

# Luma of television range, which players show as black and white; chroma without colour.
_BLACK, _WHITE, _GREY = 16, 235, 128


class PictureSink(Protocol):
    """Takes pictures one after the other."""

    def append(self, picture: NDArray[np.uint8], *, held: bool = False) -> None:
        """Encode one picture: ``uint8[height, width]``, 0 black, 255 white.

        :param held: have it shown for a second, where the container can say so.
        """

    def finish(self) -> None:
        """Complete the file."""

    def abandon(self) -> None:
        """Remove what is beside the file that was to be written, which the caller removes."""


class AvSink:
    """Writes by PyAV: every frame a keyframe unless another ``gop`` is asked for.

    :param path: the file to write.
    :param container: its format, as FFmpeg calls it.
    :param width: of the pictures; even, like ``height``.
    :param options: of the encoder.
    :param gop: frames from one keyframe to the next at most.
    """

    def __init__(
        self,
        path: Path,
        *,
        container: str,
        encoder: str,
        width: int,
        height: int,
        fps: Fraction | int,
        options: dict[str, str],
        gop: int = 1,
    ) -> None:
        av = load_pyav("encoding a video")
        self._path = path
        if encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only: it writes its settings to stderr otherwise
        with output_errors(path):
            make_private(path)
        muxer = {"fflags": "+bitexact"}  # no random ids and no clock in the file
        if container in {"mp4", "mov"}:
            muxer["movflags"] = "+faststart"
        with self._errors(), same_priority():
            self._container = av.open(av_name(path), "w", format=container, options=muxer)
            stream: Any = self._container.add_stream(encoder, rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.gop_size = gop
            stream.codec_context.color_range = 1  # television's
            self._container.start_encoding()
        self._stream = stream
        self._second = 1 if container == "avi" else max(round(fps), 1)  # in frames; AVI has a frame for each
        self._frame_time = 1 / Fraction(fps)
        self._now = 0
        self._planes = np.full((height * 3 // 2, width), _GREY, np.uint8)
        self._height = height

    def append(self, picture: NDArray[np.uint8], *, held: bool = False) -> None:
        self._planes[: self._height] = np.where(picture < 128, np.uint8(_BLACK), np.uint8(_WHITE))
        self.append_luma(self._planes)
        if held:
            self._now += self._second - 1

    def append_luma(self, planes: NDArray[np.uint8]) -> None:
        """Encode one picture of planes Y, U, V: ``uint8[height * 3 / 2, width]``, as it is."""
        import av

        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = self._now, self._frame_time
        self._now += 1
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        with self._errors():
            self._container.mux(self._stream.encode(None))
            self._container.close()

    def abandon(self) -> None:
        pass  # there is nothing

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import av

        with output_errors(self._path):
            try:
                yield
            except av.FFmpegError as error:
                if isinstance(error, (OSError, MemoryError)):
                    raise
                raise OutputError(f"{self._path} cannot be encoded: {error}") from error


class OpenCvSink:
    """Writes by OpenCV, which chooses quality and keyframes itself, and the container by the file's name."""

    def __init__(self, path: Path, *, suffix: str, profile: CodecProfile, width: int, height: int, fps: int) -> None:
        import cv2

        self._finished = False
        self._writer: Any = None
        self._path = path
        self._written = path.with_name(path.name + suffix)
        with output_errors(path):  # OpenCV would not say why it cannot
            os.close(create_private(self._written))
        fourcc = cv2.VideoWriter.fourcc(*profile.encoder)
        self._writer = cv2.VideoWriter(av_name(self._written), cv2.CAP_FFMPEG, fourcc, fps, (width, height), False)
        if not self._writer.isOpened():
            with output_errors(path):
                write_private(self._written, bytes(4096))  # raises if the disk is the reason
            raise OutputError(
                errno.EINVAL,
                f"OpenCV cannot write {profile.encoder} into a {suffix} file: choose .mp4 or .mkv",
                str(path),
            )

    def append(self, picture: NDArray[np.uint8], *, held: bool = False) -> None:  # noqa: ARG002  # OpenCV cannot hold
        self._writer.write(picture)

    def finish(self) -> None:
        self._writer.release()
        with output_errors(self._path):
            self._written.replace(self._path)
        self._finished = True

    @uninterrupted
    def abandon(self) -> None:
        if not self._finished:
            if self._writer is not None:
                self._writer.release()
            with suppress(OSError):
                self._written.unlink(missing_ok=True)

    def __del__(self) -> None:
        if not self._finished:
            self.abandon()
