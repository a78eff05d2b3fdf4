"""What happens to a video when others pass it on: encoded again, made smaller, put into another container."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from memvid.storage.disk import output_errors
from memvid.storage.files import make_private
from memvid.video.codecs.containers import av_name, open_container
from memvid.video.codecs.profiles import PROFILES, CodecProfile, container_format, load_pyav
from memvid.video.codecs.sinks import AvSink

__all__ = ["Step", "transcode"]

_MPEG4 = CodecProfile(encoder="mpeg4")  # nobody writes a memory with it, but others may pass one on in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One time that a video is passed on.

    :ivar codec: ``"h264"``, ``"vp9"``, ``"av1"`` or ``"mpeg4"``; ``None`` copies the frames as they are.
    :ivar quality: CRF, or the quantiser scale of MPEG-4.
    :ivar gop: frames from one keyframe to the next at most.
    :ivar scale: sides of the pictures, of what they were at the very first; ``None`` leaves them.
    :ivar fps: frames a second; frames are dropped or doubled for it. ``None`` leaves them.
    :ivar suffix: of the file, which says the container.
    """

    codec: str | None = None
    quality: int = 0
    gop: int = 250
    scale: Fraction | None = None
    fps: int | None = None
    suffix: str = ".mp4"


def transcode(source: Path, target: Path, step: Step, *, side: int) -> None:
    """Pass a video on.

    :param side: sides of the pictures at the very first, in pixels.
    :raises DependencyError: PyAV is not installed.
    """
    load_pyav("encoding videos again")
    if step.codec is None:
        _copy(source, target, container_format(target, "vp9"))
    else:
        _encode(source, target, step, side)


def _copy(source: Path, target: Path, container: str) -> None:
    with output_errors(target):
        make_private(target)
    av = load_pyav("copying videos")
    with open_container(source) as read, av.open(av_name(target), "w", format=container) as written:
        video = read.streams.video[0]
        stream = written.add_stream_from_template(video)
        for packet in _with_decoding_times(packet for packet in read.demux(video) if packet.size):
            packet.stream = stream
            written.mux(packet)


def _with_decoding_times(packets: Iterator[Any]) -> Iterator[Any]:
    """Give the first packets the times to decode them at, which Matroska does not keep and MP4 cannot do without."""
    waiting = []
    for packet in packets:
        waiting.append(packet)
        if packet.dts is None:
            continue
        step = packet.duration or 1
        for number, early in enumerate(waiting[:-1]):
            early.dts = packet.dts - step * (len(waiting) - 1 - number)
        yield from waiting
        waiting = []
    yield from waiting


def _encode(source: Path, target: Path, step: Step, side: int) -> None:
    codec = str(step.codec)
    profile = PROFILES.get(codec, _MPEG4)
    options = dict(profile.options)
    if profile is _MPEG4:
        options |= {"qmin": str(step.quality), "qmax": str(step.quality)}
    else:
        options["crf"] = str(step.quality)
    with open_container(source) as read:
        stream = read.streams.video[0]
        before = Fraction(stream.guessed_rate or 30)
        width, height = stream.codec_context.width, stream.codec_context.height
        if step.scale is not None:
            width = height = round(side * step.scale / 2) * 2
        sink = AvSink(
            target,
            container=container_format(target, codec),
            encoder=profile.encoder,
            width=width,
            height=height,
            fps=step.fps or before,
            options=options,
            gop=step.gop,
        )
        frames = read.decode(stream)
        for frame in frames if step.fps is None else _at_rate(frames, before, Fraction(step.fps)):
            scaled = frame.reformat(width=width, height=height, format="yuv420p", interpolation="BICUBIC")
            sink.append_luma(np.ascontiguousarray(scaled.to_ndarray()))
        sink.finish()


def _at_rate(frames: Iterator[Any], before: Fraction, after: Fraction) -> Iterator[Any]:
    """The frames as they are shown at another rate: each from its own time, rounded, to that of the next.

    :param before: at which the last one is shown.
    """
    shown = 0
    last: Any = None
    until = Fraction(0)
    for frame in frames:
        if last is not None:
            for _ in range(shown, number := _rounded(frame.pts * frame.time_base * after)):
                yield last
            shown = max(shown, number)
        last, until = frame, frame.pts * frame.time_base + 1 / before
    for _ in range(shown, _rounded(until * after)):
        yield last


def _rounded(number: Fraction) -> int:
    return int(number + Fraction(1, 2))
