"""What each codec is written by, and how good; and what this machine can write at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from memvid.dependencies import import_dependency
from memvid.errors import ConfigError, DependencyError, OutputError
from memvid.storage.disk import output_errors
from memvid.storage.files import make_private, write_private

__all__ = [
    "INSTALL",
    "PROFILES",
    "VIDEO_SUFFIXES",
    "CodecProfile",
    "available_codecs",
    "check_codec",
    "check_suffix",
    "container_format",
    "is_video_start",
    "load_opencv",
    "load_pyav",
]

INSTALL = 'pip install "memvid[video]"'

LOSSY_PIXELS = 4
"""Pixels a module for lossy codecs: their transforms work on blocks of 4 x 4 pixels, so a module is one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecProfile:
    """How a codec is written.

    :ivar encoder: of PyAV its name, of OpenCV the four characters.
    :ivar pyav: whether PyAV writes it, or OpenCV.
    :ivar pixels_per_module: what a module takes unless something else is asked for.
    :ivar crf: the quality unless another is asked for, lower is better; ``None`` where there is no choice.
    :ivar options: further ones of the encoder.
    """

    encoder: str
    pyav: bool = True
    pixels_per_module: int = LOSSY_PIXELS
    crf: int | None = None
    options: tuple[tuple[str, str], ...] = ()


PROFILES: Mapping[str, CodecProfile] = MappingProxyType(
    {
        "ffv1": CodecProfile(encoder="FFV1", pyav=False, pixels_per_module=1),
        "mp4v": CodecProfile(encoder="mp4v", pyav=False),
        "vp09": CodecProfile(encoder="vp09", pyav=False),
        "h264": CodecProfile(encoder="libx264", crf=23, options=(("preset", "medium"),)),
        "vp9": CodecProfile(encoder="libvpx-vp9", crf=40, options=(("b", "0"), ("cpu-used", "5"), ("row-mt", "1"))),
        # Presets above 8 leave out the tools for screen content, and with them five sixths of what there is to gain.
        "av1": CodecProfile(encoder="libsvtav1", crf=45, options=(("preset", "8"),)),
    }
)

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
_WEBM = ("vp09", "vp9", "av1")

_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")  # that a file may begin with

VIDEO_SUFFIXES = tuple(_FORMATS)


def is_video_start(start: bytes) -> bool:
    """Whether a file that begins so is in a container of videos, as far as a dozen bytes tell."""
    return start[4:8] in _MP4_BOXES or start.startswith((b"\x1aE\xdf\xa3", b"RIFF"))


def check_suffix(path: Path, codec: str) -> None:
    """Check that a video may have this name: one of :data:`VIDEO_SUFFIXES` that takes the codec, or no suffix.

    :raises OutputError: it is named like something else.
    :raises ConfigError: that container does not take the codec.
    """
    suffix = path.suffix.lower()
    nameless = path.name.lower() in _FORMATS
    if nameless or suffix not in (*_FORMATS, ""):
        name = "memory" if nameless else path.stem
        raise OutputError(f"{path} is no name for a video: give one, like {name}.mp4")
    if codec != "png":
        container_format(path, codec)
    elif suffix and _FORMATS[suffix] not in ("mp4", "mov"):
        raise ConfigError(f"codec='png' does not go into a {suffix}: name it .mp4, or choose another codec")


def container_format(path: Path, codec: str) -> str:
    """The container that a file's name asks for, as FFmpeg calls it; MP4 where it asks for none.

    :raises ConfigError: that container does not take the codec.
    """
    suffixes = [suffix for suffix in path.suffixes if suffix != ".new"]  # what a file is staged under
    name = _FORMATS.get(suffixes[-1].lower(), "mp4") if suffixes else "mp4"
    if name == "webm" and codec not in _WEBM:
        raise ConfigError(f"codec={codec!r} does not go into a .webm, which takes {', '.join(_WEBM)}: name it .mkv")
    if name == "mov" and codec in _WEBM:
        raise ConfigError(f"codec={codec!r} does not go into a .mov: name it .mp4 or .mkv")
    return name


def load_opencv() -> Any:
    """OpenCV's module.

    :raises DependencyError: it is not installed, or lacks a library of the system.
    """
    return import_dependency("cv2", "this codec needs OpenCV: pip install opencv-python-headless")


def load_pyav(what: str) -> Any:
    """PyAV's module.

    :param what: needs it, for the message.
    :raises DependencyError: it is not installed, or does not load.
    """
    return import_dependency("av", f"{what} needs PyAV, which is not installed: {INSTALL}")


def check_codec(codec: str) -> CodecProfile:
    """The codec's profile, if this machine can write it.

    :raises ConfigError: there is no such codec, or this machine cannot write it; the message lists what it can.
    :raises DependencyError: it needs PyAV, which is not installed, or OpenCV, which cannot be loaded.
    """
    profile = PROFILES.get(codec)
    if profile is None:
        raise ConfigError(f"codec={codec!r} is not possible: expected one of {', '.join(map(repr, PROFILES))}")
    if profile.pyav:
        load_pyav(f"codec={codec!r}")
    else:
        load_opencv()
    if not _can_write(codec):
        able = ", ".join(available_codecs())
        raise ConfigError(f"codec={codec!r} cannot be written on this machine: it can write {able}")
    return profile


@cache
def available_codecs() -> tuple[str, ...]:
    """The codecs this machine can write, ``"png"`` first. Tries each of them once."""
    return ("png", *(name for name in PROFILES if _can_write(name)))


@cache
def _can_write(codec: str) -> bool:
    profile = PROFILES[codec]
    return _pyav_has(profile.encoder) if profile.pyav else _opencv_writes(profile.encoder)


def _pyav_has(encoder: str) -> bool:
    try:
        load_pyav("this codec").codec.Codec(encoder, "w")
    except (ValueError, DependencyError):
        return False
    return True


def _opencv_writes(fourcc: str) -> bool:
    try:
        cv2 = load_opencv()
    except DependencyError:
        return False
    with output_errors(tempfile.gettempdir()), tempfile.TemporaryDirectory(prefix="memvid-") as folder:
        path = Path(folder) / "probe.mp4"
        make_private(path)
        for _ in range(2):
            code = cv2.VideoWriter.fourcc(*fourcc)
            writer = cv2.VideoWriter(os.fspath(path), cv2.CAP_FFMPEG, code, 30, (64, 64), False)
            opened = bool(writer.isOpened())
            writer.release()
            if opened:
                return True
            write_private(path, bytes(4096))  # OpenCV does not say why it cannot: this raises if the disk is the reason
        return False
